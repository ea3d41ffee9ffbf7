#include "repo/lock_list.h"

#include "base/cancel.h"
#include "base/mem.h"
#include "base/pool.h"

#include <stdlib.h>

struct item {
    const char *name;
    enum lock_need need;
};

struct lock_list {
    struct arena *memory;
    struct item *items;
    size_t count, capacity;
};

struct lock_list *lock_list_new(void)
{
    struct lock_list *l = mem_zalloc(sizeof *l);
    l->memory = arena_new();
    return l;
}

void lock_list_free(struct lock_list *l)
{
    if (!l)
        return;
    arena_free(l->memory);
    free(l->items);
    free(l);
}

void lock_list_add(struct lock_list *l, const char *name, enum lock_need need)
{
    l->items = mem_grow(l->items, l->count, &l->capacity, sizeof *l->items);
    l->items[l->count++] = (struct item){arena_strdup(l->memory, name), need};
}

static void add_table(struct lock_list *l, const char *cluster, enum pack_kind kind,
                      struct pack_table *packs)
{
    for (uint32_t i = 0; i < pack_table_count(packs); i++) {
        struct pack_ref ref = pack_table_get(packs, i);
        lock_list_add(l, name_pack(cluster, kind, &ref.id).text, LOCK_NEEDED);
    }
}

void lock_list_add_packs(struct lock_list *l, const char *cluster, const struct manifest *m)
{
    add_table(l, cluster, PACK_DATA, m->packs);
    add_table(l, cluster, PACK_MAPS, m->map_packs);
}

struct extending {
    struct store **stores; /* of each thread */
    unsigned jobs;
    moment_us until;
};

static void extending_done(struct extending *e)
{
    for (unsigned i = 0; e->stores && i < e->jobs; i++)
        store_close(e->stores[i]);
    free(e->stores);
}

static enum rc extend_one(void *ctx, unsigned worker, void *item, struct error *err)
{
    const struct extending *e = ctx;
    const struct item *it = item;
    if (!it)
        return RC_OK;
    TRY(cancel_check(err));
    enum rc rc = store_lock(e->stores[worker], it->name, e->until, err);
    if (rc != RC_NOT_FOUND)
        return rc;
    if (it->need == LOCK_IF_THERE)
        return RC_OK;
    error_set(err, RC_INTEGRITY, "an object that is needed is not there any more");
    return error_on(err, "%s", it->name);
}

static enum rc submit_all(const struct lock_list *l, struct pool *pool, struct error *err)
{
    for (size_t i = 0; i < l->count; i++)
        TRY(pool_submit(pool, &l->items[i], err));
    return RC_OK;
}

static enum rc run_pool(const struct lock_list *l, struct extending *e, struct error *err)
{
    struct pool *pool;
    TRY(pool_new(e->jobs, (size_t)e->jobs * 2, extend_one, e, &pool, err));
    enum rc rc = submit_all(l, pool, err);
    if (rc == RC_OK)
        return pool_finish(pool, err);
    pool_abort(pool);
    return rc;
}

enum rc lock_list_extend(const struct lock_list *l, struct repo *r, moment_us until, unsigned jobs,
                         struct error *err)
{
    CLEANUP(extending_done) struct extending e = {.jobs = jobs, .until = until};
    e.stores = mem_zalloc(jobs * sizeof(struct store *));
    for (unsigned i = 0; i < jobs; i++)
        TRY(store_dup(r->store, &e.stores[i], err));
    return run_pool(l, &e, err);
}
