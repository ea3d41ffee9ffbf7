#include "base/file.h"
#include "pg/control.h"
#include "pg/page.h"
#include "support/pg_fixture.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct pgfix_options small = {.wal_segment_mb = 1};

static void a_story_survives_a_crash(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(&small);
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    pgfix_change_story(pg, 3);
    assert_int_equal(pgfix_number(pg, "SELECT count(*) FROM shop.orders"), 1100);
    const char *before = pgfix_fingerprint(pg);
    assert_non_null(strstr(before, "postgres.shop.orders 1100 "));
    assert_non_null(strstr(before, "postgres.shop.prices_2025 "));
    assert_null(strstr(before, "shop.prices ")); /* its leaves are counted */
    assert_null(strstr(before, "shop.carts"));   /* unlogged */
    pgfix_stop(pg, PGFIX_KILL);
    assert_int_equal(pgfix_pid(pg), 0);
    pgfix_start(pg);
    pgfix_compare_fingerprint(before, pg);
    pgfix_stop(pg, PGFIX_IMMEDIATE);
    pgfix_start(pg);
    pgfix_restart(pg);
    pgfix_compare_fingerprint(before, pg);
    pgfix_change_story(pg, 4);
    assert_string_not_equal(before, pgfix_fingerprint(pg));
    pgfix_free(pg);
}

static void the_story_is_the_same_every_time(void **state)
{
    (void)state;
    struct pgfix *a = pgfix_new(&small), *b = pgfix_new(NULL);
    pgfix_start(a);
    pgfix_start(b);
    pgfix_load_story(a, 1);
    pgfix_load_story(b, 1);
    pgfix_compare(a, b);
    assert_true(pgfix_number(a, "SELECT count(*) FROM pg_class c JOIN pg_tablespace t"
                                " ON c.reltablespace = t.oid WHERE t.spcname = 'story'") >= 3);
    assert_true(pgfix_number(a, "SELECT pg_relation_size(reltoastrelid) FROM pg_class"
                                " WHERE oid = 'shop.documents'::regclass") > 500000);
    assert_true(pgfix_number(a, "SELECT pg_database_size('postgres')") > 10000000);
    pgfix_free(b);
    pgfix_free(a);
}

static void a_standby_follows_and_is_promoted(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(&small);
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    struct pgfix *standby = pgfix_standby(pg);
    pgfix_pgbench_init(pg, 1);
    pgfix_pgbench_begin(pg, 2, 0);
    pgfix_change_story(pg, 1);
    pgfix_pgbench(pg, 1, 1);
    pgfix_pgbench_stop(pg);
    assert_true(pgfix_number(pg, "SELECT count(*) FROM pgbench_history") > 10);
    pgfix_wait_caught_up(standby, pg);
    pgfix_compare(pg, standby);
    assert_string_equal(pgfix_value(standby, "SELECT pg_is_in_recovery()"), "t");
    pgfix_promote(standby);
    pgfix_sql(standby, "DELETE FROM shop.events WHERE id = 1");
    assert_string_equal(pgfix_value(standby, "SELECT timeline_id FROM pg_control_checkpoint()"),
                        "1"); /* until the checkpoint after promotion */
    pgfix_free(standby);
    pgfix_free(pg);
}

