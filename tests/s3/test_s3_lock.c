/* Object locks on a real server: what is locked stays, is named, and says until when. */
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/pack.h"
#include "support/s3_foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR  INT64_C(3600000000)
#define COUNT 40 /* enough for a batch */

struct fixture {
    const char *bucket;
    struct store *store; /* with object-lock = governance */
    struct error err;
};

static void assert_rc(struct fixture *f, enum rc rc, enum rc expected)
{
    if (rc != expected)
        fprintf(stderr, "%s, %s, %s\n", f->err.what, f->err.on, f->err.now);
    assert_int_equal(rc, expected);
}

static struct store *open_with(struct fixture *f, int lock)
{
    struct store_options o = s3fix_options(f->bucket);
    struct store *s;

    o.s3.lock = lock;
    assert_rc(f, store_open(&o, &s, &f->err), RC_OK);
    return s;
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    f->bucket = s3fix_bucket(S3FIX_LOCK);
    f->store = open_with(f, S3_LOCK_GOVERNANCE);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    free(f);
    return 0;
}

/* Whole seconds, as a server keeps them. */
static moment_us in_hours(int hours)
{
    return (clock_now() + hours * HOUR) / 1000000 * 1000000;
}

static void put_until(struct fixture *f, struct store *s, const char *name, moment_us until)
{
    const struct store_put_how how = {.locked_until = until};

    assert_rc(f, store_put_as(s, name, "bytes", 5, &how, &f->err), RC_OK);
}

static const char *mode_of(struct fixture *f, const char *name)
{
    static char mode[64];

    return foreign_header(f->bucket, name, "x-amz-object-lock-mode", mode, sizeof(mode));
}

/* 0: it is not locked. */
static moment_us lock_of(struct fixture *f, const char *name)
{
    char text[64];
    moment_us until;

    foreign_header(f->bucket, name, "x-amz-object-lock-retain-until-date", text, sizeof(text));
    if (!text[0])
        return 0;
    assert_rc(f, moment_parse(text, &until, &f->err), RC_OK);
    return until;
}

static void assert_stays(struct fixture *f, const char *name)
{
    struct foreign_count n = foreign_count(f->bucket, name);

    assert_int_equal(n.versions, 1);
    assert_int_equal(n.markers, 0);
}

/* ---- putting ---- */

static void what_is_put_is_locked(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *strict = open_with(f, S3_LOCK_COMPLIANCE);
    CLEANUP_STORE struct store *off = open_with(f, S3_LOCK_OFF);
    moment_us until = in_hours(2);

    put_until(f, f->store, "a/governance", until);
    assert_string_equal(mode_of(f, "a/governance"), "GOVERNANCE");
    assert_int_equal(lock_of(f, "a/governance"), until);
    put_until(f, strict, "a/compliance", until);
    assert_string_equal(mode_of(f, "a/compliance"), "COMPLIANCE");
    assert_int_equal(lock_of(f, "a/compliance"), until);
    put_until(f, off, "a/off", until);
    assert_int_equal(lock_of(f, "a/off"), 0);
    put_until(f, f->store, "a/none", 0);
    assert_int_equal(lock_of(f, "a/none"), 0);
    put_until(f, f->store, "a/past", in_hours(-1)); /* no server takes one that has ended */
    assert_int_equal(lock_of(f, "a/past"), 0);
}

static void a_lock_never_ends_early(void **state)
{
    struct fixture *f = *state;
    moment_us until = in_hours(2) + 1;

    put_until(f, f->store, "a/x", until);
    assert_true(lock_of(f, "a/x") >= until);
    assert_true(lock_of(f, "a/x") <= until + 1000000);
}

static void the_bucket_must_have_locks(void **state)
{
    struct fixture plain = {.bucket = s3fix_bucket(S3FIX_VERSIONED)};
    CLEANUP_STORE struct store *s = open_with(&plain, S3_LOCK_GOVERNANCE);
    const struct store_put_how how = {.locked_until = in_hours(2)};

    (void)state;
    assert_rc(&plain, store_put_as(s, "a/x", "bytes", 5, &how, &plain.err), RC_STORAGE);
    assert_non_null(strstr(plain.err.now, "object-lock"));
    assert_non_null(strstr(plain.err.on, "a/x"));
    assert_rc(&plain, store_put(s, "a/x", "bytes", 5, &plain.err), RC_OK);
    assert_rc(&plain, store_lock(s, "a/x", in_hours(2), &plain.err), RC_STORAGE);
    assert_non_null(strstr(plain.err.now, "object-lock"));
}

