/*
 * Objects by name.
 *
 * A store holds immutable objects: bytes under a name, written whole, once. There is no overwrite.
 * Names are relative paths of printable ASCII: components of [A-Za-z0-9._=+-], not beginning with
 * '.', of at most 255 bytes, separated by '/'. Any other name is RC_REFUSED. A name is never also
 * the directory of another: where "a/b" is an object, "a" can't be one.
 *
 * What every driver promises (tests/contract checks each one):
 *   - store_put returns RC_OK only when the object is durable: it survives a power cut.
 *   - An object is visible whole or not at all, at any moment, to everybody.
 *   - store_put never replaces: RC_EXISTS, and the old object is untouched; it is durable too, so
 *     that a caller who finds its own bytes there may count on them. Of two that put one name at
 *     once, exactly one gets RC_OK.
 *   - store_remove returns RC_OK only when the removal is durable, so that an order of removals
 *     holds after a power cut.
 *   - RC_NOT_FOUND only where the store said that there is no such object. "Can't tell" (denied,
 *     unreachable, directory gone) is RC_STORAGE.
 *   - A get that returns RC_OK delivered exactly the bytes asked for.
 *
 * A handle is used by one thread at a time; a worker opens its own with store_dup.
 */
#ifndef PGPROOF_STORE_STORE_H
#define PGPROOF_STORE_STORE_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "codec/hash.h"

#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX   1000          /* bytes, without NUL */
#define STORE_OBJECT_MAX (1024u << 20) /* no object of ours is larger */

enum store_type { STORE_POSIX, STORE_S3 };

/* Where an S3 repository is, and how it is spoken with (docs/configuration.md has the words). */
struct store_s3_options {
    const char *endpoint; /* "https://minio.example:9000"; NULL: AWS's of the region */
    const char *region;   /* NULL: from the environment or the profile, else us-east-1 */
    const char *bucket;
    const char *prefix; /* in front of every name, without '/' at its ends; NULL: none */
    enum { S3_URI_AUTO, S3_URI_PATH, S3_URI_VIRTUAL } uri_style;
    const char *ca_file; /* PEM; NULL: the system's authorities */

    const char *access_key_id; /* NULL: the credential chain (aws_credentials.h) */
    const char *secret_access_key;
    const char *session_token;
    const char *profile;

    unsigned connect_seconds; /* 0: 10 */
    unsigned stall_seconds;   /* 0: 60 */
    unsigned retry_seconds;   /* how long an operation is tried again; 0: not at all */

    enum { S3_SSE_NONE, S3_SSE_S3, S3_SSE_KMS, S3_SSE_C } sse;
    const char *sse_kms_key_id; /* NULL: the bucket's */
    const uint8_t *sse_c_key;   /* 32 bytes */
    enum { S3_LOCK_OFF, S3_LOCK_GOVERNANCE, S3_LOCK_COMPLIANCE } lock;
};

struct store_options {
    enum store_type type;
    const char *path; /* posix: the repository's directory; absolute */
    bool create;      /* posix: make the directory (0700) if it isn't there */
    moment_us as_of;  /* s3, versioned: read as at that moment, write nothing; 0: off */
    struct store_s3_options s3;
};

/* How an object is put; a driver passes over what its storage does not have. */
struct store_put_how {
    const struct sha256 *sha256; /* of the data, where the caller has it already; or NULL */
    const char *storage_class;   /* S3's name of one; NULL: the bucket's usual one */
    moment_us locked_until;      /* object lock, where it is switched on; 0: none */
};

struct store_info {
    uint64_t size_bytes;
    moment_us modified; /* by the store's clock */
};

/* One listed object. `name` is whole, from the store's root. Anything but RC_OK ends the listing
 * and is returned by store_list. */
typedef enum rc store_list_fn(void *ctx, const char *name, const struct store_info *info,
                              struct error *err);

/* What became of one name of store_remove_many: RC_OK it is removed, RC_NOT_FOUND it wasn't there,
 * RC_REFUSED it is locked (e tells until when), anything else it failed. e is NULL with RC_OK. */
typedef void store_removed_fn(void *ctx, const char *name, enum rc rc, const struct error *e);

/* One thing that store_examine found out. */
enum store_verdict {
    STORE_HOLDS,   /* as it should be */
    STORE_LACKS,   /* not offered; pgproof gets along without it */
    STORE_UNKNOWN, /* could not be found out; the text says why */
    STORE_FACT,    /* a measured value, neither good nor bad */
    STORE_WARNING, /* works, but somebody should look at it */
    STORE_BROKEN,  /* a promise that pgproof needs does not hold */
};
struct store_finding {
    const char *group; /* "promises"; findings of a group come one after another */
    const char *what;  /* "put if absent" */
    enum store_verdict verdict;
    bool needed;      /* pgproof relies on it: while it is unknown, nothing is well */
    const char *text; /* one line */
};
typedef void store_finding_fn(void *ctx, const struct store_finding *f);

