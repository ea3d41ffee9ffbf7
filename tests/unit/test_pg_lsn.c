#include "pg/lsn.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define MB16 (16u << 20)

static void lsns_read_as_postgresql_writes_them(void **state)
{
    (void)state;
    char text[LSN_TEXT_MAX];
    uint64_t lsn;
    assert_string_equal(lsn_text(0x3000028, text), "0/3000028");
    assert_string_equal(lsn_text(0xAB00000001, text), "AB/1");
    assert_string_equal(lsn_text(UINT64_MAX, text), "FFFFFFFF/FFFFFFFF");
    assert_true(lsn_parse("16/B374D848", &lsn));
    assert_int_equal(lsn, 0x16B374D848);
    assert_true(lsn_parse("0/abc", &lsn));
    assert_int_equal(lsn, 0xabc);
}

static void lsns_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "/",   "0/",          "/0",    "0",    "0/0 ", " 0/0",
                                      "0x1", "0/G", "0/123456789", "1/2/3", "-1/0", "0//0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t lsn = 42;
        if (lsn_parse(bad[i], &lsn))
            fail_msg("\"%s\" was taken for an LSN", bad[i]);
        assert_int_equal(lsn, 42);
    }
}

static void names_go_there_and_back(void **state)
{
    (void)state;
    static const struct {
        uint32_t timeline, segment_bytes;
        uint64_t number;
        const char *name;
    } cases[] = {
        {1, MB16, 1, "000000010000000000000001"},
        {1, MB16, 255, "0000000100000000000000FF"},
        {1, MB16, 256, "000000010000000100000000"},
        {0xA, MB16, 0x1FF, "0000000A00000001000000FF"}, /* timelines are hexadecimal */
        {0x1F, 1u << 20, 4096, "0000001F0000000100000000"},
        {2, 1u << 20, 4095, "000000020000000000000FFF"},
        {2, 1u << 30, 7, "000000020000000100000003"},
        {UINT32_MAX, MB16, 0xFFFFFFFFFF, "FFFFFFFFFFFFFFFF000000FF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[WAL_NAME_MAX];
        struct wal_name name;
        wal_name_segment(cases[i].timeline, cases[i].number, cases[i].segment_bytes, text);
        assert_string_equal(text, cases[i].name);
        assert_true(wal_name_parse(text, cases[i].segment_bytes, &name));
        assert_int_equal(name.kind, WAL_SEGMENT);
        assert_int_equal(name.timeline, cases[i].timeline);
        assert_int_equal(name.number, cases[i].number);
    }
}

static void all_kinds_of_names_are_told_apart(void **state)
{
    (void)state;
    struct wal_name name;
    assert_true(wal_name_parse("000000020000000000000003.partial", MB16, &name));
    assert_int_equal(name.kind, WAL_PARTIAL);
    assert_int_equal(name.number, 3);
    assert_true(wal_name_parse("000000020000000000000003.00000028.backup", MB16, &name));
    assert_int_equal(name.kind, WAL_BACKUP_LABEL);
    assert_int_equal(name.number, 3);
    assert_true(wal_name_parse("0000000B.history", MB16, &name));
    assert_int_equal(name.kind, WAL_HISTORY);
    assert_int_equal(name.timeline, 11);
    assert_int_equal(name.number, 0);
    assert_true(wal_name_kind("0000000200000000FFFFFFFF", &name)); /* whatever the size */
    assert_int_equal(name.kind, WAL_SEGMENT);
    char text[WAL_NAME_MAX];
    wal_name_history(0x2A, text);
    assert_string_equal(text, "0000002A.history");
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00000001",
        "00000001000000000000001",
        "0000000100000000000000011",
        "00000001000000000000000a", /* lower case */
        "000000010000000000000100", /* 256 segments of 16 MiB are in 4 GiB */
        "000000000000000000000001", /* there is no timeline 0 */
        "00000000.history",
        "0000000G.history",
        "000000010000000000000001.part",
        "000000010000000000000001.backup",
        "000000010000000000000001.0000028.backup",
        "000000010000000000000001.00000028.backup.x",
        "RECOVERYXLOG",
        "../000000010000000000000001",
        "00000001.history/x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct wal_name name;
        if (wal_name_parse(bad[i], MB16, &name))
            fail_msg("\"%s\" was taken for the name of a WAL file", bad[i]);
    }
    struct wal_name name;
    assert_false(wal_name_parse("000000010000000000000001", 3u << 20, &name));
}

static void the_segment_before_a_boundary_is_the_last_that_was_written(void **state)
{
    (void)state;
    assert_int_equal(lsn_segment(0x3000000, MB16), 3);
    assert_int_equal(lsn_segment_before(0x3000000, MB16), 2);
    assert_int_equal(lsn_segment_before(0x3000001, MB16), 3);
}

static void segment_sizes_are_powers_of_two(void **state)
{
    (void)state;
    assert_true(wal_segment_size_valid(1u << 20));
    assert_true(wal_segment_size_valid(1u << 30));
    assert_false(wal_segment_size_valid(0));
    assert_false(wal_segment_size_valid(1u << 19));
    assert_false(wal_segment_size_valid(1u << 31));
    assert_false(wal_segment_size_valid((16u << 20) + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsns_read_as_postgresql_writes_them),
        cmocka_unit_test(lsns_that_are_none_are_refused),
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(all_kinds_of_names_are_told_apart),
        cmocka_unit_test(names_that_are_none_are_refused),
        cmocka_unit_test(the_segment_before_a_boundary_is_the_last_that_was_written),
        cmocka_unit_test(segment_sizes_are_powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