/* Not only when the backup is committed: it may take hours until then. */
static void a_pack_is_locked_when_it_is_put(void **state)
{
    struct fixture *f = *state;
    CLEANUP_REPO struct repo *r = NULL, *twin = NULL;
    CLEANUP(cleanup_pack_writer) struct pack_writer *w = NULL;
    CLEANUP_STAGE struct stage *encoder = NULL;
    struct xxh128 hash;
    struct frame frame;
    struct sha256 id;
    uint64_t bytes;

    assert_rc(f, repo_create(f->store, &f->err), RC_OK);
    assert_rc(f, repo_open(open_with(f, S3_LOCK_GOVERNANCE), &r, &f->err), RC_OK);
    r->locked_until = in_hours(2);
    assert_rc(f, repo_dup(r, &twin, &f->err), RC_OK); /* a thread's own */
    hash = xxh128_of(r->hash_seed, "bytes", 5);
    assert_rc(f, stage_zstd_encoder(3, &encoder, &f->err), RC_OK);
    assert_rc(f, pack_writer_new(twin, "main", 1, PACK_DATA, encoder, false, &w, &f->err), RC_OK);
    assert_rc(
        f,
        pack_writer_add(w, "base/1", 0, "bytes", 5, &hash, crc32c(0, "bytes", 5), &frame, &f->err),
        RC_OK);
    assert_rc(f, pack_writer_finish(w, &id, &bytes, &f->err), RC_OK);
    assert_int_equal(lock_of(f, name_pack("main", PACK_DATA, &id).text), r->locked_until);
}

/* ---- extending ---- */

static void a_lock_is_made_longer(void **state)
{
    struct fixture *f = *state;
    moment_us first = in_hours(2), second = in_hours(48);

    put_until(f, f->store, "a/x", first);
    assert_rc(f, store_lock(f->store, "a/x", second, &f->err), RC_OK);
    assert_int_equal(lock_of(f, "a/x"), second);
    assert_rc(f, store_lock(f->store, "a/x", first, &f->err), RC_OK); /* never shorter */
    assert_int_equal(lock_of(f, "a/x"), second);
    put_until(f, f->store, "a/none", 0);
    assert_rc(f, store_lock(f->store, "a/none", first, &f->err), RC_OK);
    assert_int_equal(lock_of(f, "a/none"), first);
    assert_string_equal(mode_of(f, "a/none"), "GOVERNANCE");
}

static void a_strict_lock_stays_strict(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *strict = open_with(f, S3_LOCK_COMPLIANCE);
    moment_us first = in_hours(2), second = in_hours(48);

    put_until(f, strict, "a/x", first);
    assert_rc(f, store_lock(f->store, "a/x", second, &f->err), RC_OK);
    assert_string_equal(mode_of(f, "a/x"), "COMPLIANCE");
    assert_int_equal(lock_of(f, "a/x"), second);
}

/* The configuration became stricter: that counts for what is put from now on. */
static void a_lock_keeps_its_mode(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *strict = open_with(f, S3_LOCK_COMPLIANCE);
    moment_us first = in_hours(2), second = in_hours(48);

    put_until(f, f->store, "a/x", first);
    assert_rc(f, store_lock(strict, "a/x", second, &f->err), RC_OK);
    assert_string_equal(mode_of(f, "a/x"), "GOVERNANCE");
    assert_int_equal(lock_of(f, "a/x"), second);
}

static void one_that_has_ended_begins_again(void **state)
{
    struct fixture *f = *state;
    moment_us first = (clock_now() / 1000000 + 2) * 1000000, second = in_hours(48);

    put_until(f, f->store, "a/x", first);
    while (clock_now() < first + 1000000)
        clock_sleep_ms(100);
    assert_rc(f, store_lock(f->store, "a/x", second, &f->err), RC_OK);
    assert_int_equal(lock_of(f, "a/x"), second);
}

static void only_what_is_there_can_be_locked(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *off = open_with(f, S3_LOCK_OFF);

    assert_rc(f, store_lock(f->store, "a/x", in_hours(2), &f->err), RC_NOT_FOUND);
    assert_rc(f, store_lock(off, "a/x", in_hours(2), &f->err), RC_OK); /* nothing to do */
}

