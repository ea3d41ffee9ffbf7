#include "pg/control.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "pg/lsn.h"

#include <inttypes.h>

/*
 * ControlFileData, with the CheckPoint inside it, of a little-endian machine with 8-byte alignment.
 * The fields that we read lie at the same places in 13 to 18; 17 put wal_level into what was
 * padding of CheckPoint, 18 a byte behind the checksum version, which moves only the CRC.
 */
enum {
    AT_SYSTEM_IDENTIFIER = 0,
    AT_CONTROL_VERSION = 8,
    AT_CATALOG_VERSION = 12,
    AT_STATE = 16,
    AT_CHECKPOINT = 32,
    AT_REDO = 40,
    AT_CHECKPOINT_TIMELINE = 48,
    AT_NEXT_XID = 64,
    AT_MIN_RECOVERY = 136,
    AT_BACKUP_START = 152,
    AT_MAX_CONNECTIONS = 180,
    AT_MAX_WORKER_PROCESSES = 184,
    AT_MAX_WAL_SENDERS = 188,
    AT_MAX_PREPARED_XACTS = 192,
    AT_MAX_LOCKS_PER_XACT = 196,
    AT_PAGE_BYTES = 216,
    AT_RELATION_SEGMENT_PAGES = 220,
    AT_WAL_SEGMENT_BYTES = 228,
    AT_CHECKSUM_VERSION = 252,
};

static const struct layout {
    uint32_t major, control_version, catalog_version, at_crc;
} layouts[] = {
    {13, 1300, 202007201, 288}, {14, 1300, 202107181, 288}, {15, 1300, 202209061, 288},
    {16, 1300, 202307071, 288}, {17, 1700, 202406281, 288}, {18, 1800, 202506291, 292},
};
#define HEADER_BYTES 16  /* up to and with the catalog version */
#define NEEDED_BYTES 296 /* up to and with any version's CRC */

static const struct layout *find_layout(uint32_t control_version, uint32_t catalog_version)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i].control_version == control_version &&
            layouts[i].catalog_version == catalog_version)
            return &layouts[i];
    return NULL;
}

static enum rc refuse_version(uint32_t control_version, uint32_t catalog_version, struct error *err)
{
    error_set(err, RC_REFUSED,
              "pg_control has version %" PRIu32 " and catalog version %" PRIu32
              ", which no PostgreSQL from 13 to 18 writes",
              control_version, catalog_version);
    return error_now(err, "use a pgproof that knows this version of PostgreSQL");
}

static enum rc check_values(const struct control *c, struct error *err)
{
    if (c->state > CONTROL_IN_PRODUCTION)
        return error_set(err, RC_INTEGRITY, "pg_control has an impossible state, %d",
                         (int)c->state);
    if (c->page_bytes < 1024 || c->page_bytes > 32768 || (c->page_bytes & (c->page_bytes - 1)))
        return error_set(err, RC_INTEGRITY, "pg_control has an impossible page size, %" PRIu32,
                         c->page_bytes);
    if (!wal_segment_size_valid(c->wal_segment_bytes))
        return error_set(err, RC_INTEGRITY,
                         "pg_control has an impossible WAL segment size, %" PRIu32,
                         c->wal_segment_bytes);
    if (c->relation_segment_pages == 0)
        return error_set(err, RC_INTEGRITY,
                         "pg_control has an impossible relation segment size, 0");
    return RC_OK;
}

