#include "repo/chunk_map.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAP_HEAD_LEN  8 /* number of packs, number of chunks */
#define MAP_CHUNK_LEN 36

#define CHUNK_AT_PACK   0
#define CHUNK_AT_OFFSET 4
#define CHUNK_AT_STORED 8
#define CHUNK_AT_CRC    12
#define CHUNK_AT_HASH   16
#define CHUNK_AT_FLAGS  32
_Static_assert(CHUNK_AT_FLAGS + 4 == MAP_CHUNK_LEN, "an entry ends with its flags");

/* Open addressing; a slot holds number + 1, and 0 is free. Ids are digests, so their first bytes
 * are as good as any hash of them. */
struct pack_table {
    pthread_mutex_t lock;
    struct pack_ref *refs;
    size_t count, capacity;
    uint32_t *slots;
    size_t slot_count; /* a power of two, at least twice count */
};

struct pack_table *pack_table_new(void)
{
    struct pack_table *t = mem_zalloc(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->slot_count = 64;
    t->slots = mem_zalloc(t->slot_count * sizeof *t->slots);
    return t;
}

void pack_table_free(struct pack_table *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t->refs);
    free(t->slots);
    free(t);
}

/* The slot that holds this id, or the free one where it belongs. */
static uint32_t *slot_of(struct pack_table *t, const struct sha256 *id)
{
    size_t i = (size_t)get_le64(id->bytes) & (t->slot_count - 1);
    while (t->slots[i] && !sha256_equal(&t->refs[t->slots[i] - 1].id, id))
        i = (i + 1) & (t->slot_count - 1);
    return &t->slots[i];
}

static void grow_slots(struct pack_table *t)
{
    free(t->slots);
    t->slot_count *= 2;
    t->slots = mem_zalloc(t->slot_count * sizeof *t->slots);
    for (size_t i = 0; i < t->count; i++)
        *slot_of(t, &t->refs[i].id) = (uint32_t)i + 1;
}

static uint32_t append_ref(struct pack_table *t, const struct sha256 *id, uint64_t bytes)
{
    BUG_IF(t->count >= UINT32_MAX - 1);
    if (2 * (t->count + 1) > t->slot_count)
        grow_slots(t);
    t->refs = mem_grow(t->refs, t->count, &t->capacity, sizeof *t->refs);
    t->refs[t->count] = (struct pack_ref){.id = *id, .bytes = bytes};
    *slot_of(t, id) = (uint32_t)++t->count;
    return (uint32_t)t->count - 1;
}

uint32_t pack_table_add(struct pack_table *t, const struct sha256 *id, uint64_t bytes)
{
    pthread_mutex_lock(&t->lock);
    uint32_t number, slot = *slot_of(t, id);
    if (slot) {
        number = slot - 1;
        if (t->refs[number].bytes == 0)
            t->refs[number].bytes = bytes;
    } else {
        number = append_ref(t, id, bytes);
    }
    pthread_mutex_unlock(&t->lock);
    return number;
}

bool pack_table_find(struct pack_table *t, const struct sha256 *id, uint32_t *ret_number)
{
    pthread_mutex_lock(&t->lock);
    uint32_t slot = *slot_of(t, id);
    pthread_mutex_unlock(&t->lock);
    if (slot)
        *ret_number = slot - 1;
    return slot != 0;
}

void pack_table_count_live(struct pack_table *t, uint32_t number, uint64_t bytes)
{
    pthread_mutex_lock(&t->lock);
    BUG_IF(number >= t->count);
    t->refs[number].live_bytes += bytes;
    pthread_mutex_unlock(&t->lock);
}

uint32_t pack_table_count(struct pack_table *t)
{
    pthread_mutex_lock(&t->lock);
    uint32_t count = (uint32_t)t->count;
    pthread_mutex_unlock(&t->lock);
    return count;
}

struct pack_ref pack_table_get(struct pack_table *t, uint32_t number)
{
    pthread_mutex_lock(&t->lock);
    BUG_IF(number >= t->count);
    struct pack_ref ref = t->refs[number];
    pthread_mutex_unlock(&t->lock);
    return ref;
}

/* The packs of one map frame, numbered in order of first use. */
struct local_packs {
    uint32_t numbers[MAP_FRAME_CHUNKS];
    uint32_t count;
};

static uint32_t local_number(struct local_packs *l, uint32_t number)
{
    for (uint32_t i = l->count; i-- > 0;) /* neighbours are mostly in the same pack */
        if (l->numbers[i] == number)
            return i;
    l->numbers[l->count] = number;
    return l->count++;
}

