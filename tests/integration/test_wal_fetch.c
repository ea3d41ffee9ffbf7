/*
 * pgproof-wal-fetch: what it answers. PostgreSQL takes 1 to 125 for the end of the WAL and opens
 * the database, so a 1 that is not proven loses data.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "repo/names.h"
#include "support/wal_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOOL     "pgproof-wal-fetch"
#define FILE_MAX (64u << 20)
#define TO       "pg_wal/RECOVERYXLOG"

enum { FETCHED = 0, ABSENT = 1, STOP = 126 };

static struct walfix w;
static const char *data; /* stands in for the data directory */

static int begin(void **state)
{
    (void)state;
    w = walfix_new(1);
    return 0;
}

/* All segments are archived, on timeline 1. */
static int fresh(void **state)
{
    (void)state;
    walfix_fresh(&w);
    for (unsigned i = 0; i < WALFIX_COUNT; i++)
        walfix_archive_segment(&w, 1, i);
    data = walfix_data_directory(&w, "data-of-test");
    return 0;
}

/* ---- helpers ---- */

static const char *in_data(const char *name)
{
    return pgfix_path(w.pg, "data-of-test/%s", name);
}

static void write_data(const char *name, const char *text)
{
    walfix_write_text(&w, in_data(name), text);
}

static struct pgfix_run fetch(const char *file)
{
    return walfix_run(&w, data, TOOL, "--hole-wait=0", file, TO, NULL);
}

/* pg_wal has these bytes under PostgreSQL's temporary name, and nothing else new. */
static void assert_fetched(const char *path)
{
    CLEANUP_BUF struct buf fetched = BUF_INIT(FILE_MAX), original = BUF_INIT(FILE_MAX);

    assert_true(walfix_read(in_data(TO), &fetched));
    assert_true(walfix_read(path, &original));
    assert_int_equal(fetched.len, original.len);
    assert_memory_equal(fetched.data, original.data, original.len);
}

static unsigned files_in_pg_wal(void)
{
    CLEANUP_DIR DIR *d = opendir(in_data("pg_wal"));
    const struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    return n;
}

/* The answer, and nothing at PATH or beside it if it is not FETCHED. */
static void expect(const char *file, int code)
{
    if (file_exists(in_data(TO)))
        assert_int_equal(unlink(in_data(TO)), 0);
    unsigned before = files_in_pg_wal();
    struct pgfix_run r = fetch(file);
    pgfix_expect(&r, code);
    assert_int_equal(files_in_pg_wal(), before + (code == FETCHED));
    assert_int_equal(file_exists(in_data(TO)), code == FETCHED);
    if (code == ABSENT && !file_exists(in_data("standby.signal")))
        assert_string_equal(r.err, ""); /* the normal end of every recovery */
}

static void expect_stop(const char *file, const char *reason)
{
    expect(file, STOP);
    struct pgfix_run r = fetch(file);
    pgfix_expect_text(&r, reason);
}

static void lose_repository(void)
{
    assert_int_equal(rename(pgfix_repository(w.pg), pgfix_path(w.pg, "away")), 0);
}

static void find_repository(void)
{
    assert_int_equal(rename(pgfix_path(w.pg, "away"), pgfix_repository(w.pg)), 0);
}

static const char *original(unsigned i)
{
    return pgfix_path(w.pg, "wal/%s", walfix_name(&w, 1, i));
}

static void archive_history(uint32_t timeline, const char *text)
{
    char file[WAL_NAME_MAX];

    wal_name_history(timeline, file);
    walfix_archive(&w, file, text, strlen(text));
}

/* Timeline 2, which left 1 in the middle of segment 3 and is archived to segment 5. */
static void archive_timeline_2(void)
{
    char lsn[LSN_TEXT_MAX];
    CLEANUP_FREE char *text =
        str_printf("1\t%s\tno recovery target\n", lsn_text(walfix_lsn(&w, 3, 5000), lsn));

    archive_history(2, text);
    for (unsigned i = 3; i <= 5; i++)
        walfix_archive_segment(&w, 2, i);
}

/* ---- there ---- */

