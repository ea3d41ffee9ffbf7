#include "base/buf.h"
#include "pg/lsn.h"

#include <inttypes.h>

/* XLogLongPageHeaderData, from src/include/access/xlog_internal.h; the same in 13 to 18. */
enum {
    AT_MAGIC = 0,
    AT_INFO = 2,
    AT_TIMELINE = 4,
    AT_PAGE_LSN = 8,
    AT_SYSTEM_IDENTIFIER = 24,
    AT_SEGMENT_BYTES = 32,
    AT_PAGE_BYTES = 36,
    LONG_HEADER_BYTES = 40,
};
#define INFO_LONG_HEADER 0x0002

static const struct {
    uint16_t magic;
    uint32_t major;
} wal_versions[] = {
    {0xD106, 13}, {0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18},
};

static uint32_t major_of_magic(uint16_t magic)
{
    for (size_t i = 0; i < sizeof wal_versions / sizeof wal_versions[0]; i++)
        if (wal_versions[i].magic == magic)
            return wal_versions[i].major;
    return 0;
}

enum rc wal_header_read(const void *segment, uint64_t len, struct wal_header *ret,
                        struct error *err)
{
    const uint8_t *p = segment;
    if (len < LONG_HEADER_BYTES)
        return error_set(err, RC_INTEGRITY, "no WAL header: only %" PRIu64 " bytes", len);
    struct wal_header h = {
        .magic = get_le16(p + AT_MAGIC),
        .timeline = get_le32(p + AT_TIMELINE),
        .page_lsn = get_le64(p + AT_PAGE_LSN),
        .system_identifier = get_le64(p + AT_SYSTEM_IDENTIFIER),
        .segment_bytes = get_le32(p + AT_SEGMENT_BYTES),
    };
    h.pg_major = major_of_magic(h.magic);
    if (h.pg_major == 0)
        return error_set(err, RC_INTEGRITY,
                         "no WAL header: magic %04X belongs to no PostgreSQL from 13 to 18",
                         h.magic);
    if (!(get_le16(p + AT_INFO) & INFO_LONG_HEADER))
        return error_set(err, RC_INTEGRITY, "no WAL header: this is not a segment's first page");
    if (!wal_segment_size_valid(h.segment_bytes))
        return error_set(err, RC_INTEGRITY,
                         "damaged WAL header: a segment size of %" PRIu32 " bytes is impossible",
                         h.segment_bytes);
    uint32_t page = get_le32(p + AT_PAGE_BYTES);
    if (page < 1024 || page > 65536 || (page & (page - 1)))
        return error_set(err, RC_INTEGRITY,
                         "damaged WAL header: a page size of %" PRIu32 " bytes is impossible",
                         page);
    if (h.timeline == 0)
        return error_set(err, RC_INTEGRITY, "damaged WAL header: timeline 0");
    *ret = h;
    return RC_OK;
}

static enum rc check_place(const struct wal_header *h, const struct wal_name *name,
                           struct error *err)
{
    uint64_t expected = name->number * h->segment_bytes;
    char has[LSN_TEXT_MAX], wants[LSN_TEXT_MAX];
    if (h->page_lsn != expected)
        return error_set(err, RC_INTEGRITY,
                         "the segment's header says that it begins at %s, its name says %s",
                         lsn_text(h->page_lsn, has), lsn_text(expected, wants));
    /* A timeline's first segment begins with its parent's pages, so a lower one is right. */
    if (h->timeline > name->timeline)
        return error_set(err, RC_INTEGRITY,
                         "the segment's header is of timeline %" PRIu32
                         ", its name says timeline %" PRIu32,
                         h->timeline, name->timeline);
    return RC_OK;
}

static enum rc check_header(const void *segment, uint64_t len, const char *file,
                            uint64_t system_identifier, uint32_t segment_bytes, struct error *err)
{
    struct wal_name name;
    if (!wal_name_parse(file, segment_bytes, &name) ||
        (name.kind != WAL_SEGMENT && name.kind != WAL_PARTIAL))
        return error_set(err, RC_INTEGRITY,
                         "this is no name of a WAL segment where segments have %" PRIu32 " bytes",
                         segment_bytes);
    struct wal_header h;
    TRY(wal_header_read(segment, len, &h, err));
    if (h.system_identifier != system_identifier)
        return error_set(err, RC_INTEGRITY,
                         "the segment belongs to another cluster: system identifier %" PRIu64
                         ", expected %" PRIu64,
                         h.system_identifier, system_identifier);
    if (h.segment_bytes != segment_bytes)
        return error_set(err, RC_INTEGRITY,
                         "the segment's header says %" PRIu32
                         " bytes per segment, expected %" PRIu32,
                         h.segment_bytes, segment_bytes);
    if (len != segment_bytes)
        return error_set(err, RC_INTEGRITY,
                         "the segment has %" PRIu64 " bytes where segments have %" PRIu32, len,
                         segment_bytes);
    return check_place(&h, &name, err);
}

enum rc wal_header_check(const void *segment, uint64_t len, const char *file,
                         uint64_t system_identifier, uint32_t segment_bytes, struct error *err)
{
    enum rc rc = check_header(segment, len, file, system_identifier, segment_bytes, err);
    if (rc != RC_OK)
        error_on(err, "WAL file %s", file);
    return rc;
}
