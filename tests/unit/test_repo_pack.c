/* Packs: what goes in comes out, and what is damaged does not. */
#include "repo_fixture.h"

#include "base/crc32c.h"
#include "repo/pack.h"

#define CHUNK 4096

/* An encoder whose output has a bit wrong from the nth block on: bad RAM, as it were. */
struct faulty_stage {
    struct stage stage;
    struct stage *inner;
    unsigned blocks_left;
};

static size_t faulty_bound(struct stage *s, size_t len)
{
    return stage_bound(((struct faulty_stage *)s)->inner, len);
}

static enum rc faulty_run(struct stage *s, const void *in, size_t in_len, void *out,
                          size_t out_size, size_t *ret_len, struct error *err)
{
    struct faulty_stage *f = (struct faulty_stage *)s;
    TRY(stage_run(f->inner, in, in_len, out, out_size, ret_len, err));
    if (f->blocks_left-- == 0)
        ((uint8_t *)out)[*ret_len - 2] ^= 0x10;
    return RC_OK;
}

static const struct stage_ops faulty_ops = {"faulty", faulty_bound, faulty_run, NULL};

static struct stage *encoder(struct repo_fixture *f)
{
    struct stage *s;
    assert_rc(f, RC_OK, stage_zstd_encoder(ZSTD_LEVEL_DEFAULT, &s, &f->err));
    return s;
}

static struct pack_writer *writer(struct repo_fixture *f, enum pack_kind kind, struct stage *s,
                                  bool paranoid)
{
    struct pack_writer *w;
    assert_rc(f, RC_OK,
              pack_writer_new(f->repo, "main", SYSTEM_ID, kind, s, paranoid, &w, &f->err));
    return w;
}

/* Block number n: even ones compress, odd ones don't. */
static void fill(uint8_t *to, unsigned n)
{
    uint32_t x = n * 2654435761u + 1;
    for (size_t i = 0; i < CHUNK; i++) {
        x = x * 1664525u + 1013904223u;
        to[i] = n % 2 ? (uint8_t)(x >> 24) : (uint8_t)(n + i / 64);
    }
}

static struct frame add(struct repo_fixture *f, struct pack_writer *w, const char *path, unsigned n)
{
    uint8_t plain[CHUNK];
    struct frame frame;
    fill(plain, n);
    struct xxh128 hash = xxh128_of(f->repo->hash_seed, plain, CHUNK);
    assert_rc(
        f, RC_OK,
        pack_writer_add(w, path, n, plain, CHUNK, &hash, crc32c(0, plain, CHUNK), &frame, &f->err));
    return frame;
}

struct made {
    struct sha256 id;
    struct frame frames[40];
    struct buf bytes;
};

static void make(struct repo_fixture *f, unsigned count, struct made *ret)
{
    CLEANUP_STAGE struct stage *s = encoder(f);
    struct pack_writer *w = writer(f, PACK_DATA, s, false);
    uint64_t bytes;
    assert_int_equal(pack_writer_bytes(w), 0);
    for (unsigned i = 0; i < count; i++)
        ret->frames[i] = add(f, w, i < 3 ? "base/1" : "base/2", i);
    assert_rc(f, RC_OK, pack_writer_finish(w, &ret->id, &bytes, &f->err));
    assert_int_equal(pack_writer_bytes(w), 0);
    pack_writer_free(w);
    ret->bytes = BUF_INIT(PACK_MAX_BYTES);
    assert_rc(f, RC_OK, pack_get(f->repo, "main", PACK_DATA, &ret->id, &ret->bytes, &f->err));
    assert_int_equal(ret->bytes.len, bytes);
}

