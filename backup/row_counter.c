#include "backup/row_counter.h"

#include "app/app_open.h"
#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/counted.h"
#include "pg/lsn.h"
#include "repo/row_counts.h"

#include <stdlib.h>
#include <string.h>

#define QUIET_TRIES    20
#define QUIET_PAUSE_MS 100

struct database {
    char *name;
    struct session *session; /* NULL: could not be opened */
    uint64_t xmin, xmax;
};

struct counting {
    const struct app *app;
    struct session *control;
    struct database *databases;
    size_t count;
    struct row_counts *counts;
};

static void counting_done(struct counting *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->databases[i].name);
        session_close(c->databases[i].session);
    }
    free(c->databases);
    row_counts_free(c->counts);
}

static void miss(struct counting *c, const char *database, const char *schema, const char *table,
                 const char *reason)
{
    row_counts_add_gap(c->counts, database, schema, table, reason);
    CLEANUP_FREE char *whole = table ? str_printf("%s: %s.%s", database, schema, table)
                                     : str_printf("database %s", database);
    CLEANUP_FREE char *shown = str_printable(whole);
    log_warning("rows not counted in %s: %s", shown, reason);
}

/* ---- sessions and snapshots ---- */

static enum rc open_databases(struct counting *c, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(counted_databases(c->control, &rows, err));
    c->databases = mem_zalloc((size_t)(rows_count(rows) + 1) * sizeof *c->databases);
    for (int i = 0; i < rows_count(rows); i++) {
        struct database *d = &c->databases[c->count++];
        struct error why;
        d->name = str_dup(rows_get(rows, i, 0));
        if (app_open_session(c->app, d->name, &d->session, &why) != RC_OK) {
            d->session = NULL;
            miss(c, d->name, NULL, NULL, why.what);
        }
    }
    return RC_OK;
}

static enum rc take_snapshot(struct database *d, uint64_t *ret_lsn, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_exec(d->session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err));
    TRY(session_query(d->session,
                      "SELECT pg_catalog.pg_snapshot_xmin(s), pg_catalog.pg_snapshot_xmax(s), "
                      "pg_catalog.pg_current_wal_insert_lsn() "
                      "FROM pg_catalog.pg_current_snapshot() s",
                      0, NULL, &rows, err));
    uint64_t xmin, xmax, lsn;
    if (rows_count(rows) != 1 || !rows_get(rows, 0, 2) || !parse_u64(rows_get(rows, 0, 0), &xmin) ||
        !parse_u64(rows_get(rows, 0, 1), &xmax) || !lsn_parse(rows_get(rows, 0, 2), &lsn))
        return error_set(err, RC_DATABASE, "the server's snapshot is not readable");
    d->xmin = xmin;
    d->xmax = xmax;
    *ret_lsn = lsn;
    return RC_OK;
}

/* One snapshot in each database; the LSN comes with the last. A session that fails is given up. */
static void take_snapshots(struct counting *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct database *d = &c->databases[i];
        struct error why;
        if (d->session && take_snapshot(d, &c->counts->lsn, &why) != RC_OK) {
            session_close(d->session);
            d->session = NULL;
            miss(c, d->name, NULL, NULL, why.what);
        }
    }
}

static void drop_snapshots(struct counting *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct error ignored;
        if (c->databases[i].session &&
            session_exec(c->databases[i].session, "ROLLBACK", &ignored) != RC_OK)
            log_debug("%s: %s", c->databases[i].name, ignored.what);
    }
}

/*
 * Do all snapshots show the same, and nothing in progress? Being given the very xid that they end
 * at proves that no other transaction got one before the LSN was read: one that had would have been
 * invisible to the snapshots while its commit may already stand in front of the LSN.
 */
static enum rc snapshots_are_quiet(struct counting *c, bool *ret, struct error *err)
{
    uint64_t at = 0, next;
    for (size_t i = 0; i < c->count; i++) {
        const struct database *d = &c->databases[i];
        if (!d->session)
            continue;
        if (d->xmin != d->xmax || (at != 0 && d->xmax != at)) {
            *ret = false;
            return RC_OK;
        }
        at = d->xmax;
    }
    TRY(session_value_u64(c->control, "SELECT pg_catalog.pg_current_xact_id()::text", &next, err));
    *ret = at != 0 && next == at;
    return RC_OK;
}

static enum rc find_quiet_moment(struct counting *c, struct error *err)
{
    for (int i = 0; i < QUIET_TRIES; i++) {
        if (i > 0) {
            drop_snapshots(c);
            clock_sleep_ms(QUIET_PAUSE_MS);
        }
        TRY(cancel_check(err));
        take_snapshots(c);
        TRY(snapshots_are_quiet(c, &c->counts->exact, err));
        if (c->counts->exact)
            return RC_OK;
    }
    return RC_OK;
}

