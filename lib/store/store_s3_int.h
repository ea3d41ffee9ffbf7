/*
 * The S3 driver's own parts: opening (store_s3.c), one call with its retries (store_s3_call.c),
 * what answers mean (store_s3_error.c), objects (store_s3_object.c), putting where the server has
 * no If-None-Match (store_s3_claim.c), listings and versions (store_s3_list.c), removal
 * (store_s3_remove.c, store_s3_remove_many.c).
 *
 * The API is the one in Amazon S3's API reference, path- or virtual-host-style, with XML documents.
 * Objects are put with one request each; there are no multipart uploads to be left behind.
 *
 * Beside the objects the driver keeps, below the repository's prefix:
 *   .put/probe      a constant, put with If-None-Match to see whether the server honours it; with
 *                   `sse`, one of its own for each kind: probe-s3, probe-kms, probe-c
 *   .put/claim-<SHA-256 of a name>-<random>   only where it does not (store_s3_claim.c)
 */
#ifndef PGPROOF_STORE_STORE_S3_INT_H
#define PGPROOF_STORE_STORE_S3_INT_H

#include "base/mem.h"
#include "store/aws_credentials.h"
#include "store/http.h"
#include "store/s3_xml.h"
#include "store/store_int.h"

#include <pthread.h>

#define S3_PROBE     ".put/probe"
#define S3_CLAIMS    ".put/claim-"
#define S3_META_HASH "x-amz-meta-pgproof-sha256"
#define S3_NAME_SIZE (STORE_NAME_MAX + 1)

/* What all handles of a store share; never changed after opening but for what `mutex` guards. */
struct s3_shared {
    struct arena *memory;
    struct store_s3_options o; /* strings in memory; the SSE-C key too, wiped at the end */
    const char *region;
    const char *base;   /* in front of a key in a URL: "https://host:port/bucket/" */
    const char *host;   /* Host header */
    const char *path;   /* the base's path, encoded: "/bucket/" or "/" */
    const char *prefix; /* of keys: "" or "fleet2/" */
    moment_us as_of;    /* 0: now */
    struct aws_credentials *credentials;

    pthread_mutex_t mutex;
    unsigned refs;
    bool reached; /* the server answered once */

    pthread_mutex_t learning; /* held while finding out: */
    enum { S3_PUT_UNKNOWN, S3_PUT_HEADER, S3_PUT_CLAIM } put;
    enum { S3_VERSIONS_UNKNOWN, S3_VERSIONS_NONE, S3_VERSIONS_KEPT } versions;
};

struct s3_store {
    struct store store;
    struct s3_shared *shared;
    struct http *http;
};

static inline struct s3_store *s3_store_of(struct store *s)
{
    return (struct s3_store *)s;
}

#define S3_QUERY_MAX  10
#define S3_HEADER_MAX 24

/* One request, to be filled in by s3_call_begin and the setters, then run. */
struct s3_call {
    struct s3_store *s;
    struct arena *memory;
    const char *method;
    const char *key;  /* whole; NULL: the bucket */
    const char *name; /* the object's in the repository, for messages; "" */
    struct aws_param query[S3_QUERY_MAX];
    size_t query_count;
    const char *headers[S3_HEADER_MAX]; /* "name: value", the call's own */
    size_t header_count;
    const void *body;
    size_t body_len;
    const struct sha256 *sha256; /* of the body; NULL: computed */
    struct buf *to;              /* the body of a 2xx */
    struct sha256_sum *sum;      /* of that body, with `to`; may be NULL; the caller's */
    const char *root;            /* the body of a 2xx is a document with this root element; NULL:
                                    it has no body, where `to` is given */
    const char *proof;           /* a header that every 2xx of the storage's own has, or NULL */
    double deadline;             /* clock_monotonic(); no attempt begins after it */
    unsigned total_seconds;      /* of one attempt; 0: only the stall limit */
    /* Is this 2xx answer what it should be? RC_STORAGE: no, try again. May be NULL. */
    enum rc (*check)(struct s3_call *c, struct error *err);

    /* The answer. */
    int status;
    char code[64];  /* of S3's error document; "" without one */
    bool uncertain; /* an attempt before the last may have been carried out */
    struct http_answer answer;
};
#define CLEANUP_CALL CLEANUP(s3_call_done)

/* key: whole, or NULL for the bucket; name: for messages. */
void s3_call_begin(struct s3_call *c, struct s3_store *s, const char *method, const char *key,
                   const char *name);
