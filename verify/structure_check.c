#include "verify/structure_check.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/session.h"
#include "verify/damage.h"

#include <inttypes.h>
#include <stdlib.h>

/* amcheck goes into a schema that no database has. */
#define OWN_SCHEMA "pgproof_drill"

/* What became of the things that one check looked at, over all databases. */
struct tally {
    uint64_t good, bad, unknown;
    double seconds;
};

struct structure {
    const char *conninfo;
    struct proof *proof;
    struct tally tallies[CHECK_COUNT];
    const char *no_amcheck; /* why amcheck could not run in a database; NULL: it did in all */
    bool no_verify_heapam;  /* PostgreSQL 13 */

    const char *database;
    struct session *session;
    char *amcheck_schema; /* quoted; NULL: amcheck is not there */
    bool heapam;
};

/* ---- one thing, one query ---- */

static void count_good(struct structure *t, enum check_id id)
{
    t->tallies[id].good++;
}

static void count_bad(struct structure *t, enum check_id id, const char *what, const char *why)
{
    t->tallies[id].bad++;
    check_finding(t->proof, id, "%s: %s: %s", t->database, what, why);
}

/* The server refused a query about `what`. Only a lost connection ends the checks. */
static enum rc count_refused(struct structure *t, enum check_id id, const char *what,
                             const struct error *why, struct error *err)
{
    if (why->rc != RC_DATABASE || damage_judge(t->session) == DAMAGE_LOST) {
        *err = *why;
        return error_prefix(err, "%s: %s", t->database, what);
    }
    if (damage_judge(t->session) == DAMAGE_PROVEN) {
        count_bad(t, id, what, why->what);
        return RC_OK;
    }
    t->tallies[id].unknown++;
    check_finding(t->proof, id, "%s: %s: could not be checked: %s", t->database, what, why->what);
    return RC_OK;
}

static enum rc check_index(struct structure *t, const char *oid, const char *what,
                           struct error *err)
{
    CLEANUP_FREE char *sql = str_printf(
        "SELECT %s.bt_index_parent_check(index => $1::pg_catalog.oid::pg_catalog.regclass, "
        "heapallindexed => true)",
        t->amcheck_schema);
    struct error why;
    enum rc rc = session_query(t->session, sql, 1, &oid, NULL, &why);
    if (rc != RC_OK)
        return count_refused(t, CHECK_INDEXES, what, &why, err);
    count_good(t, CHECK_INDEXES);
    return RC_OK;
}

static enum rc check_heap(struct structure *t, const char *oid, const char *what, struct error *err)
{
    CLEANUP_FREE char *sql =
        str_printf("SELECT blkno, offnum, msg FROM %s.verify_heapam(relation => "
                   "$1::pg_catalog.oid::pg_catalog.regclass, check_toast => true)",
                   t->amcheck_schema);
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error why;
    enum rc rc = session_query(t->session, sql, 1, &oid, &rows, &why);
    if (rc != RC_OK)
        return count_refused(t, CHECK_HEAPS, what, &why, err);
    if (rows_count(rows) == 0) {
        count_good(t, CHECK_HEAPS);
        return RC_OK;
    }
    const char *block = rows_get(rows, 0, 0), *item = rows_get(rows, 0, 1),
               *message = rows_get(rows, 0, 2);
    CLEANUP_FREE char *text =
        str_printf("block %s, item %s: %s (%d complaints in all)", block ? block : "?",
                   item ? item : "?", message ? message : "", rows_count(rows));
    count_bad(t, CHECK_HEAPS, what, text);
    return RC_OK;
}

static enum rc read_table(struct structure *t, const char *schema, const char *name,
                          const char *what, struct error *err)
{
    CLEANUP_FREE char *quoted_schema = sql_identifier(t->session, schema);
    CLEANUP_FREE char *quoted_name = sql_identifier(t->session, name);
    CLEANUP_FREE char *sql =
        str_printf("SELECT pg_catalog.count(*) FROM ONLY %s.%s", quoted_schema, quoted_name);
    struct error why;
    uint64_t rows;
    enum rc rc = session_value_u64(t->session, sql, &rows, &why);
    if (rc != RC_OK)
        return count_refused(t, CHECK_TABLES, what, &why, err);
    count_good(t, CHECK_TABLES);
    return RC_OK;
}

