/*
 * The directories that a restore fills: the new data directory and its tablespaces.
 *
 * Everything is opened beneath these directories without following links, whatever a manifest says.
 * From begin to end a marker file stands in the data directory; it names what the restore filled,
 * so that the same command can clear away a restore that was killed, and nothing else.
 */
#ifndef PGPROOF_RESTORE_TARGET_DIR_H
#define PGPROOF_RESTORE_TARGET_DIR_H

#include "repo/backup.h"

#include <sys/types.h>

#define RESTORE_MARKER "pgproof-restore.unfinished"

struct target_tablespace {
    uint32_t oid;
    char *location; /* where it goes; absolute */
    int fd;
};

struct target_dir {
    char *path; /* absolute */
    int fd;
    struct target_tablespace *tablespaces; /* those with a location of their own */
    size_t tablespace_count;
    bool set_owner; /* we are root */
    uid_t uid;
    gid_t gid;
};

/* Decide where everything goes. tablespace_root: NULL for the places they had at the backup. */
MUST_CHECK enum rc target_plan(const char *path, const char *tablespace_root,
                               const struct backup_info *b, struct target_dir *ret,
                               struct error *err);

/*
 * Without changing anything: no server may run there; every directory must be empty, missing, or
 * left by a restore that was cut off; there must be room. RC_REFUSED otherwise.
 * *ret_unfinished: something of a cut-off restore is there and will be removed by target_begin.
 */
MUST_CHECK enum rc target_check(const struct target_dir *t, uint64_t bytes_needed,
                                bool *ret_unfinished, struct error *err);

/* Make the directories, clear what a cut-off restore left, write the marker. */
MUST_CHECK enum rc target_begin(struct target_dir *t, struct error *err);

/*
 * Open the file at a manifest path for writing, making it (mode as given, our owner). The caller
 * closes it. Never follows a link and never leaves the target.
 */
MUST_CHECK enum rc target_open(const struct target_dir *t, const char *path, mode_t mode,
                               int *ret_fd, struct error *err);
MUST_CHECK enum rc target_make_dir(const struct target_dir *t, const char *path, mode_t mode,
                                   struct error *err);
/* pg_tblspc/<oid> -> location. */
MUST_CHECK enum rc target_link_tablespace(const struct target_dir *t, uint32_t oid,
                                          struct error *err);
/* Write a small file whole. */
MUST_CHECK enum rc target_write(const struct target_dir *t, const char *path, mode_t mode,
                                const void *data, size_t len, struct error *err);

/* All that was written is durable. */
MUST_CHECK enum rc target_sync(const struct target_dir *t, struct error *err);

/* The last step: put pg_control in its place, durably, then remove the marker. */
MUST_CHECK enum rc target_commit(const struct target_dir *t, const void *control, size_t len,
                                 struct error *err);

void target_done(struct target_dir *t);

#endif
