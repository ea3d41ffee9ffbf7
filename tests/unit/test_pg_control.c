#include "base/cleanup.h"
#include "base/file.h"
#include "pg/control.h"
#include "support/test_data.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <stdlib.h>
#include <unistd.h>

/* pg_control of clusters made by initdb of each major version, with data checksums. */
static void load(struct buf *to, unsigned major)
{
    test_data_read(to, "pg/%u/pg_control", major);
    assert_int_equal(to->len, CONTROL_FILE_BYTES);
}

static void pg_control_of_all_versions_is_read(void **state)
{
    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
        struct control c;
        struct error err;
        load(&b, major);
        if (control_parse(b.data, b.len, &c, &err) != RC_OK)
            fail_msg("version %u: %s", major, err.what);
        assert_int_equal(c.pg_major, major);
        assert_int_equal(c.state, CONTROL_SHUTDOWNED);
        assert_true(c.system_identifier > UINT64_C(7000000000000000000));
        assert_int_equal(c.page_bytes, 8192);
        assert_int_equal(c.relation_segment_pages, 131072);
        assert_int_equal(c.wal_segment_bytes, 16 << 20);
        assert_int_equal(c.data_checksum_version, 1);
        assert_int_equal(c.max_connections, 100);
        assert_int_equal(c.max_worker_processes, 8);
        assert_int_equal(c.max_wal_senders, 10);
        assert_int_equal(c.max_prepared_xacts, 0);
        assert_int_equal(c.max_locks_per_xact, 64);
    }
}

/* What pg_controldata says of the sample of 15. */
static void values_are_those_that_pg_controldata_shows(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
    struct control c;
    struct error err;
    load(&b, 15);
    assert_int_equal(control_parse(b.data, b.len, &c, &err), RC_OK);
    assert_int_equal(c.system_identifier, UINT64_C(7710518552904846784));
    assert_int_equal(c.pg_control_version, 1300);
    assert_int_equal(c.catalog_version, 202209061);
    assert_int_equal(c.checkpoint_lsn, 0x1752990);
    assert_int_equal(c.redo_lsn, 0x1752990);
    assert_int_equal(c.checkpoint_timeline, 1);
    assert_int_equal(c.next_xid, 724);
    assert_int_equal(c.min_recovery_lsn, 0);
}

static void any_changed_byte_is_noticed(void **state)
{
    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
        size_t covered = major == 18 ? 296 : 292; /* with the CRC itself */
        load(&b, major);
        for (size_t i = 0; i < covered; i++) {
            struct control c = {.pg_major = 42};
            struct error err;
            b.data[i] ^= 0x10;
            enum rc rc = control_parse(b.data, b.len, &c, &err);
            if (rc != RC_INTEGRITY && rc != RC_REFUSED)
                fail_msg("version %u: byte %zu changed unnoticed", major, i);
            assert_int_equal(c.pg_major, 42);
            b.data[i] ^= 0x10;
        }
    }
}

static void short_and_empty_files_are_damaged(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
    struct control c;
    struct error err;
    static const uint8_t zeroes[CONTROL_FILE_BYTES];
    load(&b, 15);
    for (size_t len = 0; len < 296; len++)
        assert_int_equal(control_parse(b.data, len, &c, &err), RC_INTEGRITY);
    assert_int_equal(control_parse(zeroes, sizeof zeroes, &c, &err), RC_INTEGRITY);
}

static void an_unknown_version_is_refused_not_guessed(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
    struct control c;
    struct error err = {0};
    load(&b, 15);
    put_le32(b.data + 8, 1900);
    assert_int_equal(control_parse(b.data, b.len, &c, &err), RC_REFUSED);
    assert_non_null(strstr(err.what, "1900"));
    assert_true(err.now[0] != '\0');
}

static void reading_gives_the_bytes_and_names_the_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/pgproof-control-XXXXXX";
    CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
    CLEANUP_BUF struct buf raw = BUF_INIT(2 * CONTROL_FILE_BYTES);
    struct control c;
    struct error err;
    assert_non_null(mkdtemp(dir));
    CLEANUP_FREE char *global = path_join(dir, "global");
    CLEANUP_FREE char *path = path_join(dir, CONTROL_PATH);
    load(&b, 17);
    assert_int_equal(control_read(dir, &c, &raw, &err), RC_NOT_FOUND);
    assert_int_equal(file_make_dirs(global, 0700, &err), RC_OK);
    assert_int_equal(file_replace(path, b.data, b.len, 0600, &err), RC_OK);
    assert_int_equal(control_read(dir, &c, &raw, &err), RC_OK);
    assert_int_equal(c.pg_major, 17);
    assert_int_equal(raw.len, b.len);
    assert_memory_equal(raw.data, b.data, b.len);

    b.data[100] ^= 1;
    assert_int_equal(file_replace(path, b.data, b.len, 0600, &err), RC_OK);
    assert_int_equal(control_read(dir, &c, NULL, &err), RC_INTEGRITY);
    assert_string_equal(err.on, path);
    assert_int_equal(file_remove_tree(dir, &err), RC_OK);
}

/* All else stays, and what is there is still a pg_control. */
static void a_copy_can_be_made_to_need_its_label(void **state)
{
    (void)state;
    for (unsigned major = 13; major <= 18; major++) {
        CLEANUP_BUF struct buf b = BUF_INIT(CONTROL_FILE_BYTES);
        struct control before, after;
        struct error err;
        load(&b, major);
        assert_int_equal(control_parse(b.data, b.len, &before, &err), RC_OK);
        assert_int_equal(control_require_label(b.data, b.len, &err), RC_OK);
        assert_int_equal(control_parse(b.data, b.len, &after, &err), RC_OK);
        assert_true(after.checkpoint_lsn < after.wal_segment_bytes);
        assert_int_not_equal(before.checkpoint_lsn, after.checkpoint_lsn);
        assert_int_equal(after.system_identifier, before.system_identifier);
        assert_int_equal(after.redo_lsn, before.redo_lsn);
        assert_int_equal(after.next_xid, before.next_xid);
        assert_int_equal(after.data_checksum_version, before.data_checksum_version);
        b.data[0] ^= 1;
        assert_int_equal(control_require_label(b.data, b.len, &err), RC_INTEGRITY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pg_control_of_all_versions_is_read),
        cmocka_unit_test(values_are_those_that_pg_controldata_shows),
        cmocka_unit_test(any_changed_byte_is_noticed),
        cmocka_unit_test(a_copy_can_be_made_to_need_its_label),
        cmocka_unit_test(short_and_empty_files_are_damaged),
        cmocka_unit_test(an_unknown_version_is_refused_not_guessed),
        cmocka_unit_test(reading_gives_the_bytes_and_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
