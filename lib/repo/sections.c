#include "repo/sections.h"

#include "repo/random_int.h"

#include <string.h>

#define HEADER_VERSION     1
#define AT_VERSION         8
#define AT_LENGTH          12
#define RANDOM_LEN         16
#define SECTION_HEADER_LEN 8

enum rc header_begin(struct buf *b, const char magic[static 8], struct error *err)
{
    uint8_t fixed[HEADER_FIXED_LEN] = {0};
    BUG_IF(b->len != 0);
    memcpy(fixed, magic, 8);
    put_le32(fixed + AT_VERSION, HEADER_VERSION);
    TRY(random_bytes(fixed + HEADER_FIXED_LEN - RANDOM_LEN, RANDOM_LEN, err));
    return buf_append(b, fixed, sizeof fixed, err);
}

enum rc header_add(struct buf *b, uint16_t type, uint16_t flags, const void *payload, uint32_t len,
                   struct error *err)
{
    uint8_t head[SECTION_HEADER_LEN];
    put_le16(head, type);
    put_le16(head + 2, flags);
    put_le32(head + 4, len);
    TRY(buf_append(b, head, sizeof head, err));
    return buf_append(b, payload, len, err);
}

enum rc header_end(struct buf *b, struct error *err)
{
    TRY(header_add(b, SECTION_END, 0, "", 0, err));
    BUG_IF(b->len > HEADER_MAX_LEN);
    put_le32(b->data + AT_LENGTH, (uint32_t)b->len);
    return RC_OK;
}

static enum rc check_fixed(const uint8_t *object, size_t len, const char magic[static 8],
                           size_t *ret_header_len, struct error *err)
{
    if (len < HEADER_FIXED_LEN || memcmp(object, magic, 8) != 0)
        return error_set(err, RC_INTEGRITY, "it does not begin with \"%.8s\"", magic);
    uint32_t version = get_le32(object + AT_VERSION);
    if (version > HEADER_VERSION) {
        error_set(err, RC_CONFIG, "its header has version %u, and this program knows up to %u",
                  version, HEADER_VERSION);
        return error_now(err, "use a newer pgproof");
    }
    uint32_t header_len = get_le32(object + AT_LENGTH);
    if (version == 0 || header_len < HEADER_FIXED_LEN + SECTION_HEADER_LEN ||
        header_len > HEADER_MAX_LEN || header_len > len)
        return error_set(err, RC_INTEGRITY, "its header is damaged");
    *ret_header_len = header_len;
    return RC_OK;
}

/* Reads one section; false if the header ends inside of it. */
static bool next_section(struct cursor *c, struct section *ret)
{
    ret->type = cursor_le16(c);
    ret->flags = cursor_le16(c);
    ret->len = cursor_le32(c);
    ret->payload = cursor_take(c, ret->len);
    return !c->failed;
}

enum rc header_read(const void *object, size_t len, const char magic[static 8], section_fn *fn,
                    void *ctx, size_t *ret_header_len, struct error *err)
{
    size_t header_len = 0;
    TRY(check_fixed(object, len, magic, &header_len, err));
    struct cursor c =
        cursor_over((const uint8_t *)object + HEADER_FIXED_LEN, header_len - HEADER_FIXED_LEN);
    for (;;) {
        struct section s;
        bool known = false;
        if (!next_section(&c, &s))
            return error_set(err, RC_INTEGRITY, "its header is damaged: a section is cut off");
        if (s.type == SECTION_END && s.len == 0 && cursor_left(&c) == 0)
            break;
        if (s.type == SECTION_END)
            return error_set(err, RC_INTEGRITY, "its header is damaged: it ends too early");
        TRY(fn(ctx, &s, &known, err));
        if (!known && (s.flags & SECTION_MUST_KNOW)) {
            error_set(err, RC_CONFIG, "it can't be read without knowing sections of type %u",
                      s.type);
            return error_now(err, "use a newer pgproof");
        }
    }
    *ret_header_len = header_len;
    return RC_OK;
}
