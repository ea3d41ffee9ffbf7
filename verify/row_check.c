#include "verify/row_check.h"

#include "base/cancel.h"
#include "base/json.h"
#include "base/str.h"
#include "pg/counted.h"
#include "pg/session.h"
#include "verify/damage.h"

#include <inttypes.h>
#include <string.h>

/* ---- judging ---- */

void row_tally_table(struct row_tally *t, struct proof *p, const char *table, uint64_t expected,
                     const uint64_t *found)
{
    t->tables++;
    if (!found) {
        t->missing++;
        check_finding(p, CHECK_ROWS, "%s is missing; it had %" PRIu64 " rows", table, expected);
        return;
    }
    t->rows += *found;
    if (*found == expected)
        return;
    if (*found == 0)
        t->emptied++;
    else
        t->different++;
    check_finding(p, CHECK_ROWS, "%s has %" PRIu64 " rows; %" PRIu64 " were counted at the backup",
                  table, *found, expected);
}

void row_tally_extra(struct row_tally *t, struct proof *p, const char *table)
{
    t->extra++;
    check_finding(p, CHECK_ROWS, "%s was not there when the rows were counted", table);
}

void row_tally_judge(const struct row_tally *t, struct proof *p, const struct row_counts *c)
{
    uint64_t wrong = t->different + t->missing + t->emptied + t->extra;
    if (t->damaged)
        check_failed(p, CHECK_ROWS, "%" PRIu64 " tables can't be counted because of damage",
                     t->damaged);
    else if (c->exact && wrong)
        check_failed(p, CHECK_ROWS,
                     "%" PRIu64 " of %" PRIu64
                     " tables have not the rows that were counted at this "
                     "LSN",
                     wrong, t->tables);
    else if (t->missing || t->emptied)
        check_failed(p, CHECK_ROWS,
                     "%" PRIu64 " tables or databases are missing and %" PRIu64
                     " are empty that had rows when "
                     "they were counted",
                     t->missing, t->emptied);
    else if (t->unreadable)
        check_not_run(p, CHECK_ROWS, "%" PRIu64 " of %" PRIu64 " tables could not be counted",
                      t->unreadable, t->tables + t->unreadable);
    else if (!c->exact)
        check_not_run(p, CHECK_ROWS,
                      "the counts were taken while transactions were in progress, so they can't "
                      "prove equality (%" PRIu64 " of %" PRIu64 " tables are equal)",
                      t->tables - t->different, t->tables);
    else if (t->tables == 0)
        check_not_run(p, CHECK_ROWS, "no table was counted at the backup");
    else
        check_passed(p, CHECK_ROWS,
                     "%" PRIu64 " tables, %" PRIu64 " rows, each as many as at the "
                     "backup; counted, not compared",
                     t->tables, t->rows);
}

/* ---- counting ---- */

struct counter {
    const struct row_counts *counts;
    const char *conninfo;
    struct proof *proof;
    struct row_tally tally;
    const char *database;
    struct session *session;
    json_t *known; /* a set of table_key's: what the document names in this database */
};

/* Any bytes; the length keeps "a.b"."c" apart from "a"."b.c". */
static char *table_key(const char *schema, const char *name)
{
    return str_printf("%zu:%s.%s", strlen(schema), schema, name);
}

static void note_known(struct counter *k, const char *schema, const char *name)
{
    CLEANUP_FREE char *key = table_key(schema, name);
    json_object_setn_new_nocheck(k->known, key, strlen(key), json_true());
}

static enum rc count_rows(struct session *s, const char *schema, const char *name, uint64_t *ret,
                          struct error *err)
{
    CLEANUP_FREE char *quoted_schema = sql_identifier(s, schema);
    CLEANUP_FREE char *quoted_name = sql_identifier(s, name);
    CLEANUP_FREE char *sql =
        str_printf("SELECT pg_catalog.count(*) FROM ONLY %s.%s", quoted_schema, quoted_name);
    return session_value_u64(s, sql, ret, err);
}

/* 42P01: no such table; 3F000: no such schema. */
static bool says_missing(const struct session *s)
{
    return str_eq(session_sqlstate(s), "42P01") || str_eq(session_sqlstate(s), "3F000");
}

static enum rc compare_table(struct counter *k, const struct row_count *t, struct error *err)
{
    struct error why;
    uint64_t found;
    CLEANUP_FREE char *table = str_printf("%s: %s.%s", k->database, t->schema, t->name);
    enum rc rc = count_rows(k->session, t->schema, t->name, &found, &why);
    if (rc == RC_OK) {
        row_tally_table(&k->tally, k->proof, table, t->rows, &found);
        return RC_OK;
    }
    if (rc != RC_DATABASE || damage_judge(k->session) == DAMAGE_LOST) {
        *err = why;
        return rc;
    }
    if (says_missing(k->session)) {
        row_tally_table(&k->tally, k->proof, table, t->rows, NULL);
        return RC_OK;
    }
    if (damage_judge(k->session) == DAMAGE_PROVEN)
        k->tally.damaged++;
    else
        k->tally.unreadable++;
    check_finding(k->proof, CHECK_ROWS, "%s: %s", table, why.what);
    return RC_OK;
}

