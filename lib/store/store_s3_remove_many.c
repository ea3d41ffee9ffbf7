/*
 * Removal of many objects in the S3 driver: by DeleteObjects, a thousand at a time. On a bucket
 * that keeps versions one listing tells their ids.
 */
#include "store/store_s3_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define BATCH      1000 /* the API's limit for DeleteObjects */
#define FEW        20   /* so many are sooner removed one by one than looked up in a listing */
#define ANSWER_MAX (4u << 20)

/* How the removal of many goes: the first failure is kept, the others are told to fn only. */
struct removal {
    struct s3_store *s;
    store_removed_fn *fn;
    void *ctx;
    enum rc first;
    struct error *err;
};

static void one_by_one(struct removal *r, const char *const *names, size_t count)
{
    struct error err;
    enum rc rc = store_remove_each(&r->s->store, names, count, r->fn, r->ctx, &err);

    if (rc != RC_OK && r->first != RC_CANCELLED && (r->first == RC_OK || rc == RC_CANCELLED)) {
        r->first = rc;
        *r->err = err;
    }
}

/* One DeleteObjects. */
struct batch {
    const char *names[BATCH];
    const char *keys[BATCH];
    const char *versions[BATCH]; /* NULLs on a bucket without */
    bool failed[BATCH];
    size_t count;
};

static void note_failure(void *ctx, const struct s3_delete_error *e)
{
    struct batch *b = ctx;

    for (size_t i = 0; i < b->count; i++)
        if (str_eq(b->keys[i], e->key) && !str_eq(e->code, "NoSuchKey"))
            b->failed[i] = true;
}

static enum rc send_batch(struct s3_store *s, struct batch *b, struct error *err)
{
    CLEANUP_BUF struct buf request = BUF_INIT(ANSWER_MAX), answer = BUF_INIT(ANSWER_MAX);
    CLEANUP_CALL struct s3_call c;
    size_t deleted;

    memset(b->failed, 0, sizeof(b->failed));
    TRY(s3_xml_delete_request(b->keys, b->versions, b->count, &request, err));
    s3_call_begin(&c, s, "POST", NULL, "");
    s3_call_query(&c, "delete", "");
    s3_call_body(&c, request.data, request.len, NULL);
    c.to = &answer;
    c.root = "DeleteResult";
    TRY(s3_call_md5(&c, err));
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    return s3_xml_delete_result(answer.data, answer.len, note_failure, b, &deleted, err);
}

/* What a batch could not do is tried once more by itself: that finds the reason. */
static void flush_batch(struct removal *r, struct batch *b)
{
    struct error err;

    if (b->count == 0 || r->first == RC_CANCELLED)
        return;
    if (send_batch(r->s, b, &err) != RC_OK) {
        one_by_one(r, b->names, b->count); /* a cancellation shows there, too */
        b->count = 0;
        return;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (b->failed[i])
            one_by_one(r, &b->names[i], 1);
        else if (r->fn)
            r->fn(r->ctx, b->names[i], RC_OK, NULL);
    }
    b->count = 0;
}

static void add_to_batch(struct removal *r, struct batch *b, const char *name, const char *key,
                         const char *version)
{
    b->names[b->count] = name;
    b->keys[b->count] = key;
    b->versions[b->count] = version;
    if (++b->count == BATCH)
        flush_batch(r, b);
}

/* One of many on a bucket that keeps versions. */
struct victim {
    const char *name;
    const char *key;
    const char *version; /* of the last one seen; NULL: a delete marker */
    unsigned seen;
};

struct victims {
    struct arena *memory;
    struct victim *items; /* sorted by key */
    size_t count;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct victim *)a)->key, ((const struct victim *)b)->key);
}

static enum rc see_version(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct victims *v = ctx;
    struct victim wanted = {.key = e->key};
    struct victim *found = bsearch(&wanted, v->items, v->count, sizeof(wanted), by_key);

    (void)err;
    if (!found)
        return RC_OK;
    found->seen++;
    found->version = e->delete_marker ? NULL : arena_strdup(v->memory, e->version_id);
    return RC_OK;
}

/* Whatever begins all keys; the first and the last differ the most. */
static const char *common_prefix(const struct victims *v)
{
    const char *first = v->items[0].key, *last = v->items[v->count - 1].key;
    size_t len = 0;

    while (first[len] && first[len] == last[len])
        len++;
    return arena_strndup(v->memory, first, len);
}

static struct victims victims_of(struct s3_store *s, const char *const *names, size_t count)
{
    struct victims v = {.memory = arena_new(), .count = count};

    v.items = arena_alloc(v.memory, count * sizeof(*v.items));
    for (size_t i = 0; i < count; i++)
        v.items[i] = (struct victim){.name = names[i], .key = s3_key(v.memory, s, names[i])};
    qsort(v.items, count, sizeof(*v.items), by_key);
    return v;
}

static void victims_done(struct victims *v)
{
    arena_free(v->memory);
}

/* One listing tells the ids of all. A key with the one version that we put is deleted in a batch;
 * where there is more, or nothing was listed, the order of removals and the answers matter. */
static void remove_many_versioned(struct removal *r, const char *const *names, size_t count)
{
    CLEANUP(victims_done) struct victims v = victims_of(r->s, names, count);
    CLEANUP_FREE struct batch *b = mem_zalloc(sizeof(*b));
    struct error ignored;

    if (count < FEW || s3_each_version(r->s, common_prefix(&v), see_version, &v, &ignored) != RC_OK)
        return one_by_one(r, names, count);
    for (size_t i = 0; i < count && r->first != RC_CANCELLED; i++) {
        const struct victim *one = &v.items[i];

        if (one->seen == 1 && one->version)
            add_to_batch(r, b, one->name, one->key, one->version);
        else
            one_by_one(r, &one->name, 1);
    }
    flush_batch(r, b);
}

static void arena_done(struct arena **a)
{
    arena_free(*a);
}

static void remove_many_plain(struct removal *r, const char *const *names, size_t count)
{
    CLEANUP(arena_done) struct arena *memory = arena_new();
    CLEANUP_FREE struct batch *b = mem_zalloc(sizeof(*b));

    for (size_t i = 0; i < count && r->first != RC_CANCELLED; i++)
        add_to_batch(r, b, names[i], s3_key(memory, r->s, names[i]), NULL);
    flush_batch(r, b);
}

enum rc s3_remove_many(struct store *store, const char *const *names, size_t count,
                       store_removed_fn *fn, void *ctx, struct error *err)
{
    struct removal r = {.s = s3_store_of(store), .fn = fn, .ctx = ctx, .err = err};

    if (r.s->shared->as_of)
        return s3_refuse_writing(r.s, "", err);
    switch (s3_learn_versions(r.s)) {
    case S3_VERSIONS_NONE:
        remove_many_plain(&r, names, count);
        break;
    case S3_VERSIONS_KEPT:
        remove_many_versioned(&r, names, count);
        break;
    default:
        one_by_one(&r, names, count); /* each answer tells whether there are versions */
    }
    return r.first;
}
