#include "support/store_contract.h"

#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG_SIZE (9u << 20)

struct fixture {
    const struct store_contract *driver;
    struct store *store;
    struct error err;
};

#define assert_rc(f, expr, expected)                                                               \
    do {                                                                                           \
        enum rc assert_rc_ = (expr);                                                               \
        if (assert_rc_ != (expected))                                                              \
            fail_msg("%s is %s, not %s (%s; %s)", #expr, rc_name(assert_rc_), rc_name(expected),   \
                     assert_rc_ == RC_OK ? "" : (f)->err.what,                                     \
                     assert_rc_ == RC_OK ? "" : (f)->err.on);                                      \
    } while (0)

static struct store *open_one(struct fixture *f)
{
    struct store *s = NULL;

    assert_rc(f, f->driver->open(f->driver->ctx, &s, &f->err), RC_OK);
    return s;
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    f->driver = *state;
    f->driver->begin(f->driver->ctx);
    f->store = open_one(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    f->driver->end(f->driver->ctx);
    free(f);
    return 0;
}

static enum rc put_text(struct fixture *f, const char *name, const char *text)
{
    return store_put(f->store, name, text, strlen(text), &f->err);
}

static void assert_text(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);

    assert_rc(f, store_get(f->store, name, &b, &f->err), RC_OK);
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.data ? b.data : (const uint8_t *)"", text, b.len);
}

/* Bytes that belong to one name, so that a mixed-up or cut object shows. */
static uint8_t *bytes_for(const char *name, size_t len)
{
    uint8_t *data = mem_alloc(len + 8);
    struct sha256 h = sha256_of(name, strlen(name));
    uint64_t state = get_le64(h.bytes) | 1;

    for (size_t i = 0; i < len; i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        put_le64(data + i, state ^ state >> 29);
    }
    return data;
}

/* One listing, as text: "name name name". */
static enum rc note_name(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    struct buf *b = ctx;

    (void)info;
    return buf_printf(b, err, "%s%s", b->len ? " " : "", name);
}

static void assert_list(struct fixture *f, const char *prefix, const char *expected)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    const char *text;

    assert_rc(f, store_list(f->store, prefix, note_name, &b, &f->err), RC_OK);
    assert_rc(f, buf_cstr(&b, &text, &f->err), RC_OK);
    assert_string_equal(text, expected);
}

static void what_is_put_is_got(void **state)
{
    struct fixture *f = *state;

    assert_rc(f, put_text(f, "repository.json", "{}"), RC_OK);
    assert_rc(f, put_text(f, "clusters/main/packs/3f/abc", "frames"), RC_OK);
    assert_text(f, "repository.json", "{}");
    assert_text(f, "clusters/main/packs/3f/abc", "frames");
}

static void get_appends_and_failure_leaves_the_buffer(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);

    assert_rc(f, put_text(f, "a", "one"), RC_OK);
    assert_rc(f, put_text(f, "b", "two"), RC_OK);
    assert_rc(f, store_get(f->store, "a", &b, &f->err), RC_OK);
    assert_rc(f, store_get(f->store, "b", &b, &f->err), RC_OK);
    assert_rc(f, store_get(f->store, "missing", &b, &f->err), RC_NOT_FOUND);
    assert_rc(f, store_get_range(f->store, "a", 1, 3, &b, &f->err), RC_INTEGRITY);
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.data, "onetwo", 6);
}

static void put_never_replaces(void **state)
{
    struct fixture *f = *state;

    assert_rc(f, put_text(f, "d/x", "first"), RC_OK);
    assert_rc(f, put_text(f, "d/x", "second"), RC_EXISTS);
    assert_rc(f, put_text(f, "d/x", "first"), RC_EXISTS);
    assert_text(f, "d/x", "first");
    assert_list(f, "", "d/x");
}

