/* pgproof-wal-push on real WAL: what is archived is the file, and what must not go there doesn't.
 */
#include "backup/wal_push.h"
#include "base/file.h"
#include "base/str.h"
#include "support/wal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOOL     "pgproof-wal-push"
#define FILE_MAX (64u << 20)

static struct walfix w;
static const char *data; /* stands in for the data directory; also holds what is pushed */

static int begin(void **state)
{
    (void)state;
    w = walfix_new(1);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    walfix_fresh(&w);
    data = walfix_data_directory(&w, "data-of-test");
    return 0;
}

/* ---- helpers ---- */

/* Segment first + i in pg_wal, under the name `as` (NULL: its own); gives its path. */
static const char *put_wal(unsigned i, const char *as)
{
    const char *own = walfix_name(&w, 1, i);

    return walfix_copy(&w, own, "data-of-test/pg_wal", as ? as : own);
}

static const char *put_text(const char *name, const char *text)
{
    const char *path = pgfix_path(w.pg, "data-of-test/pg_wal/%s", name);

    walfix_write_text(&w, path, text);
    return path;
}

/* As PostgreSQL calls it: in the data directory, with a relative path. */
static struct pgfix_run push(const char *path)
{
    CLEANUP_FREE char *relative = str_printf("pg_wal/%s", strrchr(path, '/') + 1);

    return walfix_run(&w, data, TOOL, relative, NULL);
}

static void overwrite(const char *path, off_t at, const void *bytes, size_t len)
{
    CLEANUP_FILE FILE *f = fopen(path, "r+");

    assert_non_null(f);
    assert_int_equal(fseeko(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fflush(f), 0);
}

/* The archive has this file, with the bytes of `path`. */
static void assert_archived(const char *file, const char *path)
{
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX), original = BUF_INIT(FILE_MAX);

    assert_true(walfix_archived(&w, file, &archived));
    assert_true(walfix_read(path, &original));
    assert_int_equal(archived.len, original.len);
    assert_memory_equal(archived.data, original.data, original.len);
}

static void assert_not_archived(const char *file)
{
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX);

    assert_false(walfix_archived(&w, file, &archived));
}

/* It is refused with this code and reason, and nothing is stored. */
static void refuse(const char *path, int code, const char *reason)
{
    struct pgfix_run r = push(path);

    pgfix_expect(&r, code);
    pgfix_expect_text(&r, reason);
    assert_not_archived(strrchr(path, '/') + 1);
}

/* ---- what goes in ---- */

static void test_archives_a_segment(void **state)
{
    const char *file = walfix_name(&w, 1, 0), *path = put_wal(0, NULL);

    (void)state;
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    assert_string_equal(r.out, "");
    assert_string_equal(r.err, "");
    assert_archived(file, path);
    assert_true(file_exists(walfix_object(&w, file)));
}

