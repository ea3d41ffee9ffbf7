#include "store/s3_xml_int.h"

#include "base/str.h"
#include "store/xml_walk.h"

#include <string.h>

#define STORAGE_CLASS_MAX 63
#define ENCODED           3 /* bytes of a byte that is url-encoded */

static enum rc parse_flag(const char *element, const char *text, bool *ret, struct error *err)
{
    if (!str_eq(text, "true") && !str_eq(text, "false"))
        return error_set(err, RC_STORAGE, "<%s> is neither true nor false", element);
    *ret = text[0] == 't';
    return RC_OK;
}

/* As AWS writes it: '+' is a blank. */
static bool url_decode(const char *from, char *to, size_t to_size)
{
    size_t n = 0;

    for (; *from && n + 1 < to_size; n++) {
        char c = *from++;
        if (c == '+')
            c = ' ';
        if (c == '%') {
            if (!hex_decode(from, strnlen(from, 2), &c) || !from[0] || c == '\0')
                return false;
            from += 2;
        }
        to[n] = c;
    }
    to[n] = '\0';
    return *from == '\0';
}

static enum rc decode(const char *element, const char *text, bool url_encoded, char *to,
                      size_t to_size, struct error *err)
{
    if (!url_encoded)
        return s3_xml_keep(element, text, to, to_size, err);
    if (url_decode(text, to, to_size))
        return RC_OK;
    return error_set(err, RC_STORAGE, "<%s> is not url-encoded, or has more than %zu bytes",
                     element, to_size - 1);
}

/* First walk: what stands beside the entries, wherever that is. It also proves that the document is
 * whole before the first entry is handed out. */
struct page_reader {
    struct s3_page page;
    bool url_encoded;
    bool says_truncated;
    char key_marker[ENCODED * S3_TOKEN_SIZE];
};

static enum rc page_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    static const char *const roots[] = {"ListBucketResult", "ListVersionsResult", NULL};

    (void)ctx;
    return depth == 1 ? s3_xml_expect_root(name, roots, err) : RC_OK;
}

static enum rc page_close(void *ctx, unsigned depth, const char *name, const char *text,
                          struct error *err)
{
    struct page_reader *r = ctx;
    struct s3_page *p = &r->page;

    if (depth != 2)
        return RC_OK;
    if (str_eq(name, "IsTruncated")) {
        r->says_truncated = true;
        return parse_flag(name, text, &p->truncated, err);
    }
    if (str_eq(name, "EncodingType"))
        r->url_encoded = str_eq(text, "url");
    else if (str_eq(name, "NextContinuationToken"))
        return s3_xml_keep(name, text, p->token, sizeof(p->token), err);
    else if (str_eq(name, "NextKeyMarker"))
        return s3_xml_keep(name, text, r->key_marker, sizeof(r->key_marker), err);
    else if (str_eq(name, "NextVersionIdMarker"))
        return s3_xml_keep(name, text, p->version_marker, sizeof(p->version_marker), err);
    return RC_OK;
}

static enum rc read_page(const void *xml, size_t len, struct page_reader *r, struct error *err)
{
    static const struct xml_events events = {.open = page_open, .close = page_close};
    struct s3_page *p = &r->page;

    TRY(xml_walk(xml, len, &events, r, err));
    if (!r->says_truncated)
        return error_set(err, RC_STORAGE, "the listing does not say whether it goes on");
    if (p->truncated && !p->token[0] && !r->key_marker[0])
        return error_set(err, RC_STORAGE, "the listing goes on, but does not say where");
    return RC_OK;
}

/* Second walk: the entries. */
struct entry_reader {
    s3_entry_fn *fn;
    void *ctx;
    bool url_encoded;
    struct s3_page *page;

    bool inside; /* an entry; its fields so far: */
    bool has_size;
    struct s3_entry entry;
    char encoded_key[ENCODED * S3_KEY_MAX + 1];
    char key[S3_KEY_MAX + 1];
    char storage_class[STORAGE_CLASS_MAX + 1];
    char version_id[S3_VERSION_ID_MAX + 1];
};