/* The whole way with the simplest of archives: cp. */
static void a_copy_recovers_to_a_target_and_pauses(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(&small);
    pgfix_start(pg);
    const char *archive = pgfix_make_dir(pg, "archive");
    char command[1024];
    snprintf(command, sizeof command, "cp '%%p' '%s/%%f'", archive);
    pgfix_configure_archiving(pg, command);
    pgfix_sql(pg, "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g");
    pgfix_value(pg, "SELECT pg_create_restore_point('backup is next')");
    const char *to = pgfix_path(pg, "copy");
    struct pgfix_run r = pgfix_tool(pg, "/usr/lib/postgresql/15/bin/pg_basebackup", "-D", to, "-d",
                                    pgfix_conninfo(pg), "-X", "none", "-c", "fast", NULL);
    pgfix_expect(&r, 0);
    const char *expected = pgfix_fingerprint(pg);
    uint64_t lsn = pgfix_lsn(pg, "SELECT pg_current_wal_insert_lsn()");
    assert_true(lsn > 0);
    pgfix_value(pg, "SELECT pg_create_restore_point('here')");
    pgfix_sql(pg, "DROP TABLE t");
    pgfix_wait_archived(pg, pgfix_switch_wal(pg));

    struct pgfix *copy = pgfix_adopt(pg, to);
    pgfix_configure(copy, "restore_command = 'cp %s/%%f %%p'\nrecovery_target_name = 'here'",
                    archive);
    r = pgfix_tool(pg, "/usr/bin/touch", pgfix_path(pg, "copy/recovery.signal"), NULL);
    pgfix_expect(&r, 0);
    pgfix_start(copy);
    pgfix_wait_paused(copy);
    pgfix_compare_fingerprint(expected, copy);
    pgfix_promote(copy);
    pgfix_compare_fingerprint(expected, copy);
    pgfix_free(copy);
    pgfix_free(pg);
}

static void recovery_that_cannot_succeed_ends(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(&small);
    pgfix_start(pg);
    pgfix_stop(pg, PGFIX_FAST);
    pgfix_configure(pg, "restore_command = 'false'\nrecovery_target_name = 'never'");
    struct pgfix_run r =
        pgfix_tool(pg, "/usr/bin/touch", pgfix_path(pg, "data/recovery.signal"), NULL);
    pgfix_expect(&r, 0);
    assert_int_equal(pgfix_start_until_end(pg), 1);
    const char *log = pgfix_log_tail(pg, 20);
    if (!strstr(log, "recovery ended before configured recovery target was reached"))
        fail_msg("%s", log);
    pgfix_free(pg);
}

static void tools_run_as_the_fixtures_user(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(&small);
    const char *conf = pgfix_write_config(pg, "[wal]\nkeep = 7d");
    pgfix_tool_env(pg, "PGFIX_SAYS=hello");
    struct pgfix_run r =
        pgfix_tool(pg, "/bin/sh", "-c",
                   "id -u; pwd; echo \"$PGPROOF_CONFIG $PGFIX_SAYS\"; echo oh >&2; exit 7", NULL);
    char expected[1024];
    snprintf(expected, sizeof expected, "%u\n%s\n%s hello\n", (unsigned)pgfix_uid(pg),
             pgfix_dir(pg), conf);
    pgfix_expect(&r, 7);
    assert_string_equal(r.out, expected);
    assert_string_equal(r.err, "oh\n");
    struct stat st;
    assert_int_equal(stat(conf, &st), 0);
    assert_int_equal(st.st_uid, pgfix_uid(pg));
    assert_int_equal(st.st_mode & 0777, 0600);

    const char *const argv[] = {"/bin/sleep", "100", NULL};
    pid_t pid = pgfix_tool_begin(pg, argv, pgfix_path(pg, "sleep.log"));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(pgfix_tool_wait(pg, pid), 128 + SIGKILL);
    pgfix_free(pg);
}

/* Every page of every relation of a live server's files, and one bit too many. */
static void check_file(const char *path, uint32_t segment, unsigned *pages)
{
    static uint8_t page[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (uint32_t block = segment * 131072; read(fd, page, sizeof page) == sizeof page; block++) {
        enum page_verdict verdict = page_check(page, sizeof page, block);
        if (verdict == PAGE_BAD)
            fail_msg("%s, block %u", path, block);
        if (verdict == PAGE_NEW)
            continue;
        page[*pages % sizeof page] ^= 4;
        assert_int_equal(page_check(page, sizeof page, block), PAGE_BAD);
        ++*pages;
    }
    close(fd);
}

static void check_directory(const char *data, const char *sub, unsigned *pages)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", data, sub);
    DIR *dir = opendir(path);
    const struct dirent *e;
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        uint32_t segment;
        struct stat st;
        snprintf(path, sizeof path, "%s/%s/%s", data, sub, e->d_name);
        if (path_is_relation(path + strlen(data) + 1, &segment))
            check_file(path, segment, pages);
        else if (e->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            check_directory(data, path + strlen(data) + 1, pages);
    }
    closedir(dir);
}

