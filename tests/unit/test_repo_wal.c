/* WAL in the repository: durable once, never replaced, never mistaken. */
#include "repo_fixture.h"

#include "repo/wal_object.h"

#include <stdio.h>

#define SEGMENT "0000000A000000A70000003C"
#define BYTES   (16u << 20)

static struct wal_info info_of(const char *file)
{
    struct wal_info info = {.system_identifier = SYSTEM_ID, .segment_bytes = BYTES};
    str_copy(info.file, sizeof info.file, file);
    return info;
}

static enum rc put(struct repo_fixture *f, const char *file, const char *content,
                   bool *ret_was_there)
{
    struct wal_info info = info_of(file);
    return wal_put(f->repo, "main", &info, content, strlen(content), 3, ret_was_there, &f->err);
}

static void assert_content(struct repo_fixture *f, const char *file, const char *content)
{
    struct wal_info info;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    assert_rc(f, RC_OK, buf_append(&b, "<", 1, &f->err));
    assert_rc(f, RC_OK, wal_get(f->repo, "main", SYSTEM_ID, file, &info, &b, &f->err));
    assert_int_equal(b.len, 1 + strlen(content));
    assert_memory_equal(b.data + 1, content, strlen(content));
    assert_string_equal(info.file, file);
    assert_int_equal(info.segment_bytes, BYTES);
    assert_int_equal(info.plain_len, strlen(content));
    assert_true(info.pushed_by[0] && info.pushed > 0);
}

static void every_kind(void **state)
{
    struct repo_fixture *f = *state;
    static const char *const files[] = {SEGMENT, SEGMENT ".partial", SEGMENT ".00000028.backup",
                                        "0000000A.history"};
    for (size_t i = 0; i < 4; i++) {
        bool was_there = true;
        assert_rc(f, RC_OK, put(f, files[i], files[i], &was_there));
        assert_false(was_there);
        assert_content(f, files[i], files[i]);
    }
    bool was_there;
    assert_rc(f, RC_OK, put(f, "0000000B.history", "", &was_there));
    assert_content(f, "0000000B.history", "");
    assert_rc(f, RC_USAGE, put(f, "../../x", "x", &was_there));
}

/* docs/format.md, section 8, with the numbers as they stand there. */
static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    assert_rc(f, RC_OK, put(f, SEGMENT, "content", &(bool){0}));
    read_object(f, name_wal("main", SYSTEM_ID, SEGMENT).text, &b);
    struct sha256 digest = sha256_of(b.data, b.len - 32);
    assert_memory_equal(b.data + b.len - 32, digest.bytes, 32);
    assert_memory_equal(b.data, "pgpWAL_1\1\0\0\0", 12);
    assert_int_equal(get_le16(b.data + 32), 3);
    const uint8_t *s = b.data + 40;
    assert_true(get_le64(s + 16) == SYSTEM_ID);
    assert_int_equal(get_le32(s + 24), BYTES);
    assert_true(get_le64(s + 32) == 7);
    struct xxh128 hash = xxh128_of(f->repo->hash_seed, "content", 7);
    assert_memory_equal(s + 40, hash.bytes, 16);
    assert_true((int64_t)get_le64(s + 56) <= clock_now());
    assert_int_equal(get_le16(s + 64), 24);
    assert_memory_equal(s + 66, SEGMENT, 24);
    assert_int_equal(get_le32(b.data + get_le32(b.data + 12)), 0xfd2fb528); /* zstd begins */
}

static void the_same_again(void **state)
{
    struct repo_fixture *f = *state;
    bool was_there = false;
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &was_there));
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &was_there));
    assert_true(was_there);
}

static void never_replaced(void **state)
{
    struct repo_fixture *f = *state;
    static const char *const files[] = {SEGMENT, SEGMENT ".partial", "0000000A.history"};
    for (size_t i = 0; i < 3; i++) {
        bool was_there = false;
        assert_rc(f, RC_OK, put(f, files[i], "one", &was_there));
        assert_rc(f, RC_INTEGRITY, put(f, files[i], "two", &was_there));
        assert_non_null(strstr(f->err.what, "another content"));
        assert_true(f->err.on[0] && f->err.now[0]);
        assert_rc(f, RC_INTEGRITY, put(f, files[i], "onetwo", &was_there));
        assert_content(f, files[i], "one");
    }
}

