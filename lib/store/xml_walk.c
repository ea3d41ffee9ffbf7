#include "store/xml_walk.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <expat.h>
#include <string.h>

DEFINE_CLEANUP(cleanup_parser, XML_Parser, XML_ParserFree)

struct walk {
    XML_Parser parser;
    const struct xml_events *events;
    void *ctx;
    unsigned depth;
    struct buf text;
    enum rc rc; /* the first that was not RC_OK; nothing more happens then */
    struct error *err;
};

/* expat may call on after it was told to stop. */
static void end_walk(struct walk *w, enum rc rc)
{
    if (rc == RC_OK || w->rc != RC_OK)
        return;
    w->rc = rc;
    XML_StopParser(w->parser, XML_FALSE);
}

static const char *without_prefix(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon ? colon + 1 : name;
}

static void on_open(void *ctx, const char *name, const char **attributes)
{
    struct walk *w = ctx;

    (void)attributes;
    if (w->rc != RC_OK)
        return;
    buf_clear(&w->text);
    if (++w->depth > XML_DEPTH_MAX)
        end_walk(w, error_set(w->err, RC_STORAGE, "elements stand more than %d deep in each other",
                              XML_DEPTH_MAX));
    else if (w->events->open)
        end_walk(w, w->events->open(w->ctx, w->depth, without_prefix(name), w->err));
}

static enum rc close_element(struct walk *w, const char *name)
{
    const char *text;

    TRY(buf_cstr(&w->text, &text, w->err));
    TRY(w->events->close(w->ctx, w->depth, without_prefix(name), text, w->err));
    buf_clear(&w->text);
    w->depth--;
    return RC_OK;
}

static void on_close(void *ctx, const char *name)
{
    struct walk *w = ctx;

    if (w->rc == RC_OK)
        end_walk(w, close_element(w, name));
}

static void on_text(void *ctx, const char *text, int len)
{
    struct walk *w = ctx;

    if (w->rc != RC_OK)
        return;
    if ((size_t)len > XML_TEXT_MAX - w->text.len)
        end_walk(w, error_set(w->err, RC_STORAGE, "an element has more than %d bytes of text",
                              XML_TEXT_MAX));
    else
        end_walk(w, buf_append(&w->text, text, (size_t)len, w->err));
}

static void on_doctype(void *ctx, const char *name, const char *system_id, const char *public_id,
                       int has_internal_subset)
{
    struct walk *w = ctx;

    (void)name, (void)system_id, (void)public_id, (void)has_internal_subset;
    end_walk(w, error_set(w->err, RC_STORAGE, "it declares a document type, as no S3 answer does"));
}

static enum rc parse(struct walk *w, const void *xml, size_t len)
{
    if (XML_Parse(w->parser, len ? xml : "", (int)len, XML_TRUE) == XML_STATUS_OK)
        return RC_OK;
    if (w->rc != RC_OK)
        return w->rc;
    enum XML_Error code = XML_GetErrorCode(w->parser);
    return error_set(w->err, code == XML_ERROR_NO_MEMORY ? RC_NOMEM : RC_STORAGE,
                     "not well-formed XML: %s, at line %lu", XML_ErrorString(code),
                     (unsigned long)XML_GetCurrentLineNumber(w->parser));
}

enum rc xml_walk(const void *xml, size_t len, const struct xml_events *events, void *ctx,
                 struct error *err)
{
    CLEANUP(cleanup_parser) XML_Parser parser = NULL;
    struct walk w = {.events = events, .ctx = ctx, .text = BUF_INIT(XML_TEXT_MAX), .err = err};

    if (len > XML_DOCUMENT_MAX)
        return error_set(err, RC_STORAGE, "%zu bytes are too many for an XML document", len);
    parser = XML_ParserCreate(NULL);
    if (!parser)
        return error_set(err, RC_NOMEM, "out of memory (an XML parser)");
    w.parser = parser;
    XML_SetUserData(parser, &w);
    XML_SetElementHandler(parser, on_open, on_close);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    enum rc rc = parse(&w, xml, len);
    buf_done(&w.text);
    return rc;
}
