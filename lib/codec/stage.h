/*
 * A stage turns one bounded block of bytes into another: compress, decompress, seal, open. Every
 * frame and every object passes through stages on its way in and, through their inverses, out.
 *
 * A stage belongs to one thread (it keeps the codec's context between blocks). Memory of a run is
 * the caller's: it asks stage_bound first. A decoding stage never writes beyond out_size, whatever
 * the input claims.
 */
#ifndef PGPROOF_CODEC_STAGE_H
#define PGPROOF_CODEC_STAGE_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct stage;

struct stage_ops {
    const char *name;
    size_t (*bound)(struct stage *s, size_t in_len); /* room that run needs; encoders only */
    enum rc (*run)(struct stage *s, const void *in, size_t in_len, void *out, size_t out_size,
                   size_t *ret_len, struct error *err);
    void (*free)(struct stage *s);
};

struct stage {
    const struct stage_ops *ops; /* first member of every implementation */
};

static inline size_t stage_bound(struct stage *s, size_t in_len)
{
    return s->ops->bound(s, in_len);
}

/* Encoders fail only with RC_NOMEM; decoders with RC_INTEGRITY where the bytes are not what an
 * encoder wrote, or would not fit. */
MUST_CHECK static inline enum rc stage_run(struct stage *s, const void *in, size_t in_len,
                                           void *out, size_t out_size, size_t *ret_len,
                                           struct error *err)
{
    return s->ops->run(s, in, in_len, out, out_size, ret_len, err);
}

/* Run over a whole block into a buffer (appended; its maximum bounds the result). For a decoder
 * out_len says how long the result is. */
MUST_CHECK enum rc stage_encode_buf(struct stage *s, const void *in, size_t in_len, struct buf *out,
                                    struct error *err);
MUST_CHECK enum rc stage_decode_buf(struct stage *s, const void *in, size_t in_len, size_t out_len,
                                    struct buf *out, struct error *err);

void stage_free(struct stage *s); /* takes NULL */
DEFINE_CLEANUP(cleanup_stage, struct stage *, stage_free)
#define CLEANUP_STAGE CLEANUP(cleanup_stage)

/* Zstandard (RFC 8878), one frame a block, content size recorded, no checksum of its own. */
#define ZSTD_LEVEL_DEFAULT 3
MUST_CHECK enum rc stage_zstd_encoder(int level, struct stage **ret, struct error *err);
MUST_CHECK enum rc stage_zstd_decoder(struct stage **ret, struct error *err);
/* The content size that a zstd block claims, if it claims one of at most max; else RC_INTEGRITY. */
MUST_CHECK enum rc zstd_content_size(const void *in, size_t in_len, uint64_t max, uint64_t *ret,
                                     struct error *err);

#endif
