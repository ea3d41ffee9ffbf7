/* Manifests: what is written comes back; what could do harm is refused. */
#include "repo_fixture.h"

#include "base/crc32c.h"
#include "codec/zlines.h"
#include "repo/manifest.h"

static const char *const odd_names[] = {"a\nb",         "back\\slash",       "eq=ual", "quo\"te",
                                        "\xff\xfe.bin", "\xc3\xa9t\xc3\xa9", "sp ace", "tab\there"};

static void add_dir(struct manifest *m, const char *path)
{
    struct manifest_file *d = manifest_add(m, path);
    d->kind = FILE_DIRECTORY;
    d->mode = 0700;
    d->owner = d->group = "postgres";
}

static struct manifest_file *add_file(struct manifest *m, const char *path, uint64_t size)
{
    struct manifest_file *f = manifest_add(m, path);
    f->size_bytes = size;
    f->mode = 0600;
    f->owner = f->group = "postgres";
    f->mtime_ns = 1763690400123456789;
    f->ctime_ns = -1;
    f->inode = UINT64_MAX;
    f->device = 64769;
    f->crc32c = size ? 0xdeadbeef : 0;
    f->chunk_bytes = size ? CHUNK_BYTES : 0;
    f->chunk_count = (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
    return f;
}

static void one_chunk(struct manifest *m, struct manifest_file *f, unsigned pack)
{
    struct sha256 id = sha256_of(&pack, sizeof pack);
    f->only = (struct chunk){.pack = pack_table_add(m->packs, &id, 1000),
                             .offset = 68,
                             .stored_len = 5,
                             .crc32c = f->crc32c};
    memset(f->only.hash.bytes, 0x5a, XXH128_LEN);
}

static void map_refs(struct manifest *m, struct manifest_file *f)
{
    struct sha256 id = sha256_of("map", 3);
    f->map_count = (uint32_t)((f->chunk_count + MAP_FRAME_CHUNKS - 1) / MAP_FRAME_CHUNKS);
    f->maps = arena_alloc(m->arena, f->map_count * sizeof *f->maps);
    for (uint32_t i = 0; i < f->map_count; i++)
        f->maps[i] = (struct map_ref){
            .map_pack = pack_table_add(m->map_packs, &id, 77),
            .frame = {.offset = 68 + i, .stored_len = 9, .plain_len = 80, .crc32c = i}};
}

static struct manifest *sample(void)
{
    struct manifest *m = manifest_new();
    str_copy(m->backup_id, sizeof m->backup_id, "20261121T020000Z");
    m->system_identifier = SYSTEM_ID;
    add_dir(m, "pg_tblspc");
    add_dir(m, "base");
    add_dir(m, "base/1");
    one_chunk(m, add_file(m, "base/1/1259", 8192), 1);
    map_refs(m, add_file(m, "base/1/2619", UINT64_C(1) << 30));
    add_dir(m, "base-x"); /* sorts between base and base/1 */
    add_file(m, "base/1/empty", 0);
    struct manifest_file *bad = add_file(m, "base/1/2620", 8192);
    one_chunk(m, bad, 2);
    bad->pages = PAGES_BAD;
    bad->bad_blocks = arena_alloc(m->arena, 2 * sizeof(uint32_t));
    bad->bad_blocks[0] = 131073;
    bad->bad_block_count = 2;
    struct manifest_file *zero = add_file(m, "base/1/zero", 100);
    one_chunk(m, zero, 1);
    zero->only.flags = CHUNK_ZERO;
    struct manifest_file *link = manifest_add(m, "pg_tblspc/16384");
    link->kind = FILE_TABLESPACE_LINK;
    link->link_target = "/mnt/t\xff";
    link->mode = 0777;
    add_dir(m, "pg_tblspc/16384/PG_15");
    for (size_t i = 0; i < sizeof odd_names / sizeof *odd_names; i++)
        one_chunk(m, add_file(m, odd_names[i], 5), 3);
    return m;
}

static void encode(struct repo_fixture *f, struct manifest *m, struct buf *to)
{
    assert_rc(f, RC_OK, manifest_encode(m, to, &f->err));
}

static void same_file(const struct manifest_file *a, const struct manifest_file *b)
{
    assert_string_equal(a->path, b->path);
    assert_int_equal(a->kind, b->kind);
    assert_true(a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns);
    assert_true(a->ctime_ns == b->ctime_ns && a->inode == b->inode && a->device == b->device);
    assert_int_equal(a->mode, b->mode);
    assert_string_equal(a->owner ? a->owner : "", b->owner);
    assert_int_equal(a->crc32c, b->crc32c);
    assert_int_equal(a->pages, b->pages);
    assert_int_equal(a->bad_block_count, b->bad_block_count);
    for (uint32_t i = 0; i < a->bad_block_count; i++)
        assert_int_equal(a->bad_blocks[i], b->bad_blocks[i]);
    assert_int_equal(a->chunk_count, b->chunk_count);
    assert_int_equal(a->map_count, b->map_count);
    for (uint32_t i = 0; i < a->map_count; i++)
        assert_memory_equal(&a->maps[i], &b->maps[i], sizeof a->maps[i]);
    if (a->chunk_count == 1 && !(a->only.flags & CHUNK_ZERO))
        assert_memory_equal(&a->only, &b->only, sizeof a->only);
    if (a->link_target)
        assert_string_equal(a->link_target, b->link_target);
}

static void round_trip(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct manifest *m = sample(), *again;
    encode(f, m, &b);
    assert_rc(f, RC_OK, manifest_decode(b.data, b.len, &again, &f->err));
    assert_string_equal(again->backup_id, "20261121T020000Z");
    assert_true(again->system_identifier == SYSTEM_ID);
    assert_int_equal(again->file_count, m->file_count);
    for (size_t i = 0; i < m->file_count; i++)
        same_file(&m->files[i], &again->files[i]);
    assert_int_equal(pack_table_count(again->packs), 3);
    assert_int_equal(pack_table_get(again->packs, 0).bytes, 1000);
    assert_int_equal(pack_table_get(again->map_packs, 0).bytes, 77);
    assert_int_equal(manifest_find(again, "base/1/2619")->chunk_count, 8192);
    assert_non_null(manifest_find(again, "\xff\xfe.bin"));
    assert_null(manifest_find(again, "base/1/261"));
    assert_null(manifest_find(again, "base/1/26199"));
    manifest_free(m);
    manifest_free(again);
}

static void no_crash(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    struct manifest *m = NULL;
    enum rc rc = manifest_decode(data, len, &m, &f->err);
    if (rc == RC_OK && (str_starts(what, "cut") || str_starts(what, "a byte more")))
        fail_msg("accepted: %s", what);
    if (rc != RC_OK && rc != RC_INTEGRITY && rc != RC_NOMEM && rc != RC_CONFIG)
        fail_msg("%s: %s", what, rc_name(rc));
    manifest_free(m);
}

static void mutations(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct manifest *m = sample();
    encode(f, m, &b);
    manifest_free(m);
    each_mutation(b.data, b.len, no_crash, f);
}

/* ---- hostile manifests, written by hand ---- */

#define HEADER                                                                                     \
    "{\"kind\":\"manifest\",\"version\":1,\"backup\":\"20261121T020000Z\","                        \
    "\"system_identifier\":\"1\","                                                                 \
    "\"packs\":[\"" H64 "\"],\"pack_bytes\":[9],\"map_packs\":[\"" H64                             \
    "\"],\"map_pack_bytes\":[9]}"
#define H32 "0123456789abcdef0123456789abcdef"
#define H64 H32 H32
#define ATTRIBUTES                                                                                 \
    "\"owner\":\"\",\"group\":\"\",\"mode\":\"0600\",\"mtime\":0,\"ctime\":0,\"inode\":0,"         \
    "\"device\":0}"
#define DIR(path)      "{\"path\":\"" path "\",\"kind\":\"dir\"," ATTRIBUTES
#define LINK(path, to) "{\"path\":\"" path "\",\"kind\":\"link\",\"target\":\"" to "\"," ATTRIBUTES
#define EMPTY(path)                                                                                \
    "{\"path\":\"" path "\",\"kind\":\"file\",\"size\":0,\"crc32c\":\"00000000\"," ATTRIBUTES
#define FILE_WITH(size, chunk, rest)                                                               \
    "{\"path\":\"f\",\"kind\":\"file\",\"size\":" size                                             \
    ",\"crc32c\":\"00000000\",\"chunk_bytes\":" chunk "," rest "," ATTRIBUTES
#define END(files, bytes) "{\"end\":true,\"files\":" files ",\"bytes\":" bytes "}"
#define AT(pack, offset, stored, flags)                                                            \
    "\"at\":[" pack "," offset "," stored "," flags ",\"" H32 "\"]"
#define MAP(pack) "[" pack ",64,9,80,0,\"00000000\",\"" H32 "\"]"

struct hostile {
    const char *what;
    enum rc rc;
    const char *lines[8];
};

static const struct hostile hostiles[] = {
    {"none", RC_OK, {HEADER, END("0", "0")}},
    {"empty file", RC_OK, {HEADER, EMPTY("a"), END("1", "0")}},
    {"file in a directory", RC_OK, {HEADER, DIR("d"), EMPTY("d/a"), END("2", "0")}},
    {"good chunk", RC_OK, {HEADER, FILE_WITH("5", "4096", AT("0", "64", "5", "1")), END("1", "5")}},
    {"good map",
     RC_OK,
     {HEADER, FILE_WITH("5000", "4096", "\"maps\":[" MAP("0") "]"), END("1", "5000")}},
    {"good tablespace",
     RC_OK,
     {HEADER, DIR("pg_tblspc"), LINK("pg_tblspc/1", "/t"), EMPTY("pg_tblspc/1/a"), END("3", "0")}},
    {"nothing", RC_INTEGRITY, {NULL}},
    {"no end", RC_INTEGRITY, {HEADER, EMPTY("a")}},
    {"behind the end", RC_INTEGRITY, {HEADER, END("0", "0"), EMPTY("a")}},
    {"two ends", RC_INTEGRITY, {HEADER, END("0", "0"), END("0", "0")}},
    {"no header", RC_INTEGRITY, {EMPTY("a"), END("1", "0")}},
    {"other count", RC_INTEGRITY, {HEADER, EMPTY("a"), END("2", "0")}},
    {"other bytes", RC_INTEGRITY, {HEADER, EMPTY("a"), END("1", "1")}},
    {"not JSON", RC_INTEGRITY, {HEADER, "{", END("0", "0")}},
    {"an array", RC_INTEGRITY, {HEADER, "[]", END("0", "0")}},
    {"parent", RC_INTEGRITY, {HEADER, EMPTY("../a"), END("1", "0")}},
    {"parent inside", RC_INTEGRITY, {HEADER, DIR("d"), EMPTY("d/../../a"), END("2", "0")}},
    {"absolute", RC_INTEGRITY, {HEADER, EMPTY("/etc/passwd"), END("1", "0")}},
    {"empty path", RC_INTEGRITY, {HEADER, EMPTY(""), END("1", "0")}},
    {"dot", RC_INTEGRITY, {HEADER, EMPTY("."), END("1", "0")}},
    {"double slash", RC_INTEGRITY, {HEADER, DIR("d"), EMPTY("d//a"), END("2", "0")}},
    {"NUL in a path", RC_INTEGRITY, {HEADER, EMPTY("a\\u0000b"), END("1", "0")}},
    {"twice", RC_INTEGRITY, {HEADER, EMPTY("a"), EMPTY("a"), END("2", "0")}},
    {"unordered", RC_INTEGRITY, {HEADER, EMPTY("b"), EMPTY("a"), END("2", "0")}},
    {"no parent", RC_INTEGRITY, {HEADER, EMPTY("d/a"), END("1", "0")}},
    {"below a file", RC_INTEGRITY, {HEADER, EMPTY("d"), EMPTY("d/a"), END("2", "0")}},
    {"link elsewhere", RC_INTEGRITY, {HEADER, LINK("base", "/etc"), END("1", "0")}},
    {"link below",
     RC_INTEGRITY,
     {HEADER, DIR("pg_tblspc"), DIR("pg_tblspc/1"), LINK("pg_tblspc/1/x", "/etc"), END("3", "0")}},
    {"link by name",
     RC_INTEGRITY,
     {HEADER, DIR("pg_tblspc"), LINK("pg_tblspc/x1", "/etc"), END("2", "0")}},
    {"relative link",
     RC_INTEGRITY,
     {HEADER, DIR("pg_tblspc"), LINK("pg_tblspc/1", "../../etc"), END("2", "0")}},
    {"odd kind",
     RC_INTEGRITY,
     {HEADER, "{\"path\":\"f\",\"kind\":\"fifo\"," ATTRIBUTES, END("1", "0")}},
    {"chunk size 0",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "0", AT("0", "64", "5", "1")), END("1", "5")}},
    {"chunk size 1",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "1", "\"maps\":[" MAP("0") "]"), END("1", "5")}},
    {"huge chunk",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "33554432", AT("0", "64", "5", "1")), END("1", "5")}},
    {"odd chunk size",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "5000", AT("0", "64", "5", "1")), END("1", "5")}},
    {"huge file",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("9223372036854775807", "4096", "\"maps\":[" MAP("0") "]"), END("1", "5")}},
    {"negative size",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("-5", "4096", AT("0", "64", "5", "1")), END("1", "5")}},
    {"no map", RC_INTEGRITY, {HEADER, FILE_WITH("5000", "4096", "\"maps\":[]"), END("1", "5000")}},
    {"too many maps",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5000", "4096", "\"maps\":[" MAP("0") "," MAP("0") "]"), END("1", "5000")}},
    {"map pack unknown",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5000", "4096", "\"maps\":[" MAP("1") "]"), END("1", "5000")}},
    {"map is no array",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5000", "4096", "\"maps\":[7]"), END("1", "5000")}},
    {"pack unknown",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("1", "64", "5", "1")), END("1", "5")}},
    {"in the header",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("0", "8", "5", "1")), END("1", "5")}},
    {"beyond a pack",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("0", "4294967295", "5", "1")), END("1", "5")}},
    {"raw of other length",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("0", "64", "6", "1")), END("1", "5")}},
    {"odd flags",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("0", "64", "5", "9")), END("1", "5")}},
    {"number out of range",
     RC_INTEGRITY,
     {HEADER, FILE_WITH("5", "4096", AT("0", "4294967296", "5", "1")), END("1", "5")}},
    {"newer", RC_CONFIG, {"{\"kind\":\"manifest\",\"version\":2}", END("0", "0")}},
    {"pack twice",
     RC_INTEGRITY,
     {"{\"kind\":\"manifest\",\"version\":1,\"backup\":\"20261121T020000Z\","
      "\"system_identifier\":\"1\",\"packs\":[\"" H64 "\",\"" H64
      "\"],\"pack_bytes\":[9,9],\"map_packs\":[],\"map_pack_bytes\":[]}",
      END("0", "0")}},
};

