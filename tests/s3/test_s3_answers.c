/*
 * What the answers of an S3 server mean: refusals are no absence, each end says what to do, and a
 * listing that can't be trusted is none. Where the real server can be brought to give an answer it
 * does; the others are the proxy's.
 */
#include "base/clock.h"
#include "base/str.h"
#include "support/s3_fixture.h"
#include "support/s3_proxied.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HTML         "<html><body><h1>It works!</h1></body></html>"
#define PERMANENT    1 /* seconds of retries: what would be tried again fails soon */

/* ---- absence ---- */

static void absent_is_what_the_server_says_so_of(void **state)
{
    struct s3_proxied *f = *state;
    static const enum s3_op ops[] = {S3_GET, S3_RANGE, S3_HEAD, S3_REMOVE};

    for (size_t i = 0; i < COUNT(ops); i++) {
        s3_new_name(f);
        assert_int_equal(s3_do_again(f, f->store, ops[i]), RC_NOT_FOUND);
    }
}

/* With an object that is there, and with one that is not. */
static void assert_never_absent(struct s3_proxied *f, struct store *s, const char *what)
{
    for (enum s3_op op = 0; op < S3_OPS; op++)
        for (int there = 0; there < 2; there++) {
            enum rc rc;

            s3_new_name(f);
            rc = there ? s3_do(f, s, op) : s3_do_again(f, s, op);
            if (rc != RC_STORAGE)
                fail_msg("%s, %s: %s (%s)", what, s3_op_name(op), rc_name(rc), f->err.what);
            s3_assert_says(f, f->options.s3.bucket);
        }
}

static void refusals_and_pages_of_others_are_no_absence(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, PERMANENT);
    static const struct proxy_rule answers[] = {
        {.status = 403, .code = "AccessDenied"}, {.status = 403},
        {.status = 403, .body = HTML},           {.status = 401, .body = HTML},
        {.status = 404, .body = HTML},           {.status = 404},
        {.status = 404, .code = "NoSuchBucket"}, {.status = 404, .code = "NoSuchUpload"},
        {.status = 410, .code = "NoSuchKey"},    {.status = 200, .code = "NoSuchKey"},
        {.status = 412, .body = HTML},           {.status = 302, .headers = "Location: /\r\n"},
        {.status = 418, .body = HTML},           {.status = 507, .code = "XMinioStorageFull"},
    };

    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
    for (size_t i = 0; i < COUNT(answers); i++) {
        struct proxy_rule rule = answers[i];
        char what[60];

        rule.act = PROXY_STATUS;
        fault_proxy_set(f->proxy, rule);
        snprintf(what, sizeof(what), "%d %s", rule.status, rule.code ? rule.code : "");
        assert_never_absent(f, s, what);
    }
}

/* A HEAD has no document: a refused one says nothing, and must not be taken for absence. */
static void refused_heads_alone_are_no_absence(void **state)
{
    struct s3_proxied *f = *state;
    static const int statuses[] = {403, 404, 400, 405};

    for (size_t i = 0; i < COUNT(statuses); i++) {
        fault_proxy_set(
            f->proxy,
            (struct proxy_rule){.method = "HEAD", .act = PROXY_STATUS, .status = statuses[i]});
        assert_int_equal(s3_do(f, f->store, S3_HEAD), RC_STORAGE);
        assert_int_equal(s3_do(f, f->store, S3_REMOVE), RC_STORAGE);
    }
}

/* As when it is put between the HEAD and the question why it is not there. */
static void what_has_just_come_is_there(void **state)
{
    s3_survives(*state, S3_HEAD,
                (struct proxy_rule){.act = PROXY_STATUS, .status = 404, .times = 1}, 1);
}

static void a_bucket_that_is_not_there_is_said(void **state)
{
    struct s3_proxied *f = *state;

    f->options.s3.bucket = "pgproof-there-is-no-such-bucket";
    CLEANUP_STORE struct store *s = s3_proxied_open(f, S3_PROXIED_RETRY);

    fault_proxy_forget(f->proxy);
    assert_never_absent(f, s, "no bucket");
    s3_assert_says(f, "'bucket'");
    assert_false(f->err.transient);
}

/* ---- what to do ---- */

/* One such answer to everything: the operation fails at once, with these words. */
static void assert_said(struct s3_proxied *f, enum s3_op op, struct proxy_rule rule,
                        const char *const *words)
{
    rule.act = PROXY_STATUS;
    rule.method = op == S3_PUT ? "PUT" : NULL;
    fault_proxy_set(f->proxy, rule);
    assert_int_equal(s3_do(f, f->store, op), RC_STORAGE);
    for (; *words; words++)
        s3_assert_says(f, *words);
}

