/* Listings of the S3 driver: of objects, of versions, and of what there was at an earlier moment.
 */
#include "store/store_s3_int.h"

#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define DOCTOR      "'pgproof doctor' shows what this storage does"
#define ENTRIES_MAX 50000000u
#define EMPTY_PAGES 1000
#define PAGE_MAX    (16u << 20) /* a page of 1000 keys of 1 kB, url-encoded, has 4 MB */

/* An entry that is kept until all have come. */
struct kept {
    struct s3_entry entry;
    size_t number; /* as they came */
};

/*
 * One listing under way. The entries are shown after all have come: some clones list in the order
 * of their directories, and what shows an entry may use the storage as long as it likes.
 */
struct pages {
    struct s3_store *s;
    const char *prefix;
    bool versions;
    struct s3_page page;
    struct arena *memory;
    struct kept *entries;
    size_t count, capacity;
};

static void pages_done(struct pages *p)
{
    arena_free(p->memory);
    free(p->entries);
}

static enum rc broken(const struct s3_store *s, const char *what, struct error *err)
{
    error_set(err, RC_STORAGE, "the storage's listing can't be trusted: %s", what);
    s3_error_on(s, "", err);
    return error_now(err, DOCTOR);
}

static enum rc keep_entry(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct pages *p = ctx;
    struct kept *k;

    if (!str_starts(e->key, p->prefix))
        return broken(p->s, "it has keys without the prefix asked for", err);
    if (p->count == ENTRIES_MAX)
        return broken(p->s, "it does not end", err);
    p->entries = mem_grow(p->entries, p->count, &p->capacity, sizeof(*p->entries));
    k = &p->entries[p->count];
    *k = (struct kept){.entry = *e, .number = p->count++};
    k->entry.key = arena_strdup(p->memory, e->key);
    k->entry.version_id = e->version_id[0] ? arena_strdup(p->memory, e->version_id) : "";
    k->entry.storage_class = "";
    return RC_OK;
}

/* By key as bytes; the server's order within a key, which is from new to old. */
static int compare_entries(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    int order = strcmp(x->entry.key, y->entry.key);

    return order ? order : x->number < y->number ? -1 : 1;
}

static void ask_for_page(struct s3_call *c, const struct pages *p, bool first)
{
    if (p->prefix[0])
        s3_call_query(c, "prefix", p->prefix);
    s3_call_query(c, "encoding-type", "url");
    s3_call_query(c, "max-keys", "1000");
    c->root = p->versions ? "ListVersionsResult" : "ListBucketResult";
    if (!p->versions) {
        s3_call_query(c, "list-type", "2");
        if (!first)
            s3_call_query(c, "continuation-token", p->page.token);
        return;
    }
    s3_call_query(c, "versions", "");
    if (!first) {
        s3_call_query(c, "key-marker", p->page.key_marker);
        s3_call_query(c, "version-id-marker", p->page.version_marker);
    }
}

/* A server that goes round in circles must not keep us for ever. */
static enum rc check_progress(const struct pages *p, const struct s3_page *before,
                              struct error *err)
{
    bool same = p->versions ? str_eq(before->key_marker, p->page.key_marker) &&
                                  str_eq(before->version_marker, p->page.version_marker)
                            : str_eq(before->token, p->page.token);

    if (p->page.truncated && same)
        return broken(p->s, "it goes on where it was", err);
    return RC_OK;
}

static enum rc one_page(struct pages *p, bool first, struct error *err)
{
    CLEANUP_BUF struct buf document = BUF_INIT(PAGE_MAX);
    CLEANUP_FREE struct s3_page *before = mem_alloc(sizeof(*before));
    CLEANUP_CALL struct s3_call c;
    enum rc rc;

    *before = p->page;
    s3_call_begin(&c, p->s, "GET", NULL, "");
    ask_for_page(&c, p, first);
    c.to = &document;
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    rc = s3_xml_list(document.data, document.len, keep_entry, p, &p->page, err);
    if (rc == RC_STORAGE) {
        s3_error_on(p->s, "", err);
        error_now(err, DOCTOR);
    }
    TRY(rc);
    return first ? RC_OK : check_progress(p, before, err);
}

static enum rc all_pages(struct pages *p, struct error *err)
{
    size_t pages = 0;

