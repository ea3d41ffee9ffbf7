/*
 * One storage fault after another while a backup is restored, or while PostgreSQL recovers from it,
 * or while somebody asks what there is.
 *
 * For each: the tool succeeds and the cluster is whole, to the last transaction; or it ends with 1
 * and says why, nothing starts that is not whole, and the same again succeeds without the fault.
 * Recovery never takes an outage for the end of the WAL. A seeded slice of the table runs, all of
 * it with PGPROOF_SOAK=1.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "support/s3_story.h"
#include "support/sweep.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SLICE        3 /* faults, besides those that always run */
#define LOAD_MS      3000

static struct s3_story *story;

enum when { RESTORE, RECOVERY, INFO };

struct fault {
    const char *name;
    enum when when;
    bool always;       /* also in the slice */
    bool strict;       /* not where the server checks no clocks */
    bool kill;         /* the server, while a pack is asked for */
    bool fails;        /* with code 1, or with the server's end */
    const char *words; /* of a failure; of the restore's log, where recovery fails */
    const char *clock; /* of the tool, off by so much */
    struct proxy_rule rule;
};

/* ---- the table ---- */

#define SLOW_DOWN .act = PROXY_STATUS, .status = 503, .code = "SlowDown"
#define PACKS     .method = "GET", .path = "/packs/"
#define WAL       .method = "GET", .path = "/wal/"
#define LISTING   .method = "GET", .path = "list-type=2"
#define PAGE      "<html><title>Not Found</title></html>"

