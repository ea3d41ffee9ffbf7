#include "pg/session.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct session {
    PGconn *conn;
    char *where; /* for messages: database and server, nothing secret */
    char sqlstate[6];
};

struct rows {
    PGresult *result;
};

DEFINE_CLEANUP(cleanup_result, PGresult *, PQclear)

/* ---- errors ---- */

/* libpq ends its messages with a newline; a longer one becomes one line. */
static void one_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '\n' || *from == '\t') {
            if (to > text && to[-1] != ' ')
                *to++ = ' ';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Another try may end differently: lost connection, rollback for concurrency, resources, shutdown
 * or start-up of the server, a lock that was not there in time. */
static bool state_is_transient(const char *sqlstate)
{
    return !sqlstate || str_starts(sqlstate, "08") || str_starts(sqlstate, "40") ||
           str_starts(sqlstate, "53") || str_starts(sqlstate, "57P") || str_eq(sqlstate, "55P03");
}

static enum rc connection_lost(struct session *s, struct error *err)
{
    s->sqlstate[0] = '\0';
    CLEANUP_FREE char *text = str_dup(PQerrorMessage(s->conn));
    one_line(text);
    error_set(err, RC_DATABASE, "lost the connection to the server: %s",
              *text ? text : "no reason given");
    err->transient = true;
    error_on(err, "%s", s->where);
    return error_now(err, "see the server's log, then run this again");
}

static enum rc query_failed(struct session *s, const char *sql, const PGresult *result,
                            struct error *err)
{
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!primary || PQstatus(s->conn) != CONNECTION_OK)
        return connection_lost(s, err);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    (void)str_copy(s->sqlstate, sizeof s->sqlstate, state ? state : "");
    error_set(err, RC_DATABASE, "the server refused a query: %s (SQLSTATE %s)%s%s", primary,
              state ? state : "unknown", detail ? "; " : "", detail ? detail : "");
    err->transient = state_is_transient(state);
    error_on(err, "%s: %.200s%s", s->where, sql, strlen(sql) > 200 ? "..." : "");
    if (hint)
        error_now(err, "%s", hint);
    return err->rc;
}

static void on_notice(void *ctx, const PGresult *result)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("%s: %s", ((struct session *)ctx)->where, text ? text : "notice without text");
}

/* ---- opening ---- */

/* libpq quotes what it could not parse, which may be the tail of a password; we don't. */
static enum rc check_conninfo(const char *conninfo, struct error *err)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    if (options) {
        PQconninfoFree(options);
        return RC_OK;
    }
    error_set(err, RC_CONFIG, "the connection string is not one that libpq understands");
    return error_now(err,
                     "write it as \"host=... port=... user=... dbname=...\", with quotes '...' "
                     "around values that hold spaces");
}

static char *describe(PGconn *conn)
{
    const char *database = PQdb(conn), *host = PQhost(conn), *port = PQport(conn);
    return str_printf("database %s on %s port %s", database ? database : "?",
                      host && *host ? host : "the local socket", port ? port : "?");
}

static enum rc connection_failed(PGconn *conn, const char *where, struct error *err)
{
    CLEANUP_FREE char *text = str_dup(PQerrorMessage(conn));
    one_line(text);
    error_set(err, RC_DATABASE, "could not connect to the server: %s",
              *text ? text : "no reason given");
    err->transient = true;
    error_on(err, "%s", where);
    return error_now(err, "check that the server runs and that the connection string is right");
}

static enum rc connect_session(struct session *s, const char *conninfo, const char *application,
                               const char *database, struct error *err)
{
    /* A later keyword overrides what the string says; the end of the list is where one is NULL. */
    const char *const keywords[] = {"dbname", "application_name", database ? "dbname" : NULL, NULL};
    const char *const values[] = {conninfo, application, database, NULL};
    TRY(check_conninfo(conninfo, err));
    s->conn = PQconnectdbParams(keywords, values, 1);
    if (!s->conn)
        return error_set(err, RC_NOMEM, "could not get memory for a connection");
    s->where = describe(s->conn);
    if (PQstatus(s->conn) != CONNECTION_OK)
        return connection_failed(s->conn, s->where, err);
    PQsetNoticeReceiver(s->conn, on_notice, s);
    return RC_OK;
}

/*
 * What could change results, or end a session that waits for its turn. Bytes come as the server has
 * them: a conversion could fail, and would spoil paths.
 */
static const char settle_sql[] =
    "SET search_path = ''; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';"
    "SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex';"
    "SET standard_conforming_strings = on; SET client_encoding = 'SQL_ASCII';"
    "SET row_security = off; SET statement_timeout = 0; SET lock_timeout = 0;"
    "SET idle_in_transaction_session_timeout = 0";

