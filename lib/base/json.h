/*
 * Typed access to parsed JSON. Each reader names the member in its error (RC_INTEGRITY: the caller
 * says on what). Strings belong to the object. Unknown members are ignored everywhere, so that a
 * later minor version may add some.
 */
#ifndef PGPROOF_BASE_JSON_H
#define PGPROOF_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

static inline void cleanup_json(json_t **j)
{
    json_decref(*j);
}
#define CLEANUP_JSON __attribute__((cleanup(cleanup_json)))

/* Parse one JSON object; duplicate members and anything behind it are refused. */
MUST_CHECK enum rc json_parse_object(const void *text, size_t len, json_t **ret, struct error *err);

MUST_CHECK enum rc json_get_str(const json_t *o, const char *key, const char **ret,
                                struct error *err);
MUST_CHECK enum rc json_get_str_or(const json_t *o, const char *key, const char *fallback,
                                   const char **ret, struct error *err);
MUST_CHECK enum rc json_get_u64(const json_t *o, const char *key, uint64_t *ret, struct error *err);
MUST_CHECK enum rc json_get_i64(const json_t *o, const char *key, int64_t *ret, struct error *err);
MUST_CHECK enum rc json_get_u32(const json_t *o, const char *key, uint32_t *ret, struct error *err);
MUST_CHECK enum rc json_get_flag(const json_t *o, const char *key, bool fallback, bool *ret,
                                 struct error *err);
/* Lower- or upper-case hex of exactly len bytes. */
MUST_CHECK enum rc json_get_hex(const json_t *o, const char *key, void *ret, size_t len,
                                struct error *err);
MUST_CHECK enum rc json_get_array(const json_t *o, const char *key, json_t **ret,
                                  struct error *err);
MUST_CHECK enum rc json_get_obj(const json_t *o, const char *key, json_t **ret, struct error *err);

/*
 * Names with any byte but NUL: valid UTF-8 goes into member `key`; anything else goes, hex-encoded,
 * into "<key>_hex".
 */
void json_set_bytes(json_t *o, const char *key, const char *value);
/* *ret is malloc'ed. */
MUST_CHECK enum rc json_get_bytes(const json_t *o, const char *key, char **ret, struct error *err);

#endif
