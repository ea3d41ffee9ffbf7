/* Running pgproof-restore, the one that a human will run, for a drill. */
#ifndef PGPROOF_VERIFY_DRILL_RESTORE_H
#define PGPROOF_VERIFY_DRILL_RESTORE_H

#include "app/app.h"
#include "verify/drill_choose.h"
#include "verify/scratch.h"

/* Fills in CHECK_RESTORE. Its output goes to dir->restore_log. */
MUST_CHECK enum rc drill_restore(const struct app *a, const struct drill_subject *s,
                                 const struct scratch *dir, struct proof *p, struct error *err);

/* The command line, for the shell. malloc'ed. */
char *drill_restore_command(const struct app *a, const struct drill_subject *s,
                            const struct scratch *dir);

#endif
