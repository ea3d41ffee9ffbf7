#include "codec/zlines.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* What a reader may be made to allocate for the window, whatever a stream claims: 2^27 bytes, which
 * the highest level uses. */
#define WINDOW_LOG_MAX 27

struct zlines_writer {
    ZSTD_CCtx *context;
    struct buf *to;
};

enum rc zlines_writer_new(struct buf *to, int level, struct zlines_writer **ret, struct error *err)
{
    struct zlines_writer *w;

    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
        return error_set(err, RC_REFUSED, "zstd has no compression level %d: its levels are %d..%d",
                         level, ZSTD_minCLevel(), ZSTD_maxCLevel());
    w = mem_zalloc(sizeof(*w));
    w->to = to;
    w->context = ZSTD_createCCtx();
    /* A checksum, so that `zstd -t` on the object alone notices damage. */
    if (!w->context ||
        ZSTD_isError(ZSTD_CCtx_setParameter(w->context, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(w->context, ZSTD_c_checksumFlag, 1))) {
        zlines_writer_free(w);
        return error_set(err, RC_NOMEM, "could not make a zstd encoder of level %d", level);
    }
    *ret = w;
    return RC_OK;
}

/* One call of the encoder into the room that the buffer has or can still get. */
static enum rc compress_some(struct zlines_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective end,
                             size_t *ret_pending, struct error *err)
{
    struct buf *to = w->to;
    size_t room = to->max - to->len;
    ZSTD_outBuffer out;
    size_t pending;

    if (room > ZSTD_CStreamOutSize())
        room = ZSTD_CStreamOutSize();
    if (room == 0)
        return error_set(err, RC_NOMEM, "compressed lines would be longer than %zu bytes", to->max);
    TRY(buf_reserve(to, room, err));
    out = (ZSTD_outBuffer){.dst = to->data + to->len, .size = room};
    pending = ZSTD_compressStream2(w->context, &out, in, end);
    if (ZSTD_isError(pending))
        return error_set(err, RC_NOMEM, "could not compress lines: %s", ZSTD_getErrorName(pending));
    to->len += out.pos;
    *ret_pending = pending;
    return RC_OK;
}

static enum rc compress_all(struct zlines_writer *w, const char *data, size_t len,
                            struct error *err)
{
    ZSTD_inBuffer in = {.src = data, .size = len};
    size_t pending;

    while (in.pos < in.size)
        TRY(compress_some(w, &in, ZSTD_e_continue, &pending, err));
    return RC_OK;
}

enum rc zlines_add(struct zlines_writer *w, const char *line, size_t len, struct error *err)
{
    BUG_IF(memchr(line, '\n', len) || memchr(line, '\0', len));
    TRY(compress_all(w, line, len, err));
    return compress_all(w, "\n", 1, err);
}

enum rc zlines_commit(struct zlines_writer *w, struct error *err)
{
    ZSTD_inBuffer in = {.src = ""};
    size_t pending;

    do
        TRY(compress_some(w, &in, ZSTD_e_end, &pending, err));
    while (pending > 0);
    return RC_OK;
}

void zlines_writer_free(struct zlines_writer *w)
{
    if (!w)
        return;
    ZSTD_freeCCtx(w->context);
    free(w);
}

/* Cuts plain bytes into lines. A line that ends within one piece is handed on where it lies; only
 * one that goes on in the next piece is copied. */
struct line_cutter {
    size_t max_line;
    zlines_fn *fn;
    void *ctx;
    uint64_t line_number;
    struct buf begun; /* the line that has not ended yet */
};

static enum rc line_too_long(const struct line_cutter *c, struct error *err)
{
    return error_set(err, RC_INTEGRITY, "line %llu is longer than %zu bytes",
                     (unsigned long long)c->line_number + 1, c->max_line);
}

static enum rc emit_line(struct line_cutter *c, const char *line, size_t len, struct error *err)
{
    if (len > c->max_line)
        return line_too_long(c, err);
    if (memchr(line, '\0', len))
        return error_set(err, RC_INTEGRITY, "line %llu has a NUL inside",
                         (unsigned long long)c->line_number + 1);
    c->line_number++;
    return c->fn(c->ctx, c->line_number, line, len, err);
}

static enum rc emit_joined(struct line_cutter *c, const char *rest, size_t len, struct error *err)
{
    const char *line;
    enum rc rc;

    if (c->begun.len + len > c->max_line)
        return line_too_long(c, err);
    TRY(buf_append(&c->begun, rest, len, err));
    TRY(buf_cstr(&c->begun, &line, err));
    rc = emit_line(c, line, c->begun.len, err);
    buf_clear(&c->begun);
    return rc;
}

static enum rc cut_lines(struct line_cutter *c, char *piece, size_t len, struct error *err)
{
    char *at = piece, *end = piece + len, *newline;

    while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
        size_t line_len = (size_t)(newline - at);

        *newline = '\0';
        if (c->begun.len > 0)
            TRY(emit_joined(c, at, line_len, err));
        else
            TRY(emit_line(c, at, line_len, err));
        at = newline + 1;
    }
    if ((size_t)(end - at) > c->max_line - c->begun.len)
        return line_too_long(c, err);
    return buf_append(&c->begun, at, (size_t)(end - at), err);
}

static enum rc decode_failed(size_t code, struct error *err)
{
    enum rc rc = ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? RC_NOMEM : RC_INTEGRITY;

    return error_set(err, rc, "could not decompress lines: %s", ZSTD_getErrorName(code));
}

static enum rc decode_lines(ZSTD_DCtx *context, ZSTD_inBuffer *in, struct line_cutter *c,
                            char *piece, size_t piece_size, struct error *err)
{
    size_t expected = 1;

    while (expected > 0) {
        ZSTD_outBuffer out = {.dst = piece, .size = piece_size};

        /* The decoder leaves the last byte of a stream alone until all is out, so input that is
         * used up before the stream has ended ends too early. */
        if (in->pos == in->size)
            return error_set(err, RC_INTEGRITY, "compressed lines are cut off");
        expected = ZSTD_decompressStream(context, &out, in);
        if (ZSTD_isError(expected))
            return decode_failed(expected, err);
        TRY(cut_lines(c, piece, out.pos, err));
    }
    if (in->pos != in->size)
        return error_set(err, RC_INTEGRITY, "%zu bytes stand behind the compressed lines",
                         in->size - in->pos);
    if (c->begun.len > 0)
        return error_set(err, RC_INTEGRITY, "the last line does not end");
    return RC_OK;
}

static void cleanup_context(ZSTD_DCtx **context)
{
    ZSTD_freeDCtx(*context);
}

enum rc zlines_read(const void *data, size_t len, size_t max_line, zlines_fn *fn, void *ctx,
                    struct error *err)
{
    CLEANUP(cleanup_context) ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t piece_size = ZSTD_DStreamOutSize();
    CLEANUP_FREE char *piece = mem_alloc(piece_size);
    struct line_cutter c = {.max_line = max_line, .fn = fn, .ctx = ctx};
    ZSTD_inBuffer in = {.src = data, .size = len};
    enum rc rc;

    if (len < 4 || get_le32(data) != ZSTD_MAGICNUMBER)
        return error_set(err, RC_INTEGRITY, "bytes are no zstd stream");
    if (!context ||
        ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return error_set(err, RC_NOMEM, "could not make a zstd decoder");
    c.begun = BUF_INIT(max_line + 1);
    rc = decode_lines(context, &in, &c, piece, piece_size, err);
    buf_done(&c.begun);
    return rc;
}
