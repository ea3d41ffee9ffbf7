/*
 * Signature Version 4: AWS's published examples, and the order and encoding that S3 wants of a
 * query.
 */
#include "aws_sign_vectors.h"

#include "base/str.h"
#include "codec/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct error err;

static const char *text_of(struct buf *b)
{
    const char *text;

    assert_int_equal(buf_cstr(b, &text, &err), RC_OK);
    return text;
}

static void authorize(const struct aws_vector_suite *s, const struct aws_vector *v, struct buf *to)
{
    CLEANUP_BUF struct buf path = BUF_INIT(4096), query = BUF_INIT(4096);
    struct aws_keys keys = {.access_key_id = (char *)(uintptr_t)s->access_key_id,
                            .secret_access_key = (char *)(uintptr_t)s->secret_access_key};
    struct sha256 hash = sha256_of(v->body, v->body ? strlen(v->body) : 0);
    char hex[SHA256_HEX_SIZE];
    size_t params = 0;

    while (params < 4 && v->params[params].name)
        params++;
    sha256_hex(&hash, hex);
    assert_int_equal(aws_uri_encode(v->path, true, &path, &err), RC_OK);
    assert_int_equal(aws_query(v->params, params, &query, &err), RC_OK);
    struct aws_request r = {.method = v->method,
                            .path = text_of(&path),
                            .query = text_of(&query),
                            .headers = v->headers,
                            .payload_sha256 = hex,
                            .region = s->region,
                            .service = s->service,
                            .at = s->at};
    assert_int_equal(aws_authorize(&keys, &r, to, &err), RC_OK);
}

static void check_vector(const struct aws_vector_suite *s, const struct aws_vector *v)
{
    CLEANUP_BUF struct buf is = BUF_INIT(8192);
    char date[AWS_DATE_SIZE], should[1024];

    snprintf(should, sizeof(should),
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, "
             "Signature=%s",
             s->access_key_id, aws_date(s->at, date), s->region, s->service, v->signed_headers,
             v->signature);
    authorize(s, v, &is);
    if (!str_eq(text_of(&is), should))
        print_error("%s of service %s\n", v->name, s->service);
    assert_string_equal(text_of(&is), should);
}

static void published_examples(void **state)
{
    size_t checked = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < aws_vector_suites[i].count; j++, checked++)
            check_vector(&aws_vector_suites[i], &aws_vector_suites[i].vectors[j]);
    assert_int_equal(checked, 32);
}

/* A server computes the same whichever order the headers came in. */
static void order_of_headers_does_not_matter(void **state)
{
    struct aws_vector_suite s = aws_vector_suites[1];
    struct aws_vector turned = s3_vectors[1];
    size_t count = 0;

    (void)state;
    while (turned.headers[count])
        count++;
    for (size_t i = 0; i < count; i++)
        turned.headers[i] = s3_vectors[1].headers[count - 1 - i];
    check_vector(&s, &turned);
}

static void a_name_that_begins_another_stands_first(void **state)
{
    const struct aws_vector v = {.method = "GET",
                                 .path = "/",
                                 .headers = {"x-amz-acl-b: 1", "Host: a", "X-Amz-Acl: 2", "b: 3"}};
    CLEANUP_BUF struct buf is = BUF_INIT(8192);

    (void)state;
    authorize(&aws_vector_suites[1], &v, &is);
    assert_non_null(strstr(text_of(&is), "SignedHeaders=b;host;x-amz-acl;x-amz-acl-b,"));
}

/* Each part of a request is in its signature. */
static void every_part_counts(void **state)
{
    struct aws_vector_suite s = aws_vector_suites[1];
    struct aws_vector v[6];
    CLEANUP_BUF struct buf good = BUF_INIT(8192);

    (void)state;
    for (size_t i = 0; i < 6; i++)
        v[i] = s3_vectors[0];
    v[0].method = "HEAD";
    v[1].path = "/test.txu";
    v[2].params[0] = (struct aws_param){"versionId", "1"};
    v[3].headers[1] = "Range:bytes=0-8";
    v[4].body = "x";
    authorize(&s, &v[5], &good);
    for (size_t i = 0; i < 5; i++) {
        CLEANUP_BUF struct buf other = BUF_INIT(8192);
        authorize(&s, &v[i], &other);
        assert_string_not_equal(text_of(&other), text_of(&good));
    }
    s.region = "eu-central-1";
    CLEANUP_BUF struct buf other = BUF_INIT(8192);
    authorize(&s, &v[5], &other);
    assert_string_not_equal(strstr(text_of(&other), "Signature="),
                            strstr(text_of(&good), "Signature="));
}

