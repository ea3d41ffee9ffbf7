/*
 * A session with a server (libpq). One thread at a time. Errors are RC_DATABASE with the server's
 * own words, detail and hint; the connection string's secrets never appear in them.
 */
#ifndef PGPROOF_PG_SESSION_H
#define PGPROOF_PG_SESSION_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdint.h>

struct session;

/*
 * Connect with a libpq connection string and settle what could change results: empty search_path,
 * DateStyle ISO, TimeZone UTC, extra_float_digits, no statement, lock or idle timeouts, row
 * security off.
 * application: for application_name. database: NULL for the one in the string.
 */
MUST_CHECK enum rc session_open(const char *conninfo, const char *application, const char *database,
                                struct session **ret, struct error *err);
void session_close(struct session *s); /* takes NULL */
DEFINE_CLEANUP(cleanup_session, struct session *, session_close)
#define CLEANUP_SESSION CLEANUP(cleanup_session)

/* The user that a connection string names; NULL where it names none or can't be read. malloc'ed. */
char *conninfo_user(const char *conninfo);

uint32_t session_version(const struct session *s); /* 150020 */
/* The SQLSTATE of the last query that the server refused, e.g. "XX002"; "" if none was, or if the
 * connection broke. */
const char *session_sqlstate(const struct session *s);
/* True if the server is still there (a cheap query works). */
bool session_alive(struct session *s);

struct rows;                    /* a query's result, all text */
void rows_free(struct rows *r); /* takes NULL */
DEFINE_CLEANUP(cleanup_rows, struct rows *, rows_free)
#define CLEANUP_ROWS CLEANUP(cleanup_rows)
int rows_count(const struct rows *r);
const char *rows_get(const struct rows *r, int row, int column); /* NULL for SQL NULL */

/* Parameters are text or NULL; n of them for $1 … $n. ret may be NULL for commands. Cancellation
 * (base/cancel.h) cancels the query on the server. */
MUST_CHECK enum rc session_query(struct session *s, const char *sql, int n,
                                 const char *const *params, struct rows **ret, struct error *err);
MUST_CHECK enum rc session_exec(struct session *s, const char *sql, struct error *err);
/* One row, one column, not NULL; malloc'ed. */
MUST_CHECK enum rc session_value(struct session *s, const char *sql, char **ret, struct error *err);
MUST_CHECK enum rc session_value_u64(struct session *s, const char *sql, uint64_t *ret,
                                     struct error *err);
MUST_CHECK enum rc session_value_lsn(struct session *s, const char *sql, uint64_t *ret,
                                     struct error *err);

/* Facts that most tools want of a server. */
struct server_facts {
    uint32_t version_num;
    uint64_t system_identifier;
    uint32_t wal_segment_bytes;
    uint32_t page_bytes;
    uint32_t relation_segment_pages;
    bool in_recovery;
    bool data_checksums;
    char data_directory[1024];
    char wal_level[16];
    char archive_mode[16];
    char archive_command[1024];
    bool full_page_writes;
};
MUST_CHECK enum rc session_facts(struct session *s, struct server_facts *ret, struct error *err);

/* Quoted for SQL; malloc'ed. */
char *sql_literal(struct session *s, const char *value);
char *sql_identifier(struct session *s, const char *name);

#endif
