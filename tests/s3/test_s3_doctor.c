/* What store_examine finds out about the real server, and about one that a proxy makes worse. */
#include "base/proc.h"
#include "base/str.h"
#include "support/fault_proxy.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINDINGS_MAX 64

static const char *const verdicts[] = {"holds", "lacks", "unknown", "fact", "warning", "broken"};

struct found {
    char what[64];
    char text[1024];
    enum store_verdict verdict;
    bool needed;
};

struct examined {
    struct found all[FINDINGS_MAX];
    size_t count;
    enum rc rc;
    struct error err;
};

static void note(void *ctx, const struct store_finding *f)
{
    struct examined *x = ctx;
    struct found *to = &x->all[x->count++];

    assert_true(x->count <= FINDINGS_MAX);
    assert_non_null(f->group);
    assert_true(str_copy(to->what, sizeof(to->what), f->what));
    assert_true(str_copy(to->text, sizeof(to->text), f->text));
    assert_null(strchr(f->text, '\n'));
    to->verdict = f->verdict;
    to->needed = f->needed;
}

static struct examined *examine(const struct store_options *o)
{
    struct examined *x = calloc(1, sizeof(*x));
    struct store *s;

    assert_int_equal(store_open(o, &s, &x->err), RC_OK);
    x->rc = store_examine(s, note, x, &x->err);
    store_close(s);
    return x;
}

static const struct found *find(const struct examined *x, const char *what)
{
    for (size_t i = 0; i < x->count; i++)
        if (str_eq(x->all[i].what, what))
            return &x->all[i];
    return NULL;
}

static const struct found *must_find(const struct examined *x, const char *what,
                                     enum store_verdict verdict)
{
    const struct found *f = find(x, what);

    if (!f)
        fail_msg("nothing was found out about '%s' (%s)", what, x->err.what);
    if (f->verdict != verdict)
        fail_msg("%s: %s, not %s: %s", what, verdicts[f->verdict], verdicts[verdict], f->text);
    return f;
}

/* No promise is broken or unknown, whatever else there is. */
static void assert_sound(const struct examined *x)
{
    if (x->rc != RC_OK)
        fail_msg("%s", x->err.what);
    for (size_t i = 0; i < x->count; i++)
        if (x->all[i].verdict == STORE_BROKEN ||
            (x->all[i].needed && x->all[i].verdict == STORE_UNKNOWN))
            fail_msg("%s: %s", x->all[i].what, x->all[i].text);
}

/* No version of anything of its own, as another client sees it. */
static void assert_clean(const char *bucket)
{
    CLEANUP_BUF struct buf b = BUF_INIT(16u << 20);
    struct s3fix_call list = {.method = "GET", .bucket = bucket, .query = "versions="};
    struct error err;
    const char *text;

    s3fix_must(&list, &b);
    assert_int_equal(buf_cstr(&b, &text, &err), RC_OK);
    if (strstr(text, ".doctor"))
        fail_msg("left behind: %.300s", strstr(text, ".doctor"));
}

/* radosgw 16 does not look at If-None-Match where there are versions. */
static bool ignores_header(bool versioned)
{
    return s3fix_is("s3rver") || (versioned && s3fix_is("radosgw"));
}

static void a_plain_bucket_keeps_what_is_needed(void **state)
{
    const char *bucket = s3fix_bucket(S3FIX_PLAIN);
    struct store_options o = s3fix_options(bucket);
    struct examined *x = examine(&o);

    (void)state;
    assert_sound(x);
    must_find(x, "put if absent", STORE_HOLDS);
    must_find(x, "at once", STORE_HOLDS);
    must_find(x, "If-None-Match", ignores_header(false) ? STORE_WARNING : STORE_HOLDS);
    must_find(x, "read after write", STORE_HOLDS);
    must_find(x, "list after write", STORE_HOLDS);
    must_find(x, "range", STORE_HOLDS);
    must_find(x, "absence", STORE_HOLDS);
    must_find(x, "removal", STORE_HOLDS);
    must_find(x, "large objects", STORE_HOLDS);
    must_find(x, "throughput", STORE_FACT);
    must_find(x, "damaged upload", s3fix_is("s3rver") ? STORE_WARNING : STORE_HOLDS);
    must_find(x, "stored checksum", s3fix_is("minio") ? STORE_HOLDS : STORE_LACKS);
    assert_null(find(x, "left behind"));
    if (!s3fix_is("s3rver")) {
        must_find(x, "versioning", STORE_LACKS);
        must_find(x, "batch delete", STORE_HOLDS);
        assert_clean(bucket);
    }
    free(x);
}

