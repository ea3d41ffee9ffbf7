/*
 * WAL in the repository: one object per file that PostgreSQL archives. Knows names and bytes;
 * whether a segment's own header fits its name and cluster is checked by whoever pushes it.
 *
 * Object: typed header (SECTION_WAL), one zstd frame, SHA-256 of all in front of it.
 */
#ifndef PGPROOF_REPO_WAL_OBJECT_H
#define PGPROOF_REPO_WAL_OBJECT_H

#include "codec/hash.h"
#include "codec/stage.h"
#include "repo/repository.h"

#define WAL_PLAIN_MAX (1024u << 20)

struct wal_info {
    char file[64]; /* 24 hex digits, maybe with .partial or .<8 hex>.backup; or <8 hex>.history */
    uint64_t system_identifier;
    uint32_t segment_bytes; /* of the cluster */
    uint64_t plain_len;
    struct xxh128 plain_hash;
    moment_us pushed;    /* by the pushing host's clock */
    char pushed_by[128]; /* host name */
};

/* The object's bytes for a WAL file, appended to `to`. */
MUST_CHECK enum rc wal_encode(const struct repo *r, const struct wal_info *info, const void *plain,
                              struct stage *encoder, struct buf *to, struct error *err);
/* Check everything; append the plain bytes to `to` (NULL: header and digest only). */
MUST_CHECK enum rc wal_decode(const struct repo *r, const void *object, size_t len,
                              struct wal_info *ret, struct buf *to, struct error *err);

/*
 * Store a WAL file. RC_OK: durable, ours, or one with the same content was there. RC_INTEGRITY:
 * another content stands under this name (untouched; the message has both digests and who wrote
 * the first). plain_hash, plain_len, pushed and pushed_by are filled in here.
 */
MUST_CHECK enum rc wal_put(struct repo *r, const char *cluster, struct wal_info *info,
                           const void *plain, size_t len, int zstd_level, bool *ret_was_there,
                           struct error *err);
/* RC_NOT_FOUND only if the store said so. RC_INTEGRITY if damaged or not what the name says. */
MUST_CHECK enum rc wal_get(struct repo *r, const char *cluster, uint64_t system_identifier,
                           const char *file, struct wal_info *ret, struct buf *to,
                           struct error *err);

/* What is archived, by listing. Segments ascending by timeline and number. */
struct wal_segment {
    uint32_t timeline;
    uint64_t number;  /* LSN / segment size */
    moment_us stored; /* by the store's clock */
    uint64_t stored_bytes;
};
struct wal_list {
    struct wal_segment *segments;
    size_t segment_count;
    uint32_t *histories; /* timelines with a .history file, ascending */
    size_t history_count;
    uint64_t stored_bytes;
};
MUST_CHECK enum rc wal_list_load(struct repo *r, const char *cluster, uint64_t system_identifier,
                                 uint32_t segment_bytes, struct wal_list **ret, struct error *err);
void wal_list_free(struct wal_list *l); /* takes NULL */
DEFINE_CLEANUP(cleanup_wal_list, struct wal_list *, wal_list_free)
/* NULL if it isn't there. */
const struct wal_segment *wal_list_find(const struct wal_list *l, uint32_t timeline,
                                        uint64_t number);

#endif
