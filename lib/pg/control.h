/*
 * pg_control, for PostgreSQL 13 to 18 (src/include/catalog/pg_control.h of each). All knowledge of
 * its layout is in control.c.
 */
#ifndef PGPROOF_PG_CONTROL_H
#define PGPROOF_PG_CONTROL_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

#define CONTROL_FILE_BYTES 8192
#define CONTROL_PATH       "global/pg_control"

enum control_state {
    CONTROL_STARTUP,
    CONTROL_SHUTDOWNED,
    CONTROL_SHUTDOWNED_IN_RECOVERY,
    CONTROL_SHUTDOWNING,
    CONTROL_IN_CRASH_RECOVERY,
    CONTROL_IN_ARCHIVE_RECOVERY,
    CONTROL_IN_PRODUCTION,
};

struct control {
    uint64_t system_identifier;
    uint32_t pg_control_version;
    uint32_t catalog_version;
    uint32_t pg_major; /* 13 to 18, from the two versions */
    enum control_state state;
    uint64_t checkpoint_lsn, redo_lsn;
    uint32_t checkpoint_timeline;
    uint64_t next_xid; /* with epoch */
    uint64_t min_recovery_lsn;
    uint64_t backup_start_lsn; /* not 0: recovery has not reached the end of its backup yet */
    uint32_t page_bytes;
    uint32_t relation_segment_pages;
    uint32_t wal_segment_bytes;
    uint32_t data_checksum_version; /* 0: off */
    int32_t max_connections, max_worker_processes, max_wal_senders, max_prepared_xacts,
        max_locks_per_xact;
};

/* RC_INTEGRITY: torn or damaged (CRC-32C); read it again. RC_REFUSED: a version not known here. */
MUST_CHECK enum rc control_parse(const void *data, size_t len, struct control *ret,
                                 struct error *err);
/* Read and parse <data_directory>/global/pg_control, again a few times while it is torn. `raw`
 * (may be NULL) gets the bytes. */
MUST_CHECK enum rc control_read(const char *data_directory, struct control *ret, struct buf *raw,
                                struct error *err);

/*
 * Make the copy of pg_control in `data` useless to a server that finds no backup_label beside it:
 * such a server would begin recovery at the wrong place and call the result sound. Its checkpoint
 * then points to where WAL never is; with the label the server takes the place from there, and
 * writes it back. The CRC is set anew.
 */
MUST_CHECK enum rc control_require_label(void *data, size_t len, struct error *err);

#endif