static void hostile(void **state)
{
    struct repo_fixture *f = *state;
    for (size_t i = 0; i < sizeof hostiles / sizeof *hostiles; i++) {
        const struct hostile *h = &hostiles[i];
        CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
        struct zlines_writer *w;
        struct manifest *m = NULL;
        assert_rc(f, RC_OK, zlines_writer_new(&b, 1, &w, &f->err));
        for (int l = 0; h->lines[l]; l++)
            assert_rc(f, RC_OK, zlines_add(w, h->lines[l], strlen(h->lines[l]), &f->err));
        assert_rc(f, RC_OK, zlines_commit(w, &f->err));
        zlines_writer_free(w);
        enum rc rc = manifest_decode(b.data, b.len, &m, &f->err);
        if (rc != h->rc)
            fail_msg("%s: %s instead of %s: %s", h->what, rc_name(rc), rc_name(h->rc), f->err.what);
        manifest_free(m);
    }
}

static void never_written(void **state)
{
    struct repo_fixture *f = *state;
    static const char *const paths[] = {"../x", "nowhere/x", "base"};
    for (size_t i = 0; i < 3; i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
        struct manifest *m = sample();
        add_file(m, paths[i], 0);
        assert_rc(f, RC_BUG, manifest_encode(m, &b, &f->err));
        manifest_free(m);
    }
}