static struct control take_values(const uint8_t *p, uint32_t major)
{
    return (struct control){
        .system_identifier = get_le64(p + AT_SYSTEM_IDENTIFIER),
        .pg_control_version = get_le32(p + AT_CONTROL_VERSION),
        .catalog_version = get_le32(p + AT_CATALOG_VERSION),
        .pg_major = major,
        .state = (enum control_state)get_le32(p + AT_STATE),
        .checkpoint_lsn = get_le64(p + AT_CHECKPOINT),
        .redo_lsn = get_le64(p + AT_REDO),
        .checkpoint_timeline = get_le32(p + AT_CHECKPOINT_TIMELINE),
        .next_xid = get_le64(p + AT_NEXT_XID),
        .min_recovery_lsn = get_le64(p + AT_MIN_RECOVERY),
        .backup_start_lsn = get_le64(p + AT_BACKUP_START),
        .page_bytes = get_le32(p + AT_PAGE_BYTES),
        .relation_segment_pages = get_le32(p + AT_RELATION_SEGMENT_PAGES),
        .wal_segment_bytes = get_le32(p + AT_WAL_SEGMENT_BYTES),
        .data_checksum_version = get_le32(p + AT_CHECKSUM_VERSION),
        .max_connections = (int32_t)get_le32(p + AT_MAX_CONNECTIONS),
        .max_worker_processes = (int32_t)get_le32(p + AT_MAX_WORKER_PROCESSES),
        .max_wal_senders = (int32_t)get_le32(p + AT_MAX_WAL_SENDERS),
        .max_prepared_xacts = (int32_t)get_le32(p + AT_MAX_PREPARED_XACTS),
        .max_locks_per_xact = (int32_t)get_le32(p + AT_MAX_LOCKS_PER_XACT),
    };
}

enum rc control_parse(const void *data, size_t len, struct control *ret, struct error *err)
{
    const uint8_t *p = data;
    if (len < NEEDED_BYTES)
        return error_set(err, RC_INTEGRITY, "pg_control is cut off: %zu bytes", len);
    uint32_t control_version = get_le32(p + AT_CONTROL_VERSION);
    uint32_t catalog_version = get_le32(p + AT_CATALOG_VERSION);
    const struct layout *layout = find_layout(control_version, catalog_version);
    if (!layout) {
        /* All zeroes is what a file that was never written, or lost its blocks, looks like. */
        if (control_version == 0)
            return error_set(err, RC_INTEGRITY, "pg_control is empty");
        return refuse_version(control_version, catalog_version, err);
    }
    uint32_t stored = get_le32(p + layout->at_crc);
    uint32_t computed = crc32c(0, p, layout->at_crc);
    if (stored != computed)
        return error_set(err, RC_INTEGRITY,
                         "pg_control is torn or damaged: its CRC is %08" PRIx32
                         ", its bytes give %08" PRIx32,
                         stored, computed);
    struct control c = take_values(p, layout->major);
    TRY(check_values(&c, err));
    *ret = c;
    return RC_OK;
}

/* In a form that the server accepts, in segment 0, which no cluster writes: WAL begins with 1. */
#define NO_CHECKPOINT_LSN 0x28

enum rc control_require_label(void *data, size_t len, struct error *err)
{
    uint8_t *p = data;
    struct control c;
    TRY(control_parse(data, len, &c, err));
    const struct layout *layout = find_layout(c.pg_control_version, c.catalog_version);
    put_le64(p + AT_CHECKPOINT, NO_CHECKPOINT_LSN);
    put_le32(p + layout->at_crc, crc32c(0, p, layout->at_crc));
    return RC_OK;
}

/* The server writes the file in place, in one go: a reader may see half of it for a moment. */
#define READ_TRIES    10
#define READ_PAUSE_MS 50

static enum rc read_once(const char *path, struct control *ret, struct buf *raw, struct error *err)
{
    buf_clear(raw);
    TRY(file_read(path, raw, err));
    return control_parse(raw->data, raw->len, ret, err);
}

enum rc control_read(const char *data_directory, struct control *ret, struct buf *raw,
                     struct error *err)
{
    CLEANUP_FREE char *path = path_join(data_directory, CONTROL_PATH);
    CLEANUP_BUF struct buf bytes = BUF_INIT(2 * CONTROL_FILE_BYTES);
    struct control c;
    enum rc rc = RC_OK;
    for (int i = 0; i < READ_TRIES; i++) {
        rc = read_once(path, &c, &bytes, err);
        if (rc != RC_INTEGRITY)
            break;
        clock_sleep_ms(READ_PAUSE_MS);
    }
    if (rc != RC_OK) {
        error_on(err, "%s", path);
        return rc;
    }
    if (raw)
        TRY(buf_append(raw, bytes.data, bytes.len, err));
    *ret = c;
    return RC_OK;
}
