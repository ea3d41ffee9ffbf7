#include "codec/stage.h"

#include "base/mem.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct zstd_encoder {
    struct stage stage;
    ZSTD_CCtx *context;
};

struct zstd_decoder {
    struct stage stage;
    ZSTD_DCtx *context;
};

static size_t encoder_bound(struct stage *s, size_t in_len)
{
    size_t bound = ZSTD_compressBound(in_len);

    (void)s;
    return ZSTD_isError(bound) || bound < in_len ? SIZE_MAX : bound;
}

static enum rc encoder_run(struct stage *s, const void *in, size_t in_len, void *out,
                           size_t out_size, size_t *ret_len, struct error *err)
{
    struct zstd_encoder *e = (struct zstd_encoder *)s;
    size_t len = ZSTD_compress2(e->context, out, out_size, in, in_len);

    if (ZSTD_isError(len))
        return error_set(err, RC_NOMEM, "could not compress %zu bytes into %zu: %s", in_len,
                         out_size, ZSTD_getErrorName(len));
    *ret_len = len;
    return RC_OK;
}

static void encoder_free(struct stage *s)
{
    struct zstd_encoder *e = (struct zstd_encoder *)s;

    ZSTD_freeCCtx(e->context);
    free(e);
}

static const struct stage_ops encoder_ops = {
    .name = "zstd",
    .bound = encoder_bound,
    .run = encoder_run,
    .free = encoder_free,
};

enum rc stage_zstd_encoder(int level, struct stage **ret, struct error *err)
{
    struct zstd_encoder *e;

    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return error_set(err, RC_REFUSED, "zstd has no compression level %d: its levels are %d..%d",
                         level, ZSTD_minCLevel(), ZSTD_maxCLevel());
    e = mem_zalloc(sizeof(*e));
    e->stage.ops = &encoder_ops;
    e->context = ZSTD_createCCtx();
    if (!e->context ||
        ZSTD_isError(ZSTD_CCtx_setParameter(e->context, ZSTD_c_compressionLevel, level))) {
        encoder_free(&e->stage);
        return error_set(err, RC_NOMEM, "could not make a zstd encoder of level %d", level);
    }
    *ret = &e->stage;
    return RC_OK;
}

enum rc zstd_content_size(const void *in, size_t in_len, uint64_t max, uint64_t *ret,
                          struct error *err)
{
    unsigned long long size;

    /* The magic number first: zstd would also take a skippable frame, which we never write. */
    if (in_len < 4 || get_le32(in) != ZSTD_MAGICNUMBER)
        return error_set(err, RC_INTEGRITY, "bytes are no zstd frame");
    size = ZSTD_getFrameContentSize(in, in_len);
    if (size == ZSTD_CONTENTSIZE_ERROR)
        return error_set(err, RC_INTEGRITY, "zstd frame has a damaged header");
    if (size == ZSTD_CONTENTSIZE_UNKNOWN)
        return error_set(err, RC_INTEGRITY, "zstd frame does not say how long its content is");
    if (size > max)
        return error_set(err, RC_INTEGRITY,
                         "zstd frame claims %llu bytes of content where at most %llu can be", size,
                         (unsigned long long)max);
    *ret = size;
    return RC_OK;
}

static enum rc decoder_run(struct stage *s, const void *in, size_t in_len, void *out,
                           size_t out_size, size_t *ret_len, struct error *err)
{
    struct zstd_decoder *d = (struct zstd_decoder *)s;
    uint64_t claimed = 0;
    size_t frame_len, len;

    TRY(zstd_content_size(in, in_len, out_size, &claimed, err));
    frame_len = ZSTD_findFrameCompressedSize(in, in_len);
    if (ZSTD_isError(frame_len))
        return error_set(err, RC_INTEGRITY, "zstd frame is damaged: %s",
                         ZSTD_getErrorName(frame_len));
    if (frame_len != in_len)
        return error_set(err, RC_INTEGRITY, "zstd frame ends %zu bytes early", in_len - frame_len);
    len = ZSTD_decompressDCtx(d->context, out, out_size, in, in_len);
    if (ZSTD_isError(len)) {
        enum rc rc =
            ZSTD_getErrorCode(len) == ZSTD_error_memory_allocation ? RC_NOMEM : RC_INTEGRITY;
        return error_set(err, rc, "could not decompress: %s", ZSTD_getErrorName(len));
    }
    if (len != claimed)
        return error_set(err, RC_INTEGRITY, "zstd frame claims %llu bytes of content and has %zu",
                         (unsigned long long)claimed, len);
    *ret_len = len;
    return RC_OK;
}

static void decoder_free(struct stage *s)
{
    struct zstd_decoder *d = (struct zstd_decoder *)s;

    ZSTD_freeDCtx(d->context);
    free(d);
}

static const struct stage_ops decoder_ops = {
    .name = "zstd",
    .run = decoder_run,
    .free = decoder_free,
};

enum rc stage_zstd_decoder(struct stage **ret, struct error *err)
{
    struct zstd_decoder *d = mem_zalloc(sizeof(*d));

    d->stage.ops = &decoder_ops;
    d->context = ZSTD_createDCtx();
    if (!d->context) {
        free(d);
        return error_set(err, RC_NOMEM, "could not make a zstd decoder");
    }
    *ret = &d->stage;
    return RC_OK;
}
