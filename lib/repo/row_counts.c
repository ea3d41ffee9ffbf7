#include "repo/row_counts.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/document.h"
#include "repo/fields_int.h"

#include <stdlib.h>

#define KIND    "row-counts"
#define VERSION 1

struct row_counts *row_counts_new(void)
{
    struct row_counts *c = mem_zalloc(sizeof *c);
    c->arena = arena_new();
    return c;
}

void row_counts_free(struct row_counts *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->database_count; i++)
        free(c->databases[i].tables);
    free(c->databases);
    free(c->gaps);
    arena_free(c->arena);
    free(c);
}

/* ---- building ---- */

void row_counts_add_database(struct row_counts *c, const char *name)
{
    c->databases =
        mem_grow(c->databases, c->database_count, &c->database_capacity, sizeof *c->databases);
    c->databases[c->database_count++] =
        (struct row_count_database){.name = arena_strdup(c->arena, name)};
}

void row_counts_add_table(struct row_counts *c, const char *schema, const char *name, uint64_t rows)
{
    BUG_IF(c->database_count == 0);
    struct row_count_database *d = &c->databases[c->database_count - 1];
    d->tables = mem_grow(d->tables, d->table_count, &d->table_capacity, sizeof *d->tables);
    d->tables[d->table_count++] = (struct row_count){
        .schema = arena_strdup(c->arena, schema),
        .name = arena_strdup(c->arena, name),
        .rows = rows,
    };
}

void row_counts_add_gap(struct row_counts *c, const char *database, const char *schema,
                        const char *table, const char *reason)
{
    BUG_IF(!schema != !table);
    c->gaps = mem_grow(c->gaps, c->gap_count, &c->gap_capacity, sizeof *c->gaps);
    c->gaps[c->gap_count++] = (struct row_count_gap){
        .database = arena_strdup(c->arena, database),
        .schema = arena_strdup(c->arena, schema),
        .table = arena_strdup(c->arena, table),
        .reason = arena_strdup(c->arena, reason),
    };
}

uint64_t row_counts_table_count(const struct row_counts *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->database_count; i++)
        n += c->databases[i].table_count;
    return n;
}

/* ---- writing ---- */

static json_t *table_json(const struct row_count *t)
{
    json_t *o = json_object();
    json_set_bytes(o, "schema", t->schema);
    json_set_bytes(o, "name", t->name);
    field_set_u64(o, "rows", t->rows);
    return o;
}

static json_t *database_json(const struct row_count_database *d)
{
    json_t *o = json_object(), *tables = json_array();
    json_set_bytes(o, "name", d->name);
    for (size_t i = 0; i < d->table_count; i++)
        json_array_append_new(tables, table_json(&d->tables[i]));
    field_set(o, "tables", tables);
    return o;
}

static json_t *gap_json(const struct row_count_gap *g)
{
    json_t *o = json_object();
    json_set_bytes(o, "database", g->database);
    if (g->table) {
        json_set_bytes(o, "schema", g->schema);
        json_set_bytes(o, "name", g->table);
    }
    json_set_bytes(o, "reason", g->reason);
    return o;
}

json_t *row_counts_json(const struct row_counts *c)
{
    json_t *body = json_object(), *databases = json_array(), *gaps = json_array();
    for (size_t i = 0; i < c->database_count; i++)
        json_array_append_new(databases, database_json(&c->databases[i]));
    for (size_t i = 0; i < c->gap_count; i++)
        json_array_append_new(gaps, gap_json(&c->gaps[i]));
    field_set_str(body, "backup_id", c->backup_id);
    field_set_lsn(body, "lsn", c->lsn);
    field_set_moment(body, "taken", c->taken);
    field_set(body, "exact", json_boolean(c->exact));
    field_set(body, "databases", databases);
    field_set(body, "not_counted", gaps);
    return body;
}

enum rc row_counts_put(struct repo *r, const char *cluster, const struct row_counts *c,
                       struct object_name *ret_name, struct error *err)
{
    CLEANUP_JSON json_t *body = row_counts_json(c);
    struct object_name name = name_witness(cluster, c->taken, c->lsn);
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(document_encode(KIND, VERSION, body, &text, err));
    TRY(repo_put(r, name.text, text.data, text.len, err));
    *ret_name = name;
    return RC_OK;
}

/* ---- reading ---- */

static enum rc read_table(struct row_counts *c, const json_t *entry, struct error *err)
{
    CLEANUP_FREE char *schema = NULL, *name = NULL;
    uint64_t rows;
    TRY(json_get_bytes(entry, "schema", &schema, err));
    TRY(json_get_bytes(entry, "name", &name, err));
    TRY(json_get_u64(entry, "rows", &rows, err));
    row_counts_add_table(c, schema, name, rows);
    return RC_OK;
}

static enum rc read_database(struct row_counts *c, const json_t *entry, struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    json_t *tables, *table;
    size_t i;
    TRY(json_get_bytes(entry, "name", &name, err));
    TRY(json_get_array(entry, "tables", &tables, err));
    row_counts_add_database(c, name);
    json_array_foreach(tables, i, table) TRY(read_table(c, table, err));
    return RC_OK;
}

static enum rc read_gap(struct row_counts *c, const json_t *entry, struct error *err)
{
    CLEANUP_FREE char *database = NULL, *schema = NULL, *table = NULL, *reason = NULL;
    TRY(json_get_bytes(entry, "database", &database, err));
    TRY(json_get_bytes(entry, "reason", &reason, err));
    if (json_object_get(entry, "name") || json_object_get(entry, "name_hex")) {
        TRY(json_get_bytes(entry, "schema", &schema, err));
        TRY(json_get_bytes(entry, "name", &table, err));
    }
    row_counts_add_gap(c, database, schema, table, reason);
    return RC_OK;
}

static enum rc read_head(struct row_counts *c, const json_t *body, const char *backup_id,
                         struct error *err)
{
    const char *of;
    TRY(json_get_str(body, "backup_id", &of, err));
    if (!str_eq(of, backup_id))
        return error_set(err, RC_INTEGRITY, "these row counts belong to backup %.40s", of);
    str_copy(c->backup_id, sizeof c->backup_id, of);
    TRY(field_get_lsn(body, "lsn", &c->lsn, err));
    if (c->lsn == 0)
        return error_set(err, RC_INTEGRITY, "member \"lsn\" is 0/0, where nothing can be");
    TRY(field_get_moment(body, "taken", &c->taken, err));
    return json_get_flag(body, "exact", false, &c->exact, err);
}

enum rc row_counts_parse(const json_t *body, const char *backup_id, struct row_counts **ret,
                         struct error *err)
{
    CLEANUP_ROW_COUNTS struct row_counts *c = row_counts_new();
    json_t *databases, *gaps, *entry;
    size_t i;
    TRY(read_head(c, body, backup_id, err));
    TRY(json_get_array(body, "databases", &databases, err));
    TRY(json_get_array(body, "not_counted", &gaps, err));
    json_array_foreach(databases, i, entry) TRY(read_database(c, entry, err));
    json_array_foreach(gaps, i, entry) TRY(read_gap(c, entry, err));
    *ret = c;
    c = NULL;
    return RC_OK;
}

enum rc row_counts_load(struct repo *r, const char *object, const char *backup_id,
                        struct row_counts **ret, struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    TRY(document_get(r->store, object, KIND, VERSION, &body, NULL, err));
    enum rc rc = row_counts_parse(body, backup_id, ret, err);
    return rc == RC_OK ? rc : error_on(err, "%s", object);
}