/* ---- removing ---- */

static void what_is_locked_is_not_removed(void **state)
{
    struct fixture *f = *state;
    moment_us until = in_hours(2);
    char text[MOMENT_TEXT_MAX];

    put_until(f, f->store, "a/x", until);
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_REFUSED);
    assert_non_null(strstr(f->err.what, moment_text(until, text)));
    assert_non_null(strstr(f->err.on, "a/x"));
    assert_stays(f, "a/x");
}

/* What others put on top is not locked, but the object below it is. */
static void what_is_locked_below_stays(void **state)
{
    struct fixture *f = *state;
    struct foreign_count n;

    put_until(f, f->store, "a/x", in_hours(2));
    foreign_put(f->bucket, "a/x", "on top");
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_REFUSED);
    n = foreign_count(f->bucket, "a/x");
    assert_int_equal(n.versions, 2); /* the oldest goes first, so nothing comes to light again */
}

static void a_legal_hold_is_told(void **state)
{
    struct fixture *f = *state;

    put_until(f, f->store, "a/x", 0);
    foreign_set_legal_hold(f->bucket, "a/x", true);
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_REFUSED);
    assert_non_null(strstr(f->err.what, "legal hold"));
    assert_stays(f, "a/x");
    foreign_set_legal_hold(f->bucket, "a/x", false);
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_OK);
}

struct heard {
    unsigned ok, refused, other;
    char refused_name[64], refused_why[256];
};

static void hear(void *ctx, const char *name, enum rc rc, const struct error *e)
{
    struct heard *h = ctx;

    h->ok += rc == RC_OK;
    h->refused += rc == RC_REFUSED;
    h->other += rc != RC_OK && rc != RC_REFUSED;
    if (rc == RC_REFUSED) {
        assert_true(str_copy(h->refused_name, sizeof(h->refused_name), name));
        assert_true(str_copy(h->refused_why, sizeof(h->refused_why), e->what));
    }
}

static void one_locked_among_many(void **state)
{
    struct fixture *f = *state;
    char text[COUNT][16], moment[MOMENT_TEXT_MAX];
    const char *names[COUNT];
    moment_us until = in_hours(2);
    struct heard h = {0};

    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof(text[i]), "m/%02u", i);
        names[i] = text[i];
        put_until(f, f->store, names[i], i == 17 ? until : 0);
    }
    assert_rc(f, store_remove_many(f->store, names, COUNT, hear, &h, &f->err), RC_REFUSED);
    assert_int_equal(h.ok, COUNT - 1);
    assert_int_equal(h.refused, 1);
    assert_int_equal(h.other, 0);
    assert_string_equal(h.refused_name, "m/17");
    assert_non_null(strstr(h.refused_why, moment_text(until, moment)));
    assert_non_null(strstr(f->err.on, "m/17"));
    assert_stays(f, "m/");
}

/* The lease of a tool, a claim, and the probe go without. */
static void the_driver_locks_nothing_by_itself(void **state)
{
    struct fixture *f = *state;

    put_until(f, f->store, "a/x", in_hours(2));
    assert_int_equal(lock_of(f, ".put/probe"), 0);
}

static void a_server_may_have_none(void **state)
{
    struct fixture f = {.bucket = s3fix_bucket(S3FIX_PLAIN)};
    CLEANUP_STORE struct store *s = open_with(&f, S3_LOCK_GOVERNANCE);

    (void)state;
    put_until(&f, s, "a/x", in_hours(2)); /* it ignores what it does not know */
    assert_rc(&f, store_remove(s, "a/x", &f.err), RC_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_locked),
        TEST(a_lock_never_ends_early),
        TEST(the_bucket_must_have_locks),
        TEST(a_pack_is_locked_when_it_is_put),
        TEST(a_lock_is_made_longer),
        TEST(a_strict_lock_stays_strict),
        TEST(a_lock_keeps_its_mode),
        TEST(one_that_has_ended_begins_again),
        TEST(only_what_is_there_can_be_locked),
        TEST(what_is_locked_is_not_removed),
        TEST(what_is_locked_below_stays),
        TEST(a_legal_hold_is_told),
        TEST(one_locked_among_many),
        TEST(the_driver_locks_nothing_by_itself),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(a_server_may_have_none),
    };
    const char *kind = s3fix_setting_or("KIND");

    if (str_eq(kind, "s3rver")) /* it has no locks */
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
