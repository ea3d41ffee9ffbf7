#include "codec/stage.h"

#include <string.h>

enum rc stage_encode_buf(struct stage *s, const void *in, size_t in_len, struct buf *out,
                         struct error *err)
{
    size_t room = stage_bound(s, in_len);
    size_t left = out->max - out->len;
    size_t len;

    /* The bound is nearly always more than the result needs; a buffer that is smaller than the
     * bound may still hold the result, and the stage says so if it doesn't. */
    if (room > left)
        room = left;
    TRY(buf_reserve(out, room, err));
    TRY(stage_run(s, in, in_len, out->data ? out->data + out->len : NULL, room, &len, err));
    out->len += len;
    return RC_OK;
}

enum rc stage_decode_buf(struct stage *s, const void *in, size_t in_len, size_t out_len,
                         struct buf *out, struct error *err)
{
    size_t len;

    TRY(buf_reserve(out, out_len, err));
    TRY(stage_run(s, in, in_len, out->data ? out->data + out->len : NULL, out_len, &len, err));
    if (len != out_len)
        return error_set(err, RC_INTEGRITY, "%s block holds %zu bytes where %zu were expected",
                         s->ops->name, len, out_len);
    out->len += len;
    return RC_OK;
}

void stage_free(struct stage *s)
{
    if (s)
        s->ops->free(s);
}
