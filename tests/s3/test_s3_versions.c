/*
 * Buckets that keep versions: removal leaves nothing behind, also what a foreign client put on top
 * of an object, and the repository can be read as it was before somebody deleted or replaced it.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "support/fault_proxy.h"
#include "support/s3_foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY    1100 /* two batches; with PGPROOF_SOAK=1 three, and the last one is not full */
#define PUTTERS 8

struct fixture {
    const char *bucket;
    struct store *store;
    struct error err;
};

static void assert_rc(struct fixture *f, enum rc rc, enum rc expected)
{
    if (rc != expected)
        fprintf(stderr, "%s, %s, %s\n", f->err.what, f->err.on, f->err.now);
    assert_int_equal(rc, expected);
}

static struct fixture *open_fixture(unsigned how)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    f->bucket = s3fix_bucket(how);
    struct store_options o = s3fix_options(f->bucket);
    assert_rc(f, store_open(&o, &f->store, &f->err), RC_OK);
    return f;
}

static int set_up(void **state)
{
    *state = open_fixture(S3FIX_VERSIONED);
    return 0;
}

static int set_up_plain(void **state)
{
    *state = open_fixture(S3FIX_PLAIN);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    free(f);
    return 0;
}

static void put(struct fixture *f, const char *name, const char *text)
{
    assert_rc(f, store_put(f->store, name, text, strlen(text), &f->err), RC_OK);
}

static void assert_holds(struct fixture *f, struct store *s, const char *name, const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);

    assert_rc(f, store_get(s, name, &b, &f->err), RC_OK);
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.data, text, b.len);
}

static void assert_traces(struct fixture *f, const char *name, unsigned versions, unsigned markers)
{
    struct foreign_count n = foreign_count(f->bucket, name);

    assert_int_equal(n.versions, versions);
    assert_int_equal(n.markers, markers);
}

/* ---- removal ---- */

static void removal_leaves_no_version(void **state)
{
    struct fixture *f = *state;

    put(f, "a/plain", "1");
    assert_rc(f, store_remove(f->store, "a/plain", &f->err), RC_OK);
    assert_traces(f, "a/plain", 0, 0);
    assert_rc(f, store_remove(f->store, "a/plain", &f->err), RC_NOT_FOUND);
    assert_traces(f, "a/plain", 0, 0); /* no marker for what is not there */
}

static void removal_takes_what_others_put_on_top(void **state)
{
    struct fixture *f = *state;

    put(f, "a/x", "ours");
    foreign_put(f->bucket, "a/x", "theirs");
    foreign_delete(f->bucket, "a/x");
    foreign_put(f->bucket, "a/x", "again");
    assert_traces(f, "a/x", 3, 1);
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_OK);
    assert_traces(f, "a/x", 0, 0);
}

static void removal_minds_neighbours(void **state)
{
    struct fixture *f = *state;

    put(f, "a/x", "1");
    put(f, "a/x.partial", "2");
    put(f, "a/xy", "3");
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_OK);
    assert_traces(f, "a/x.partial", 1, 0);
    assert_traces(f, "a/xy", 1, 0);
    assert_holds(f, f->store, "a/x.partial", "2");
}

static void what_is_hidden_is_not_there(void **state)
{
    struct fixture *f = *state;

    put(f, "a/x", "1");
    foreign_delete(f->bucket, "a/x");
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_NOT_FOUND);
    put(f, "a/x", "2"); /* the name is free */
    assert_holds(f, f->store, "a/x", "2");
    assert_rc(f, store_put(f->store, "a/x", "3", 1, &f->err), RC_EXISTS);
}

/* Where a server does not honour If-None-Match (radosgw on such buckets), writers put claims. */
static void putting_leaves_no_version(void **state)
{
    struct fixture *f = *state;

    put(f, "a/x", "1");
    assert_rc(f, store_put(f->store, "a/x", "2", 1, &f->err), RC_EXISTS);
    assert_traces(f, ".put/claim", 0, 0);
    assert_traces(f, "a/x", 1, 0);
}

static void sweeping_leaves_no_version(void **state)
{
    struct fixture *f = *state;
    unsigned removed;

    put(f, "a/x", "1");
    foreign_put(f->bucket, ".put/claim-of-somebody", "killed");
    assert_rc(f, store_sweep(f->store, clock_now() - 60 * INT64_C(1000000), &removed, &f->err),
              RC_OK);
    assert_int_equal(removed, 0);
    assert_rc(f, store_sweep(f->store, clock_now() + 60 * INT64_C(1000000), &removed, &f->err),
              RC_OK);
    assert_int_equal(removed, 1);
    assert_traces(f, ".put/claim", 0, 0);
    assert_traces(f, "a/x", 1, 0);
}

