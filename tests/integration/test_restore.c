/*
 * pgproof-restore against real servers: to every kind of target exactly the rows that were there,
 * and a refusal that changes nothing wherever it can't be done.
 *
 * One cluster is built up once: a backup, then three numbered rows with a time, an LSN, a
 * transaction id and a restore point noted behind each. Every test restores from its repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "support/pg_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 3

static struct pgfix *pg;
static struct {
    const char *time, *lsn, *xid, *name, *fingerprint;
} after[ROWS + 1]; /* after[0]: at the end of the backup */
static const char *too_early, *before_drop, *last_fingerprint;
static unsigned serial;

static void note_moment(int i)
{
    after[i].fingerprint = pgfix_fingerprint(pg);
    after[i].lsn = pgfix_value(pg, "SELECT pg_current_wal_insert_lsn()");
    after[i].time = pgfix_value(pg, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',"
                                    " 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC'");
    clock_sleep_ms(20);
}

static void insert_row(int i)
{
    pgfix_sql(pg,
              "BEGIN; INSERT INTO ledger VALUES (%d); SELECT set_config('t.xid',"
              " txid_current()::text, false); COMMIT",
              i);
    after[i].xid = pgfix_value(pg, "SELECT current_setting('t.xid')");
    note_moment(i);
    after[i].name = pgfix_value(pg,
                                "SELECT 'after-%d-' || left(pg_create_restore_point("
                                "'after-%d')::text, 0)",
                                i, i);
}

static int build_cluster(void **state)
{
    (void)state;
    pg = pgfix_new(NULL);
    pgfix_start(pg);
    pgfix_write_config(pg, NULL);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_archive_with_pgproof(pg);
    pgfix_load_story(pg, 1);
    pgfix_sql(pg, "CREATE TABLE ledger (row int); CREATE TABLE doomed (row int)");
    too_early = pgfix_value(pg, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',"
                                " 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC'");
    r = pgfix_tool(pg, "pgproof-backup", "--tier=daily", NULL);
    pgfix_expect(&r, 0);
    note_moment(0);
    for (int i = 1; i <= ROWS; i++)
        insert_row(i);
    pgfix_change_story(pg, 1);
    before_drop = pgfix_value(pg, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',"
                                  " 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC'");
    clock_sleep_ms(20);
    pgfix_sql(pg, "DROP TABLE doomed");
    pgfix_wait_archived(pg, pgfix_switch_wal(pg));
    last_fingerprint = pgfix_fingerprint(pg);
    pgfix_stop(pg, PGFIX_FAST);
    return 0;
}

/* A directory that is new for each test, and --to and --tablespace-root for it. */
struct place {
    const char *data, *to, *tablespaces;
};

static struct place new_place(void)
{
    unsigned n = ++serial;

    return (struct place){
        .data = pgfix_path(pg, "restored-%u", n),
        .to = pgfix_path(pg, "restored-%u", n)
                  ? str_printf("--to=%s", pgfix_path(pg, "restored-%u", n))
                  : NULL,
        .tablespaces = str_printf("--tablespace-root=%s", pgfix_path(pg, "tablespaces-%u", n)),
    };
}

static void free_place(struct place *p)
{
    free((char *)(uintptr_t)p->to);
    free((char *)(uintptr_t)p->tablespaces);
}

static struct pgfix_run restore(const struct place *p, const char *a, const char *b)
{
    const char *argv[] = {"pgproof-restore", p->to, p->tablespaces, a, b, NULL};

    if (!a)
        argv[3] = b, argv[4] = NULL;
    return pgfix_tool_argv(pg, argv);
}

/* Restore, start, wait for the pause, compare the whole content. */
static void check_reached(const char *option, const char *more, const char *fingerprint,
                          bool pauses)
{
    CLEANUP(free_place) struct place p = new_place();
    struct pgfix_run r = restore(&p, option, more);

    pgfix_expect(&r, 0);
    struct pgfix *copy = pgfix_adopt(pg, p.data);
    pgfix_start(copy);
    if (pauses)
        pgfix_wait_paused(copy);
    else
        pgfix_wait_promoted(copy);
    pgfix_compare_fingerprint(fingerprint, copy);
    if (pauses)
        pgfix_promote(copy);
    pgfix_free(copy);
}

