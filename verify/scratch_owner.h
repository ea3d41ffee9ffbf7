/* owner.json of a scratch directory: who works there, and is it still at work? */
#ifndef PGPROOF_VERIFY_SCRATCH_OWNER_H
#define PGPROOF_VERIFY_SCRATCH_OWNER_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define OWNER_FILE "owner.json"

enum owner_state {
    OWNER_NONE,    /* no owner file, or none that a drill of this user wrote */
    OWNER_AT_WORK, /* its process lives */
    OWNER_KEPT,    /* somebody wants to look at it */
    OWNER_GONE,    /* its process ended without cleaning up */
};

struct owner {
    enum owner_state state;
    int fd;               /* GONE: holds the lock now; close it. Else -1 */
    char socket_dir[256]; /* a socket directory outside, or "" */
};

/* Create <root>/owner.json, lock it, write this process into it. *ret_fd holds the lock. */
MUST_CHECK enum rc owner_begin(const char *root, const char *socket_dir, int *ret_fd,
                               struct error *err);
MUST_CHECK enum rc owner_write(int fd, const char *root, const char *socket_dir, bool kept,
                               struct error *err);
/* What is the matter with this scratch directory? */
MUST_CHECK enum rc owner_look(const char *root, struct owner *ret, struct error *err);

/* Remove the tree with the owner file last, so that a removal that is cut short can be gone on
 * with. */
MUST_CHECK enum rc owner_remove_root(const char *root, struct error *err);

/* Clock ticks since boot at which a process began; false if there is no such process. */
bool process_start_ticks(pid_t pid, uint64_t *ret);

#endif