/* "null" is the version of what was put while no versions were kept. */
static void versioning_may_be_suspended(void **state)
{
    struct fixture *f = *state;

    put(f, "a/before", "1");
    put(f, "a/both", "1");
    foreign_set_versioning(f->bucket, "Suspended");
    foreign_put(f->bucket, "a/both", "2");
    put(f, "a/after", "1");
    assert_traces(f, "a/both", 2, 0);
    assert_rc(f, store_remove(f->store, "a/before", &f->err), RC_OK);
    assert_rc(f, store_remove(f->store, "a/both", &f->err), RC_OK);
    assert_rc(f, store_remove(f->store, "a/after", &f->err), RC_OK);
    assert_traces(f, "a/before", 0, 0);
    assert_traces(f, "a/both", 0, 0);
    assert_traces(f, "a/after", 0, 0);
}

static void versioning_may_come_later(void **state)
{
    struct fixture *f = *state;

    put(f, "a/null", "1");
    put(f, "a/both", "1");
    foreign_set_versioning(f->bucket, "Enabled");
    foreign_put(f->bucket, "a/both", "2");
    assert_rc(f, store_remove(f->store, "a/null", &f->err), RC_OK);
    assert_rc(f, store_remove(f->store, "a/both", &f->err), RC_OK);
    assert_traces(f, "a/null", 0, 0);
    assert_traces(f, "a/both", 0, 0);
}

/* ---- many ---- */

struct heard {
    unsigned ok, missing, other;
};

static void hear(void *ctx, const char *name, enum rc rc, const struct error *e)
{
    struct heard *h = ctx;

    assert_true(str_starts(name, "m/"));
    assert_true((rc == RC_OK) == !e);
    h->ok += rc == RC_OK;
    h->missing += rc == RC_NOT_FOUND;
    h->other += rc != RC_OK && rc != RC_NOT_FOUND;
}

static void remove_many(struct fixture *f, char **names, unsigned count, struct heard *ret)
{
    *ret = (struct heard){0};
    assert_rc(f, store_remove_many(f->store, (const char *const *)names, count, hear, ret, &f->err),
              RC_OK);
}

static enum rc put_item(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct store **stores = ctx;

    return item ? store_put(stores[worker], item, "x", 1, err) : RC_OK;
}

/* Objects of these names, put by several connections at once. */
static char **many_objects(struct fixture *f, unsigned count)
{
    char **names = mem_zalloc(count * sizeof(*names));
    struct store *stores[PUTTERS];
    struct pool *pool;

    for (unsigned i = 0; i < PUTTERS; i++)
        assert_rc(f, store_dup(f->store, &stores[i], &f->err), RC_OK);
    assert_rc(f, pool_new(PUTTERS, PUTTERS, put_item, stores, &pool, &f->err), RC_OK);
    for (unsigned i = 0; i < count; i++) {
        names[i] =
            str_printf("m/%04u", (i * 7) % count); /* not sorted; count is no multiple of 7 */
        assert_rc(f, pool_submit(pool, names[i], &f->err), RC_OK);
    }
    assert_rc(f, pool_finish(pool, &f->err), RC_OK);
    for (unsigned i = 0; i < PUTTERS; i++)
        store_close(stores[i]);
    return names;
}

