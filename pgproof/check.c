/* pgproof check: does archiving work now, from the server to the repository and back? */
#include "app/app_keep.h"
#include "app/app_open.h"
#include "archive/wait_wal.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pgproof/commands.h"
#include "pgproof/owner.h"
#include "pgproof/server_review.h"
#include "repo/names.h"
#include "repo/wal_object.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* PostgreSQL tries a segment three times, then pauses for a minute. */
#define ENOUGH_FAILURES 3
#define NOTE_EVERY_S    30

static const struct app_option options[] = {
    {"timeout", "DURATION",
     "how long to wait for the segment (default: archive-timeout in section [wal])"},
    {0},
};

struct check {
    struct app *app;
    struct repo *repo;
    struct session *session;
    struct server_facts facts;
    struct cluster_system system;
    int64_t timeout_seconds;
    uint64_t failures_before;
    char segment[WAL_NAME_MAX];
    char detail[1200]; /* of the step that runs */
    bool warning;      /* the step has found something that should not be so */
    json_t *steps;     /* for --json */
};

static void note(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct check *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->detail, sizeof(c->detail), fmt, ap);
    va_end(ap);
}

static enum rc check_configuration(struct check *c, struct error *err)
{
    const struct config *config = c->app->config;
    const char *timeout = app_value(c->app, "timeout");

    TRY(app_need_repository(c->app, err));
    TRY(app_need_present(c->app, "archiving, which this tries,", err));
    c->timeout_seconds = config->archive_timeout_seconds;
    if (timeout && (!parse_duration(timeout, &c->timeout_seconds) || c->timeout_seconds < 1)) {
        error_set(err, RC_USAGE, "the timeout must be a duration such as 90s or 10m");
        return error_on(err, "--timeout=%s", timeout);
    }
    note(c, "%s, cluster %s", config->path ? config->path : "no file", config->cluster);
    return RC_OK;
}

static enum rc check_repository(struct check *c, struct error *err)
{
    TRY(owner_become(c->app->config->data_directory, err));
    TRY(app_open_repo(c->app, &c->repo, err));
    note(c, "%s, id %.8s…", c->repo->store->where, c->repo->id);
    return RC_OK;
}

static enum rc check_server(struct check *c, struct error *err)
{
    const struct server_facts *f = &c->facts;

    TRY(app_open_session(c->app, NULL, &c->session, err));
    TRY(session_facts(c->session, &c->facts, err));
    TRY(owner_become(f->data_directory, err));
    TRY(review_server(f, err));
    note(c, "PostgreSQL %u.%u, wal_level %s%s", f->version_num / 10000, f->version_num % 10000,
         f->wal_level, f->data_checksums ? ", data checksums" : ", no data checksums");
    return RC_OK;
}

static enum rc check_identity(struct check *c, struct error *err)
{
    const char *dir = c->app->config->data_directory;

    TRY(app_check_system(c->app, c->repo, c->facts.system_identifier, &c->system, err));
    TRY(review_data_directory(dir ? dir : c->facts.data_directory, &c->facts, err));
    note(c, "server, data directory and repository say %" PRIu64, c->facts.system_identifier);
    return RC_OK;
}

static enum rc refuse_standby(const struct check *c, struct error *err)
{
    error_set(err, RC_REFUSED,
              "the server is a standby: it writes no WAL of its own, so whether archiving works "
              "can't be tried here");
    error_on(err, "%s", c->facts.data_directory);
    return error_now(err, "run 'pgproof check' on the primary");
}

/* Only the trial decides: a script may wrap pgproof-wal-push. */
static enum rc check_settings(struct check *c, struct error *err)
{
    struct archiving ar;

    if (c->facts.in_recovery)
        return refuse_standby(c, err);
    TRY(review_archiving(c->session, &c->facts, &ar, err));
    CLEANUP_FREE char *problem = archiving_problem(&ar);
    if (!ar.on) {
        CLEANUP_FREE char *value = archive_command_value(c->app);
        error_set(err, RC_REFUSED, "%s", problem);
        error_on(err, "%s/postgresql.conf", c->facts.data_directory);
        return error_now(err, "set archive_mode = on and archive_command = %s, and restart", value);
    }
    c->warning = !archiving_ready(&ar);
    note(c, c->warning ? "%s" : "archive_command = %s",
         c->warning ? problem : c->facts.archive_command);
    return RC_OK;
}