void s3_call_done(struct s3_call *c);
void s3_call_query(struct s3_call *c, const char *name, const char *value);
void s3_call_header(struct s3_call *c, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
void s3_call_body(struct s3_call *c, const void *body, size_t len, const struct sha256 *sha256);
/* The Content-MD5 of the body, which older servers ask for with deletions and locks. */
MUST_CHECK enum rc s3_call_md5(struct s3_call *c, struct error *err);
/* The SSE-C key, with whatever touches an object's bytes. */
void s3_call_sse_c(struct s3_call *c);
/* The configured encryption, with whatever makes an object. */
void s3_call_encryption(struct s3_call *c);

/*
 * Sign, send, and try again what may pass, until the deadline. RC_OK: there is an answer for the
 * caller to judge: any 2xx, 304, 404, 412, 416, 501, and for a HEAD, which has no error document,
 * anything that is not worth another try. Every other end is an error with its remedy.
 */
MUST_CHECK enum rc s3_call_run(struct s3_call *c, struct error *err);

/* RC_STORAGE (or what fits better) for an answer that is no success; with the object in part two.
 */
enum rc s3_call_failed(struct s3_call *c, struct error *err);
/* RC_NOT_FOUND where the answer says, with S3's own word, that there is no such object. */
enum rc s3_call_absent(struct s3_call *c, struct error *err);
/* Is it worth another try? */
bool s3_may_pass(int status, const char *code);
enum rc s3_error_on(const struct s3_store *s, const char *name, struct error *err);

/* What HEAD tells. */
struct s3_head {
    struct store_info info;
    char version_id[256]; /* "" on a bucket without versions */
    char storage_class[64];
    char lock_mode[32];     /* "" without a lock, or where we may not know */
    moment_us locked_until; /* 0 without */
    bool legal_hold;
};

/* store_s3_object.c; key: prefix + name, on the call's or caller's arena */
char *s3_key(struct arena *memory, const struct s3_store *s, const char *name);
MUST_CHECK enum rc s3_head_key(struct s3_store *s, const char *key, const char *version_id,
                               const char *name, struct s3_head *ret, struct error *err);
MUST_CHECK enum rc s3_get_key(struct s3_store *s, const char *key, const char *version_id,
                              const char *name, uint64_t offset, size_t len, struct buf *to,
                              struct error *err);
/* What the server made of If-None-Match. */
enum s3_condition {
    S3_CONDITION_MET,     /* neither of these */
    S3_CONDITION_FAILED,  /* 412: something is there, be it of an own attempt */
    S3_CONDITION_UNKNOWN, /* 501: it says that it knows no such header; nothing was put */
};
/* One PUT. `header`: with If-None-Match. deadline: of all attempts, and how long each may take; 0:
 * the usual. RC_EXISTS on 412, but for an own attempt whose answer was lost. ret_condition may be
 * NULL; where it isn't, S3_CONDITION_UNKNOWN is RC_OK. */
MUST_CHECK enum rc s3_put_key(struct s3_store *s, const char *key, const char *name,
                              const void *data, size_t len, const struct store_put_how *how,
                              bool header, double deadline, enum s3_condition *ret_condition,
                              struct error *err);
/* RC_OK: the object has exactly these bytes. RC_EXISTS: others. RC_NOT_FOUND: there is none. */
MUST_CHECK enum rc s3_same(struct s3_store *s, const char *key, const char *name, const void *data,
                           size_t len, struct error *err);
enum rc s3_put(struct store *s, const char *name, const void *data, size_t len,
               const struct store_put_how *how, struct error *err);
enum rc s3_get(struct store *s, const char *name, uint64_t offset, size_t len, struct buf *to,
               struct error *err);
enum rc s3_head(struct store *s, const char *name, struct store_info *ret, struct error *err);
enum rc s3_lock(struct store *s, const char *name, moment_us until, struct error *err);
/* RC_REFUSED: the store shows an earlier moment. */
enum rc s3_refuse_writing(const struct s3_store *s, const char *name, struct error *err);

/* store_s3_claim.c */
MUST_CHECK enum rc s3_learn_put(struct s3_store *s, struct error *err);
MUST_CHECK enum rc s3_put_claimed(struct s3_store *s, const char *key, const char *name,
                                  const void *data, size_t len, const struct store_put_how *how,
                                  struct error *err);

/* store_s3_list.c */
enum rc s3_list(struct store *s, const char *prefix, store_list_fn *fn, void *ctx,
                struct error *err);
/* All versions and delete markers of keys that begin with `prefix` (whole, "" for all), sorted by
 * key, newest first within a key. */
MUST_CHECK enum rc s3_each_version(struct s3_store *s, const char *prefix, s3_entry_fn *fn,
                                   void *ctx, struct error *err);
/* All objects whose key begins with `prefix` (whole), sorted by key as bytes. Both show nothing
 * before the whole listing has come. */
MUST_CHECK enum rc s3_each_object(struct s3_store *s, const char *prefix, s3_entry_fn *fn,
                                  void *ctx, struct error *err);
/* The version of a key that was the object at the moment that the store looks at.
 * RC_NOT_FOUND: there was none. */
MUST_CHECK enum rc s3_version_then(struct s3_store *s, const char *key, const char *name,
                                   char ret_id[static 256], struct error *err);

/* store_s3_remove.c */
enum rc s3_remove(struct store *s, const char *name, struct error *err);
/* Whether the bucket keeps versions, asked once; S3_VERSIONS_UNKNOWN where these credentials may
 * not ask. */
int s3_learn_versions(struct s3_store *s);

enum rc s3_sweep(struct store *s, moment_us before, unsigned *ret_removed, struct error *err);
/* One key without looking first: what is gone already is no error. */
MUST_CHECK enum rc s3_delete_key(struct s3_store *s, const char *key, const char *version_id,
                                 const char *name, struct error *err);

/* store_s3_remove_many.c */
enum rc s3_remove_many(struct store *s, const char *const *names, size_t count,
                       store_removed_fn *fn, void *ctx, struct error *err);

/* store_s3_examine.c */
enum rc s3_examine(struct store *s, store_finding_fn *fn, void *ctx, struct error *err);

#endif
