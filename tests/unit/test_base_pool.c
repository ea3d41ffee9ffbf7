/* The pool: everything is worked on once, the first error stops it, the flush comes last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once),
        cmocka_unit_test(first_error_stops),
        cmocka_unit_test(aborted_without_flush),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
