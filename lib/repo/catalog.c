#include "repo/backup_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct loading {
    struct catalog *catalog;
    size_t capacity;
    size_t prefix_len;
};

/* Notes the ids; they are loaded after the listing, which may hold a connection. */
static enum rc take_name(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    struct loading *l = ctx;
    struct catalog *c = l->catalog;
    (void)info;
    (void)err;
    const char *id = name + l->prefix_len;
    if (!str_ends(id, "/" BACKUP_PART))
        return RC_OK;
    c->entries = mem_grow(c->entries, c->count, &l->capacity, sizeof *c->entries);
    struct catalog_entry *e = &c->entries[c->count++];
    memset(e, 0, sizeof *e);
    size_t len = strlen(id) - strlen("/" BACKUP_PART);
    memcpy(e->id, id, len < BACKUP_ID_LEN ? len : BACKUP_ID_LEN);
    if (len != BACKUP_ID_LEN || !backup_id_valid(e->id)) {
        error_set(&e->problem, RC_INTEGRITY, "it does not stand under the id of a backup");
        error_on(&e->problem, "%s", name);
    }
    return RC_OK;
}

/* True if the entry stays. A backup that went away since the listing was expired: it is none. */
static bool load_entry(struct repo *r, const char *cluster, struct catalog_entry *e)
{
    if (e->problem.rc != RC_OK)
        return true;
    enum rc rc = backup_load(r, cluster, e->id, &e->info, &e->problem);
    return rc != RC_NOT_FOUND;
}

enum rc catalog_load(struct repo *r, const char *cluster, struct catalog **ret, struct error *err)
{
    CLEANUP(cleanup_catalog) struct catalog *c = mem_zalloc(sizeof *c);
    struct object_name prefix = name_backups_prefix(cluster);
    struct loading l = {.catalog = c, .prefix_len = strlen(prefix.text)};
    TRY(store_list(r->store, prefix.text, take_name, &l, err));
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (load_entry(r, cluster, &c->entries[i]))
            c->entries[kept++] = c->entries[i];
    }
    c->count = kept;
    *ret = c;
    c = NULL;
    return RC_OK;
}

void catalog_free(struct catalog *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        backup_info_free(c->entries[i].info);
    free(c->entries);
    free(c);
}