static void versions_are_seen_and_none_is_left(void **state)
{
    const char *bucket = s3fix_bucket(S3FIX_VERSIONED);
    struct store_options o = s3fix_options(bucket);
    struct examined *x = examine(&o);

    (void)state;
    assert_sound(x);
    must_find(x, "versioning", STORE_HOLDS);
    must_find(x, "batch delete", STORE_HOLDS);
    must_find(x, "If-None-Match", ignores_header(true) ? STORE_WARNING : STORE_HOLDS);
    assert_non_null(strstr(must_find(x, "allowed", STORE_FACT)->text, "delete versions"));
    assert_null(find(x, "left behind"));
    assert_clean(bucket);
    free(x);
}

static void a_lock_is_tried(void **state)
{
    const char *bucket = s3fix_bucket(S3FIX_LOCK);
    struct store_options o = s3fix_options(bucket);
    struct examined *x;

    (void)state;
    o.s3.lock = S3_LOCK_GOVERNANCE;
    x = examine(&o);
    assert_sound(x);
    must_find(x, "object lock", STORE_HOLDS);
    assert_non_null(strstr(must_find(x, "allowed", STORE_FACT)->text, "extend retention"));
    assert_null(find(x, "left behind"));
    assert_clean(bucket);
    free(x);
}

static void a_lock_that_the_bucket_lacks_is_broken(void **state)
{
    struct store_options o = s3fix_options(s3fix_bucket(S3FIX_PLAIN));
    struct examined *x;

    (void)state;
    o.s3.lock = S3_LOCK_COMPLIANCE;
    x = examine(&o);
    assert_int_equal(x->rc, RC_OK);
    must_find(x, "object lock", STORE_BROKEN);
    free(x);
}

/* ---- a server made worse ---- */

struct worse {
    struct fault_proxy *proxy;
    struct store_options options;
    const char *bucket;
};

static int set_up(void **state)
{
    struct worse *w = calloc(1, sizeof(*w));

    w->bucket = s3fix_bucket(S3FIX_PLAIN);
    w->proxy = fault_proxy_start(s3fix_setting("ENDPOINT"));
    w->options = s3fix_options(w->bucket);
    w->options.s3.endpoint = fault_proxy_url(w->proxy);
    w->options.s3.retry_seconds = 2;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct worse *w = *state;

    fault_proxy_stop(w->proxy);
    free(w);
    return 0;
}

static struct examined *examine_with(struct worse *w, struct proxy_rule rule)
{
    struct examined *x;

    rule.secret = s3fix_setting("SECRET_KEY");
    fault_proxy_set(w->proxy, rule);
    x = examine(&w->options);
    if (fault_proxy_hits(w->proxy, 0) == 0)
        fail_msg("the rule met no request");
    return x;
}

static void claims_stand_in_for_the_header(void **state)
{
    struct examined *x =
        examine_with(*state, (struct proxy_rule){.method = "PUT",
                                                 .act = PROXY_REMOVE_REQUEST_HEADER,
                                                 .headers = "if-none-match"});

    assert_sound(x);
    must_find(x, "If-None-Match", STORE_WARNING);
    must_find(x, "put if absent", STORE_HOLDS);
    must_find(x, "at once", STORE_HOLDS);
    free(x);
}

/* One after the other it is honoured; at once it is not. */
static void a_race_with_two_winners_is_broken(void **state)
{
    struct examined *x =
        examine_with(*state, (struct proxy_rule){.method = "PUT",
                                                 .path = "/at-once-",
                                                 .act = PROXY_REMOVE_REQUEST_HEADER,
                                                 .headers = "if-none-match"});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "put if absent", STORE_HOLDS);
    assert_non_null(strstr(must_find(x, "at once", STORE_BROKEN)->text, "were told that they won"));
    free(x);
}

static void a_put_that_replaces_is_broken(void **state)
{
    struct examined *x =
        examine_with(*state, (struct proxy_rule){.method = "PUT",
                                                 .path = "/twice",
                                                 .act = PROXY_REMOVE_REQUEST_HEADER,
                                                 .headers = "if-none-match"});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "put if absent", STORE_BROKEN);
    free(x);
}

static void other_bytes_are_broken(void **state)
{
    struct examined *x = examine_with(
        *state, (struct proxy_rule){.method = "GET", .path = "/twice", .act = PROXY_FLIP, .at = 3});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "put if absent", STORE_BROKEN);
    must_find(x, "read after write", STORE_HOLDS);
    free(x);
}

