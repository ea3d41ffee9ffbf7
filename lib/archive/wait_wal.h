/*
 * Waiting until WAL is in the repository, and proving that it gets there: the server archives by
 * itself, this only asks the repository whether a segment has arrived.
 */
#ifndef PGPROOF_ARCHIVE_WAIT_WAL_H
#define PGPROOF_ARCHIVE_WAIT_WAL_H

#include "pg/session.h"
#include "repo/repository.h"

struct wait_wal {
    struct repo *repo;
    struct session *session; /* asked why nothing arrives */
    const char *cluster;
    uint64_t system_identifier;
    uint32_t segment_bytes;
    int64_t timeout_seconds; /* without any new segment */
};

/*
 * Wait for segments first to last of a timeline. RC_DATABASE when none arrives for the timeout:
 * names the first that is missing, and what pg_stat_archiver says.
 */
MUST_CHECK enum rc wait_wal_range(const struct wait_wal *w, uint32_t timeline, uint64_t first,
                                  uint64_t last, struct error *err);

/* Write a WAL record, so that there is something to archive, end the segment, and say which one it
 * was. */
MUST_CHECK enum rc wait_wal_switch(const struct wait_wal *w, uint32_t *ret_timeline,
                                   uint64_t *ret_segment, struct error *err);
/* End the segment without a record of our own before it. */
MUST_CHECK enum rc wait_wal_end_segment(const struct wait_wal *w, uint32_t *ret_timeline,
                                        uint64_t *ret_segment, struct error *err);

/* Archiving works: a segment ended now arrives within the timeout. */
MUST_CHECK enum rc wait_wal_prove(const struct wait_wal *w, struct error *err);

#endif
