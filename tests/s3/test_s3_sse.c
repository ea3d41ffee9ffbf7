/*
 * Encryption by the server: what is asked for is what a foreign client sees, and a wrong key is an
 * error of its own, never absence.
 */
#include "base/mem.h"
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

struct fixture {
    const char *bucket;
    struct error err;
};

static void assert_rc(struct fixture *f, enum rc rc, enum rc expected)
{
    if (rc != expected)
        fprintf(stderr, "%s, %s, %s\n", f->err.what, f->err.on, f->err.now);
    assert_int_equal(rc, expected);
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    f->bucket = s3fix_bucket(S3FIX_PLAIN);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct store *open_with(struct fixture *f, int sse, const char *kms_key, const uint8_t *key)
{
    struct store_options o = s3fix_options(f->bucket);
    struct store *s;

    o.s3.sse = sse;
    o.s3.sse_kms_key_id = kms_key;
    o.s3.sse_c_key = key;
    assert_rc(f, store_open(&o, &s, &f->err), RC_OK);
    return s;
}

static const char *sse_of(struct fixture *f, const char *name, const char *which)
{
    static char value[256];

    return foreign_header(f->bucket, name, which, value, sizeof(value));
}

/* Everything that touches bytes, there and back. */
static void round_trip(struct fixture *f, struct store *s)
{
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;

    assert_rc(f, store_put(s, "a/x", "0123456789", 10, &f->err), RC_OK);
    assert_rc(f, store_put(s, "a/x", "9876543210", 10, &f->err), RC_EXISTS);
    assert_rc(f, store_get(s, "a/x", &b, &f->err), RC_OK);
    assert_rc(f, store_get_range(s, "a/x", 2, 3, &b, &f->err), RC_OK);
    assert_int_equal(b.len, 13);
    assert_memory_equal(b.data, "0123456789234", 13);
    assert_rc(f, store_head(s, "a/x", &info, &f->err), RC_OK);
    assert_int_equal(info.size_bytes, 10);
    assert_rc(f, store_put(s, "a/empty", "", 0, &f->err), RC_OK);
    b.len = 0;
    assert_rc(f, store_get(s, "a/empty", &b, &f->err), RC_OK);
    assert_int_equal(b.len, 0);
    assert_rc(f, store_get(s, "a/none", &b, &f->err), RC_NOT_FOUND);
    assert_rc(f, store_put(s, "a/y", "y", 1, &f->err), RC_OK);
    assert_rc(f, store_remove(s, "a/y", &f->err), RC_OK);
    assert_rc(f, store_head(s, "a/y", &info, &f->err), RC_NOT_FOUND);
}

/* ---- the server's keys ---- */

static void keys_of_the_server(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_S3, NULL, NULL);

    round_trip(f, s);
    assert_string_equal(sse_of(f, "a/x", "x-amz-server-side-encryption"), "AES256");
}

/* radosgw 16 has no keys of its own, takes the object and says nothing; so does s3rver. */
static void what_is_not_encrypted_is_not_left(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *plain = open_with(f, S3_SSE_NONE, NULL, NULL);
    struct store_info info;

    assert_rc(f, store_put(plain, "a/before", "x", 1, &f->err), RC_OK); /* the probe is there */
    for (int i = 0; i < 2; i++) {
        CLEANUP_STORE struct store *s = open_with(f, S3_SSE_S3, NULL, NULL);

        assert_rc(f, store_put(s, "a/x", "x", 1, &f->err), RC_REFUSED);
        assert_non_null(strstr(f->err.what, "encrypt"));
        assert_non_null(strstr(f->err.now, "'sse'"));
        assert_rc(f, store_put(s, "a/x", "x", 1, &f->err), RC_REFUSED);
    }
    assert_rc(f, store_head(plain, "a/x", &info, &f->err), RC_NOT_FOUND);
    assert_rc(f, store_head(plain, "a/before", &info, &f->err), RC_OK);
}

/* ---- a KMS ---- */

#define KMS_KEY "pgproof-test" /* of scripts/s3-server */

static void keys_of_a_kms(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_KMS, KMS_KEY, NULL);

    round_trip(f, s);
    assert_string_equal(sse_of(f, "a/x", "x-amz-server-side-encryption"), "aws:kms");
    assert_non_null(
        strstr(sse_of(f, "a/x", "x-amz-server-side-encryption-aws-kms-key-id"), KMS_KEY));
}