/* ---- chunk maps behind a manifest ---- */

#define CHUNKS 2500

struct mapped {
    struct manifest *m;
    struct chunk chunks[CHUNKS];
};

static void put_map(struct repo_fixture *f, struct mapped *x, struct manifest_file *file)
{
    CLEANUP_STAGE struct stage *s = NULL;
    CLEANUP_BUF struct buf plain = BUF_INIT(1u << 20);
    struct pack_writer *w;
    struct sha256 id;
    uint64_t bytes;
    assert_rc(f, RC_OK, stage_zstd_encoder(3, &s, &f->err));
    assert_rc(f, RC_OK,
              pack_writer_new(f->repo, "main", SYSTEM_ID, PACK_MAPS, s, true, &w, &f->err));
    file->map_count = 3;
    file->maps = arena_alloc(x->m->arena, 3 * sizeof *file->maps);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t count = i < 2 ? MAP_FRAME_CHUNKS : CHUNKS - 2 * MAP_FRAME_CHUNKS;
        assert_rc(f, RC_OK,
                  chunk_map_encode(x->chunks + i * MAP_FRAME_CHUNKS, count, x->m->packs, &plain,
                                   &f->err));
        struct xxh128 hash = xxh128_of(f->repo->hash_seed, plain.data, plain.len);
        assert_rc(f, RC_OK,
                  pack_writer_add(w, "f", i, plain.data, (uint32_t)plain.len, &hash,
                                  crc32c(0, plain.data, plain.len), &file->maps[i].frame, &f->err));
    }
    assert_rc(f, RC_OK, pack_writer_finish(w, &id, &bytes, &f->err));
    for (uint32_t i = 0; i < 3; i++)
        file->maps[i].map_pack = pack_table_add(x->m->map_packs, &id, bytes);
    pack_writer_free(w);
}

