#include "support/s3_fixture.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u << 20)

/* ---- the server of the environment ---- */

const char *s3fix_setting_or(const char *name)
{
    char variable[64];
    const char *value;

    snprintf(variable, sizeof(variable), "PGPROOF_TEST_S3_%s", name);
    value = getenv(variable);
    return value && *value ? value : NULL;
}

const char *s3fix_setting(const char *name)
{
    const char *value = s3fix_setting_or(name);

    if (!value) {
        fprintf(
            stderr, /* cmocka cuts long messages */
            "There is no S3 server to test against: PGPROOF_TEST_S3_%s is not set.\n"
            "Run the tests by   scripts/s3-server run radosgw -- ctest --test-dir build -L s3\n",
            name);
        fail_msg("PGPROOF_TEST_S3_%s is not set", name);
    }
    return value;
}

bool s3fix_is(const char *kind)
{
    return str_eq(s3fix_setting("KIND"), kind);
}

unsigned s3fix_port(void)
{
    return (unsigned)atoi(strrchr(s3fix_setting("ENDPOINT"), ':') + 1);
}

/* ---- one request by libcurl ---- */

static size_t on_body(char *data, size_t size, size_t count, void *to)
{
    struct error e;

    return to && buf_append(to, data, size * count, &e) != RC_OK ? 0 : size * count;
}

static char *call_url(const struct s3fix_call *c)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 16);
    struct error e;
    const char *text;

    assert_int_equal(
        buf_printf(&b, &e, "%s/%s", s3fix_setting("ENDPOINT"), c->bucket ? c->bucket : ""), RC_OK);
    if (c->key)
        assert_int_equal(buf_printf(&b, &e, "/"), RC_OK);
    for (const char *p = c->key ? c->key : ""; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~/", *p);

        assert_int_equal(buf_printf(&b, &e, plain ? "%c" : "%%%02X", (unsigned char)*p), RC_OK);
    }
    if (c->query)
        assert_int_equal(buf_printf(&b, &e, "?%s", c->query), RC_OK);
    assert_int_equal(buf_cstr(&b, &text, &e), RC_OK);
    return str_dup(text);
}

static struct curl_slist *call_headers(const struct s3fix_call *c)
{
    struct sha256 h = sha256_of(c->body ? c->body : "", c->body_len);
    char line[128] = "x-amz-content-sha256: ";
    struct curl_slist *list;

    hex_encode(h.bytes, sizeof(h.bytes), line + strlen(line));
    list = curl_slist_append(NULL, line);
    for (size_t i = 0; c->headers && c->headers[i]; i++)
        list = curl_slist_append(list, c->headers[i]);
    return list;
}

static void sign(CURL *curl, const struct s3fix_call *c)
{
    CLEANUP_FREE char *keys =
        str_printf("%s:%s", c->access_key ? c->access_key : s3fix_setting("ACCESS_KEY"),
                   c->secret_key ? c->secret_key : s3fix_setting("SECRET_KEY"));
    CLEANUP_FREE char *scope =
        str_printf("aws:amz:%s:%s", s3fix_setting("REGION"), c->service ? c->service : "s3");

    curl_easy_setopt(curl, CURLOPT_USERPWD, keys);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, scope);
}

static void set_method(CURL *curl, const struct s3fix_call *c)
{
    if (str_eq(c->method, "HEAD")) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (c->body || str_eq(c->method, "PUT") || str_eq(c->method, "POST")) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body ? c->body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, c->method);
}

int s3fix_call(const struct s3fix_call *c, struct buf *answer, struct buf *headers)
{
    CURL *curl = curl_easy_init();
    CLEANUP_FREE char *url = call_url(c);
    struct curl_slist *list = call_headers(c);
    char problem[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode code;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, headers);
    set_method(curl, c);
    sign(curl, c);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        fail_msg("%s %s: no answer: %s", c->method, url, problem);
    return (int)status;
}

void s3fix_must(const struct s3fix_call *c, struct buf *answer)
{
    CLEANUP_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    struct error e;
    int status = s3fix_call(c, &b, NULL);

    if (status / 100 != 2) {
        fprintf(stderr, "%s answers %d to %s %s/%s?%s: %.*s\n", s3fix_setting("KIND"), status,
                c->method, c->bucket, c->key ? c->key : "", c->query ? c->query : "", (int)b.len,
                b.data ? (const char *)b.data : "");
        fail();
    }
    if (answer && b.len)
        assert_int_equal(buf_append(answer, b.data, b.len, &e), RC_OK);
}