static void names_free(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static void many_are_removed(void **state)
{
    struct fixture *f = *state;
    const unsigned many = getenv("PGPROOF_SOAK") ? 2500 : MANY;
    char **names = many_objects(f, many);
    struct heard h;

    put(f, "m/neighbour", "stays");
    remove_many(f, names, many, &h);
    assert_int_equal(h.ok, many);
    for (unsigned i = 0; i < many; i += 249)
        assert_traces(f, names[i], 0, 0);
    assert_traces(f, "m", 1, 0); /* the neighbour alone */
    remove_many(f, names, 100, &h);
    assert_int_equal(h.ok + h.missing, 100);
    names_free(names, many);
}

static void many_of_every_kind(void **state)
{
    struct fixture *f = *state;
    char **names = many_objects(f, 60);
    struct heard h;

    foreign_put(f->bucket, names[3], "on top");
    foreign_delete(f->bucket, names[4]); /* hidden: not there for us */
    foreign_delete(f->bucket, names[5]);
    foreign_put(f->bucket, names[5], "again");
    foreign_set_versioning(f->bucket, "Suspended");
    foreign_put(f->bucket, names[6], "null");
    assert_rc(f, store_remove(f->store, names[7], &f->err), RC_OK);
    remove_many(f, names, 60, &h);
    assert_int_equal(h.ok, 58);
    assert_int_equal(h.missing, 2);
    for (unsigned i = 0; i < 60; i++)
        if (i != 4)
            assert_traces(f, names[i], 0, 0);
    names_free(names, 60);
}

static void many_null_versions(void **state)
{
    struct fixture *f = *state;
    char **names = many_objects(f, 60);
    struct heard h;

    foreign_set_versioning(f->bucket, "Enabled");
    remove_many(f, names, 60, &h);
    assert_int_equal(h.ok, 60);
    assert_traces(f, "m", 0, 0);
    names_free(names, 60);
}

static void none_and_one_of_many(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    char *one[] = {(char *)"m/1"};

    remove_many(f, one, 0, &h);
    assert_int_equal(h.ok + h.missing + h.other, 0);
    put(f, "m/1", "x");
    remove_many(f, one, 1, &h);
    assert_int_equal(h.ok, 1);
    assert_traces(f, "m/1", 0, 0);
}

/* ---- rights ---- */

static void proxied(struct fixture *f, struct fault_proxy *p, struct store **ret)
{
    struct store_options o = s3fix_options(f->bucket);

    o.s3.endpoint = fault_proxy_url(p);
    assert_rc(f, store_open(&o, ret, &f->err), RC_OK);
}

static void deny(struct fault_proxy *p, const char *path)
{
    fault_proxy_set(p, (struct proxy_rule){.method = "GET",
                                           .path = path,
                                           .act = PROXY_STATUS,
                                           .status = 403,
                                           .code = "AccessDenied"});
}

/* Each object's own answer tells whether it has versions. */
static void one_may_not_ask_whether_there_are_versions(void **state)
{
    struct fixture *f = *state;
    struct fault_proxy *p = fault_proxy_start(s3fix_setting("ENDPOINT"));
    CLEANUP_STORE struct store *s = NULL;
    char **names = many_objects(f, 30);
    struct heard h = {0};

    proxied(f, p, &s);
    deny(p, "?versioning");
    foreign_put(f->bucket, names[1], "on top");
    assert_rc(f, store_remove(s, names[0], &f->err), RC_OK);
    assert_rc(f, store_remove_many(s, (const char *const *)names + 1, 29, hear, &h, &f->err),
              RC_OK);
    assert_int_equal(h.ok, 29);
    assert_int_equal(fault_proxy_hits(p, 0), 1); /* of store_remove_many */
    assert_traces(f, "m", 0, 0);
    names_free(names, 30);
    fault_proxy_stop(p);
}

/* Then nothing is removed: a plain deletion would only hide it. */
static void one_may_not_list_versions(void **state)
{
    struct fixture *f = *state;
    struct fault_proxy *p = fault_proxy_start(s3fix_setting("ENDPOINT"));
    CLEANUP_STORE struct store *s = NULL;
    char **names = many_objects(f, 30);

    proxied(f, p, &s);
    deny(p, "versions=");
    assert_rc(f, store_remove(s, names[0], &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.now, "rights"));
    assert_rc(f, store_remove_many(s, (const char *const *)names, 30, NULL, NULL, &f->err),
              RC_STORAGE);
    assert_traces(f, "m", 30, 0);
    names_free(names, 30);
    fault_proxy_stop(p);
}

/* ---- as it was ---- */

/* Last-Modified may be in whole seconds, and the server's clock is its own: moments that are told
 * apart lie two seconds apart. */
static moment_us a_moment(void)
{
    moment_us now;

    clock_sleep_ms(2100);
    now = clock_now();
    clock_sleep_ms(2100);
    return now;
}

static struct store *as_of(struct fixture *f, moment_us moment)
{
    struct store_options o = s3fix_options(f->bucket);
    struct store *s;

    o.as_of = moment;
    assert_rc(f, store_open(&o, &s, &f->err), RC_OK);
    return s;
}

struct seen {
    char text[1024];
};

static enum rc see(void *ctx, const char *name, const struct store_info *info, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%s:%llu ", name,
             (unsigned long long)info->size_bytes);
    return RC_OK;
}

static void assert_lists(struct fixture *f, struct store *s, const char *text)
{
    struct seen seen = {""};

    assert_rc(f, store_list(s, "", see, &seen, &f->err), RC_OK);
    assert_string_equal(seen.text, text);
}