    do {
        /* Without entries a server may go round in circles: a few such pages are allowed. */
        if (pages > p->count + EMPTY_PAGES)
            return broken(p->s, "it does not end", err);
        TRY(one_page(p, pages++ == 0, err));
    } while (p->page.truncated);
    if (p->count > 1)
        qsort(p->entries, p->count, sizeof(*p->entries), compare_entries);
    return RC_OK;
}

static enum rc show_all(const struct pages *p, s3_entry_fn *fn, void *ctx, struct error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct s3_entry *e = &p->entries[i].entry;

        /* One that was put again while the listing went on may come twice. */
        if (i > 0 && str_eq(e->key, p->entries[i - 1].entry.key) &&
            str_eq(e->version_id, p->entries[i - 1].entry.version_id))
            continue;
        TRY(fn(ctx, e, err));
    }
    return RC_OK;
}

static enum rc each(struct s3_store *s, const char *prefix, bool versions, s3_entry_fn *fn,
                    void *ctx, struct error *err)
{
    CLEANUP(pages_done)
    struct pages p = {.s = s, .prefix = prefix, .versions = versions, .memory = arena_new()};

    TRY(all_pages(&p, err));
    return show_all(&p, fn, ctx, err);
}

enum rc s3_each_object(struct s3_store *s, const char *prefix, s3_entry_fn *fn, void *ctx,
                       struct error *err)
{
    return each(s, prefix, false, fn, ctx, err);
}

enum rc s3_each_version(struct s3_store *s, const char *prefix, s3_entry_fn *fn, void *ctx,
                        struct error *err)
{
    return each(s, prefix, true, fn, ctx, err);
}

/* From keys to the names of objects. */
struct listing {
    struct s3_store *s;
    store_list_fn *fn;
    void *ctx;
    char decided[S3_NAME_SIZE]; /* as_of: the last name whose version of then is known */
};

/* The driver's own things, and the placeholders that consoles make for folders. */
static bool is_not_ours_to_show(const char *name)
{
    return name[0] == '.' || name[0] == '\0' || str_ends(name, "/");
}

static enum rc show(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct listing *l = ctx;
    const char *name = e->key + strlen(l->s->shared->prefix);
    struct store_info info = {.size_bytes = e->size_bytes, .modified = e->modified};

    if (is_not_ours_to_show(name))
        return RC_OK;
    if (!store_name_valid(name)) {
        CLEANUP_FREE char *printable = str_printable(name);
        log_warning("%s: %s is no object of a repository and is left alone", l->s->store.where,
                    printable);
        return RC_OK;
    }
    return l->fn(l->ctx, name, &info, err);
}

/* Newest first within a key: the first that is not later than the moment was the object then. */
static enum rc show_then(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct listing *l = ctx;
    const char *name = e->key + strlen(l->s->shared->prefix);

    if (e->modified > l->s->shared->as_of || str_eq(name, l->decided))
        return RC_OK;
    if (!str_copy(l->decided, sizeof(l->decided), name))
        return RC_OK; /* no name of ours is so long */
    return e->delete_marker ? RC_OK : show(l, e, err);
}

enum rc s3_list(struct store *store, const char *prefix, store_list_fn *fn, void *ctx,
                struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, prefix);
    struct listing l = {.s = s, .fn = fn, .ctx = ctx};

    return each(s, key, s->shared->as_of != 0, s->shared->as_of ? show_then : show, &l, err);
}

struct then {
    const char *key;
    moment_us as_of;
    bool decided, there;
    char id[256];
};

static enum rc look_at_version(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct then *t = ctx;

    (void)err;
    if (t->decided || !str_eq(e->key, t->key) || e->modified > t->as_of)
        return RC_OK;
    t->decided = true;
    t->there = !e->delete_marker && str_copy(t->id, sizeof(t->id), e->version_id);
    return RC_OK;
}

enum rc s3_version_then(struct s3_store *s, const char *key, const char *name,
                        char ret_id[static 256], struct error *err)
{
    struct then t = {.key = key, .as_of = s->shared->as_of};
    char moment[MOMENT_TEXT_MAX];

    TRY(s3_each_version(s, key, look_at_version, &t, err));
    if (t.there) {
        str_copy(ret_id, 256, t.id);
        return RC_OK;
    }
    error_set(err, RC_NOT_FOUND, "there was no such object at %s",
              moment_text(s->shared->as_of, moment));
    return s3_error_on(s, name, err);
}