struct store;

struct store_ops {
    const char *driver; /* "posix" */
    enum rc (*put)(struct store *s, const char *name, const void *data, size_t len,
                   const struct store_put_how *how, struct error *err);
    enum rc (*get)(struct store *s, const char *name, uint64_t offset, size_t len, struct buf *to,
                   struct error *err);
    enum rc (*head)(struct store *s, const char *name, struct store_info *ret, struct error *err);
    enum rc (*list)(struct store *s, const char *prefix, store_list_fn *fn, void *ctx,
                    struct error *err);
    enum rc (*remove)(struct store *s, const char *name, struct error *err);
    enum rc (*remove_many)(struct store *s, const char *const *names, size_t count,
                           store_removed_fn *fn, void *ctx, struct error *err);
    /* NULL: the storage has no locks */
    enum rc (*lock)(struct store *s, const char *name, moment_us until, struct error *err);
    enum rc (*examine)(struct store *s, store_finding_fn *fn, void *ctx, struct error *err);
    /* NULL: the storage has none */
    enum rc (*credentials)(struct store *s, char **ret, struct error *err);
    enum rc (*sweep)(struct store *s, moment_us before, unsigned *ret_removed, struct error *err);
    enum rc (*dup)(struct store *s, struct store **ret, struct error *err);
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops; /* first member of every driver's struct */
    char *where;                 /* for messages: "/var/lib/pgproof", "s3://bucket/prefix" */
};

MUST_CHECK enum rc store_open(const struct store_options *o, struct store **ret, struct error *err);
void store_close(struct store *s); /* takes NULL */
DEFINE_CLEANUP(cleanup_store, struct store *, store_close)
#define CLEANUP_STORE CLEANUP(cleanup_store)

/* A second handle on the same store, for another thread. */
MUST_CHECK enum rc store_dup(struct store *s, struct store **ret, struct error *err);

/* Put if absent. RC_EXISTS if the name is taken. */
MUST_CHECK enum rc store_put(struct store *s, const char *name, const void *data, size_t len,
                             struct error *err);
MUST_CHECK enum rc store_put_as(struct store *s, const char *name, const void *data, size_t len,
                                const struct store_put_how *how, struct error *err);

/* The whole object, appended to `to`, whose maximum bounds it (larger: RC_INTEGRITY). */
MUST_CHECK enum rc store_get(struct store *s, const char *name, struct buf *to, struct error *err);

/* len bytes from offset, appended. An object too short for that: RC_INTEGRITY. */
MUST_CHECK enum rc store_get_range(struct store *s, const char *name, uint64_t offset, size_t len,
                                   struct buf *to, struct error *err);

MUST_CHECK enum rc store_head(struct store *s, const char *name, struct store_info *ret,
                              struct error *err);

/* Every object whose name begins with prefix (any string; "" for all), sorted by name as bytes. An
 * object that comes or goes during the listing may be in it or not. fn may use the store, and
 * remove what it is shown. */
MUST_CHECK enum rc store_list(struct store *s, const char *prefix, store_list_fn *fn, void *ctx,
                              struct error *err);

/* Remove one object; RC_NOT_FOUND if it isn't there. */
MUST_CHECK enum rc store_remove(struct store *s, const char *name, struct error *err);

/* Remove many; fn (may be NULL) hears of each name. RC_OK where each is removed or was not there;
 * else the first failure, after all were tried. One that is locked is RC_REFUSED. */
MUST_CHECK enum rc store_remove_many(struct store *s, const char *const *names, size_t count,
                                     store_removed_fn *fn, void *ctx, struct error *err);

/* Let the object lock last at least until then; never shortens one. Nothing to do where the storage
 * has no locks or they are not switched on. */
MUST_CHECK enum rc store_lock(struct store *s, const char *name, moment_us until,
                              struct error *err);

/* Where the credentials come from, never what they are; malloc'ed. RC_NOT_FOUND where the storage
 * has none. */
MUST_CHECK enum rc store_credentials(struct store *s, char **ret, struct error *err);

/* Find out what this storage does, by trying it with objects of the driver's own below the
 * repository's root, which are removed again as far as that is allowed. Takes half a minute, or a
 * few minutes on a slow network. An error where nothing (more) could be found out; what fn heard
 * before it counts. */
MUST_CHECK enum rc store_examine(struct store *s, store_finding_fn *fn, void *ctx,
                                 struct error *err);

/* Remove what killed writers left behind (never objects) from before the moment given. */
MUST_CHECK enum rc store_sweep(struct store *s, moment_us before, unsigned *ret_removed,
                               struct error *err);

bool store_name_valid(const char *name);

#endif