static void other_handles_see_it(void **state)
{
    struct fixture *f = *state;
    struct store *other = open_one(f), *twin = NULL;
    struct store_info info;

    assert_rc(f, store_dup(f->store, &twin, &f->err), RC_OK);
    assert_string_equal(twin->where, f->store->where);
    assert_rc(f, store_put(twin, "d/x", "12345", 5, &f->err), RC_OK);
    assert_rc(f, store_head(other, "d/x", &info, &f->err), RC_OK);
    assert_int_equal(info.size_bytes, 5);
    assert_rc(f, put_text(f, "d/x", ""), RC_EXISTS);
    store_close(f->store); /* the twin lives on */
    f->store = other;
    assert_rc(f, store_put(twin, "d/y", "1", 1, &f->err), RC_OK);
    store_close(twin);
    assert_list(f, "", "d/x d/y");
}

static void an_empty_object_is_an_object(void **state)
{
    struct fixture *f = *state;
    struct store_info info = {.size_bytes = 7};

    assert_rc(f, store_put(f->store, "empty", NULL, 0, &f->err), RC_OK);
    assert_text(f, "empty", "");
    assert_rc(f, store_head(f->store, "empty", &info, &f->err), RC_OK);
    assert_int_equal(info.size_bytes, 0);
    assert_rc(f, put_text(f, "empty", "x"), RC_EXISTS);
    assert_list(f, "", "empty");
}

static void a_big_object_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE uint8_t *data = bytes_for("big", BIG_SIZE);
    CLEANUP_BUF struct buf b = BUF_INIT(BIG_SIZE);

    assert_rc(f, store_put(f->store, "big", data, BIG_SIZE, &f->err), RC_OK);
    assert_rc(f, store_get(f->store, "big", &b, &f->err), RC_OK);
    assert_int_equal(b.len, BIG_SIZE);
    assert_true(memcmp(b.data, data, BIG_SIZE) == 0);
    buf_clear(&b);
    assert_rc(f, store_get_range(f->store, "big", 5000001, 3000000, &b, &f->err), RC_OK);
    assert_int_equal(b.len, 3000000);
    assert_true(memcmp(b.data, data + 5000001, 3000000) == 0);
}

static void ranges_are_exact_or_refused(void **state)
{
    static const struct {
        uint64_t offset;
        size_t len;
        enum rc rc;
    } cases[] = {
        {0, 10, RC_OK},
        {3, 4, RC_OK},
        {9, 1, RC_OK},
        {10, 0, RC_OK},
        {0, 0, RC_OK},
        {0, 11, RC_INTEGRITY},
        {9, 2, RC_INTEGRITY},
        {10, 1, RC_INTEGRITY},
        {11, 0, RC_INTEGRITY},
        {UINT64_MAX, 2, RC_INTEGRITY},
        {2, SIZE_MAX - 1, RC_INTEGRITY},
    };
    struct fixture *f = *state;

    assert_rc(f, put_text(f, "x", "0123456789"), RC_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(100);

        assert_rc(f, store_get_range(f->store, "x", cases[i].offset, cases[i].len, &b, &f->err),
                  cases[i].rc);
        if (cases[i].rc == RC_OK && cases[i].len > 0)
            assert_memory_equal(b.data, "0123456789" + cases[i].offset, cases[i].len);
        assert_int_equal(b.len, cases[i].rc == RC_OK ? cases[i].len : 0);
    }
}

static void an_object_over_the_maximum_is_refused(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf exact = BUF_INIT(10);
    CLEANUP_BUF struct buf small = BUF_INIT(9);
    CLEANUP_BUF struct buf used = BUF_INIT(12);

    assert_rc(f, put_text(f, "x", "0123456789"), RC_OK);
    assert_rc(f, store_get(f->store, "x", &exact, &f->err), RC_OK);
    assert_rc(f, store_get(f->store, "x", &small, &f->err), RC_INTEGRITY);
    assert_rc(f, buf_append(&used, "abc", 3, &f->err), RC_OK);
    assert_rc(f, store_get(f->store, "x", &used, &f->err), RC_INTEGRITY);
    assert_int_equal(used.len, 3);
}

