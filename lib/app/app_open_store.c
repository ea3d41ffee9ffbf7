#include "app/app_open.h"

#include "base/file.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SSE_C_KEY_BYTES  32
#define SSE_C_KEY_BASE64 44
#define KEY_FILE_MAX     4096

static enum rc bad_key_file(const char *path, const char *what, const char *now, struct error *err)
{
    error_set(err, RC_CONFIG, "%s", what);
    error_on(err, "%s (sse-c-key-file)", path);
    return error_now(err, "%s", now);
}

/* 32 bytes as they are, or their base64 in one line. */
static bool decode_key(const struct buf *text, uint8_t key[static SSE_C_KEY_BYTES])
{
    uint8_t decoded[SSE_C_KEY_BASE64];
    size_t len = text->len;

    if (len == SSE_C_KEY_BYTES) {
        memcpy(key, text->data, SSE_C_KEY_BYTES);
        return true;
    }
    while (len > 0 && (text->data[len - 1] == '\n' || text->data[len - 1] == '\r'))
        len--;
    if (len != SSE_C_KEY_BASE64 || text->data[len - 1] != '=' || text->data[len - 2] == '=' ||
        EVP_DecodeBlock(decoded, text->data, SSE_C_KEY_BASE64) != SSE_C_KEY_BYTES + 1)
        return false;
    memcpy(key, decoded, SSE_C_KEY_BYTES);
    explicit_bzero(decoded, sizeof(decoded));
    return true;
}

static enum rc read_key(const char *path, uint8_t key[static SSE_C_KEY_BYTES], struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(KEY_FILE_MAX);
    struct stat st;
    bool good;

    if (file_read(path, &text, err) != RC_OK)
        return error_reclass(err, RC_CONFIG);
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return bad_key_file(path, "other users may read the key", "chmod 600 it", err);
    good = decode_key(&text, key);
    if (text.len > 0)
        explicit_bzero(text.data, text.len);
    if (good)
        return RC_OK;
    return bad_key_file(path, "this is no key for SSE-C: it has neither 32 bytes nor their base64",
                        "make one with: openssl rand -base64 32", err);
}

static unsigned choice(const char *text, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (str_eq(text, words[i]))
            return i;
    BUG("the option table let %s through", text);
}

static enum rc check_s3(const struct config *c, struct error *err)
{
    TRY(config_need(c, "repository", "bucket", err));
    if (c->s3.access_key_id)
        TRY(config_need(c, "repository", "secret-access-key", err));
    if (str_eq(c->s3.sse, "c"))
        TRY(config_need(c, "repository", "sse-c-key-file", err));
    if (!c->s3.secret_access_key && !c->s3.session_token)
        return RC_OK;
    return config_need(c, "repository", "access-key-id", err);
}

static void fill_s3(const struct config_s3 *s, struct store_s3_options *o)
{
    static const char *const styles[] = {"auto", "path", "virtual", NULL};
    static const char *const kinds[] = {"none", "s3", "kms", "c", NULL};
    static const char *const locks[] = {"off", "governance", "compliance", NULL};

    *o = (struct store_s3_options){
        .endpoint = s->endpoint,
        .region = s->region,
        .bucket = s->bucket,
        .prefix = s->prefix,
        .uri_style = choice(s->uri_style, styles),
        .ca_file = s->ca_file,
        .access_key_id = s->access_key_id,
        .secret_access_key = s->secret_access_key,
        .session_token = s->session_token,
        .profile = s->profile,
        .connect_seconds = s->connect_timeout_seconds,
        .stall_seconds = s->stall_timeout_seconds,
        .retry_seconds = s->retry_timeout_seconds,
        .sse = choice(s->sse, kinds),
        .sse_kms_key_id = s->sse_kms_key_id,
        .lock = choice(s->object_lock, locks),
    };
}

static enum rc open_s3(const struct config *c, struct store **ret, struct error *err)
{
    struct store_options o = {.type = STORE_S3, .as_of = c->repository_as_of};
    uint8_t key[SSE_C_KEY_BYTES];
    enum rc rc;

    fill_s3(&c->s3, &o.s3);
    if (o.s3.sse == S3_SSE_C) {
        TRY(read_key(c->s3.sse_c_key_file, key, err));
        o.s3.sse_c_key = key;
    }
    rc = store_open(&o, ret, err);
    explicit_bzero(key, sizeof(key));
    return rc;
}

static enum rc open_posix(const struct config *c, bool create, struct store **ret,
                          struct error *err)
{
    struct store_options o = {.type = STORE_POSIX, .path = c->repository_path, .create = create};

    return store_open(&o, ret, err);
}

static enum rc check_posix(const struct config *c, struct error *err)
{
    TRY(config_need(c, "repository", "path", err));
    if (c->repository_as_of) {
        error_set(err, RC_CONFIG, "a directory keeps no versions, so it can't be read as it was");
        error_on(err, "as-of in section [repository]");
        return error_now(err, "leave it out; it is for versioned S3 buckets");
    }
    return RC_OK;
}

static bool is_s3(const struct config *c)
{
    return str_eq(c->repository_type, "s3");
}

enum rc app_need_repository(const struct app *a, struct error *err)
{
    return is_s3(a->config) ? check_s3(a->config, err) : check_posix(a->config, err);
}

enum rc app_open_store(const struct app *a, bool create, struct store **ret, struct error *err)
{
    TRY(app_need_repository(a, err));
    return is_s3(a->config) ? open_s3(a->config, ret, err)
                            : open_posix(a->config, create, ret, err);
}

char *app_repository_where(const struct app *a)
{
    const struct config *c = a->config;

    if (!is_s3(c))
        return str_dup(c->repository_path ? c->repository_path : "");
    return str_printf("s3://%s%s%s", c->s3.bucket ? c->s3.bucket : "", c->s3.prefix ? "/" : "",
                      c->s3.prefix ? c->s3.prefix : "");
}
