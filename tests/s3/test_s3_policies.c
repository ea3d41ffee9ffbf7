/*
 * The policies of docs/security.md, tried: each is taken from the page, put in force on the real
 * server, and the tools do with it what they should, and nothing else.
 *
 * MinIO: temporary credentials whose session policy it is (AssumeRole). radosgw: the bucket's
 * policy for a second user. s3rver checks nothing.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "support/pg_fixture.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE PGPROOF_SOURCE_DIR "/docs/security.md"

struct keys {
    char access[128], secret[128], token[4096];
};

/* One cluster and repository; the archiver always has the writer's keys. */
struct story {
    struct pgfix *pg;
    const char *bucket;
    bool locks;
    struct keys writer;
    const char *segment; /* that was archived */
};

/* ---- the page ---- */

static char *page_text(void)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct error err;
    const char *text;

    assert_int_equal(file_read(PAGE, &b, &err), RC_OK);
    assert_int_equal(buf_cstr(&b, &text, &err), RC_OK);
    return str_dup(text);
}

static char *replaced(const char *text, const char *from, const char *to)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct error err;
    const char *at, *done;

    for (; (at = strstr(text, from)); text = at + strlen(from))
        assert_int_equal(buf_printf(&b, &err, "%.*s%s", (int)(at - text), text, to), RC_OK);
    assert_int_equal(buf_printf(&b, &err, "%s", text), RC_OK);
    assert_int_equal(buf_cstr(&b, &done, &err), RC_OK);
    return str_dup(done);
}

/* The statements of the first block below a heading, for this bucket. */
static json_t *statements(const char *heading, const char *bucket)
{
    CLEANUP_FREE char *page = page_text();
    CLEANUP_FREE char *line = str_printf("\n%s\n", heading);
    const char *begin = strstr(page, line), *end;

    if (!begin || !(begin = strstr(begin, "```json\n")) || !(end = strstr(begin + 8, "\n```")))
        fail_msg("docs/security.md has no policy below '%s'", heading);
    CLEANUP_FREE char *block = str_printf("%.*s", (int)(end - begin - 8), begin + 8);
    CLEANUP_FREE char *named = replaced(block, "BUCKET", bucket);
    CLEANUP_FREE char *whole = replaced(named, "PREFIX", S3FIX_PREFIX);
    json_error_t e;
    CLEANUP_JSON json_t *policy = json_loads(whole, JSON_REJECT_DUPLICATES, &e);

    if (!policy)
        fail_msg("the policy below '%s' is no JSON: %s in line %d", heading, e.text, e.line);
    assert_string_equal(json_string_value(json_object_get(policy, "Version")), "2012-10-17");
    return json_incref(json_object_get(policy, "Statement"));
}

/* ---- in force ---- */

static void element(const char *xml, const char *name, char *to, size_t size)
{
    CLEANUP_FREE char *open = str_printf("<%s>", name);
    const char *at = strstr(xml, open);

    assert_non_null(at);
    at += strlen(open);
    CLEANUP_FREE char *text = str_printf("%.*s", (int)strcspn(at, "<"), at);
    assert_true(str_copy(to, size, text));
}

static char *url_encoded(const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct error err;
    const char *done;

    for (; *text; text++)
        assert_int_equal(buf_printf(&b, &err, "%%%02X", (unsigned char)*text), RC_OK);
    assert_int_equal(buf_cstr(&b, &done, &err), RC_OK);
    return str_dup(done);
}

static void assume(const char *policy, struct keys *ret)
{
    static const char *const headers[] = {"content-type: application/x-www-form-urlencoded", NULL};
    CLEANUP_BUF struct buf answer = BUF_INIT(1u << 20);
    CLEANUP_FREE char *encoded = url_encoded(policy);
    CLEANUP_FREE char *body =
        str_printf("Action=AssumeRole&DurationSeconds=3600&Version=2011-06-15&Policy=%s", encoded);
    struct error err;
    const char *xml;

    s3fix_must(&(struct s3fix_call){.method = "POST",
                                    .service = "sts",
                                    .headers = headers,
                                    .body = body,
                                    .body_len = strlen(body)},
               &answer);
    assert_int_equal(buf_cstr(&answer, &xml, &err), RC_OK);
    element(xml, "AccessKeyId", ret->access, sizeof(ret->access));
    element(xml, "SecretAccessKey", ret->secret, sizeof(ret->secret));
    element(xml, "SessionToken", ret->token, sizeof(ret->token));
}

