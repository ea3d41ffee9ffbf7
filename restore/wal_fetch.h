/*
 * Fetch one WAL file for recovery. PostgreSQL reads "it is not there" as the end of the WAL, and
 * outside standby mode it then ends recovery and opens the database; so absence must be proven, and
 * everything else must be told from it.
 */
#ifndef PGPROOF_RESTORE_WAL_FETCH_H
#define PGPROOF_RESTORE_WAL_FETCH_H

#include "repo/wal_object.h"

struct wal_fetch {
    struct repo *repo; /* opened in this call, so repository.json was read */
    const char *cluster;
    struct cluster_system system;
    const char *data_directory; /* NULL: run by a person, elsewhere */
    bool standby;               /* it will ask again: no absence is the end */
    const char *file;           /* %f */
    const char *path;           /* %p */
    unsigned hole_wait_seconds; /* pushes may arrive out of order */
};

enum wal_fetch_answer {
    WAL_FETCHED, /* verified, durable, in place */
    WAL_ABSENT,  /* proven, and outside standby mode no hole */
};

/*
 * RC_USAGE: no name of a WAL file. RC_INTEGRITY: damaged, or a hole. RC_STORAGE: could not find
 * out. Never RC_NOT_FOUND. Without RC_OK and WAL_FETCHED there is nothing new at `path`.
 */
MUST_CHECK enum rc wal_fetch(const struct wal_fetch *f, enum wal_fetch_answer *ret,
                             struct error *err);

bool wal_fetch_is_standby(const char *data_directory);

/*
 * May a standby be told that `file` is not there while the repository is out of reach? Once it is
 * consistent it only asks again, and would otherwise shut down. Before that, a history file that
 * seems to be absent could send it onto the wrong timeline.
 */
bool wal_fetch_standby_can_wait(const char *data_directory, const char *file);

#endif