/* Of a part no digest is known: only what was put tells. */
static void other_bytes_of_a_part_are_broken(void **state)
{
    struct examined *x = examine_with(
        *state, (struct proxy_rule){.method = "GET", .path = "/range", .act = PROXY_FLIP, .at = 3});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "range", STORE_BROKEN);
    free(x);
}

static void a_listing_that_lags_is_broken(void **state)
{
    static const char empty[] = "<?xml version=\"1.0\"?><ListBucketResult>"
                                "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>"
                                "</ListBucketResult>";
    struct examined *x =
        examine_with(*state, (struct proxy_rule){.method = "GET",
                                                 .path = "max-keys=4",
                                                 .act = PROXY_STATUS,
                                                 .status = 200,
                                                 .headers = "Content-Type: application/xml\r\n",
                                                 .body = empty});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "list after write", STORE_BROKEN);
    free(x);
}

static void a_denied_absence_is_unknown(void **state)
{
    struct examined *x = examine_with(*state, (struct proxy_rule){.method = "GET",
                                                                  .path = "/absent",
                                                                  .act = PROXY_STATUS,
                                                                  .status = 403,
                                                                  .code = "AccessDenied"});

    assert_int_equal(x->rc, RC_OK);
    assert_true(must_find(x, "absence", STORE_UNKNOWN)->needed);
    free(x);
}

static void a_clock_that_is_off_is_told(void **state)
{
    static const struct {
        long by;
        enum store_verdict verdict;
    } clocks[] = {{-120, STORE_WARNING}, {700, STORE_BROKEN}, {30, STORE_HOLDS}};

    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct examined *x = examine_with(
            *state, (struct proxy_rule){.act = PROXY_DATE, .by = clocks[i].by, .times = 1});

        must_find(x, "clock", clocks[i].verdict);
        free(x);
    }
}

