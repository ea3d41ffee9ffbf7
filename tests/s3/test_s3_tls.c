/*
 * Certificates: the right authority is enough, and whatever else is wrong with a server's
 * certificate is refused at once, with the reason and what to do.
 */
#include "base/file.h"
#include "base/str.h"
#include "support/front.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct store *open_tls(struct front *f, const char *bucket, const char *ca_file)
{
    struct store_options o = s3fix_options(bucket);
    struct store *s;
    struct error e;

    o.s3.endpoint = front_url(f);
    o.s3.ca_file = ca_file;
    if (store_open(&o, &s, &e) != RC_OK)
        fail_msg("%s", e.what);
    return s;
}

static void the_own_authority_is_enough(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);
    const char *bucket = s3fix_bucket(S3FIX_PLAIN);
    CLEANUP_STORE struct store *s = open_tls(f, bucket, front_file(f, "ca.crt"));
    CLEANUP_BUF struct buf b = BUF_INIT(100), foreign = BUF_INIT(100);
    struct error e;

    (void)state;
    assert_int_equal(store_put(s, "d/x", "hello", 5, &e), RC_OK);
    assert_int_equal(store_put(s, "d/x", "other", 5, &e), RC_EXISTS);
    assert_int_equal(store_get(s, "d/x", &b, &e), RC_OK);
    s3fix_get(bucket, S3FIX_PREFIX "/d/x", &foreign);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "hello", 5);
    assert_memory_equal(foreign.data, "hello", 5);
    assert_int_equal(front_connections(f), 1); /* one is used for all */
}

/* Through a new front, each operation fails, says `words` and `remedy`, and is not tried again. */
static void expect_refusal(struct front *f, const char *ca_file, enum rc rc, const char *words,
                           const char *remedy)
{
    CLEANUP_STORE struct store *s = open_tls(f, s3fix_setting("BUCKET"), ca_file);
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct error e = {0};

    assert_int_equal(store_put(s, "x", "1", 1, &e), rc);
    if (!strstr(e.what, words) || !strstr(e.now, remedy))
        fail_msg("says \"%s\" (%s), not \"%s\" (%s)", e.what, e.now, words, remedy);
    assert_false(e.transient);
    assert_null(strstr(e.what, "tried"));
    assert_int_equal(store_get(s, "x", &b, &e), rc);
    assert_true(front_connections(f) <= 2);
}

static void another_authority_is_refused(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);

    (void)state;
    expect_refusal(f, front_file(f, "other-ca.crt"), RC_STORAGE, "unable to get local issuer",
                   "ca-file");
    f = front_tls(s3fix_port(), FRONT_TRUSTED);
    expect_refusal(f, NULL, RC_STORAGE, "unable to get local issuer", "ca-file");
}

static void another_name_is_refused(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_WRONG_NAME);

    (void)state;
    expect_refusal(f, front_file(f, "ca.crt"), RC_STORAGE, "subject name", "name and dates");
}

static void an_expired_certificate_is_refused(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_EXPIRED);

    (void)state;
    expect_refusal(f, front_file(f, "ca.crt"), RC_STORAGE, "certificate has expired",
                   "name and dates");
}

static void a_ca_file_that_is_none_is_named(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);

    (void)state;
    expect_refusal(f, "/nonexistent/ca.crt", RC_CONFIG, "/nonexistent/ca.crt", "ca-file");
    f = front_tls(s3fix_port(), FRONT_TRUSTED);
    expect_refusal(f, front_file(f, "stunnel.conf"), RC_CONFIG, "stunnel.conf", "ca-file");
}

/* TLS to a port that speaks plain HTTP. */
static void a_port_without_tls_is_refused(void **state)
{
    CLEANUP_FREE char *url = str_printf("https://127.0.0.1:%u", s3fix_port());
    struct store_options o = s3fix_options(s3fix_setting("BUCKET"));
    CLEANUP_STORE struct store *s = NULL;
    struct error e = {0};

    (void)state;
    o.s3.endpoint = url;
    assert_int_equal(store_open(&o, &s, &e), RC_OK);
    assert_int_equal(store_put(s, "x", "1", 1, &e), RC_STORAGE);
    assert_false(e.transient);
    assert_null(strstr(e.what, "tried"));
    assert_non_null(strstr(e.now, "speaks TLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_own_authority_is_enough, front_stop_all),
        cmocka_unit_test_teardown(another_authority_is_refused, front_stop_all),
        cmocka_unit_test_teardown(another_name_is_refused, front_stop_all),
        cmocka_unit_test_teardown(an_expired_certificate_is_refused, front_stop_all),
        cmocka_unit_test_teardown(a_ca_file_that_is_none_is_named, front_stop_all),
        cmocka_unit_test_teardown(a_port_without_tls_is_refused, front_stop_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