/* ---- amcheck itself ---- */

static void without_amcheck(struct structure *t, const char *why)
{
    CLEANUP_FREE char *text =
        str_printf("amcheck is not there in database %s: %s", t->database, why);
    if (!t->no_amcheck)
        t->no_amcheck = proof_text(t->proof, text);
}

/* An installed one may be of a version that lacks functions: ours then comes on top of nothing. */
static enum rc install_amcheck(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error why;
    TRY(session_query(t->session,
                      "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e "
                      "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
                      "WHERE e.extname = 'amcheck'",
                      0, NULL, &rows, err));
    enum rc rc =
        session_exec(t->session,
                     rows_count(rows) > 0 ? "ALTER EXTENSION amcheck UPDATE"
                                          : "CREATE SCHEMA " OWN_SCHEMA
                                            "; CREATE EXTENSION amcheck SCHEMA " OWN_SCHEMA,
                     &why);
    if (rc == RC_OK) {
        t->amcheck_schema = str_dup(rows_count(rows) > 0 ? rows_get(rows, 0, 0) : OWN_SCHEMA);
        return RC_OK;
    }
    if (rc == RC_CANCELLED) {
        *err = why;
        return rc;
    }
    without_amcheck(t, why.what);
    return RC_OK;
}

static enum rc look_at_amcheck(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    if (!t->amcheck_schema)
        return RC_OK;
    TRY(session_query(t->session,
                      "SELECT e.extversion, EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE "
                      "p.pronamespace = e.extnamespace AND p.proname = 'verify_heapam') "
                      "FROM pg_catalog.pg_extension e WHERE e.extname = 'amcheck'",
                      0, NULL, &rows, err));
    if (rows_count(rows) != 1)
        return error_set(err, RC_DATABASE, "the extension amcheck is gone again");
    t->proof->amcheck_version = proof_text(t->proof, rows_get(rows, 0, 0));
    t->heapam = str_eq(rows_get(rows, 0, 1), "t");
    if (!t->heapam)
        t->no_verify_heapam = true;
    return RC_OK;
}

/* Before 17 there is no switch for all; ALTER EVENT TRIGGER itself fires none. */
static enum rc disable_event_triggers(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    if (session_version(t->session) >= 170000)
        return RC_OK;
    TRY(session_query(
        t->session,
        "SELECT 'ALTER EVENT TRIGGER ' || pg_catalog.quote_ident(evtname) || ' DISABLE' "
        "FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'",
        0, NULL, &rows, err));
    for (int i = 0; i < rows_count(rows); i++)
        TRY(session_exec(t->session, rows_get(rows, i, 0), err));
    return RC_OK;
}

/* ---- what to look at ---- */

#define LIST_INDEXES                                                                               \
    "SELECT c.oid, n.nspname || '.' || c.relname || ' on ' || h.relname, a.amname, "               \
    " i.indisvalid AND i.indisready "                                                              \
    "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "               \
    "JOIN pg_catalog.pg_class h ON h.oid = i.indrelid "                                            \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "                                    \
    "JOIN pg_catalog.pg_am a ON a.oid = c.relam "                                                  \
    "WHERE c.relkind = 'i' AND c.relpersistence <> 't' ORDER BY 2"

static enum rc check_indexes(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    double began = clock_monotonic();
    TRY(session_query(t->session, LIST_INDEXES, 0, NULL, &rows, err));
    for (int i = 0; i < rows_count(rows); i++) {
        const char *oid = rows_get(rows, i, 0), *what = rows_get(rows, i, 1);
        const char *method = rows_get(rows, i, 2);
        TRY(cancel_check(err));
        if (!str_eq(rows_get(rows, i, 3), "t"))
            remark(t->proof, &t->proof->warnings,
                   "%s: index %s is marked invalid: a CREATE INDEX CONCURRENTLY or REINDEX "
                   "CONCURRENTLY did not finish",
                   t->database, what);
        else if (!str_eq(method, "btree"))
            remark(t->proof, &t->proof->not_covered, "%s: index %s: amcheck can't look into %s",
                   t->database, what, method);
        else if (t->amcheck_schema)
            TRY(check_index(t, oid, what, err));
    }
    t->tallies[CHECK_INDEXES].seconds += clock_monotonic() - began;
    return RC_OK;
}