static void latest(void **state)
{
    (void)state;
    check_reached(NULL, NULL, last_fingerprint, false);
}

static void a_time(void **state)
{
    CLEANUP_FREE char *option = str_printf("--target-time=%s", after[1].time);

    (void)state;
    check_reached(option, NULL, after[1].fingerprint, true);
}

static void an_lsn(void **state)
{
    CLEANUP_FREE char *option = str_printf("--target-lsn=%s", after[2].lsn);

    (void)state;
    check_reached(option, "--target-exclusive", after[2].fingerprint, true);
}

static void a_transaction(void **state)
{
    CLEANUP_FREE char *option = str_printf("--target-xid=%s", after[2].xid);

    (void)state;
    check_reached(option, NULL, after[2].fingerprint, true);
    check_reached(option, "--target-exclusive", after[1].fingerprint, true);
}

static void a_name(void **state)
{
    (void)state;
    check_reached("--target-name=after-3", NULL, after[3].fingerprint, true);
}

static void immediate(void **state)
{
    (void)state;
    check_reached("--target=immediate", NULL, after[0].fingerprint, true);
}

static void promoted_at_the_target(void **state)
{
    CLEANUP_FREE char *option = str_printf("--target-time=%s", after[3].time);

    (void)state;
    check_reached(option, "--target-action=promote", after[3].fingerprint, false);
}

static void pg_verifybackup_agrees(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *verify = path_join(pgfix_bindir(pg), "pg_verifybackup");
    struct pgfix_run r = restore(&p, NULL, NULL);

    (void)state;
    pgfix_expect(&r, 0);
    r = pgfix_tool(pg, verify, "--no-parse-wal", p.data, NULL);
    pgfix_expect(&r, 0);
    /* … and it would have noticed */
    CLEANUP_FREE char *version = path_join(p.data, "PG_VERSION");
    int fd = open(version, O_WRONLY);
    assert_int_equal(pwrite(fd, "9", 1, 0), 1);
    close(fd);
    r = pgfix_tool(pg, verify, "--no-parse-wal", p.data, NULL);
    pgfix_expect(&r, 1);
}

/* A refusal: this exit code, this text, and nothing at the target. */
static void check_refused(const char *option, const char *more, int code, const char *text)
{
    CLEANUP(free_place) struct place p = new_place();
    struct pgfix_run r = restore(&p, option, more);

    pgfix_expect(&r, code);
    pgfix_expect_text(&r, text);
    assert_false(file_exists(p.data));
}

static void unreachable_targets(void **state)
{
    CLEANUP_FREE char *early = str_printf("--target-time=%s", too_early);

    (void)state;
    check_refused(early, NULL, 1, "the earliest moment that can be restored is");
    check_refused("--target-time=2099-01-01 00:00:00 UTC", NULL, 1,
                  "the target lies after the last WAL in the archive");
    check_refused("--target-lsn=0/1000028", NULL, 1, "before the end of the first backup");
    check_refused("--target-lsn=FF/0", NULL, 1, "after the last WAL");
    check_refused("--target-xid=3", NULL, 1, "before the end of the first backup");
    check_refused("--target-timeline=7", NULL, 1, "timeline 7 is not in the archive");
    check_refused("--backup=20200101T000000Z", NULL, 1, "there is no such backup");
}

static void places_inside_each_other(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *inside = str_printf("--tablespace-root=%s/ts", p.data);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-restore", p.to, inside, NULL);

    (void)state;
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "would lie in the data directory");
    assert_false(file_exists(p.data));
}

static void check_place_refused(const char *dir, const char *below, const char *text)
{
    CLEANUP_FREE char *to = str_printf("--to=%s%s", dir, below);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-restore", to, NULL);

    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, text);
}

