/*
 * Removal in the S3 driver. On a bucket that keeps versions a plain DELETE only hides an object, so
 * every version of a key is deleted by its id; what an object lock holds is left alone, and said.
 */
#include "store/store_s3_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define BATCH        1000 /* the API's limit for DeleteObjects */
#define ANSWER_MAX   (4u << 20)
#define SMALL_ANSWER (64u << 10)

enum rc s3_delete_key(struct s3_store *s, const char *key, const char *version_id, const char *name,
                      struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(SMALL_ANSWER);
    CLEANUP_CALL struct s3_call c;

    s3_call_begin(&c, s, "DELETE", key, name);
    if (version_id[0])
        s3_call_query(&c, "versionId", version_id);
    c.to = &answer;
    TRY(s3_call_run(&c, err));
    if (c.status >= 200 && c.status < 300)
        return RC_OK;
    return s3_call_absent(&c, err) == RC_NOT_FOUND ? RC_OK : err->rc;
}

/* Was a refusal because of a lock? Then RC_REFUSED that says until when; else err stays. */
static enum rc judge_refusal(struct s3_store *s, const char *key, const char *version_id,
                             const char *name, struct error *err)
{
    struct s3_head head;
    struct error ignored;
    char moment[MOMENT_TEXT_MAX];

    if (s3_head_key(s, key, version_id, name, &head, &ignored) != RC_OK)
        return err->rc;
    if (head.legal_hold)
        error_set(err, RC_REFUSED, "the object is under a legal hold");
    else if (head.locked_until > clock_now())
        error_set(err, RC_REFUSED, "the object is locked until %s",
                  moment_text(head.locked_until, moment));
    else
        return err->rc;
    s3_error_on(s, name, err);
    return error_now(err, "leave it; it can be removed when the lock has ended");
}

static enum rc delete_version(struct s3_store *s, const char *key, const char *version_id,
                              const char *name, struct error *err)
{
    enum rc rc = s3_delete_key(s, key, version_id, name, err);

    return rc == RC_STORAGE && !err->transient ? judge_refusal(s, key, version_id, name, err) : rc;
}

/* The versions of one key, with its delete markers. */
struct versions {
    struct arena *memory;
    const char *key;
    const char **ids;
    size_t count, capacity;
    bool there; /* the newest is no delete marker */
};

static void versions_done(struct versions *v)
{
    arena_free(v->memory);
    free((void *)v->ids);
}

static enum rc note_version(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct versions *v = ctx;

    (void)err;
    if (!str_eq(e->key, v->key))
        return RC_OK;
    if (v->count == 0)
        v->there = !e->delete_marker;
    v->ids = mem_grow((void *)v->ids, v->count, &v->capacity, sizeof(*v->ids));
    v->ids[v->count++] = arena_strdup(v->memory, e->version_id);
    return RC_OK;
}

/* Oldest first: if it ends early, what the name leads to is still there, and the next run goes on.
 * Else an older version would come to light again. */
static enum rc delete_versions(struct s3_store *s, const struct versions *v, const char *name,
                               struct error *err)
{
    for (size_t i = v->count; i > 0; i--)
        TRY(delete_version(s, v->key, v->ids[i - 1], name, err));
    return RC_OK;
}

static enum rc absent(const struct s3_store *s, const char *name, struct error *err)
{
    error_set(err, RC_NOT_FOUND, "there is no such object");
    return s3_error_on(s, name, err);
}

static enum rc remove_versioned(struct s3_store *s, const char *key, const char *name,
                                struct error *err)
{
    CLEANUP(versions_done) struct versions v = {.memory = arena_new(), .key = key};

    TRY(s3_each_version(s, key, note_version, &v, err));
    TRY(delete_versions(s, &v, name, err));
    return v.there ? RC_OK : absent(s, name, err);
}

static enum rc refuse_writing(const struct s3_store *s, struct error *err)
{
    error_set(err, RC_REFUSED, "the repository is read as it was at an earlier moment");
    s3_error_on(s, "", err);
    return error_now(err, "leave --repository-as-of out for what writes");
}

enum rc s3_remove(struct store *store, const char *name, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    struct s3_head head;

    if (s->shared->as_of)
        return refuse_writing(s, err);
    TRY(s3_head_key(s, key, "", name, &head, err));
    if (head.version_id[0])
        return remove_versioned(s, key, name, err);
    return s3_delete_key(s, key, "", name, err);
}

/* GetBucketVersioning: "Enabled" and "Suspended" both mean that there may be versions. */
static enum rc ask_versions(struct s3_store *s, bool *ret_kept, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(SMALL_ANSWER);
    CLEANUP_CALL struct s3_call c;
    char status[32];
    enum rc rc;

    s3_call_begin(&c, s, "GET", NULL, "");
    s3_call_query(&c, "versioning", "");
    c.to = &answer;
    c.root = "VersioningConfiguration";
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    rc = s3_xml_text(answer.data, answer.len, "Status", status, sizeof(status), err);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        return rc;
    *ret_kept = rc == RC_OK;
    return RC_OK;
}