static void what_is_missing_is_not_found(void **state)
{
    static const char *const names[] = {"y", "d/y", "d/x/z", "d/x/z/zz", "no/such/place", "d"};
    struct fixture *f = *state;
    struct store_info info = {.size_bytes = 99};

    assert_rc(f, put_text(f, "d/x", "1"), RC_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(100);

        assert_rc(f, store_get(f->store, names[i], &b, &f->err), RC_NOT_FOUND);
        assert_rc(f, store_get_range(f->store, names[i], 0, 1, &b, &f->err), RC_NOT_FOUND);
        assert_rc(f, store_head(f->store, names[i], &info, &f->err), RC_NOT_FOUND);
        assert_rc(f, store_remove(f->store, names[i], &f->err), RC_NOT_FOUND);
        assert_non_null(strstr(f->err.on, names[i]));
    }
    assert_int_equal(info.size_bytes, 99);
    assert_text(f, "d/x", "1");
}

static void a_lost_storage_is_never_not_found(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;
    unsigned removed;

    assert_rc(f, put_text(f, "d/x", "1"), RC_OK);
    f->driver->lose(f->driver->ctx);
    /* A handle may still reach what it had; but it must not prove absence by it. */
    assert_int_not_equal(store_get(f->store, "d/x", &b, &f->err), RC_NOT_FOUND);
    assert_int_not_equal(store_head(f->store, "d/x", &info, &f->err), RC_NOT_FOUND);
    assert_rc(f, store_get(f->store, "never/there", &b, &f->err), RC_STORAGE);
    assert_rc(f, store_get(f->store, "d/never", &b, &f->err), RC_STORAGE);
    assert_rc(f, store_head(f->store, "d/never", &info, &f->err), RC_STORAGE);
    assert_rc(f, store_remove(f->store, "d/x", &f->err), RC_STORAGE);
    assert_rc(f, store_list(f->store, "", note_name, &b, &f->err), RC_STORAGE);
    assert_rc(f, store_list(f->store, "d/", note_name, &b, &f->err), RC_STORAGE);
    assert_rc(f, put_text(f, "d/y", "1"), RC_STORAGE);
    assert_rc(f, store_sweep(f->store, INT64_MAX, &removed, &f->err), RC_STORAGE);
    assert_true(f->err.what[0] && f->err.on[0] && f->err.now[0]);
}

static void head_tells_size_and_time(void **state)
{
    struct fixture *f = *state;
    moment_us before = clock_now() - 60 * 1000000ll;
    struct store_info info;

    assert_rc(f, put_text(f, "x", "0123456789"), RC_OK);
    assert_rc(f, store_head(f->store, "x", &info, &f->err), RC_OK);
    assert_int_equal(info.size_bytes, 10);
    assert_true(info.modified > before && info.modified < clock_now() + 60 * 1000000ll);
}

static void names_are_checked(void **state)
{
    struct fixture *f = *state;
    char longest[STORE_NAME_MAX + 2], component[258];
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    const char *const bad[] = {
        "",         "/",    "/x",   "x/",     "x//y",  ".",       "..",
        ".x",       "a/.b", "../x", "a/../b", "a b",   "a\nb",    "a\\b",
        "\xc3\xa4", "a:b",  "a%2f", "a*",     longest, component, "x\x7f",
    };

    memset(longest, 'a', sizeof(longest));
    for (size_t i = 100; i < sizeof(longest); i += 100)
        longest[i] = '/';
    longest[STORE_NAME_MAX + 1] = '\0';
    memset(component, 'c', sizeof(component));
    component[256] = '\0';
    longest[STORE_NAME_MAX] = 'z'; /* 1001 bytes */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct store_info info;

        assert_false(store_name_valid(bad[i]));
        assert_rc(f, put_text(f, bad[i], "x"), RC_REFUSED);
        assert_rc(f, store_get(f->store, bad[i], &b, &f->err), RC_REFUSED);
        assert_rc(f, store_head(f->store, bad[i], &info, &f->err), RC_REFUSED);
        assert_rc(f, store_remove(f->store, bad[i], &f->err), RC_REFUSED);
    }
    longest[STORE_NAME_MAX] = '\0';
    longest[STORE_NAME_MAX - 1] = 'z';
    component[f->driver->longest_component ? f->driver->longest_component : 255] = '\0';
    assert_rc(f, put_text(f, longest, "long"), RC_OK);
    assert_rc(f, put_text(f, component, "c"), RC_OK);
    assert_rc(f, put_text(f, "A-Z_0+9=x.y/-/+/=/_", "signs"), RC_OK);
    assert_text(f, longest, "long");
    assert_text(f, component, "c");
    assert_text(f, "A-Z_0+9=x.y/-/+/=/_", "signs");
    assert_list(f, "aaa", longest);
}

