/* What can be restored: from the backups, the archived WAL and the history of timelines. */
#ifndef PGPROOF_PGPROOF_WAL_WINDOW_H
#define PGPROOF_PGPROOF_WAL_WINDOW_H

#include "pg/lsn.h"
#include "repo/backup.h"
#include "repo/wal_object.h"

/* An unbroken run of segments of one timeline. Between two runs of a timeline there is a hole. */
struct wal_run {
    uint32_t timeline;
    uint64_t first, last; /* segment numbers */
    moment_us newest;     /* when its last segment was stored */
};
/* malloc'ed, in the order of the list. */
struct wal_run *wal_runs(const struct wal_list *l, size_t *ret_count);

/* The moments that the backups and an unbroken run of WAL from the first of them can reach. */
struct window {
    uint32_t timeline;        /* where it ends */
    uint64_t first, last;     /* segment numbers, along the branch */
    moment_us from, to;       /* `to` is when the last segment was stored: about */
    uint64_t from_lsn;        /* the end of the first backup */
    const char *first_backup; /* ids; they belong to the catalog */
    const char *last_backup;
    bool beside;        /* on a branch that the newest timeline does not come from */
    bool hole;          /* WAL of the branch is archived behind `last`, after a hole */
    uint64_t hole_last; /* the hole's last segment; its first is last + 1 */
};

enum backup_state {
    BACKUP_USABLE,
    BACKUP_WAL_MISSING, /* between its start and its stop: it can't become consistent */
    BACKUP_BROKEN,      /* its backup.json can't be used */
    BACKUP_OTHER,       /* of another system */
};
struct backup_standing {
    enum backup_state state;
    char missing[WAL_NAME_MAX]; /* BACKUP_WAL_MISSING: the first segment that is not there */
    bool beside;
};

/*
 * `h`: of the newest timeline. `standing` has catalog->count elements. *ret: malloc'ed, oldest
 * first.
 */
void windows_find(const struct catalog *catalog, uint64_t system_identifier, uint32_t segment_bytes,
                  const struct wal_list *l, const struct history *h,
                  struct backup_standing *standing, struct window **ret, size_t *ret_count);

#endif
