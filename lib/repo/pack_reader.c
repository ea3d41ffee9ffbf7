#include "repo/pack_int.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/sections.h"

#include <stdlib.h>
#include <string.h>

struct pack_header {
    bool have;
    uint32_t kind;
    uint8_t repository[16];
};

static enum rc take_section(void *ctx, const struct section *s, bool *ret_known, struct error *err)
{
    struct pack_header *h = ctx;
    if (s->type != SECTION_PACK)
        return RC_OK;
    if (h->have || s->len < PACK_SECTION_LEN)
        return error_set(err, RC_INTEGRITY, "its header is damaged");
    h->have = true;
    h->kind = get_le32(s->payload + PACK_SECTION_KIND);
    memcpy(h->repository, s->payload + PACK_SECTION_REPO, sizeof h->repository);
    *ret_known = true;
    return RC_OK;
}

static enum rc read_header(const struct buf *pack, struct pack_header *h, size_t *ret_len,
                           struct error *err)
{
    TRY(header_read(pack->data, pack->len, PACK_MAGIC, take_section, h, ret_len, err));
    if (!h->have)
        return error_set(err, RC_INTEGRITY, "its header does not say what pack it is");
    return RC_OK;
}

static enum rc check_pack(const struct repo *r, enum pack_kind kind, const struct sha256 *id,
                          const struct buf *pack, struct error *err)
{
    struct pack_header h = {0};
    size_t header_len;
    char repository[33];
    struct sha256 is = sha256_of(pack->data, pack->len);
    if (!sha256_equal(&is, id)) {
        error_set(err, RC_INTEGRITY,
                  "the pack is damaged: its %zu bytes do not have the digest in its name",
                  pack->len);
        return error_now(err, "\"pgproof-verify data\" says which backups it spoils");
    }
    TRY(read_header(pack, &h, &header_len, err));
    hex_encode(h.repository, sizeof h.repository, repository);
    if (!str_eq(repository, r->id))
        return error_set(err, RC_INTEGRITY, "the pack belongs to another repository, %s",
                         repository);
    if (h.kind != (kind == PACK_MAPS ? PACK_SECTION_KIND_MAPS : PACK_SECTION_KIND_DATA))
        return error_set(err, RC_INTEGRITY, "it is a pack of another kind");
    return RC_OK;
}

enum rc pack_get(struct repo *r, const char *cluster, enum pack_kind kind, const struct sha256 *id,
                 struct buf *to, struct error *err)
{
    struct object_name name = name_pack(cluster, kind, id);
    buf_clear(to);
    enum rc rc = store_get(r->store, name.text, to, err);
    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_INTEGRITY, "a pack that a backup needs is missing");
        error_now(err, "\"pgproof-verify objects\" says which backups need it");
    } else if (rc == RC_OK && check_pack(r, kind, id, to, err) == RC_OK) {
        return RC_OK;
    }
    return error_on(err, "%s", name.text);
}

static enum rc decode_plain(const struct buf *pack, const struct frame *f, struct stage *decoder,
                            void *out, struct error *err)
{
    const uint8_t *stored = pack->data + f->offset;
    size_t len;
    if (f->flags & FRAME_RAW) {
        if (f->stored_len != f->plain_len)
            return error_set(err, RC_INTEGRITY, "a raw frame has two lengths");
        memcpy(out, stored, f->plain_len);
        return RC_OK;
    }
    TRY(stage_run(decoder, stored, f->stored_len, out, f->plain_len, &len, err));
    if (len != f->plain_len)
        return error_set(err, RC_INTEGRITY, "a frame decodes to %zu bytes instead of %u", len,
                         f->plain_len);
    return RC_OK;
}

enum rc frame_decode(uint64_t hash_seed, const struct buf *pack, const struct frame *f,
                     struct stage *decoder, void *out, struct error *err)
{
    if ((uint64_t)f->offset + f->stored_len > pack->len || f->plain_len > FRAME_PLAIN_MAX ||
        (f->flags & ~(uint32_t)FRAME_RAW))
        return error_set(err, RC_INTEGRITY,
                         "a frame of %u bytes at offset %u can't be in a pack of %zu bytes",
                         f->stored_len, f->offset, pack->len);
    TRY(decode_plain(pack, f, decoder, out, err));
    struct xxh128 hash = xxh128_of(hash_seed, out, f->plain_len);
    if (crc32c(0, out, f->plain_len) != f->crc32c || !xxh128_equal(&hash, &f->hash))
        return error_set(err, RC_INTEGRITY, "the frame at offset %u does not have its hash",
                         f->offset);
    return RC_OK;
}

struct index {
    struct buf plain;
    uint32_t *paths; /* where each path begins in `plain` */
    uint32_t path_count, entry_count, entry_len;
    const uint8_t *entries;
    size_t frames_begin, frames_end;
};

static void index_done(struct index *x)
{
    buf_done(&x->plain);
    free(x->paths);
}

static enum rc damaged_index(struct error *err)
{
    return error_set(err, RC_INTEGRITY, "the pack's index is damaged");
}