static void assert_encoded(const char *text, bool keep_slash, const char *should)
{
    CLEANUP_BUF struct buf b = BUF_INIT(4096);

    assert_int_equal(aws_uri_encode(text, keep_slash, &b, &err), RC_OK);
    assert_string_equal(text_of(&b), should);
}

static void encoding(void **state)
{
    (void)state;
    assert_encoded("", true, "");
    assert_encoded("a/b c+d", true, "a/b%20c%2Bd");
    assert_encoded("a/b=c&d", false, "a%2Fb%3Dc%26d");
    assert_encoded("AZaz09-._~", false, "AZaz09-._~");
    assert_encoded("\x01\x7f\x80\xff%*'()!", false, "%01%7F%80%FF%25%2A%27%28%29%21");
}

static void assert_query(const struct aws_param *params, size_t count, const char *should)
{
    CLEANUP_BUF struct buf b = BUF_INIT(4096);

    assert_int_equal(aws_query(params, count, &b, &err), RC_OK);
    assert_string_equal(text_of(&b), should);
}

/* By the encoded names, not by the encoded "name=value": '=' would stand between '-' and 'A'. And
 * by the encoded bytes: ':' is behind '9', but its '%' is before '0'. */
static void order_of_a_query(void **state)
{
    const struct aws_param by_name[] = {{"a0", "1"}, {"a", "2"}, {"a-b", "3"}, {"a:", "4"}};
    const struct aws_param by_value[] = {{"k", "b"}, {"k", "\x80"}, {"k", ""}, {"k", "/"}};
    const struct aws_param listing[] = {
        {"prefix", "a/b c"}, {"list-type", "2"}, {"continuation-token", "1/+="}};

    (void)state;
    assert_query(NULL, 0, "");
    assert_query(by_name, 4, "a=2&a%3A=4&a-b=3&a0=1");
    assert_query(by_value, 4, "k=&k=%2F&k=%80&k=b");
    assert_query(listing, 3, "continuation-token=1%2F%2B%3D&list-type=2&prefix=a%2Fb%20c");
}

static void a_request_over_the_limit_is_refused(void **state)
{
    CLEANUP_BUF struct buf to = BUF_INIT(8192), query = BUF_INIT(1 << 20);
    const char *const headers[] = {"Host:a", NULL};
    struct aws_keys keys = {.access_key_id = (char[]){"id"}, .secret_access_key = (char[]){"key"}};

    (void)state;
    for (size_t i = 0; i < 300000; i++)
        assert_int_equal(buf_append(&query, "a", 1, &err), RC_OK);
    struct aws_request r = {.method = "GET",
                            .path = "/",
                            .query = text_of(&query),
                            .headers = headers,
                            .payload_sha256 = "UNSIGNED-PAYLOAD",
                            .region = "r",
                            .service = "s3"};
    assert_int_equal(aws_authorize(&keys, &r, &to, &err), RC_NOMEM);
}

static void keys_are_empty_afterwards(void **state)
{
    struct aws_keys k = {.access_key_id = str_dup("id"),
                         .secret_access_key = str_dup("secret"),
                         .session_token = str_dup("token"),
                         .generation = 3};

    (void)state;
    aws_keys_done(&k);
    assert_null(k.access_key_id);
    assert_null(k.secret_access_key);
    assert_null(k.session_token);
    aws_keys_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(order_of_headers_does_not_matter),
        cmocka_unit_test(a_name_that_begins_another_stands_first),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(encoding),
        cmocka_unit_test(order_of_a_query),
        cmocka_unit_test(a_request_over_the_limit_is_refused),
        cmocka_unit_test(keys_are_empty_afterwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