/* PostgreSQL asks again when it crashed before it noted the success. */
static void test_same_again_is_a_success(void **state)
{
    const char *path = put_wal(0, NULL);
    struct stat before, after;

    (void)state;
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    assert_int_equal(stat(walfix_object(&w, walfix_name(&w, 1, 0)), &before), 0);
    r = walfix_run(&w, data, TOOL, "--verbose", path, NULL); /* an absolute path works too */
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "was archived already");
    assert_int_equal(stat(walfix_object(&w, walfix_name(&w, 1, 0)), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void test_other_content_is_a_conflict(void **state)
{
    const char *file = walfix_name(&w, 1, 0), *path = put_wal(0, NULL);
    const char *original = walfix_copy(&w, file, "kept", file);

    (void)state;
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    overwrite(path, 300000, "different", 9);
    r = push(path);
    pgfix_expect(&r, 2);
    pgfix_expect_text(&r, "another content is archived under this name");
    assert_archived(file, original);
}

/* After a promotion: the parent's last segment, which is no segment of the archive. */
static void test_partial_is_apart(void **state)
{
    const char *file = walfix_name(&w, 1, 2);
    CLEANUP_FREE char *partial = str_printf("%s.partial", file);
    const char *path = put_wal(2, partial);

    (void)state;
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    assert_archived(partial, path);
    assert_not_archived(file);
}

static void test_backup_label_is_no_segment(void **state)
{
    CLEANUP_FREE char *file = str_printf("%s.00000028.backup", walfix_name(&w, 1, 2));
    const char *path = put_text(file, "START WAL LOCATION: 0/2000028 (file x)\n");

    (void)state;
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    assert_archived(file, path);
    struct repo *repo = walfix_repo(&w);
    struct wal_list *list;
    struct error err;
    assert_int_equal(wal_list_load(repo, "main", w.control.system_identifier,
                                   w.control.wal_segment_bytes, &list, &err),
                     RC_OK);
    assert_int_equal(list->segment_count, 0);
    wal_list_free(list);
    repo_close(repo);
}

static void test_history_is_never_replaced(void **state)
{
    const char *path = put_text("00000002.history", "1\t0/3000000\tno recovery target\n");
    const char *kept = pgfix_path(w.pg, "first.history");

    (void)state;
    walfix_write_text(&w, kept, "1\t0/3000000\tno recovery target\n");
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    put_text("00000002.history", "1\t0/4000000\tanother promotion\n");
    r = push(path);
    pgfix_expect(&r, 2);
    assert_archived("00000002.history", kept);
}

/* Timelines are hexadecimal in names; a timeline's first segment has its parent's header. */
static void test_timelines_from_ten_on(void **state)
{
    const char *file = walfix_name(&w, 0x1F, 0), *path = put_wal(0, file);

    (void)state;
    assert_true(str_starts(file, "0000001F"));
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
    assert_archived(file, path);
    path = put_text("0000001F.history", "30\t0/2000000\tx\n");
    r = push(path);
    pgfix_expect(&r, 0);
    assert_archived("0000001F.history", path);
}

/* A real cluster on timeline 0xA, whose segments have headers of that timeline. */
static void test_real_timeline_ten(void **state)
{
    struct pgfix *f = pgfix_new(NULL);

    (void)state;
    CLEANUP_FREE char *program = path_join(pgfix_bindir(f), "pg_resetwal");
    struct pgfix_run r =
        pgfix_tool(f, program, "-l", "0000000A0000000000000007", "-D", pgfix_data(f), NULL);
    pgfix_expect(&r, 0);
    pgfix_start(f);
    pgfix_write_config(f, NULL);
    r = pgfix_tool(f, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_archive_with_pgproof(f);
    const char *file = pgfix_switch_wal(f);
    assert_true(str_starts(file, "0000000A"));
    pgfix_wait_archived(f, file);
    const char *to = pgfix_path(f, "fetched");
    r = pgfix_tool(f, "pgproof-wal-fetch", file, to, NULL);
    pgfix_expect(&r, 0);
    assert_true(file_exists(to));
    pgfix_free(f);
}

static void test_segments_of_64_mb(void **state)
{
    struct walfix big = walfix_new(64);
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX), original = BUF_INIT(FILE_MAX);
    const char *file = walfix_name(&big, 1, 0);
    const char *in = walfix_data_directory(&big, "data-of-test");

    (void)state;
    const char *path = walfix_copy(&big, file, "data-of-test/pg_wal", file);
    struct pgfix_run r = walfix_run(&big, in, TOOL, path, NULL);
    pgfix_expect(&r, 0);
    assert_true(walfix_archived(&big, file, &archived));
    assert_true(walfix_read(path, &original));
    assert_int_equal(archived.len, 64 << 20);
    assert_memory_equal(archived.data, original.data, original.len);
    assert_int_equal(truncate(path, 16 << 20), 0); /* the usual size is not this cluster's */
    r = walfix_run(&big, in, TOOL, path, NULL);
    pgfix_expect(&r, 2);
    pgfix_free(big.pg);
}

/* ---- what is refused ---- */

static void test_refuses_wrong_lengths(void **state)
{
    const char *path = put_wal(0, NULL);

    (void)state;
    assert_int_equal(truncate(path, (1 << 20) + 8192), 0);
    refuse(path, 2, "bytes where segments of this cluster have 1048576");
    assert_int_equal(truncate(path, (1 << 20) - 1), 0);
    refuse(path, 2, "1048575 bytes");
    assert_int_equal(truncate(path, 0), 0);
    refuse(path, 2, "0 bytes");
    refuse(put_text("00000002.history", ""), 2, "0 bytes");
    CLEANUP_FREE char *partial = str_printf("%s.partial", walfix_name(&w, 1, 0));
    refuse(put_text(partial, "short"), 2, "5 bytes");
}

static void test_refuses_wrong_headers(void **state)
{
    const char *file = walfix_name(&w, 1, 0);
    const uint64_t other_system = w.control.system_identifier + 1;

    (void)state;
    const char *path = put_wal(0, NULL);
    overwrite(path, 0, "\x01\x02", 2);
    refuse(path, 2, "no WAL header");
    path = put_wal(0, NULL);
    overwrite(path, 24, &other_system, 8);
    refuse(path, 2, "belongs to another cluster");
    path = put_wal(0, NULL);
    overwrite(path, 4, "\x02", 1); /* timeline 2 under the name of timeline 1 */
    refuse(path, 2, "timeline 2");
    refuse(put_wal(1, file), 2, "its name says"); /* what recycling leaves */
    CLEANUP_FREE char *partial = str_printf("%s.partial", file);
    refuse(put_wal(1, partial), 2, "its name says");
    refuse(put_text("00000002.history", "not a history\n"), 2, "line 1");
}

static void test_refuses_what_is_no_wal_file(void **state)
{
    (void)state;
    struct pgfix_run r = push(put_text("README", "x"));
    pgfix_expect(&r, 3);
    r = push(put_text("000000010000000000000001.gz", "x"));
    pgfix_expect(&r, 3);
    r = walfix_run(&w, data, TOOL, NULL);
    pgfix_expect(&r, 3);
    CLEANUP_FREE char *missing = str_printf("pg_wal/%s", walfix_name(&w, 1, 0));
    r = walfix_run(&w, data, TOOL, missing, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "could not open the WAL file");
    CLEANUP_FREE char *directory = str_printf("data-of-test/%s", missing);
    pgfix_make_dir(w.pg, directory);
    r = walfix_run(&w, data, TOOL, missing, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "not a plain file");
}

static void test_refuses_another_cluster(void **state)
{
    struct pgfix *other = pgfix_new(NULL);

    (void)state;
    CLEANUP_FREE char *from = path_join(pgfix_data(other), CONTROL_PATH);
    CLEANUP_BUF struct buf control = BUF_INIT(2 * CONTROL_FILE_BYTES);
    assert_true(walfix_read(from, &control));
    CLEANUP_FREE char *to = path_join(data, CONTROL_PATH);
    walfix_write(&w, to, control.data, control.len);
    /* A history file has no header: only the data directory tells whose it is. */
    const char *path = put_text("00000002.history", "1\t0/3000000\tx\n");
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 2);
    pgfix_expect_text(&r, "belongs to another cluster");
    assert_not_archived("00000002.history");
    pgfix_free(other);
}

static void test_refuses_an_unregistered_cluster(void **state)
{
    const char *path = put_wal(0, NULL);

    (void)state;
    struct pgfix_run r = walfix_run(&w, data, TOOL, "--cluster=elsewhere", path, NULL);
    assert_int_not_equal(r.code, 0);
    assert_not_archived(walfix_name(&w, 1, 0));
}

/* pg_resetwal can change it, and then no name means what it meant. */
static void test_refuses_another_segment_size(void **state)
{
    struct cluster_system registered = {.wal_segment_bytes = w.control.wal_segment_bytes};
    struct error err;

    (void)state;
    assert_int_equal(wal_push_check_system(&w.control, &registered, &err), RC_OK);
    registered.wal_segment_bytes *= 2;
    assert_int_equal(wal_push_check_system(&w.control, &registered, &err), RC_REFUSED);
}

/* A copy inherits archive_command, repository and system identifier. */
static void test_refuses_a_copy(void **state)
{
    const char *path = put_wal(0, NULL);
    const char *conf = pgfix_path(w.pg, "data-of-test/postgresql.auto.conf");

    (void)state;
    walfix_write_text(&w, conf, "# comment\nwork_mem = '4MB'\npgproof.role = 'copy'\n");
    refuse(path, 1, "copy restored by pgproof");
    walfix_write_text(&w, conf, "work_mem = '4MB'\n#pgproof.role = 'copy'\n");
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 0);
}

