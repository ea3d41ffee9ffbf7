/*
 * Which databases and tables have their rows counted: what a backup notes and a drill counts again
 * must be the same, or a table would seem to be lost or new.
 */
#ifndef PGPROOF_PG_COUNTED_H
#define PGPROOF_PG_COUNTED_H

#include "pg/session.h"

/* Databases that can be connected to, without template0. Columns: name. */
MUST_CHECK enum rc counted_databases(struct session *s, struct rows **ret, struct error *err);

/*
 * Permanent tables of the session's database, outside the system's schemas; partitions one by one,
 * their parents (which hold nothing) not. Columns: schema, name, oid, relfilenode.
 */
MUST_CHECK enum rc counted_tables(struct session *s, struct rows **ret, struct error *err);

#endif
