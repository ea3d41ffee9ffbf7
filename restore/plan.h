/*
 * The plan: which backup, which WAL, to which moment; made and checked before anything is touched.
 */
#ifndef PGPROOF_RESTORE_PLAN_H
#define PGPROOF_RESTORE_PLAN_H

#include "archive/branch.h"
#include "pg/recovery.h"
#include "repo/backup.h"

/* What the user asked for. */
struct restore_request {
    const char *backup; /* an id, "latest", "oldest", or NULL: choose for the target */
    struct recovery_target target;
    uint32_t timeline; /* 0: the newest */
};

struct restore_plan {
    struct catalog *catalog;
    const struct backup_info *backup; /* in the catalog */
    const char *why;                  /* why this backup: a literal */
    struct cluster_system system;
    struct recovery_target target; /* with the timeline filled in */
    struct wal_list *wal;
    struct history history;
    struct branch branch;                 /* a view of these two */
    uint64_t first_segment, last_segment; /* WAL that recovery will read */
};

/*
 * RC_REFUSED: the target can't be reached, with the reason and the nearest moments that can.
 * So are a backup that is not there, and a repository without any.
 */
MUST_CHECK enum rc plan_make(struct repo *r, const char *cluster, const struct restore_request *q,
                             struct restore_plan *ret, struct error *err);
void plan_done(struct restore_plan *p);

/* "time 2026-11-21 14:30:00 UTC", "latest", … malloc'ed. */
char *plan_target_text(const struct recovery_target *t);

#endif