void s3fix_put(const char *bucket, const char *key, const void *data, size_t len)
{
    struct s3fix_call c = {
        .method = "PUT", .bucket = bucket, .key = key, .body = data, .body_len = len};

    s3fix_must(&c, NULL);
}

void s3fix_get(const char *bucket, const char *key, struct buf *to)
{
    s3fix_must(&(struct s3fix_call){.method = "GET", .bucket = bucket, .key = key}, to);
}

/* ---- buckets ---- */

const char *s3fix_bucket(unsigned how)
{
    static const char versioned[] = "<VersioningConfiguration><Status>Enabled</Status>"
                                    "</VersioningConfiguration>";
    static const char *const lock[] = {"x-amz-bucket-object-lock-enabled: true", NULL};
    static struct arena *names; /* as long as the process */
    static unsigned made;
    names = names ? names : arena_new();
    const char *name =
        arena_printf(names, "pgproof-%llx-%u", (unsigned long long)clock_now(), made++);
    struct s3fix_call make = {
        .method = "PUT", .bucket = name, .headers = how & S3FIX_LOCK ? lock : NULL};
    struct s3fix_call configure = {.method = "PUT",
                                   .bucket = name,
                                   .query = "versioning=",
                                   .body = versioned,
                                   .body_len = strlen(versioned)};

    s3fix_must(&make, NULL);
    if (how & S3FIX_VERSIONED)
        s3fix_must(&configure, NULL);
    return name;
}

/* The text of the next <element> behind *at and before `end`; NULL: there is none. malloc'ed. */
static char *next_text(const char **at, const char *end, const char *element)
{
    CLEANUP_FREE char *open = str_printf("<%s>", element);
    const char *found = strstr(*at, open);
    size_t len;

    if (!found || (end && found >= end))
        return NULL;
    found += strlen(open);
    len = strcspn(found, "<");
    *at = found + len;
    return str_printf("%.*s", (int)len, found);
}

static void remove_version(const char *bucket, const char *key, const char *version)
{
    static const char *const bypass[] = {"x-amz-bypass-governance-retention: true", NULL};
    CLEANUP_FREE char *query = version ? str_printf("versionId=%s", version) : NULL;

    s3fix_must(&(struct s3fix_call){.method = "DELETE",
                                    .bucket = bucket,
                                    .key = key,
                                    .query = query,
                                    .headers = version ? bypass : NULL},
               NULL);
}

/* One page of a listing: false where it is empty. Keys of tests need no decoding. */
static bool empty_page(const char *bucket)
{
    CLEANUP_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    const char *query = s3fix_is("s3rver") ? NULL : "versions="; /* it has none */
    struct s3fix_call list = {.method = "GET", .bucket = bucket, .query = query};
    struct error e;
    const char *at;
    bool any = false;
    char *key;

    s3fix_must(&list, &b);
    assert_int_equal(buf_cstr(&b, &at, &e), RC_OK);
    while ((key = next_text(&at, NULL, "Key"))) {
        CLEANUP_FREE char *owned = key;
        CLEANUP_FREE char *version = next_text(&at, strstr(at, "<Key>"), "VersionId");

        remove_version(bucket, owned, version);
        any = true;
    }
    return any;
}

void s3fix_bucket_drop(const char *bucket)
{
    while (empty_page(bucket))
        ;
    s3fix_must(&(struct s3fix_call){.method = "DELETE", .bucket = bucket}, NULL);
}

struct store_options s3fix_options(const char *bucket)
{
    return (struct store_options){.type = STORE_S3,
                                  .s3 = {.endpoint = s3fix_setting("ENDPOINT"),
                                         .region = s3fix_setting("REGION"),
                                         .bucket = bucket,
                                         .prefix = S3FIX_PREFIX,
                                         .access_key_id = s3fix_setting("ACCESS_KEY"),
                                         .secret_access_key = s3fix_setting("SECRET_KEY"),
                                         .retry_seconds = 10}};
}
