#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_done(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->capacity = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

static enum rc too_large(const struct buf *b, size_t more, struct error *err)
{
    return error_set(err, RC_NOMEM,
                     "a size over the limit was refused: %zu bytes and %zu more, "
                     "limit %zu",
                     b->len, more, b->max);
}

enum rc buf_reserve(struct buf *b, size_t more, struct error *err)
{
    if (more > b->max || b->len > b->max - more)
        return too_large(b, more, err);
    if (b->len + more <= b->capacity)
        return RC_OK;
    size_t want = b->capacity < 256 ? 256 : b->capacity + b->capacity / 2;
    if (want < b->len + more)
        want = b->len + more;
    if (want > b->max)
        want = b->max;
    uint8_t *data = realloc(b->data, want ? want : 1);
    if (!data)
        return error_set(err, RC_NOMEM, "out of memory (%zu bytes)", want);
    b->data = data;
    b->capacity = want;
    return RC_OK;
}

enum rc buf_append(struct buf *b, const void *data, size_t len, struct error *err)
{
    TRY(buf_reserve(b, len, err));
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return RC_OK;
}

enum rc buf_printf(struct buf *b, struct error *err, const char *fmt, ...)
{
    char small[512];
    va_list va, again;

    va_start(va, fmt);
    va_copy(again, va);
    int n = vsnprintf(small, sizeof(small), fmt, va);
    va_end(va);
    BUG_IF(n < 0);
    enum rc rc;
    if ((size_t)n < sizeof(small)) {
        rc = buf_append(b, small, (size_t)n, err);
    } else {
        char *large = malloc((size_t)n + 1);
        if (!large) {
            va_end(again);
            return error_set(err, RC_NOMEM, "out of memory (%d bytes)", n);
        }
        vsnprintf(large, (size_t)n + 1, fmt, again);
        rc = buf_append(b, large, (size_t)n, err);
        free(large);
    }
    va_end(again);
    return rc;
}

enum rc buf_cstr(struct buf *b, const char **ret, struct error *err)
{
    if (b->len == b->capacity) {
        uint8_t *data = realloc(b->data, b->len + 1);
        if (!data)
            return error_set(err, RC_NOMEM, "out of memory (%zu bytes)", b->len + 1);
        b->data = data;
        b->capacity = b->len + 1;
    }
    b->data[b->len] = '\0';
    *ret = (const char *)b->data;
    return RC_OK;
}

struct cursor cursor_over(const void *data, size_t len)
{
    const uint8_t *p = data;

    return (struct cursor){.p = p, .end = len ? p + len : p}; /* NULL + 0 is undefined */
}

const uint8_t *cursor_take(struct cursor *c, size_t n)
{
    if (c->failed || cursor_left(c) < n) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 1);

    return p ? *p : 0;
}

uint16_t cursor_le16(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 2);

    return p ? get_le16(p) : 0;
}

uint32_t cursor_le32(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 4);

    return p ? get_le32(p) : 0;
}

uint64_t cursor_le64(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 8);

    return p ? get_le64(p) : 0;
}
