#include "verify/row_check.h"

#include "base/cancel.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/session.h"
#include "repo/document.h"
#include "verify/damage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROW_COUNTS_KIND    "row-counts"
#define ROW_COUNTS_VERSION 1

/* ---- the document ---- */

static enum rc read_members(struct row_counts *c, const char *backup_id, struct error *err)
{
    const char *of, *lsn;
    TRY(json_get_str(c->body, "backup_id", &of, err));
    TRY(json_get_str(c->body, "lsn", &lsn, err));
    TRY(json_get_str(c->body, "taken", &c->taken, err));
    TRY(json_get_flag(c->body, "exact", false, &c->exact, err));
    TRY(json_get_array(c->body, "databases", &c->databases, err));
    TRY(json_get_array(c->body, "not_counted", &c->not_counted, err));
    if (!str_eq(of, backup_id))
        return error_set(err, RC_INTEGRITY, "these row counts belong to backup %s", of);
    if (!lsn_parse(lsn, &c->lsn) || c->lsn == 0)
        return error_set(err, RC_INTEGRITY, "\"%s\" is no LSN", lsn);
    return RC_OK;
}

enum rc row_counts_parse(json_t *body, const char *backup_id, struct row_counts **ret,
                         struct error *err)
{
    CLEANUP_ROW_COUNTS struct row_counts *c = mem_zalloc(sizeof *c);
    c->body = body;
    TRY(read_members(c, backup_id, err));
    *ret = c;
    c = NULL;
    return RC_OK;
}

enum rc row_counts_load(struct repo *r, const char *object, const char *backup_id,
                        struct row_counts **ret, struct error *err)
{
    json_t *body;
    TRY(document_get(r->store, object, ROW_COUNTS_KIND, ROW_COUNTS_VERSION, &body, NULL, err));
    enum rc rc = row_counts_parse(body, backup_id, ret, err);
    return rc == RC_OK ? rc : error_on(err, "%s", object);
}

void row_counts_free(struct row_counts *c)
{
    if (!c)
        return;
    json_decref(c->body);
    free(c);
}

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

static enum rc compare_table(struct counter *k, const char *schema, const char *name,
                             uint64_t expected, struct error *err)
{
    struct error why;
    uint64_t found;
    CLEANUP_FREE char *table = str_printf("%s: %s.%s", k->database, schema, name);
    enum rc rc = count_rows(k->session, schema, name, &found, &why);
    if (rc == RC_OK) {
        row_tally_table(&k->tally, k->proof, table, expected, &found);
        return RC_OK;
    }
    if (rc != RC_DATABASE || damage_judge(k->session) == DAMAGE_LOST) {
        *err = why;
        return rc;
    }
    if (says_missing(k->session)) {
        row_tally_table(&k->tally, k->proof, table, expected, NULL);
        return RC_OK;
    }
    if (damage_judge(k->session) == DAMAGE_PROVEN)
        k->tally.damaged++;
    else
        k->tally.unreadable++;
    check_finding(k->proof, CHECK_ROWS, "%s: %s", table, why.what);
    return RC_OK;
}

static enum rc compare_tables(struct counter *k, const json_t *tables, struct error *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)tables, i, entry)
    {
        CLEANUP_FREE char *schema = NULL, *name = NULL;
        uint64_t rows;
        TRY(cancel_check(err));
        TRY(json_get_bytes(entry, "schema", &schema, err));
        TRY(json_get_bytes(entry, "name", &name, err));
        TRY(json_get_u64(entry, "rows", &rows, err));
        note_known(k, schema, name);
        TRY(compare_table(k, schema, name, rows, err));
    }
    return RC_OK;
}

/* What the backup could not count is known, too; a whole database has no schema and name. */
static enum rc note_not_counted(struct counter *k, bool *ret_whole, struct error *err)
{
    size_t i;
    json_t *entry;
    *ret_whole = false;
    json_array_foreach(k->counts->not_counted, i, entry)
    {
        CLEANUP_FREE char *database = NULL, *schema = NULL, *name = NULL;
        TRY(json_get_bytes(entry, "database", &database, err));
        if (!str_eq(database, k->database))
            continue;
        if (!json_object_get(entry, "name") && !json_object_get(entry, "name_hex")) {
            *ret_whole = true;
            continue;
        }
        TRY(json_get_bytes(entry, "schema", &schema, err));
        TRY(json_get_bytes(entry, "name", &name, err));
        note_known(k, schema, name);
    }
    return RC_OK;
}

/* The same tables that a backup counts. */
#define LIST_TABLES                                                                                \
    "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "                                      \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "                                    \
    "WHERE c.relkind = 'r' AND c.relpersistence = 'p' "                                            \
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2"