/* It would be backed up with its original, or be lost in the repository. */
static void places_in_other_things(void **state)
{
    (void)state;
    check_place_refused(pgfix_data(pg), "/new/place", "lies inside a data directory");
    check_place_refused(pgfix_repository(pg), "/place", "lies inside a repository");
    check_place_refused(pgfix_repository(pg), "", "lies inside a repository");
}

/* The server may be gone before anybody could connect to it; it did what it was told to. */
static void a_shutdown_at_the_target_is_no_failure(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-restore", p.to, p.tablespaces, "--target=immediate",
                   "--target-action=shutdown", "--start", NULL);

    (void)state;
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "the server shut down, as asked");
    const char *socket = strstr(r.err, "/tmp/pgproof-restored-");
    assert_non_null(socket);
    CLEANUP_FREE char *directory = str_printf("%.*s", (int)strcspn(socket, ";"), socket);
    assert_false(file_exists(directory));
}

/* Found out before anything is copied, not after. */
static void no_server_to_start(void **state)
{
    (void)state;
    check_refused("--start", "--cluster-pg-bindir=/usr/bin", 3, "PostgreSQL 15");
}

static void senseless_options(void **state)
{
    (void)state;
    check_refused("--target-time=2026-11-21 14:30:00", NULL, 3, "no offset");
    check_refused("--target-time=2026-11-21 14:30:00 UTC", "--target-lsn=0/0", 3,
                  "one target only");
    check_refused("--target=newest", NULL, 3, "latest or immediate");
    check_refused("--target-exclusive", NULL, 3, "it goes with a time");
    check_refused("--target-tiem=x", NULL, 3, "target-time");
    check_refused("--target-action=dance", NULL, 3, "pause, promote or shutdown");
    check_refused("--target=latest", "--target-action=pause", 3, "no target to stop at");
    check_refused("--as=standin", NULL, 3, "copy or replacement");
}

static void plan_changes_nothing(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    struct pgfix_run r = restore(&p, "--dry-run", "--json");

    (void)state;
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "\"backup\"");
    assert_false(file_exists(p.data));
}

static void occupied_places(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *file = path_join(p.data, "mine");
    struct error e = {0};

    (void)state;
    assert_int_equal(file_make_dirs(p.data, 0700, &e), RC_OK);
    assert_int_equal(file_replace(file, "x", 1, 0600, &e), RC_OK);
    pgfix_give(pg, p.data);
    struct pgfix_run r = restore(&p, NULL, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "not empty");
    assert_true(file_exists(file));
    /* the tablespace's old place is still full */
    CLEANUP(free_place) struct place q = new_place();
    r = pgfix_tool(pg, "pgproof-restore", q.to, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "not empty");
    assert_false(file_exists(q.data));
}

static void running_server(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    struct pgfix_run r = restore(&p, NULL, NULL);

    (void)state;
    pgfix_expect(&r, 0);
    struct pgfix *copy = pgfix_adopt(pg, p.data);
    pgfix_start(copy);
    r = restore(&p, NULL, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "a server is running");
    pgfix_free(copy);
}

static void a_copy_does_not_archive(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP(free_place) struct place q = new_place();
    struct pgfix_run r = restore(&p, NULL, NULL);

    (void)state;
    pgfix_expect(&r, 0);
    struct pgfix *copy = pgfix_adopt(pg, p.data);
    pgfix_start(copy);
    pgfix_wait_promoted(copy);
    pgfix_sql(copy, "SELECT pg_switch_wal()");
    for (int i = 0; i < 100 && !pgfix_number(copy, "SELECT failed_count FROM pg_stat_archiver");
         i++)
        clock_sleep_ms(100);
    assert_true(pgfix_number(copy, "SELECT failed_count FROM pg_stat_archiver") > 0);
    assert_int_equal(pgfix_number(copy, "SELECT archived_count FROM pg_stat_archiver"), 0);
    assert_non_null(strstr(pgfix_log_tail(copy, 50), "is a copy"));
    pgfix_free(copy);
    /* history of timeline 2 was never written, so a replacement takes it */
    r = restore(&q, "--as=replacement", NULL);
    pgfix_expect(&r, 0);
    copy = pgfix_adopt(pg, q.data);
    pgfix_start(copy);
    pgfix_wait_promoted(copy);
    pgfix_wait_archived(copy, pgfix_switch_wal(copy));
    pgfix_free(copy);
}

