#include "support/stored_file.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct stored_files {
    struct repo *repo;
    const char *cluster;
    struct manifest *manifest;
    struct stage *decoder;
    struct map_cache maps;
    struct buf pack; /* the last one */
    uint32_t pack_number;
};

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

struct stored_files *stored_files_open(struct repo *r, const char *cluster, struct manifest *m)
{
    struct stored_files *s = mem_zalloc(sizeof *s);
    struct error err;
    s->repo = r;
    s->cluster = cluster;
    s->manifest = m;
    s->maps = MAP_CACHE_INIT;
    s->pack = BUF_INIT(PACK_MAX_BYTES);
    s->pack_number = UINT32_MAX;
    must(stage_zstd_decoder(&s->decoder, &err), &err);
    return s;
}

void stored_files_close(struct stored_files *s)
{
    if (!s)
        return;
    stage_free(s->decoder);
    map_cache_done(&s->maps);
    buf_done(&s->pack);
    free(s);
}

static void get_pack(struct stored_files *s, uint32_t number)
{
    struct error err;
    if (s->pack_number == number)
        return;
    struct pack_ref ref = pack_table_get(s->manifest->packs, number);
    must(pack_get(s->repo, s->cluster, PACK_DATA, &ref.id, &s->pack, &err), &err);
    assert_int_equal(s->pack.len, ref.bytes);
    s->pack_number = number;
}

static void read_chunk(struct stored_files *s, const struct chunk *c, uint32_t len, uint8_t *to)
{
    struct error err;
    memset(to, 0, len);
    if (!(c->flags & CHUNK_ZERO)) {
        const struct frame f = {c->offset, c->stored_len, len, c->flags & CHUNK_RAW ? FRAME_RAW : 0,
                                c->crc32c, c->hash};
        get_pack(s, c->pack);
        must(frame_decode(s->repo->hash_seed, &s->pack, &f, s->decoder, to, &err), &err);
    }
    assert_int_equal(crc32c(0, to, len), c->crc32c);
}

void stored_file_read(struct stored_files *s, const struct manifest_file *f, struct buf *to)
{
    struct error err;
    buf_clear(to);
    must(buf_reserve(to, f->size_bytes + 1, &err), &err);
    struct chunk *chunks = mem_array(NULL, f->chunk_count + 1, sizeof *chunks);
    if (f->chunk_count > 0)
        must(manifest_load_chunks(s->repo, s->cluster, s->manifest, f, s->decoder, &s->maps, chunks,
                                  &err),
             &err);
    for (uint64_t i = 0; i < f->chunk_count; i++) {
        uint64_t left = f->size_bytes - to->len;
        uint32_t len = left < f->chunk_bytes ? (uint32_t)left : f->chunk_bytes;
        read_chunk(s, &chunks[i], len, to->data + to->len);
        to->len += len;
    }
    free(chunks);
    assert_int_equal(to->len, f->size_bytes);
    assert_int_equal(crc32c(0, to->data, to->len), f->crc32c);
}
