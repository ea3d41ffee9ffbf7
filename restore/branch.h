/*
 * The branch: the line of timelines that leads to the one where recovery ends, and the WAL that is
 * archived along it.
 */
#ifndef PGPROOF_RESTORE_BRANCH_H
#define PGPROOF_RESTORE_BRANCH_H

#include "pg/lsn.h"
#include "repo/wal_object.h"

struct branch {
    struct history history; /* of the timeline where recovery ends */
    struct wal_list *wal;
    uint32_t segment_bytes;
};

/*
 * Load the list of archived WAL and the history of `timeline` (0: the newest timeline that the
 * archive knows; `fallback` where it knows none, e.g. because nothing was archived yet).
 * RC_REFUSED: the archive has no such timeline.
 */
MUST_CHECK enum rc branch_load(struct repo *r, const char *cluster,
                               const struct cluster_system *system, uint32_t timeline,
                               uint32_t fallback, struct branch *ret, struct error *err);
void branch_done(struct branch *b);

/* The archived segment with this number along the branch (of the newest timeline that has it), or
 * NULL. */
const struct wal_segment *branch_segment(const struct branch *b, uint64_t number);

/* The last number of an unbroken run of archived segments from `first`; first - 1 if `first` itself
 * is missing. *ret_beyond: a segment of the branch is archived behind the gap (so it is a hole, not
 * the end). */
uint64_t branch_run_end(const struct branch *b, uint64_t first, bool *ret_beyond);

/* The name that a missing segment would have. */
void branch_segment_name(const struct branch *b, uint64_t number, char to[static WAL_NAME_MAX]);

#endif