static void all_pages_of_a_real_server_are_good(void **state)
{
    (void)state;
    struct pgfix *pg = pgfix_new(NULL);
    unsigned pages = 0;
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    pgfix_stop(pg, PGFIX_FAST);
    check_directory(pgfix_data(pg), "base", &pages);
    check_directory(pgfix_data(pg), "global", &pages);
    check_directory(pgfix_data(pg), "pg_tblspc", &pages);
    assert_true(pages > 3000);

    struct control c;
    struct error err;
    assert_int_equal(control_read(pgfix_data(pg), &c, NULL, &err), RC_OK);
    assert_int_equal(c.pg_major, pgfix_major(pg));
    assert_int_equal(c.state, CONTROL_SHUTDOWNED);
    assert_int_equal(c.max_connections, 40);
    assert_int_equal(c.data_checksum_version, 1);
    pgfix_free(pg);
}

static void options_reach_the_server(void **state)
{
    (void)state;
    static const char *const settings[] = {"work_mem = 5MB", "archive_mode = off", NULL};
    struct pgfix *pg = pgfix_new(
        &(struct pgfix_options){.no_checksums = true, .wal_segment_mb = 4, .settings = settings});
    pgfix_start(pg);
    assert_string_equal(pgfix_value(pg, "SHOW data_checksums"), "off");
    assert_string_equal(pgfix_value(pg, "SHOW wal_segment_size"), "4MB");
    assert_string_equal(pgfix_value(pg, "SHOW work_mem"), "5MB");
    assert_string_equal(pgfix_value(pg, "SHOW archive_mode"), "off");
    pgfix_configure(pg, "work_mem = 6MB");
    pgfix_reload(pg);
    assert_string_equal(pgfix_value(pg, "SHOW work_mem"), "6MB");
    pgfix_sql(pg, "CREATE DATABASE other");
    pgfix_use(pg, "other");
    pgfix_sql(pg, "CREATE TABLE t (a int)");
    assert_non_null(strstr(pgfix_fingerprint(pg), "other.public.t 0 0\n"));
    pgfix_free(pg);
}

/* What is left when a test is killed in the middle: nothing, after the next one began. */
static void a_killed_test_leaves_nothing(void **state)
{
    (void)state;
    int report[2];
    struct {
        pid_t server;
        char dir[200];
    } facts = {0};
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct pgfix *pg = pgfix_new(&small);
        pgfix_start(pg);
        facts.server = pgfix_pid(pg);
        snprintf(facts.dir, sizeof facts.dir, "%s", pgfix_dir(pg));
        if (write(report[1], &facts, sizeof facts) != sizeof facts)
            _exit(1);
        raise(SIGKILL);
    }
    close(report[1]);
    assert_int_equal(read(report[0], &facts, sizeof facts), sizeof facts);
    close(report[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 100 && kill(facts.server, 0) == 0; i++)
        usleep(50000);
    assert_int_equal(kill(facts.server, 0), -1);
    assert_int_equal(errno, ESRCH);
    pgfix_remove_orphans();
    assert_false(file_exists(facts.dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_story_survives_a_crash),
        cmocka_unit_test(the_story_is_the_same_every_time),
        cmocka_unit_test(a_standby_follows_and_is_promoted),
        cmocka_unit_test(a_copy_recovers_to_a_target_and_pauses),
        cmocka_unit_test(recovery_that_cannot_succeed_ends),
        cmocka_unit_test(tools_run_as_the_fixtures_user),
        cmocka_unit_test(all_pages_of_a_real_server_are_good),
        cmocka_unit_test(options_reach_the_server),
        cmocka_unit_test(a_killed_test_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, pgfix_free_all);
}
