/* Opening and closing of the S3 driver. */
#include "store/store_s3_int.h"

#include "base/str.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_REGION "us-east-1"
#define PREFIX_MAX     512

static void shared_unref(struct s3_shared *h)
{
    bool last;

    pthread_mutex_lock(&h->mutex);
    last = --h->refs == 0;
    pthread_mutex_unlock(&h->mutex);
    if (!last)
        return;
    aws_credentials_unref(h->credentials);
    if (h->o.sse_c_key)
        explicit_bzero((void *)h->o.sse_c_key, 32);
    pthread_mutex_destroy(&h->mutex);
    pthread_mutex_destroy(&h->learning);
    arena_free(h->memory);
    free(h);
}

static void s3_close(struct store *store)
{
    struct s3_store *s = s3_store_of(store);

    http_close(s->http);
    if (s->shared)
        shared_unref(s->shared);
    free(s->store.where);
    free(s);
}

static enum rc s3_dup(struct store *store, struct store **ret, struct error *err);

static enum rc s3_credentials(struct store *store, char **ret, struct error *err)
{
    return aws_credentials_describe(s3_store_of(store)->shared->credentials, ret, err);
}

static const struct store_ops s3_ops = {
    .driver = "s3",
    .put = s3_put,
    .get = s3_get,
    .head = s3_head,
    .list = s3_list,
    .remove = s3_remove,
    .remove_many = s3_remove_many,
    .lock = s3_lock,
    .examine = s3_examine,
    .credentials = s3_credentials,
    .sweep = s3_sweep,
    .dup = s3_dup,
    .close = s3_close,
};

/* A handle with a connection of its own; takes over one reference to `shared`. */
static enum rc make_handle(struct s3_shared *shared, const char *where, struct store **ret,
                           struct error *err)
{
    struct http_options o = {
        .ca_file = shared->o.ca_file,
        .connect_seconds = shared->o.connect_seconds,
        .stall_seconds = shared->o.stall_seconds,
    };
    struct s3_store *s = mem_zalloc(sizeof(*s));
    enum rc rc;

    s->store.ops = &s3_ops;
    s->store.where = str_dup(where);
    s->shared = shared;
    rc = http_open(&o, &s->http, err);
    if (rc != RC_OK) {
        s3_close(&s->store);
        return rc;
    }
    *ret = &s->store;
    return RC_OK;
}

static enum rc s3_dup(struct store *store, struct store **ret, struct error *err)
{
    struct s3_shared *h = s3_store_of(store)->shared;

    pthread_mutex_lock(&h->mutex);
    h->refs++;
    pthread_mutex_unlock(&h->mutex);
    return make_handle(h, store->where, ret, err);
}

static void copy_options(struct s3_shared *h, const struct store_s3_options *o)
{
    struct arena *m = h->memory;

    h->o = *o;
    h->o.endpoint = arena_strdup(m, o->endpoint);
    h->o.bucket = arena_strdup(m, o->bucket);
    h->o.ca_file = arena_strdup(m, o->ca_file);
    h->o.sse_kms_key_id = arena_strdup(m, o->sse_kms_key_id);
    if (o->sse_c_key) {
        uint8_t *key = arena_alloc(m, 32);

        memcpy(key, o->sse_c_key, 32);
        h->o.sse_c_key = key;
    }
    /* The rest is used up in opening; the keys live in h->credentials only. */
    h->o.region = h->o.prefix = h->o.profile = NULL;
    h->o.access_key_id = h->o.secret_access_key = h->o.session_token = NULL;
}

static enum rc bad_option(const char *key, const char *what, const char *value, struct error *err)
{
    error_set(err, RC_CONFIG, "%s", what);
    error_on(err, "%s = %s in section [repository]", key, value);
    return err->rc;
}

static void open_credentials(struct s3_shared *h, const struct store_s3_options *o)
{
    const char *region = o->region;
    struct aws_credentials_options c = {
        .access_key_id = o->access_key_id,
        .secret_access_key = o->secret_access_key,
        .session_token = o->session_token,
        .profile = o->profile,
        .region = o->region,
        .ca_file = o->ca_file,
    };

    h->credentials = aws_credentials_new(&c);
    if (!region)
        region = aws_credentials_region(h->credentials);
    h->region = arena_strdup(h->memory, region ? region : DEFAULT_REGION);
}

static const char *aws_endpoint(struct s3_shared *h)
{
    return arena_printf(h->memory, "https://s3.%s.amazonaws.com%s", h->region,
                        str_starts(h->region, "cn-") ? ".cn" : "");
}

/* The parts of the endpoint; port is "" where the scheme's own is meant. */
struct endpoint {
    char scheme[8];
    char host[280];
    char port[8];
};

static bool take_part(CURLU *u, CURLUPart part, char *to, size_t to_size)
{
    char *text = NULL;
    bool fits = curl_url_get(u, part, &text, 0) != CURLUE_OK || str_copy(to, to_size, text);

    curl_free(text);
    return fits;
}

static bool has_part(CURLU *u, CURLUPart part, const char *except)
{
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK && !(except && str_eq(text, except));

    curl_free(text);
    return has;
}

