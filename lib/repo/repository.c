#include "repo/repository.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/document.h"
#include "repo/fields_int.h"
#include "repo/names.h"
#include "repo/random_int.h"

#include <stdlib.h>
#include <string.h>

#define SEED_LEN 8

static uint64_t seed_from(const uint8_t bytes[static SEED_LEN])
{
    uint64_t seed = 0;
    for (int i = 0; i < SEED_LEN; i++)
        seed = seed << 8 | bytes[i];
    return seed;
}

enum rc repo_create(struct store *s, struct error *err)
{
    uint8_t id[16], seed[SEED_LEN];
    CLEANUP_JSON json_t *o = json_object();
    TRY(random_bytes(id, sizeof id, err));
    TRY(random_bytes(seed, sizeof seed, err));
    field_set_u64(o, "format", REPOSITORY_FORMAT);
    field_set_hex(o, "repository_id", id, sizeof id);
    field_set_hex(o, "hash_seed", seed, sizeof seed);
    field_set_moment(o, "created", clock_now());
    field_set_str(o, "sealing", "none");
    enum rc rc = document_put(s, REPOSITORY_OBJECT, "repository", 1, o, NULL, err);
    if (rc == RC_EXISTS) {
        error_set(err, RC_EXISTS, "there is a repository here already");
        return error_on(err, "%s", s->where);
    }
    return rc;
}

static enum rc check_format(const json_t *o, struct error *err)
{
    uint32_t format;
    const char *sealing;
    TRY(json_get_u32(o, "format", &format, err));
    if (format != REPOSITORY_FORMAT) {
        error_set(err, RC_CONFIG, "the repository has format %u, and this program knows format %u",
                  format, REPOSITORY_FORMAT);
        return error_now(err, "use the version of pgproof that wrote it, or a newer one");
    }
    TRY(json_get_str(o, "sealing", &sealing, err));
    if (!str_eq(sealing, "none")) {
        error_set(err, RC_CONFIG,
                  "the repository is sealed with \"%s\", which this program does not know",
                  sealing);
        return error_now(err, "use a newer pgproof");
    }
    return RC_OK;
}

static enum rc parse_repository(const json_t *o, struct repo *r, struct error *err)
{
    uint8_t id[16], seed[SEED_LEN];
    TRY(check_format(o, err));
    TRY(json_get_hex(o, "repository_id", id, sizeof id, err));
    TRY(json_get_hex(o, "hash_seed", seed, sizeof seed, err));
    TRY(field_get_moment(o, "created", &r->created, err));
    hex_encode(id, sizeof id, r->id);
    r->hash_seed = seed_from(seed);
    str_copy(r->sealing, sizeof r->sealing, "none");
    return RC_OK;
}

static enum rc load_repository(struct repo *r, struct error *err)
{
    CLEANUP_JSON json_t *o = NULL;
    enum rc rc = document_get(r->store, REPOSITORY_OBJECT, "repository", 1, &o, NULL, err);
    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_STORAGE,
                  "this is not a repository, or it is not mounted: it has no " REPOSITORY_OBJECT);
        error_on(err, "%s", r->store->where);
        return error_now(err, "check the configured place; \"pgproof init\" makes a new one");
    }
    TRY(rc);
    if (parse_repository(o, r, err) != RC_OK)
        return error_on(err, "%s/" REPOSITORY_OBJECT, r->store->where);
    return RC_OK;
}

enum rc repo_open(struct store *s, struct repo **ret, struct error *err)
{
    CLEANUP_REPO struct repo *r = mem_zalloc(sizeof *r);
    r->store = s;
    TRY(load_repository(r, err));
    *ret = r;
    r = NULL;
    return RC_OK;
}

enum rc repo_dup(struct repo *r, struct repo **ret, struct error *err)
{
    struct store *s;
    TRY(store_dup(r->store, &s, err));
    struct repo *copy = mem_alloc(sizeof *copy);
    *copy = *r;
    copy->store = s;
    *ret = copy;
    return RC_OK;
}

void repo_close(struct repo *r)
{
    if (!r)
        return;
    store_close(r->store);
    free(r);
}

enum rc repo_put(struct repo *r, const char *name, const void *data, size_t len, struct error *err)
{
    const struct store_put_how how = {.locked_until = r->locked_until};
    return store_put_as(r->store, name, data, len, &how, err);
}

static bool power_of_two_in(uint32_t v, uint32_t min, uint32_t max)
{
    return v >= min && v <= max && (v & (v - 1)) == 0;
}

static enum rc parse_system(const json_t *o, struct cluster_system *ret, struct error *err)
{
    TRY(field_get_decimal(o, "system_identifier", &ret->system_identifier, err));
    TRY(json_get_u32(o, "pg_major", &ret->pg_major, err));
    TRY(json_get_u32(o, "wal_segment_bytes", &ret->wal_segment_bytes, err));
    TRY(json_get_u32(o, "page_bytes", &ret->page_bytes, err));
    TRY(json_get_u32(o, "relation_segment_pages", &ret->relation_segment_pages, err));
    TRY(field_get_moment(o, "registered", &ret->registered, err));
    if (!power_of_two_in(ret->wal_segment_bytes, 1u << 20, 1u << 30))
        return error_set(err, RC_INTEGRITY, "no WAL segment is %u bytes long",
                         ret->wal_segment_bytes);
    if (!power_of_two_in(ret->page_bytes, 1024, 32768))
        return error_set(err, RC_INTEGRITY, "no page is %u bytes long", ret->page_bytes);
    if (ret->relation_segment_pages == 0)
        return error_set(err, RC_INTEGRITY, "a relation segment can't have no pages");
    return RC_OK;
}

