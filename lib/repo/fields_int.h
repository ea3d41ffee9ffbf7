/*
 * Members of documents: how LSNs, moments, digests and large numbers stand in JSON. Setters take
 * values of ours and can't fail; getters give RC_INTEGRITY and name the member.
 */
#ifndef PGPROOF_REPO_FIELDS_INT_H
#define PGPROOF_REPO_FIELDS_INT_H

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

void field_set(json_t *o, const char *key, json_t *value); /* takes the value over */
void field_set_str(json_t *o, const char *key, const char *ascii);
void field_set_u64(json_t *o, const char *key, uint64_t value); /* up to INT64_MAX */
/* 64-bit identifiers as decimal strings: many JSON readers round integers beyond 2^53. */
void field_set_decimal(json_t *o, const char *key, uint64_t value);
void field_set_lsn(json_t *o, const char *key, uint64_t lsn);      /* "0/3000028" */
void field_set_moment(json_t *o, const char *key, moment_us time); /* ISO, UTC */
void field_set_hex(json_t *o, const char *key, const void *data, size_t len);

MUST_CHECK enum rc field_get_decimal(const json_t *o, const char *key, uint64_t *ret,
                                     struct error *err);
MUST_CHECK enum rc field_get_lsn(const json_t *o, const char *key, uint64_t *ret,
                                 struct error *err);
MUST_CHECK enum rc field_get_moment(const json_t *o, const char *key, moment_us *ret,
                                    struct error *err);
MUST_CHECK enum rc field_get_seconds(const json_t *o, const char *key, double *ret,
                                     struct error *err);
/* A string of any bytes (json_set_bytes), copied into the arena. */
MUST_CHECK enum rc field_get_text(const json_t *o, const char *key, struct arena *a,
                                  const char **ret, struct error *err);

#endif