static void a_listing_is_sorted_by_name(void **state)
{
    static const char *const names[] = {"b/2", "a-b",   "a/c",  "a.b",  "b/10", "a/b/c",
                                        "B",   "a+b/c", "a/-x", "a=/x", "z",    "a/b-c"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_rc(f, put_text(f, names[i], "x"), RC_OK);
    assert_list(f, "", "B a+b/c a-b a.b a/-x a/b-c a/b/c a/c a=/x b/10 b/2 z");
}

static void a_prefix_is_any_string(void **state)
{
    static const char *const names[] = {"wal/7/00000001/a", "wal/7/00000001/ab", "wal/7/00000002/a",
                                        "wal/70/x", "wax"};
    struct fixture *f = *state;
    char longer[STORE_NAME_MAX * 2];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_rc(f, put_text(f, names[i], "x"), RC_OK);
    assert_list(f, "wal/7/", "wal/7/00000001/a wal/7/00000001/ab wal/7/00000002/a");
    assert_list(f, "wal/7", "wal/7/00000001/a wal/7/00000001/ab wal/7/00000002/a wal/70/x");
    assert_list(f, "wal/7/00000001/a", "wal/7/00000001/a wal/7/00000001/ab");
    assert_list(f, "wal/7/00000001/ab", "wal/7/00000001/ab");
    assert_list(f, "wal/7/0000000", "wal/7/00000001/a wal/7/00000001/ab wal/7/00000002/a");
    assert_list(f, "wa", "wal/7/00000001/a wal/7/00000001/ab wal/7/00000002/a wal/70/x wax");
    assert_list(f, "wax", "wax");
    assert_list(f, "wax/", "");
    assert_list(f, "wal/8/x/y/z", "");
    assert_list(f, "/", "");
    assert_list(f, "../", "");
    assert_list(f, "wal/../wal/", "");
    assert_list(f, "wal//", "");
    assert_list(f, ".", "");
    memset(longer, 'l', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    assert_list(f, longer, "");
    longer[1500] = '/';
    assert_list(f, longer, "");
}

struct stop_after {
    unsigned left;
    struct buf names;
};

static enum rc stop_listing(void *ctx, const char *name, const struct store_info *info,
                            struct error *err)
{
    struct stop_after *s = ctx;

    TRY(note_name(&s->names, name, info, err));
    if (--s->left == 0)
        return error_set(err, RC_BUSY, "enough");
    return RC_OK;
}

static void the_callback_ends_a_listing(void **state)
{
    struct fixture *f = *state;
    struct stop_after s = {.left = 2, .names = BUF_INIT(100)};

    assert_rc(f, put_text(f, "a", "x"), RC_OK);
    assert_rc(f, put_text(f, "b/c", "x"), RC_OK);
    assert_rc(f, put_text(f, "d", "x"), RC_OK);
    assert_rc(f, store_list(f->store, "", stop_listing, &s, &f->err), RC_BUSY);
    assert_string_equal(f->err.what, "enough");
    assert_int_equal(s.names.len, 5);
    assert_memory_equal(s.names.data, "a b/c", 5);
    buf_done(&s.names);
}

static enum rc remove_listed(void *ctx, const char *name, const struct store_info *info,
                             struct error *err)
{
    (void)info;
    return store_remove(ctx, name, err);
}

static void what_is_listed_may_be_removed_at_once(void **state)
{
    struct fixture *f = *state;
    char name[64];

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "d%d/e/%d", i % 4, i);
        assert_rc(f, put_text(f, name, "x"), RC_OK);
    }
    assert_rc(f, store_list(f->store, "", remove_listed, f->store, &f->err), RC_OK);
    assert_list(f, "", "");
}

