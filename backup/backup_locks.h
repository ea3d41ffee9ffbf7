/*
 * Object locks of a backup. What it writes is locked as it is put; what it needs beside that (WAL,
 * the records of repository and system, packs of earlier backups) gets its lock made longer, before
 * backup.json is put: nothing that is listed may be less protected than its tier says.
 */
#ifndef PGPROOF_BACKUP_BACKUP_LOCKS_H
#define PGPROOF_BACKUP_BACKUP_LOCKS_H

#include "repo/backup.h"

struct backup_needs {
    const char *cluster;
    const struct backup_info *info;
    const struct manifest *manifest;
    uint64_t first_segment, last_segment; /* of the backup's timeline */
};

/* Until repo->locked_until; nothing to do where that is 0. */
MUST_CHECK enum rc backup_lock_needs(const struct backup_needs *n, struct repo *r, unsigned jobs,
                                     struct error *err);

#endif