#define LIST_HEAPS                                                                                 \
    "SELECT c.oid, n.nspname, c.relname, n.nspname || '.' || c.relname, "                          \
    " coalesce(a.amname, '') "                                                                     \
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "         \
    "LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam "                                             \
    "WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' ORDER BY 2, 3"

static enum rc check_heaps(struct structure *t, const struct rows *rows, struct error *err)
{
    double began = clock_monotonic();
    for (int i = 0; i < rows_count(rows); i++) {
        const char *oid = rows_get(rows, i, 0), *what = rows_get(rows, i, 3);
        TRY(cancel_check(err));
        if (!str_eq(rows_get(rows, i, 4), "heap"))
            remark(t->proof, &t->proof->not_covered,
                   "%s: table %s: amcheck can't look into the access method %s", t->database, what,
                   rows_get(rows, i, 4));
        else if (t->heapam)
            TRY(check_heap(t, oid, what, err));
    }
    t->tallies[CHECK_HEAPS].seconds += clock_monotonic() - began;
    return RC_OK;
}

static enum rc read_tables(struct structure *t, const struct rows *rows, struct error *err)
{
    double began = clock_monotonic();
    for (int i = 0; i < rows_count(rows); i++) {
        TRY(cancel_check(err));
        TRY(read_table(t, rows_get(rows, i, 1), rows_get(rows, i, 2), rows_get(rows, i, 3), err));
    }
    t->tallies[CHECK_TABLES].seconds += clock_monotonic() - began;
    return RC_OK;
}

/* The database's own collation is remembered since 15. */
static const char *collations_sql(const struct session *s)
{
#define COLLATIONS_SQL                                                                             \
    "SELECT 'collation ' || c.collname, c.collversion, "                                           \
    "pg_catalog.pg_collation_actual_version(c.oid) "                                               \
    "FROM pg_catalog.pg_collation c WHERE c.collversion IS NOT NULL "                              \
    "AND c.collversion IS DISTINCT FROM pg_catalog.pg_collation_actual_version(c.oid)"
    if (session_version(s) < 150000)
        return COLLATIONS_SQL;
    return COLLATIONS_SQL
        " UNION ALL SELECT 'the database''s collation', d.datcollversion, "
        "pg_catalog.pg_database_collation_actual_version(d.oid) FROM pg_catalog.pg_database d "
        "WHERE d.datname = pg_catalog.current_database() AND d.datcollversion IS NOT NULL "
        "AND d.datcollversion IS DISTINCT FROM "
        "pg_catalog.pg_database_collation_actual_version(d.oid)";
#undef COLLATIONS_SQL
}

static enum rc check_collations(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error why;
    enum rc rc = session_query(t->session, collations_sql(t->session), 0, NULL, &rows, &why);
    if (rc != RC_OK)
        return count_refused(t, CHECK_COLLATIONS, "collation versions", &why, err);
    for (int i = 0; i < rows_count(rows); i++) {
        const char *here = rows_get(rows, i, 2);
        CLEANUP_FREE char *text = str_printf("version %s in the database, %s on this host",
                                             rows_get(rows, i, 1), here ? here : "none");
        count_bad(t, CHECK_COLLATIONS, rows_get(rows, i, 0), text);
    }
    count_good(t, CHECK_COLLATIONS);
    return RC_OK;
}

/* ---- databases ---- */

static enum rc check_open_database(struct structure *t, struct error *err)
{
    CLEANUP_ROWS struct rows *heaps = NULL;
    TRY(disable_event_triggers(t, err));
    TRY(check_collations(t, err));
    TRY(session_query(t->session, LIST_HEAPS, 0, NULL, &heaps, err));
    TRY(read_tables(t, heaps, err));
    TRY(install_amcheck(t, err));
    TRY(look_at_amcheck(t, err));
    TRY(check_indexes(t, err));
    return check_heaps(t, heaps, err);
}