struct tally {
    unsigned count;
    uint64_t size_bytes;
    char last[STORE_NAME_MAX + 1];
    bool unsorted;
};

static enum rc tally_name(void *ctx, const char *name, const struct store_info *info,
                          struct error *err)
{
    struct tally *t = ctx;

    (void)err;
    t->unsorted |= strcmp(t->last, name) >= 0;
    str_copy(t->last, sizeof(t->last), name);
    t->count++;
    t->size_bytes += info->size_bytes;
    return RC_OK;
}

static void thousands_are_listed(void **state)
{
    struct fixture *f = *state;
    struct tally all = {0}, some = {0};
    unsigned begin_1 = 0;
    char name[64];

    for (unsigned i = 0; i < f->driver->many; i++) {
        unsigned mixed = i * 2654435761u;

        snprintf(name, sizeof(name), "p/%02x/%08x", mixed % 3, mixed);
        begin_1 += mixed % 3 == 1;
        assert_rc(f, store_put(f->store, name, name, i % 5, &f->err), RC_OK);
    }
    assert_rc(f, store_list(f->store, "", tally_name, &all, &f->err), RC_OK);
    assert_int_equal(all.count, f->driver->many);
    assert_int_equal(all.size_bytes, 2 * (f->driver->many / 5 * 5) + 0);
    assert_false(all.unsorted);
    assert_rc(f, store_list(f->store, "p/01", tally_name, &some, &f->err), RC_OK);
    assert_int_equal(some.count, begin_1);
    assert_false(some.unsorted);
}

static void what_is_removed_is_gone(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);

    assert_rc(f, put_text(f, "a/b/c", "old"), RC_OK);
    assert_rc(f, put_text(f, "a/d", "other"), RC_OK);
    assert_rc(f, store_remove(f->store, "a/b/c", &f->err), RC_OK);
    assert_rc(f, store_remove(f->store, "a/b/c", &f->err), RC_NOT_FOUND);
    assert_rc(f, store_get(f->store, "a/b/c", &b, &f->err), RC_NOT_FOUND);
    assert_list(f, "", "a/d");
    assert_rc(f, put_text(f, "a/b", "now an object"), RC_OK);
    assert_text(f, "a/b", "now an object");
}

/* Two that put the same names at the same time: what each was answered. */
#define RACES 150

struct race {
    atomic_uint arrived[RACES];
    enum rc answers[2][RACES];
    char trouble[2][256];
};

static void run_race(struct race *r, struct store *s, int racer)
{
    struct error err;
    char name[64];
    char content[64];

    for (int i = 0; i < RACES; i++) {
        snprintf(name, sizeof(name), "race/%d/x", i);
        snprintf(content, sizeof(content), "racer %d", racer);
        atomic_fetch_add(&r->arrived[i], 1);
        while (atomic_load(&r->arrived[i]) < 2)
            ;
        r->answers[racer][i] = store_put(s, name, content, strlen(content), &err);
        if (r->answers[racer][i] != RC_OK && r->answers[racer][i] != RC_EXISTS)
            snprintf(r->trouble[racer], sizeof(r->trouble[racer]), "%.200s", err.what);
    }
}

static void assert_race(struct fixture *f, const struct race *r)
{
    char name[64];

    for (int i = 0; i < RACES; i++) {
        int winner = r->answers[1][i] == RC_OK;

        if (r->answers[winner][i] != RC_OK || r->answers[!winner][i] != RC_EXISTS)
            fail_msg("race %d: the answers are %s (%s) and %s (%s)", i, rc_name(r->answers[0][i]),
                     r->trouble[0], rc_name(r->answers[1][i]), r->trouble[1]);
        snprintf(name, sizeof(name), "race/%d/x", i);
        assert_text(f, name, winner ? "racer 1" : "racer 0");
    }
}

