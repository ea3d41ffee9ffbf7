/*
 * What a segment's absence means. PostgreSQL takes a segment that it can't have for the end of the
 * WAL, and ends recovery there; so the end must be told from a hole, behind which more WAL lies.
 *
 * A segment is a hole in its timeline, if it is neither archived nor in pg_wal, lies within the
 * timeline's own range, and the timeline went on behind it: a later segment is archived, or the
 * history of a later timeline says so.
 *
 * The range begins where the timeline left its parent. It ends where the timeline to recover to
 * left this one, when pgproof-restore has written that timeline's number into postgresql.auto.conf.
 * There PostgreSQL looks for each segment on the older timelines too, and what an abandoned
 * timeline lacks, for instance after expire, is no hole in the one that counts.
 */
#ifndef PGPROOF_RESTORE_WAL_HOLE_H
#define PGPROOF_RESTORE_WAL_HOLE_H

#include "pg/lsn.h"
#include "repo/wal_object.h"

struct wal_absence {
    struct repo *repo;
    const char *cluster;
    const struct cluster_system *system;
    const char *data_directory; /* NULL: none at hand */
    const char *file;           /* the segment that a GET did not find */
    struct wal_name name;
};

#define WAL_HOLE_WHY_MAX 128

/* *ret: a hole; `why` then says what shows it, as half a sentence. A segment that arrived in
 * between counts as one too: ask again. */
MUST_CHECK enum rc wal_hole_check(const struct wal_absence *a, bool *ret,
                                  char why[static WAL_HOLE_WHY_MAX], struct error *err);

#endif
