/*
 * s3_fixture: the real S3 server that scripts/s3-server started around the tests.
 *
 *     const char *bucket = s3fix_bucket(S3FIX_VERSIONED);    // a new one
 *     struct store_options o = s3fix_options(bucket);
 *     store_open(&o, &s, &err) …
 *     s3fix_get(bucket, "prefix/name", &b);                  // by libcurl, not by the driver
 *
 * Which server that is stands in the environment (PGPROOF_TEST_S3_*; scripts/s3-server says which
 * variables). Without one every test fails, and says what gives it. Nothing here uses the code
 * under test: requests are made and signed by libcurl.
 *
 * HOW IT FAILS. What goes wrong fails the running cmocka test, with the server's answer.
 *
 * WHO OWNS WHAT. Strings that are returned live as long as the process. What is left behind in the
 * server goes with it: its whole directory is temporary.
 */
#ifndef PGPROOF_SUPPORT_S3_FIXTURE_H
#define PGPROOF_SUPPORT_S3_FIXTURE_H

#include "base/buf.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>

/* PGPROOF_TEST_S3_<name>. s3fix_setting_or gives NULL where there is none. */
const char *s3fix_setting(const char *name);
const char *s3fix_setting_or(const char *name);
bool s3fix_is(const char *kind); /* "minio", "radosgw", "s3rver" */
unsigned s3fix_port(void);       /* of its endpoint, http://127.0.0.1:PORT */

/* ---- buckets ---- */

enum { S3FIX_PLAIN = 0, S3FIX_VERSIONED = 1, S3FIX_LOCK = 2 /* and versioned */ };
const char *s3fix_bucket(unsigned how); /* a new, empty one; its name */
/* Remove it with all that is in it, one by one, through governance locks. */
void s3fix_bucket_drop(const char *bucket);

/* A store in it, below a prefix, with the server's own keys; retries end after 10 seconds. */
struct store_options s3fix_options(const char *bucket);
#define S3FIX_PREFIX "fleet/one"

/* ---- a foreign client ---- */

struct s3fix_call {
    const char *method;
    const char *bucket; /* NULL: the server itself */
    const char *key;    /* not encoded; NULL: the bucket */
    const char *query;  /* encoded and sorted, a parameter without value as "name="; or NULL */
    const char *const *headers; /* "name: value", NULL-terminated; or NULL */
    const void *body;
    size_t body_len;
    const char *access_key, *secret_key; /* NULL: the server's own */
    const char *service;                 /* that it is signed for; NULL: s3 */
};

/* The answer's status; its body is appended to `answer` (may be NULL), headers to `headers` (may be
 * NULL). Fails the test only where no answer comes. */
int s3fix_call(const struct s3fix_call *c, struct buf *answer, struct buf *headers);
/* Fails the test, with what the server says, unless the status is 2xx. */
void s3fix_must(const struct s3fix_call *c, struct buf *answer);

void s3fix_put(const char *bucket, const char *key, const void *data, size_t len);
void s3fix_get(const char *bucket, const char *key, struct buf *to);

#endif
