#include "support/s3_proxied.h"

#include "base/mem.h"
#include "base/str.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *method, *path;
} ops[S3_OPS] = {
    [S3_PUT] = {"put", "PUT", "/object-"},
    [S3_GET] = {"get", "GET", "/object-"},
    [S3_RANGE] = {"range", "GET", "/object-"},
    [S3_HEAD] = {"head", "HEAD", "/object-"},
    [S3_LIST] = {"list", "GET", "list-type=2"},
    [S3_REMOVE] = {"remove", "DELETE", "/object-"},
    [S3_REMOVE_MANY] = {"remove many", "POST", "?delete"},
};

const char *s3_op_name(enum s3_op op)
{
    return ops[op].name;
}

struct proxy_rule s3_rule(enum s3_op op, struct proxy_rule rule)
{
    rule.method = ops[op].method;
    rule.path = ops[op].path;
    return rule;
}

static void read_environment(struct s3_proxied *f)
{
    static unsigned tests;

    snprintf(f->prefix, sizeof(f->prefix), "faults-%d-%u", (int)getpid(), tests++);
    f->options = (struct store_options){
        .type = STORE_S3,
        .s3 = {.endpoint = s3fix_setting("ENDPOINT"),
               .region = s3fix_setting("REGION"),
               .bucket = s3fix_setting("BUCKET"),
               .access_key_id = s3fix_setting("ACCESS_KEY"),
               .secret_access_key = s3fix_setting("SECRET_KEY"),
               .prefix = f->prefix,
               .retry_seconds = S3_PROXIED_RETRY,
               .stall_seconds = S3_PROXIED_STALL},
    };
}

struct store *s3_proxied_open(struct s3_proxied *f, unsigned retry_seconds)
{
    struct store_options o = f->options;
    struct store *s;

    o.s3.retry_seconds = retry_seconds;
    if (store_open(&o, &s, &f->err) != RC_OK)
        fail_msg("could not open the store: %s", f->err.what);
    return s;
}

int s3_proxied_set_up(void **state)
{
    struct s3_proxied *f = mem_zalloc(sizeof(*f));

    *state = f;
    read_environment(f);
    f->got = BUF_INIT(2 * S3_PROXIED_SIZE);
    f->direct = s3_proxied_open(f, S3_PROXIED_RETRY);
    f->proxy = fault_proxy_start(f->options.s3.endpoint);
    f->options.s3.endpoint = fault_proxy_url(f->proxy);
    f->store = s3_proxied_open(f, S3_PROXIED_RETRY);
    if (store_put(f->store, "first", "x", 1, &f->err) != RC_OK)
        fail_msg("could not put: %s (%s)", f->err.what, f->err.on);
    fault_proxy_forget(f->proxy);
    return 0;
}

int s3_proxied_tear_down(void **state)
{
    struct s3_proxied *f = *state;

    store_close(f->store);
    store_close(f->direct);
    fault_proxy_stop(f->proxy);
    buf_done(&f->got);
    free(f);
    return 0;
}

