/*
 * Write the files of a manifest from packs. Workers take packs, not files: get, check, decode each
 * frame that a file wants, write it at its offset. pg_control is left out: it goes in last.
 */
#ifndef PGPROOF_RESTORE_UNPACK_H
#define PGPROOF_RESTORE_UNPACK_H

#include "base/progress.h"
#include "restore/target_dir.h"

struct unpack_options {
    struct repo *repo;
    const char *cluster;
    const struct target_dir *target;
    struct manifest *manifest;
    unsigned workers;
    struct progress *progress;
    struct buf *control; /* gets pg_control's bytes */
};

/* Is this manifest path written by somebody else (recovery settings) or later (pg_control)? */
bool unpack_leaves_out(const char *path);

MUST_CHECK enum rc unpack_files(const struct unpack_options *o, struct error *err);

#endif