static enum rc check_database(struct structure *t, const char *name, struct error *err)
{
    t->database = name;
    t->heapam = false;
    TRY(session_open(t->conninfo, "pgproof-verify", name, &t->session, err));
    enum rc rc = check_open_database(t, err);
    session_close(t->session);
    t->session = NULL;
    free(t->amcheck_schema);
    t->amcheck_schema = NULL;
    return rc == RC_OK ? rc : error_prefix(err, "could not check database %s", name);
}

static enum rc list_databases(const char *conninfo, struct rows **ret, struct error *err)
{
    CLEANUP_SESSION struct session *s = NULL;
    TRY(session_open(conninfo, "pgproof-verify", NULL, &s, err));
    return session_query(s,
                         "SELECT datname, datallowconn AND datconnlimit <> -2 "
                         "FROM pg_catalog.pg_database ORDER BY 1",
                         0, NULL, ret, err);
}

/* ---- verdicts ---- */

/* `things`: "B-tree indexes"; `good`: what a passed check says of them. */
static void judge(struct structure *t, enum check_id id, const char *things, const char *good)
{
    const struct tally *c = &t->tallies[id];
    t->proof->checks[id].seconds = c->seconds;
    if (c->bad)
        check_failed(t->proof, id, "%" PRIu64 " of %" PRIu64 " %s are damaged", c->bad,
                     c->bad + c->good + c->unknown, things);
    else if (c->unknown)
        check_not_run(t->proof, id, "%" PRIu64 " of %" PRIu64 " %s could not be checked",
                      c->unknown, c->good + c->unknown, things);
    else
        check_passed(t->proof, id, "%" PRIu64 " %s %s", c->good, things, good);
}

static void judge_collations(struct structure *t)
{
    const struct tally *c = &t->tallies[CHECK_COLLATIONS];
    if (c->bad)
        check_failed(t->proof, CHECK_COLLATIONS,
                     "%" PRIu64 " sort by another version on this host: a restore here needs "
                     "REINDEX",
                     c->bad);
    else if (c->unknown)
        check_not_run(t->proof, CHECK_COLLATIONS, "the versions could not be asked for");
    else
        check_passed(t->proof, CHECK_COLLATIONS, "the same versions as in the databases");
}

static void judge_all(struct structure *t)
{
    judge(t, CHECK_TABLES, "tables", "read from end to end");
    judge(t, CHECK_INDEXES, "B-tree indexes", "are in order and complete");
    judge(t, CHECK_HEAPS, "heaps", "are well formed");
    judge_collations(t);
    if (t->no_amcheck) {
        check_not_run(t->proof, CHECK_INDEXES, "%s", t->no_amcheck);
        check_not_run(t->proof, CHECK_HEAPS, "%s", t->no_amcheck);
    } else if (t->no_verify_heapam) {
        check_not_run(t->proof, CHECK_HEAPS, "amcheck %s can't check heaps",
                      t->proof->amcheck_version);
        check_optional(t->proof, CHECK_HEAPS);
    }
}

enum rc structure_check(const char *conninfo, struct proof *p,
                        void (*say)(void *ctx, const char *database), void *say_ctx,
                        struct error *err)
{
    CLEANUP_ROWS struct rows *databases = NULL;
    struct structure t = {.conninfo = conninfo, .proof = p};
    enum rc rc = list_databases(conninfo, &databases, err);
    for (int i = 0; rc == RC_OK && i < rows_count(databases); i++) {
        const char *name = rows_get(databases, i, 0);
        if (!str_eq(rows_get(databases, i, 1), "t")) {
            remark(p, &p->not_covered, "database %s allows no connections", name);
            continue;
        }
        if (say)
            say(say_ctx, name);
        rc = check_database(&t, name, err);
    }
    if (rc == RC_OK)
        judge_all(&t);
    return rc;
}
