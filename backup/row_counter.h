/*
 * Counts the rows of every table when the backup ends, and notes them (repo/row_counts.h): what a
 * drill compares.
 *
 * One REPEATABLE READ snapshot per database. The counts are exact at one LSN where no transaction
 * that could change rows was in progress when the snapshots were taken: all snapshots show the same
 * xmin = xmax = X, the insert LSN is read with the last of them, and after that the next xid given
 * out is still X. On a busy server that moment may not come; the counts are noted then, too, and
 * marked as not exact.
 */
#ifndef PGPROOF_BACKUP_ROW_COUNTER_H
#define PGPROOF_BACKUP_ROW_COUNTER_H

#include "app/app.h"
#include "archive/wait_wal.h"
#include "base/clock.h"
#include "repo/names.h"

struct row_counter_result {
    struct object_name name; /* of the document; "" if none was written */
    uint64_t table_count;    /* counted */
    uint64_t missed_count;   /* tables and databases that could not be counted */
    bool exact;
    uint64_t lsn;
    uint32_t timeline;
    uint64_t
        segment; /* archived WAL must reach to the end of this one, or the LSN can't be a target */
};

/*
 * Count, write a WAL record behind the LSN, end the segment, put the document. What can't be
 * counted is named in it and in the log. Errors are of the control session and of the repository;
 * they make no backup worse, so the caller only tells about them.
 */
MUST_CHECK enum rc row_counter_note(const struct app *a, const struct wait_wal *w,
                                    const char *backup_id, struct row_counter_result *ret,
                                    struct error *err);

#endif