static void refusals_name_the_remedy(void **state)
{
    static const struct {
        struct proxy_rule rule;
        const char *words[4];
    } rows[] = {
        {{.status = 403, .code = "AccessDenied"}, {"403 AccessDenied", "docs/security.md"}},
        {{.status = 403}, {"403", "docs/security.md"}},
        {{.status = 403, .code = "InvalidAccessKeyId"}, {"access key", "pgproof config"}},
        {{.status = 403, .code = "SignatureDoesNotMatch"}, {"secret", "secret-access-key"}},
        {{.status = 400, .code = "ExpiredToken"}, {"ended", "pgproof config"}},
        {{.status = 404, .code = "NoSuchBucket"}, {"no such bucket", "'bucket'"}},
        {{.status = 403, .code = "InvalidObjectState"}, {"archive", "restore-object"}},
        {{.status = 403, .code = "QuotaExceeded"}, {"quota", "raise"}},
        {{.status = 507, .code = "XMinioStorageFull"}, {"full", "make room"}},
        {{.status = 400, .code = "SomethingNew"}, {"400 SomethingNew", "injected"}},
        {{.status = 301,
          .code = "PermanentRedirect",
          .headers = "x-amz-bucket-region: eu-central-1\r\n"},
         {"in region eu-central-1", "us-east-1", "region = eu-central-1"}},
        {{.status = 400,
          .body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong"
                  "</Message><Region>eu-west-3</Region></Error>"},
         {"in region eu-west-3", "region = eu-west-3"}},
        {{.status = 307, .headers = "Location: http://elsewhere.invalid/\r\n"},
         {"elsewhere", "'endpoint'"}},
    };
    struct s3_proxied *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_said(f, S3_GET, rows[i].rule, rows[i].words);
        assert_false(f->err.transient);
        assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
        assert_said(f, S3_PUT, rows[i].rule, rows[i].words);
        assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
        assert_said(f, S3_HEAD, rows[i].rule, rows[i].words); /* asks again, by a GET */
        assert_int_equal(fault_proxy_hits(f->proxy, 0), 2);
    }
}

static void clocks_that_differ_are_both_named(void **state)
{
    struct s3_proxied *f = *state;
    time_t now = time(NULL), later = now + 3660L * 86400;
    char here[6], there[6];
    struct tm tm;

    strftime(here, sizeof(here), "%Y-", gmtime_r(&now, &tm));
    strftime(there, sizeof(there), "%Y-", gmtime_r(&later, &tm));
    const char *words[] = {"clock", here, there, "NTP", NULL};
    const struct proxy_rule rule = {
        .status = 403, .code = "RequestTimeTooSkewed", .by = 3660L * 86400};

    assert_said(f, S3_GET, rule, words);
    assert_said(f, S3_PUT, rule, words);
    assert_said(f, S3_LIST, rule, words);
    assert_said(f, S3_HEAD, rule, words);
}

/* A client whose clock is 20 minutes off, and the server's own word for it. */
static void a_wrong_clock_is_said(void **state)
{
    struct s3_proxied *f = *state;

    for (long by = -1200; by <= 1200; by += 2400) {
        fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_CLIENT_CLOCK,
                                                      .by = by,
                                                      .secret = f->options.s3.secret_access_key});
        for (enum s3_op op = 0; op < S3_OPS; op++) {
            assert_int_equal(s3_do(f, f->store, op), RC_STORAGE);
            s3_assert_says(f, "clock");
            s3_assert_says(f, "NTP");
        }
    }
}

static void wrong_keys_are_said(void **state)
{
    struct s3_proxied *f = *state;
    static const char secret[] = "nobody/has+this/SECRET";

    f->options.s3.secret_access_key = secret;
    CLEANUP_STORE struct store *bad_secret = s3_proxied_open(f, S3_PROXIED_RETRY);
    f->options.s3.access_key_id = "NOBODYHASTHISKEY";
    CLEANUP_STORE struct store *bad_key = s3_proxied_open(f, S3_PROXIED_RETRY);

    for (enum s3_op op = 0; op < S3_OPS && !s3fix_is("s3rver");
         op++) { /* it checks no signatures */
        assert_int_equal(s3_do(f, bad_secret, op), RC_STORAGE);
        s3_assert_says(f, "secret key is wrong");
        assert_false(f->err.transient);
        assert_int_equal(s3_do(f, bad_key, op), RC_STORAGE);
        s3_assert_says(f, "does not know this access key");
        assert_null(strstr(f->err.what, secret));
    }
}

/* ---- listings ---- */

struct names {
    char all[200];
};

static enum rc add_name(void *ctx, const char *name, const struct store_info *info,
                        struct error *err)
{
    struct names *n = ctx;
    size_t used = strlen(n->all);

    (void)info;
    (void)err;
    snprintf(n->all + used, sizeof(n->all) - used, "%s ", name);
    return RC_OK;
}

