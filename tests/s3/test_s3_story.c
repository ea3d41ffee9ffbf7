/*
 * One storage fault after another while PostgreSQL archives, pgbench runs, and a backup is taken.
 *
 * For each: the backup succeeds, or ends with 1 and says why; what was acknowledged to PostgreSQL
 * is in the bucket byte for byte; what is listed restores to the last transaction; and the next
 * backup needs no help. A seeded slice of the table runs, all of it with PGPROOF_SOAK=1.
 */
#include "base/clock.h"
#include "base/str.h"
#include "support/http_fake.h"
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
#define SLICE        2 /* faults, besides those that always run */
#define RULES        3
#define OPTIONS      4
#define UNDER_FAULT  2 /* segments before the backup, and after it */

static struct s3_story *story;
static bool struck; /* a fault that was not ended yet */

enum ends { DONE, FAILS, FAILS_LISTED };

struct fault {
    const char *name;
    bool always;       /* also in the slice */
    bool strict;       /* not where the server checks neither signatures nor clocks */
    enum ends ends;    /* how the backup does */
    const char *words; /* of a failure */
    struct proxy_rule rules[RULES];
    const char *options[OPTIONS]; /* of the backup */
    const char *clock;            /* of the tools, off by so much */
    bool service;                 /* of credentials, for the tools */
    bool no_push;                 /* one fails, too, before the fault ends */
    void (*amid)(void);           /* while the first pack of the backup is on its way */
    void (*end)(void);
};

/* ---- credentials ---- */

static struct {
    struct http_fake *service;
    struct story_keys first, second;
    char header[160]; /* of a request with the first keys */
    unsigned rule;    /* that refuses it, */
    unsigned refused; /* and how often it did */
} credentials;

static void give_keys(const struct story_keys *k)
{
    char expires[MOMENT_TEXT_MAX];
    CLEANUP_FREE char *token = *k->token ? str_printf("\"Token\":\"%s\",", k->token) : str_dup("");
    CLEANUP_FREE char *json = str_printf("{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\","
                                         "%s\"Expiration\":\"%s\"}",
                                         k->access, k->secret, token,
                                         moment_iso(clock_now() + 3600 * 1000000ll, expires));

    http_fake_set(credentials.service,
                  (struct fake_answer){.method = "GET", .path = "/keys", .body = json});
}

/* Gives the archiver's line for it. */
static char *take_keys_from_a_service(void)
{
    credentials.service = http_fake_start("127.0.0.1");
    credentials.rule = 0; /* until they end */
    s3_story_new_keys(story, &credentials.first);
    s3_story_new_keys(story, &credentials.second);
    snprintf(credentials.header, sizeof(credentials.header), "Credential=%s/",
             credentials.first.access);
    give_keys(&credentials.first);
    CLEANUP_FREE char *uri = str_printf("AWS_CONTAINER_CREDENTIALS_FULL_URI=%s/keys",
                                        http_fake_url(credentials.service));
    s3_story_configure(story, false);
    pgfix_tool_env(story->pg, uri);
    return str_printf("export %s\n", uri);
}

static void end_first_keys(void)
{
    credentials.rule =
        fault_proxy_add(story->proxy, (struct proxy_rule){.header = credentials.header,
                                                          .act = PROXY_STATUS,
                                                          .status = 400,
                                                          .code = "ExpiredToken"});
}

static void keys_end(void)
{
    give_keys(&credentials.second);
    end_first_keys();
}

static void keys_end_and_none_come(void)
{
    http_fake_set(credentials.service,
                  (struct fake_answer){.method = "GET", .path = "/keys", .status = 500});
    end_first_keys();
}

static void stop_service(void)
{
    credentials.refused = fault_proxy_hits(story->proxy, credentials.rule);
    s3_story_configure(story, true);
    pgfix_tool_env(story->pg, "AWS_CONTAINER_CREDENTIALS_FULL_URI=");
    fault_proxy_clear(story->proxy);
    http_fake_stop(credentials.service);
}

/* ---- the server ---- */

static void kill_server(void)
{
    s3_story_server_kill(story);
}

static void leave(void)
{
    fault_proxy_leave(story->proxy);
}

static void come_back(void)
{
    fault_proxy_return(story->proxy);
}

static void fill(void)
{
    s3_story_server_fill(story, true);
}

static void make_room(void)
{
    s3_story_server_fill(story, false);
}

/* ---- the table ---- */

#define SLOW_DOWN .act = PROXY_STATUS, .status = 503, .code = "SlowDown"
#define SOON      "--repository-retry-timeout=8s"

