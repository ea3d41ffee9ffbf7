/* Strings, numbers, moments, buffers, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static void errors_have_three_parts(void **state)
{
    struct error e = {.on = "old", .now = "old"};

    (void)state;
    assert_int_equal(error_set(&e, RC_STORAGE, "could not read"), RC_STORAGE);
    assert_string_equal(e.on, "");
    error_on(&e, "pack %d", 1);
    error_on(&e, "pack %d", 2); /* never replaces */
    error_now(&e, "look");
    error_prefix(&e, "could not restore %s", "t");
    error_prefix(&e, "%s", e.what); /* arguments may point into the error */
    assert_string_equal(e.what, "could not restore t: could not read: could not restore t: could "
                                "not read");
    assert_string_equal(e.on, "pack 1");
    error_set_errno(&e, RC_SYSTEM, 2, "%s", e.what);
    assert_int_equal(e.sys_errno, 2);
    assert_non_null(strstr(e.what, "No such file"));
}

static void long_errors_are_cut(void **state)
{
    struct error e;
    char *big = malloc(5001);

    (void)state;
    memset(big, 'x', 5000);
    big[5000] = '\0';
    error_set(&e, RC_STORAGE, "%s", big);
    error_prefix(&e, "%s", big);
    error_set_errno(&e, RC_SYSTEM, 28, "%s", big);
    assert_non_null(strstr(e.what, "No space left")); /* the reason survives */
    assert_int_equal(strnlen(e.what, sizeof(e.what)) < sizeof(e.what), 1);
    free(big);
}

static void numbers(void **state)
{
    uint64_t u;
    int64_t i;

    (void)state;
    assert_true(parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_false(parse_u64("18446744073709551616", &u));
    assert_false(parse_u64("-1", &u));
    assert_false(parse_u64(" 1", &u));
    assert_false(parse_u64("1x", &u));
    assert_false(parse_u64("", &u));
    assert_true(parse_i64("-5", &i) && i == -5);
    assert_true(parse_size("16MB", &u) && u == 16u << 20);
    assert_false(parse_size("99999999999TB", &u));
    assert_false(parse_size("16 mb", &u));
    assert_true(parse_duration("7d", &i) && i == 7 * 86400);
    assert_true(parse_duration("30m", &i) && i == 1800);
    assert_false(parse_duration("7 days", &i));
    assert_false(parse_duration("9223372036854775807d", &i));
}

static void hex(void **state)
{
    uint8_t bytes[4] = {0};
    char text[9];

    (void)state;
    assert_true(hex_decode("00fFa0", 6, bytes));
    hex_encode(bytes, 3, text);
    assert_string_equal(text, "00ffa0");
    assert_false(hex_decode("0", 1, bytes));
    assert_false(hex_decode("0g", 2, bytes));
    assert_false(hex_is_lower("0A", 2));
}

static void nearest(void **state)
{
    static const char *const known[] = {"target-time", "target-lsn", "backup", NULL};

    (void)state;
    assert_string_equal(str_nearest("target-tiem", known), "target-time");
    assert_string_equal(str_nearest("bakup", known), "backup");
    assert_null(str_nearest("frobnicate", known));
}

static void printable(void **state)
{
    CLEANUP_FREE char *s = str_printable("a\n\xff\xc3\xa9\x1b[31m\xe2\x82");

    (void)state;
    assert_string_equal(s, "a\\x0a\\xff\xc3\xa9\\x1b[31m\\xe2\\x82");
}

static void check_moment(const char *text, const char *expected)
{
    struct error e = {0};
    moment_us t;
    char to[MOMENT_TEXT_MAX];

    assert_int_equal(moment_parse(text, &t, &e), RC_OK);
    assert_string_equal(moment_text(t, to), expected);
}

static void moments(void **state)
{
    (void)state;
    check_moment("2026-11-21 14:30:00 UTC", "2026-11-21 14:30:00 UTC");
    check_moment("2026-11-21 14:30 UTC", "2026-11-21 14:30:00 UTC");
    check_moment("2026-11-21T14:30:00.250Z", "2026-11-21 14:30:00.25 UTC");
    check_moment("2026-11-21 14:30:00+02", "2026-11-21 12:30:00 UTC");
    check_moment("2026-11-21 14:30:00 +05:45", "2026-11-21 08:45:00 UTC");
    check_moment("2026-11-21 23:30:00-0130", "2026-11-22 01:00:00 UTC");
    check_moment("20261121T143000Z", "2026-11-21 14:30:00 UTC");
    check_moment("2024-02-29 00:00:00 UTC", "2024-02-29 00:00:00 UTC");
}

static void moments_refused(void **state)
{
    static const char *const bad[] = {
        "2026-11-21 14:30:00",
        "2026-02-30 00:00:00 UTC",
        "yesterday",
        "2026-11-21",
        "2026-11-21 25:00:00 UTC",
        "2026-11-21 14:30:00 UTC!",
        "2026-13-01 00:00:00 UTC",
        "",
        "2026-11-21 14:30:00.",
        "2026-11-21 14:30:00+99",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error e = {0};
        moment_us t = 42;
        assert_int_equal(moment_parse(bad[i], &t, &e), RC_USAGE);
        assert_int_equal(t, 42);
        assert_true(e.now[0]);
    }
}

static void buffers_keep_their_maximum(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(10);
    struct error e = {0};
    const char *s;

    (void)state;
    assert_int_equal(buf_append(&b, "12345", 5, &e), RC_OK);
    assert_int_equal(buf_append(&b, "123456", 6, &e), RC_NOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &e), RC_NOMEM);
    assert_int_equal(b.len, 5);
    assert_int_equal(buf_append(&b, "67890", 5, &e), RC_OK);
    assert_int_equal(buf_cstr(&b, &s, &e), RC_OK);
    assert_string_equal(s, "1234567890");
}

static void cursors_stop_at_the_end(void **state)
{
    struct cursor c = cursor_over("\x01\x02\x03\x04\x05", 5);

    (void)state;
    assert_int_equal(cursor_le32(&c), 0x04030201);
    assert_int_equal(cursor_le16(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* stays failed, though a byte is left */
    assert_null(cursor_take(&c, SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_three_parts),
        cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(numbers),
        cmocka_unit_test(hex),
        cmocka_unit_test(nearest),
        cmocka_unit_test(printable),
        cmocka_unit_test(moments),
        cmocka_unit_test(moments_refused),
        cmocka_unit_test(buffers_keep_their_maximum),
        cmocka_unit_test(cursors_stop_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