static void what_was_is_read(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;

    put(f, "a/deleted", "one");
    put(f, "a/replaced", "four!");
    moment_us before = a_moment();
    foreign_delete(f->bucket, "a/deleted");
    foreign_put(f->bucket, "a/replaced", "");
    put(f, "a/later", "x");
    assert_lists(f, f->store, "a/later:1 a/replaced:0 ");

    CLEANUP_STORE struct store *then = as_of(f, before);
    assert_lists(f, then, "a/deleted:3 a/replaced:5 ");
    assert_holds(f, then, "a/deleted", "one");
    assert_holds(f, then, "a/replaced", "four!");
    assert_rc(f, store_get_range(then, "a/replaced", 1, 3, &b, &f->err), RC_OK);
    assert_memory_equal(b.data, "our", 3);
    assert_rc(f, store_head(then, "a/replaced", &info, &f->err), RC_OK);
    assert_int_equal(info.size_bytes, 5);
    assert_rc(f, store_get(then, "a/later", &b, &f->err), RC_NOT_FOUND);
    assert_non_null(strstr(f->err.what, "UTC"));
    assert_rc(f, store_head(then, "a/never", &info, &f->err), RC_NOT_FOUND);
}

static void every_moment_has_its_own(void **state)
{
    struct fixture *f = *state;

    moment_us empty = a_moment();
    put(f, "a/x", "first");
    moment_us first = a_moment();
    foreign_delete(f->bucket, "a/x");
    moment_us gone = a_moment();
    put(f, "a/x", "second");
    moment_us second = a_moment();
    foreign_set_versioning(f->bucket, "Suspended");
    foreign_put(f->bucket, "a/x", "null");
    moment_us null = a_moment();
    foreign_delete(f->bucket, "a/x"); /* takes the null version away for good */

    CLEANUP_STORE struct store *at_empty = as_of(f, empty), *at_first = as_of(f, first),
                               *at_gone = as_of(f, gone), *at_second = as_of(f, second),
                               *at_null = as_of(f, null);
    assert_lists(f, at_empty, "");
    assert_lists(f, at_first, "a/x:5 ");
    assert_holds(f, at_first, "a/x", "first");
    assert_lists(f, at_gone, "");
    assert_lists(f, at_second, "a/x:6 ");
    assert_holds(f, at_second, "a/x", "second");
    assert_holds(f, at_null, "a/x", "second"); /* the newest of then that is left */
}

static void nothing_is_written_into_the_past(void **state)
{
    struct fixture *f = *state;
    const char *const names[] = {"a/x"};
    unsigned removed;

    put(f, "a/x", "1");
    CLEANUP_STORE struct store *then = as_of(f, a_moment());
    assert_rc(f, store_put(then, "a/y", "1", 1, &f->err), RC_REFUSED);
    assert_non_null(strstr(f->err.now, "--repository-as-of"));
    assert_rc(f, store_remove(then, "a/x", &f->err), RC_REFUSED);
    assert_rc(f, store_remove_many(then, names, 1, NULL, NULL, &f->err), RC_REFUSED);
    assert_rc(f, store_sweep(then, clock_now(), &removed, &f->err), RC_REFUSED);
    assert_traces(f, "a/x", 1, 0);
    assert_traces(f, "a/y", 0, 0);
}

static void the_past_needs_versions(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);

    put(f, "a/x", "1");
    moment_us moment = a_moment();
    CLEANUP_STORE struct store *then = as_of(f, moment);
    assert_holds(f, then, "a/x", "1"); /* nothing happened since */
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_OK);
    assert_rc(f, store_get(then, "a/x", &b, &f->err), RC_NOT_FOUND);
}

/* ---- a server without versions ---- */

static void a_server_may_keep_none(void **state)
{
    struct fixture *f = *state;
    char **names = many_objects(f, 30);
    struct heard h;

    remove_many(f, names, 30, &h);
    assert_int_equal(h.ok, 30);
    assert_rc(f, store_remove(f->store, names[0], &f->err), RC_NOT_FOUND);
    names_free(names, 30);
}

#define VERSIONED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define PLAIN(f)     cmocka_unit_test_setup_teardown(f, set_up_plain, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERSIONED(removal_leaves_no_version),
        VERSIONED(removal_takes_what_others_put_on_top),
        VERSIONED(removal_minds_neighbours),
        VERSIONED(what_is_hidden_is_not_there),
        VERSIONED(putting_leaves_no_version),
        VERSIONED(sweeping_leaves_no_version),
        VERSIONED(versioning_may_be_suspended),
        PLAIN(versioning_may_come_later),
        VERSIONED(many_are_removed),
        VERSIONED(many_of_every_kind),
        PLAIN(many_null_versions),
        VERSIONED(none_and_one_of_many),
        VERSIONED(one_may_not_ask_whether_there_are_versions),
        VERSIONED(one_may_not_list_versions),
        VERSIONED(what_was_is_read),
        VERSIONED(every_moment_has_its_own),
        VERSIONED(nothing_is_written_into_the_past),
        PLAIN(the_past_needs_versions),
    };
    const struct CMUnitTest without[] = {
        PLAIN(a_server_may_keep_none),
    };
    const char *kind = s3fix_setting_or("KIND");

    if (str_eq(kind, "s3rver")) /* it has no versions */
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