/* ---- the repository out of reach ---- */

static void test_repository_out_of_reach(void **state)
{
    const char *path = put_wal(0, NULL), *away = pgfix_path(w.pg, "away");

    (void)state;
    assert_int_equal(rename(pgfix_repository(w.pg), away), 0);
    struct pgfix_run r = push(path);
    pgfix_expect(&r, 1);
    pgfix_make_dir(w.pg, "repository"); /* a mount point without its mount */
    r = push(path);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "not mounted");
    assert_int_equal(rmdir(pgfix_repository(w.pg)), 0);
    assert_int_equal(rename(away, pgfix_repository(w.pg)), 0);
    r = push(path);
    pgfix_expect(&r, 0);
}

static struct pgfix_run push_with_fault(const char *path, const char *fault)
{
    CLEANUP_FREE char *env = str_printf("PGPROOF_TEST_FAULT=%s", fault);

    pgfix_tool_env(w.pg, env);
    struct pgfix_run r = walfix_run(&w, data, "faulty/" TOOL, path, NULL);
    pgfix_tool_env(w.pg, "PGPROOF_TEST_FAULT=");
    return r;
}

/* Whatever happens at whichever operation: 0 means archived, and the next push succeeds unaided. */
static void test_every_fault_at_every_operation(void **state)
{
    static const char *const modes[] = {"fail", "fail-after", "outage", "tear",
                                        "kill", "kill-after", NULL};
    const char *file = walfix_name(&w, 1, 0), *path = put_wal(0, NULL);
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX);

    (void)state;
    for (int m = 0; modes[m]; m++) {
        for (int n = 1; n <= 4; n++) {
            CLEANUP_FREE char *fault = str_printf("any:%d:%s", n, modes[m]);
            walfix_fresh(&w);
            struct pgfix_run r = push_with_fault(path, fault);
            if (r.code != 0 && r.code != 1 && r.code != 137)
                fail_msg("%s gave %d", fault, r.code);
            if (r.code == 0)
                assert_true(walfix_archived(&w, file, &archived));
            r = push(path);
            pgfix_expect(&r, 0);
            assert_archived(file, path);
        }
    }
}