static enum rc load_index(const struct buf *pack, struct index *x, struct error *err)
{
    CLEANUP_STAGE struct stage *decoder = NULL;
    if (pack->len < x->frames_begin + PACK_TRAILER_LEN)
        return error_set(err, RC_INTEGRITY, "the pack is cut off");
    const uint8_t *trailer = pack->data + pack->len - PACK_TRAILER_LEN;
    uint64_t offset = get_le64(trailer + TRAILER_OFFSET);
    uint32_t stored = get_le32(trailer + TRAILER_STORED);
    uint32_t plain = get_le32(trailer + TRAILER_PLAIN);
    if (memcmp(trailer + TRAILER_MAGIC, PACK_TRAILER_MAGIC, 8) != 0 || offset < x->frames_begin ||
        offset > pack->len || stored > pack->len ||
        offset + stored + PACK_TRAILER_LEN != pack->len || plain > INDEX_PLAIN_MAX)
        return error_set(err, RC_INTEGRITY, "the pack's trailer is damaged");
    TRY(stage_zstd_decoder(&decoder, err));
    TRY(stage_decode_buf(decoder, pack->data + offset, stored, plain, &x->plain, err));
    struct xxh128 hash = xxh128_of(0, x->plain.data, x->plain.len);
    if (memcmp(hash.bytes, trailer + TRAILER_HASH, XXH128_LEN) != 0)
        return damaged_index(err);
    x->frames_end = offset;
    x->entry_count = get_le32(trailer + TRAILER_COUNT);
    return RC_OK;
}

static enum rc parse_path(struct index *x, struct cursor *c, uint32_t i, struct error *err)
{
    uint32_t len = cursor_le32(c);
    if (c->failed || len == 0 || len >= INDEX_PATH_MAX)
        return damaged_index(err);
    const uint8_t *path = cursor_take(c, (size_t)len + 1);
    if (!path || path[len] != 0 || strlen((const char *)path) != len ||
        !path_is_contained((const char *)path))
        return damaged_index(err);
    x->paths[i] = (uint32_t)(path - x->plain.data);
    return RC_OK;
}

static enum rc parse_index(struct index *x, struct error *err)
{
    struct cursor c = cursor_over(x->plain.data, x->plain.len);
    uint32_t version = cursor_le32(&c);
    x->path_count = cursor_le32(&c);
    uint32_t entry_count = cursor_le32(&c);
    x->entry_len = cursor_le32(&c);
    if (c.failed || version != INDEX_VERSION || x->entry_len < INDEX_ENTRY_LEN ||
        entry_count != x->entry_count)
        return damaged_index(err);
    if (x->path_count > cursor_left(&c) / 6) /* the shortest path takes six bytes */
        return damaged_index(err);
    x->paths = mem_array(NULL, x->path_count ? x->path_count : 1, sizeof *x->paths);
    for (uint32_t i = 0; i < x->path_count; i++)
        TRY(parse_path(x, &c, i, err));
    if ((uint64_t)entry_count * x->entry_len != cursor_left(&c))
        return damaged_index(err);
    x->entries = c.p;
    return RC_OK;
}

static enum rc call_entry(const struct index *x, const uint8_t *e, pack_index_fn *fn, void *ctx,
                          struct error *err)
{
    uint32_t kind = get_le32(e + ENTRY_KIND), path = get_le32(e + ENTRY_PATH);
    struct frame f = {
        .offset = get_le32(e + ENTRY_OFFSET),
        .stored_len = get_le32(e + ENTRY_STORED),
        .plain_len = get_le32(e + ENTRY_PLAIN),
        .flags = get_le32(e + ENTRY_FLAGS),
        .crc32c = get_le32(e + ENTRY_CRC),
    };
    memcpy(f.hash.bytes, e + ENTRY_HASH, XXH128_LEN);
    if ((kind != FRAME_CHUNK && kind != FRAME_MAP) || (f.flags & ~(uint32_t)FRAME_RAW)) {
        error_set(err, RC_CONFIG, "the pack has frames of a kind that this program does not know");
        return error_now(err, "use a newer pgproof");
    }
    if (path >= x->path_count || f.offset < x->frames_begin ||
        (uint64_t)f.offset + f.stored_len > x->frames_end || f.plain_len > FRAME_PLAIN_MAX)
        return damaged_index(err);
    return fn(ctx, kind, (const char *)x->plain.data + x->paths[path], get_le64(e + ENTRY_NUMBER),
              &f, err);
}

enum rc pack_index_read(const struct buf *pack, pack_index_fn *fn, void *ctx, struct error *err)
{
    CLEANUP(index_done) struct index x = {.plain = BUF_INIT(INDEX_PLAIN_MAX)};
    struct pack_header h = {0};
    TRY(read_header(pack, &h, &x.frames_begin, err));
    TRY(load_index(pack, &x, err));
    TRY(parse_index(&x, err));
    for (uint32_t i = 0; i < x.entry_count; i++)
        TRY(call_entry(&x, x.entries + (size_t)i * x.entry_len, fn, ctx, err));
    return RC_OK;
}