const uint8_t *s3_proxied_bytes(unsigned seed)
{
    static uint8_t bytes[S3_PROXIED_SIZE];
    uint32_t x = seed * 2654435761u + 1;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

/* ---- one operation ---- */

static enum rc do_get(struct s3_proxied *f, struct store *s, uint64_t offset, size_t len)
{
    const uint8_t *all = s3_proxied_bytes(0);
    enum rc rc;

    buf_clear(&f->got);
    rc = len == S3_PROXIED_SIZE ? store_get(s, f->name, &f->got, &f->err)
                                : store_get_range(s, f->name, offset, len, &f->got, &f->err);
    assert_int_equal(f->got.len, rc == RC_OK ? len : 0);
    if (rc == RC_OK)
        assert_memory_equal(f->got.data, all + offset, len);
    return rc;
}

static enum rc do_head(struct s3_proxied *f, struct store *s)
{
    struct store_info info = {0};
    enum rc rc = store_head(s, f->name, &info, &f->err);

    if (rc == RC_OK)
        assert_int_equal(info.size_bytes, S3_PROXIED_SIZE);
    return rc;
}

struct seen {
    const struct s3_proxied *f;
    unsigned count;
};

static enum rc see(void *ctx, const char *name, const struct store_info *info, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    assert_string_equal(name, s->f->name);
    assert_int_equal(info->size_bytes, S3_PROXIED_SIZE);
    s->count++;
    return RC_OK;
}

static enum rc do_list(struct s3_proxied *f, struct store *s)
{
    struct seen seen = {.f = f};
    enum rc rc = store_list(s, f->name, see, &seen, &f->err);

    if (rc == RC_OK)
        assert_int_equal(seen.count, 1);
    return rc;
}

static enum rc do_remove(struct s3_proxied *f, struct store *s, bool many)
{
    const char *names[] = {f->name};
    struct store_info info;
    struct error err;
    enum rc rc = many ? store_remove_many(s, names, 1, NULL, NULL, &f->err)
                      : store_remove(s, f->name, &f->err);

    if (rc == RC_OK)
        assert_int_equal(store_head(f->direct, f->name, &info, &err), RC_NOT_FOUND);
    return rc;
}

static enum rc do_put(struct s3_proxied *f, struct store *s)
{
    enum rc rc = store_put(s, f->name, s3_proxied_bytes(0), S3_PROXIED_SIZE, &f->err);

    if (rc == RC_OK)
        s3_assert_holds(f, f->name, 0);
    return rc;
}

void s3_new_name(struct s3_proxied *f)
{
    static unsigned objects;

    snprintf(f->name, sizeof(f->name), "faults/object-%u", objects++);
}

enum rc s3_do(struct s3_proxied *f, struct store *s, enum s3_op op)
{
    s3_new_name(f);
    if (op != S3_PUT &&
        store_put(f->direct, f->name, s3_proxied_bytes(0), S3_PROXIED_SIZE, &f->err) != RC_OK)
        fail_msg("could not put beside the proxy: %s", f->err.what);
    return s3_do_again(f, s, op);
}

enum rc s3_do_again(struct s3_proxied *f, struct store *s, enum s3_op op)
{
    f->err = (struct error){0};
    switch (op) {
    case S3_PUT:
        return do_put(f, s);
    case S3_GET:
        return do_get(f, s, 0, S3_PROXIED_SIZE);
    case S3_RANGE:
        return do_get(f, s, 100000, 150000);
    case S3_HEAD:
        return do_head(f, s);
    case S3_LIST:
        return do_list(f, s);
    case S3_REMOVE:
        return do_remove(f, s, false);
    case S3_REMOVE_MANY:
        return do_remove(f, s, true);
    default:
        BUG("no such operation");
    }
}

void s3_survives(struct s3_proxied *f, enum s3_op op, struct proxy_rule rule, unsigned hits)
{
    fault_proxy_set(f->proxy, s3_rule(op, rule));
    if (s3_do(f, f->store, op) != RC_OK)
        fail_msg("%s: %s (%s)", s3_op_name(op), f->err.what, rc_name(f->err.rc));
    if (fault_proxy_hits(f->proxy, 0) != hits)
        fail_msg("%s met the fault %u times", s3_op_name(op), fault_proxy_hits(f->proxy, 0));
}

void s3_assert_holds(struct s3_proxied *f, const char *name, unsigned seed)
{
    CLEANUP_BUF struct buf there = BUF_INIT(2 * S3_PROXIED_SIZE);
    struct error err;

    if (store_get(f->direct, name, &there, &err) != RC_OK)
        fail_msg("%s is not there: %s", name, err.what);
    assert_int_equal(there.len, S3_PROXIED_SIZE);
    assert_memory_equal(there.data, s3_proxied_bytes(seed), S3_PROXIED_SIZE);
}

void s3_assert_says(struct s3_proxied *f, const char *word)
{
    CLEANUP_FREE char *all = str_printf("%s | %s | %s", f->err.what, f->err.on, f->err.now);

    assert_true(f->err.what[0] && f->err.on[0] && f->err.now[0]);
    if (!strstr(all, word))
        fail_msg("no '%s' in: %s", word, all);
}
