/*
 * Packs: immutable objects of about 32 MiB that hold many frames. A pack's name is the SHA-256 of
 * its bytes. docs/format.md has the layout: header, frames, index (zstd), trailer of fixed size.
 *
 * A writer belongs to one worker: it fills a pack in memory, hashes it once and puts it with one
 * request. Where a frame stands is known when it is added; in which pack, only when the pack is
 * finished.
 */
#ifndef PGPROOF_REPO_PACK_H
#define PGPROOF_REPO_PACK_H

#include "codec/hash.h"
#include "codec/stage.h"
#include "repo/names.h"
#include "repo/repository.h"

#define PACK_TARGET_BYTES (32u << 20) /* a pack is finished when it has grown to this */
#define PACK_MAX_BYTES    (64u << 20) /* readers refuse larger ones */
#define FRAME_PLAIN_MAX   (16u << 20) /* no frame decodes to more */

enum frame_kind { FRAME_CHUNK = 1, FRAME_MAP = 2 /* 3: pages over a base frame, reserved */ };
enum frame_flags { FRAME_RAW = 1 /* stored as it is; else one zstd frame */ };

/* Where a frame stands in its pack, and what its plain bytes must be. */
struct frame {
    uint32_t offset;
    uint32_t stored_len;
    uint32_t plain_len;
    uint32_t flags; /* enum frame_flags */
    uint32_t crc32c;
    struct xxh128 hash;
};

struct pack_writer;

/* `r` and `encoder` are borrowed for the writer's life. `paranoid`: decode every frame again
 * before the put instead of a sample. */
MUST_CHECK enum rc pack_writer_new(struct repo *r, const char *cluster, uint64_t system_identifier,
                                   enum pack_kind kind, struct stage *encoder, bool paranoid,
                                   struct pack_writer **ret, struct error *err);
void pack_writer_free(struct pack_writer *w); /* drops what was not finished; takes NULL */
DEFINE_CLEANUP(cleanup_pack_writer, struct pack_writer *, pack_writer_free)

/*
 * Compress and append a frame. hash and crc32c are of the plain bytes, computed by the caller, who
 * needs them anyway. `path` and `number` (which chunk, or which piece of a map) go into the index.
 */
MUST_CHECK enum rc pack_writer_add(struct pack_writer *w, const char *path, uint64_t number,
                                   const void *plain, uint32_t len, const struct xxh128 *hash,
                                   uint32_t crc32c, struct frame *ret, struct error *err);

size_t pack_writer_bytes(const struct pack_writer *w); /* 0: empty */
bool pack_writer_is_full(const struct pack_writer *w); /* time to finish */

/* Index, trailer, self-check, digest, put. The writer is empty afterwards and draws a new header.
 */
MUST_CHECK enum rc pack_writer_finish(struct pack_writer *w, struct sha256 *ret_id,
                                      uint64_t *ret_bytes, struct error *err);

/* Get a whole pack and check its digest and header. Part two of errors is its name. `to` is cleared
 * first. RC_INTEGRITY when missing, too, with its own text: who asks has it from a manifest. */
MUST_CHECK enum rc pack_get(struct repo *r, const char *cluster, enum pack_kind kind,
                            const struct sha256 *id, struct buf *to, struct error *err);

/* Decode a frame of a pack in memory into out (plain_len bytes), check hash and CRC. */
MUST_CHECK enum rc frame_decode(uint64_t hash_seed, const struct buf *pack, const struct frame *f,
                                struct stage *decoder, void *out, struct error *err);

/* The index, for tools that look into a pack without a manifest. */
typedef enum rc pack_index_fn(void *ctx, enum frame_kind kind, const char *path, uint64_t number,
                              const struct frame *f, struct error *err);
MUST_CHECK enum rc pack_index_read(const struct buf *pack, pack_index_fn *fn, void *ctx,
                                   struct error *err);

#endif