/* The object is there, its acknowledgement was lost: that is a success. */
static void test_lost_answer(void **state)
{
    const char *path = put_wal(0, NULL);

    (void)state;
    struct pgfix_run r = push_with_fault(path, "put:1:fail-after");
    pgfix_expect(&r, 0);
    assert_archived(walfix_name(&w, 1, 0), path);
}

/* ---- at once ---- */

#define PUSHERS 6

/* Half of them with another content: one content wins, and only its pushers are told so. */
static void test_race(void **state)
{
    const char *file = walfix_name(&w, 1, 0);
    const char *paths[2] = {walfix_copy(&w, file, "one", file), walfix_copy(&w, file, "two", file)};
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX), mine = BUF_INIT(FILE_MAX);
    pid_t pids[PUSHERS];

    (void)state;
    overwrite(paths[1], 300000, "different", 9);
    for (int round = 0; round < 4; round++) {
        walfix_fresh(&w);
        for (int i = 0; i < PUSHERS; i++)
            pids[i] = walfix_begin(&w, data, TOOL, paths[i % 2], NULL);
        int codes[PUSHERS];
        for (int i = 0; i < PUSHERS; i++)
            codes[i] = pgfix_tool_wait(w.pg, pids[i]);
        assert_true(walfix_archived(&w, file, &archived));
        for (int i = 0; i < PUSHERS; i++) {
            assert_true(walfix_read(paths[i % 2], &mine));
            bool won = memcmp(mine.data, archived.data, mine.len) == 0;
            assert_int_equal(codes[i], won ? 0 : 2);
        }
    }
}

