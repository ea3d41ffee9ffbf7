/* What a drill does with the scratch server once the files are restored. */
#ifndef PGPROOF_VERIFY_DRILL_STEPS_H
#define PGPROOF_VERIFY_DRILL_STEPS_H

#include "app/app.h"
#include "verify/drill_choose.h"
#include "verify/scratch.h"

struct drill_server_options {
    const struct app *app;
    struct repo *repo; /* asked whether it is still there when recovery failed */
    const struct drill_subject *subject;
    const struct scratch *scratch;
    const char *bindir;
    int64_t timeout_seconds; /* for recovery; 0: none */
};

/*
 * Start, recover, compare, promote, check, stop. A step that does not succeed gets its verdict, and
 * the later ones stay "not run". Only cancellation and trouble of our own are errors. No server is
 * left behind.
 */
MUST_CHECK enum rc drill_server_steps(const struct drill_server_options *o, struct proof *p,
                                      struct error *err);

#endif