/* Killed at some moment, PostgreSQL can't start there; the same command then finishes. */
static void killed_and_again(void **state)
{
    char fault[32];

    (void)state;
    for (unsigned n = 1; n <= 60; n += 3) {
        CLEANUP(free_place) struct place p = new_place();
        CLEANUP_FREE char *control = path_join(p.data, "global/pg_control");
        snprintf(fault, sizeof(fault), "any:%u:kill", n);
        CLEANUP_FREE char *env = str_printf("PGPROOF_TEST_FAULT=%s", fault);
        pgfix_tool_env(pg, env);
        struct pgfix_run r = pgfix_tool(pg, "faulty/pgproof-restore", p.to, p.tablespaces,
                                        "--target-timeline=1", NULL);
        pgfix_tool_env(pg, "PGPROOF_TEST_FAULT=any:0:fail");
        if (r.code == 0)
            break; /* it has fewer operations than that */
        assert_int_equal(r.code, 128 + SIGKILL);
        assert_false(file_exists(control));
        r = restore(&p, "--target-timeline=1", NULL);
        pgfix_expect(&r, 0);
        struct error e;
        assert_int_equal(file_remove_tree(p.data, &e), RC_OK);
    }
}

/* Flip one byte in the middle of each kind of object: named, exit 2, nothing that could start. */
static void check_damaged(const char *find, const char *text)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *command = str_printf(
        "cd '%s' && f=$(find %s -type f | sort | head -1) && cp -p $f /tmp/pgproof-kept.$PPID "
        "&& echo $f",
        pgfix_repository(pg), find);
    struct pgfix_run r = pgfix_tool(pg, "/bin/sh", "-c", command, NULL);
    char file[4096], byte;

    pgfix_expect(&r, 0);
    snprintf(file, sizeof(file), "%s/%.*s", pgfix_repository(pg), (int)strcspn(r.out, "\n"), r.out);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    int fd = open(file, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    r = restore(&p, "--target-timeline=1", NULL);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
    CLEANUP_FREE char *control = path_join(p.data, "global/pg_control");
    pgfix_expect(&r, 2);
    pgfix_expect_text(&r, text);
    assert_false(file_exists(control));
}

static void damage_is_named(void **state)
{
    (void)state;
    check_damaged("clusters/main/packs", "packs/");
    check_damaged("clusters/main/maps", "maps/");
    check_damaged("clusters/main/backups/*/manifest", "manifest");
    check_damaged("clusters/main/backups/*/backup.json", "backup.json");
    check_damaged("repository.json", "repository.json");
}

static void missing_wal(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *hide =
        str_printf("cd '%s'/clusters/main/wal/*/00000001/* && ls | sort | tail -2 | head -1 && "
                   "mv $(ls | sort | tail -2 | head -1) ../hidden",
                   pgfix_repository(pg));
    CLEANUP_FREE char *back = str_printf(
        "cd '%s'/clusters/main/wal/*/00000001/* && mv ../hidden $1", pgfix_repository(pg));
    struct pgfix_run hidden = pgfix_tool(pg, "/bin/sh", "-c", hide, NULL);

    (void)state;
    pgfix_expect(&hidden, 0);
    CLEANUP_FREE char *name = str_printf("%.24s", hidden.out);
    struct pgfix_run r = restore(&p, "--target-timeline=1", NULL);
    struct pgfix_run b = pgfix_tool(pg, "/bin/sh", "-c", back, "sh", name, NULL);
    pgfix_expect(&b, 0);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, name);
    assert_false(file_exists(p.data));
}

