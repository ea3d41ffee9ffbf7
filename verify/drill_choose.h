/* What a drill is about: the backup, and where recovery has to stop. */
#ifndef PGPROOF_VERIFY_DRILL_CHOOSE_H
#define PGPROOF_VERIFY_DRILL_CHOOSE_H

#include "repo/backup.h"
#include "verify/proof.h"
#include "verify/row_check.h"

struct drill_subject {
    struct catalog *catalog;        /* owned */
    const struct backup_info *info; /* the catalog's */
    struct row_counts *counts;      /* owned; NULL: none that can be compared */
    uint64_t target_lsn;            /* of the counts; else the backup's stop LSN */
};
void drill_subject_done(struct drill_subject *s);

/*
 * backup: an id or "latest". RC_NOT_FOUND where there is none: nothing to check is not green. Says
 * in the proof what it is about, and in CHECK_ROWS why there are no counts.
 */
MUST_CHECK enum rc drill_choose(struct repo *r, const char *cluster, const char *backup,
                                struct drill_subject *ret, struct proof *p, struct error *err);

/* CHECK_ARCHIVE: every WAL segment from the backup's start to the target is in the repository. */
MUST_CHECK enum rc drill_check_archive(struct repo *r, const char *cluster,
                                       const struct drill_subject *s, struct proof *p,
                                       struct error *err);

#endif
