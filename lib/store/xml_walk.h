/*
 * A walk through an XML document from outside, by expat. Bounded: depth, text and length; a
 * document type declaration is refused, and with it every entity but XML's own five. Prefixes of
 * namespaces are cut off, attributes and processing instructions passed over.
 */
#ifndef PGPROOF_STORE_XML_WALK_H
#define PGPROOF_STORE_XML_WALK_H

#include "base/error.h"

#include <stddef.h>

#define XML_DOCUMENT_MAX (64u << 20)
#define XML_DEPTH_MAX    32
#define XML_TEXT_MAX     65536 /* of one element */

struct xml_events {
    /* An element begins; the root's depth is 1. May be NULL. */
    enum rc (*open)(void *ctx, unsigned depth, const char *name, struct error *err);
    /* An element ends; text is what stood in it behind its last child, as UTF-8. */
    enum rc (*close)(void *ctx, unsigned depth, const char *name, const char *text,
                     struct error *err);
};

/*
 * The first code of an event that isn't RC_OK ends the walk and is returned. RC_STORAGE: the bytes
 * are no well-formed document, or over a bound; events before that place have happened.
 */
MUST_CHECK enum rc xml_walk(const void *xml, size_t len, const struct xml_events *events, void *ctx,
                            struct error *err);

#endif
