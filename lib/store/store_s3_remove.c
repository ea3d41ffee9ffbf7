/*
 * Removal in the S3 driver. On a bucket that keeps versions a plain DELETE only hides an object, so
 * every version of a key is deleted by its id; what an object lock holds is left alone, and said.
 */
#include "store/store_s3_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_ANSWER (64u << 10)
#define PAGE_MAX     (16u << 20) /* of a listing, as in store_s3_list.c */

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

/* A clone that knows no versions answers with a listing. */
static enum rc check_versioning(struct s3_call *c, struct error *err)
{
    char root[64] = "";

    TRY(s3_xml_root(c->to->data, c->to->len, root, sizeof(root), err));
    if (str_eq(root, "VersioningConfiguration") || str_eq(root, "ListBucketResult"))
        return RC_OK;
    return error_set(err, RC_STORAGE, "the storage does not say whether it keeps versions");
}

/* GetBucketVersioning: "Enabled" and "Suspended" both mean that there may be versions. */
static enum rc ask_versions(struct s3_store *s, bool *ret_kept, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(PAGE_MAX);
    CLEANUP_CALL struct s3_call c;
    char status[32];
    enum rc rc;

    s3_call_begin(&c, s, "GET", NULL, "");
    s3_call_query(&c, "versioning", "");
    c.to = &answer;
    c.check = check_versioning;
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    rc = s3_xml_text(answer.data, answer.len, "Status", status, sizeof(status), err);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        return rc;
    *ret_kept = rc == RC_OK;
    return RC_OK;
}

int s3_learn_versions(struct s3_store *s)
{
    struct error ignored;
    bool kept = false;
    int known;

    pthread_mutex_lock(&s->shared->learning);
    if (s->shared->versions == S3_VERSIONS_UNKNOWN && ask_versions(s, &kept, &ignored) == RC_OK)
        s->shared->versions = kept ? S3_VERSIONS_KEPT : S3_VERSIONS_NONE;
    known = s->shared->versions;
    pthread_mutex_unlock(&s->shared->learning);
    return known;
}

enum rc s3_remove(struct store *store, const char *name, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    struct s3_head head;

    if (s->shared->as_of)
        return s3_refuse_writing(s, name, err);
    TRY(s3_head_key(s, key, "", name, &head, err));
    /* MinIO does not tell the id of a version that was put before versions were kept. */
    if (head.version_id[0] || s3_learn_versions(s) == S3_VERSIONS_KEPT)
        return remove_versioned(s, key, name, err);
    return s3_delete_key(s, key, "", name, err);
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
    rc = delete_version(w->s, e->key, e->version_id, e->key + strlen(w->s->shared->prefix), err);
    w->removed += rc == RC_OK && !e->delete_marker;
    return rc == RC_REFUSED ? RC_OK : rc;
}

/* Claims of writers that were killed; nothing else is ever left behind. */
enum rc s3_sweep(struct store *store, moment_us before, unsigned *ret_removed, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *place = str_printf("%s%s", s->shared->prefix, S3_CLAIMS);
    struct sweep w = {.s = s, .before = before};

    if (s->shared->as_of)
        return s3_refuse_writing(s, "", err);
    if (s3_learn_versions(s) != S3_VERSIONS_KEPT ||
        s3_each_version(s, place, sweep_one, &w, err) != RC_OK)
        TRY(s3_each_object(s, place, sweep_one, &w, err));
    *ret_removed = w.removed;
    return RC_OK;
}