/* A page with these keys below the test's prefix (or not below it, with '!'), cut to `len`. */
static char *page(const struct s3_proxied *f, const char *const *keys, const char *next)
{
    char *text = str_printf("<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>"
                            "<IsTruncated>%s</IsTruncated>%s%s%s",
                            next ? "true" : "false", next ? "<NextContinuationToken>" : "",
                            next ? next : "", next ? "</NextContinuationToken>" : "");

    for (; *keys; keys++) {
        bool ours = (*keys)[0] != '!';
        char *more =
            str_printf("%s<Contents><Key>%s%s%s</Key><LastModified>2026-11-21T14:30:00.000Z"
                       "</LastModified><Size>3</Size></Contents>",
                       text, ours ? f->prefix : "", ours ? "/" : "", *keys + !ours);

        free(text);
        text = more;
    }
    char *whole = str_printf("%s</ListBucketResult>", text);
    free(text);
    return whole;
}

static void pages_are_joined(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_FREE char *first = page(f, (const char *const[]){"a/1", "a/2", NULL}, "go on+/=");
    CLEANUP_FREE char *second = page(f, (const char *const[]){"a/3", "b/1", NULL}, NULL);
    struct names n = {0};

    /* The second page comes at the third attempt. */
    fault_proxy_set(f->proxy, (struct proxy_rule){.path = "continuation-token=go%20on%2B%2F%3D",
                                                  .act = PROXY_STATUS,
                                                  .status = 503,
                                                  .times = 1});
    fault_proxy_add(f->proxy, (struct proxy_rule){.path = "continuation-token",
                                                  .act = PROXY_STATUS,
                                                  .status = 200,
                                                  .body = "<ListBucketResult><Contents>",
                                                  .times = 1});
    fault_proxy_add(f->proxy, (struct proxy_rule){.path = "continuation-token",
                                                  .act = PROXY_STATUS,
                                                  .status = 200,
                                                  .body = second});
    fault_proxy_add(f->proxy,
                    (struct proxy_rule){
                        .path = "list-type=2", .act = PROXY_STATUS, .status = 200, .body = first});
    if (store_list(f->store, "", add_name, &n, &f->err) != RC_OK)
        fail_msg("%s", f->err.what);
    assert_string_equal(n.all, "a/1 a/2 a/3 b/1 ");
    for (unsigned rule = 0; rule < 4; rule++)
        assert_int_equal(fault_proxy_hits(f->proxy, rule), 1);
}

/* To every request for a page the same answer: the listing fails, and ends. */
static void assert_untrusted(struct s3_proxied *f, struct store *s, const char *body,
                             const char *word)
{
    struct names n = {0};

    fault_proxy_set(f->proxy,
                    (struct proxy_rule){
                        .path = "list-type=2", .act = PROXY_STATUS, .status = 200, .body = body});
    f->err = (struct error){0};
    if (store_list(s, "a/", add_name, &n, &f->err) != RC_STORAGE)
        fail_msg("taken for a listing: %s", body);
    s3_assert_says(f, word);
}

static void listings_that_can_not_be_trusted_are_none(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, PERMANENT);
    CLEANUP_FREE char *round = page(f, (const char *const[]){"a/1", NULL}, "again");
    CLEANUP_FREE char *empty_round = page(f, (const char *const[]){NULL}, "again");
    CLEANUP_FREE char *foreign = page(f, (const char *const[]){"a/1", "b/1", NULL}, NULL);
    CLEANUP_FREE char *outside = page(f, (const char *const[]){"!elsewhere/a/1", NULL}, NULL);
    CLEANUP_FREE char *no_token = page(f, (const char *const[]){"a/1", NULL}, "");

    assert_int_equal(s3_do(f, s, S3_LIST), RC_OK);
    assert_untrusted(f, s, round, "listing");
    assert_untrusted(f, s, empty_round, "goes on where it was");
    assert_untrusted(f, s, foreign, "without the prefix");
    assert_untrusted(f, s, outside, "without the prefix");
    assert_untrusted(f, s, no_token, "");
    assert_untrusted(f, s, "", "ListBucketResult");
    assert_untrusted(f, s, HTML, "ListBucketResult");
    assert_untrusted(f, s, "<ListBucketResult></ListBucketResult><p>more</p>", "");
    assert_untrusted(f, s, "<ListBucketResult><Contents><Key>a/1</Key></Contents>", "");
}

/* Some clones list in the order of their directories, and an object may change its place meanwhile.
 */
