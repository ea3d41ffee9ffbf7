#include "verify/scratch_replay.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <stdlib.h>
#include <sys/stat.h>

#define POLL_MS     200
#define SAY_SECONDS 10.0
/* The long header of a WAL segment's first page, the largest that can lie between two records. */
#define PAGE_HEADER_MAX 40
#define PROMOTE_SECONDS 600

bool replay_is_at(uint64_t reached_lsn, uint64_t target_lsn)
{
    return replay_is_past(reached_lsn, target_lsn) && reached_lsn <= target_lsn;
}

bool replay_is_past(uint64_t reached_lsn, uint64_t target_lsn)
{
    return reached_lsn != 0 && reached_lsn + PAGE_HEADER_MAX >= target_lsn;
}

struct follower {
    const struct replay_options *o;
    struct session *session;
    struct replay now;
    int64_t log_bytes;
    double began, moved, said; /* clock_monotonic */
};

/* 13 only knows the wish to pause; 14 and later say whether it has come true. */
static const char *state_sql(const struct session *s)
{
#define STATE_SQL(paused)                                                                          \
    "SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery() THEN " paused \
    " ELSE false END, coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'),"                       \
    " coalesce((SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()), 0)"
    if (session_version(s) >= 140000)
        return STATE_SQL("pg_catalog.pg_get_wal_replay_pause_state() = 'paused'");
    return STATE_SQL("pg_catalog.pg_is_wal_replay_paused()");
#undef STATE_SQL
}

static enum rc ask(struct follower *f, bool *ret_over, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    uint64_t lsn, timeline;
    TRY(session_query(f->session, state_sql(f->session), 0, NULL, &rows, err));
    if (!lsn_parse(rows_get(rows, 0, 2), &lsn) || !parse_u64(rows_get(rows, 0, 3), &timeline))
        return error_set(err, RC_DATABASE, "the scratch server did not say how far it is");
    if (lsn != f->now.lsn)
        f->moved = clock_monotonic();
    f->now.lsn = lsn;
    f->now.timeline = (uint32_t)timeline;
    *ret_over = true;
    if (!str_eq(rows_get(rows, 0, 0), "t"))
        f->now.end = REPLAY_PROMOTED;
    else if (str_eq(rows_get(rows, 0, 1), "t"))
        f->now.end = REPLAY_PAUSED;
    else
        *ret_over = false;
    return RC_OK;
}

static enum rc poll_server(struct follower *f, enum server_state *ret, struct error *err)
{
    struct stat st;
    if (stat(f->o->log_path, &st) == 0 && st.st_size != f->log_bytes) {
        f->log_bytes = st.st_size;
        f->moved = clock_monotonic();
    }
    return server_poll(f->o->server, ret, err);
}

/* The server may end between any two questions; then its end is the answer, not the broken
 * connection. */
static enum rc look(struct follower *f, bool *ret_over, struct error *err)
{
    enum server_state state;
    *ret_over = false;
    if (!f->session) {
        TRY(poll_server(f, &state, err));
        if (state == SERVER_STARTING)
            return RC_OK;
        if (state == SERVER_ACCEPTING)
            return session_open(server_conninfo(f->o->server), "pgproof-verify", NULL, &f->session,
                                err);
    } else {
        enum rc rc = ask(f, ret_over, err);
        if (rc != RC_DATABASE)
            return rc;
        session_close(f->session);
        f->session = NULL;
        clock_sleep_ms(POLL_MS);
        TRY(poll_server(f, &state, err));
        if (state != SERVER_ENDED)
            return RC_OK;
    }
    f->now.end = REPLAY_ENDED;
    *ret_over = true;
    return RC_OK;
}

static bool out_of_time(const struct follower *f)
{
    double now = clock_monotonic();
    return now - f->moved > f->o->stall_seconds ||
           (f->o->timeout_seconds > 0 && now - f->began > f->o->timeout_seconds);
}

static void say(struct follower *f)
{
    double now = clock_monotonic();
    if (!f->o->say || now - f->said < SAY_SECONDS)
        return;
    f->said = now;
    f->o->say(f->o->say_ctx, f->now.lsn);
}

static enum rc follow(struct follower *f, struct error *err)
{
    for (;;) {
        bool over;
        TRY(cancel_check(err));
        TRY(look(f, &over, err));
        if (over)
            return RC_OK;
        if (out_of_time(f)) {
            f->now.end = REPLAY_STALLED;
            return RC_OK;
        }
        say(f);
        clock_sleep_ms(POLL_MS);
    }
}

enum rc replay_follow(const struct replay_options *o, struct replay *ret, struct error *err)
{
    double now = clock_monotonic();
    struct follower f = {.o = o, .began = now, .moved = now, .said = now};
    enum rc rc = follow(&f, err);
    session_close(f.session);
    if (rc == RC_OK)
        *ret = f.now;
    return rc;
}

enum rc replay_promote(struct server *server, struct session *s, struct error *err)
{
    double began = clock_monotonic();
    TRY(session_query(s, "SELECT pg_catalog.pg_promote(false)", 0, NULL, NULL, err));
    for (;;) {
        CLEANUP_FREE char *in_recovery = NULL;
        enum server_state state;
        TRY(cancel_check(err));
        enum rc rc = session_value(s, "SELECT pg_catalog.pg_is_in_recovery()", &in_recovery, err);
        if (rc == RC_DATABASE && server_poll(server, &state, err) == RC_OK && state == SERVER_ENDED)
            return error_prefix(err, "could not promote the scratch server");
        TRY(rc);
        if (str_eq(in_recovery, "f"))
            return RC_OK;
        if (clock_monotonic() - began > PROMOTE_SECONDS)
            return error_set(err, RC_DATABASE, "the scratch server did not leave recovery in %d s",
                             PROMOTE_SECONDS);
        clock_sleep_ms(POLL_MS);
    }
}