static void frames_come_back(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    CLEANUP_STAGE struct stage *decoder = NULL;
    make(f, 20, &m);
    assert_rc(f, RC_OK, stage_zstd_decoder(&decoder, &f->err));
    for (unsigned i = 0; i < 20; i++) {
        uint8_t should[CHUNK], is[CHUNK];
        fill(should, i);
        assert_rc(f, RC_OK,
                  frame_decode(f->repo->hash_seed, &m.bytes, &m.frames[i], decoder, is, &f->err));
        assert_memory_equal(is, should, CHUNK);
        assert_int_equal(m.frames[i].flags, i % 2 ? FRAME_RAW : 0);
    }
    struct frame wrong = m.frames[0];
    wrong.crc32c ^= 1;
    uint8_t out[CHUNK];
    assert_rc(f, RC_INTEGRITY,
              frame_decode(f->repo->hash_seed, &m.bytes, &wrong, decoder, out, &f->err));
    wrong = m.frames[0];
    wrong.hash.bytes[15] ^= 1;
    assert_rc(f, RC_INTEGRITY,
              frame_decode(f->repo->hash_seed, &m.bytes, &wrong, decoder, out, &f->err));
    wrong = m.frames[1];
    wrong.offset = (uint32_t)m.bytes.len - 10;
    assert_rc(f, RC_INTEGRITY,
              frame_decode(f->repo->hash_seed, &m.bytes, &wrong, decoder, out, &f->err));
    wrong = m.frames[1];
    wrong.stored_len -= 1;
    assert_rc(f, RC_INTEGRITY,
              frame_decode(f->repo->hash_seed, &m.bytes, &wrong, decoder, out, &f->err));
    buf_done(&m.bytes);
}

struct index_check {
    const struct made *made;
    unsigned count;
};

static enum rc check_index(void *ctx, enum frame_kind kind, const char *path, uint64_t number,
                           const struct frame *frame, struct error *err)
{
    struct index_check *c = ctx;
    (void)err;
    assert_int_equal(kind, FRAME_CHUNK);
    assert_int_equal(number, c->count);
    assert_string_equal(path, number < 3 ? "base/1" : "base/2");
    assert_memory_equal(frame, &c->made->frames[number], sizeof *frame);
    c->count++;
    return RC_OK;
}

static void a_pack_explains_itself(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    make(f, 20, &m);
    struct index_check c = {&m, 0};
    assert_rc(f, RC_OK, pack_index_read(&m.bytes, check_index, &c, &f->err));
    assert_int_equal(c.count, 20);
    buf_done(&m.bytes);
}

/* docs/format.md, section 5, with the numbers as they stand there. */
static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    CLEANUP_STAGE struct stage *decoder = NULL;
    CLEANUP_BUF struct buf index = BUF_INIT(1u << 20);
    uint8_t repository[16];
    make(f, 5, &m);
    const uint8_t *p = m.bytes.data, *trailer = p + m.bytes.len - 64;
    assert_memory_equal(p, "pgpPACK1\1\0\0\0", 12);
    assert_int_equal(get_le32(p + 12), 32 + 8 + 28 + 8);
    assert_int_equal(get_le16(p + 32), 2);
    assert_int_equal(get_le32(p + 36), 28);
    assert_int_equal(get_le32(p + 40), 1);
    assert_true(hex_decode(f->repo->id, 32, repository));
    assert_memory_equal(p + 44, repository, 16);
    assert_true(get_le64(p + 60) == SYSTEM_ID);
    assert_memory_equal(trailer + 56, "pgpPEND1", 8);
    uint64_t offset = get_le64(trailer);
    uint32_t stored = get_le32(trailer + 8), plain = get_le32(trailer + 12);
    assert_true(offset + stored + 64 == m.bytes.len);
    assert_int_equal(get_le32(trailer + 16), 5);

    assert_rc(f, RC_OK, stage_zstd_decoder(&decoder, &f->err));
    assert_rc(f, RC_OK, stage_decode_buf(decoder, p + offset, stored, plain, &index, &f->err));
    struct xxh128 hash = xxh128_of(0, index.data, index.len);
    assert_memory_equal(trailer + 24, hash.bytes, 16);
    assert_int_equal(plain, 16 + 2 * (4 + 6 + 1) + 5 * 52);
    assert_int_equal(get_le32(index.data), 1);
    assert_int_equal(get_le32(index.data + 4), 2);
    assert_int_equal(get_le32(index.data + 8), 5);
    assert_int_equal(get_le32(index.data + 12), 52);
    assert_memory_equal(index.data + 16, "\6\0\0\0base/1\0", 11);
    const uint8_t *last = index.data + plain - 52;
    assert_int_equal(get_le32(last), 1);
    assert_int_equal(get_le32(last + 4), 1);
    assert_true(get_le64(last + 8) == 4);
    assert_int_equal(get_le32(last + 16), m.frames[4].offset);
    assert_int_equal(get_le32(last + 20), m.frames[4].stored_len);
    assert_int_equal(get_le32(last + 24), CHUNK);
    assert_int_equal(get_le32(last + 28), 0);
    assert_int_equal(get_le32(last + 32), m.frames[4].crc32c);
    assert_memory_equal(last + 36, m.frames[4].hash.bytes, 16);
    buf_done(&m.bytes);
}