static void names_come_in_order_and_once(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_FREE char *first = page(f, (const char *const[]){"a/2", "a/1", NULL}, "on");
    CLEANUP_FREE char *second = page(f, (const char *const[]){"a/3", "a/2", "a/0", NULL}, NULL);
    struct names n = {0};

    fault_proxy_set(f->proxy, (struct proxy_rule){.path = "continuation-token",
                                                  .act = PROXY_STATUS,
                                                  .status = 200,
                                                  .body = second});
    fault_proxy_add(f->proxy,
                    (struct proxy_rule){
                        .path = "list-type=2", .act = PROXY_STATUS, .status = 200, .body = first});
    assert_int_equal(store_list(f->store, "a/", add_name, &n, &f->err), RC_OK);
    assert_string_equal(n.all, "a/0 a/1 a/2 a/3 ");
}

/* Of a page, every beginning. */
static void pages_that_are_cut_are_none(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 0);
    CLEANUP_FREE char *whole = page(f, (const char *const[]){"a/1", "a/2", "a/3", NULL}, NULL);
    struct names n = {0};

    for (size_t len = strlen(whole) - 1; len > 20; len -= 9) {
        CLEANUP_FREE char *cut = str_dup(whole);

        cut[len] = '\0';
        assert_untrusted(f, s, cut, "");
    }
    fault_proxy_set(f->proxy,
                    (struct proxy_rule){
                        .path = "list-type=2", .act = PROXY_STATUS, .status = 200, .body = whole});
    assert_int_equal(store_list(s, "a/", add_name, &n, &f->err), RC_OK);
    assert_string_equal(n.all, "a/1 a/2 a/3 ");
}

/* ---- removals in a batch ---- */

static void keys_that_a_batch_left_are_removed_one_by_one(void **state)
{
    struct s3_proxied *f = *state;
    const char *names[] = {"faults/object-left", "faults/object-gone", "faults/object-never"};
    CLEANUP_FREE char *answer =
        str_printf("<DeleteResult><Deleted><Key>%s/%s</Key></Deleted><Error><Key>%s/%s</"
                   "Key><Code>InternalError"
                   "</Code><Message>try again</Message></Error></DeleteResult>",
                   f->prefix, names[1], f->prefix, names[0]);
    struct store_info info;

    assert_int_equal(store_put(f->direct, names[0], "x", 1, &f->err), RC_OK);
    fault_proxy_set(
        f->proxy,
        (struct proxy_rule){
            .method = "POST", .act = PROXY_STATUS, .status = 200, .body = answer, .times = 1});
    assert_int_equal(store_remove_many(f->store, names, 3, NULL, NULL, &f->err), RC_OK);
    assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
    assert_int_equal(store_head(f->direct, names[0], &info, &f->err), RC_NOT_FOUND);
}

/* One key is denied, the others go; each name is heard of once. */
static void count_ends(void *ctx, const char *name, enum rc rc, const struct error *e)
{
    unsigned *ends = ctx;

    assert_true((rc == RC_OK) == (e == NULL));
    assert_true(rc == RC_OK || str_ends(name, "-1"));
    ends[rc == RC_OK]++;
}

static void a_key_that_is_denied_does_not_keep_the_others(void **state)
{
    struct s3_proxied *f = *state;
    const char *names[] = {"faults/object-d-0", "faults/object-d-1", "faults/object-d-2"};
    unsigned ends[2] = {0, 0};
    struct store_info info;

    for (int i = 0; i < 3; i++)
        assert_int_equal(store_put(f->direct, names[i], "x", 1, &f->err), RC_OK);
    fault_proxy_set(f->proxy, (struct proxy_rule){.method = "POST",
                                                  .act = PROXY_STATUS,
                                                  .status = 403,
                                                  .code = "AccessDenied"});
    fault_proxy_add(f->proxy, (struct proxy_rule){.method = "DELETE",
                                                  .path = names[1],
                                                  .act = PROXY_STATUS,
                                                  .status = 403,
                                                  .code = "AccessDenied"});
    assert_int_equal(store_remove_many(f->store, names, 3, count_ends, ends, &f->err), RC_STORAGE);
    s3_assert_says(f, names[1]);
    assert_int_equal(ends[true], 2);
    assert_int_equal(ends[false], 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_head(f->direct, names[i], &info, &f->err),
                         i == 1 ? RC_OK : RC_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s3_proxied_set_up, s3_proxied_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(absent_is_what_the_server_says_so_of),
        TEST(refusals_and_pages_of_others_are_no_absence),
        TEST(refused_heads_alone_are_no_absence),
        TEST(what_has_just_come_is_there),
        TEST(a_bucket_that_is_not_there_is_said),
        TEST(refusals_name_the_remedy),
        TEST(clocks_that_differ_are_both_named),
        TEST(a_wrong_clock_is_said),
        TEST(wrong_keys_are_said),
        TEST(pages_are_joined),
        TEST(listings_that_can_not_be_trusted_are_none),
        TEST(names_come_in_order_and_once),
        TEST(pages_that_are_cut_are_none),
        TEST(keys_that_a_batch_left_are_removed_one_by_one),
        TEST(a_key_that_is_denied_does_not_keep_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
