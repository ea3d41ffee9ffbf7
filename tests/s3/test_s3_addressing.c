/*
 * The ways to a server: a bucket in the host's name, IPv6, proxies from the environment. Looked at
 * from where the requests pass.
 */
#include "base/str.h"
#include "support/fault_proxy.h"
#include "support/front.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Put, head, list, get and remove: what is signed differs in each. */
static void use(const struct store_options *o)
{
    CLEANUP_STORE struct store *s = NULL;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    const char *const names[] = {"d/x=1+2"};
    struct store_info info;
    struct error e = {0};
    enum rc rc = store_open(o, &s, &e);

    if (rc == RC_OK)
        rc = store_put(s, names[0], "hello", 5, &e);
    if (rc == RC_OK)
        rc = store_head(s, names[0], &info, &e);
    if (rc == RC_OK)
        rc = store_get(s, names[0], &b, &e);
    if (rc == RC_OK)
        rc = store_remove_many(s, names, 1, NULL, NULL, &e);
    if (rc != RC_OK)
        fail_msg("%s: %s", e.what, e.on);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "hello", 5);
    assert_int_equal(store_head(s, names[0], &info, &e), RC_NOT_FOUND);
}

/* How many requests have `text` in their path, of how many, while a store is used through a proxy
 * at <host>:PORT. */
static void count_paths(struct store_options *o, const char *host, const char *text,
                        unsigned *ret_hits, size_t *ret_all)
{
    struct fault_proxy *p = fault_proxy_start(s3fix_setting("ENDPOINT"));
    CLEANUP_FREE char *url = str_printf("http://%s%s", host, strrchr(fault_proxy_url(p), ':'));

    fault_proxy_set(p, (struct proxy_rule){.path = text, .act = PROXY_PASS});
    o->s3.endpoint = url;
    use(o);
    *ret_hits = fault_proxy_hits(p, 0);
    *ret_all = fault_proxy_seen(p, NULL, NULL, 0);
    fault_proxy_stop(p);
}

static void the_bucket_stands_in_the_path(void **state)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    unsigned hits;
    size_t all;

    (void)state;
    count_paths(&o, "127.0.0.1", o.s3.bucket, &hits, &all);
    assert_true(all > 0);
    assert_int_equal(hits, all);
}

static void the_bucket_stands_in_the_host(void **state)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    unsigned hits;
    size_t all;

    (void)state;
    o.s3.uri_style = S3_URI_VIRTUAL;
    count_paths(&o, "s3.localhost", o.s3.bucket, &hits, &all);
    assert_true(all > 0);
    assert_int_equal(hits, 0);
}

static void the_bucket_stands_in_the_certificate(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);
    CLEANUP_FREE char *url = str_printf("https://s3.localhost:%u", front_port(f));
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));

    (void)state;
    o.s3.endpoint = url;
    o.s3.ca_file = front_file(f, "ca.crt");
    o.s3.uri_style = S3_URI_VIRTUAL;
    use(&o);
    assert_true(front_connections(f) > 0);
}

static void an_ipv6_address_is_an_endpoint(void **state)
{
    CLEANUP_FREE char *url = str_printf("http://[::1]:%u", s3fix_port());
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));

    (void)state;
    o.s3.endpoint = url;
    use(&o);
}

/* ---- proxies ---- */

static const char *const proxy_variables[] = {
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

static int forget_proxies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(proxy_variables) / sizeof(proxy_variables[0]); i++)
        unsetenv(proxy_variables[i]);
    return front_stop_all(state);
}

static void plain_requests_go_through_http_proxy(void **state)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    struct front *proxy = front_proxy();

    (void)state;
    setenv("http_proxy", front_url(proxy), 1);
    use(&o);
    assert_true(front_count(proxy, o.s3.bucket) >= 5);
}

static void tls_goes_through_https_proxy(void **state)
{
    struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED), *proxy = front_proxy();
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));

    (void)state;
    o.s3.endpoint = front_url(f);
    o.s3.ca_file = front_file(f, "ca.crt");
    setenv("https_proxy", front_url(proxy), 1);
    use(&o);
    assert_true(front_count(proxy, "CONNECT 127.0.0.1") > 0);
    assert_int_equal(front_count(proxy, o.s3.bucket), 0); /* it sees nothing of it */
}

static void no_proxy_is_obeyed(void **state)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    struct front *proxy = front_proxy();

    (void)state;
    setenv("http_proxy", front_url(proxy), 1);
    setenv("no_proxy", "127.0.0.1", 1);
    use(&o);
    assert_int_equal(front_connections(proxy), 0);
}

static void a_proxy_without_a_name_is_blamed(void **state)
{
    struct store_options o = s3fix_options(s3fix_setting("BUCKET"));
    CLEANUP_STORE struct store *s = NULL;
    struct error e = {0};

    (void)state;
    setenv("http_proxy", "http://proxy.invalid:3128", 1);
    o.s3.retry_seconds = 0;
    assert_int_equal(store_open(&o, &s, &e), RC_OK);
    assert_int_equal(store_put(s, "x", "1", 1, &e), RC_STORAGE);
    assert_non_null(strstr(e.now, "http_proxy"));
}

#define ADDRESSING_TEST(f) cmocka_unit_test_setup_teardown(f, forget_proxies, forget_proxies)

int main(void)
{
    const struct CMUnitTest everywhere[] = {
        ADDRESSING_TEST(the_bucket_stands_in_the_path),
        ADDRESSING_TEST(plain_requests_go_through_http_proxy),
        ADDRESSING_TEST(tls_goes_through_https_proxy),
        ADDRESSING_TEST(no_proxy_is_obeyed),
        ADDRESSING_TEST(a_proxy_without_a_name_is_blamed),
    };
    /* s3rver knows no names of its own, and listens to IPv4 alone. */
    const struct CMUnitTest not_s3rver[] = {
        ADDRESSING_TEST(the_bucket_stands_in_the_host),
        ADDRESSING_TEST(the_bucket_stands_in_the_certificate),
        ADDRESSING_TEST(an_ipv6_address_is_an_endpoint),
    };
    const char *kind = s3fix_setting_or("KIND");
    int failures = cmocka_run_group_tests(everywhere, NULL, NULL);

    if (!str_eq(kind, "s3rver"))
        failures += cmocka_run_group_tests(not_s3rver, NULL, NULL);
    return failures ? 1 : 0;
}
