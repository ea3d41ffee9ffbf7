/*
 * A worker keeps its one connection over everything that it does, whatever the answers are. Seen
 * from a TLS front's log, where a connection costs most.
 */
#include "base/mem.h"
#include "base/pool.h"
#include "support/front.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define WORKERS    3
#define OBJECTS    30
#define LARGE_SIZE ((3u << 20) + 1) /* long enough to ask the server before the body is sent */

struct workers {
    struct store *stores[WORKERS];
    struct buf got[WORKERS];
    const uint8_t *large;
};

static struct store *open_through(struct front *f)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    struct store *s;
    struct error e;

    o.s3.endpoint = front_url(f);
    o.s3.ca_file = front_file(f, "ca.crt");
    if (store_open(&o, &s, &e) != RC_OK)
        fail_msg("%s", e.what);
    return s;
}

/* In a thread of the pool, where cmocka can't fail: an answer that is not as expected is an error.
 */
static enum rc expect(enum rc is, enum rc should, const char *what, struct error *err)
{
    if (is == should)
        return RC_OK;
    if (is != RC_OK)
        return error_prefix(err, "%s", what);
    return error_set(err, RC_INTEGRITY, "%s gave RC_OK", what);
}

static enum rc live_of_an_object(struct store *s, const char *name, const void *data, size_t len,
                                 struct buf *got, struct error *err)
{
    struct store_info info;

    TRY(expect(store_put(s, name, data, len, err), RC_OK, "put", err));
    TRY(expect(store_put(s, name, "other", 5, err), RC_EXISTS, "a second put", err));
    TRY(expect(store_head(s, name, &info, err), RC_OK, "head", err));
    buf_clear(got);
    TRY(expect(store_get(s, name, got, err), RC_OK, "get", err));
    if (got->len != len || memcmp(got->data, data, len) != 0)
        return error_set(err, RC_INTEGRITY, "other bytes came back");
    TRY(expect(store_get_range(s, name, 1, 2, got, err), RC_OK, "a range", err));
    TRY(expect(store_remove(s, name, err), RC_OK, "removal", err));
    return expect(store_get(s, name, got, err), RC_NOT_FOUND, "get of nothing", err);
}

static enum rc work(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct workers *w = ctx;
    uintptr_t number = (uintptr_t)item;
    char name[32];

    if (!item)
        return RC_OK;
    snprintf(name, sizeof(name), "connections/%u", (unsigned)number);
    return live_of_an_object(w->stores[worker], name, w->large, number % 3 ? 1000 : LARGE_SIZE,
                             &w->got[worker], err);
}

static enum rc work_on_all(struct workers *w, struct error *err)
{
    struct pool *pool;

    TRY(pool_new(WORKERS, WORKERS, work, w, &pool, err));
    for (uintptr_t i = 1; i <= OBJECTS; i++)
        if (pool_submit(pool, (void *)i, err) != RC_OK)
            break;
    return pool_finish(pool, err);
}

static void a_worker_keeps_its_connection(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);
    CLEANUP_FREE uint8_t *large = mem_zalloc(LARGE_SIZE);
    struct workers w = {.large = large};
    struct error e;

    (void)state;
    w.stores[0] = open_through(f);
    for (unsigned i = 1; i < WORKERS; i++)
        assert_int_equal(store_dup(w.stores[0], &w.stores[i], &e), RC_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        w.got[i] = BUF_INIT(LARGE_SIZE + 2);
    assert_int_equal(front_connections(f), 0); /* opening asks nothing */
    if (work_on_all(&w, &e) != RC_OK)
        fail_msg("%s (%s)", e.what, e.on);
    assert_in_range(front_connections(f), 1, WORKERS); /* a slow thread may have got no object */
    for (unsigned i = 0; i < WORKERS; i++) {
        store_close(w.stores[i]);
        buf_done(&w.got[i]);
    }
}

static void one_handle_has_one_connection(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);
    CLEANUP_STORE struct store *s = open_through(f);
    CLEANUP_BUF struct buf got = BUF_INIT(LARGE_SIZE + 2);
    CLEANUP_FREE uint8_t *large = mem_zalloc(LARGE_SIZE);
    struct error e;

    (void)state;
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];

        snprintf(name, sizeof(name), "connections/%u", i);
        if (live_of_an_object(s, name, large, i % 3 ? 1000 : LARGE_SIZE, &got, &e) != RC_OK)
            fail_msg("%s (%s)", e.what, e.on);
    }
    assert_int_equal(front_connections(f), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_handle_has_one_connection, front_stop_all),
        cmocka_unit_test_teardown(a_worker_keeps_its_connection, front_stop_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
