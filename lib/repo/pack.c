#include "repo/pack.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/pack_int.h"
#include "repo/sections.h"

#include <stdlib.h>
#include <string.h>

/* One in so many frames is decoded again before the put, besides the first and the last. */
#define SAMPLE_EVERY 16

struct entry {
    uint32_t path;
    uint64_t number;
    struct frame frame;
};

struct pack_writer {
    struct repo *repo;     /* borrowed */
    struct stage *encoder; /* borrowed */
    struct stage *decoder; /* for the self-check */
    char *cluster;
    uint64_t system_identifier;
    enum pack_kind kind;
    bool paranoid;

    struct buf bytes; /* header and frames */
    struct buf plain; /* the self-check decodes into it */
    struct entry *entries;
    size_t entry_count, entry_capacity;
    struct buf paths; /* as they stand in the index */
    uint32_t path_count;
    char *last_path; /* NULL: none yet */
};

static enum rc add_pack_section(struct pack_writer *w, struct error *err)
{
    uint8_t section[PACK_SECTION_LEN];
    put_le32(section + PACK_SECTION_KIND,
             w->kind == PACK_MAPS ? PACK_SECTION_KIND_MAPS : PACK_SECTION_KIND_DATA);
    if (!hex_decode(w->repo->id, 32, section + PACK_SECTION_REPO))
        BUG("repository id \"%s\"", w->repo->id);
    put_le64(section + PACK_SECTION_SYSTEM, w->system_identifier);
    return header_add(&w->bytes, SECTION_PACK, 0, section, sizeof section, err);
}

static enum rc begin_pack(struct pack_writer *w, struct error *err)
{
    buf_clear(&w->bytes);
    buf_clear(&w->paths);
    w->entry_count = 0;
    w->path_count = 0;
    free(w->last_path);
    w->last_path = NULL;
    TRY(header_begin(&w->bytes, PACK_MAGIC, err));
    TRY(add_pack_section(w, err));
    return header_end(&w->bytes, err);
}

enum rc pack_writer_new(struct repo *r, const char *cluster, uint64_t system_identifier,
                        enum pack_kind kind, struct stage *encoder, bool paranoid,
                        struct pack_writer **ret, struct error *err)
{
    CLEANUP(cleanup_pack_writer) struct pack_writer *w = mem_zalloc(sizeof *w);
    w->repo = r;
    w->encoder = encoder;
    w->cluster = str_dup(cluster);
    w->system_identifier = system_identifier;
    w->kind = kind;
    w->paranoid = paranoid;
    w->bytes = BUF_INIT(PACK_MAX_BYTES);
    w->plain = BUF_INIT(FRAME_PLAIN_MAX);
    w->paths = BUF_INIT(PACK_MAX_BYTES);
    TRY(stage_zstd_decoder(&w->decoder, err));
    TRY(begin_pack(w, err));
    *ret = w;
    w = NULL;
    return RC_OK;
}

void pack_writer_free(struct pack_writer *w)
{
    if (!w)
        return;
    stage_free(w->decoder);
    buf_done(&w->bytes);
    buf_done(&w->plain);
    buf_done(&w->paths);
    free(w->entries);
    free(w->last_path);
    free(w->cluster);
    free(w);
}

/* Frames of one file come one after the other, so looking at the last path is enough. */
static enum rc path_number(struct pack_writer *w, const char *path, uint32_t *ret,
                           struct error *err)
{
    if (!str_eq(w->last_path, path)) {
        uint8_t head[4];
        size_t len = strlen(path);
        BUG_IF(len == 0 || len >= INDEX_PATH_MAX);
        put_le32(head, (uint32_t)len);
        TRY(buf_reserve(&w->paths, sizeof head + len + 1, err));
        TRY(buf_append(&w->paths, head, sizeof head, err));
        TRY(buf_append(&w->paths, path, len + 1, err)); /* with its NUL */
        free(w->last_path);
        w->last_path = str_dup(path);
        w->path_count++;
    }
    *ret = w->path_count - 1;
    return RC_OK;
}

