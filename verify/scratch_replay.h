/* Following the scratch server's recovery until it pauses at its target. */
#ifndef PGPROOF_VERIFY_SCRATCH_REPLAY_H
#define PGPROOF_VERIFY_SCRATCH_REPLAY_H

#include "base/error.h"
#include "pg/server.h"
#include "pg/session.h"

#include <stdint.h>

enum replay_end {
    REPLAY_PAUSED,   /* where, says lsn */
    REPLAY_ENDED,    /* the server ended; its log says why */
    REPLAY_PROMOTED, /* out of recovery, though nobody asked for it */
    REPLAY_STALLED,  /* no progress for stall_seconds, or over the time allowed */
};

struct replay {
    enum replay_end end;
    uint64_t lsn; /* how far it got; 0: not known */
    uint32_t timeline;
};

struct replay_options {
    struct server *server;
    const char *log_path; /* before it answers queries, its growing log says that it gets on */
    double stall_seconds;
    double timeout_seconds;               /* 0: none */
    void (*say)(void *ctx, uint64_t lsn); /* now and then: how far it is; may be NULL */
    void *say_ctx;
};

/* Waits. Only RC_CANCELLED, and what can't be asked of the server, is an error. */
MUST_CHECK enum rc replay_follow(const struct replay_options *o, struct replay *ret,
                                 struct error *err);

/*
 * Is `reached` the place where exclusive recovery to `target` has to stop? PostgreSQL tells the end
 * of the last record that it replayed, the target is where the next one begins: they may differ by
 * a page header.
 */
bool replay_is_at(uint64_t reached_lsn, uint64_t target_lsn);
/* The same for "at or beyond". */
bool replay_is_past(uint64_t reached_lsn, uint64_t target_lsn);

/* End the pause; wait until the server is out of recovery. */
MUST_CHECK enum rc replay_promote(struct server *server, struct session *s, struct error *err);

#endif
