/*
 * Child processes. A child gets stdin from /dev/null, no descriptors but 0, 1, 2, default signal
 * handling, and dies when its parent dies where `die_with_parent` is set. The kernel takes the
 * thread that started it for the parent: don't set that in a worker that ends before the child.
 */
#ifndef PGPROOF_BASE_PROC_H
#define PGPROOF_BASE_PROC_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

struct proc_options {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH if it has no '/' */
    const char *const *env;  /* additions and replacements "NAME=value"; NULL-terminated or NULL */
    const char *cwd;         /* or NULL */
    uid_t uid; /* become this user, with its groups and gid, when we are root; 0: stay */
    gid_t gid;
    const char
        *output_path;    /* append stdout and stderr to this file; NULL: see out, inherit_output */
    bool inherit_output; /* stdout and stderr are ours */
    bool die_with_parent;
    bool new_session; /* out of reach of the terminal's Ctrl-C */
};

/* Start without waiting. */
MUST_CHECK enum rc proc_spawn(const struct proc_options *o, pid_t *ret_pid, struct error *err);

/*
 * Wait up to timeout_ms (-1: for ever; cancellation is looked at). *ret_status is the exit code, or
 * 128 + n after signal n. RC_BUSY when the time is up and the child still runs.
 */
MUST_CHECK enum rc proc_wait(pid_t pid, int timeout_ms, int *ret_status, struct error *err);

/* Start, collect stdout into `out` and stderr into `errout` (either may be NULL: dropped), wait.
 * Output over a buffer's maximum is dropped, not an error. What a daemon that the program left
 * behind writes later is lost: two seconds of silence after the program's end are taken for the
 * end. */
MUST_CHECK enum rc proc_run(const struct proc_options *o, struct buf *out, struct buf *errout,
                            int *ret_status, struct error *err);

/* The directory of the running executable, so that tools find each other. free() it. */
char *proc_self_dir(void);

#endif