static void the_usual_key_of_a_kms(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_KMS, NULL, NULL);

    round_trip(f, s);
    assert_string_equal(sse_of(f, "a/x", "x-amz-server-side-encryption"), "aws:kms");
}

static void a_key_that_the_kms_does_not_have(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_KMS, "no-such-key", NULL);
    struct store_info info;

    assert_rc(f, store_put(s, "a/x", "x", 1, &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.now, "sse-kms-key-id"));
    CLEANUP_STORE struct store *plain = open_with(f, S3_SSE_NONE, NULL, NULL);
    assert_rc(f, store_head(plain, "a/x", &info, &f->err), RC_NOT_FOUND);
}

/* ---- our own key ---- */

static const uint8_t first_key[32] = "0123456789abcdef0123456789abcde";
static const uint8_t second_key[32] = "fedcba9876543210fedcba987654321";

static void a_key_of_ours(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_C, NULL, first_key);

    round_trip(f, s);
    assert_int_equal(foreign_get(f->bucket, "a/x", NULL), 400); /* nobody reads it without */
}

/* MinIO takes a key over its own TLS only, and says so. */
static void a_key_may_need_tls(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_C, NULL, first_key);

    assert_rc(f, store_put(s, "a/x", "x", 1, &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.what, "secure connection"));
}

static void assert_unreadable(struct fixture *f, struct store *s)
{
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;

    assert_rc(f, store_get(s, "a/x", &b, &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.now, "sse"));
    assert_false(f->err.transient);
    assert_rc(f, store_get_range(s, "a/x", 0, 1, &b, &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.now, "sse"));
    assert_rc(f, store_head(s, "a/x", &info, &f->err), RC_STORAGE);
    assert_non_null(strstr(f->err.now, "sse"));
    assert_int_equal(b.len, 0);
}

static void a_wrong_key_is_no_absence(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STORE struct store *s = open_with(f, S3_SSE_C, NULL, first_key);
    CLEANUP_STORE struct store *wrong = open_with(f, S3_SSE_C, NULL, second_key);
    CLEANUP_STORE struct store *without = open_with(f, S3_SSE_NONE, NULL, NULL);

    round_trip(f, s);
    assert_unreadable(f, wrong);
    assert_unreadable(f, without);
    assert_rc(f, store_put(wrong, "a/x", "other", 5, &f->err), RC_EXISTS);
}

/* A server that is no longer asked by the probe, as one that began to pass over it. */
static void every_put_is_looked_at(void **state)
{
    struct fixture *f = *state;
    struct fault_proxy *p = fault_proxy_start(s3fix_setting("ENDPOINT"));
    struct store_options o = s3fix_options(f->bucket);
    CLEANUP_STORE struct store *s = NULL, *direct = open_with(f, S3_SSE_C, NULL, first_key);
    struct store_info info;

    o.s3.endpoint = fault_proxy_url(p);
    o.s3.sse = S3_SSE_C;
    o.s3.sse_c_key = first_key;
    assert_rc(f, store_open(&o, &s, &f->err), RC_OK);
    assert_rc(f, store_put(s, "a/good", "x", 1, &f->err), RC_OK);
    fault_proxy_set(
        p, (struct proxy_rule){.method = "PUT",
                               .act = PROXY_REMOVE_HEADER,
                               .headers = "x-amz-server-side-encryption-customer-algorithm"});
    assert_rc(f, store_put(s, "a/x", "x", 1, &f->err), RC_REFUSED);
    assert_rc(f, store_head(direct, "a/x", &info, &f->err), RC_NOT_FOUND);
    fault_proxy_stop(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest minio[] = {
        TEST(keys_of_the_server),     TEST(keys_of_a_kms),
        TEST(the_usual_key_of_a_kms), TEST(a_key_that_the_kms_does_not_have),
        TEST(a_key_may_need_tls),
    };
    const struct CMUnitTest radosgw[] = {
        TEST(what_is_not_encrypted_is_not_left),
        TEST(a_key_of_ours),
        TEST(a_wrong_key_is_no_absence),
        TEST(every_put_is_looked_at),
    };
    const struct CMUnitTest s3rver[] = {
        TEST(what_is_not_encrypted_is_not_left),
    };
    const char *kind = s3fix_setting_or("KIND");

    if (str_eq(kind, "minio"))
        return cmocka_run_group_tests(minio, NULL, NULL);
    if (str_eq(kind, "s3rver"))
        return cmocka_run_group_tests(s3rver, NULL, NULL);
    return cmocka_run_group_tests(radosgw, NULL, NULL);
}
