#include "codec/zlines.h"

#include "codec/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct error err;

/* Writes lines and gives the compressed bytes. */
static void write_lines(struct buf *to, const char *const *lines, size_t count)
{
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;

    assert_int_equal(zlines_writer_new(to, 3, &w, &err), RC_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(zlines_add(w, lines[i], strlen(lines[i]), &err), RC_OK);
    assert_int_equal(zlines_commit(w, &err), RC_OK);
}

/* Any bytes as one zstd frame. */
static void compress(struct buf *to, const void *data, size_t len)
{
    CLEANUP_STAGE struct stage *encoder = NULL;

    assert_int_equal(stage_zstd_encoder(3, &encoder, &err), RC_OK);
    assert_int_equal(stage_encode_buf(encoder, data, len, to, &err), RC_OK);
}

static enum rc join(void *ctx, uint64_t line_number, const char *line, size_t len, struct error *e)
{
    assert_int_equal(line[len], 0);
    assert_int_equal(strlen(line), len);
    return buf_printf(ctx, e, "%llu=%s;", (unsigned long long)line_number, line);
}

static void assert_read(const struct buf *from, size_t max_line, enum rc rc, const char *expected)
{
    CLEANUP_BUF struct buf joined = BUF_INIT(1 << 20);
    const char *text;

    assert_int_equal(zlines_read(from->data, from->len, max_line, join, &joined, &err), rc);
    if (!expected)
        return;
    assert_int_equal(buf_cstr(&joined, &text, &err), RC_OK);
    assert_string_equal(text, expected);
}

static void lines_come_back(void **state)
{
    static const char *const lines[] = {"one", "", "three with spaces", "{\"a\":1}"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

    (void)state;
    write_lines(&b, lines, 4);
    assert_read(&b, 100, RC_OK, "1=one;2=;3=three with spaces;4={\"a\":1};");
}

static void no_lines_are_no_lines(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

    (void)state;
    write_lines(&b, NULL, 0);
    assert_true(b.len > 0);
    assert_read(&b, 100, RC_OK, "");
}

#define MANY 200000

static int line_of(char *to, size_t size, uint64_t number)
{
    return snprintf(to, size, "%llu %.*s", (unsigned long long)number,
                    (int)(number * 2654435761u >> 7 & 63),
                    "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz");
}

static enum rc check_line(void *ctx, uint64_t line_number, const char *line, size_t len,
                          struct error *e)
{
    char expected[128];
    int expected_len = line_of(expected, sizeof(expected), line_number);

    (void)e;
    assert_int_equal(len, expected_len);
    assert_string_equal(line, expected);
    *(uint64_t *)ctx = line_number;
    return RC_OK;
}

/* Far more than one piece of the decoder holds, so that lines lie across its seams. */
static void many_lines_come_back(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(64 << 20);
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;
    uint64_t last = 0;
    char line[128];

    (void)state;
    assert_int_equal(zlines_writer_new(&b, 1, &w, &err), RC_OK);
    for (uint64_t i = 1; i <= MANY; i++) {
        int len = line_of(line, sizeof(line), i);

        assert_int_equal(zlines_add(w, line, (size_t)len, &err), RC_OK);
    }
    assert_int_equal(zlines_commit(w, &err), RC_OK);
    assert_int_equal(zlines_read(b.data, b.len, 100, check_line, &last, &err), RC_OK);
    assert_int_equal(last, MANY);
}

static enum rc note_len(void *ctx, uint64_t line_number, const char *line, size_t len,
                        struct error *e)
{
    (void)line_number;
    (void)line;
    (void)e;
    *(size_t *)ctx = len;
    return RC_OK;
}

static void a_line_may_be_as_long_as_the_maximum(void **state)
{
    static char line[400001];
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    const char *lines[] = {line};
    size_t len = 0;

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    write_lines(&b, lines, 1);
    assert_int_equal(zlines_read(b.data, b.len, 400000, note_len, &len, &err), RC_OK);
    assert_int_equal(len, 400000);
    assert_read(&b, 399999, RC_INTEGRITY, "");
    assert_read(&b, 10, RC_INTEGRITY, "");
}

static void short_lines_have_the_same_maximum(void **state)
{
    static const char *const lines[] = {"1234", "12345", "1"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

    (void)state;
    write_lines(&b, lines, 3);
    assert_read(&b, 5, RC_OK, "1=1234;2=12345;3=1;");
    assert_read(&b, 4, RC_INTEGRITY, "1=1234;");
}

static void every_truncation_is_damage(void **state)
{
    static const char *const lines[] = {"one", "two", "three"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    size_t whole;

    (void)state;
    write_lines(&b, lines, 3);
    whole = b.len;
    for (b.len = 0; b.len < whole; b.len++)
        assert_read(&b, 100, RC_INTEGRITY, NULL);
}

static void every_flipped_bit_is_damage(void **state)
{
    static const char *const lines[] = {"one", "two", "three"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

    (void)state;
    write_lines(&b, lines, 3);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        CLEANUP_BUF struct buf joined = BUF_INIT(1 << 20);
        enum rc rc;

        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rc = zlines_read(b.data, b.len, 100, join, &joined, &err);
        /* Bits of the header that mean nothing for the content may flip unseen. */
        if (rc == RC_OK)
            assert_memory_equal(joined.data, "1=one;2=two;3=three;", joined.len);
        else
            assert_int_equal(rc, RC_INTEGRITY);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void what_goes_on_behind_is_damage(void **state)
{
    static const char *const lines[] = {"one"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    size_t whole;

    (void)state;
    write_lines(&b, lines, 1);
    whole = b.len;
    assert_int_equal(buf_append(&b, "\n", 1, &err), RC_OK);
    assert_read(&b, 100, RC_INTEGRITY, NULL);
    b.len = whole;
    write_lines(&b, lines, 1);
    assert_read(&b, 100, RC_INTEGRITY, NULL);
}

static void content_that_is_no_lines_is_damage(void **state)
{
    static const struct {
        const char *content;
        size_t len;
        enum rc rc;
    } cases[] = {
        {"a\nb\n", 4, RC_OK},           {"", 0, RC_OK},
        {"a\nb", 3, RC_INTEGRITY},      {"a", 1, RC_INTEGRITY},
        {"a\nb\0c\n", 6, RC_INTEGRITY}, {"\0\n", 2, RC_INTEGRITY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

        compress(&b, cases[i].content, cases[i].len);
        assert_read(&b, 100, cases[i].rc, NULL);
    }
}

/* Little input, much output: the decoder's last pieces come when its input is nearly used up, and
 * no checksum at the end holds it back. */
static void output_may_come_after_the_last_input(void **state)
{
    static char content[1 << 20];
    size_t len = 0;

    (void)state;
    memset(content, 'x', sizeof(content));
    for (size_t size = sizeof(content) - 3; size <= sizeof(content); size++) {
        CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

        content[size - 1] = '\n';
        compress(&b, content, size);
        assert_int_equal(zlines_read(b.data, b.len, sizeof(content), note_len, &len, &err), RC_OK);
        assert_int_equal(len, size - 1);
        content[size - 1] = 'x';
    }
}

static enum rc refuse_second(void *ctx, uint64_t line_number, const char *line, size_t len,
                             struct error *e)
{
    (void)line;
    (void)len;
    ++*(unsigned *)ctx;
    return line_number == 2 ? error_set(e, RC_REFUSED, "not this one") : RC_OK;
}

static void the_callback_ends_the_reading(void **state)
{
    static const char *const lines[] = {"one", "two", "three"};
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    unsigned calls = 0;

    (void)state;
    write_lines(&b, lines, 3);
    assert_int_equal(zlines_read(b.data, b.len, 100, refuse_second, &calls, &err), RC_REFUSED);
    assert_string_equal(err.what, "not this one");
    assert_int_equal(calls, 2);
}

static void the_buffers_maximum_bounds_a_writer(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;
    enum rc rc = RC_OK;
    char line[32];

    (void)state;
    assert_int_equal(zlines_writer_new(&b, 3, &w, &err), RC_OK);
    for (unsigned i = 0; i < 100000 && rc == RC_OK; i++) {
        snprintf(line, sizeof(line), "%08x", i * 2654435761u);
        rc = zlines_add(w, line, strlen(line), &err);
    }
    assert_int_equal(rc, RC_NOMEM);
    assert_true(b.len <= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_back),
        cmocka_unit_test(no_lines_are_no_lines),
        cmocka_unit_test(many_lines_come_back),
        cmocka_unit_test(a_line_may_be_as_long_as_the_maximum),
        cmocka_unit_test(short_lines_have_the_same_maximum),
        cmocka_unit_test(every_truncation_is_damage),
        cmocka_unit_test(every_flipped_bit_is_damage),
        cmocka_unit_test(what_goes_on_behind_is_damage),
        cmocka_unit_test(content_that_is_no_lines_is_damage),
        cmocka_unit_test(output_may_come_after_the_last_input),
        cmocka_unit_test(the_callback_ends_the_reading),
        cmocka_unit_test(the_buffers_maximum_bounds_a_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