struct racing_thread {
    struct race *race;
    struct store *store;
    int racer;
};

static void *race_in_thread(void *arg)
{
    struct racing_thread *t = arg;

    run_race(t->race, t->store, t->racer);
    return NULL;
}

static void of_two_threads_one_wins(void **state)
{
    struct fixture *f = *state;
    struct race *r = mem_zalloc(sizeof(*r));
    struct racing_thread threads[2];
    pthread_t ids[2];

    for (int i = 0; i < 2; i++) {
        threads[i] = (struct racing_thread){.race = r, .racer = i};
        assert_rc(f, store_dup(f->store, &threads[i].store, &f->err), RC_OK);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, race_in_thread, &threads[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(ids[i], NULL);
        store_close(threads[i].store);
    }
    assert_race(f, r);
    free(r);
}

static pid_t fork_child(void)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    return pid;
}

static void of_two_processes_one_wins(void **state)
{
    struct fixture *f = *state;
    struct race *r =
        mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct store *child_store = open_one(f);
    int status;
    pid_t pid;

    assert_ptr_not_equal(r, MAP_FAILED);
    pid = fork_child();
    if (pid == 0) {
        run_race(r, child_store, 1);
        _exit(0);
    }
    run_race(r, f->store, 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    store_close(child_store);
    assert_race(f, r);
    munmap(r, sizeof(*r));
}

/* Puts objects until it is killed. */
#define KILLED_SIZE (3u << 20)

static _Noreturn void put_for_ever(struct store *s, int round)
{
    struct error err;

    for (int i = 0;; i++) {
        char name[64];
        uint8_t *data;

        snprintf(name, sizeof(name), "killed/%d/%d", round, i);
        data = bytes_for(name, KILLED_SIZE);
        if (store_put(s, name, data, KILLED_SIZE, &err) != RC_OK)
            _exit(1);
        free(data);
    }
}

static enum rc check_whole(void *ctx, const char *name, const struct store_info *info,
                           struct error *err)
{
    struct fixture *f = ctx;
    CLEANUP_BUF struct buf b = BUF_INIT(KILLED_SIZE);
    CLEANUP_FREE uint8_t *data = bytes_for(name, KILLED_SIZE);

    assert_int_equal(info->size_bytes, KILLED_SIZE);
    TRY(store_get(f->store, name, &b, err));
    assert_int_equal(b.len, KILLED_SIZE);
    assert_true(memcmp(b.data, data, KILLED_SIZE) == 0);
    return RC_OK;
}

static void a_killed_writer_leaves_nothing_visible(void **state)
{
    struct fixture *f = *state;
    struct tally before = {0}, after = {0};
    unsigned removed = 12345;

    for (int round = 0; round < 6; round++) {
        struct store *child_store = open_one(f);
        int status;
        pid_t pid = fork_child();

        if (pid == 0)
            put_for_ever(child_store, round);
        usleep(20000 + 7001 * (unsigned)round);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        store_close(child_store);
    }
    assert_rc(f, store_list(f->store, "", check_whole, f, &f->err), RC_OK);
    assert_rc(f, store_list(f->store, "", tally_name, &before, &f->err), RC_OK);
    assert_rc(f, store_sweep(f->store, clock_now() + 60 * 1000000ll, &removed, &f->err), RC_OK);
    assert_int_not_equal(removed, 12345);
    assert_rc(f, store_list(f->store, "", tally_name, &after, &f->err), RC_OK);
    assert_int_equal(before.count, after.count);
    assert_rc(f, put_text(f, "next", "works"), RC_OK);
}

static void a_sweep_never_removes_objects(void **state)
{
    struct fixture *f = *state;
    unsigned removed = 12345;

    assert_rc(f, store_sweep(f->store, INT64_MAX, &removed, &f->err), RC_OK);
    assert_int_equal(removed, 0);
    assert_rc(f, put_text(f, "a/b", "1"), RC_OK);
    assert_rc(f, store_sweep(f->store, INT64_MAX, &removed, &f->err), RC_OK);
    assert_int_equal(removed, 0);
    assert_text(f, "a/b", "1");
}

/* One puts and removes where another does too: directories come and go under both. */
#define BUSY_ROUNDS 300

static enum rc put_and_remove(struct store *s, int who, struct error *err)
{
    char name[64];

    for (int i = 0; i < BUSY_ROUNDS; i++) {
        snprintf(name, sizeof(name), "busy/%d/deep/%d-%d", i % 3, who, i);
        TRY(store_put(s, name, "x", 1, err));
        TRY(store_remove(s, name, err));
    }
    return RC_OK;
}

static void puts_and_removals_get_along(void **state)
{
    struct fixture *f = *state;
    struct store *child_store = open_one(f);
    int status;
    pid_t pid = fork_child();

    if (pid == 0) {
        struct error err;
        enum rc rc = put_and_remove(child_store, 1, &err);

        if (rc != RC_OK)
            fprintf(stderr, "the other process: %s: %s\n", err.what, err.on);
        _exit(rc != RC_OK);
    }
    assert_rc(f, put_and_remove(f->store, 0, &f->err), RC_OK);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    store_close(child_store);
    assert_list(f, "", "");
}

#define CONTRACT_TEST(function)                                                                    \
    {                                                                                              \
        .name = #function, .test_func = (function), .setup_func = set_up,                          \
        .teardown_func = tear_down                                                                 \
    }

static const struct CMUnitTest contract_tests[] = {
    CONTRACT_TEST(what_is_put_is_got),
    CONTRACT_TEST(get_appends_and_failure_leaves_the_buffer),
    CONTRACT_TEST(put_never_replaces),
    CONTRACT_TEST(other_handles_see_it),
    CONTRACT_TEST(an_empty_object_is_an_object),
    CONTRACT_TEST(a_big_object_comes_back_whole),
    CONTRACT_TEST(ranges_are_exact_or_refused),
    CONTRACT_TEST(an_object_over_the_maximum_is_refused),
    CONTRACT_TEST(what_is_missing_is_not_found),
    CONTRACT_TEST(a_lost_storage_is_never_not_found),
    CONTRACT_TEST(head_tells_size_and_time),
    CONTRACT_TEST(names_are_checked),
    CONTRACT_TEST(a_listing_is_sorted_by_name),
    CONTRACT_TEST(a_prefix_is_any_string),
    CONTRACT_TEST(the_callback_ends_a_listing),
    CONTRACT_TEST(what_is_listed_may_be_removed_at_once),
    CONTRACT_TEST(thousands_are_listed),
    CONTRACT_TEST(what_is_removed_is_gone),
    CONTRACT_TEST(of_two_threads_one_wins),
    CONTRACT_TEST(of_two_processes_one_wins),
    CONTRACT_TEST(a_killed_writer_leaves_nothing_visible),
    CONTRACT_TEST(a_sweep_never_removes_objects),
    CONTRACT_TEST(puts_and_removals_get_along),
};

#define CONTRACT_COUNT (sizeof(contract_tests) / sizeof(contract_tests[0]))

static const char *why_left_out(const struct store_contract *driver, const char *test)
{
    for (const struct store_contract_gap *g = driver->gaps; g && g->test; g++)
        if (str_eq(g->test, test))
            return g->why;
    return NULL;
}

int store_contract_run(const struct store_contract *driver)
{
    struct CMUnitTest tests[CONTRACT_COUNT];
    char *names[CONTRACT_COUNT];
    size_t count = 0;
    int failures;

    for (size_t i = 0; i < CONTRACT_COUNT; i++) {
        const char *why = why_left_out(driver, contract_tests[i].name);

        if (why) {
            printf("%s: NOT RUN: %s: %s\n", driver->name, contract_tests[i].name, why);
            continue;
        }
        tests[count] = contract_tests[i];
        names[count] = str_printf("%s: %s", driver->name, contract_tests[i].name);
        tests[count].name = names[count];
        tests[count++].initial_state = (void *)driver;
    }
    failures = _cmocka_run_group_tests(driver->name, tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return failures;
}