/* ---- as a server calls it ---- */

static void test_a_server_archives(void **state)
{
    struct pgfix *f = w.pg;
    CLEANUP_BUF struct buf archived = BUF_INIT(FILE_MAX);

    (void)state;
    pgfix_start(f);
    pgfix_archive_with_pgproof(f);
    const char *file = pgfix_switch_wal(f);
    pgfix_wait_archived(f, file);
    assert_true(walfix_archived(&w, file, &archived));
    assert_int_equal(archived.len, 1 << 20);
    pgfix_stop(f, PGFIX_FAST);
}

/* libpq, with Kerberos and LDAP behind it, costs more than the rest of the start-up. */
static void test_does_not_load_libpq(void **state)
{
    static const char *const tools[] = {"pgproof-wal-push", "pgproof-wal-fetch"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT(256u << 20);
        CLEANUP_FREE char *path = path_join(pgfix_bin(w.pg), tools[i]);
        assert_true(walfix_read(path, &bytes));
        assert_non_null(memmem(bytes.data, bytes.len, "libzstd.so", 10)); /* names are seen so */
        assert_null(memmem(bytes.data, bytes.len, "libpq.so", 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_archives_a_segment, fresh),
        cmocka_unit_test_setup(test_same_again_is_a_success, fresh),
        cmocka_unit_test_setup(test_other_content_is_a_conflict, fresh),
        cmocka_unit_test_setup(test_partial_is_apart, fresh),
        cmocka_unit_test_setup(test_backup_label_is_no_segment, fresh),
        cmocka_unit_test_setup(test_history_is_never_replaced, fresh),
        cmocka_unit_test_setup(test_timelines_from_ten_on, fresh),
        cmocka_unit_test_setup(test_real_timeline_ten, fresh),
        cmocka_unit_test_setup(test_segments_of_64_mb, fresh),
        cmocka_unit_test_setup(test_refuses_wrong_lengths, fresh),
        cmocka_unit_test_setup(test_refuses_wrong_headers, fresh),
        cmocka_unit_test_setup(test_refuses_what_is_no_wal_file, fresh),
        cmocka_unit_test_setup(test_refuses_another_cluster, fresh),
        cmocka_unit_test_setup(test_refuses_an_unregistered_cluster, fresh),
        cmocka_unit_test_setup(test_refuses_another_segment_size, fresh),
        cmocka_unit_test_setup(test_refuses_a_copy, fresh),
        cmocka_unit_test_setup(test_repository_out_of_reach, fresh),
        cmocka_unit_test_setup(test_every_fault_at_every_operation, fresh),
        cmocka_unit_test_setup(test_lost_answer, fresh),
        cmocka_unit_test_setup(test_race, fresh),
        cmocka_unit_test_setup(test_a_server_archives, fresh),
        cmocka_unit_test_setup(test_does_not_load_libpq, fresh),
    };

    return cmocka_run_group_tests(tests, begin, pgfix_free_all);
}