static bool parse_endpoint(const char *text, struct endpoint *ret)
{
    CURLU *u = curl_url();
    bool good = u && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
                take_part(u, CURLUPART_SCHEME, ret->scheme, sizeof(ret->scheme)) &&
                take_part(u, CURLUPART_HOST, ret->host, sizeof(ret->host)) &&
                take_part(u, CURLUPART_PORT, ret->port, sizeof(ret->port)) &&
                !has_part(u, CURLUPART_PATH, "/") && !has_part(u, CURLUPART_QUERY, NULL) &&
                !has_part(u, CURLUPART_FRAGMENT, NULL) && !has_part(u, CURLUPART_USER, NULL);

    curl_url_cleanup(u);
    return good && (str_eq(ret->scheme, "http") || str_eq(ret->scheme, "https")) && ret->host[0];
}

static bool is_address(const char *host)
{
    return host[0] == '[' || host[strspn(host, "0123456789.")] == '\0';
}

/* The bucket in the host name: what AWS wants. A bucket with a dot has no certificate so, and an
 * address has no names below it. */
static bool bucket_in_host(const struct s3_shared *h, const struct endpoint *e)
{
    if (h->o.uri_style != S3_URI_AUTO)
        return h->o.uri_style == S3_URI_VIRTUAL;
    return !h->o.endpoint && !strchr(h->o.bucket, '.') && !is_address(e->host);
}

static bool is_loopback(const char *host)
{
    return str_eq(host, "localhost") || str_eq(host, "127.0.0.1") || str_eq(host, "[::1]");
}

static void set_addresses(struct s3_shared *h, const struct endpoint *e)
{
    bool in_host = bucket_in_host(h, e);
    bool usual = !e->port[0] || str_eq(e->port, str_eq(e->scheme, "https") ? "443" : "80");

    h->host = arena_printf(h->memory, "%s%s%s%s%s", in_host ? h->o.bucket : "", in_host ? "." : "",
                           e->host, usual ? "" : ":", usual ? "" : e->port);
    h->base = arena_printf(h->memory, "%s://%s", e->scheme, h->host);
    h->path = in_host ? "/" : arena_printf(h->memory, "/%s/", h->o.bucket);
}

static enum rc set_endpoint(struct s3_shared *h, struct error *err)
{
    const char *text = h->o.endpoint ? h->o.endpoint : aws_endpoint(h);
    struct endpoint e = {0};

    if (!parse_endpoint(text, &e)) {
        bad_option("endpoint", "this is no endpoint of an S3 service", text, err);
        return error_now(err, "write it as https://HOST or https://HOST:PORT");
    }
    if (h->o.sse == S3_SSE_C && !str_eq(e.scheme, "https") && !is_loopback(e.host)) {
        bad_option("endpoint", "an SSE-C key would go over the network in the clear", text, err);
        return error_now(err, "use an https endpoint");
    }
    set_addresses(h, &e);
    return RC_OK;
}

/* What AWS and MinIO let a bucket be named; it goes into URLs as it is. */
static bool bucket_valid(const char *bucket)
{
    size_t len = strlen(bucket);

    return len >= 3 && len <= 63 && bucket[0] != '.' && bucket[0] != '-' &&
           strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
               len;
}

static enum rc set_prefix(struct s3_shared *h, const char *prefix, struct error *err)
{
    size_t len;

    if (!prefix || !prefix[0]) {
        h->prefix = "";
        return RC_OK;
    }
    len = strlen(prefix);
    if (prefix[0] == '/' || prefix[len - 1] == '/' || strstr(prefix, "//") || len > PREFIX_MAX) {
        bad_option("prefix", "a prefix has no '/' at its ends, and no empty part", prefix, err);
        return error_now(err, "write it as fleet2 or backups/fleet2");
    }
    h->prefix = arena_printf(h->memory, "%s/", prefix);
    return RC_OK;
}

static enum rc set_up(struct s3_shared *h, const struct store_s3_options *o, struct error *err)
{
    if (!bucket_valid(h->o.bucket)) {
        bad_option("bucket", "this is no name for a bucket", h->o.bucket, err);
        return error_now(err, "name a bucket that the S3 service has");
    }
    TRY(set_prefix(h, o->prefix, err));
    open_credentials(h, o);
    return set_endpoint(h, err);
}

static struct s3_shared *new_shared(const struct store_options *o)
{
    struct s3_shared *h = mem_zalloc(sizeof(*h));

    h->memory = arena_new();
    h->refs = 1;
    h->as_of = o->as_of;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_mutex_init(&h->learning, NULL);
    copy_options(h, &o->s3);
    return h;
}

enum rc store_s3_open(const struct store_options *o, struct store **ret, struct error *err)
{
    struct s3_shared *h = new_shared(o);
    enum rc rc = set_up(h, &o->s3, err);

    if (rc != RC_OK) {
        shared_unref(h);
        return rc;
    }
    CLEANUP_FREE char *where = str_printf("s3://%s%s%s", h->o.bucket, o->s3.prefix ? "/" : "",
                                          o->s3.prefix ? o->s3.prefix : "");
    return make_handle(h, where, ret, err);
}
