/* The pool: everything is worked on once, the first error stops it, the flush comes last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

struct counts {
    atomic_int items, flushes, sum;
    int fail_at;
};

static enum rc count(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct counts *c = ctx;

    assert_true(worker < 3);
    if (!item) {
        c->flushes++;
        return RC_OK;
    }
    c->items++;
    c->sum += *(int *)item;
    if (*(int *)item == c->fail_at)
        return error_set(err, RC_INTEGRITY, "item %d", *(int *)item);
    return RC_OK;
}

static void every_item_once(void **state)
{
    struct counts c = {.fail_at = -1};
    struct error err;
    struct pool *p;
    int numbers[1000], expected = 0;

    (void)state;
    assert_int_equal(pool_new(3, 4, count, &c, &p, &err), RC_OK);
    for (int i = 0; i < 1000; i++) {
        numbers[i] = i;
        expected += i;
        assert_int_equal(pool_submit(p, &numbers[i], &err), RC_OK);
    }
    assert_int_equal(pool_finish(p, &err), RC_OK);
    assert_int_equal(c.items, 1000);
    assert_int_equal(c.sum, expected);
    assert_int_equal(c.flushes, 3);
}

static void first_error_stops(void **state)
{
    struct counts c = {.fail_at = 17};
    struct error err = {0};
    struct pool *p;
    int numbers[1000], submitted = 0;

    (void)state;
    assert_int_equal(pool_new(3, 4, count, &c, &p, &err), RC_OK);
    for (int i = 0; i < 1000; i++) {
        numbers[i] = i;
        if (pool_submit(p, &numbers[i], &err) != RC_OK)
            break;
        submitted++;
    }
    assert_true(submitted < 1000);
    memset(&err, 0, sizeof(err));
    assert_int_equal(pool_finish(p, &err), RC_INTEGRITY);
    assert_string_equal(err.what, "item 17");
    assert_true(c.flushes == 0);
}

static void aborted_without_flush(void **state)
{
    struct counts c = {.fail_at = -1};
    struct error err;
    struct pool *p;
    int one = 1;

    (void)state;
    assert_int_equal(pool_new(3, 4, count, &c, &p, &err), RC_OK);
    assert_int_equal(pool_submit(p, &one, &err), RC_OK);
    pool_abort(p);
    pool_abort(NULL);
    assert_int_equal(c.flushes, 0);
}

/* A worker that returns a failure but forgets to fill in the error must not pass for success. */
static enum rc fail_silently(void *ctx, unsigned worker, void *item, struct error *err)
{
    (void)ctx, (void)worker, (void)item, (void)err;
    return RC_STORAGE;
}

static void silent_failures_count(void **state)
{
    struct error err;
    struct pool *p;
    int one = 1;

    (void)state;
    assert_int_equal(pool_new(1, 1, fail_silently, NULL, &p, &err), RC_OK);
    assert_int_equal(pool_submit(p, &one, &err), RC_OK);
    assert_int_equal(pool_finish(p, &err), RC_STORAGE);
}

static enum rc fail_late(void *ctx, unsigned worker, void *item, struct error *err)
{
    atomic_int *flushes = ctx;

    (void)worker;
    if (!item) {
        (*flushes)++;
        return RC_OK;
    }
    clock_sleep_ms(100); /* pool_finish is waiting by now */
    return error_set(err, RC_STORAGE, "late");
}

static void no_flush_after_a_late_failure(void **state)
{
    atomic_int flushes = 0;
    struct error err;
    struct pool *p;
    int one = 1;

    (void)state;
    assert_int_equal(pool_new(1, 1, fail_late, &flushes, &p, &err), RC_OK);
    assert_int_equal(pool_submit(p, &one, &err), RC_OK);
    assert_int_equal(pool_finish(p, &err), RC_STORAGE);
    assert_int_equal(flushes, 0);
}

static enum rc fail_at_flush(void *ctx, unsigned worker, void *item, struct error *err)
{
    (void)ctx, (void)worker;
    return item ? RC_OK : error_set(err, RC_STORAGE, "last pack");
}

static void failed_flushes_count(void **state)
{
    struct error err;
    struct pool *p;
    int one = 1;

    (void)state;
    assert_int_equal(pool_new(2, 1, fail_at_flush, NULL, &p, &err), RC_OK);
    assert_int_equal(pool_submit(p, &one, &err), RC_OK);
    assert_int_equal(pool_finish(p, &err), RC_STORAGE);
    assert_string_equal(err.what, "last pack");
}

/* Workers stand still until the gate opens; counts what the producer could hand in meanwhile. */
struct gate {
    atomic_bool open;
    atomic_int submitted;
};

static enum rc wait_at_gate(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct gate *g = ctx;
    sigset_t blocked;

    (void)worker, (void)err;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    assert_true(sigismember(&blocked, SIGTERM)); /* signals go to the main thread */
    while (item && !g->open)
        clock_sleep_ms(1);
    return RC_OK;
}

static void *open_later(void *arg)
{
    struct gate *g = arg;

    clock_sleep_ms(100);
    int stuck_at = g->submitted;
    g->open = true;
    return (void *)(intptr_t)stuck_at;
}

static void a_fast_producer_waits(void **state)
{
    struct gate g = {0};
    struct error err;
    struct pool *p;
    pthread_t opener;
    void *stuck_at;
    int one = 1;

    (void)state;
    assert_int_equal(pthread_create(&opener, NULL, open_later, &g), 0);
    assert_int_equal(pool_new(2, 3, wait_at_gate, &g, &p, &err), RC_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pool_submit(p, &one, &err), RC_OK);
        g.submitted++;
    }
    assert_int_equal(pool_finish(p, &err), RC_OK);
    assert_int_equal(pthread_join(opener, &stuck_at), 0);
    assert_int_equal((intptr_t)stuck_at, 5); /* two in work, three in the queue */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once),
        cmocka_unit_test(first_error_stops),
        cmocka_unit_test(aborted_without_flush),
        cmocka_unit_test(silent_failures_count),
        cmocka_unit_test(no_flush_after_a_late_failure),
        cmocka_unit_test(failed_flushes_count),
        cmocka_unit_test(a_fast_producer_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
