#include "pg/lsn.h"
#include "support/test_data.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* First WAL pages of clusters made by initdb of each major version. */
#define FILE_NAME     "000000010000000000000001"
#define SEGMENT_BYTES (16u << 20)

static void load_page(struct buf *to, unsigned major)
{
    test_data_read(to, "pg/%u/" FILE_NAME ".page0", major);
    assert_int_equal(to->len, 8192);
}

static void headers_of_all_versions_are_read(void **state)
{
    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP_BUF struct buf page = BUF_INIT(8192);
        struct wal_header h;
        struct error err;
        load_page(&page, major);
        assert_int_equal(wal_header_read(page.data, page.len, &h, &err), RC_OK);
        assert_int_equal(h.pg_major, major);
        assert_int_equal(h.timeline, 1);
        assert_int_equal(h.page_lsn, 0x1000000);
        assert_int_equal(h.segment_bytes, SEGMENT_BYTES);
        assert_true(h.system_identifier > UINT64_C(7000000000000000000));
        /* Length stands for the whole segment; only its first bytes are looked at. */
        assert_int_equal(wal_header_check(page.data, SEGMENT_BYTES, FILE_NAME, h.system_identifier,
                                          SEGMENT_BYTES, &err),
                         RC_OK);
    }
}

struct header_test {
    struct buf page;
    uint64_t system_identifier;
};

static int setup(void **state)
{
    static struct header_test t;
    struct wal_header h;
    struct error err;
    t.page = BUF_INIT(8192);
    load_page(&t.page, 15);
    assert_int_equal(wal_header_read(t.page.data, t.page.len, &h, &err), RC_OK);
    t.system_identifier = h.system_identifier;
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct header_test *t = *state;
    buf_done(&t->page);
    return 0;
}

static void refused(const struct header_test *t, uint64_t len, const char *file,
                    uint64_t system_identifier, uint32_t segment_bytes, const char *because)
{
    struct error err = {0};
    assert_int_equal(
        wal_header_check(t->page.data, len, file, system_identifier, segment_bytes, &err),
        RC_INTEGRITY);
    assert_non_null(strstr(err.what, because));
    assert_non_null(strstr(err.on, file));
}

static void what_differs_is_named(void **state)
{
    struct header_test *t = *state;
    uint64_t id = t->system_identifier;
    refused(t, SEGMENT_BYTES, FILE_NAME, id + 1, SEGMENT_BYTES, "another cluster");
    refused(t, SEGMENT_BYTES, "000000010000000000000002", id, SEGMENT_BYTES, "begins at 0/1000000");
    refused(t, 32u << 20, FILE_NAME, id, 32u << 20, "bytes per segment");
    refused(t, SEGMENT_BYTES - 1, FILE_NAME, id, SEGMENT_BYTES, "16777215 bytes");
    refused(t, 0, FILE_NAME, id, SEGMENT_BYTES, "only 0 bytes");
    refused(t, 39, FILE_NAME, id, SEGMENT_BYTES, "only 39 bytes");
    refused(t, SEGMENT_BYTES, "00000002.history", id, SEGMENT_BYTES, "no name");
}

static void a_lower_timeline_is_right_and_a_higher_one_is_wrong(void **state)
{
    struct header_test *t = *state;
    struct error err;
    uint64_t id = t->system_identifier;
    assert_int_equal(wal_header_check(t->page.data, SEGMENT_BYTES, "000000030000000000000001", id,
                                      SEGMENT_BYTES, &err),
                     RC_OK);
    t->page.data[4] = 4; /* the header's timeline */
    refused(t, SEGMENT_BYTES, "000000030000000000000001", id, SEGMENT_BYTES, "timeline 4");
}

static void damaged_headers_are_refused(void **state)
{
    struct header_test *t = *state;
    static const struct {
        size_t at;
        uint8_t value;
    } damages[] = {{0, 0x11}, {1, 0}, {2, 0}, {4, 0}, {32, 1}, {37, 0}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        uint8_t copy[64];
        struct wal_header h = {.timeline = 42};
        struct error err;
        memcpy(copy, t->page.data, sizeof copy);
        copy[damages[i].at] = damages[i].value;
        if (wal_header_read(copy, sizeof copy, &h, &err) != RC_INTEGRITY)
            fail_msg("byte %zu changed unnoticed", damages[i].at);
        assert_int_equal(h.timeline, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_all_versions_are_read),
        cmocka_unit_test_setup_teardown(what_differs_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lower_timeline_is_right_and_a_higher_one_is_wrong, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_headers_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