static void put_chunk(uint8_t *to, const struct chunk *c, struct local_packs *l)
{
    bool zero = c->flags & CHUNK_ZERO;
    put_le32(to + CHUNK_AT_PACK, zero ? 0 : local_number(l, c->pack));
    put_le32(to + CHUNK_AT_OFFSET, zero ? 0 : c->offset);
    put_le32(to + CHUNK_AT_STORED, zero ? 0 : c->stored_len);
    put_le32(to + CHUNK_AT_CRC, c->crc32c);
    memcpy(to + CHUNK_AT_HASH, c->hash.bytes, XXH128_LEN);
    put_le32(to + CHUNK_AT_FLAGS, c->flags);
}

enum rc chunk_map_encode(const struct chunk *chunks, uint32_t count, struct pack_table *packs,
                         struct buf *to, struct error *err)
{
    struct local_packs l = {.count = 0};
    uint8_t number[4], entries[MAP_FRAME_CHUNKS][MAP_CHUNK_LEN];
    BUG_IF(count == 0 || count > MAP_FRAME_CHUNKS);
    for (uint32_t i = 0; i < count; i++)
        put_chunk(entries[i], &chunks[i], &l);

    buf_clear(to);
    put_le32(number, l.count);
    TRY(buf_append(to, number, sizeof number, err));
    for (uint32_t i = 0; i < l.count; i++) {
        struct pack_ref ref = pack_table_get(packs, l.numbers[i]);
        TRY(buf_append(to, ref.id.bytes, SHA256_LEN, err));
    }
    put_le32(number, count);
    TRY(buf_append(to, number, sizeof number, err));
    return buf_append(to, entries, (size_t)count * MAP_CHUNK_LEN, err);
}

static bool chunk_possible(const struct chunk *c, uint32_t pack_count)
{
    if (c->flags == CHUNK_ZERO)
        return c->pack == 0 && c->offset == 0 && c->stored_len == 0;
    return (c->flags & ~(uint32_t)CHUNK_RAW) == 0 && c->pack < pack_count && c->stored_len > 0 &&
           (uint64_t)c->offset + c->stored_len <= PACK_MAX_BYTES;
}

static struct chunk get_chunk(const uint8_t *e)
{
    struct chunk c = {
        .pack = get_le32(e + CHUNK_AT_PACK),
        .offset = get_le32(e + CHUNK_AT_OFFSET),
        .stored_len = get_le32(e + CHUNK_AT_STORED),
        .crc32c = get_le32(e + CHUNK_AT_CRC),
        .flags = get_le32(e + CHUNK_AT_FLAGS),
    };
    memcpy(c.hash.bytes, e + CHUNK_AT_HASH, XXH128_LEN);
    return c;
}

enum rc chunk_map_decode(const void *data, size_t len, uint32_t count, struct pack_table *packs,
                         struct chunk *ret_chunks, struct error *err)
{
    const uint8_t *bytes = data;
    uint32_t pack_count = len >= MAP_HEAD_LEN ? get_le32(bytes) : UINT32_MAX;
    BUG_IF(count == 0 || count > MAP_FRAME_CHUNKS);
    if (pack_count > count ||
        len != MAP_HEAD_LEN + (size_t)pack_count * SHA256_LEN + (size_t)count * MAP_CHUNK_LEN)
        return error_set(err, RC_INTEGRITY, "a chunk map of %zu bytes can't be that of %u chunks",
                         len, count);
    const uint8_t *ids = bytes + 4, *rest = ids + (size_t)pack_count * SHA256_LEN;
    if (get_le32(rest) != count)
        return error_set(err, RC_INTEGRITY, "a chunk map has %u chunks instead of %u",
                         get_le32(rest), count);
    const uint8_t *entries = rest + 4;
    for (uint32_t i = 0; i < count; i++) {
        struct chunk c = get_chunk(entries + (size_t)i * MAP_CHUNK_LEN);
        if (!chunk_possible(&c, pack_count))
            return error_set(err, RC_INTEGRITY, "entry %u of a chunk map can't be", i);
    }

    uint32_t numbers[MAP_FRAME_CHUNKS];
    for (uint32_t i = 0; i < pack_count; i++) {
        struct sha256 id;
        memcpy(id.bytes, ids + (size_t)i * SHA256_LEN, SHA256_LEN);
        numbers[i] = pack_table_add(packs, &id, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_chunks[i] = get_chunk(entries + (size_t)i * MAP_CHUNK_LEN);
        if (!(ret_chunks[i].flags & CHUNK_ZERO))
            ret_chunks[i].pack = numbers[ret_chunks[i].pack];
    }
    return RC_OK;
}
