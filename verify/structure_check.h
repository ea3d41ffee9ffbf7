/*
 * The structure of a promoted scratch instance, database by database: amcheck of every B-tree index
 * (each heap tuple must be found in it) and of every heap, every table read, collation versions,
 * invalid indexes. What amcheck can't look at is named as not covered.
 */
#ifndef PGPROOF_VERIFY_STRUCTURE_CHECK_H
#define PGPROOF_VERIFY_STRUCTURE_CHECK_H

#include "verify/proof.h"

/*
 * Fills in CHECK_INDEXES, CHECK_HEAPS, CHECK_TABLES and CHECK_COLLATIONS. `say` (may be NULL) hears
 * which database is next.
 */
MUST_CHECK enum rc structure_check(const char *conninfo, struct proof *p,
                                   void (*say)(void *ctx, const char *database), void *say_ctx,
                                   struct error *err);

#endif