static enum rc entry_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    struct entry_reader *r = ctx;

    (void)err;
    if (depth != 2)
        return RC_OK;
    bool marker = str_eq(name, "DeleteMarker");
    r->inside = marker || str_eq(name, "Contents") || str_eq(name, "Version");
    r->has_size = marker;
    r->encoded_key[0] = r->key[0] = r->storage_class[0] = r->version_id[0] = '\0';
    r->entry = (struct s3_entry){.key = r->key,
                                 .modified = MOMENT_NONE,
                                 .storage_class = r->storage_class,
                                 .version_id = r->version_id,
                                 .delete_marker = marker};
    return RC_OK;
}

/* Sizes and moments that can't be parsed are missed when the entry is complete. */
static enum rc take_field(struct entry_reader *r, const char *name, const char *text,
                          struct error *err)
{
    if (str_eq(name, "Key"))
        return s3_xml_keep(name, text, r->encoded_key, sizeof(r->encoded_key), err);
    if (str_eq(name, "StorageClass"))
        return s3_xml_keep(name, text, r->storage_class, sizeof(r->storage_class), err);
    if (str_eq(name, "VersionId"))
        return s3_xml_keep(name, text, r->version_id, sizeof(r->version_id), err);
    if (str_eq(name, "IsLatest"))
        return parse_flag(name, text, &r->entry.latest, err);
    if (str_eq(name, "LastModified"))
        (void)s3_time_parse(text, &r->entry.modified);
    else if (str_eq(name, "Size"))
        r->has_size = parse_u64(text, &r->entry.size_bytes);
    return RC_OK;
}

static enum rc finish_entry(struct entry_reader *r, const char *name, struct error *err)
{
    TRY(decode("Key", r->encoded_key, r->url_encoded, r->key, sizeof(r->key), err));
    if (!r->key[0])
        return s3_xml_lacks(name, "Key", err);
    if (!r->has_size)
        return s3_xml_lacks(name, "Size", err);
    if (r->entry.modified == MOMENT_NONE)
        return s3_xml_lacks(name, "LastModified", err);
    if (!r->version_id[0] && !str_eq(name, "Contents"))
        return s3_xml_lacks(name, "VersionId", err);
    (void)str_copy(r->page->last_key, sizeof(r->page->last_key), r->key);
    r->page->entries++;
    return r->fn(r->ctx, &r->entry, err);
}

static enum rc entry_close(void *ctx, unsigned depth, const char *name, const char *text,
                           struct error *err)
{
    struct entry_reader *r = ctx;

    if (r->inside && depth == 3)
        return take_field(r, name, text, err);
    if (r->inside && depth == 2)
        return finish_entry(r, name, err);
    return RC_OK;
}

/* radosgw url-encodes keys, but not the marker: one that is the last key as it stands is no encoded
 * one. Taking "a+b" for "a b" would list the same entries for ever. */
static enum rc decode_marker(struct page_reader *r, struct error *err)
{
    struct s3_page *p = &r->page;
    bool encoded = r->url_encoded && !str_eq(r->key_marker, p->last_key);

    return decode("NextKeyMarker", r->key_marker, encoded, p->key_marker, sizeof(p->key_marker),
                  err);
}

enum rc s3_xml_list(const void *xml, size_t len, s3_entry_fn *fn, void *ctx, struct s3_page *ret,
                    struct error *err)
{
    static const struct xml_events events = {.open = entry_open, .close = entry_close};
    struct page_reader page = {0};

    TRY(read_page(xml, len, &page, err));
    struct entry_reader r = {
        .fn = fn, .ctx = ctx, .url_encoded = page.url_encoded, .page = &page.page};
    TRY(xml_walk(xml, len, &events, &r, err));
    TRY(decode_marker(&page, err));
    *ret = page.page;
    return RC_OK;
}