static void test_fetches_a_segment(void **state)
{
    struct stat st;

    (void)state;
    struct pgfix_run r = fetch(walfix_name(&w, 1, 2));
    pgfix_expect(&r, FETCHED);
    assert_string_equal(r.out, "");
    assert_string_equal(r.err, "");
    assert_fetched(original(2));
    assert_int_equal(stat(in_data(TO), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    r = fetch(walfix_name(&w, 1, 3)); /* over the old one */
    pgfix_expect(&r, FETCHED);
    assert_fetched(original(3));
    assert_int_equal(files_in_pg_wal(), 1);
}

static void test_fetches_other_files(void **state)
{
    CLEANUP_FREE char *partial = str_printf("%s.partial", walfix_name(&w, 1, 2));
    CLEANUP_BUF struct buf content = BUF_INIT(FILE_MAX);

    (void)state;
    archive_history(2, "1\t0/3000000\tx\n");
    struct pgfix_run r = fetch("00000002.history");
    pgfix_expect(&r, FETCHED);
    walfix_write_text(&w, in_data("same"), "1\t0/3000000\tx\n");
    assert_fetched(in_data("same"));
    assert_true(walfix_read(original(2), &content));
    walfix_archive(&w, partial, content.data, content.len);
    r = fetch(partial);
    pgfix_expect(&r, FETCHED);
    assert_fetched(original(2));
}

static void test_timelines_from_ten_on(void **state)
{
    (void)state;
    walfix_archive_segment(&w, 0x1A, 2);
    struct pgfix_run r = fetch(walfix_name(&w, 0x1A, 2));
    pgfix_expect(&r, FETCHED);
    assert_fetched(original(2));
}

/* What a killed call left in pg_wal is in nobody's way. */
static void test_left_over_file(void **state)
{
    (void)state;
    write_data(TO ".0123456789abcdef.tmp", "half a segment");
    struct pgfix_run r = fetch(walfix_name(&w, 1, 2));
    pgfix_expect(&r, FETCHED);
    assert_fetched(original(2));
}

/* ---- proven absent ---- */

static void test_end_of_wal(void **state)
{
    (void)state;
    expect(walfix_name(&w, 1, WALFIX_COUNT), ABSENT);
    expect(walfix_name(&w, 1, WALFIX_COUNT + 5), ABSENT);
    expect("00000002.history", ABSENT);
    CLEANUP_FREE char *label = str_printf("%s.00000028.backup", walfix_name(&w, 1, 2));
    expect(label, ABSENT);
    walfix_fresh(&w); /* nothing was ever archived */
    expect(walfix_name(&w, 1, 0), ABSENT);
}

/* A timeline has no segments from before it began; PostgreSQL looks for its own first, then for the
 * parent's. */
static void test_before_the_timeline_began(void **state)
{
    (void)state;
    archive_timeline_2();
    expect(walfix_name(&w, 2, 2), ABSENT);
    expect(walfix_name(&w, 2, 3), FETCHED);
    expect(walfix_name(&w, 2, 6), ABSENT);
    /* On a boundary the new timeline begins with the next segment. */
    char lsn[LSN_TEXT_MAX];
    CLEANUP_FREE char *text = str_printf("1\t%s\tx\n", lsn_text(walfix_lsn(&w, 4, 0), lsn));
    archive_history(3, text);
    walfix_archive_segment(&w, 3, 5);
    expect(walfix_name(&w, 3, 3), ABSENT);
    expect_stop(walfix_name(&w, 3, 4), walfix_name(&w, 3, 5));
}

/* PostgreSQL has its own copy and falls back to it. */
static void test_in_pg_wal(void **state)
{
    const char *file = walfix_name(&w, 1, 4);

    (void)state;
    walfix_remove_object(&w, file);
    walfix_copy(&w, file, "data-of-test/pg_wal", file);
    expect(file, ABSENT);
    /* A recycled segment has the name, and what it held before. */
    walfix_copy(&w, walfix_name(&w, 1, 1), "data-of-test/pg_wal", file);
    expect(file, STOP);
    CLEANUP_FREE char *cut = str_printf("pg_wal/%s", file);
    walfix_copy(&w, file, "data-of-test/pg_wal", file);
    assert_int_equal(truncate(in_data(cut), 8192), 0);
    expect(file, STOP);
}

/* ---- holes ---- */

static void test_hole(void **state)
{
    const char *file = walfix_name(&w, 1, 4);

    (void)state;
    walfix_remove_object(&w, file);
    expect_stop(file, file);
    expect_stop(file, walfix_name(&w, 1, 5)); /* which shows that it is one */
    /* The last one is the end, not a hole. */
    walfix_remove_object(&w, walfix_name(&w, 1, WALFIX_COUNT - 1));
    expect(walfix_name(&w, 1, WALFIX_COUNT - 1), ABSENT);
    /* .partial is not the segment. */
    CLEANUP_FREE char *partial = str_printf("%s.partial", file);
    walfix_archive(&w, partial, "x", 1);
    expect(file, STOP);
}

static void test_hole_in_a_later_timeline(void **state)
{
    (void)state;
    archive_timeline_2();
    walfix_remove_object(&w, walfix_name(&w, 2, 3));
    expect(walfix_name(&w, 2, 3), STOP); /* the segment in which it began */
    walfix_remove_object(&w, walfix_name(&w, 2, 4));
    expect(walfix_name(&w, 2, 4), STOP);
    walfix_remove_object(&w, walfix_name(&w, 2, 5));
    expect(walfix_name(&w, 2, 4), ABSENT);
}

/* No history: then nobody knows where the timeline began, and what is missing may be missed. */
static void test_hole_without_history(void **state)
{
    (void)state;
    walfix_archive_segment(&w, 2, 5);
    expect(walfix_name(&w, 2, 4), STOP);
    write_data("pg_wal/00000002.history", "1\t0/1\tx\n");
    expect(walfix_name(&w, 2, 4), STOP);
    char lsn[LSN_TEXT_MAX];
    CLEANUP_FREE char *text = str_printf("1\t%s\tx\n", lsn_text(walfix_lsn(&w, 5, 10), lsn));
    write_data("pg_wal/00000002.history", text);
    expect(walfix_name(&w, 2, 4), ABSENT);
}

/* All of a timeline's end is missing, but its child shows how far it went. */
static void test_hole_before_a_branch(void **state)
{
    (void)state;
    archive_timeline_2();
    for (unsigned i = 2; i < WALFIX_COUNT; i++)
        walfix_remove_object(&w, walfix_name(&w, 1, i));
    expect_stop(walfix_name(&w, 1, 2), "timeline 2");
    /* The segment in which it was left: timeline 2 has a copy, and 1 may never have finished it. */
    expect(walfix_name(&w, 1, 3), ABSENT);
}

/* Where timeline 2 ends PostgreSQL looks for the next segment on timeline 1 too. What that one lost
 * after the branch is no hole in the way to 2. */
static void test_abandoned_timeline(void **state)
{
    const char *conf = "postgresql.auto.conf";

    (void)state;
    archive_timeline_2();
    walfix_remove_object(&w, walfix_name(&w, 1, 3));
    walfix_remove_object(&w, walfix_name(&w, 1, 6));
    expect(walfix_name(&w, 1, 6), STOP);
    write_data(conf, "recovery_target_timeline = '2'\n");
    expect(walfix_name(&w, 1, 6), ABSENT);
    expect(walfix_name(&w, 1, 3), STOP); /* holds the end of the way on timeline 1 */
    write_data(conf, "recovery_target_timeline = '1'\n");
    expect(walfix_name(&w, 1, 6), STOP);
    write_data(conf, "recovery_target_timeline = 'latest'\n");
    expect(walfix_name(&w, 1, 6), STOP);
    /* The command line beats the file. */
    write_data(conf, "recovery_target_timeline = '2'\n");
    write_data("postmaster.opts", "/x/postgres \"-c\" \"recovery_target_timeline=1\"\n");
    expect(walfix_name(&w, 1, 6), STOP);
}

/* Pushes may arrive out of order. */
static void test_hole_that_fills_up(void **state)
{
    const char *file = walfix_name(&w, 1, 4);

    (void)state;
    walfix_remove_object(&w, file);
    pid_t pid = walfix_begin(&w, data, TOOL, "--hole-wait=60", file, TO, NULL);
    clock_sleep_ms(1500);
    walfix_archive_segment(&w, 1, 4);
    assert_int_equal(pgfix_tool_wait(w.pg, pid), FETCHED);
    assert_fetched(original(4));
}

static void test_waits_for_a_hole_and_stops(void **state)
{
    const char *file = walfix_name(&w, 1, 4);
    double started = clock_monotonic();

    (void)state;
    walfix_remove_object(&w, file);
    struct pgfix_run r = walfix_run(&w, data, TOOL, file, TO, NULL);
    pgfix_expect(&r, STOP);
    assert_in_range((int)(clock_monotonic() - started), 4, 20);
}

static void test_signal(void **state)
{
    const char *file = walfix_name(&w, 1, 4);

    (void)state;
    walfix_remove_object(&w, file);
    pid_t pid = walfix_begin(&w, data, TOOL, "--hole-wait=60", file, TO, NULL);
    clock_sleep_ms(1000);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(pgfix_tool_wait(w.pg, pid), 128 + SIGTERM);
}

/* ---- can't tell ---- */

static void test_repository_out_of_reach(void **state)
{
    (void)state;
    lose_repository();
    expect(walfix_name(&w, 1, 2), STOP);
    expect(walfix_name(&w, 1, WALFIX_COUNT), STOP);
    pgfix_make_dir(w.pg, "repository"); /* a mount point without its mount */
    expect_stop(walfix_name(&w, 1, 2), "not mounted");
    expect("00000002.history", STOP);
    assert_int_equal(rmdir(pgfix_repository(w.pg)), 0);
    find_repository();
    expect(walfix_name(&w, 1, 2), FETCHED);
}

static void test_denied(void **state)
{
    const char *prefix = pgfix_path(w.pg, "repository/clusters/main/wal");

    (void)state;
    assert_int_equal(chmod(prefix, 0), 0);
    expect(walfix_name(&w, 1, 2), STOP);
    expect(walfix_name(&w, 1, WALFIX_COUNT), STOP);
    expect("00000002.history", STOP);
    assert_int_equal(chmod(prefix, 0700), 0);
}

static void test_another_cluster(void **state)
{
    struct pgfix *other = pgfix_new(NULL);
    CLEANUP_FREE char *from = path_join(pgfix_data(other), CONTROL_PATH);
    CLEANUP_BUF struct buf control = BUF_INIT(2 * CONTROL_FILE_BYTES);

    (void)state;
    assert_true(walfix_read(from, &control));
    walfix_write(&w, in_data(CONTROL_PATH), control.data, control.len);
    expect_stop(walfix_name(&w, 1, 2), "another cluster");
    expect(walfix_name(&w, 1, WALFIX_COUNT), STOP);
    expect("00000002.history", STOP);
    pgfix_free(other);
}

static void test_wrong_usage(void **state)
{
    const char *file = walfix_name(&w, 1, 2);

    (void)state;
    struct pgfix_run r = walfix_run(&w, data, TOOL, file, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "README", TO, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "--hole-wait=soon", file, TO, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "--no-such-option", file, TO, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "--config=/nowhere", file, TO, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "--cluster=elsewhere", file, TO, NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, file, "nowhere/RECOVERYXLOG", NULL);
    pgfix_expect(&r, STOP);
    r = walfix_run(&w, data, TOOL, "--help", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "126");
    r = walfix_run(&w, data, TOOL, "--version", NULL);
    pgfix_expect(&r, 0);
}

static void test_damaged_pg_control(void **state)
{
    (void)state;
    write_data(CONTROL_PATH, "");
    expect(walfix_name(&w, 1, WALFIX_COUNT), STOP);
}

/* Outside a data directory: the configured one, else the cluster's newest system. */
static void test_run_by_a_person(void **state)
{
    const char *to = pgfix_path(w.pg, "fetched");

    (void)state;
    struct pgfix_run r = pgfix_tool(w.pg, TOOL, walfix_name(&w, 1, 2), to, NULL);
    pgfix_expect(&r, FETCHED);
    r = pgfix_tool(w.pg, TOOL, "--cluster-data-directory=/nowhere", walfix_name(&w, 1, 2), to,
                   NULL);
    pgfix_expect(&r, FETCHED);
    /* A cluster that is not there is no proof that its WAL is not. */
    CLEANUP_FREE char *path = str_printf("--repository-path=%s", pgfix_repository(w.pg));
    r = pgfix_tool(w.pg, TOOL, "--config=/dev/null", path, "--cluster=elsewhere",
                   walfix_name(&w, 1, 2), to, NULL);
    pgfix_expect(&r, STOP);
    pgfix_expect_text(&r, "no cluster of this name");
    walfix_remove_object(&w, walfix_name(&w, 1, 4));
    r = pgfix_tool(w.pg, TOOL, "--cluster-data-directory=/nowhere", "--hole-wait=0",
                   walfix_name(&w, 1, 4), to, NULL);
    pgfix_expect(&r, STOP);
}

/* ---- damage ---- */

static void overwrite(const char *path, off_t at, const void *bytes, size_t len)
{
    assert_int_equal(chmod(path, 0600), 0);
    CLEANUP_FILE FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseeko(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fflush(f), 0);
}

static void test_damaged_object(void **state)
{
    (void)state;
    overwrite(walfix_object(&w, walfix_name(&w, 1, 2)), -100, "damage", 6);
    expect(walfix_name(&w, 1, 2), STOP);
    overwrite(walfix_object(&w, walfix_name(&w, 1, 3)), 40, "damage", 6);
    expect(walfix_name(&w, 1, 3), STOP);
    assert_int_equal(truncate(walfix_object(&w, walfix_name(&w, 1, 4)), 1000), 0);
    expect(walfix_name(&w, 1, 4), STOP);
    assert_int_equal(truncate(walfix_object(&w, walfix_name(&w, 1, 5)), 0), 0);
    expect(walfix_name(&w, 1, 5), STOP);
    archive_history(2, "1\t0/3000000\tx\n");
    overwrite(walfix_object(&w, "00000002.history"), -3, "x", 1);
    expect("00000002.history", STOP);
}

static void test_swapped_object(void **state)
{
    CLEANUP_BUF struct buf object = BUF_INIT(FILE_MAX);

    (void)state;
    assert_true(walfix_read(walfix_object(&w, walfix_name(&w, 1, 2)), &object));
    walfix_write(&w, walfix_object(&w, walfix_name(&w, 1, 3)), object.data, object.len);
    expect(walfix_name(&w, 1, 3), STOP);
}

/* The object is sound and says that it is this segment; the segment itself says otherwise. */
static void test_wrong_segment_in_a_sound_object(void **state)
{
    const char *file = walfix_name(&w, 1, 3);
    CLEANUP_BUF struct buf content = BUF_INIT(FILE_MAX);

    (void)state;
    walfix_remove_object(&w, file);
    assert_true(walfix_read(original(2), &content));
    walfix_archive(&w, file, content.data, content.len);
    expect_stop(file, "not that segment");
    walfix_remove_object(&w, file);
    walfix_archive(&w, file, "short", 5);
    expect(file, STOP);
}

/* ---- every fault at every operation ---- */

static int fetch_with_fault(const char *file, const char *fault)
{
    CLEANUP_FREE char *env = str_printf("PGPROOF_TEST_FAULT=%s", fault);

    pgfix_tool_env(w.pg, env);
    struct pgfix_run r = walfix_run(&w, data, "faulty/" TOOL, "--hole-wait=0", file, TO, NULL);
    pgfix_tool_env(w.pg, "PGPROOF_TEST_FAULT=");
    return r.code;
}

/* How many storage operations a run without a fault takes. */
static int count_operations(const char *file)
{
    const char *path = pgfix_path(w.pg, "count");
    CLEANUP_FREE char *env = str_printf("PGPROOF_TEST_FAULT_COUNT=%s", path);
    CLEANUP_BUF struct buf text = BUF_INIT(100);
    const char *line;
    struct error err;

    unlink(path);
    pgfix_tool_env(w.pg, env);
    fetch_with_fault(file, "any:0:fail");
    pgfix_tool_env(w.pg, "PGPROOF_TEST_FAULT_COUNT=/dev/null");
    assert_true(walfix_read(path, &text));
    assert_int_equal(buf_cstr(&text, &line, &err), RC_OK);
    return atoi(line);
}

/* A fault at whichever operation turns the answer into "stop". ("fail-after" has nothing to take
 * away from a get that found nothing.) */
static void sweep(const char *file, int answer, const char *mode)
{
    int count = count_operations(file);

    assert_in_range(count, 3, 20);
    for (int n = 1; n <= count + 1; n++) {
        CLEANUP_FREE char *fault = str_printf("any:%d:%s", n, mode);
        int code = fetch_with_fault(file, fault);
        bool stopped = code == STOP || code == 128 + SIGKILL;
        bool allowed =
            n > count ? code == answer : stopped || (code == answer && str_eq(mode, "fail-after"));
        if (!allowed)
            fail_msg("%s for %s gave %d", fault, file, code);
    }
}

static void test_every_fault_at_every_operation(void **state)
{
    static const char *const modes[] = {"fail", "fail-after", "outage", "kill", "kill-after", NULL};

    (void)state;
    archive_timeline_2();
    walfix_remove_object(&w, walfix_name(&w, 1, 4));
    for (int m = 0; modes[m]; m++) {
        sweep(walfix_name(&w, 1, 2), FETCHED, modes[m]);
        sweep(walfix_name(&w, 1, WALFIX_COUNT), ABSENT, modes[m]);
        sweep(walfix_name(&w, 2, 6), ABSENT, modes[m]);
        sweep("00000003.history", ABSENT, modes[m]);
        sweep(walfix_name(&w, 1, 4), STOP, modes[m]);
    }
}

/* ---- standbys ---- */

static void write_server_state(const char *line)
{
    CLEANUP_FREE char *text = str_printf("1\n/data\n1700000000\n5432\n/s\n\n 1 2\n%s\n", line);

    write_data("postmaster.pid", text);
}

static void test_standby_in_an_outage(void **state)
{
    const char *file = walfix_name(&w, 1, 2);

    (void)state;
    write_data("standby.signal", "");
    write_server_state("starting");
    lose_repository();
    expect(file, STOP);
    expect("00000002.history", STOP);
    write_server_state("ready   ");
    expect(file, ABSENT);
    expect("00000002.history", ABSENT);
    struct pgfix_run r = fetch(file);
    pgfix_expect_text(&r, "will ask again");
    assert_int_equal(unlink(in_data("standby.signal")), 0); /* read-only, but no standby */
    expect(file, STOP);
    find_repository();
}

/* For a standby no absence is the end. */
static void test_standby_and_holes(void **state)
{
    (void)state;
    write_data("standby.signal", "");
    walfix_remove_object(&w, walfix_name(&w, 1, 4));
    expect(walfix_name(&w, 1, 4), ABSENT);
    expect(walfix_name(&w, 1, WALFIX_COUNT), ABSENT);
    expect(walfix_name(&w, 1, 5), FETCHED);
}

/* It is an outage that a standby waits out; damage and confusion stop it. */
static void test_standby_and_damage(void **state)
{
    const char *file = walfix_name(&w, 1, 2);

    (void)state;
    write_data("standby.signal", "");
    write_server_state("ready   ");
    struct pgfix_run r = walfix_run(&w, data, TOOL, "--no-such-option", file, TO, NULL);
    pgfix_expect(&r, STOP);
    overwrite(walfix_object(&w, file), -100, "damage", 6);
    expect(file, STOP);
}

/* With hot_standby off the server never says "ready", and pg_control must do. */
static void test_standby_without_connections(void **state)
{
    struct pgfix *primary = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    CLEANUP_BUF struct buf control = BUF_INIT(2 * CONTROL_FILE_BYTES);
    struct control c;
    struct error err;
    char name[WAL_NAME_MAX];

    (void)state;
    pgfix_start(primary);
    struct pgfix *standby = pgfix_standby(primary);
    pgfix_sql(primary, "CREATE TABLE t AS SELECT 1");
    pgfix_wait_caught_up(standby, primary);
    pgfix_stop(standby, PGFIX_IMMEDIATE);
    assert_int_equal(control_read(pgfix_data(standby), &c, &control, &err), RC_OK);
    assert_int_equal(c.state, CONTROL_IN_ARCHIVE_RECOVERY);
    walfix_write(&w, in_data(CONTROL_PATH), control.data, control.len);
    write_data("standby.signal", "");
    lose_repository();
    wal_name_segment(1, c.min_recovery_lsn / c.wal_segment_bytes + 1, c.wal_segment_bytes, name);
    expect(name, ABSENT);
    expect("00000002.history", STOP);
    write_data("backup_label", "x");
    expect(name, STOP);
    assert_int_equal(unlink(in_data("backup_label")), 0);
    wal_name_segment(1, c.min_recovery_lsn / c.wal_segment_bytes - 1, c.wal_segment_bytes, name);
    expect(name, STOP);
    find_repository();
    pgfix_free(standby);
    pgfix_free(primary);
}

/* ---- as a server calls it ---- */

#define REAL_SEGMENTS 6

/* A primary that archived REAL_SEGMENTS segments with a row in each after it was copied, and the
 * copy. Both are down. */
struct incident {
    struct pgfix *primary, *copy;
    const char *segments[REAL_SEGMENTS];
};

static struct incident make_incident(const char *signal_file)
{
    struct incident in = {.primary = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1})};
    struct pgfix *p = in.primary;

    pgfix_start(p);
    const char *conf = pgfix_write_config(p, NULL);
    struct pgfix_run r = pgfix_tool(p, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_archive_with_pgproof(p);
    pgfix_sql(p, "CREATE TABLE marks (n int)");
    pgfix_stop(p, PGFIX_FAST);
    const char *to = pgfix_path(p, "copy");
    r = pgfix_tool(p, "/bin/cp", "-a", pgfix_data(p), to, NULL);
    pgfix_expect(&r, 0);
    in.copy = pgfix_adopt(p, to);
    pgfix_configure(
        in.copy,
        "archive_mode = off\n"
        "restore_command = '%s/pgproof-wal-fetch --config=%s --hole-wait=1 %%f \"%%p\"'",
        pgfix_bin(p), conf);
    r = pgfix_tool(p, "/usr/bin/touch", pgfix_path(p, "copy/%s", signal_file), NULL);
    pgfix_expect(&r, 0);
    pgfix_start(p);
    for (int i = 0; i < REAL_SEGMENTS; i++) {
        pgfix_sql(p, "INSERT INTO marks VALUES (%d)", i);
        in.segments[i] = pgfix_switch_wal(p);
    }
    pgfix_wait_archived(p, in.segments[REAL_SEGMENTS - 1]);
    return in;
}

static void end_incident(struct incident *in)
{
    pgfix_free(in->copy);
    pgfix_free(in->primary);
}

/* Where the posix driver keeps it. */
static const char *object_path(struct pgfix *f, const char *segment)
{
    struct control c;
    struct error err;

    assert_int_equal(control_read(pgfix_data(f), &c, NULL, &err), RC_OK);
    return pgfix_path(f, "repository/%s", name_wal("main", c.system_identifier, segment).text);
}

static void assert_not_promoted(struct incident *in)
{
    assert_false(file_exists(pgfix_path(in->primary, "copy/pg_wal/00000002.history")));
    assert_true(file_exists(pgfix_path(in->primary, "copy/recovery.signal")));
}

static void recovers_everything(struct incident *in)
{
    pgfix_start(in->copy);
    pgfix_wait_promoted(in->copy);
    assert_int_equal(pgfix_number(in->copy, "SELECT count(*) FROM marks"), REAL_SEGMENTS);
}

static void test_recovery_stops_at_a_hole(void **state)
{
    struct incident in = make_incident("recovery.signal");
    const char *object = object_path(in.primary, in.segments[2]);
    const char *away = pgfix_path(in.primary, "object-away");

    (void)state;
    assert_int_equal(rename(object, away), 0);
    assert_int_not_equal(pgfix_start_until_end(in.copy), 0);
    assert_non_null(strstr(pgfix_log_tail(in.copy, 30), in.segments[2]));
    assert_not_promoted(&in);
    assert_int_equal(rename(away, object), 0);
    recovers_everything(&in);
    end_incident(&in);
}

static void test_recovery_stops_in_an_outage(void **state)
{
    struct incident in = make_incident("recovery.signal");
    const char *away = pgfix_path(in.primary, "away");

    (void)state;
    assert_int_equal(rename(pgfix_repository(in.primary), away), 0);
    assert_int_not_equal(pgfix_start_until_end(in.copy), 0);
    assert_not_promoted(&in);
    assert_int_equal(rename(away, pgfix_repository(in.primary)), 0);
    recovers_everything(&in);
    end_incident(&in);
}

static void wait_for_marks(struct pgfix *f, int64_t n)
{
    double until = clock_monotonic() + 60;

    while (pgfix_number(f, "SELECT count(*) FROM marks") < n) {
        assert_true(clock_monotonic() < until);
        clock_sleep_ms(100);
    }
}

static void wait_for_log(struct pgfix *f, const char *text)
{
    double until = clock_monotonic() + 60;

    while (!strstr(pgfix_log_tail(f, 100), text)) {
        assert_true(clock_monotonic() < until);
        clock_sleep_ms(100);
    }
}

/* A standby that lives on the archive alone waits an outage out, and goes on behind it. */
static void test_standby_waits_an_outage_out(void **state)
{
    struct incident in = make_incident("standby.signal");
    const char *away = pgfix_path(in.primary, "away");

    (void)state;
    pgfix_configure(in.copy, "wal_retrieve_retry_interval = 200ms");
    pgfix_start(in.copy);
    wait_for_marks(in.copy, REAL_SEGMENTS);
    assert_int_equal(rename(pgfix_repository(in.primary), away), 0);
    wait_for_log(in.copy, "will ask again");
    assert_int_equal(pgfix_number(in.copy, "SELECT count(*) FROM marks"), REAL_SEGMENTS);
    assert_int_equal(rename(away, pgfix_repository(in.primary)), 0);
    pgfix_sql(in.primary, "INSERT INTO marks VALUES (100)");
    pgfix_wait_archived(in.primary, pgfix_switch_wal(in.primary));
    wait_for_marks(in.copy, REAL_SEGMENTS + 1);
    end_incident(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fetches_a_segment, fresh),
        cmocka_unit_test_setup(test_fetches_other_files, fresh),
        cmocka_unit_test_setup(test_timelines_from_ten_on, fresh),
        cmocka_unit_test_setup(test_left_over_file, fresh),
        cmocka_unit_test_setup(test_end_of_wal, fresh),
        cmocka_unit_test_setup(test_before_the_timeline_began, fresh),
        cmocka_unit_test_setup(test_in_pg_wal, fresh),
        cmocka_unit_test_setup(test_hole, fresh),
        cmocka_unit_test_setup(test_hole_in_a_later_timeline, fresh),
        cmocka_unit_test_setup(test_hole_without_history, fresh),
        cmocka_unit_test_setup(test_hole_before_a_branch, fresh),
        cmocka_unit_test_setup(test_abandoned_timeline, fresh),
        cmocka_unit_test_setup(test_hole_that_fills_up, fresh),
        cmocka_unit_test_setup(test_waits_for_a_hole_and_stops, fresh),
        cmocka_unit_test_setup(test_signal, fresh),
        cmocka_unit_test_setup(test_repository_out_of_reach, fresh),
        cmocka_unit_test_setup(test_denied, fresh),
        cmocka_unit_test_setup(test_another_cluster, fresh),
        cmocka_unit_test_setup(test_wrong_usage, fresh),
        cmocka_unit_test_setup(test_damaged_pg_control, fresh),
        cmocka_unit_test_setup(test_run_by_a_person, fresh),
        cmocka_unit_test_setup(test_damaged_object, fresh),
        cmocka_unit_test_setup(test_swapped_object, fresh),
        cmocka_unit_test_setup(test_wrong_segment_in_a_sound_object, fresh),
        cmocka_unit_test_setup(test_every_fault_at_every_operation, fresh),
        cmocka_unit_test_setup(test_standby_in_an_outage, fresh),
        cmocka_unit_test_setup(test_standby_and_holes, fresh),
        cmocka_unit_test_setup(test_standby_and_damage, fresh),
        cmocka_unit_test_setup(test_standby_without_connections, fresh),
        cmocka_unit_test(test_recovery_stops_at_a_hole),
        cmocka_unit_test(test_recovery_stops_in_an_outage),
        cmocka_unit_test(test_standby_waits_an_outage_out),
    };

    return cmocka_run_group_tests(tests, begin, pgfix_free_all);
}