/* failed_count, and whether the last attempt was a failure. */
static enum rc ask_archiver(struct check *c, uint64_t *ret_failures, char **ret_failure,
                            struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;

    TRY(session_query(c->session,
                      "SELECT failed_count, last_failed_wal, last_failed_time, "
                      "last_failed_time > last_archived_time OR last_archived_time IS NULL "
                      "FROM pg_catalog.pg_stat_archiver",
                      0, NULL, &rows, err));
    if (rows_count(rows) != 1 || !parse_u64(rows_get(rows, 0, 0), ret_failures))
        return error_set(err, RC_DATABASE, "pg_stat_archiver gives no answer");
    bool failing = rows_get(rows, 0, 1) && str_eq(rows_get(rows, 0, 3), "t");
    *ret_failure = failing ? str_printf("archive_command failed for %s at %s", rows_get(rows, 0, 1),
                                        rows_get(rows, 0, 2))
                           : NULL;
    return RC_OK;
}

static enum rc check_archiver(struct check *c, struct error *err)
{
    CLEANUP_FREE char *failure = NULL;

    TRY(ask_archiver(c, &c->failures_before, &failure, err));
    c->warning = failure != NULL;
    note(c, "%s", failure ? failure : "its last attempt did not fail");
    return RC_OK;
}

/*
 * A record of our own first: without one since the last switch, pg_switch_wal does nothing. Where
 * the role may not write one, the segment before is looked for, which must be archived all the
 * same.
 */
static enum rc check_switch(struct check *c, struct error *err)
{
    const struct wait_wal w = {.session = c->session, .segment_bytes = c->facts.wal_segment_bytes};
    struct error ignored = {0};
    uint32_t timeline;
    uint64_t segment;

    if (session_exec(c->session,
                     "SELECT pg_catalog.pg_logical_emit_message(false, 'pgproof', 'check')",
                     &ignored) != RC_OK)
        log_debug("could not write a logical message: %s", ignored.what);
    TRY(wait_wal_end_segment(&w, &timeline, &segment, err));
    wal_name_segment(timeline, segment, w.segment_bytes, c->segment);
    note(c, "ended segment %s", c->segment);
    return RC_OK;
}

static enum rc not_arrived(struct check *c, const char *failure, bool gave_up, struct error *err)
{
    char waited[32];
    CLEANUP_FREE char *value = archive_command_value(c->app);

    format_duration((double)c->timeout_seconds, waited);
    error_set(err, RC_DATABASE, "the segment did not arrive in the repository%s%s: %s",
              gave_up ? "" : " within ", gave_up ? "" : waited,
              failure ? failure : "the server has not archived it, and reports no failure");
    error_on(err, "%s",
             name_wal(c->app->config->cluster, c->facts.system_identifier, c->segment).text);
    return error_now(err,
                     "see the server's log for what archive_command said; it should be "
                     "archive_command = %s",
                     value);
}

/* One look. *ret_arrived, or an error when it has failed often enough. */
static enum rc look_for_segment(struct check *c, bool *ret_arrived, double *next_note,
                                struct error *err)
{
    struct object_name name =
        name_wal(c->app->config->cluster, c->facts.system_identifier, c->segment);
    CLEANUP_FREE char *failure = NULL;
    struct store_info info;
    uint64_t failures;
    enum rc rc = store_head(c->repo->store, name.text, &info, err);

    *ret_arrived = rc == RC_OK;
    if (rc != RC_NOT_FOUND)
        return rc;
    TRY(ask_archiver(c, &failures, &failure, err));
    if (failures >= c->failures_before + ENOUGH_FAILURES)
        return not_arrived(c, failure, true, err);
    if (clock_monotonic() >= *next_note) {
        app_say(c->app, "waiting for %s: %s", c->segment, failure ? failure : "not archived yet");
        *next_note += NOTE_EVERY_S;
    }
    return RC_OK;
}

static enum rc check_arrival(struct check *c, struct error *err)
{
    double began = clock_monotonic(), next_note = began + 3;
    bool arrived = false;
    unsigned pause_ms = 20;

    for (;;) {
        TRY(look_for_segment(c, &arrived, &next_note, err));
        if (arrived)
            break;
        if (clock_monotonic() - began >= (double)c->timeout_seconds) {
            CLEANUP_FREE char *failure = NULL;
            uint64_t failures;
            TRY(ask_archiver(c, &failures, &failure, err));
            return not_arrived(c, failure, false, err);
        }
        TRY(cancel_check(err));
        clock_sleep_ms(pause_ms);
        pause_ms = pause_ms < 400 ? 2 * pause_ms : 500;
    }
    note(c, "%s is in the repository", c->segment);
    return RC_OK;
}

