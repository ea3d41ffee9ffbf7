/* What the parts of pg_fixture share; tests include pg_fixture.h only. */
#ifndef PGPROOF_TESTS_SUPPORT_PG_FIXTURE_INT_H
#define PGPROOF_TESTS_SUPPORT_PG_FIXTURE_INT_H

#include "base/mem.h"
#include "base/proc.h"
#include "pg/server.h"
#include "support/pg_fixture.h"

#define PGFIX_PORT "5432"

struct pgfix {
    struct pgfix *next; /* all of this process, youngest first */
    pid_t owner;        /* the process that made it: a fork of the test must not clean up */
    struct arena *arena;
    const char *dir, *data, *sockets, *log, *bindir, *user_name;
    const char *conninfo, *database;
    const char *config, *bin; /* NULL until somebody asks */
    uid_t uid;
    gid_t gid;
    bool root; /* we are root and become uid */
    uint32_t major;
    struct server *server;
    struct session *session;
    pid_t pgbench;
    const char **tool_env;
    size_t tool_env_count, tool_env_capacity;
};

/* Fail the running test: the text, the error's three parts, the end of the server's log. */
_Noreturn void pgfix_fail(struct pgfix *f, const struct error *err, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Options for a child of the fixture's user in the private directory. */
struct proc_options pgfix_child(const struct pgfix *f, const char *const *argv);
/* Run a program and fail unless it exits with 0. */
void pgfix_must_run(struct pgfix *f, const char *const *argv);
/* The path of a PostgreSQL client program: the fixture's bindir, else Debian's, else PATH. */
const char *pgfix_client(struct pgfix *f, const char *name);
/* Can this user get at the path? By the modes of all directories on the way. */
bool pgfix_can_reach(const char *path, uid_t uid, gid_t gid);
double pgfix_deadline(void); /* by clock_monotonic */
void pgfix_sleep(void);      /* between two looks at something */

#endif
