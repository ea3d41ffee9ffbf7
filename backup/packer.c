#include "backup/packer.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "pg/page.h"

#include <stdlib.h>

#define PACK_PENDING UINT32_MAX /* the chunk is in a pack that has no number yet */

enum rc packer_init(struct packer *p, const struct copy_options *o, struct manifest *m,
                    struct error *err)
{
    *p = (struct packer){
        .manifest = m, .progress = o->progress, .map_plain = BUF_INIT(FRAME_PLAIN_MAX)};
    TRY(repo_dup(o->repo, &p->repo, err));
    TRY(stage_zstd_encoder(o->zstd_level, &p->encoder, err));
    TRY(pack_writer_new(p->repo, o->cluster, o->system_identifier, PACK_DATA, p->encoder,
                        o->paranoid, &p->data, err));
    return pack_writer_new(p->repo, o->cluster, o->system_identifier, PACK_MAPS, p->encoder,
                           o->paranoid, &p->maps, err);
}

void packer_done(struct packer *p)
{
    pack_writer_free(p->data);
    pack_writer_free(p->maps);
    stage_free(p->encoder);
    repo_close(p->repo);
    buf_done(&p->map_plain);
    free(p->data_open.items);
    free(p->maps_open.items);
}

static void list_push(struct unit_list *l, struct unit *u)
{
    l->items = mem_grow(l->items, l->count, &l->capacity, sizeof(struct unit *));
    l->items[l->count++] = u;
}

static void count_stored(struct packer *p, uint64_t bytes)
{
    p->stored_bytes += bytes;
    if (p->progress)
        progress_add(&p->progress->bytes_stored, bytes);
}

static enum rc finish_map_pack(struct packer *p, struct error *err)
{
    if (p->maps_open.count == 0)
        return RC_OK;
    struct sha256 id;
    uint64_t bytes;
    TRY(pack_writer_finish(p->maps, &id, &bytes, err));
    count_stored(p, bytes);
    struct pack_table *table = p->manifest->map_packs;
    uint32_t number = pack_table_add(table, &id, bytes);
    for (size_t i = 0; i < p->maps_open.count; i++) {
        struct unit *u = p->maps_open.items[i];
        u->map.map_pack = number;
        pack_table_count_live(table, number, u->map.frame.stored_len);
    }
    p->maps_open.count = 0;
    return RC_OK;
}

/* All packs of this unit's chunks are known: its map can be written, its chunks forgotten. */
static enum rc settle_unit(struct packer *p, struct unit *u, struct error *err)
{
    if (u->chunk_count > 0)
        u->first = u->chunks[0];
    bool in_manifest_line = u->piece == 0 && u->chunk_count == 1;
    if (u->chunk_count > 0 && !in_manifest_line) {
        TRY(chunk_map_encode(u->chunks, u->chunk_count, p->manifest->packs, &p->map_plain, err));
        struct xxh128 hash = xxh128_of(p->repo->hash_seed, p->map_plain.data, p->map_plain.len);
        TRY(pack_writer_add(p->maps, u->file->entry->path, u->piece, p->map_plain.data,
                            (uint32_t)p->map_plain.len, &hash,
                            crc32c(0, p->map_plain.data, p->map_plain.len), &u->map.frame, err));
        list_push(&p->maps_open, u);
        if (pack_writer_is_full(p->maps))
            TRY(finish_map_pack(p, err));
    }
    free(u->chunks);
    u->chunks = NULL;
    return RC_OK;
}

static enum rc finish_data_pack(struct packer *p, struct error *err)
{
    if (p->data_open.count == 0)
        return RC_OK;
    struct sha256 id;
    uint64_t bytes;
    TRY(pack_writer_finish(p->data, &id, &bytes, err));
    count_stored(p, bytes);
    struct pack_table *table = p->manifest->packs;
    uint32_t number = pack_table_add(table, &id, bytes);
    uint64_t live = 0;
    for (size_t i = 0; i < p->data_open.count; i++) {
        struct unit *u = p->data_open.items[i];
        for (uint32_t k = 0; k < u->chunk_count; k++) {
            if (u->chunks[k].pack == PACK_PENDING) {
                u->chunks[k].pack = number;
                live += u->chunks[k].stored_len;
            }
        }
        u->listed = false;
        if (u->done)
            TRY(settle_unit(p, u, err));
    }
    pack_table_count_live(table, number, live);
    p->data_open.count = 0;
    return RC_OK;
}

enum rc packer_add_chunk(struct packer *p, struct unit *u, const uint8_t *data, uint32_t len,
                         struct error *err)
{
    struct chunk c = {
        .crc32c = crc32c(0, data, len),
        .hash = xxh128_of(p->repo->hash_seed, data, len),
    };
    uint64_t number = (uint64_t)u->piece * MAP_FRAME_CHUNKS + u->chunk_count;
    if (bytes_are_zero(data, len)) {
        c.flags = CHUNK_ZERO;
    } else {
        struct frame f;
        TRY(pack_writer_add(p->data, u->file->entry->path, number, data, len, &c.hash, c.crc32c, &f,
                            err));
        c.pack = PACK_PENDING;
        c.offset = f.offset;
        c.stored_len = f.stored_len;
        c.flags = f.flags & FRAME_RAW ? CHUNK_RAW : 0;
        if (!u->listed) {
            list_push(&p->data_open, u);
            u->listed = true;
        }
    }
    u->crc32c = crc32c_combine(u->crc32c, c.crc32c, len);
    u->length_bytes += len;
    u->chunks[u->chunk_count++] = c;
    return pack_writer_is_full(p->data) ? finish_data_pack(p, err) : RC_OK;
}

enum rc packer_end_unit(struct packer *p, struct unit *u, struct error *err)
{
    u->done = true;
    return u->listed ? RC_OK : settle_unit(p, u, err);
}

enum rc packer_flush(struct packer *p, struct error *err)
{
    TRY(finish_data_pack(p, err));
    return finish_map_pack(p, err);
}
