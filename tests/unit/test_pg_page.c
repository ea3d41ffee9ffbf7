#include "pg/page.h"
#include "support/test_data.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define PAGE 8192

/* The first three pages of pg_class of a cluster with checksums. */
static void load(struct buf *to)
{
    test_data_read(to, "pg/15/pg_class.pages");
    assert_int_equal(to->len, 3 * PAGE);
}

static void pages_of_a_real_server_are_good(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(3 * PAGE);
    load(&b);
    for (uint32_t block = 0; block < 3; block++) {
        const uint8_t *page = b.data + block * PAGE;
        assert_int_equal(page_check(page, PAGE, block), PAGE_GOOD);
        assert_int_equal(page_checksum(page, PAGE, block), get_le16(page + 8));
    }
}

static void a_page_in_another_place_is_bad(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(3 * PAGE);
    load(&b);
    assert_int_equal(page_check(b.data, PAGE, 1), PAGE_BAD);
    assert_int_equal(page_check(b.data, PAGE, 131072), PAGE_BAD); /* in the second segment file */
}

static void any_flipped_bit_is_noticed(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(3 * PAGE);
    load(&b);
    uint8_t *page = b.data + PAGE;
    for (size_t i = 0; i < PAGE; i++) {
        page[i] ^= (uint8_t)(1u << i % 8);
        if (page_check(page, PAGE, 1) != PAGE_BAD)
            fail_msg("byte %zu changed unnoticed", i);
        page[i] ^= (uint8_t)(1u << i % 8);
    }
}

static void only_an_all_zero_page_is_new(void **state)
{
    (void)state;
    static uint8_t page[PAGE];
    assert_int_equal(page_check(page, PAGE, 7), PAGE_NEW);
    page[PAGE - 1] = 1; /* still without an end of free space */
    assert_int_equal(page_check(page, PAGE, 7), PAGE_BAD);
    page[PAGE - 1] = 0;
    put_le16(page + 8, page_checksum(page, PAGE, 7)); /* not even with a checksum that fits */
    assert_int_equal(page_check(page, PAGE, 7), PAGE_BAD);
}

static void zero_is_zero_at_every_length(void **state)
{
    (void)state;
    uint8_t bytes[70] = {0};
    for (size_t len = 0; len < sizeof bytes; len++) {
        assert_true(bytes_are_zero(bytes, len));
        for (size_t at = 0; at < len; at++) {
            bytes[at] = 0x80;
            assert_false(bytes_are_zero(bytes, len));
            bytes[at] = 0;
        }
    }
}

static void relation_files_are_told_from_others(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int segment; /* -1: none */
    } cases[] = {
        {"base/5/16384", 0},
        {"base/5/16384.1", 1},
        {"base/5/16384.4294967295", -2},
        {"base/5/16384_fsm", 0},
        {"base/5/16384_vm.12", 12},
        {"base/5/16384_init", 0},
        {"global/1262", 0},
        {"global/1262_fsm", 0},
        {"pg_tblspc/16500/PG_15_202209061/5/16384.3", 3},
        {"base/5/t3_16384", -1}, /* temporary */
        {"base/5/t3_16384_fsm", -1},
        {"base/5/PG_VERSION", -1},
        {"base/5/pg_filenode.map", -1},
        {"base/5/pg_internal.init", -1},
        {"base/5/pg_internal.init.1234", -1},
        {"global/pg_control", -1},
        {"global/pg_filenode.map", -1},
        {"base/5/16384.", -1},
        {"base/5/16384.0", -1},
        {"base/5/16384.01", -1},
        {"base/5/16384.1x", -1},
        {"base/5/16384_foo", -1},
        {"base/5/016384", -1},
        {"base/5/99999999999", -1},
        {"base/5", -1},
        {"base/5/16384/1", -1},
        {"base/pgsql_tmp/pgsql_tmp1.0", -1},
        {"pg_tblspc/16500/5/16384", -1},
        {"pg_tblspc/16500", -1},
        {"pg_tblspc/16500/PG_15_202209061", -1},
        {"pg_xact/0000", -1},
        {"pg_wal/000000010000000000000001", -1},
        {"16384", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t segment = 42;
        bool is = path_is_relation(cases[i].path, &segment);
        uint32_t expected = cases[i].segment == -2 ? UINT32_MAX : (uint32_t)cases[i].segment;
        if (is != (cases[i].segment != -1))
            fail_msg("\"%s\" was %staken for a relation", cases[i].path, is ? "" : "not ");
        assert_int_equal(segment, is ? expected : 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_a_real_server_are_good),
        cmocka_unit_test(a_page_in_another_place_is_bad),
        cmocka_unit_test(any_flipped_bit_is_noticed),
        cmocka_unit_test(only_an_all_zero_page_is_new),
        cmocka_unit_test(zero_is_zero_at_every_length),
        cmocka_unit_test(relation_files_are_told_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
