/* What a server must be and have so that it can be backed up; used by init and check. */
#ifndef PGPROOF_PGPROOF_SERVER_REVIEW_H
#define PGPROOF_PGPROOF_SERVER_REVIEW_H

#include "app/app.h"
#include "pg/session.h"

/* A version that we know, and settings with which a base backup can be consistent. RC_REFUSED says
 * what to change. */
MUST_CHECK enum rc review_server(const struct server_facts *f, struct error *err);

/* The directory is there, readable, and the one that this server runs on: RC_INTEGRITY if its
 * pg_control has another system identifier. */
MUST_CHECK enum rc review_data_directory(const char *data_directory, const struct server_facts *f,
                                         struct error *err);

/* Does the server archive with pgproof-wal-push? */
struct archiving {
    bool on;            /* archive_mode is on (or always) */
    bool always;        /* also while it is a standby: two would archive the same WAL */
    bool ours;          /* archive_command runs pgproof-wal-push */
    char library[1024]; /* archive_library, which is used instead of archive_command; mostly "" */
};
MUST_CHECK enum rc review_archiving(struct session *s, const struct server_facts *f,
                                    struct archiving *ret, struct error *err);
bool archiving_ready(const struct archiving *ar);
/* What is missing, in words; malloc'ed. */
char *archiving_problem(const struct archiving *ar);
/* The lines for postgresql.conf, and how they come into force. */
void archiving_print_remedy(FILE *to, const struct app *a, const struct archiving *ar);
/* As in postgresql.conf, quoted: "'/usr/bin/pgproof-wal-push --config=… %p'"; malloc'ed. */
char *archive_command_value(const struct app *a);

#endif