static enum rc settle(struct session *s, struct error *err)
{
    TRY(session_exec(s, settle_sql, err));
    if (session_version(s) >= 140000)
        TRY(session_exec(s, "SET idle_session_timeout = 0", err));
    if (session_version(s) >= 170000)
        TRY(session_exec(s, "SET transaction_timeout = 0", err));
    return RC_OK;
}

enum rc session_open(const char *conninfo, const char *application, const char *database,
                     struct session **ret, struct error *err)
{
    CLEANUP_SESSION struct session *s = mem_zalloc(sizeof *s);
    TRY(connect_session(s, conninfo, application, database, err));
    TRY(settle(s, err));
    *ret = s;
    s = NULL;
    return RC_OK;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    PQfinish(s->conn);
    free(s->where);
    free(s);
}

uint32_t session_version(const struct session *s)
{
    return (uint32_t)PQserverVersion(s->conn);
}

const char *session_sqlstate(const struct session *s)
{
    return s->sqlstate;
}

bool session_alive(struct session *s)
{
    struct error ignored;
    return PQstatus(s->conn) == CONNECTION_OK &&
           session_query(s, "SELECT 1", 0, NULL, NULL, &ignored) == RC_OK;
}

/* ---- queries ---- */

/* In threads other than the main one signals don't interrupt poll, so it never waits for long. */
#define LOOK_MS 200

static void ask_to_cancel(struct session *s)
{
    PGcancel *cancel = PQgetCancel(s->conn);
    char ignored[256];
    if (!cancel)
        return;
    PQcancel(cancel, ignored, sizeof ignored);
    PQfreeCancel(cancel);
}

/* Wait until the next result can be taken without blocking; on cancellation tell the server once,
 * and go on waiting for its answer. */
static bool wait_for_result(struct session *s, bool *cancelled)
{
    for (;;) {
        if (!*cancelled && cancel_signal() != 0) {
            *cancelled = true;
            ask_to_cancel(s);
        }
        int flushed = PQflush(s->conn);
        if (flushed < 0)
            return false;
        if (flushed == 0 && !PQisBusy(s->conn))
            return true;
        short events = (short)(POLLIN | (flushed > 0 ? POLLOUT : 0));
        struct pollfd fd = {.fd = PQsocket(s->conn), .events = events};
        if (poll(&fd, 1, LOOK_MS) < 0 && errno != EINTR)
            return false;
        if ((fd.revents & ~POLLOUT) && !PQconsumeInput(s->conn))
            return false;
    }
}

static bool result_is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

static bool is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* The last result of what was sent, or the first that failed; NULL if the connection broke. */
static PGresult *collect(struct session *s, bool *cancelled)
{
    PGresult *kept = NULL;
    while (wait_for_result(s, cancelled)) {
        PGresult *next = PQgetResult(s->conn);
        if (!next)
            return kept;
        ExecStatusType status = PQresultStatus(next);
        if (kept && !result_is_good(kept)) {
            PQclear(next);
        } else {
            PQclear(kept);
            kept = next;
        }
        if (is_copy(status))
            return kept;
    }
    PQclear(kept);
    return NULL;
}

static enum rc finish_query(struct session *s, const char *sql, int sent, struct rows **ret,
                            struct error *err)
{
    bool cancelled = false;
    CLEANUP(cleanup_result) PGresult *result = sent ? collect(s, &cancelled) : NULL;
    if (result && result_is_good(result) && !cancelled) {
        if (ret) {
            *ret = mem_zalloc(sizeof **ret);
            (*ret)->result = result;
            result = NULL;
        }
        return RC_OK;
    }
    if (cancelled)
        return cancel_check(err);
    if (result && is_copy(PQresultStatus(result)))
        return error_set(err, RC_USAGE, "COPY from or to the client can't be used here");
    return query_failed(s, sql, result, err);
}

enum rc session_query(struct session *s, const char *sql, int n, const char *const *params,
                      struct rows **ret, struct error *err)
{
    int sent = PQsendQueryParams(s->conn, sql, n, NULL, params, NULL, NULL, 0);
    return finish_query(s, sql, sent, ret, err);
}

/* The simple protocol, so that several commands may stand in one text. */
enum rc session_exec(struct session *s, const char *sql, struct error *err)
{
    return finish_query(s, sql, PQsendQuery(s->conn, sql), NULL, err);
}

void rows_free(struct rows *r)
{
    if (!r)
        return;
    PQclear(r->result);
    free(r);
}

int rows_count(const struct rows *r)
{
    return PQntuples(r->result);
}

const char *rows_get(const struct rows *r, int row, int column)
{
    BUG_IF(row < 0 || row >= PQntuples(r->result));
    BUG_IF(column < 0 || column >= PQnfields(r->result));
    if (PQgetisnull(r->result, row, column))
        return NULL;
    return PQgetvalue(r->result, row, column);
}

/* ---- one value ---- */

