#include "store/s3_xml.h"

#include "base/str.h"
#include "store/xml_walk.h"

#include <string.h>

#define KEY_MAX           1024
#define VERSION_ID_MAX    1024
#define STORAGE_CLASS_MAX 63
#define ENCODED           3 /* bytes of a byte that is url-encoded */

static enum rc lacks(const char *element, const char *what, struct error *err)
{
    return error_set(err, RC_STORAGE, "<%s> has no valid <%s>", element, what);
}

static enum rc keep(const char *element, const char *text, char *to, size_t to_size,
                    struct error *err)
{
    if (str_copy(to, to_size, text))
        return RC_OK;
    return error_set(err, RC_STORAGE, "<%.64s> has more than %zu bytes", element, to_size - 1);
}

static enum rc expect_root(const char *name, const char *const *known, struct error *err)
{
    for (const char *const *k = known; *k; k++)
        if (str_eq(name, *k))
            return RC_OK;
    return error_set(err, RC_STORAGE, "the document is a <%.64s>, where a <%s> was expected", name,
                     known[0]);
}

static enum rc parse_flag(const char *element, const char *text, bool *ret, struct error *err)
{
    if (!str_eq(text, "true") && !str_eq(text, "false"))
        return error_set(err, RC_STORAGE, "<%s> is neither true nor false", element);
    *ret = text[0] == 't';
    return RC_OK;
}

bool s3_time_parse(const char *text, moment_us *ret)
{
    struct error err;

    return moment_parse(text, ret, &err) == RC_OK;
}

/* --- one element's text ----------------------------------------------------------------------- */

struct search {
    const char *element; /* NULL: the root's name is wanted, not a text */
    bool found;
    char *to;
    size_t to_size;
};

static enum rc search_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    struct search *s = ctx;

    (void)err;
    if (!s->element && depth == 1)
        (void)str_copy(s->to, s->to_size, name);
    return RC_OK;
}

static enum rc search_close(void *ctx, unsigned depth, const char *name, const char *text,
                            struct error *err)
{
    static const char blanks[] = " \t\r\n";
    struct search *s = ctx;

    (void)depth, (void)err;
    if (s->found || !s->element || !str_eq(name, s->element))
        return RC_OK;
    s->found = true;
    text += strspn(text, blanks);
    size_t len = strlen(text);
    while (len && strchr(blanks, text[len - 1]))
        len--;
    if (len > s->to_size - 1)
        len = s->to_size - 1;
    memcpy(s->to, text, len);
    s->to[len] = '\0';
    return RC_OK;
}

enum rc s3_xml_text(const void *xml, size_t len, const char *element, char *to, size_t to_size,
                    struct error *err)
{
    static const struct xml_events events = {.open = search_open, .close = search_close};
    CLEANUP_BUF struct buf text = BUF_INIT(to_size);

    TRY(buf_reserve(&text, to_size, err));
    struct search s = {.element = element, .to = (char *)text.data, .to_size = to_size};
    TRY(xml_walk(xml, len, &events, &s, err));
    if (element && !s.found)
        return error_set(err, RC_NOT_FOUND, "the document has no <%s>", element);
    memcpy(to, s.to, strlen(s.to) + 1);
    return RC_OK;
}

enum rc s3_xml_root(const void *xml, size_t len, char *to, size_t to_size, struct error *err)
{
    return s3_xml_text(xml, len, NULL, to, to_size, err);
}

/* --- listings --------------------------------------------------------------------------------- */

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
        return keep(element, text, to, to_size, err);
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
    return depth == 1 ? expect_root(name, roots, err) : RC_OK;
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
        return keep(name, text, p->token, sizeof(p->token), err);
    else if (str_eq(name, "NextKeyMarker"))
        return keep(name, text, r->key_marker, sizeof(r->key_marker), err);
    else if (str_eq(name, "NextVersionIdMarker"))
        return keep(name, text, p->version_marker, sizeof(p->version_marker), err);
    return RC_OK;
}

static enum rc read_page(const void *xml, size_t len, struct page_reader *r, struct error *err)
{
    static const struct xml_events events = {.open = page_open, .close = page_close};
    struct s3_page *p = &r->page;

    TRY(xml_walk(xml, len, &events, r, err));
    TRY(decode("NextKeyMarker", r->key_marker, r->url_encoded, p->key_marker, sizeof(p->key_marker),
               err));
    if (!r->says_truncated)
        return error_set(err, RC_STORAGE, "the listing does not say whether it goes on");
    if (p->truncated && !p->token[0] && !p->key_marker[0])
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
    char encoded_key[ENCODED * KEY_MAX + 1];
    char key[KEY_MAX + 1];
    char storage_class[STORAGE_CLASS_MAX + 1];
    char version_id[VERSION_ID_MAX + 1];
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
        return keep(name, text, r->encoded_key, sizeof(r->encoded_key), err);
    if (str_eq(name, "StorageClass"))
        return keep(name, text, r->storage_class, sizeof(r->storage_class), err);
    if (str_eq(name, "VersionId"))
        return keep(name, text, r->version_id, sizeof(r->version_id), err);
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
        return lacks(name, "Key", err);
    if (!r->has_size)
        return lacks(name, "Size", err);
    if (r->entry.modified == MOMENT_NONE)
        return lacks(name, "LastModified", err);
    if (!r->version_id[0] && !str_eq(name, "Contents"))
        return lacks(name, "VersionId", err);
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

enum rc s3_xml_list(const void *xml, size_t len, s3_entry_fn *fn, void *ctx, struct s3_page *ret,
                    struct error *err)
{
    static const struct xml_events events = {.open = entry_open, .close = entry_close};
    struct page_reader page = {0};

