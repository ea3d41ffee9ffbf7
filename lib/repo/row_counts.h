/*
 * The row counts document (docs/format.md): how many rows each table had near the end of a backup.
 * pgproof-backup writes it, a drill compares it with what it has restored.
 */
#ifndef PGPROOF_REPO_ROW_COUNTS_H
#define PGPROOF_REPO_ROW_COUNTS_H

#include "base/json.h"
#include "repo/names.h"
#include "repo/repository.h"

struct row_count {
    const char *schema, *name; /* any bytes but NUL */
    uint64_t rows;             /* up to INT64_MAX */
};

struct row_count_database {
    const char *name;
    struct row_count *tables;
    size_t table_count, table_capacity;
};

/* What could not be counted, and is named therefore. */
struct row_count_gap {
    const char *database;
    const char *schema, *table; /* NULL, both: nothing of this database was counted */
    const char *reason;
};

struct row_counts {
    struct arena *arena; /* owns the strings */
    char backup_id[BACKUP_ID_SIZE];
    uint64_t lsn;
    moment_us taken; /* by the clock of the host that counted */
    bool exact;      /* no transaction was in progress at the LSN */
    struct row_count_database *databases;
    size_t database_count, database_capacity;
    struct row_count_gap *gaps;
    size_t gap_count, gap_capacity;
};

struct row_counts *row_counts_new(void);
void row_counts_free(struct row_counts *c); /* takes NULL */
DEFINE_CLEANUP(cleanup_row_counts, struct row_counts *, row_counts_free)
#define CLEANUP_ROW_COUNTS CLEANUP(cleanup_row_counts)

/* They copy the strings. */
void row_counts_add_database(struct row_counts *c, const char *name);
/* A table of the database that was added last. */
void row_counts_add_table(struct row_counts *c, const char *schema, const char *name,
                          uint64_t rows);
/* schema and table may be NULL, both. */
void row_counts_add_gap(struct row_counts *c, const char *database, const char *schema,
                        const char *table, const char *reason);
/* Over all databases. */
uint64_t row_counts_table_count(const struct row_counts *c);

/* *ret_name: the object's. Its time and LSN are those of the counts; RC_EXISTS if it is taken. */
MUST_CHECK enum rc row_counts_put(struct repo *r, const char *cluster, const struct row_counts *c,
                                  struct object_name *ret_name, struct error *err);

/* Get and check the document `object` of this backup. RC_NOT_FOUND: it isn't there. RC_INTEGRITY:
 * it is damaged, malformed or of another backup. */
MUST_CHECK enum rc row_counts_load(struct repo *r, const char *object, const char *backup_id,
                                   struct row_counts **ret, struct error *err);
/* The document's body, and back. row_counts_json gives a new reference. */
json_t *row_counts_json(const struct row_counts *c);
MUST_CHECK enum rc row_counts_parse(const json_t *body, const char *backup_id,
                                    struct row_counts **ret, struct error *err);

#endif