static void give_second_user(const char *bucket, json_t *all, struct keys *ret)
{
    json_t *one;
    size_t i;

    json_array_foreach(all, i, one)
        json_object_set_new(one, "Principal", json_pack("{s:s}", "AWS", "*"));
    CLEANUP_JSON json_t *policy =
        json_pack("{s:s, s:O}", "Version", "2012-10-17", "Statement", all);
    char *text = json_dumps(policy, 0);
    s3fix_must(&(struct s3fix_call){.method = "PUT",
                                    .bucket = bucket,
                                    .query = "policy=",
                                    .body = text,
                                    .body_len = strlen(text)},
               NULL);
    free(text);
    str_copy(ret->access, sizeof(ret->access), s3fix_setting("OTHER_ACCESS_KEY"));
    str_copy(ret->secret, sizeof(ret->secret), s3fix_setting("OTHER_SECRET_KEY"));
    ret->token[0] = '\0';
}

static struct keys keys_with(const struct story *t, json_t *all)
{
    struct keys k = {0};

    if (s3fix_is("radosgw")) {
        give_second_user(t->bucket, all, &k);
        return k;
    }
    CLEANUP_JSON json_t *policy =
        json_pack("{s:s, s:O}", "Version", "2012-10-17", "Statement", all);
    char *text = json_dumps(policy, JSON_COMPACT);
    assume(text, &k);
    free(text);
    return k;
}

static struct keys keys_of(const struct story *t, const char *role)
{
    CLEANUP_JSON json_t *all = statements(role, t->bucket);

    if (t->locks && (str_eq(role, "### Writer") || str_eq(role, "### Drill"))) {
        CLEANUP_JSON json_t *more = statements("### With object lock", t->bucket);
        json_array_extend(all, more);
    }
    return keys_with(t, all);
}

/* From now on the tools have these keys. */
static void use(struct story *t, const struct keys *k)
{
    CLEANUP_FREE char *access = str_printf("PGPROOF_REPOSITORY_ACCESS_KEY_ID=%s", k->access);
    CLEANUP_FREE char *secret = str_printf("PGPROOF_REPOSITORY_SECRET_ACCESS_KEY=%s", k->secret);
    CLEANUP_FREE char *token = str_printf("%s=%s", "PGPROOF_REPOSITORY_SESSION_TOKEN", k->token);

    pgfix_tool_env(t->pg, access);
    pgfix_tool_env(t->pg, secret);
    if (k->token[0])
        pgfix_tool_env(t->pg, token);
}

static void become(struct story *t, const char *role)
{
    struct keys k = keys_of(t, role);

    use(t, &k);
}

/* A store with the keys that were made last for a role. */
static struct store *store_as(struct story *t, const char *role)
{
    struct store_options o = s3fix_options(t->bucket);
    struct keys k = keys_of(t, role);
    struct store *s;
    struct error err;

    o.s3.access_key_id = k.access;
    o.s3.secret_access_key = k.secret;
    o.s3.session_token = k.token[0] ? k.token : NULL;
    assert_int_equal(store_open(&o, &s, &err), RC_OK);
    return s;
}

#define EXPECT(code, text, ...)                                                                    \
    do {                                                                                           \
        struct pgfix_run r_ = pgfix_tool(t->pg, __VA_ARGS__, NULL);                                \
        pgfix_expect(&r_, code);                                                                   \
        pgfix_expect_text(&r_, text);                                                              \
    } while (0)

/* ---- the story ---- */

static void configure(struct story *t)
{
    CLEANUP_FREE char *repository =
        str_printf("type = s3\nendpoint = %s\nregion = %s\nbucket = %s\nprefix = " S3FIX_PREFIX "\n"
                   "retry-timeout = 10s\n%s",
                   s3fix_setting("ENDPOINT"), s3fix_setting("REGION"), t->bucket,
                   t->locks ? "object-lock = governance\n" : "");
    CLEANUP_FREE char *scratch =
        str_printf("[verify]\nscratch-directory = %s\n", pgfix_make_dir(t->pg, "scratch"));

    pgfix_write_config_with(t->pg, repository, scratch);
}

