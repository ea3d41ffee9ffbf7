/*
 * A document: a JSON object that tells when it was damaged. Its last two lines are
 *
 *       "sha256": "<64 hex digits>"
 *     }
 *
 * and the digest is the SHA-256 of every byte in front of the line that holds it. People and `jq`
 * read it as it is.
 */
#ifndef PGPROOF_REPO_DOCUMENT_H
#define PGPROOF_REPO_DOCUMENT_H

#include "base/buf.h"
#include "base/json.h"
#include "codec/hash.h"
#include "store/store.h"

#define DOCUMENT_MAX (64u << 20)

/* Adds "kind" and "version" members in front. Appends the text to `to`. */
MUST_CHECK enum rc document_encode(const char *kind, unsigned version, json_t *body, struct buf *to,
                                   struct error *err);

/*
 * Checks digest, kind and version. RC_INTEGRITY: damaged or of another kind. RC_CONFIG: a version
 * that this program does not know (newer).
 */
MUST_CHECK enum rc document_decode(const char *kind, unsigned version, const void *text, size_t len,
                                   json_t **ret, struct error *err);

/* Encode and put; RC_EXISTS if the name is taken. ret_digest (of the whole object) may be NULL. */
MUST_CHECK enum rc document_put(struct store *s, const char *name, const char *kind,
                                unsigned version, json_t *body, struct sha256 *ret_digest,
                                struct error *err);

/* Get and decode; part two of errors is the name. ret_digest may be NULL. */
MUST_CHECK enum rc document_get(struct store *s, const char *name, const char *kind,
                                unsigned version, json_t **ret, struct sha256 *ret_digest,
                                struct error *err);

#endif