static const struct fault faults[] = {
    {"503 SlowDown, 12 times", .rules = {{SLOW_DOWN, .times = 12}}},
    {"503 that asks for a pause of 3 s, 2 times",
     .rules = {{SLOW_DOWN, .headers = "Retry-After: 3\r\n", .times = 2}}},
    /* As MinIO does with every 503. */
    {"503 that asks for more time than is left", .ends = FAILS, .words = "asks to wait 60 s",
     .options = {SOON},
     .rules = {{.method = "PUT",
                .path = "/packs/",
                SLOW_DOWN,
                .headers = "Retry-After: 60\r\n",
                .times = 1}}},
    {"500 InternalError on puts, 8 times", .rules = {{.method = "PUT",
                                                      .act = PROXY_STATUS,
                                                      .status = 500,
                                                      .code = "InternalError",
                                                      .times = 8}}},
    {"502 with a proxy's page, 8 times",
     .rules = {{.act = PROXY_STATUS, .status = 502, .body = "<html>Bad Gateway", .times = 8}}},
    {"reset before the request is through, 8 times", .rules = {{.act = PROXY_DROP, .times = 8}}},
    {"reset inside the body of puts, 6 times",
     .rules = {{.method = "PUT", .act = PROXY_RESET_REQUEST, .at = 3000, .times = 6}}},
    {"reset after puts were done, 6 times", .always = true,
     .rules = {{.method = "PUT", .act = PROXY_DROP_AFTER, .times = 6}}},
    {"connection closed after puts were done, 6 times",
     .rules = {{.method = "PUT", .act = PROXY_CLOSE_AFTER, .times = 6}}},
    {"puts answered 200 with an error, 6 times", .rules = {{.method = "PUT",
                                                            .act = PROXY_STATUS,
                                                            .status = 200,
                                                            .code = "InternalError",
                                                            .times = 6}}},
    {"puts done and answered 500, 8 times", .rules = {{.method = "PUT",
                                                       .act = PROXY_STATUS_AFTER,
                                                       .status = 500,
                                                       .code = "InternalError",
                                                       .times = 8}}},
    {"a pack done and answered 403", .ends = FAILS, .words = "denies it to these credentials",
     .rules = {{.method = "PUT",
                .path = "/packs/",
                .act = PROXY_STATUS_AFTER,
                .status = 403,
                .code = "AccessDenied",
                .times = 1}}},
    {"puts done and never answered, 3 times",
     .rules = {{.method = "PUT", .act = PROXY_STALL_AFTER, .times = 3}}},
    {"puts passed on when they were given up, 2 times",
     .rules = {{.method = "PUT", .act = PROXY_DELAY, .by = 12000, .times = 2}}},
    {"the body of puts read no further, 3 times",
     .rules = {{.method = "PUT", .act = PROXY_STALL_REQUEST, .at = 3000, .times = 3}}},
    {"answers of gets cut short, 6 times",
     .rules = {{.method = "GET", .act = PROXY_CUT, .at = 40, .times = 6}}},
    {"answers of gets empty, 4 times",
     .rules = {{.method = "GET", .act = PROXY_EMPTY, .times = 4}}},
    {"answers of gets stop half-way, 3 times",
     .rules = {{.method = "GET", .act = PROXY_STALL, .at = 40, .times = 3}}},
    {"503 without end, on all", .no_push = true, .ends = FAILS, .words = "503 SlowDown",
     .rules = {{SLOW_DOWN}}, .options = {SOON}},
    {"503 without end, on packs", .always = true, .ends = FAILS, .words = "503 SlowDown",
     .rules = {{.method = "PUT", .path = "/packs/", SLOW_DOWN}}, .options = {SOON}},
    {"503 without end, on WAL", .ends = FAILS, .words = "archiving does not work", .no_push = true,
     .rules = {{.method = "PUT", .path = "/wal/", SLOW_DOWN}},
     .options = {SOON, "--wal-archive-timeout=10s"}},
    {"503 without end, on the commit", .ends = FAILS, .words = "503 SlowDown",
     .rules = {{.method = "PUT", .path = "/backup.json", SLOW_DOWN}}, .options = {SOON}},
    {"the commit done, and reset without end", .ends = FAILS_LISTED, .words = "reset",
     .rules = {{.method = "PUT", .path = "/backup.json", .act = PROXY_DROP_AFTER}},
     .options = {SOON}},
    {"server killed and started again", .always = true, .amid = kill_server},
    {"server gone", .no_push = true, .ends = FAILS, .words = "connect", .options = {SOON},
     .amid = leave, .end = come_back},
    {"credentials end, new ones are there", .strict = true, .service = true, .amid = keys_end,
     .end = stop_service},
    {"credentials end, and their service fails", .strict = true, .ends = FAILS,
     .words = "gave no credentials", .no_push = true, .options = {SOON}, .service = true,
     .amid = keys_end_and_none_come, .end = stop_service},
    {"clock 20 minutes ahead", .strict = true, .ends = FAILS, .words = "whose clock is wrong",
     .no_push = true, .clock = "+20m"},
    {"clock 20 minutes behind", .strict = true, .ends = FAILS, .words = "whose clock is wrong",
     .no_push = true, .clock = "-20m"},
    {"clock 10 minutes ahead", .strict = true, .clock = "+10m"},
    {"full bucket", .always = true, .strict = true, .ends = FAILS, .words = "quota is used up",
     .no_push = true, .options = {"--repository-stall-timeout=60s"}, /* as long as filling takes */
     .amid = fill, .end = make_room},
};