static void who_may_not_put_learns_only_what_he_can(void **state)
{
    struct worse *w = *state;
    struct examined *x = examine_with(
        w, (struct proxy_rule){
               .method = "PUT", .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"});

    assert_int_equal(x->rc, RC_OK);
    assert_true(must_find(x, "put and read", STORE_UNKNOWN)->needed);
    must_find(x, "absence", STORE_HOLDS);
    assert_non_null(strstr(must_find(x, "denied", STORE_FACT)->text, "put"));
    assert_non_null(strstr(must_find(x, "allowed", STORE_FACT)->text, "list"));
    assert_null(find(x, "throughput"));
    free(x);
}

/* Nothing large stays where it can't be removed. */
static void who_may_not_delete_puts_nothing_large(void **state)
{
    struct worse *w = *state;
    struct examined *x = examine_with(
        w, (struct proxy_rule){
               .method = "DELETE", .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"});

    assert_sound(x);
    must_find(x, "removal", STORE_LACKS);
    must_find(x, "throughput", STORE_UNKNOWN);
    must_find(x, "left behind", STORE_FACT);
    assert_null(find(x, "large objects"));
    assert_non_null(strstr(must_find(x, "denied", STORE_FACT)->text, "delete"));
    free(x);
}

static void a_limit_on_objects_is_broken(void **state)
{
    struct examined *x = examine_with(*state, (struct proxy_rule){.method = "PUT",
                                                                  .path = "/large",
                                                                  .act = PROXY_STATUS,
                                                                  .status = 400,
                                                                  .code = "EntityTooLarge"});

    assert_int_equal(x->rc, RC_OK);
    must_find(x, "large objects", STORE_BROKEN);
    free(x);
}

static void nobody_there_is_an_error(void **state)
{
    struct worse *w = *state;
    struct examined *x;

    fault_proxy_leave(w->proxy);
    x = examine(&w->options);
    assert_int_equal(x->rc, RC_STORAGE);
    assert_int_equal(x->count, 0);
    free(x);
}

/* And nothing more is asked of him who lets the first request wait in vain. */
static void who_does_not_answer_is_asked_once(void **state)
{
    struct worse *w = *state;
    struct examined *x;

    w->options.s3.stall_seconds = 2;
    w->options.s3.retry_seconds = 1;
    x = examine_with(w, (struct proxy_rule){.act = PROXY_STALL_AFTER});
    assert_int_equal(x->rc, RC_STORAGE);
    assert_int_equal(fault_proxy_seen(w->proxy, NULL, NULL, 0), 1);
    free(x);
}

static void what_is_read_as_of_then_is_refused(void **state)
{
    struct worse *w = *state;
    struct examined *x;

    w->options.as_of = clock_now();
    x = examine(&w->options);
    assert_int_equal(x->rc, RC_CONFIG);
    assert_int_equal(fault_proxy_seen(w->proxy, NULL, NULL, 0), 0);
    free(x);
}

/* ---- the tool ---- */

static int run_tool(struct worse *w, const char *option, char out[static 65536])
{
    CLEANUP_BUF struct buf b = BUF_INIT(65535);
    CLEANUP_FREE char *tool = str_printf("%s/pgproof", getenv("PGPROOF_TEST_BIN"));
    CLEANUP_FREE char *endpoint =
        str_printf("PGPROOF_REPOSITORY_ENDPOINT=%s", fault_proxy_url(w->proxy));
    CLEANUP_FREE char *bucket = str_printf("PGPROOF_REPOSITORY_BUCKET=%s", w->bucket);
    CLEANUP_FREE char *access =
        str_printf("PGPROOF_REPOSITORY_ACCESS_KEY_ID=%s", s3fix_setting("ACCESS_KEY"));
    CLEANUP_FREE char *secret =
        str_printf("PGPROOF_REPOSITORY_SECRET_ACCESS_KEY=%s", s3fix_setting("SECRET_KEY"));
    const char *const argv[] = {tool, "doctor", "--config=/dev/null", option, NULL};
    const char *const env[] = {"PGPROOF_REPOSITORY_TYPE=s3",
                               "PGPROOF_REPOSITORY_RETRY_TIMEOUT=2s",
                               endpoint,
                               bucket,
                               access,
                               secret,
                               NULL};
    struct proc_options o = {.argv = argv, .env = env, .die_with_parent = true};
    struct error err;
    int status;

    assert_int_equal(proc_run(&o, &b, NULL, &status, &err), RC_OK);
    memcpy(out, b.len ? b.data : (const uint8_t *)"", b.len);
    out[b.len] = '\0';
    return status;
}

static void the_tool_exits_by_what_it_found(void **state)
{
    struct worse *w = *state;
    char out[65536];

    assert_int_equal(run_tool(w, "--quiet", out), 0);
    assert_non_null(strstr(out, "All that pgproof needs holds"));
    assert_null(strstr(out, "broken"));
    fault_proxy_set(w->proxy, (struct proxy_rule){.act = PROXY_DATE, .by = 700, .times = 1});
    assert_int_equal(run_tool(w, "--json", out), 2);
    assert_non_null(strstr(out, "\"result\": \"bad\""));
    fault_proxy_set(
        w->proxy, (struct proxy_rule){
                      .method = "PUT", .act = PROXY_STATUS, .status = 403, .code = "AccessDenied"});
    assert_int_equal(run_tool(w, "--quiet", out), 1);
    assert_non_null(strstr(out, "Not all that pgproof needs could be found out"));
    assert_int_equal(run_tool(w, "--repository-as-of=2026-11-21 14:30 UTC", out), 3);
    fault_proxy_leave(w->proxy);
    assert_int_equal(run_tool(w, "--quiet", out), 1);
}

#define WORSE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(a_plain_bucket_keeps_what_is_needed),
        cmocka_unit_test(versions_are_seen_and_none_is_left),
        cmocka_unit_test(a_lock_is_tried),
        cmocka_unit_test(a_lock_that_the_bucket_lacks_is_broken),
        WORSE(claims_stand_in_for_the_header),
        WORSE(a_race_with_two_winners_is_broken),
        WORSE(a_put_that_replaces_is_broken),
        WORSE(other_bytes_are_broken),
        WORSE(other_bytes_of_a_part_are_broken),
        WORSE(a_listing_that_lags_is_broken),
        WORSE(a_denied_absence_is_unknown),
        WORSE(a_clock_that_is_off_is_told),
        WORSE(who_may_not_put_learns_only_what_he_can),
        WORSE(who_may_not_delete_puts_nothing_large),
        WORSE(a_limit_on_objects_is_broken),
        WORSE(nobody_there_is_an_error),
        WORSE(who_does_not_answer_is_asked_once),
        WORSE(what_is_read_as_of_then_is_refused),
        WORSE(the_tool_exits_by_what_it_found),
    };
    /* s3rver: no versions, no locks, no If-None-Match, and slow. */
    const struct CMUnitTest simple[] = {
        cmocka_unit_test(a_plain_bucket_keeps_what_is_needed),
        WORSE(a_denied_absence_is_unknown),
        WORSE(who_may_not_put_learns_only_what_he_can),
        WORSE(nobody_there_is_an_error),
    };

    if (s3fix_is("s3rver"))
        return cmocka_run_group_tests(simple, NULL, NULL);
    return cmocka_run_group_tests(all, NULL, NULL);
}