/* Compress behind the frames; as it is where that is not smaller. */
static enum rc append_frame(struct pack_writer *w, const void *plain, uint32_t len, struct frame *f,
                            struct error *err)
{
    size_t room = stage_bound(w->encoder, len), stored;
    if (room < len)
        room = len;
    TRY(buf_reserve(&w->bytes, room, err));
    uint8_t *to = w->bytes.data + w->bytes.len;
    TRY(stage_run(w->encoder, plain, len, to, room, &stored, err));
    f->flags = 0;
    if (stored >= len) {
        memcpy(to, plain, len);
        stored = len;
        f->flags = FRAME_RAW;
    }
    f->offset = (uint32_t)w->bytes.len;
    f->stored_len = (uint32_t)stored;
    f->plain_len = len;
    w->bytes.len += stored;
    return RC_OK;
}

enum rc pack_writer_add(struct pack_writer *w, const char *path, uint64_t number, const void *plain,
                        uint32_t len, const struct xxh128 *hash, uint32_t crc, struct frame *ret,
                        struct error *err)
{
    struct entry e = {.number = number, .frame = {.crc32c = crc, .hash = *hash}};
    BUG_IF(len == 0 || len > FRAME_PLAIN_MAX);
    TRY(path_number(w, path, &e.path, err));
    TRY(append_frame(w, plain, len, &e.frame, err));
    w->entries = mem_grow(w->entries, w->entry_count, &w->entry_capacity, sizeof e);
    w->entries[w->entry_count++] = e;
    *ret = e.frame;
    return RC_OK;
}

size_t pack_writer_bytes(const struct pack_writer *w)
{
    return w->entry_count ? w->bytes.len : 0;
}

static size_t index_plain_len(const struct pack_writer *w)
{
    return INDEX_HEAD_LEN + w->paths.len + w->entry_count * INDEX_ENTRY_LEN;
}

bool pack_writer_is_full(const struct pack_writer *w)
{
    /* With the index, so that a pack of tiny frames has room for it, too. */
    return w->bytes.len + index_plain_len(w) >= PACK_TARGET_BYTES;
}

static void put_entry(uint8_t *to, enum pack_kind kind, const struct entry *e)
{
    put_le32(to + ENTRY_KIND, kind == PACK_MAPS ? FRAME_MAP : FRAME_CHUNK);
    put_le32(to + ENTRY_PATH, e->path);
    put_le64(to + ENTRY_NUMBER, e->number);
    put_le32(to + ENTRY_OFFSET, e->frame.offset);
    put_le32(to + ENTRY_STORED, e->frame.stored_len);
    put_le32(to + ENTRY_PLAIN, e->frame.plain_len);
    put_le32(to + ENTRY_FLAGS, e->frame.flags);
    put_le32(to + ENTRY_CRC, e->frame.crc32c);
    memcpy(to + ENTRY_HASH, e->frame.hash.bytes, XXH128_LEN);
}

static enum rc build_index(struct pack_writer *w, struct buf *to, struct error *err)
{
    uint8_t head[INDEX_HEAD_LEN];
    put_le32(head, INDEX_VERSION);
    put_le32(head + 4, w->path_count);
    put_le32(head + 8, (uint32_t)w->entry_count);
    put_le32(head + 12, INDEX_ENTRY_LEN);
    TRY(buf_reserve(to, index_plain_len(w), err));
    TRY(buf_append(to, head, sizeof head, err));
    TRY(buf_append(to, w->paths.data, w->paths.len, err));
    for (size_t i = 0; i < w->entry_count; i++) {
        uint8_t entry[INDEX_ENTRY_LEN];
        put_entry(entry, w->kind, &w->entries[i]);
        TRY(buf_append(to, entry, sizeof entry, err));
    }
    return RC_OK;
}

static enum rc append_index(struct pack_writer *w, struct error *err)
{
    CLEANUP_BUF struct buf index = BUF_INIT(INDEX_PLAIN_MAX);
    uint8_t trailer[PACK_TRAILER_LEN] = {0};
    TRY(build_index(w, &index, err));
    size_t offset = w->bytes.len;
    TRY(stage_encode_buf(w->encoder, index.data, index.len, &w->bytes, err));