/* Where it can't be found out, removal goes one by one: an object's own answer tells. */
static bool surely_without_versions(struct s3_store *s)
{
    struct error ignored;
    bool kept, without;

    pthread_mutex_lock(&s->shared->learning);
    if (s->shared->versions == S3_VERSIONS_UNKNOWN && ask_versions(s, &kept, &ignored) == RC_OK)
        s->shared->versions = kept ? S3_VERSIONS_KEPT : S3_VERSIONS_NONE;
    without = s->shared->versions == S3_VERSIONS_NONE;
    pthread_mutex_unlock(&s->shared->learning);
    return without;
}

/* One DeleteObjects. */
struct batch {
    struct s3_store *s;
    struct arena *memory;
    const char *const *names;
    const char **keys;
    bool *failed;
    size_t count;
};

static void note_failure(void *ctx, const struct s3_delete_error *e)
{
    struct batch *b = ctx;

    for (size_t i = 0; i < b->count; i++)
        if (str_eq(b->keys[i], e->key) && !str_eq(e->code, "NoSuchKey"))
            b->failed[i] = true;
}

static enum rc send_batch(struct batch *b, struct error *err)
{
    CLEANUP_BUF struct buf request = BUF_INIT(ANSWER_MAX), answer = BUF_INIT(ANSWER_MAX);
    CLEANUP_CALL struct s3_call c;
    size_t deleted;

    TRY(s3_xml_delete_request(b->keys, NULL, b->count, &request, err));
    s3_call_begin(&c, b->s, "POST", NULL, "");
    s3_call_query(&c, "delete", "");
    s3_call_body(&c, request.data, request.len, NULL);
    c.to = &answer;
    c.root = "DeleteResult";
    TRY(s3_call_md5(&c, err));
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    TRY(s3_xml_delete_result(answer.data, answer.len, note_failure, b, &deleted, err));
    return RC_OK;
}

static struct batch batch_of(struct s3_store *s, struct arena *memory, const char *const *names,
                             size_t count)
{
    struct batch b = {.s = s, .memory = memory, .names = names, .count = count};

    b.keys = arena_alloc(memory, count * sizeof(*b.keys));
    b.failed = arena_alloc(memory, count * sizeof(*b.failed));
    for (size_t i = 0; i < count; i++)
        b.keys[i] = s3_key(memory, s, names[i]);
    return b;
}

static void arena_done(struct arena **a)
{
    arena_free(*a);
}

/* What a batch could not do is tried once more by itself: that finds the reason. */
static enum rc remove_batch(struct s3_store *s, const char *const *names, size_t count,
                            store_removed_fn *fn, void *ctx, struct error *err)
{
    CLEANUP(arena_done) struct arena *memory = arena_new();
    struct batch b = batch_of(s, memory, names, count);
    enum rc first = RC_OK;

    if (send_batch(&b, err) != RC_OK)
        return err->rc == RC_CANCELLED ? RC_CANCELLED
                                       : store_remove_each(&s->store, names, count, fn, ctx, err);
    for (size_t i = 0; i < count; i++) {
        struct error one;
        enum rc rc =
            b.failed[i] ? store_remove_each(&s->store, &names[i], 1, fn, ctx, &one) : RC_OK;

        if (!b.failed[i] && fn)
            fn(ctx, names[i], RC_OK, NULL);
        if (rc != RC_OK && first == RC_OK) {
            first = rc;
            *err = one;
        }
    }
    return first;
}

enum rc s3_remove_many(struct store *store, const char *const *names, size_t count,
                       store_removed_fn *fn, void *ctx, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    struct error one;
    enum rc first = RC_OK;

    if (s->shared->as_of)
        return refuse_writing(s, err);
    if (!surely_without_versions(s))
        return store_remove_each(store, names, count, fn, ctx, err);
    for (size_t done = 0; done < count; done += BATCH) {
        size_t n = count - done < BATCH ? count - done : BATCH;
        enum rc rc = remove_batch(s, names + done, n, fn, ctx, &one);

        if (rc != RC_OK && first == RC_OK) {
            first = rc;
            *err = one;
        }
        if (rc == RC_CANCELLED)
            return rc;
    }
    return first;
}

struct sweep {
    struct s3_store *s;
    moment_us before;
    unsigned removed;
};

static enum rc sweep_one(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct sweep *w = ctx;
    enum rc rc;

    if (e->modified >= w->before)
        return RC_OK;
    rc = delete_version(w->s, e->key, "", e->key + strlen(w->s->shared->prefix), err);
    w->removed += rc == RC_OK;
    return rc == RC_REFUSED ? RC_OK : rc;
}

/* Claims of writers that were killed; nothing else is ever left behind. */
enum rc s3_sweep(struct store *store, moment_us before, unsigned *ret_removed, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *place = str_printf("%s%s", s->shared->prefix, S3_CLAIMS);
    struct sweep w = {.s = s, .before = before};

    if (s->shared->as_of)
        return refuse_writing(s, err);
    TRY(s3_each_object(s, place, sweep_one, &w, err));
    *ret_removed = w.removed;
    return RC_OK;
}