enum rc repo_load_system(struct repo *r, const char *cluster, uint64_t system_identifier,
                         struct cluster_system *ret, struct error *err)
{
    CLEANUP_JSON json_t *o = NULL;
    struct cluster_system sys;
    struct object_name name = name_system(cluster, system_identifier);
    TRY(document_get(r->store, name.text, "system", 1, &o, NULL, err));
    if (parse_system(o, &sys, err) != RC_OK)
        return error_on(err, "%s", name.text);
    if (sys.system_identifier != system_identifier) {
        error_set(err, RC_INTEGRITY, "the document is about another system than its name says");
        return error_on(err, "%s", name.text);
    }
    *ret = sys;
    return RC_OK;
}

static bool same_facts(const struct cluster_system *a, const struct cluster_system *b)
{
    return a->pg_major == b->pg_major && a->wal_segment_bytes == b->wal_segment_bytes &&
           a->page_bytes == b->page_bytes && a->relation_segment_pages == b->relation_segment_pages;
}

static enum rc compare_registered(struct repo *r, const char *cluster,
                                  const struct cluster_system *sys, struct error *err)
{
    struct cluster_system there;
    TRY(repo_load_system(r, cluster, sys->system_identifier, &there, err));
    if (same_facts(&there, sys))
        return RC_OK;
    error_set(err, RC_INTEGRITY,
              "the system is registered as PostgreSQL %u with WAL segments of %u bytes and pages "
              "of %u, and now says PostgreSQL %u, %u and %u",
              there.pg_major, there.wal_segment_bytes, there.page_bytes, sys->pg_major,
              sys->wal_segment_bytes, sys->page_bytes);
    error_on(err, "%s", name_system(cluster, sys->system_identifier).text);
    return error_now(err, "back it up under another cluster name");
}

enum rc repo_register_system(struct repo *r, const char *cluster, const struct cluster_system *sys,
                             struct error *err)
{
    CLEANUP_JSON json_t *o = json_object();
    field_set_decimal(o, "system_identifier", sys->system_identifier);
    field_set_u64(o, "pg_major", sys->pg_major);
    field_set_u64(o, "wal_segment_bytes", sys->wal_segment_bytes);
    field_set_u64(o, "page_bytes", sys->page_bytes);
    field_set_u64(o, "relation_segment_pages", sys->relation_segment_pages);
    field_set_moment(o, "registered", sys->registered);
    struct object_name name = name_system(cluster, sys->system_identifier);
    enum rc rc = document_put(r->store, name.text, "system", 1, o, NULL, err);
    return rc == RC_EXISTS ? compare_registered(r, cluster, sys, err) : rc;
}

struct newest {
    struct repo *repo;
    const char *cluster;
    struct cluster_system system;
    bool have;
};

static enum rc take_newest(void *ctx, const char *name, const struct store_info *info,
                           struct error *err)
{
    struct newest *n = ctx;
    struct cluster_system sys;
    char number[32];
    uint64_t id;
    (void)info;
    const char *base = name_base(name);
    if (!str_ends(base, ".json") || !str_copy(number, sizeof number, base))
        return RC_OK;
    number[strlen(number) - strlen(".json")] = '\0';
    if (!parse_u64(number, &id) || !str_eq(name, name_system(n->cluster, id).text))
        return RC_OK;
    TRY(repo_load_system(n->repo, n->cluster, id, &sys, err));
    if (!n->have || sys.registered > n->system.registered)
        n->system = sys;
    n->have = true;
    return RC_OK;
}

enum rc repo_current_system(struct repo *r, const char *cluster, struct cluster_system *ret,
                            struct error *err)
{
    struct newest n = {.repo = r, .cluster = cluster};
    struct object_name prefix = name_systems_prefix(cluster);
    TRY(store_list(r->store, prefix.text, take_newest, &n, err));
    if (!n.have) {
        error_set(err, RC_NOT_FOUND, "the repository has no cluster of this name");
        error_on(err, "%s in %s", cluster, r->store->where);
        return error_now(err, "\"pgproof init\" registers a cluster");
    }
    *ret = n.system;
    return RC_OK;
}

struct cluster_names {
    char **names; /* NULL-terminated once finished */
    size_t count, capacity;
};

static void cluster_names_free(struct cluster_names *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->names[i]);
    free(c->names);
}

static enum rc take_cluster(void *ctx, const char *name, const struct store_info *info,
                            struct error *err)
{
    struct cluster_names *c = ctx;
    char cluster[64];
    (void)info;
    (void)err;
    const char *begin = name + strlen("clusters/");
    const char *slash = strchr(begin, '/');
    if (!slash || !str_starts(slash, "/systems/") || (size_t)(slash - begin) >= sizeof cluster)
        return RC_OK;
    memcpy(cluster, begin, (size_t)(slash - begin));
    cluster[slash - begin] = '\0';
    if (!cluster_name_valid(cluster) || (c->count && str_eq(c->names[c->count - 1], cluster)))
        return RC_OK;
    c->names = mem_grow(c->names, c->count, &c->capacity, sizeof *c->names);
    c->names[c->count++] = str_dup(cluster);
    return RC_OK;
}

enum rc repo_list_clusters(struct repo *r, char ***ret, struct error *err)
{
    CLEANUP(cluster_names_free) struct cluster_names c = {0};
    TRY(store_list(r->store, "clusters/", take_cluster, &c, err));
    c.names = mem_grow(c.names, c.count, &c.capacity, sizeof *c.names);
    c.names[c.count] = NULL;
    *ret = c.names;
    c = (struct cluster_names){0};
    return RC_OK;
}
