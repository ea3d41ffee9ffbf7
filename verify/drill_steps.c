#include "verify/drill_steps.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "verify/scratch_replay.h"
#include "verify/scratch_server.h"
#include "verify/structure_check.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#define STALL_SECONDS 600.0
#define STOP_SECONDS  60
#define LOG_LINES     10

struct steps {
    const struct drill_server_options *o;
    struct server *server;
    struct proof *proof;
};

/* ---- recovery ---- */

static void say_lsn(void *ctx, uint64_t lsn)
{
    const struct steps *s = ctx;
    char at[LSN_TEXT_MAX], to[LSN_TEXT_MAX];
    if (lsn)
        app_say(s->o->app, "recovering: at LSN %s of %s", lsn_text(lsn, at),
                lsn_text(s->o->subject->target_lsn, to));
    else
        app_say(s->o->app, "recovering: not consistent yet");
}

/* Recovery needs the repository, too: while that is away, nothing is proven about the backup. */
static bool repository_is_there(const struct steps *s)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1u << 20);
    struct error ignored;
    return store_get(s->o->repo->store, REPOSITORY_OBJECT, &text, &ignored) == RC_OK;
}

static void server_ended(struct steps *s)
{
    CLEANUP_FREE char *tail = server_log_tail(s->o->scratch->server_log, LOG_LINES);
    if (repository_is_there(s))
        check_failed(s->proof, CHECK_RECOVERY,
                     "the scratch server ended before it reached the target; the end of its log:");
    else
        check_not_run(
            s->proof, CHECK_RECOVERY,
            "the scratch server ended, but the repository can't be read any more, either");
    check_finding_lines(s->proof, CHECK_RECOVERY, tail);
}

static void judge_recovery(struct steps *s, const struct replay *r)
{
    char lsn[LSN_TEXT_MAX], to[LSN_TEXT_MAX];
    CLEANUP_FREE char *tail = NULL;
    lsn_text(r->lsn, lsn);
    switch (r->end) {
    case REPLAY_PAUSED:
        check_passed(s->proof, CHECK_RECOVERY, "replayed up to LSN %s; answers queries", lsn);
        break;
    case REPLAY_PROMOTED:
        check_failed(s->proof, CHECK_RECOVERY,
                     "recovery ended at LSN %s by itself instead of pausing at %s", lsn,
                     lsn_text(s->o->subject->target_lsn, to));
        break;
    case REPLAY_ENDED:
        server_ended(s);
        break;
    case REPLAY_STALLED:
        tail = server_log_tail(s->o->scratch->server_log, LOG_LINES);
        check_not_run(s->proof, CHECK_RECOVERY,
                      "it did not get on, or not in the time allowed; the end of its log:");
        check_finding_lines(s->proof, CHECK_RECOVERY, tail);
        break;
    }
}

static void judge_target(struct steps *s, const struct replay *r)
{
    uint64_t target = s->o->subject->target_lsn;
    char at[LSN_TEXT_MAX], to[LSN_TEXT_MAX];
    bool reached =
        s->o->subject->counts ? replay_is_at(r->lsn, target) : replay_is_past(r->lsn, target);
    lsn_text(r->lsn, at);
    lsn_text(target, to);
    if (reached && r->lsn < target)
        check_passed(s->proof, CHECK_TARGET,
                     "paused at LSN %s, between which and %s lies only a page header", at, to);
    else if (reached)
        check_passed(s->proof, CHECK_TARGET, "paused at LSN %s; asked for was %s", at, to);
    else
        check_failed(s->proof, CHECK_TARGET, "recovery paused at LSN %s, not at %s", at, to);
}

static enum rc recover(struct steps *s, bool *ret_good, struct error *err)
{
    struct replay r;
    struct replay_options o = {.server = s->server,
                               .log_path = s->o->scratch->server_log,
                               .stall_seconds = STALL_SECONDS,
                               .timeout_seconds = (double)s->o->timeout_seconds,
                               .say = say_lsn,
                               .say_ctx = s};
    double began = clock_monotonic();
    TRY(replay_follow(&o, &r, err));
    double seconds = clock_monotonic() - began;
    s->proof->checks[CHECK_RECOVERY].seconds = seconds;
    s->proof->reached_lsn = r.lsn;
    s->proof->reached_timeline = r.timeline;
    judge_recovery(s, &r);
    *ret_good = r.end == REPLAY_PAUSED;
    if (!*ret_good)
        return RC_OK;
    s->proof->seconds_recovery = seconds;
    judge_target(s, &r);
    return RC_OK;
}