/* The archiver has the writer's keys, whatever the other tools have. */
static void archive(struct story *t)
{
    const char *path = pgfix_path(t->pg, "archiver");
    CLEANUP_FREE char *text =
        str_printf("#!/bin/sh\n"
                   "export PGPROOF_REPOSITORY_ACCESS_KEY_ID='%s'\n"
                   "export PGPROOF_REPOSITORY_SECRET_ACCESS_KEY='%s'\n"
                   "%sexport PGPROOF_REPOSITORY_SESSION_TOKEN='%s'\n"
                   "exec '%s/pgproof-wal-push' --config='%s/pgproof.conf' "
                   "\"$1\"\n",
                   t->writer.access, t->writer.secret, t->writer.token[0] ? "" : "#",
                   t->writer.token, pgfix_bin(t->pg), pgfix_dir(t->pg));
    CLEANUP_FREE char *command = str_printf("'%s' %%p", path);
    struct error err;

    assert_int_equal(file_replace(path, text, strlen(text), 0700, &err), RC_OK);
    pgfix_give(t->pg, path);
    pgfix_configure_archiving(t->pg, command);
}

static int begin(void **state, unsigned how)
{
    struct story *t = calloc(1, sizeof(*t));

    *state = t;
    t->bucket = s3fix_bucket(how);
    t->locks = how & S3FIX_LOCK;
    t->pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(t->pg);
    pgfix_load_story(t->pg, 1);
    t->writer = keys_of(t, "### Writer");
    configure(t);
    return 0;
}

static int plain(void **state)
{
    return begin(state, S3FIX_PLAIN);
}

/* Versions, and where the server has it, locks. */
static int guarded(void **state)
{
    return begin(state, S3FIX_LOCK);
}

static int end(void **state)
{
    struct story *t = *state;

    pgfix_configure_archiving(t->pg, "true");
    pgfix_free(t->pg);
    free(t);
    return 0;
}

/* Not one key of leases is left, as another client sees it. */
static void assert_no_leases(const struct story *t)
{
    CLEANUP_BUF struct buf b = BUF_INIT(16u << 20);
    struct error err;
    const char *text;

    s3fix_must(&(struct s3fix_call){.method = "GET", .bucket = t->bucket, .query = "versions="},
               &b);
    assert_int_equal(buf_cstr(&b, &text, &err), RC_OK);
    assert_null(strstr(text, "/leases/"));
}

#define PACK "clusters/main/packs/00/of-the-test" /* put by others, without a lock */

static void put_pack(const struct story *t)
{
    s3fix_put(t->bucket, S3FIX_PREFIX "/" PACK, "x", 1);
}

static void denied(enum rc rc, const struct error *err)
{
    assert_int_equal(rc, RC_STORAGE);
    if (!strstr(err->what, "denies"))
        fail_msg("%s", err->what);
    assert_non_null(strstr(err->now, "docs/security.md"));
}

static void the_writer_writes(void **state)
{
    struct story *t = *state;

    become(t, "### Writer");
    EXPECT(0, "All that pgproof needs holds", "pgproof", "doctor");
    EXPECT(0, "created", "pgproof", "init");
    archive(t);
    EXPECT(0, "Archiving works", "pgproof", "check");
    EXPECT(0, "", "pgproof-backup");
    t->segment = pgfix_switch_wal(t->pg);
    pgfix_wait_archived(t->pg, t->segment);
    EXPECT(0, "", "pgproof", "info");
    assert_no_leases(t);
}

static void the_writer_neither_removes_nor_proves(void **state)
{
    struct story *t = *state;
    struct store *s = store_as(t, "### Writer");
    struct store_info info;
    struct error err;

    put_pack(t);
    denied(store_remove(s, PACK, &err), &err);
    denied(store_put(s, "clusters/main/proofs/forged.json", "x", 1, &err), &err);
    assert_int_equal(store_head(s, PACK, &info, &err), RC_OK);
    assert_int_equal(store_head(s, "clusters/main/proofs/forged.json", &info, &err), RC_NOT_FOUND);
    store_close(s);
}

static void the_fetcher_reads(void **state)
{
    struct story *t = *state;
    const char *to = pgfix_path(t->pg, "restored"), *file = pgfix_path(t->pg, "fetched");
    CLEANUP_FREE char *option = str_printf("--to=%s", to);
    CLEANUP_FREE char *root =
        str_printf("--tablespace-root=%s", pgfix_make_dir(t->pg, "tablespaces"));

    become(t, "### Fetcher");
    EXPECT(0, "usable", "pgproof", "info", "--json");
    EXPECT(0, "", "pgproof-restore", option, root);
    EXPECT(0, "", "pgproof-wal-fetch", t->segment, file);
    EXPECT(1, "", "pgproof-wal-fetch", "00000001000000FF00000001", file); /* absent, it is told */
}