    TRY(read_page(xml, len, &page, err));
    struct entry_reader r = {
        .fn = fn, .ctx = ctx, .url_encoded = page.url_encoded, .page = &page.page};
    TRY(xml_walk(xml, len, &events, &r, err));
    *ret = page.page;
    return RC_OK;
}

/* --- batch deletion --------------------------------------------------------------------------- */

struct delete_reader {
    s3_delete_error_fn *fn; /* NULL in the first walk, which only proves the document whole */
    void *ctx;
    size_t deleted;
    bool inside; /* an <Error>; its fields so far: */
    char key[KEY_MAX + 1];
    char version_id[VERSION_ID_MAX + 1];
    char code[128];
    char message[1024];
};

static enum rc delete_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    static const char *const roots[] = {"DeleteResult", NULL};
    struct delete_reader *r = ctx;

    if (depth == 1)
        return expect_root(name, roots, err);
    if (depth == 2) {
        r->inside = str_eq(name, "Error");
        r->key[0] = r->version_id[0] = r->code[0] = r->message[0] = '\0';
    }
    return RC_OK;
}

static enum rc take_delete_field(struct delete_reader *r, const char *name, const char *text,
                                 struct error *err)
{
    if (str_eq(name, "Key"))
        return keep(name, text, r->key, sizeof(r->key), err);
    if (str_eq(name, "VersionId"))
        return keep(name, text, r->version_id, sizeof(r->version_id), err);
    if (str_eq(name, "Code"))
        return keep(name, text, r->code, sizeof(r->code), err);
    if (str_eq(name, "Message"))
        (void)str_copy(r->message, sizeof(r->message), text);
    return RC_OK;
}

static enum rc finish_delete_error(const struct delete_reader *r, struct error *err)
{
    struct s3_delete_error e = {
        .key = r->key, .version_id = r->version_id, .code = r->code, .message = r->message};

    if (!e.key[0])
        return lacks("Error", "Key", err);
    if (!e.code[0])
        return lacks("Error", "Code", err);
    if (r->fn)
        r->fn(r->ctx, &e);
    return RC_OK;
}

static enum rc delete_close(void *ctx, unsigned depth, const char *name, const char *text,
                            struct error *err)
{
    struct delete_reader *r = ctx;

    if (r->inside && depth == 3)
        return take_delete_field(r, name, text, err);
    if (r->inside && depth == 2)
        return finish_delete_error(r, err);
    if (depth == 2 && str_eq(name, "Deleted"))
        r->deleted++;
    return RC_OK;
}

enum rc s3_xml_delete_result(const void *xml, size_t len, s3_delete_error_fn *fn, void *ctx,
                             size_t *ret_deleted, struct error *err)
{
    static const struct xml_events events = {.open = delete_open, .close = delete_close};
    struct delete_reader prove = {0}, r = {.fn = fn, .ctx = ctx};

    TRY(xml_walk(xml, len, &events, &prove, err));
    TRY(xml_walk(xml, len, &events, &r, err));
    *ret_deleted = r.deleted;
    return RC_OK;
}

/* XML 1.0 has no way to write control bytes; those that a parser would change are escaped. */
static enum rc append_escaped(const char *text, struct buf *to, struct error *err)
{
    for (const char *p = text; *p; p++) {
        if (strchr("\t\n\r&<>\"'", *p))
            TRY(buf_printf(to, err, "&#%d;", *p));
        else if ((unsigned char)*p < ' ')
            return error_set(err, RC_REFUSED, "a key with control bytes can't be named in XML");
        else
            TRY(buf_append(to, p, 1, err));
    }
    return RC_OK;
}

static enum rc append_object(const char *key, const char *version_id, struct buf *to,
                             struct error *err)
{
    TRY(buf_printf(to, err, "<Object><Key>"));
    TRY(append_escaped(key, to, err));
    TRY(buf_printf(to, err, "</Key>"));
    if (version_id) {
        TRY(buf_printf(to, err, "<VersionId>"));
        TRY(append_escaped(version_id, to, err));
        TRY(buf_printf(to, err, "</VersionId>"));
    }
    return buf_printf(to, err, "</Object>");
}

enum rc s3_xml_delete_request(const char *const *keys, const char *const *version_ids, size_t count,
                              struct buf *to, struct error *err)
{
    TRY(buf_printf(to, err, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"));
    for (size_t i = 0; i < count; i++)
        TRY(append_object(keys[i], version_ids ? version_ids[i] : NULL, to, err));
    return buf_printf(to, err, "</Delete>");
}