/* ---- what is asked of the running server ---- */

/*
 * WAL of the time of the backup may hold a CREATE TABLESPACE with production's own path. Nothing
 * but a look at the links tells.
 */
static enum rc look_at_tablespaces(struct steps *s, struct session *session, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(session,
                      "SELECT spcname, pg_catalog.pg_tablespace_location(oid) "
                      "FROM pg_catalog.pg_tablespace WHERE pg_catalog.pg_tablespace_location(oid) "
                      "LIKE '/%'",
                      0, NULL, &rows, err));
    for (int i = 0; i < rows_count(rows); i++)
        if (!str_starts(rows_get(rows, i, 1), s->o->scratch->root))
            remark(s->proof, &s->proof->warnings,
                   "tablespace %s was created while the backup ran; recovery made it in %s, which "
                   "is outside of the scratch directory",
                   rows_get(rows, i, 0), rows_get(rows, i, 1));
    return RC_OK;
}

/* A step that could not be carried through is not proof of damage; cancellation ends the drill. */
static enum rc step_failed(struct steps *s, enum check_id id, const struct error *why,
                           struct error *err)
{
    if (why->rc == RC_CANCELLED) {
        *err = *why;
        return RC_CANCELLED;
    }
    check_not_run(s->proof, id, "%s", why->what);
    return RC_OK;
}

static enum rc compare_rows(struct steps *s, struct error *err)
{
    struct error why;
    double began = clock_monotonic();
    if (!s->o->subject->counts)
        return RC_OK; /* drill_choose said why */
    app_say(s->o->app, "counting the rows of all tables");
    enum rc rc = row_check(s->o->subject->counts, server_conninfo(s->server), s->proof, &why);
    s->proof->checks[CHECK_ROWS].seconds = clock_monotonic() - began;
    return rc == RC_OK ? rc : step_failed(s, CHECK_ROWS, &why, err);
}

static enum rc promote_server(struct steps *s, bool *ret_good, struct error *err)
{
    CLEANUP_SESSION struct session *session = NULL;
    struct error why;
    double began = clock_monotonic();
    *ret_good = false;
    enum rc rc = session_open(server_conninfo(s->server), "pgproof-verify", NULL, &session, &why);
    if (rc == RC_OK)
        rc = look_at_tablespaces(s, session, &why);
    if (rc == RC_OK)
        rc = replay_promote(s->server, session, &why);
    s->proof->checks[CHECK_PROMOTION].seconds = clock_monotonic() - began;
    if (rc != RC_OK)
        return step_failed(s, CHECK_PROMOTION, &why, err);
    check_passed(s->proof, CHECK_PROMOTION, "the scratch server takes writes");
    *ret_good = true;
    return RC_OK;
}

static void say_database(void *ctx, const char *database)
{
    const struct steps *s = ctx;
    app_say(s->o->app, "checking the tables and indexes of database %s", database);
}

static enum rc check_structure(struct steps *s, struct error *err)
{
    struct error why;
    enum rc rc = structure_check(server_conninfo(s->server), s->proof, say_database, s, &why);
    return rc == RC_OK ? rc : step_failed(s, CHECK_INDEXES, &why, err);
}

/* ---- all of it ---- */

static enum rc stop(struct steps *s, struct error *err)
{
    struct server *server = s->server;
    s->server = NULL;
    return server_stop(server, STOP_SECONDS, err);
}

static enum rc run(struct steps *s, struct error *err)
{
    bool good;
    app_say(s->o->app, "starting the scratch server and recovering");
    TRY(recover(s, &good, err));
    if (!good)
        return RC_OK;
    double began = clock_monotonic();
    TRY(compare_rows(s, err));
    TRY(promote_server(s, &good, err));
    if (good)
        TRY(check_structure(s, err));
    s->proof->seconds_checks = clock_monotonic() - began;
    return stop(s, err);
}

enum rc drill_server_steps(const struct drill_server_options *o, struct proof *p, struct error *err)
{
    struct steps s = {.o = o, .proof = p};
    TRY(scratch_server_cut_off_sessions(o->subject->info->pg_version_num / 10000, err));
    CLEANUP_FREE char *user = conninfo_user(o->app->config->connection);
    TRY(scratch_server_start(o->scratch, o->subject->info, o->bindir, user, &s.server, err));
    enum rc rc = run(&s, err);
    if (s.server)
        server_kill(s.server);
    return rc;
}