static void the_fetcher_writes_nothing(void **state)
{
    struct story *t = *state;
    struct store *s;
    struct error err;

    put_pack(t);
    become(t, "### Fetcher");
    EXPECT(1, "denies", "pgproof-backup");
    EXPECT(1, "may not put", "pgproof", "doctor");
    s = store_as(t, "### Fetcher");
    denied(store_put(s, "clusters/main/wal/x", "x", 1, &err), &err);
    denied(store_remove(s, PACK, &err), &err);
    store_close(s);
}

static void the_drill_proves(void **state)
{
    struct story *t = *state;

    become(t, "### Drill");
    EXPECT(0, "passed", "pgproof-verify", "drill");
    EXPECT(0, "proven", "pgproof", "info");
    assert_no_leases(t);
}

static void the_drill_writes_nothing_else(void **state)
{
    struct story *t = *state;
    struct store *s = store_as(t, "### Drill");
    struct error err;

    put_pack(t);
    denied(store_put(s, "clusters/main/wal/x", "x", 1, &err), &err);
    denied(store_remove(s, PACK, &err), &err);
    store_close(s);
}

/* Who may read nothing is told so: never that there is nothing. */
static void denied_is_not_absent(void **state)
{
    struct story *t = *state;
    const char *file = pgfix_path(t->pg, "denied");
    CLEANUP_JSON json_t *all = statements("### Fetcher", t->bucket);
    CLEANUP_FREE char *objects = str_printf("arn:aws:s3:::%s/*", t->bucket);
    struct keys k;

    /* On radosgw whoever put an object may read it, unless that is denied outright. */
    json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "Sid", "No", "Effect", "Deny",
                                         "Action", "s3:GetObject", "Resource", objects));
    k = keys_with(t, all);
    use(t, &k);
    EXPECT(126, "denies", "pgproof-wal-fetch", t->segment, file);
    EXPECT(1, "denies", "pgproof", "info");
    EXPECT(1, "denies", "pgproof-restore", "--to=/nonexistent/place");
    assert_false(file_exists(file));
}

static void the_expirer_deletes_and_puts_nothing(void **state)
{
    struct story *t = *state;
    struct store *s = store_as(t, "### Expirer");
    struct store_info info;
    struct error err;

    put_pack(t);
    denied(store_put(s, "clusters/main/packs/00/another", "x", 1, &err), &err);
    assert_int_equal(store_remove(s, PACK, &err), RC_OK);
    assert_int_equal(store_head(s, PACK, &info, &err), RC_NOT_FOUND);
    store_close(s);
    become(t, "### Expirer");
    EXPECT(1, "may not put", "pgproof", "doctor");
}

/* ---- everywhere ---- */

static void every_policy_can_be_read(void **state)
{
    static const char *const headings[] = {
        "### Writer",  "### Fetcher",          "### Drill",
        "### Expirer", "### With object lock", "## No overwriting"};

    (void)state;
    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
        CLEANUP_JSON json_t *all = statements(headings[i], "b");
        assert_true(json_array_size(all) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest story[] = {
        cmocka_unit_test(the_writer_writes),
        cmocka_unit_test(the_writer_neither_removes_nor_proves),
        cmocka_unit_test(the_fetcher_reads),
        cmocka_unit_test(the_fetcher_writes_nothing),
        cmocka_unit_test(the_drill_proves),
        cmocka_unit_test(the_drill_writes_nothing_else),
        cmocka_unit_test(denied_is_not_absent),
        cmocka_unit_test(the_expirer_deletes_and_puts_nothing),
    };
    const struct CMUnitTest page[] = {
        cmocka_unit_test(every_policy_can_be_read),
    };
    int failed = cmocka_run_group_tests(page, NULL, NULL);

    if (s3fix_is("s3rver")) /* whoever comes may do all */
        return failed;
    failed += cmocka_run_group_tests_name("plain bucket", story, plain, end);
    failed += cmocka_run_group_tests_name("versions and locks", story, guarded, end);
    return failed;
}
