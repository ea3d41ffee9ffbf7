/* What the S3 driver makes of its options, before it speaks with anybody. */
#include "base/str.h"
#include "store/store_s3_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const uint8_t some_key[32] = {1, 2, 3};

static struct store_options usual(void)
{
    return (struct store_options){.type = STORE_S3,
                                  .s3 = {.endpoint = "https://minio.example:9000",
                                         .region = "eu-central-1",
                                         .bucket = "fleet",
                                         .prefix = "a/b",
                                         .access_key_id = "key",
                                         .secret_access_key = "secret"}};
}

static void the_bucket_stands_in_the_path_or_in_the_host(void **state)
{
    static const struct {
        const char *endpoint, *bucket;
        int style;
        const char *base, *host, *path;
    } cases[] = {
        {"https://minio.example:9000", "fleet", S3_URI_AUTO, "https://minio.example:9000",
         "minio.example:9000", "/fleet/"},
        {"https://minio.example:9000", "fleet", S3_URI_VIRTUAL, "https://fleet.minio.example:9000",
         "fleet.minio.example:9000", "/"},
        {NULL, "fleet", S3_URI_AUTO, "https://fleet.s3.eu-central-1.amazonaws.com",
         "fleet.s3.eu-central-1.amazonaws.com", "/"},
        {NULL, "fleet", S3_URI_PATH, "https://s3.eu-central-1.amazonaws.com",
         "s3.eu-central-1.amazonaws.com", "/fleet/"},
        {NULL, "fleet.two", S3_URI_AUTO, "https://s3.eu-central-1.amazonaws.com",
         "s3.eu-central-1.amazonaws.com", "/fleet.two/"},
        {"http://[::1]:9000", "fleet", S3_URI_AUTO, "http://[::1]:9000", "[::1]:9000", "/fleet/"},
        {"http://localhost:80/", "fleet", S3_URI_AUTO, "http://localhost", "localhost", "/fleet/"},
        {"https://s3.example:443", "fleet", S3_URI_AUTO, "https://s3.example", "s3.example",
         "/fleet/"},
        {"https://s3.example:80", "fleet", S3_URI_AUTO, "https://s3.example:80", "s3.example:80",
         "/fleet/"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_options o = usual();
        CLEANUP_STORE struct store *s = NULL;
        struct error err = {0};

        o.s3.endpoint = cases[i].endpoint;
        o.s3.bucket = cases[i].bucket;
        o.s3.uri_style = cases[i].style;
        assert_int_equal(store_open(&o, &s, &err), RC_OK);
        assert_string_equal(s3_store_of(s)->shared->base, cases[i].base);
        assert_string_equal(s3_store_of(s)->shared->host, cases[i].host);
        assert_string_equal(s3_store_of(s)->shared->path, cases[i].path);
    }
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *endpoint, *bucket, *prefix;
        bool sse_c;
        const char *on;
    } cases[] = {
        {"minio.example:9000", "fleet", "a", false, "endpoint"},
        {"ftp://minio.example", "fleet", "a", false, "endpoint"},
        {"https://minio.example/path", "fleet", "a", false, "endpoint"},
        {"https://minio.example?x=1", "fleet", "a", false, "endpoint"},
        {"https://user:word@minio.example", "fleet", "a", false, "endpoint"},
        {"https://", "fleet", "a", false, "endpoint"},
        {"http://minio.example", "fleet", "a", true, "endpoint"},
        {"https://minio.example", "fl", "a", false, "bucket"},
        {"https://minio.example", "fleet/a", "a", false, "bucket"},
        {"https://minio.example", "fleet?", "a", false, "bucket"},
        {"https://minio.example", "..", "a", false, "bucket"},
        {"https://minio.example", "fleet", "/a", false, "prefix"},
        {"https://minio.example", "fleet", "a/", false, "prefix"},
        {"https://minio.example", "fleet", "a//b", false, "prefix"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_options o = usual();
        struct store *s = NULL;
        struct error err = {0};

        o.s3.endpoint = cases[i].endpoint;
        o.s3.bucket = cases[i].bucket;
        o.s3.prefix = cases[i].prefix;
        o.s3.sse = cases[i].sse_c ? S3_SSE_C : S3_SSE_NONE;
        o.s3.sse_c_key = cases[i].sse_c ? some_key : NULL;
        if (store_open(&o, &s, &err) != RC_CONFIG || !str_starts(err.on, cases[i].on) ||
            !err.now[0])
            fail_msg("case %zu: %s; %s; %s", i, err.what, err.on, err.now);
    }
}

static void a_key_of_ours_goes_over_tls_or_stays_on_the_machine(void **state)
{
    static const char *const good[] = {"https://minio.example", "http://127.0.0.1:9000",
                                       "http://[::1]:9000", "http://localhost:9000"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct store_options o = usual();
        CLEANUP_STORE struct store *s = NULL;
        struct error err = {0};

        o.s3.endpoint = good[i];
        o.s3.sse = S3_SSE_C;
        o.s3.sse_c_key = some_key;
        assert_int_equal(store_open(&o, &s, &err), RC_OK);
    }
}

static void it_says_where_it_is(void **state)
{
    struct store_options o = usual();
    CLEANUP_STORE struct store *s = NULL, *twin = NULL, *bare = NULL;
    struct error err = {0};

    (void)state;
    assert_int_equal(store_open(&o, &s, &err), RC_OK);
    assert_string_equal(s->where, "s3://fleet/a/b");
    assert_int_equal(store_dup(s, &twin, &err), RC_OK);
    assert_string_equal(twin->where, "s3://fleet/a/b");
    o.s3.prefix = NULL;
    assert_int_equal(store_open(&o, &bare, &err), RC_OK);
    assert_string_equal(bare->where, "s3://fleet");
}

static void what_may_pass(void **state)
{
    static const struct {
        int status;
        const char *code;
        bool passes;
    } cases[] = {
        {400, "RequestTimeout", true},
        {400, "XAmzContentSHA256Mismatch", true},
        {400, "BadDigest", true},
        {400, "IncompleteBody", true},
        {400, "InvalidArgument", false},
        {400, "", false},
        {403, "AccessDenied", false},
        {403, "RequestTimeTooSkewed", false},
        {404, "NoSuchKey", false},
        {408, "", true},
        {409, "ConditionalRequestConflict", true},
        {412, "PreconditionFailed", false},
        {429, "TooManyRequests", true},
        {500, "InternalError", true},
        {501, "NotImplemented", false},
        {502, "", true},
        {503, "SlowDown", true},
        {504, "", true},
        {507, "XMinioStorageFull", false},
        {503, "XMinioStorageFull", false},
        {403, "QuotaExceeded", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (s3_may_pass(cases[i].status, cases[i].code) != cases[i].passes)
            fail_msg("%d %s", cases[i].status, cases[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bucket_stands_in_the_path_or_in_the_host),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_key_of_ours_goes_over_tls_or_stays_on_the_machine),
        cmocka_unit_test(it_says_where_it_is),
        cmocka_unit_test(what_may_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