static void a_lost_answer(void **state)
{
    struct repo_fixture *f = *state;
    bool was_there = false;
    f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = 1, .mode = FAULT_FAIL_AFTER};
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &was_there));
    f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = 1, .mode = FAULT_OUTAGE};
    assert_rc(f, RC_STORAGE, put(f, "0000000A.history", "one", &was_there));
    /* Someone else's content behind a lost answer is no success. */
    f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = 1, .mode = FAULT_FAIL};
    assert_rc(f, RC_INTEGRITY, put(f, SEGMENT, "two", &was_there));
    /* What can't be compared is no success either. */
    f->plan = (struct fault_plan){.operation = FAULT_GET, .at = 1, .mode = FAULT_FAIL};
    assert_rc(f, RC_STORAGE, put(f, SEGMENT, "one", &was_there));
}

static void absence_and_outage(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct wal_info info;
    assert_rc(f, RC_NOT_FOUND, wal_get(f->repo, "main", SYSTEM_ID, SEGMENT, &info, &b, &f->err));
    f->plan = (struct fault_plan){.operation = FAULT_GET, .at = 1, .mode = FAULT_FAIL};
    assert_rc(f, RC_STORAGE, wal_get(f->repo, "main", SYSTEM_ID, SEGMENT, &info, &b, &f->err));
    assert_rc(f, RC_USAGE, wal_get(f->repo, "main", SYSTEM_ID, "x/../y", &info, &b, &f->err));
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &(bool){0}));
    assert_rc(f, RC_NOT_FOUND,
              wal_get(f->repo, "main", SYSTEM_ID + 1, SEGMENT, &info, &b, &f->err));
    assert_int_equal(b.len, 0);
}

static void swapped(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20), plain = BUF_INIT(1u << 20);
    struct wal_info info;
    static const char other[] = "0000000A000000A70000003D";
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &(bool){0}));
    read_object(f, name_wal("main", SYSTEM_ID, SEGMENT).text, &b);
    assert_rc(
        f, RC_OK,
        store_put(f->repo->store, name_wal("main", SYSTEM_ID, other).text, b.data, b.len, &f->err));
    assert_rc(f, RC_OK,
              store_put(f->repo->store, name_wal("main", 7, SEGMENT).text, b.data, b.len, &f->err));
    assert_rc(f, RC_INTEGRITY, wal_get(f->repo, "main", SYSTEM_ID, other, &info, &plain, &f->err));
    assert_rc(f, RC_INTEGRITY, wal_get(f->repo, "main", 7, SEGMENT, &info, &plain, &f->err));
    assert_int_equal(plain.len, 0);
    f->repo->id[0] = f->repo->id[0] == '0' ? '1' : '0';
    enum rc rc = wal_get(f->repo, "main", SYSTEM_ID, SEGMENT, &info, &plain, &f->err);
    assert_int_equal(rc, RC_INTEGRITY);
    assert_non_null(strstr(f->err.what, "another repository"));
}

static void a_damaged_one_is_not_ours(void **state)
{
    struct repo_fixture *f = *state;
    bool was_there = false;
    assert_rc(f, RC_OK, put(f, SEGMENT, "one", &was_there));
    flip_object(f, name_wal("main", SYSTEM_ID, SEGMENT).text, 90);
    assert_rc(f, RC_INTEGRITY, put(f, SEGMENT, "one", &was_there));
    assert_non_null(strstr(f->err.what, "damaged"));
}

static void refuse(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    struct wal_info info;
    CLEANUP_BUF struct buf plain = BUF_INIT(1u << 20);
    if (wal_decode(f->repo, data, len, &info, &plain, &f->err) != RC_INTEGRITY)
        fail_msg("accepted: %s", what);
    assert_int_equal(plain.len, 0);
    assert_int_equal(wal_decode(f->repo, data, len, &info, NULL, &f->err), RC_INTEGRITY);
}

