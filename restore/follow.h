/* Start the restored server on a private socket and follow recovery to its target. */
#ifndef PGPROOF_RESTORE_FOLLOW_H
#define PGPROOF_RESTORE_FOLLOW_H

#include "app/app.h"
#include "restore/plan.h"

struct follow_result {
    bool in_recovery; /* paused at the target; false: promoted, open for writing */
    bool running;     /* false after --target-action=shutdown */
    uint64_t reached_lsn;
    uint64_t locked_relations; /* by transactions that were in progress where recovery stopped */
    char locked_where[256];    /* "shop: 3, crm: 1": how many in which database */
    char last_commit[64];      /* of the last transaction replayed; "" if there was none */
    char socket_directory[108];
    char role[256]; /* to connect with */
    char log_path[4096];
};

/* Before anything is restored: are the executables of the right major version here? RC_CONFIG. */
MUST_CHECK enum rc follow_preflight(const struct app *a, const struct restore_plan *p,
                                    struct error *err);

/*
 * Leaves the server running where it reached its target (with action shutdown: stopped).
 * RC_DATABASE with the end of the server's log where it did not.
 */
MUST_CHECK enum rc follow_recovery(const struct app *a, const struct restore_plan *p,
                                   const char *data_directory, struct follow_result *ret,
                                   struct error *err);

#endif