static void make_mapped(struct repo_fixture *f, struct mapped *x)
{
    x->m = manifest_new();
    str_copy(x->m->backup_id, sizeof x->m->backup_id, "20261121T020000Z");
    struct manifest_file *file = add_file(x->m, "f", (CHUNKS - 1) * (uint64_t)CHUNK_BYTES + 10);
    file->crc32c = 0;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct sha256 id = sha256_of(&i, i % 2 ? 1 : 0);
        x->chunks[i] = (struct chunk){.pack = pack_table_add(x->m->packs, &id, 5),
                                      .offset = 64 + i,
                                      .stored_len = 7,
                                      .crc32c = i * 31};
        uint32_t len = i < CHUNKS - 1 ? CHUNK_BYTES : 10;
        file->crc32c = crc32c_combine(file->crc32c, x->chunks[i].crc32c, len);
    }
    put_map(f, x, file);
}

static enum rc load(struct repo_fixture *f, struct manifest *m, struct chunk *to)
{
    CLEANUP_STAGE struct stage *decoder = NULL;
    struct map_cache cache = MAP_CACHE_INIT;
    assert_rc(f, RC_OK, stage_zstd_decoder(&decoder, &f->err));
    enum rc rc =
        manifest_load_chunks(f->repo, "main", m, &m->files[0], decoder, &cache, to, &f->err);
    map_cache_done(&cache);
    return rc;
}

