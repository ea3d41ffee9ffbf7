/*
 * Where the chunks of a file are.
 *
 * In memory a chunk names its pack by number in a pack table that belongs to the whole backup. In a
 * stored map frame the packs are listed by digest, so that a later backup can refer to the very
 * same frame.
 */
#ifndef PGPROOF_REPO_CHUNK_MAP_H
#define PGPROOF_REPO_CHUNK_MAP_H

#include "repo/pack.h"

#define CHUNK_BYTES      (128u << 10) /* the default chunk size */
#define CHUNK_BYTES_MAX  (16u << 20)
#define MAP_FRAME_CHUNKS 1024u /* chunks per map frame; the last one may have fewer */

enum chunk_flags { CHUNK_RAW = FRAME_RAW, CHUNK_ZERO = 2 /* all zeroes; stored nowhere */ };

struct chunk {
    uint32_t pack; /* number in the pack table; unused for CHUNK_ZERO */
    uint32_t offset;
    uint32_t stored_len;
    uint32_t crc32c;
    uint32_t flags;
    struct xxh128 hash;
};

/* The packs that a backup refers to. Thread-safe. Numbers are given in order of addition. */
struct pack_table;
struct pack_ref {
    struct sha256 id;
    uint64_t bytes;      /* of the object; 0 where not known */
    uint64_t live_bytes; /* of frames referred to */
};
struct pack_table *pack_table_new(void);
void pack_table_free(struct pack_table *t); /* takes NULL */
DEFINE_CLEANUP(cleanup_pack_table, struct pack_table *, pack_table_free)
uint32_t pack_table_add(struct pack_table *t, const struct sha256 *id,
                        uint64_t bytes); /* finds too */
bool pack_table_find(struct pack_table *t, const struct sha256 *id, uint32_t *ret_number);
void pack_table_count_live(struct pack_table *t, uint32_t number, uint64_t bytes);
uint32_t pack_table_count(struct pack_table *t);
struct pack_ref pack_table_get(struct pack_table *t, uint32_t number); /* BUG() out of range */

/* Plain bytes of a map frame for count chunks (1 to MAP_FRAME_CHUNKS). Cleared first. */
MUST_CHECK enum rc chunk_map_encode(const struct chunk *chunks, uint32_t count,
                                    struct pack_table *packs, struct buf *to, struct error *err);
/* Parse; adds packs to the table. Fails unless there are exactly `count` chunks. */
MUST_CHECK enum rc chunk_map_decode(const void *data, size_t len, uint32_t count,
                                    struct pack_table *packs, struct chunk *ret_chunks,
                                    struct error *err);

#endif