static const struct fault faults[] = {
    {"packs: 503, 10 times", RESTORE, .rule = {PACKS, SLOW_DOWN, .times = 10}},
    {"packs: reset before the answer, 6 times", RESTORE,
     .rule = {PACKS, .act = PROXY_DROP, .times = 6}},
    {"packs: reset inside the answer, 6 times", RESTORE,
     .rule = {PACKS, .act = PROXY_RESET_ANSWER, .at = 5000, .times = 6}},
    {"packs: cut short, 6 times", RESTORE, .always = true,
     .rule = {PACKS, .act = PROXY_CUT, .at = 5000, .times = 6}},
    {"packs: empty, 3 times", RESTORE, .rule = {PACKS, .act = PROXY_EMPTY, .times = 3}},
    {"packs: a byte flipped, 3 times", RESTORE,
     .rule = {PACKS, .act = PROXY_FLIP, .at = 300, .times = 3}},
    {"packs: stop inside the answer, 3 times", RESTORE,
     .rule = {PACKS, .act = PROXY_STALL, .at = 5000, .times = 3}},
    {"packs: 200 with an error, 4 times", RESTORE,
     .rule = {PACKS, .act = PROXY_STATUS, .status = 200, .code = "InternalError", .times = 4}},
    {"all: answers cut short, 6 times", RESTORE,
     .rule = {.method = "GET", .act = PROXY_CUT, .at = 30, .times = 6}},
    {"packs: 503 without end", RESTORE, .fails = true, .words = "503 SlowDown",
     .rule = {PACKS, SLOW_DOWN}},
    {"packs: 403", RESTORE, .fails = true, .words = "denies it",
     .rule = {PACKS, .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"}},
    {"packs: in an archive class", RESTORE, .fails = true, .words = "archive storage class",
     .rule = {PACKS, .act = PROXY_STATUS, .status = 403, .code = "InvalidObjectState"}},
    {"server killed and started again", RESTORE, .always = true, .kill = true},
    {"clock 20 minutes ahead", RESTORE, .strict = true, .fails = true,
     .words = "whose clock is wrong", .clock = "+20m"},

    {"WAL: 503, 6 times", RECOVERY, .rule = {WAL, SLOW_DOWN, .times = 6}},
    {"WAL: cut short, 6 times", RECOVERY, .rule = {WAL, .act = PROXY_CUT, .at = 900, .times = 6}},
    {"WAL: a byte flipped, 3 times", RECOVERY,
     .rule = {WAL, .act = PROXY_FLIP, .at = 900, .times = 3}},
    {"WAL: 503 without end", RECOVERY, .always = true, .fails = true, .words = "503 SlowDown",
     .rule = {WAL, .skip = 2, SLOW_DOWN}},
    {"WAL: 404 with a proxy's page", RECOVERY, .always = true, .fails = true, .words = "404",
     .rule = {WAL, .skip = 2, .act = PROXY_STATUS, .status = 404, .body = PAGE}},
    {"WAL: 403", RECOVERY, .fails = true, .words = "denies it",
     .rule = {WAL, .skip = 2, .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"}},
    {"all: no such bucket", RECOVERY, .fails = true, .words = "no such bucket",
     .rule = {.skip = 8, .act = PROXY_STATUS, .status = 404, .code = "NoSuchBucket"}},

    {"listing: cut short, 5 times", INFO,
     .rule = {LISTING, .act = PROXY_CUT, .at = 200, .times = 5}},
    {"listing: empty", INFO, .always = true, .fails = true, .words = "without the ListBucketResult",
     .rule = {LISTING, .act = PROXY_EMPTY}},
    {"listing: 403", INFO, .fails = true, .words = "denies it",
     .rule = {LISTING, .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"}},
    {"listing: 404 with a proxy's page", INFO, .fails = true, .words = "404",
     .rule = {LISTING, .act = PROXY_STATUS, .status = 404, .body = PAGE}},
};

/* ---- one of them ---- */

static void strike(const struct fault *f)
{
    fault_proxy_clear(story->proxy);
    if (f->kill)
        s3_story_hold(story, "GET");
    if (f->rule.act != PROXY_PASS)
        fault_proxy_add(story->proxy, f->rule);
}

/* How often it was met. */
static unsigned heal(const struct fault *f)
{
    unsigned met = f->rule.act == PROXY_PASS ? 0 : fault_proxy_hits(story->proxy, 0);

    fault_proxy_clear(story->proxy);
    if (f->rule.act != PROXY_PASS && met == 0)
        fail_msg("%s: not met", f->name);
    return met;
}

static void check_end(const struct fault *f, const struct story_run *r)
{
    int code = f->fails ? 1 : 0;

    if (r->code != code || (f->fails && !strstr(r->output, f->words))) {
        fprintf(stderr, "%s: exit code %d\n%s\n", f->name, r->code, r->output);
        fail_msg("%s: exit code %d, expected %d and \"%s\"", f->name, r->code, code,
                 f->words ? f->words : "");
    }
}

/* Retries of what fails end soon, also those of the restore_command. */
static struct story_run restore(const struct fault *f, const char *place, const char *clock)
{
    CLEANUP_FREE char *tool = str_printf("%s/pgproof-restore", pgfix_bin(story->pg));
    CLEANUP_FREE char *to = str_printf("--to=%s", place);
    const char *soon = f->fails ? "--repository-retry-timeout=8s" : NULL;
    const char *const right[] = {tool, to, soon, NULL};
    const char *const wrong[] = {"/usr/bin/faketime", "-f", clock, tool, to, soon, NULL};

    s3_story_begin(story, clock ? wrong : right);
    if (f->kill) {
        s3_story_amid(story);
        s3_story_server_kill(story);
    }
    return s3_story_end(story);
}

static void check_restore(const struct fault *f)
{
    const char *place = s3_story_place(story);
    CLEANUP_FREE char *control = str_printf("%s/global/pg_control", place);

    strike(f);
    struct story_run r = restore(f, place, f->clock);
    unsigned met = heal(f);
    check_end(f, &r);
    if (f->fails) {
        assert_false(file_exists(control)); /* so nothing starts there */
        struct story_run again = restore(f, place, NULL);
        if (again.code != 0)
            fail_msg("again: %s", again.output);
    }
    s3_story_check_content(story, place);
    s3_story_note(story, f->name, "restore", &r, met,
                  f->fails ? "failed; again: done, whole" : "done, whole");
}

/* The server must end: what it has is not all. Gives how it ended, and its log. */
static struct story_run recovery_that_ends(const struct fault *f, const char *place)
{
    struct pgfix *copy = pgfix_adopt(story->pg, place);
    double begin = clock_monotonic();
    struct story_run r = {.code = pgfix_start_until_end(copy)};

    r.seconds = clock_monotonic() - begin;
    r.output = arena_strdup(story->memory, pgfix_log_tail(copy, 40));
    if (r.code == 0 || !strstr(r.output, f->words)) {
        fprintf(stderr, "%s: exit code %d\n%s\n", f->name, r.code, r.output);
        fail_msg("%s: recovery ended with %d, expected \"%s\"", f->name, r.code, f->words);
    }
    pgfix_free(copy);
    return r;
}

static void check_recovery(const struct fault *f)
{
    const char *place = s3_story_place(story);
    struct story_run r = restore(f, place, NULL);
    unsigned met = 0;

    assert_int_equal(r.code, 0);
    strike(f);
    if (f->fails) {
        r = recovery_that_ends(f, place);
        met = heal(f);
    }
    s3_story_check_content(story, place);
    if (!f->fails)
        met = heal(f);
    s3_story_note(story, f->name, "recovery", &r, met,
                  f->fails ? "server ended; again: whole" : "done, whole");
}

static void check_info(const struct fault *f)
{
    static const char *const argv[] = {"pgproof", "info", "--repository-retry-timeout=8s", NULL};

    strike(f);
    struct story_run r = s3_story_tool(story, argv);
    unsigned met = heal(f);
    check_end(f, &r);
    s3_story_note(story, f->name, "info", &r, met, f->fails ? "failed" : "done");
}

static void check_fault(void **state)
{
    const struct fault *f = *state;

    if (f->when == RESTORE)
        check_restore(f);
    else if (f->when == RECOVERY)
        check_recovery(f);
    else
        check_info(f);
}

/* ---- all ---- */

static int clear(void **state)
{
    (void)state;
    fault_proxy_clear(story->proxy);
    fault_proxy_release(story->proxy);
    return 0;
}

/* A backup in the midst of a load, and WAL behind it. */
static int set_up(void **state)
{
    static const char *const argv[] = {"pgproof-backup", NULL};

    (void)state;
    story = s3_story_new();
    s3_story_load(story);
    struct story_run r = s3_story_tool(story, argv);
    assert_int_equal(r.code, 0);
    clock_sleep_ms(LOAD_MS);
    s3_story_push(story, 3);
    s3_story_settle(story);
    return 0;
}

static int tear_down(void **state)
{
    s3_story_free(story);
    return pgfix_free_all(state);
}

int main(void)
{
    struct CMUnitTest tests[COUNT(faults)];
    bool wanted[COUNT(faults)] = {0};
    const char *names[COUNT(faults)];
    size_t count = 0;

    sweep_begin();
    for (size_t i = 0; i < COUNT(faults); i++) {
        names[i] = faults[i].name;
        wanted[i] = faults[i].always;
    }
    s3_story_choose(names, wanted, COUNT(faults), SLICE);
    for (size_t i = 0; i < COUNT(faults); i++)
        if (wanted[i] && !(faults[i].strict && s3_story_is_simple()))
            tests[count++] = (struct CMUnitTest){.name = faults[i].name,
                                                 .test_func = check_fault,
                                                 .teardown_func = clear,
                                                 .initial_state = (void *)&faults[i]};
    return _cmocka_run_group_tests("story_restore", tests, count, set_up, tear_down);
}
