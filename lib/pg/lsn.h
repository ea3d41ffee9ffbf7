/* LSNs, timelines and the names of WAL files. */
#ifndef PGPROOF_PG_LSN_H
#define PGPROOF_PG_LSN_H

#include "base/error.h"

#include <stdint.h>

#define LSN_TEXT_MAX 20
const char *lsn_text(uint64_t lsn, char to[static LSN_TEXT_MAX]); /* "0/3000028" */
bool lsn_parse(const char *text, uint64_t *ret);

enum wal_kind { WAL_SEGMENT, WAL_PARTIAL, WAL_BACKUP_LABEL, WAL_HISTORY };

struct wal_name {
    enum wal_kind kind;
    uint32_t timeline;
    uint64_t number; /* segment number: LSN / segment size; 0 for history files */
};

#define WAL_NAME_MAX 64 /* with NUL */
/* False if it is no name of a WAL file for this segment size. Upper-case hex as PostgreSQL writes.
 */
bool wal_name_parse(const char *file, uint32_t segment_bytes, struct wal_name *ret);
/* The same without knowing the segment size: `number` is not filled in. */
bool wal_name_kind(const char *file, struct wal_name *ret);
void wal_name_segment(uint32_t timeline, uint64_t number, uint32_t segment_bytes,
                      char to[static WAL_NAME_MAX]);
void wal_name_history(uint32_t timeline, char to[static WAL_NAME_MAX]);

static inline uint64_t lsn_segment(uint64_t lsn, uint32_t segment_bytes)
{
    return lsn / segment_bytes;
}
/* The segment that holds the last byte before lsn: where WAL that ends at lsn ends. */
static inline uint64_t lsn_segment_before(uint64_t lsn, uint32_t segment_bytes)
{
    return (lsn - 1) / segment_bytes;
}
bool wal_segment_size_valid(uint32_t bytes); /* power of two, 1 MiB to 1 GiB */

/* The long page header at the start of a WAL segment (PostgreSQL
 * src/include/access/xlog_internal.h). */
struct wal_header {
    uint16_t magic;
    uint32_t timeline;
    uint64_t page_lsn;
    uint64_t system_identifier;
    uint32_t segment_bytes;
    uint32_t pg_major; /* from the magic */
};
/* RC_INTEGRITY if there is no long header of a WAL version of PostgreSQL 13 to 18. */
MUST_CHECK enum rc wal_header_read(const void *segment, uint64_t len, struct wal_header *ret,
                                   struct error *err);
/* Does a segment's own header belong to this name, this system, this size? RC_INTEGRITY says what
 * differs. `len` is the whole segment's length, and only segments and partial ones have a header.
 * The header's timeline may be lower than the name's, never higher. */
MUST_CHECK enum rc wal_header_check(const void *segment, uint64_t len, const char *file,
                                    uint64_t system_identifier, uint32_t segment_bytes,
                                    struct error *err);

/* A timeline history file: the timelines before this one, oldest first, each with its end. */
struct history_entry {
    uint32_t timeline;
    uint64_t end_lsn; /* the next timeline begins here */
};
#define HISTORY_ENTRIES_MAX 4096
struct history {
    uint32_t timeline; /* whose history this is */
    struct history_entry *entries;
    unsigned count;
};
MUST_CHECK enum rc history_parse(uint32_t timeline, const char *text, struct history *ret,
                                 struct error *err);
void history_done(struct history *h);
/* The timeline on which the byte at lsn lies, seen from h->timeline. */
uint32_t history_timeline_at(const struct history *h, uint64_t lsn);
/* Is (timeline, lsn) on the way to h->timeline: was lsn reached before that timeline was left? */
bool history_contains(const struct history *h, uint32_t timeline, uint64_t lsn);

#endif