static enum rc check_read_back(struct check *c, struct error *err)
{
    CLEANUP_BUF struct buf plain = BUF_INIT(WAL_PLAIN_MAX);
    struct wal_info info;
    enum rc rc = wal_get(c->repo, c->app->config->cluster, c->facts.system_identifier, c->segment,
                         &info, &plain, err);

    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_STORAGE, "the segment was there a moment ago and is gone");
        return error_on(err, "%s", c->segment);
    }
    TRY(rc);
    TRY(wal_header_check(plain.data, plain.len, c->segment, c->facts.system_identifier,
                         c->facts.wal_segment_bytes, err));
    char size[32];
    note(c, "%s, its header and its hash are right; pushed by %s", format_size(plain.len, size),
         info.pushed_by);
    return RC_OK;
}

static const struct {
    const char *name;
    enum rc (*run)(struct check *c, struct error *err);
} steps[] = {
    {"configuration", check_configuration},
    {"repository", check_repository},
    {"server", check_server},
    {"identity", check_identity},
    {"settings", check_settings},
    {"archiver", check_archiver},
    {"switch", check_switch},
    {"arrival", check_arrival},
    {"read back", check_read_back},
};
#define STEP_COUNT (sizeof(steps) / sizeof(*steps))

/* status: "ok", "warning", "failed", "not run" */
static void report_step(struct check *c, const char *name, const char *status, double seconds)
{
    char d[32];
    CLEANUP_FREE char *shown = str_printable(c->detail);
    json_t *o = json_pack("{s:s, s:s, s:f}", "name", name, "status", status, "seconds",
                          (double)(int64_t)(seconds * 1000 + 0.5) / 1000);

    json_set_bytes(o, "detail", shown);
    json_array_append_new(c->steps, o);
    if (c->app->json)
        return;
    printf("%-8s %-14s %s", status, name, shown);
    if (seconds >= 0.1)
        printf("%s(%s)", shown[0] ? " " : "", format_duration(seconds, d));
    printf("\n");
    fflush(stdout);
}

static enum rc run_steps(struct check *c, bool *ret_warned, struct error *err)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < STEP_COUNT; i++) {
        double began = clock_monotonic();

        c->detail[0] = '\0';
        c->warning = false;
        if (rc != RC_OK) {
            report_step(c, steps[i].name, "not run", 0);
            continue;
        }
        rc = steps[i].run(c, err);
        if (rc != RC_OK)
            note(c, "%s", err->what);
        *ret_warned |= c->warning;
        report_step(c, steps[i].name,
                    rc != RC_OK  ? "failed"
                    : c->warning ? "warning"
                                 : "ok",
                    clock_monotonic() - began);
    }
    return rc;
}

static json_t *error_json(const struct error *err)
{
    json_t *o = json_object();

    json_object_set_new(o, "class", json_string(rc_name(err->rc)));
    json_set_bytes(o, "what", err->what);
    json_set_bytes(o, "on", err->on);
    json_set_bytes(o, "now", err->now);
    return o;
}

static void print_json(struct check *c, const struct error *err, int exit_code)
{
    static const char *const results[] = {"ok", "could not check", "bad"};
    CLEANUP_JSON json_t *o =
        json_pack("{s:i, s:s, s:s, s:O, s:i}", "version", 1, "cluster", c->app->config->cluster,
                  "result", exit_code <= EXIT_BAD ? results[exit_code] : "could not check", "steps",
                  c->steps, "exit_code", exit_code);

    if (exit_code != EXIT_DONE)
        json_object_set_new(o, "error", error_json(err));
    json_dumpf(o, stdout, JSON_INDENT(2));
    printf("\n");
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct check c = {.app = a, .steps = json_array()};
    struct error failure = {0};
    bool warned = false;

    (void)err;
    if (run_steps(&c, &warned, &failure) != RC_OK) {
        app_complete_error(&failure, a->tool->name);
        *exit_code = app_exit_code(&failure);
    }
    if (a->json)
        print_json(&c, &failure, *exit_code);
    else if (*exit_code == EXIT_DONE)
        printf(warned ? "Archiving works now, but see the warnings above.\n"
                      : "Archiving works.\n");
    fflush(stdout);
    if (*exit_code != EXIT_DONE)
        app_print_error(stderr, a->tool->name, &failure, a->colour);
    repo_close(c.repo);
    session_close(c.session);
    json_decref(c.steps);
    return RC_OK;
}

const struct app_tool check_tool = {
    .name = "pgproof check",
    .summary = "does archiving work now, from the server to the repository and back?",
    .usage = "[options]",
    .details = "Looks at configuration, repository and server, sees that all three speak of the "
               "same cluster, then writes a small WAL record, ends the segment, waits until "
               "PostgreSQL has archived it, and reads it back from the repository.",
    .examples = "pgproof check\npgproof check --timeout=30s --json\n",
    .options = options,
    .has_json = true,
    .run = run,
};
