/*
 * struct buf: bytes that grow up to a maximum given at birth. What comes from outside can ask for
 * any size; a buffer refuses what is over its maximum with RC_NOMEM.
 */
#ifndef PGPROOF_BASE_BUF_H
#define PGPROOF_BASE_BUF_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* owned; NULL until the first byte */
    size_t len;
    size_t capacity;
    size_t max;
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})
#define CLEANUP_BUF         __attribute__((cleanup(buf_done)))

void buf_done(struct buf *b);  /* frees; b is empty afterwards and may be used again */
void buf_clear(struct buf *b); /* len = 0; keeps the memory */

/* Make room for `more` bytes behind len. RC_NOMEM if that is over the maximum. */
MUST_CHECK enum rc buf_reserve(struct buf *b, size_t more, struct error *err);
MUST_CHECK enum rc buf_append(struct buf *b, const void *data, size_t len, struct error *err);
MUST_CHECK enum rc buf_printf(struct buf *b, struct error *err, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The content as a C string: puts a NUL behind the last byte (not counted in len). */
MUST_CHECK enum rc buf_cstr(struct buf *b, const char **ret, struct error *err);

/* Little-endian numbers in a byte array, as all our binary formats have them. */
static inline void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(uint8_t *p, uint32_t v)
{
    put_le16(p, (uint16_t)v);
    put_le16(p + 2, (uint16_t)(v >> 16));
}
static inline void put_le64(uint8_t *p, uint64_t v)
{
    put_le32(p, (uint32_t)v);
    put_le32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}
static inline uint64_t get_le64(const uint8_t *p)
{
    return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

/*
 * A cursor over bytes from outside: every read is checked against the end; after the first read
 * that does not fit, `failed` stays true and all further reads give zeroes.
 */
struct cursor {
    const uint8_t *p;
    const uint8_t *end;
    bool failed;
};

struct cursor cursor_over(const void *data, size_t len);
const uint8_t *cursor_take(struct cursor *c, size_t n); /* NULL if fewer are left */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_le16(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);
static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

#endif
