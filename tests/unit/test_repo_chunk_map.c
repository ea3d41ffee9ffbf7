/* Chunk maps and the table of packs. */
#include "repo_fixture.h"

#include "repo/chunk_map.h"

#include <pthread.h>

static struct sha256 id_of(unsigned n)
{
    return sha256_of(&n, sizeof n);
}

static void table(void **state)
{
    (void)state;
    struct pack_table *t = pack_table_new();
    uint32_t number;
    for (unsigned i = 0; i < 1000; i++) {
        struct sha256 id = id_of(i);
        assert_int_equal(pack_table_add(t, &id, 0), i);
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct sha256 id = id_of(i);
        assert_int_equal(pack_table_add(t, &id, 100 + i), i);
        assert_true(pack_table_find(t, &id, &number) && number == i);
        assert_int_equal(pack_table_get(t, i).bytes, 100 + i);
    }
    struct sha256 none = id_of(1000);
    assert_false(pack_table_find(t, &none, &number));
    pack_table_count_live(t, 7, 5);
    pack_table_count_live(t, 7, 6);
    assert_int_equal(pack_table_get(t, 7).live_bytes, 11);
    assert_int_equal(pack_table_count(t), 1000);
    pack_table_free(t);
}

static pthread_barrier_t start;

static void *add_many(void *ctx)
{
    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < 5000; i++) {
        struct sha256 id = id_of(i);
        uint32_t number = pack_table_add(ctx, &id, 1);
        pack_table_count_live(ctx, number, 1);
    }
    return NULL;
}

static void table_in_threads(void **state)
{
    (void)state;
    struct pack_table *t = pack_table_new();
    pthread_t threads[4];
    pthread_barrier_init(&start, NULL, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, t), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    assert_int_equal(pack_table_count(t), 5000);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(pack_table_get(t, i).live_bytes, 4);
    pack_table_free(t);
}

static void fill(struct chunk *chunks, uint32_t count, struct pack_table *t)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sha256 id = id_of(i / 3);
        chunks[i] = (struct chunk){.pack = pack_table_add(t, &id, 0),
                                   .offset = 100 + i,
                                   .stored_len = 1 + i,
                                   .crc32c = i * 7,
                                   .flags = i % 5 == 4 ? CHUNK_ZERO : i % 2};
        chunks[i].hash = xxh128_of(1, &i, sizeof i);
    }
}

static void round_trip_of(struct repo_fixture *f, uint32_t count)
{
    struct pack_table *ours = pack_table_new(), *theirs = pack_table_new();
    struct chunk *in = calloc(count, sizeof *in), *out = calloc(count, sizeof *out);
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct sha256 other = id_of(99999);
    pack_table_add(theirs, &other, 0); /* so that numbers differ */
    fill(in, count, ours);
    assert_rc(f, RC_OK, chunk_map_encode(in, count, ours, &b, &f->err));
    assert_rc(f, RC_OK, chunk_map_decode(b.data, b.len, count, theirs, out, &f->err));
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(out[i].flags, in[i].flags);
        assert_int_equal(out[i].crc32c, in[i].crc32c);
        assert_memory_equal(&out[i].hash, &in[i].hash, sizeof in[i].hash);
        if (in[i].flags & CHUNK_ZERO)
            continue;
        struct pack_ref a = pack_table_get(ours, in[i].pack),
                        c = pack_table_get(theirs, out[i].pack);
        assert_true(sha256_equal(&a.id, &c.id));
        assert_int_equal(out[i].offset, in[i].offset);
        assert_int_equal(out[i].stored_len, in[i].stored_len);
    }
    free(in);
    free(out);
    pack_table_free(ours);
    pack_table_free(theirs);
}

static void round_trip(void **state)
{
    round_trip_of(*state, 1);
    round_trip_of(*state, 5);
    round_trip_of(*state, MAP_FRAME_CHUNKS);
}

/* docs/format.md: P, P digests, N, N entries of 36 bytes. */
static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    struct pack_table *t = pack_table_new();
    struct chunk c[4];
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    fill(c, 4, t);
    assert_rc(f, RC_OK, chunk_map_encode(c, 4, t, &b, &f->err));
    struct sha256 second = id_of(1);
    assert_int_equal(b.len, 4 + 2 * 32 + 4 + 4 * 36);
    assert_int_equal(get_le32(b.data), 2);
    assert_memory_equal(b.data + 36, second.bytes, 32);
    assert_int_equal(get_le32(b.data + 68), 4);
    const uint8_t *last = b.data + 72 + 3 * 36;
    assert_int_equal(get_le32(last), 1);
    assert_int_equal(get_le32(last + 4), 103);
    assert_int_equal(get_le32(last + 8), 4);
    assert_int_equal(get_le32(last + 12), 21);
    assert_memory_equal(last + 16, c[3].hash.bytes, 16);
    assert_int_equal(get_le32(last + 32), 1);
    pack_table_free(t);
}

struct decoding {
    struct repo_fixture *f;
    uint32_t count;
};

static void no_crash(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct decoding *d = ctx;
    struct pack_table *t = pack_table_new();
    struct chunk out[MAP_FRAME_CHUNKS];
    enum rc rc = chunk_map_decode(data, len, d->count, t, out, &d->f->err);
    if (rc == RC_OK && (str_starts(what, "cut") || str_starts(what, "a byte")))
        fail_msg("accepted: %s", what);
    for (uint32_t i = 0; rc == RC_OK && i < d->count; i++)
        assert_true((out[i].flags & CHUNK_ZERO) || out[i].pack < pack_table_count(t));
    if (rc != RC_OK) {
        assert_int_equal(rc, RC_INTEGRITY);
        assert_int_equal(pack_table_count(t), 0); /* a refused map leaves nothing behind */
    }
    pack_table_free(t);
}

static void mutations(void **state)
{
    struct decoding d = {*state, 7};
    struct pack_table *t = pack_table_new();
    struct chunk c[7], out[8];
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    fill(c, 7, t);
    assert_rc(d.f, RC_OK, chunk_map_encode(c, 7, t, &b, &d.f->err));
    each_mutation(b.data, b.len, no_crash, &d);
    assert_rc(d.f, RC_INTEGRITY, chunk_map_decode(b.data, b.len, 6, t, out, &d.f->err));
    assert_rc(d.f, RC_INTEGRITY, chunk_map_decode(b.data, b.len, 8, t, out, &d.f->err));
    pack_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),      cmocka_unit_test(table_in_threads),
        cmocka_unit_test(round_trip), cmocka_unit_test(as_documented),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