enum rc session_value(struct session *s, const char *sql, char **ret, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(s, sql, 0, NULL, &rows, err));
    if (rows_count(rows) != 1 || PQnfields(rows->result) != 1 || !rows_get(rows, 0, 0)) {
        error_set(err, RC_DATABASE, "the server gave %d rows of %d columns, or NULL, for one value",
                  rows_count(rows), PQnfields(rows->result));
        return error_on(err, "%s: %.200s", s->where, sql);
    }
    *ret = str_dup(rows_get(rows, 0, 0));
    return RC_OK;
}

static enum rc unexpected_value(struct session *s, const char *sql, const char *value,
                                const char *wanted, struct error *err)
{
    error_set(err, RC_DATABASE, "the server gave \"%.60s\" where %s was expected", value, wanted);
    return error_on(err, "%s: %.200s", s->where, sql);
}

enum rc session_value_u64(struct session *s, const char *sql, uint64_t *ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    TRY(session_value(s, sql, &text, err));
    if (!parse_u64(text, ret))
        return unexpected_value(s, sql, text, "a number", err);
    return RC_OK;
}

enum rc session_value_lsn(struct session *s, const char *sql, uint64_t *ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    TRY(session_value(s, sql, &text, err));
    if (!lsn_parse(text, ret))
        return unexpected_value(s, sql, text, "an LSN", err);
    return RC_OK;
}

/* ---- facts ---- */

static const char facts_sql[] =
    "SELECT s.system_identifier, i.bytes_per_wal_segment, i.database_block_size,"
    " i.blocks_per_segment, pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.current_setting('data_checksums'), pg_catalog.current_setting('data_directory'),"
    " pg_catalog.current_setting('wal_level'), pg_catalog.current_setting('archive_mode'),"
    " pg_catalog.current_setting('archive_command'),"
    " pg_catalog.current_setting('full_page_writes')"
    " FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_init() i";

static bool fact_u32(const struct rows *r, int column, uint32_t *ret)
{
    const char *text = rows_get(r, 0, column);
    uint64_t value;
    if (!text || !parse_u64(text, &value) || value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool fact_u64(const struct rows *r, int column, uint64_t *ret)
{
    const char *text = rows_get(r, 0, column);
    int64_t value; /* SQL has no unsigned type: a large one comes as a negative */
    if (!text || !parse_i64(text, &value))
        return false;
    *ret = (uint64_t)value;
    return true;
}

/* SQL's own booleans come as "t" and "f", settings as "on" and "off". */
static bool fact_flag(const struct rows *r, int column)
{
    const char *text = rows_get(r, 0, column);
    return str_eq(text, "t") || str_eq(text, "on");
}

static bool fact_text(const struct rows *r, int column, char *to, size_t size)
{
    const char *text = rows_get(r, 0, column);
    return text && str_copy(to, size, text);
}

static bool take_facts(const struct rows *r, struct server_facts *f)
{
    if (rows_count(r) != 1)
        return false;
    f->in_recovery = fact_flag(r, 4);
    f->data_checksums = fact_flag(r, 5);
    f->full_page_writes = fact_flag(r, 10);
    (void)fact_text(r, 9, f->archive_command, sizeof f->archive_command); /* may be cut */
    return fact_u64(r, 0, &f->system_identifier) && fact_u32(r, 1, &f->wal_segment_bytes) &&
           fact_u32(r, 2, &f->page_bytes) && fact_u32(r, 3, &f->relation_segment_pages) &&
           fact_text(r, 6, f->data_directory, sizeof f->data_directory) &&
           fact_text(r, 7, f->wal_level, sizeof f->wal_level) &&
           fact_text(r, 8, f->archive_mode, sizeof f->archive_mode);
}

enum rc session_facts(struct session *s, struct server_facts *ret, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct server_facts facts = {.version_num = session_version(s)};
    TRY(session_query(s, facts_sql, 0, NULL, &rows, err));
    if (!take_facts(rows, &facts)) {
        error_set(err, RC_DATABASE, "the server's description of itself makes no sense");
        return error_on(err, "%s", s->where);
    }
    *ret = facts;
    return RC_OK;
}

/* ---- quoting ---- */

static char *take_quoted(struct session *s, char *quoted)
{
    if (!quoted)
        BUG("could not quote text for SQL: %s", PQerrorMessage(s->conn));
    char *copy = str_dup(quoted);
    PQfreemem(quoted);
    return copy;
}

char *sql_literal(struct session *s, const char *value)
{
    return take_quoted(s, PQescapeLiteral(s->conn, value, strlen(value)));
}

char *sql_identifier(struct session *s, const char *name)
{
    return take_quoted(s, PQescapeIdentifier(s->conn, name, strlen(name)));
}

char *conninfo_user(const char *conninfo)
{
    PQconninfoOption *options = conninfo ? PQconninfoParse(conninfo, NULL) : NULL;
    char *user = NULL;

    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (o->val && str_eq(o->keyword, "user"))
            user = str_dup(o->val);
    PQconninfoFree(options);
    return user;
}
