#include "store/s3_xml_int.h"

#include "base/str.h"
#include "store/xml_walk.h"

#include <string.h>

struct delete_reader {
    s3_delete_error_fn *fn; /* NULL in the first walk, which only proves the document whole */
    void *ctx;
    size_t deleted;
    bool inside; /* an <Error>; its fields so far: */
    char key[S3_KEY_MAX + 1];
    char version_id[S3_VERSION_ID_MAX + 1];
    char code[128];
    char message[1024];
};

static enum rc delete_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    static const char *const roots[] = {"DeleteResult", NULL};
    struct delete_reader *r = ctx;

    if (depth == 1)
        return s3_xml_expect_root(name, roots, err);
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
        return s3_xml_keep(name, text, r->key, sizeof(r->key), err);
    if (str_eq(name, "VersionId"))
        return s3_xml_keep(name, text, r->version_id, sizeof(r->version_id), err);
    if (str_eq(name, "Code"))
        return s3_xml_keep(name, text, r->code, sizeof(r->code), err);
    if (str_eq(name, "Message"))
        (void)str_copy(r->message, sizeof(r->message), text);
    return RC_OK;
}

static enum rc finish_delete_error(const struct delete_reader *r, struct error *err)
{
    struct s3_delete_error e = {
        .key = r->key, .version_id = r->version_id, .code = r->code, .message = r->message};

    if (!e.key[0])
        return s3_xml_lacks("Error", "Key", err);
    if (!e.code[0])
        return s3_xml_lacks("Error", "Code", err);
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