/* ---- one of them ---- */

static const char *const outcomes[] = {[DONE] = "done, restores",
                                       [FAILS] = "failed, not listed",
                                       [FAILS_LISTED] = "failed, listed, restores"};

/* Where nothing helps it gives up soon. */
static void set_archiver(const struct fault *f)
{
    CLEANUP_FREE char *keys = f->service ? take_keys_from_a_service() : str_dup("");
    CLEANUP_FREE char *clock =
        f->clock ? str_printf("CLOCK='faketime -f %s'\n", f->clock) : str_dup("");
    CLEANUP_FREE char *lines =
        str_printf("%s%s%s", keys, clock, f->ends == DONE ? "" : "OPTIONS=" SOON "\n");

    s3_story_archiver(story, lines);
}

static void begin_fault(const struct fault *f)
{
    struck = true;
    if (f->amid)
        s3_story_hold(story, "PUT");
    for (size_t i = 0; i < RULES; i++)
        if (f->rules[i].act != PROXY_PASS)
            fault_proxy_add(story->proxy, f->rules[i]);
    set_archiver(f);
}

static void end_fault(const struct fault *f)
{
    struck = false;
    if (f->end)
        f->end();
    s3_story_archiver(story, "");
    s3_story_settle(story);
}

static struct story_run backup(const struct fault *f)
{
    CLEANUP_FREE char *tool = str_printf("%s/pgproof-backup", pgfix_bin(story->pg));
    const char *argv[OPTIONS + 8];
    size_t n = 0;

    if (f->clock) {
        argv[n++] = "/usr/bin/faketime";
        argv[n++] = "-f";
        argv[n++] = f->clock;
    }
    argv[n++] = f->clock ? tool : "pgproof-backup";
    for (size_t i = 0; i < OPTIONS && f->options[i]; i++)
        argv[n++] = f->options[i];
    argv[n] = NULL;
    s3_story_begin(story, argv);
    if (f->amid) {
        s3_story_amid(story);
        f->amid();
        fault_proxy_release(story->proxy);
    }
    return s3_story_end(story);
}

static void check_end(const struct fault *f, const struct story_run *r)
{
    int code = f->ends == DONE ? 0 : 1;

    if (r->code != code || (code == 1 && !strstr(r->output, f->words))) {
        fprintf(stderr, "%s: exit code %d\n%s\n", f->name, r->code, r->output);
        fail_msg("%s: exit code %d, expected %d and \"%s\"", f->name, r->code, code,
                 f->words ? f->words : "");
    }
}

static unsigned hits(const struct fault *f)
{
    unsigned n = f->amid ? 1 : 0, sum = 0;

    for (size_t i = 0; i < RULES; i++)
        if (f->rules[i].act != PROXY_PASS)
            sum += fault_proxy_hits(story->proxy, n++);
    return sum;
}

static void next_backup(size_t listed)
{
    static const char *const argv[] = {"pgproof-backup", NULL};
    struct story_run r = s3_story_tool(story, argv);
    const char *newest;

    if (r.code != 0)
        fail_msg("the next backup: %s", r.output);
    assert_int_equal(s3_story_listed(story, &newest), listed + 1);
    if (sweep_is_soak())
        s3_story_check_restores(story, newest);
}

static void check_fault(const struct fault *f)
{
    const char *newest;
    size_t before = s3_story_listed(story, &newest);

    s3_story_load(story);
    begin_fault(f);
    s3_story_push(story, UNDER_FAULT);
    struct story_run r = backup(f);
    s3_story_push(story, UNDER_FAULT);
    if (f->no_push)
        s3_story_wait_refused(story);
    unsigned met = hits(f);
    end_fault(f);

    check_end(f, &r);
    if (f->rules[0].act != PROXY_PASS)
        assert_true(met > 0);
    if (f->service)
        assert_true((met = credentials.refused) > 0);
    s3_story_check_archive(story, false);
    size_t listed = s3_story_listed(story, &newest);
    assert_int_equal(listed, before + (f->ends != FAILS));
    s3_story_check_restores(story, newest);
    next_backup(listed);
    s3_story_note(story, f->name, "backup", &r, met, outcomes[f->ends]);
}

/* ---- all ---- */

static void backup_under_a_fault(void **state)
{
    check_fault(*state);
}

/* The last, over all. */
static void what_was_acknowledged_is_still_there(void **state)
{
    (void)state;
    s3_story_check_archive(story, true);
}

static int heal(void **state)
{
    if (struck)
        end_fault(*state);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    story = s3_story_new();
    return 0;
}

static int tear_down(void **state)
{
    s3_story_free(story);
    return pgfix_free_all(state);
}

int main(void)
{
    struct CMUnitTest tests[COUNT(faults) + 1];
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
                                                 .test_func = backup_under_a_fault,
                                                 .teardown_func = heal,
                                                 .initial_state = (void *)&faults[i]};
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(what_was_acknowledged_is_still_there);
    return _cmocka_run_group_tests("story", tests, count, set_up, tear_down);
}
