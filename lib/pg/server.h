/* Running a server on a data directory: a restored cluster with --start, the scratch instance. */
#ifndef PGPROOF_PG_SERVER_H
#define PGPROOF_PG_SERVER_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * The directory with `postgres` of this major: `configured` if not NULL, else
 * /usr/lib/postgresql/<major>/bin, else `pg_config --bindir`, else PATH. The binary's own
 * --version decides. RC_CONFIG when none fits. malloc'ed.
 */
MUST_CHECK enum rc server_find_bindir(const char *configured, uint32_t major, char **ret,
                                      struct error *err);

/* Is a server running on this data directory? By postmaster.pid and the process behind it, which
 * must work in this directory; a stale file is not a server. ret_pid may be NULL. */
MUST_CHECK enum rc server_is_running(const char *data_directory, bool *ret, pid_t *ret_pid,
                                     struct error *err);

struct server_options {
    const char *bindir;
    const char *data_directory;
    const char *log_path;         /* the server's output is appended here */
    const char *socket_directory; /* private; its path must fit a socket address */
    const char *const *settings;  /* "name=value" for -c; NULL-terminated, or NULL */
    const char *user;             /* the role that is tried first, see server_role; may be NULL */
    bool keep_hba;                /* false: whoever can reach the private socket may connect;
                                   * true: the cluster's own pg_hba.conf decides */
    bool die_with_parent;         /* scratch instances: never outlive us, not even a SIGKILL */
};

struct server;

/*
 * Start `postgres` (as the data directory's owner when we are root). No waiting: see server_poll.
 * RC_BUSY: one is running there already.
 *
 * It has no TCP, one socket in socket_directory (made 0700 if it isn't there; refused if others
 * may enter it), its log in log_path, no TLS and its external pid file there too, whatever the
 * cluster's own configuration says; `settings` come after these and win.
 */
MUST_CHECK enum rc server_start(const struct server_options *o, struct server **ret,
                                struct error *err);

enum server_state { SERVER_STARTING, SERVER_ACCEPTING, SERVER_ENDED };
/* Accepting: a connection over the private socket works (read-only ones count). Ended: the process
 * is gone; the end of its log is in `err` as a clear RC_DATABASE error, yet the call gives RC_OK.
 */
MUST_CHECK enum rc server_poll(struct server *s, enum server_state *ret, struct error *err);
pid_t server_pid(const struct server *s);
/* The server's exit code once server_poll said ended, 128 + n after signal n; -1 before. */
int server_exit_code(const struct server *s);
/* "host=... port=... user=... dbname=postgres" for session_open, once server_poll said accepting.
 */
const char *server_conninfo(const struct server *s);
/* Its role: the first of options.user, PGUSER, the name of the server's user and "postgres" that is
 * a superuser; where none is, the first that may connect. */
const char *server_role(const struct server *s);

/* Fast shutdown, immediate after timeout_s. Frees. Takes NULL. */
MUST_CHECK enum rc server_stop(struct server *s, int timeout_s, struct error *err);
void server_kill(
    struct server *s); /* immediate shutdown, wait, free; for error paths; takes NULL */
void server_leave(struct server *s); /* let it run on; free the handle only */
DEFINE_CLEANUP(cleanup_server, struct server *, server_kill)
#define CLEANUP_SERVER CLEANUP(cleanup_server)

/* The last lines of a server log, for messages; malloc'ed, "" if there is none. */
char *server_log_tail(const char *log_path, unsigned lines);

#endif
