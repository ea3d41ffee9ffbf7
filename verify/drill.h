/* The drill: restore a backup into a scratch instance, recover, check, write the proof, clean up.
 */
#ifndef PGPROOF_VERIFY_DRILL_H
#define PGPROOF_VERIFY_DRILL_H

#include "app/app.h"
#include "base/error.h"

struct drill_options {
    const char *backup;      /* an id, or "latest" */
    bool keep;               /* leave the scratch directory behind */
    int64_t timeout_seconds; /* for recovery; 0: none */
};

/*
 * RC_OK: a proof was made, printed and stored; *ret_exit is what it says. Anything else: the drill
 * did not get as far as a proof, or was cancelled. Either way the scratch directory is gone, but
 * for `keep`.
 */
MUST_CHECK enum rc drill_run(struct app *a, const struct drill_options *o, int *ret_exit,
                             struct error *err);

#endif