static void equal_content_is_another_pack(void **state)
{
    struct repo_fixture *f = *state;
    struct made a, b;
    make(f, 3, &a);
    make(f, 3, &b);
    assert_false(sha256_equal(&a.id, &b.id));
    buf_done(&a.bytes);
    buf_done(&b.bytes);
}

static void what_get_refuses(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    make(f, 3, &m);
    struct object_name name = name_pack("main", PACK_DATA, &m.id);
    struct object_name as_map = name_pack("main", PACK_MAPS, &m.id);
    struct object_name other_name;
    struct sha256 other = m.id;

    assert_rc(f, RC_OK, store_put(f->repo->store, as_map.text, m.bytes.data, m.bytes.len, &f->err));
    assert_rc(f, RC_INTEGRITY, pack_get(f->repo, "main", PACK_MAPS, &m.id, &m.bytes, &f->err));
    other.bytes[0] ^= 1;
    assert_rc(f, RC_INTEGRITY, pack_get(f->repo, "main", PACK_DATA, &other, &m.bytes, &f->err));
    assert_non_null(strstr(f->err.what, "missing"));
    read_object(f, name.text, &m.bytes);
    other_name = name_pack("main", PACK_DATA, &other);
    assert_rc(f, RC_OK,
              store_put(f->repo->store, other_name.text, m.bytes.data, m.bytes.len, &f->err));
    assert_rc(f, RC_INTEGRITY, pack_get(f->repo, "main", PACK_DATA, &other, &m.bytes, &f->err));

    char id = f->repo->id[0];
    f->repo->id[0] = id == '0' ? '1' : '0';
    assert_rc(f, RC_INTEGRITY, pack_get(f->repo, "main", PACK_DATA, &m.id, &m.bytes, &f->err));
    assert_non_null(strstr(f->err.what, "another repository"));
    f->repo->id[0] = id;
    flip_object(f, name.text, 100);
    assert_rc(f, RC_INTEGRITY, pack_get(f->repo, "main", PACK_DATA, &m.id, &m.bytes, &f->err));
    assert_string_equal(f->err.on, name.text);
    buf_done(&m.bytes);
}

static enum rc swallow(void *ctx, enum frame_kind kind, const char *path, uint64_t number,
                       const struct frame *frame, struct error *err)
{
    struct buf *pack = ctx;
    (void)kind;
    (void)number;
    (void)err;
    assert_true(path_is_contained(path));
    assert_true((uint64_t)frame->offset + frame->stored_len <= pack->len);
    return RC_OK;
}

static void no_crash(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    struct buf pack = {.data = (uint8_t *)(uintptr_t)data, .len = len, .capacity = len, .max = len};
    enum rc rc = pack_index_read(&pack, swallow, &pack, &f->err);
    if (rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG)
        fail_msg("%s: %s", what, rc_name(rc));
    if (rc == RC_OK && (str_starts(what, "cut") || str_starts(what, "a byte more")))
        fail_msg("accepted: %s", what);
}

static void mutated_indexes(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    make(f, 3, &m);
    each_mutation(m.bytes.data, m.bytes.len, no_crash, f);
    buf_done(&m.bytes);
}

