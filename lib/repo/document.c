#include "repo/document.h"

#include "base/str.h"
#include "repo/fields_int.h"

#include <string.h>

#define DIGEST_OPEN  "  \"sha256\": \""
#define DIGEST_CLOSE "\"\n}\n"
/* The line with the digest and the closing brace: always the same number of bytes. */
#define TAIL_LEN (sizeof DIGEST_OPEN - 1 + 2 * SHA256_LEN + sizeof DIGEST_CLOSE - 1)

struct dump {
    struct buf *to;
    struct error *err;
    enum rc rc;
};

static int dump_piece(const char *text, size_t len, void *ctx)
{
    struct dump *d = ctx;
    d->rc = buf_append(d->to, text, len, d->err);
    return d->rc == RC_OK ? 0 : -1;
}

static enum rc dump_object(json_t *o, struct buf *to, struct error *err)
{
    struct dump d = {to, err, RC_OK};
    if (json_dump_callback(o, dump_piece, &d, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0)
        return RC_OK;
    if (d.rc != RC_OK)
        return d.rc;
    return error_set(err, RC_NOMEM, "could not write JSON: out of memory");
}

static json_t *with_kind(const char *kind, unsigned version, json_t *body)
{
    json_t *whole = json_object();
    BUG_IF(!whole);
    field_set_str(whole, "kind", kind);
    field_set_u64(whole, "version", version);
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        BUG_IF(str_eq(key, "kind") || str_eq(key, "version") || str_eq(key, "sha256"));
        field_set(whole, key, json_incref(value));
    }
    return whole;
}

enum rc document_encode(const char *kind, unsigned version, json_t *body, struct buf *to,
                        struct error *err)
{
    CLEANUP_JSON json_t *whole = with_kind(kind, version, body);
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(dump_object(whole, &text, err));
    text.len -= 2; /* "\n}": the digest becomes the last member */
    TRY(buf_append(&text, ",\n", 2, err));

    struct sha256 digest = sha256_of(text.data, text.len);
    char hex[SHA256_HEX_SIZE];
    sha256_hex(&digest, hex);
    TRY(buf_printf(&text, err, DIGEST_OPEN "%s" DIGEST_CLOSE, hex));
    return buf_append(to, text.data, text.len, err);
}

static enum rc check_digest(const char *text, size_t len, struct error *err)
{
    const char *tail = text + len - TAIL_LEN;
    const char *hex_at = tail + sizeof DIGEST_OPEN - 1;
    const char *close = hex_at + 2 * SHA256_LEN;
    char hex[SHA256_HEX_SIZE] = "";
    struct sha256 said;
    if (memcmp(tail, DIGEST_OPEN, sizeof DIGEST_OPEN - 1) != 0 ||
        memcmp(close, DIGEST_CLOSE, sizeof DIGEST_CLOSE - 1) != 0)
        return error_set(err, RC_INTEGRITY,
                         "the document is damaged: it does not end with its digest");
    memcpy(hex, hex_at, 2 * SHA256_LEN);
    struct sha256 is = sha256_of(text, len - TAIL_LEN);
    if (!sha256_parse(hex, &said) || !sha256_equal(&said, &is))
        return error_set(err, RC_INTEGRITY, "the document is damaged: its digest does not match");
    return RC_OK;
}

static enum rc check_kind(const json_t *o, const char *kind, unsigned version, struct error *err)
{
    const char *is;
    uint32_t has;
    TRY(json_get_str(o, "kind", &is, err));
    if (!str_eq(is, kind))
        return error_set(err, RC_INTEGRITY, "it is a document of kind \"%s\", not \"%s\"", is,
                         kind);
    TRY(json_get_u32(o, "version", &has, err));
    if (has == 0)
        return error_set(err, RC_INTEGRITY, "a document of version 0 can't be");
    if (has > version) {
        error_set(err, RC_CONFIG, "the document has version %u, and this program knows up to %u",
                  has, version);
        return error_now(err, "use a newer pgproof");
    }
    return RC_OK;
}

enum rc document_decode(const char *kind, unsigned version, const void *text, size_t len,
                        json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *o = NULL;
    if (len > DOCUMENT_MAX)
        return error_set(err, RC_INTEGRITY, "the document is damaged: no document is so large");
    if (len < TAIL_LEN)
        return error_set(err, RC_INTEGRITY, "the document is damaged: it is only %zu bytes long",
                         len);
    TRY(check_digest(text, len, err));
    TRY(json_parse_object(text, len, &o, err));
    TRY(check_kind(o, kind, version, err));
    *ret = o;
    o = NULL;
    return RC_OK;
}

enum rc document_put(struct store *s, const char *name, const char *kind, unsigned version,
                     json_t *body, struct sha256 *ret_digest, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(document_encode(kind, version, body, &text, err));
    TRY(store_put(s, name, text.data, text.len, err));
    if (ret_digest)
        *ret_digest = sha256_of(text.data, text.len);
    return RC_OK;
}

enum rc document_get(struct store *s, const char *name, const char *kind, unsigned version,
                     json_t **ret, struct sha256 *ret_digest, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(store_get(s, name, &text, err));
    if (document_decode(kind, version, text.data, text.len, ret, err) != RC_OK)
        return error_on(err, "%s", name);
    if (ret_digest)
        *ret_digest = sha256_of(text.data, text.len);
    return RC_OK;
}
