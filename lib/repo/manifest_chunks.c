#include "repo/manifest.h"

#include "base/crc32c.h"
#include "repo/manifest_int.h"

void map_cache_done(struct map_cache *c)
{
    buf_done(&c->pack);
    buf_done(&c->plain);
    c->have = false;
}

static enum rc need_map_pack(struct repo *r, const char *cluster, struct manifest *m,
                             uint32_t number, struct map_cache *cache, struct error *err)
{
    if (cache->have && cache->number == number)
        return RC_OK;
    cache->have = false;
    struct pack_ref ref = pack_table_get(m->map_packs, number);
    TRY(pack_get(r, cluster, PACK_MAPS, &ref.id, &cache->pack, err));
    cache->number = number;
    cache->have = true;
    return RC_OK;
}

static enum rc load_map(struct repo *r, const char *cluster, struct manifest *m,
                        const struct map_ref *ref, uint32_t count, struct stage *decoder,
                        struct map_cache *cache, struct chunk *ret, struct error *err)
{
    TRY(need_map_pack(r, cluster, m, ref->map_pack, cache, err));
    buf_clear(&cache->plain);
    TRY(buf_reserve(&cache->plain, ref->frame.plain_len, err));
    TRY(frame_decode(r->hash_seed, &cache->pack, &ref->frame, decoder, cache->plain.data, err));
    return chunk_map_decode(cache->plain.data, ref->frame.plain_len, count, m->packs, ret, err);
}

/* The maps belong to this file if their chunks' checksums make up the file's. */
static enum rc check_chunks(const struct manifest *m, const struct manifest_file *f,
                            const struct chunk *chunks, struct error *err)
{
    uint32_t crc = 0;
    for (uint64_t i = 0; i < f->chunk_count; i++) {
        const struct chunk *c = &chunks[i];
        uint32_t len = manifest_chunk_len(f, i);
        if (!(c->flags & CHUNK_ZERO) && c->pack >= m->listed_packs)
            return error_set(err, RC_INTEGRITY,
                             "a chunk map names a pack that the manifest does not list");
        if ((c->flags & CHUNK_RAW) && c->stored_len != len)
            return error_set(err, RC_INTEGRITY, "a raw chunk does not have its length");
        crc = i == 0 ? c->crc32c : crc32c_combine(crc, c->crc32c, len);
    }
    if (crc != f->crc32c)
        return error_set(err, RC_INTEGRITY,
                         "the checksums of the file's chunks do not make up that of the file");
    return RC_OK;
}

static enum rc load_maps(struct repo *r, const char *cluster, struct manifest *m,
                         const struct manifest_file *f, struct stage *decoder,
                         struct map_cache *cache, struct chunk *ret, struct error *err)
{
    for (uint32_t i = 0; i < f->map_count; i++)
        TRY(load_map(r, cluster, m, &f->maps[i], manifest_map_chunks(f, i), decoder, cache,
                     ret + (size_t)i * MAP_FRAME_CHUNKS, err));
    return check_chunks(m, f, ret, err);
}

enum rc manifest_load_chunks(struct repo *r, const char *cluster, struct manifest *m,
                             const struct manifest_file *f, struct stage *decoder,
                             struct map_cache *cache, struct chunk *ret, struct error *err)
{
    BUG_IF(f->chunk_count == 0);
    if (f->chunk_count == 1) {
        *ret = f->only;
        return RC_OK;
    }
    if (load_maps(r, cluster, m, f, decoder, cache, ret, err) != RC_OK) {
        error_prefix(err, "could not read the chunk map");
        return error_on(err, "%s", f->path);
    }
    return RC_OK;
}