    struct xxh128 hash = xxh128_of(0, index.data, index.len);
    put_le64(trailer + TRAILER_OFFSET, offset);
    put_le32(trailer + TRAILER_STORED, (uint32_t)(w->bytes.len - offset));
    put_le32(trailer + TRAILER_PLAIN, (uint32_t)index.len);
    put_le32(trailer + TRAILER_COUNT, (uint32_t)w->entry_count);
    memcpy(trailer + TRAILER_HASH, hash.bytes, XXH128_LEN);
    memcpy(trailer + TRAILER_MAGIC, PACK_TRAILER_MAGIC, 8);
    return buf_append(&w->bytes, trailer, sizeof trailer, err);
}

static enum rc count_entry(void *ctx, enum frame_kind kind, const char *path, uint64_t number,
                           const struct frame *f, struct error *err)
{
    (void)kind;
    (void)path;
    (void)number;
    (void)f;
    (void)err;
    ++*(size_t *)ctx;
    return RC_OK;
}

static enum rc check_frames(struct pack_writer *w, struct error *err)
{
    size_t in_index = 0;
    for (size_t i = 0; i < w->entry_count; i++) {
        const struct frame *f = &w->entries[i].frame;
        if (!w->paranoid && i % SAMPLE_EVERY != 0 && i != w->entry_count - 1)
            continue;
        buf_clear(&w->plain);
        TRY(buf_reserve(&w->plain, f->plain_len, err));
        TRY(frame_decode(w->repo->hash_seed, &w->bytes, f, w->decoder, w->plain.data, err));
    }
    TRY(pack_index_read(&w->bytes, count_entry, &in_index, err));
    if (in_index != w->entry_count)
        return error_set(err, RC_INTEGRITY, "the index has %zu of %zu frames", in_index,
                         w->entry_count);
    return RC_OK;
}

/* What is about to be stored must decode to what was read: it is checked before anybody trusts it.
 */
static enum rc check_before_put(struct pack_writer *w, struct error *err)
{
    enum rc rc = check_frames(w, err);
    if (rc == RC_INTEGRITY) {
        error_prefix(err, "a pack that was just made does not decode to what went in: "
                          "codec or memory fault");
        error_on(err, "a pack in memory; nothing of it was stored");
        error_now(err, "check this machine's memory before trusting it with backups");
    }
    return rc;
}

/*
 * Somebody's object under our digest can only be ours: a put that went through although its answer
 * was lost. Look whether it is.
 */
static enum rc put_pack(struct pack_writer *w, const struct sha256 *id, struct error *err)
{
    struct object_name name = name_pack(w->cluster, w->kind, id);
    const struct store_put_how how = {
        .sha256 = id,
        .storage_class = w->kind == PACK_DATA ? w->repo->data_class : NULL,
        .locked_until = w->repo->locked_until,
    };
    enum rc rc = store_put_as(w->repo->store, name.text, w->bytes.data, w->bytes.len, &how, err);
    if (rc != RC_EXISTS)
        return rc;
    CLEANUP_BUF struct buf there = BUF_INIT(PACK_MAX_BYTES);
    return pack_get(w->repo, w->cluster, w->kind, id, &there, err);
}

static enum rc finish_pack(struct pack_writer *w, struct sha256 *ret_id, struct error *err)
{
    TRY(append_index(w, err));
    TRY(check_before_put(w, err));
    *ret_id = sha256_of(w->bytes.data, w->bytes.len);
    return put_pack(w, ret_id, err);
}

enum rc pack_writer_finish(struct pack_writer *w, struct sha256 *ret_id, uint64_t *ret_bytes,
                           struct error *err)
{
    struct sha256 id;
    size_t frames_end = w->bytes.len;
    BUG_IF(w->entry_count == 0);
    enum rc rc = finish_pack(w, &id, err);
    size_t bytes = w->bytes.len;
    if (rc != RC_OK) {
        w->bytes.len = frames_end; /* so that finishing can be tried again */
        return rc;
    }
    TRY(begin_pack(w, err));
    *ret_id = id;
    *ret_bytes = bytes;
    return RC_OK;
}