static enum rc find_extra(struct counter *k, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    bool whole;
    TRY(note_not_counted(k, &whole, err));
    if (whole)
        return RC_OK;
    TRY(session_query(k->session, LIST_TABLES, 0, NULL, &rows, err));
    for (int i = 0; i < rows_count(rows); i++) {
        const char *schema = rows_get(rows, i, 0), *name = rows_get(rows, i, 1);
        CLEANUP_FREE char *key = table_key(schema, name);
        CLEANUP_FREE char *table = str_printf("%s: %s.%s", k->database, schema, name);
        if (!json_object_getn(k->known, key, strlen(key)))
            row_tally_extra(&k->tally, k->proof, table);
    }
    return RC_OK;
}

static enum rc compare_database(struct counter *k, const json_t *entry, struct error *err)
{
    json_t *tables;
    TRY(json_get_array(entry, "tables", &tables, err));
    enum rc rc = session_open(k->conninfo, "pgproof-verify", k->database, &k->session, err);
    if (rc != RC_OK)
        return error_prefix(err, "could not count the rows of database %s", k->database);
    TRY(compare_tables(k, tables, err));
    return find_extra(k, err);
}

static void forget_database(struct counter *k)
{
    session_close(k->session);
    k->session = NULL;
    json_decref(k->known);
    k->known = NULL;
}

/* The databases that a backup counts. */
#define LIST_DATABASES                                                                             \
    "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn "                               \
    "AND datname <> 'template0' AND datconnlimit <> -2 ORDER BY 1"

static bool is_listed(const struct rows *databases, const char *name)
{
    for (int i = 0; i < rows_count(databases); i++)
        if (str_eq(rows_get(databases, i, 0), name))
            return true;
    return false;
}

/* Is it named with a member `key` equal to name, in an array of the document? */
static enum rc is_named(const json_t *array, const char *key, const char *name, bool *ret,
                        struct error *err)
{
    size_t i;
    json_t *entry;
    *ret = false;
    json_array_foreach((json_t *)array, i, entry)
    {
        CLEANUP_FREE char *value = NULL;
        TRY(json_get_bytes(entry, key, &value, err));
        if (str_eq(value, name))
            *ret = true;
    }
    return RC_OK;
}

static enum rc find_extra_databases(struct counter *k, const struct rows *databases,
                                    struct error *err)
{
    for (int i = 0; i < rows_count(databases); i++) {
        const char *name = rows_get(databases, i, 0);
        CLEANUP_FREE char *what = str_printf("database %s", name);
        bool counted, missed;
        TRY(is_named(k->counts->databases, "name", name, &counted, err));
        TRY(is_named(k->counts->not_counted, "database", name, &missed, err));
        if (!counted && !missed)
            row_tally_extra(&k->tally, k->proof, what);
    }
    return RC_OK;
}

static enum rc list_databases(const char *conninfo, struct rows **ret, struct error *err)
{
    CLEANUP_SESSION struct session *s = NULL;
    TRY(session_open(conninfo, "pgproof-verify", NULL, &s, err));
    return session_query(s, LIST_DATABASES, 0, NULL, ret, err);
}

static enum rc compare_all(struct counter *k, struct error *err)
{
    CLEANUP_ROWS struct rows *databases = NULL;
    size_t i;
    json_t *entry;
    TRY(list_databases(k->conninfo, &databases, err));
    TRY(find_extra_databases(k, databases, err));
    json_array_foreach(k->counts->databases, i, entry)
    {
        CLEANUP_FREE char *name = NULL;
        TRY(json_get_bytes(entry, "name", &name, err));
        if (!is_listed(databases, name)) {
            k->tally.missing++;
            check_finding(k->proof, CHECK_ROWS, "database %s is missing", name);
            continue;
        }
        k->database = name;
        k->known = json_object();
        enum rc rc = compare_database(k, entry, err);
        forget_database(k);
        TRY(rc);
    }
    return RC_OK;
}

static enum rc remark_not_counted(const struct row_counts *c, struct proof *p, struct error *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach(c->not_counted, i, entry)
    {
        CLEANUP_FREE char *database = NULL, *schema = NULL, *name = NULL, *reason = NULL;
        TRY(json_get_bytes(entry, "database", &database, err));
        TRY(json_get_bytes(entry, "reason", &reason, err));
        if (json_get_bytes(entry, "schema", &schema, err) == RC_OK &&
            json_get_bytes(entry, "name", &name, err) == RC_OK)
            remark(p, &p->not_covered, "%s: %s.%s: its rows were not counted at the backup: %s",
                   database, schema, name, reason);
        else
            remark(p, &p->not_covered, "database %s: its rows were not counted at the backup: %s",
                   database, reason);
    }
    return RC_OK;
}

enum rc row_check(const struct row_counts *c, const char *conninfo, struct proof *p,
                  struct error *err)
{
    struct counter k = {.counts = c, .conninfo = conninfo, .proof = p};
    TRY(compare_all(&k, err));
    TRY(remark_not_counted(c, p, err));
    row_tally_judge(&k.tally, p, c);
    return RC_OK;
}
