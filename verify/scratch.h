/*
 * The scratch directory of one drill, and the leftovers of killed ones.
 *
 *     <scratch-directory>/pgproof-drill-<16 hex>/
 *         owner.json     who works here; held with flock(2) for as long as the drill lives
 *         data/          the restored data directory
 *         tablespaces/   what lay outside of it
 *         conf/          the scratch server's own configuration files
 *         socket/        its Unix socket (in /tmp/<same name>/ where this path is too long for one)
 *         restore.log, server.log
 *
 * The lock goes away with the process, whatever ends it; so the next drill can tell a directory
 * that was left behind from one at work.
 */
#ifndef PGPROOF_VERIFY_SCRATCH_H
#define PGPROOF_VERIFY_SCRATCH_H

#include "base/cleanup.h"
#include "base/error.h"

#include <sys/types.h>

#define SCRATCH_PREFIX "pgproof-drill-"

struct scratch {
    char *root;
    char *data, *tablespaces, *conf, *socket, *restore_log, *server_log;
    bool socket_outside; /* socket is a directory of its own, below /tmp */
    int owner_fd;        /* holds the lock */
};

/*
 * Make <parent>/pgproof-drill-<random> (0700) with conf, socket and tablespaces in it, belonging to
 * uid and gid where we are root: the scratch server will run as them, and pgproof-restore gives
 * what it restores to the owner of the directory that it lies in. `parent` is made if it isn't
 * there.
 */
MUST_CHECK enum rc scratch_make(const char *parent, uid_t uid, gid_t gid, struct scratch **ret,
                                struct error *err);

/* Write it down as kept, so that no later drill removes it. */
MUST_CHECK enum rc scratch_keep(struct scratch *s, struct error *err);

/* Remove everything. The scratch server must be gone. */
MUST_CHECK enum rc scratch_remove(struct scratch *s, struct error *err);

/* Frees the handle and lets go of the lock; removes nothing. Takes NULL. */
void scratch_free(struct scratch *s);
DEFINE_CLEANUP(cleanup_scratch, struct scratch *, scratch_free)
#define CLEANUP_SCRATCH CLEANUP(cleanup_scratch)

/*
 * Remove what killed drills left in `parent`: their servers (only a process whose working directory
 * is that data directory) and their files. Directories of drills at work, kept ones, and whatever a
 * drill didn't make stay. What can't be removed is logged and does not stop the sweep.
 */
MUST_CHECK enum rc scratch_sweep(const char *parent, unsigned *ret_removed, struct error *err);

#endif