/* ---- counting ---- */

struct table {
    const char *schema, *name, *oid, *file_number;
};

/* Rows as the snapshot shows them. TRUNCATE and rewrites are not under snapshots: a table whose
 * file is another now than in the snapshot's catalog can't be counted. */
static enum rc count_table(struct session *s, const struct table *t, uint64_t *ret,
                           struct error *err)
{
    CLEANUP_FREE char *schema = sql_identifier(s, t->schema);
    CLEANUP_FREE char *name = sql_identifier(s, t->name);
    CLEANUP_FREE char *sql = str_printf("SELECT (SELECT pg_catalog.count(*) FROM ONLY %s.%s), "
                                        "pg_catalog.pg_relation_filenode($1::pg_catalog.oid)",
                                        schema, name);
    const char *params[] = {t->oid};
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(s, sql, 1, params, &rows, err));
    uint64_t n;
    if (rows_count(rows) != 1 || !rows_get(rows, 0, 0) || !parse_u64(rows_get(rows, 0, 0), &n) ||
        n > INT64_MAX)
        return error_set(err, RC_DATABASE, "the server's answer to count(*) is no number");
    if (!str_eq(rows_get(rows, 0, 1), t->file_number))
        return error_set(err, RC_DATABASE, "it was truncated, rewritten or dropped meanwhile");
    *ret = n;
    return RC_OK;
}

/* In a savepoint that is rolled back: locks go with it, and an error spoils nothing. */
static void count_into(struct counting *c, struct database *d, const struct table *t)
{
    struct error err;
    uint64_t n = 0;
    enum rc rc = session_exec(d->session, "SAVEPOINT one", &err);
    if (rc == RC_OK)
        rc = count_table(d->session, t, &n, &err);
    struct error after;
    if (session_exec(d->session, "ROLLBACK TO SAVEPOINT one", &after) != RC_OK && rc == RC_OK) {
        rc = after.rc;
        err = after;
    }
    if (rc != RC_OK) {
        miss(c, d->name, t->schema, t->name, err.what);
        return;
    }
    row_counts_add_table(c->counts, t->schema, t->name, n);
}

static enum rc list_tables(struct database *d, struct rows **ret, struct error *err)
{
    TRY(session_exec(d->session, "SET LOCAL lock_timeout = '2s'", err));
    return counted_tables(d->session, ret, err);
}

static enum rc count_database(struct counting *c, struct database *d, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error why;
    if (list_tables(d, &rows, &why) != RC_OK) {
        miss(c, d->name, NULL, NULL, why.what);
        return RC_OK;
    }
    row_counts_add_database(c->counts, d->name);
    for (int i = 0; i < rows_count(rows); i++) {
        const struct table t = {rows_get(rows, i, 0), rows_get(rows, i, 1), rows_get(rows, i, 2),
                                rows_get(rows, i, 3)};
        TRY(cancel_check(err));
        count_into(c, d, &t);
    }
    return RC_OK;
}

/* ---- all together ---- */

/* Something must be written behind the LSN, or recovery can't know that it got there. */
static enum rc write_record(struct counting *c, const char *backup_id, struct error *err)
{
    CLEANUP_FREE char *sql =
        str_printf("SELECT pg_catalog.pg_create_restore_point('pgproof-%s')", backup_id);
    struct error why;
    if (session_exec(c->control, sql, &why) == RC_OK)
        return RC_OK;
    log_debug("no restore point: %s", why.what);
    return session_exec(c->control,
                        "SELECT pg_catalog.pg_logical_emit_message(false, 'pgproof', '')", err);
}

static enum rc count_all(struct counting *c, struct error *err)
{
    TRY(open_databases(c, err));
    c->counts->taken = clock_now();
    TRY(find_quiet_moment(c, err));
    for (size_t i = 0; i < c->count; i++)
        if (c->databases[i].session)
            TRY(count_database(c, &c->databases[i], err));
    drop_snapshots(c);
    return RC_OK;
}

enum rc row_counter_note(const struct app *a, const struct wait_wal *w, const char *backup_id,
                         struct row_counter_result *ret, struct error *err)
{
    CLEANUP(counting_done)
    struct counting c = {.app = a, .control = w->session, .counts = row_counts_new()};
    struct row_counter_result result = {0};
    str_copy(c.counts->backup_id, sizeof c.counts->backup_id, backup_id);
    TRY(count_all(&c, err));
    TRY(write_record(&c, backup_id, err));
    TRY(wait_wal_end_segment(w, &result.timeline, &result.segment, err));
    TRY(row_counts_put(w->repo, w->cluster, c.counts, &result.name, err));
    result.table_count = row_counts_table_count(c.counts);
    result.missed_count = c.counts->gap_count;
    result.exact = c.counts->exact;
    result.lsn = c.counts->lsn;
    *ret = result;
    return RC_OK;
}
