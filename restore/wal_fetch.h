/*
 * Fetch one WAL file, and find out what a missing one means. PostgreSQL reads exit codes 1 to 125
 * of a restore_command as the end of the WAL and, outside standby mode, would end recovery there;
 * so "absent" must be proven.
 */
#ifndef PGPROOF_RESTORE_WAL_FETCH_H
#define PGPROOF_RESTORE_WAL_FETCH_H

#include "pg/lsn.h"
#include "repo/wal_object.h"

struct fetch {
    struct repo *repo;
    const char *cluster;
    const char *data_directory; /* NULL: run by a person, elsewhere */
    struct cluster_system system;
    const char *file; /* %f */
    const char *path; /* %p */
    struct wal_name name;
    unsigned hole_wait_seconds;
};

/*
 * RC_OK: in place, verified, durable. RC_NOT_FOUND: proven absent, and no hole. RC_INTEGRITY: a
 * hole, or damaged. Anything else: could not find out.
 */
MUST_CHECK enum rc fetch_file(const struct fetch *f, struct error *err);

/* Does this directory belong to a standby that has reached consistency? It asks again by itself, so
 * an outage is no reason to stop it. */
bool fetch_for_consistent_standby(const char *data_directory);

#endif