static void mutated_frames(void **state)
{
    struct repo_fixture *f = *state;
    struct made m;
    uint8_t out[CHUNK], should[CHUNK];
    CLEANUP_STAGE struct stage *decoder = NULL;
    make(f, 2, &m);
    fill(should, 0);
    assert_rc(f, RC_OK, stage_zstd_decoder(&decoder, &f->err));
    for (size_t i = 0; i < m.frames[0].stored_len; i++) {
        m.bytes.data[m.frames[0].offset + i] ^= 0xff;
        enum rc rc =
            frame_decode(f->repo->hash_seed, &m.bytes, &m.frames[0], decoder, out, &f->err);
        m.bytes.data[m.frames[0].offset + i] ^= 0xff;
        if (rc == RC_OK)
            assert_memory_equal(out, should, CHUNK);
        else
            assert_int_equal(rc, RC_INTEGRITY);
    }
    buf_done(&m.bytes);
}

/* Adds `count` frames through an encoder that spoils block `bad`, and tries to finish. */
static enum rc finish_spoilt(struct repo_fixture *f, unsigned count, unsigned bad, bool paranoid)
{
    struct faulty_stage faulty = {{&faulty_ops}, encoder(f), 2 * bad};
    struct pack_writer *w = writer(f, PACK_DATA, &faulty.stage, paranoid);
    struct sha256 id;
    uint64_t bytes;
    for (unsigned i = 0; i < count; i++)
        add(f, w, "base/1", 2 * i); /* such that compress */
    faulty.blocks_left += 1000;
    enum rc rc = pack_writer_finish(w, &id, &bytes, &f->err);
    pack_writer_free(w);
    stage_free(faulty.inner);
    return rc;
}

static enum rc count_object(void *ctx, const char *name, const struct store_info *info,
                            struct error *err)
{
    (void)name;
    (void)info;
    (void)err;
    ++*(int *)ctx;
    return RC_OK;
}

static void a_codec_fault_stays_here(void **state)
{
    struct repo_fixture *f = *state;
    int count = 0;
    assert_rc(f, RC_INTEGRITY, finish_spoilt(f, 1, 0, false));
    assert_non_null(strstr(f->err.what, "codec or memory fault"));
    assert_rc(f, RC_INTEGRITY, finish_spoilt(f, 3, 1, true)); /* not in the sample */
    assert_rc(f, RC_OK, store_list(f->repo->store, "clusters/", count_object, &count, &f->err));
    assert_int_equal(count, 0);
}

static void a_lost_answer_is_no_failure(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_STAGE struct stage *s = encoder(f);
    struct pack_writer *w = writer(f, PACK_DATA, s, false);
    struct sha256 id;
    uint64_t bytes;
    struct frame frame = add(f, w, "base/1", 1);
    f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = 1, .mode = FAULT_FAIL_AFTER};
    assert_rc(f, RC_STORAGE, pack_writer_finish(w, &id, &bytes, &f->err));
    assert_int_equal(pack_writer_bytes(w), frame.offset + frame.stored_len);
    assert_rc(f, RC_OK, pack_writer_finish(w, &id, &bytes, &f->err)); /* and it is there */
    pack_writer_free(w);
}

static void tiny_frames_fill_a_pack(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_STAGE struct stage *s = encoder(f);
    struct pack_writer *w = writer(f, PACK_MAPS, s, false);
    struct xxh128 hash = xxh128_of(f->repo->hash_seed, "x", 1);
    uint32_t crc = crc32c(0, "x", 1), count = 0;
    struct frame frame;
    struct sha256 id;
    uint64_t bytes;
    char path[200];
    while (!pack_writer_is_full(w)) {
        snprintf(path, sizeof path, "base/%0180u", count++);
        assert_rc(f, RC_OK, pack_writer_add(w, path, 0, "x", 1, &hash, crc, &frame, &f->err));
    }
    assert_true(count < 200000);
    assert_rc(f, RC_OK, pack_writer_finish(w, &id, &bytes, &f->err));
    pack_writer_free(w);
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(frames_come_back),
        CASE(a_pack_explains_itself),
        CASE(as_documented),
        CASE(equal_content_is_another_pack),
        CASE(what_get_refuses),
        CASE(mutated_indexes),
        CASE(mutated_frames),
        CASE(a_codec_fault_stays_here),
        CASE(a_lost_answer_is_no_failure),
        CASE(tiny_frames_fill_a_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