/* The same with the digest made right again: what is behind it must stand on its own feet. */
static void no_crash(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    struct wal_info info;
    CLEANUP_BUF struct buf plain = BUF_INIT(1u << 20);
    if (len < 32)
        return;
    uint8_t *copy = malloc(len);
    memcpy(copy, data, len);
    struct sha256 digest = sha256_of(copy, len - 32);
    memcpy(copy + len - 32, digest.bytes, 32);
    enum rc rc = wal_decode(f->repo, copy, len, &info, &plain, &f->err);
    if (rc == RC_OK && (plain.len != 300 || plain.data[0] != 'w' || plain.data[299] != 'w'))
        fail_msg("other content accepted: %s", what);
    if (rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG && rc != RC_NOMEM)
        fail_msg("%s: %s", what, rc_name(rc));
    free(copy);
}

static void mutations(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    char content[301] = {0};
    memset(content, 'w', 300);
    assert_rc(f, RC_OK, put(f, SEGMENT, content, &(bool){0}));
    read_object(f, name_wal("main", SYSTEM_ID, SEGMENT).text, &b);
    each_mutation(b.data, b.len, refuse, f);
    each_mutation(b.data, b.len, no_crash, f);
}

static void listing(void **state)
{
    struct repo_fixture *f = *state;
    struct wal_list *l;
    bool was_there;
    static const char *const files[] = {
        "0000000B0000000000000001",
        "00000001000000000000000F",
        "000000010000000000000010",
        "0000000100000000000000FF",
        "000000010000000100000000",
        "000000010000000100000001.partial",
        "000000010000000100000000.00000028.backup",
        "00000002.history",
        "0000000B.history",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_rc(f, RC_OK, put(f, files[i], "x", &was_there));
    assert_rc(
        f, RC_OK,
        store_put(f->repo->store, "clusters/main/wal/7301234567890123456/junk", "x", 1, &f->err));
    assert_rc(
        f, RC_OK,
        store_put(
            f->repo->store,
            "clusters/main/wal/7301234567890123456/00000001/00000009/000000010000000000000011", "x",
            1, &f->err));
    assert_rc(f, RC_OK, wal_list_load(f->repo, "main", SYSTEM_ID, BYTES, &l, &f->err));
    assert_int_equal(l->segment_count, 5);
    assert_int_equal(l->segments[0].number, 0x0f);
    assert_int_equal(l->segments[2].number, 0xff);
    assert_int_equal(l->segments[3].number, 0x100);
    assert_int_equal(l->segments[4].timeline, 11); /* hexadecimal */
    assert_int_equal(l->history_count, 2);
    assert_int_equal(l->histories[1], 11);
    assert_non_null(wal_list_find(l, 1, 0x100));
    assert_null(wal_list_find(l, 1, 0x101)); /* only a .partial */
    assert_null(wal_list_find(l, 1, 0x11));  /* not where it should be */
    assert_null(wal_list_find(l, 2, 0x100));
    assert_true(l->segments[0].stored_bytes > 0 && l->segments[0].stored > 0);
    wal_list_free(l);

    assert_rc(f, RC_OK, wal_list_load(f->repo, "main", SYSTEM_ID, 64u << 20, &l, &f->err));
    assert_int_equal(l->segment_count, 4); /* …FF is no name where segments are 64 MB */
    assert_int_equal(wal_list_find(l, 1, 64)->number, 64);
    wal_list_free(l);
    assert_rc(f, RC_OK, wal_list_load(f->repo, "main", 1, BYTES, &l, &f->err));
    assert_int_equal(l->segment_count, 0);
    assert_null(wal_list_find(l, 1, 1));
    wal_list_free(l);
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_kind),     CASE(as_documented),
        CASE(the_same_again), CASE(never_replaced),
        CASE(a_lost_answer),  CASE(absence_and_outage),
        CASE(swapped),        CASE(a_damaged_one_is_not_ours),
        CASE(mutations),      CASE(listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