static void chunks_of_a_large_file(void **state)
{
    struct repo_fixture *f = *state;
    struct mapped *x = calloc(1, sizeof *x);
    struct chunk *got = calloc(CHUNKS, sizeof *got);
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct manifest *m;
    make_mapped(f, x);
    encode(f, x->m, &b);
    assert_rc(f, RC_OK, manifest_decode(b.data, b.len, &m, &f->err));
    assert_rc(f, RC_OK, load(f, m, got));
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_memory_equal(&got[i], &x->chunks[i], sizeof got[i]);

    m->files[0].crc32c ^= 1; /* the maps of some other file */
    assert_rc(f, RC_INTEGRITY, load(f, m, got));
    assert_string_equal(f->err.on, "f");
    m->files[0].crc32c ^= 1;
    m->listed_packs--; /* a map that names a pack that is not in the list */
    assert_rc(f, RC_INTEGRITY, load(f, m, got));
    m->listed_packs++;
    struct pack_ref pack = pack_table_get(m->map_packs, 0);
    flip_object(f, name_pack("main", PACK_MAPS, &pack.id).text, 70);
    assert_rc(f, RC_INTEGRITY, load(f, m, got));
    manifest_free(m);
    manifest_free(x->m);
    free(x);
    free(got);
}

static void many_files(void **state)
{
    struct repo_fixture *f = *state;
    const char *count_text = getenv("PGPROOF_TEST_FILES");
    unsigned count = count_text ? (unsigned)atoi(count_text) : 20000;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 30);
    struct manifest *m = manifest_new(), *again;
    char path[64];
    str_copy(m->backup_id, sizeof m->backup_id, "20261121T020000Z");
    add_dir(m, "base");
    add_dir(m, "base/1");
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof path, "base/1/%u", i);
        one_chunk(m, add_file(m, path, 8192), i / 1000);
    }
    double start = clock_monotonic();
    encode(f, m, &b);
    double middle = clock_monotonic();
    assert_rc(f, RC_OK, manifest_decode(b.data, b.len, &again, &f->err));
    double end = clock_monotonic();
    print_message("%u files: encoded in %.2f s to %zu bytes, decoded in %.2f s\n", count,
                  middle - start, b.len, end - middle);
    assert_int_equal(again->file_count, count + 2);
    manifest_free(m);
    manifest_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(mutations),
        cmocka_unit_test(hostile),
        cmocka_unit_test(never_written),
        cmocka_unit_test(chunks_of_a_large_file),
        cmocka_unit_test(many_files),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