static enum rc compare_tables(struct counter *k, const struct row_count_database *d,
                              struct error *err)
{
    for (size_t i = 0; i < d->table_count; i++) {
        TRY(cancel_check(err));
        note_known(k, d->tables[i].schema, d->tables[i].name);
        TRY(compare_table(k, &d->tables[i], err));
    }
    return RC_OK;
}

/* What the backup could not count is known, too. True: it could count nothing of the database. */
static bool note_gaps(struct counter *k)
{
    bool whole = false;
    for (size_t i = 0; i < k->counts->gap_count; i++) {
        const struct row_count_gap *g = &k->counts->gaps[i];
        if (!str_eq(g->database, k->database))
            continue;
        if (g->table)
            note_known(k, g->schema, g->table);
        else
            whole = true;
    }
    return whole;
}

static enum rc find_extra(struct counter *k, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    if (note_gaps(k))
        return RC_OK;
    TRY(counted_tables(k->session, &rows, err));
    for (int i = 0; i < rows_count(rows); i++) {
        const char *schema = rows_get(rows, i, 0), *name = rows_get(rows, i, 1);
        CLEANUP_FREE char *key = table_key(schema, name);
        CLEANUP_FREE char *table = str_printf("%s: %s.%s", k->database, schema, name);
        if (!json_object_getn(k->known, key, strlen(key)))
            row_tally_extra(&k->tally, k->proof, table);
    }
    return RC_OK;
}

static enum rc compare_database(struct counter *k, const struct row_count_database *d,
                                struct error *err)
{
    enum rc rc = session_open(k->conninfo, "pgproof-verify", k->database, &k->session, err);
    if (rc != RC_OK)
        return error_prefix(err, "could not count the rows of database %s", k->database);
    TRY(compare_tables(k, d, err));
    return find_extra(k, err);
}

static void forget_database(struct counter *k)
{
    session_close(k->session);
    k->session = NULL;
    json_decref(k->known);
    k->known = NULL;
}

static bool is_listed(const struct rows *databases, const char *name)
{
    for (int i = 0; i < rows_count(databases); i++)
        if (str_eq(rows_get(databases, i, 0), name))
            return true;
    return false;
}

/* Does the document say anything of this database? */
static bool is_named(const struct row_counts *c, const char *database)
{
    for (size_t i = 0; i < c->database_count; i++)
        if (str_eq(c->databases[i].name, database))
            return true;
    for (size_t i = 0; i < c->gap_count; i++)
        if (str_eq(c->gaps[i].database, database))
            return true;
    return false;
}

static void find_extra_databases(struct counter *k, const struct rows *databases)
{
    for (int i = 0; i < rows_count(databases); i++) {
        const char *name = rows_get(databases, i, 0);
        CLEANUP_FREE char *what = str_printf("database %s", name);
        if (!is_named(k->counts, name))
            row_tally_extra(&k->tally, k->proof, what);
    }
}

static enum rc list_databases(const char *conninfo, struct rows **ret, struct error *err)
{
    CLEANUP_SESSION struct session *s = NULL;
    TRY(session_open(conninfo, "pgproof-verify", NULL, &s, err));
    return counted_databases(s, ret, err);
}

static enum rc compare_all(struct counter *k, struct error *err)
{
    CLEANUP_ROWS struct rows *databases = NULL;
    TRY(list_databases(k->conninfo, &databases, err));
    find_extra_databases(k, databases);
    for (size_t i = 0; i < k->counts->database_count; i++) {
        const struct row_count_database *d = &k->counts->databases[i];
        if (!is_listed(databases, d->name)) {
            k->tally.missing++;
            check_finding(k->proof, CHECK_ROWS, "database %s is missing", d->name);
            continue;
        }
        k->database = d->name;
        k->known = json_object();
        enum rc rc = compare_database(k, d, err);
        forget_database(k);
        TRY(rc);
    }
    return RC_OK;
}

static void remark_gaps(const struct row_counts *c, struct proof *p)
{
    for (size_t i = 0; i < c->gap_count; i++) {
        const struct row_count_gap *g = &c->gaps[i];
        if (g->table)
            remark(p, &p->not_covered, "%s: %s.%s: its rows were not counted at the backup: %s",
                   g->database, g->schema, g->table, g->reason);
        else
            remark(p, &p->not_covered, "database %s: its rows were not counted at the backup: %s",
                   g->database, g->reason);
    }
}

enum rc row_check(const struct row_counts *c, const char *conninfo, struct proof *p,
                  struct error *err)
{
    struct counter k = {.counts = c, .conninfo = conninfo, .proof = p};
    TRY(compare_all(&k, err));
    remark_gaps(c, p);
    row_tally_judge(&k.tally, p, c);
    return RC_OK;
}
