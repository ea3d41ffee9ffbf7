/*
 * The row counts that a backup noted, and what the scratch instance holds.
 *
 * Counts are exact where the backup found a moment without transactions in progress: then every
 * table must have exactly as many rows. Counts that are not exact can't prove equality; what they
 * still show is a table that is gone, or empty though it had rows.
 */
#ifndef PGPROOF_VERIFY_ROW_CHECK_H
#define PGPROOF_VERIFY_ROW_CHECK_H

#include "repo/row_counts.h"
#include "verify/proof.h"

struct row_tally {
    uint64_t tables, rows; /* compared; rows that the scratch instance has in them */
    uint64_t different, missing, emptied, extra;
    uint64_t unreadable; /* the server could not count, and that is no damage */
    uint64_t damaged;    /* the server met damage while counting */
};

/* Compare one table; found: NULL where there is no such table. Findings go to the proof. */
void row_tally_table(struct row_tally *t, struct proof *p, const char *table, uint64_t expected,
                     const uint64_t *found);
/* A table of which the backup knows nothing. */
void row_tally_extra(struct row_tally *t, struct proof *p, const char *table);
/* The verdict for CHECK_ROWS. */
void row_tally_judge(const struct row_tally *t, struct proof *p, const struct row_counts *c);

/* Count everything again, through connections to each database, and judge. */
MUST_CHECK enum rc row_check(const struct row_counts *c, const char *conninfo, struct proof *p,
                             struct error *err);

#endif
