/* Storage classes: what a put asks for, and objects that are in an archive. */
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
    struct fault_proxy *proxy;
    struct store *store; /* through the proxy */
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
    f->proxy = fault_proxy_start(s3fix_setting("ENDPOINT"));
    struct store_options o = s3fix_options(f->bucket);
    o.s3.endpoint = fault_proxy_url(f->proxy);
    assert_rc(f, store_open(&o, &f->store, &f->err), RC_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    fault_proxy_stop(f->proxy);
    free(f);
    return 0;
}

static enum rc put_in(struct fixture *f, const char *name, const char *class)
{
    const struct store_put_how how = {.storage_class = class};

    return store_put_as(f->store, name, "bytes", 5, &how, &f->err);
}

/* ---- putting ---- */

static void a_class_is_asked_for(void **state)
{
    struct fixture *f = *state;
    char class[64];

    assert_rc(f, put_in(f, "a/usual", NULL), RC_OK);
    assert_rc(f, put_in(f, "a/standard", "STANDARD"), RC_OK);
    foreign_header(f->bucket, "a/standard", "x-amz-storage-class", class, sizeof(class));
    assert_true(!class[0] || str_eq(class, "STANDARD")); /* AWS's HEAD does not tell it, either */
    if (!s3fix_is("minio"))
        return;
    assert_rc(f, put_in(f, "a/other", "REDUCED_REDUNDANCY"), RC_OK);
    foreign_header(f->bucket, "a/other", "x-amz-storage-class", class, sizeof(class));
    assert_string_equal(class, "REDUCED_REDUNDANCY");
    foreign_header(f->bucket, "a/usual", "x-amz-storage-class", class, sizeof(class));
    assert_string_equal(class, "");
}

static void an_unknown_class_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store_info info;

    assert_rc(f, put_in(f, "a/x", "CHEAP_AND_BRITTLE"), RC_STORAGE);
    assert_non_null(strstr(f->err.what, "storage class"));
    assert_non_null(strstr(f->err.now, "storage-class"));
    assert_rc(f, store_head(f->store, "a/x", &info, &f->err), RC_NOT_FOUND);
}

/* ---- reading ----
 *
 * No server here has an archive: the answer is AWS's (S3 API reference, GetObject, and the user
 * guide on archived objects). */

static const char archived[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object's "
    "storage class</Message><StorageClass>GLACIER</StorageClass><RequestId>8B3F7AF1</RequestId>"
    "</Error>";

static void archive(struct fixture *f)
{
    fault_proxy_set(
        f->proxy,
        (struct proxy_rule){
            .method = "GET", .path = "a/x", .act = PROXY_STATUS, .status = 403, .body = archived});
}

static void assert_archived(struct fixture *f, enum rc rc)
{
    assert_rc(f, rc, RC_STORAGE);
    assert_false(f->err.transient);
    assert_non_null(strstr(f->err.what, "archive storage class"));
    assert_non_null(strstr(f->err.on, "a/x"));
    assert_non_null(strstr(f->err.now, "restore-object"));
}

static void an_archived_object_is_not_absent(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;

    assert_rc(f, put_in(f, "a/x", NULL), RC_OK);
    archive(f);
    assert_archived(f, store_get(f->store, "a/x", &b, &f->err));
    assert_int_equal(fault_proxy_hits(f->proxy, 0), 1); /* not worth another try */
    assert_archived(f, store_get_range(f->store, "a/x", 1, 2, &b, &f->err));
    assert_int_equal(b.len, 0);
    assert_rc(f, store_head(f->store, "a/x", &info, &f->err), RC_OK); /* HEAD works there */
    assert_rc(f, store_put(f->store, "a/x", "bytes", 5, &f->err), RC_EXISTS);
    assert_rc(f, store_remove(f->store, "a/x", &f->err), RC_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_class_is_asked_for),
        TEST(an_unknown_class_is_refused),
        TEST(an_archived_object_is_not_absent),
    };
    const struct CMUnitTest without[] = {
        TEST(an_archived_object_is_not_absent),
    };
    const char *kind = s3fix_setting_or("KIND");

    if (str_eq(kind, "s3rver")) /* it takes any class for good, and any object for new */
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
