/*
 * The index of a pack. The input is the index's plain bytes behind one byte, or (that byte is odd)
 * a whole pack.
 */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "repo/pack_int.h"
#include "repo/sections.h"

#include <string.h>

static enum rc take(void *ctx, enum frame_kind kind, const char *path, uint64_t number,
                    const struct frame *f, struct error *err)
{
    const struct buf *pack = ctx;

    (void)kind, (void)number, (void)err;
    BUG_IF(!path_is_contained(path));
    BUG_IF((uint64_t)f->offset + f->stored_len > pack->len || f->plain_len > FRAME_PLAIN_MAX);
    return RC_OK;
}

/* Header, no frames, the index, and a trailer that fits. */
static enum rc make_pack(const uint8_t *index, size_t len, struct buf *pack, struct error *err)
{
    CLEANUP_STAGE struct stage *encoder = NULL;
    uint8_t section[PACK_SECTION_LEN] = {PACK_SECTION_KIND_DATA}, trailer[PACK_TRAILER_LEN] = {0};
    struct xxh128 hash = xxh128_of(0, index, len);

    TRY(header_begin(pack, PACK_MAGIC, err));
    TRY(header_add(pack, SECTION_PACK, 0, section, sizeof(section), err));
    TRY(header_end(pack, err));
    put_le64(trailer + TRAILER_OFFSET, pack->len);
    TRY(stage_zstd_encoder(1, &encoder, err));
    TRY(stage_encode_buf(encoder, index, len, pack, err));
    put_le32(trailer + TRAILER_STORED, (uint32_t)(pack->len - get_le64(trailer + TRAILER_OFFSET)));
    put_le32(trailer + TRAILER_PLAIN, (uint32_t)len);
    put_le32(trailer + TRAILER_COUNT, len >= INDEX_HEAD_LEN ? get_le32(index + 8) : 0);
    memcpy(trailer + TRAILER_HASH, hash.bytes, XXH128_LEN);
    memcpy(trailer + TRAILER_MAGIC, PACK_TRAILER_MAGIC, 8);
    return buf_append(pack, trailer, sizeof(trailer), err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_BUF struct buf pack = BUF_INIT(PACK_MAX_BYTES);
    struct error err;
    enum rc rc;

    if (len == 0)
        return 0;
    if (data[0] % 2)
        rc = buf_append(&pack, data + 1, len - 1, &err);
    else
        rc = make_pack(data + 1, len - 1, &pack, &err);
    BUG_IF(rc != RC_OK);
    rc = pack_index_read(&pack, take, &pack, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG && rc != RC_NOMEM);
    return 0;
}