static void disk_full(void **state)
{
    CLEANUP_FREE char *mount_at = str_dup(pgfix_make_dir(pg, "small"));
    CLEANUP_FREE char *to = str_printf("--to=%s/data", mount_at);
    CLEANUP_FREE char *tablespaces = str_printf("--tablespace-root=%s/ts", mount_at);
    CLEANUP_FREE char *control = str_printf("%s/data/global/pg_control", mount_at);
    CLEANUP_FREE char *options = str_printf("size=20m,uid=%u,gid=%u,mode=700",
                                            (unsigned)pgfix_uid(pg), (unsigned)pgfix_gid(pg));

    (void)state;
    if (mount("tmpfs", mount_at, "tmpfs", 0, options) != 0) {
        print_message("a small file system can't be mounted without root\n");
        skip();
    }
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-restore", to, tablespaces, "--target-timeline=1", NULL);
    bool started = file_exists(control);
    umount2(mount_at, MNT_DETACH);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "No space left");
    assert_false(started);
}

/* The server that --start left running, and the directory of its socket. */
static void stop_followed(const struct place *p, const struct pgfix_run *r)
{
    CLEANUP_FREE char *pid_file = path_join(p->data, "postmaster.pid");
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    const char *socket = strstr(r->out, "-h /tmp/pgproof-restored-"), *s;
    struct error e;

    assert_int_equal(file_read(pid_file, &text, &e), RC_OK);
    assert_int_equal(buf_cstr(&text, &s, &e), RC_OK);
    kill((pid_t)atoi(s), SIGINT);
    for (int i = 0; i < 200 && file_exists(pid_file); i++)
        clock_sleep_ms(50);
    assert_non_null(socket);
    CLEANUP_FREE char *dir = str_printf("%.*s", (int)strcspn(socket + 3, " "), socket + 3);
    assert_int_equal(file_remove_tree(dir, &e), RC_OK);
}

/* Recovery stops in front of the DROP's commit, behind its lock: who looks is told. */
static void a_lock_held_at_the_target_is_named(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *option = str_printf("--target-time=%s", before_drop);
    struct pgfix_run r = restore(&p, option, "--start");

    (void)state;
    pgfix_expect(&r, 0);
    stop_followed(&p, &r);
    pgfix_expect_text(&r, "locked (postgres: ");
}

static void started_and_followed(void **state)
{
    CLEANUP(free_place) struct place p = new_place();
    CLEANUP_FREE char *option = str_printf("--target-time=%s", after[2].time);
    struct pgfix_run r = restore(&p, option, "--start");
    struct error e;

    (void)state;
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "SELECT pg_promote()");
    const char *socket = strstr(r.out, "-h /tmp/pgproof-restored-");
    assert_non_null(socket);
    CLEANUP_FREE char *conninfo = str_printf("host=%.*s user=postgres dbname=postgres",
                                             (int)strcspn(socket + 3, " "), socket + 3);
    struct session *session;
    uint64_t rows = 0;
    enum rc rc = session_open(conninfo, "test", NULL, &session, &e);
    if (rc == RC_OK) {
        rc = session_value_u64(session, "SELECT count(*) FROM public.ledger", &rows, &e);
        session_close(session);
    }
    stop_followed(&p, &r);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(rows, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latest),
        cmocka_unit_test(a_time),
        cmocka_unit_test(an_lsn),
        cmocka_unit_test(a_transaction),
        cmocka_unit_test(a_name),
        cmocka_unit_test(immediate),
        cmocka_unit_test(promoted_at_the_target),
        cmocka_unit_test(pg_verifybackup_agrees),
        cmocka_unit_test(unreachable_targets),
        cmocka_unit_test(places_inside_each_other),
        cmocka_unit_test(places_in_other_things),
        cmocka_unit_test(a_shutdown_at_the_target_is_no_failure),
        cmocka_unit_test(no_server_to_start),
        cmocka_unit_test(senseless_options),
        cmocka_unit_test(plan_changes_nothing),
        cmocka_unit_test(occupied_places),
        cmocka_unit_test(running_server),
        cmocka_unit_test(started_and_followed),
        cmocka_unit_test(a_lock_held_at_the_target_is_named),
        cmocka_unit_test(killed_and_again),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(missing_wal),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(a_copy_does_not_archive), /* last: it adds a timeline */
    };

    return cmocka_run_group_tests(tests, build_cluster, pgfix_free_all);
}
