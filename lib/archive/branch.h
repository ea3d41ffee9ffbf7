/*
 * A branch: the line of timelines that leads to one of them, and the WAL that is archived along it.
 * What a repository lists, read with PostgreSQL's rules.
 */
#ifndef PGPROOF_ARCHIVE_BRANCH_H
#define PGPROOF_ARCHIVE_BRANCH_H

#include "pg/lsn.h"
#include "repo/wal_object.h"

/* A view: nothing in it is owned. */
struct branch {
    const struct history *history; /* of the timeline where it ends */
    const struct wal_list *wal;
    uint32_t segment_bytes;
};

/* The archived segment with this number along the branch (of the newest timeline that has it), or
 * NULL. */
const struct wal_segment *branch_segment(const struct branch *b, uint64_t number);

/* The last number of an unbroken run of archived segments from `first`; first - 1 if `first` itself
 * is missing. */
uint64_t branch_run_end(const struct branch *b, uint64_t first);

/* The next archived segment of the branch behind `number`; false if there is none. Behind the end
 * of a run it tells a hole from the end of the WAL. */
bool branch_next(const struct branch *b, uint64_t number, uint64_t *ret);

/* The name that a segment has if it is where the history says. */
void branch_segment_name(const struct branch *b, uint64_t number, char to[static WAL_NAME_MAX]);

/* The newest timeline that has a segment or a history file; 0 if nothing is archived. */
uint32_t newest_timeline(const struct wal_list *wal);
bool timeline_is_archived(const struct wal_list *wal, uint32_t timeline);

/*
 * The history of a timeline from its archived file; timeline 1 needs none. RC_NOT_FOUND: the file
 * is not there, so nobody knows where this timeline began. Ends with history_done.
 */
MUST_CHECK enum rc history_load(struct repo *r, const char *cluster, uint64_t system_identifier,
                                uint32_t timeline, struct history *ret, struct error *err);

#endif
