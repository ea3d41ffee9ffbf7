/* A repository in a private directory, and bytes made worse: what the tests of lib/repo share. */
#ifndef PGPROOF_TESTS_UNIT_REPO_FIXTURE_H
#define PGPROOF_TESTS_UNIT_REPO_FIXTURE_H

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/names.h"
#include "repo/repository.h"
#include "support/store_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SYSTEM_ID UINT64_C(7301234567890123456)

struct repo_fixture {
    char dir[256];
    struct repo *repo;
    struct fault_plan plan; /* set .at to let an operation fail */
    struct error err;
};

#define assert_rc(fixture, expected, call)                                                         \
    do {                                                                                           \
        memset(&(fixture)->err, 0, sizeof(fixture)->err);                                          \
        enum rc is_ = (call);                                                                      \
        if (is_ != (expected))                                                                     \
            fail_msg("%s: %s instead of %s: %s (%s)", #call, rc_name(is_), rc_name(expected),      \
                     (fixture)->err.what, (fixture)->err.on);                                      \
    } while (0)

static struct store *fixture_store(struct repo_fixture *f)
{
    struct store_options o = {.type = STORE_POSIX, .path = f->dir};
    struct store *s;
    assert_rc(f, RC_OK, store_open(&o, &s, &f->err));
    return s;
}

static inline struct repo *fixture_open(struct repo_fixture *f)
{
    struct repo *r;
    f->plan = (struct fault_plan){.mode = FAULT_FAIL};
    assert_rc(f, RC_OK, repo_open(store_fault_wrap(fixture_store(f), &f->plan), &r, &f->err));
    return r;
}

static inline int fixture_setup(void **state)
{
    struct repo_fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/pgproof-repo-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    struct store *s = fixture_store(f);
    assert_rc(f, RC_OK, repo_create(s, &f->err));
    store_close(s);
    f->repo = fixture_open(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct repo_fixture *f = *state;
    repo_close(f->repo);
    assert_rc(f, RC_OK, file_remove_tree(f->dir, &f->err));
    free(f);
    return 0;
}

/* The file behind an object. */
static inline char *object_path(const struct repo_fixture *f, const char *name)
{
    return path_join(f->dir, name);
}

static inline void read_object(struct repo_fixture *f, const char *name, struct buf *to)
{
    buf_clear(to);
    assert_rc(f, RC_OK, store_get(f->repo->store, name, to, &f->err));
}

/* Behind the store's back. */
static inline void overwrite_object(struct repo_fixture *f, const char *name, const void *data,
                                    size_t len)
{
    char *path = object_path(f, name);
    assert_rc(f, RC_OK, file_replace(path, data, len, 0600, &f->err));
    free(path);
}

static inline void flip_object(struct repo_fixture *f, const char *name, size_t at)
{
    struct buf b = BUF_INIT(64u << 20);
    read_object(f, name, &b);
    assert_true(at < b.len);
    b.data[at] ^= 1;
    overwrite_object(f, name, b.data, b.len);
    buf_done(&b);
}

static inline bool object_exists(struct repo_fixture *f, const char *name)
{
    char *path = object_path(f, name);
    bool is = file_exists(path);
    free(path);
    return is;
}

/*
 * Calls fn with every truncation, with every byte changed in two ways, and with a byte more. The
 * copies are exactly as long as they say, so that the address sanitizer sees every read beyond.
 */
typedef void mutation_fn(void *ctx, const uint8_t *data, size_t len, const char *what);

static inline void try_mutation(mutation_fn *fn, void *ctx, const uint8_t *data, size_t len,
                                size_t at, uint8_t with, const char *kind)
{
    char what[64];
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    if (at < len)
        copy[at] ^= with;
    snprintf(what, sizeof what, "%s at %zu", kind, at);
    fn(ctx, copy, len, what);
    free(copy);
}

static inline void each_mutation(const void *data, size_t len, mutation_fn *fn, void *ctx)
{
    for (size_t i = 0; i < len; i++) {
        try_mutation(fn, ctx, data, i, i, 0, "cut");
        try_mutation(fn, ctx, data, len, i, 0x01, "bit flipped");
        try_mutation(fn, ctx, data, len, i, 0xff, "byte inverted");
    }
    uint8_t *longer = calloc(1, len + 1);
    memcpy(longer, data, len);
    try_mutation(fn, ctx, longer, len + 1, len + 1, 0, "a byte more");
    free(longer);
}

#endif
