/*
 * The last files of a restore: recovery settings and signal file, the tablespace map and the
 * configuration from outside the data directory, a backup_manifest that pg_verifybackup accepts.
 */
#ifndef PGPROOF_RESTORE_SETTLE_H
#define PGPROOF_RESTORE_SETTLE_H

#include "pg/recovery.h"
#include "restore/target_dir.h"

/* Configuration files that lay outside the data directory (Debian) are put below this. */
#define SETTLE_CONFIG_DIR "pgproof_config"

struct settle_options {
    const struct target_dir *target;
    const struct backup_info *backup;
    struct manifest *manifest;
    const struct buf *control; /* pg_control as it will be committed */
    const struct recovery_target *recovery;
    const char *restore_command;
    bool replacement; /* this copy may archive in place of the original */
};

MUST_CHECK enum rc settle(const struct settle_options *o, struct error *err);

#endif
