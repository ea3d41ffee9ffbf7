#include "repo/backup.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/backup_int.h"
#include "repo/document.h"
#include "repo/fields_int.h"

#include <stdlib.h>
#include <string.h>

#define MANIFEST_MAX STORE_OBJECT_MAX

struct backup_info *backup_info_new(void)
{
    struct backup_info *b = mem_zalloc(sizeof *b);
    b->arena = arena_new();
    b->label = b->tier = b->type = b->tool_version = b->host = b->witness = "";
    return b;
}

void backup_info_free(struct backup_info *b)
{
    if (!b)
        return;
    arena_free(b->arena);
    free(b);
}

/* Put, where an object with the very same bytes counts as put: an answer may have been lost. So a
 * failure is tried once more, or a backup that exists would be reported as failed. */
static enum rc put_once(struct repo *r, const char *name, const struct buf *data, struct error *err)
{
    enum rc rc = repo_put(r, name, data->data, data->len, err);
    if (rc == RC_STORAGE)
        rc = repo_put(r, name, data->data, data->len, err);
    if (rc != RC_EXISTS)
        return rc;
    CLEANUP_BUF struct buf there = BUF_INIT(STORE_OBJECT_MAX);
    struct error get_err;
    if (store_get(r->store, name, &there, &get_err) == RC_OK && there.len == data->len &&
        memcmp(there.data, data->data, data->len) == 0)
        return RC_OK;
    return rc;
}

/* Encode, and see that it decodes to the same before anybody trusts it. */
static enum rc encode_checked(struct manifest *m, struct buf *to, struct error *err)
{
    CLEANUP(cleanup_manifest) struct manifest *again = NULL;
    TRY(manifest_encode(m, to, err));
    if (manifest_decode(to->data, to->len, &again, err) != RC_OK) {
        error_prefix(err, "a manifest that was just made does not decode: codec or memory fault");
        return error_now(err, "check this machine's memory before trusting it with backups");
    }
    if (again->file_count != m->file_count)
        return error_set(err, RC_INTEGRITY, "a manifest that was just made has %zu of %zu files",
                         again->file_count, m->file_count);
    return RC_OK;
}

static enum rc put_manifest(struct repo *r, const char *cluster, struct backup_info *b,
                            struct manifest *m, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);
    str_copy(m->backup_id, sizeof m->backup_id, b->id);
    m->system_identifier = b->system_identifier;
    TRY(encode_checked(m, &text, err));
    struct object_name name = name_backup(cluster, b->id, MANIFEST_PART);
    TRY(put_once(r, name.text, &text, err));
    b->manifest_digest = sha256_of(text.data, text.len);
    b->manifest_bytes = text.len;
    return RC_OK;
}

static json_t *packs_to_json(struct pack_table *packs)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < pack_table_count(packs); i++) {
        struct pack_ref ref = pack_table_get(packs, i);
        json_t *p = json_object();
        field_set_hex(p, "id", ref.id.bytes, SHA256_LEN);
        field_set_u64(p, "bytes", ref.bytes);
        field_set_u64(p, "live_bytes", ref.live_bytes);
        json_array_append_new(list, p);
    }
    return list;
}

static enum rc put_packs(struct repo *r, const char *cluster, const struct backup_info *b,
                         struct manifest *m, struct error *err)
{
    CLEANUP_JSON json_t *o = json_object();
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    field_set_str(o, "backup", b->id);
    field_set(o, "data", packs_to_json(m->packs));
    field_set(o, "maps", packs_to_json(m->map_packs));
    TRY(document_encode("packs", 1, o, &text, err));
    struct object_name name = name_backup(cluster, b->id, PACKS_PART);
    return put_once(r, name.text, &text, err);
}

static enum rc put_summary(struct repo *r, const char *cluster, struct backup_info *b,
                           struct error *err)
{
    CLEANUP_JSON json_t *o = backup_to_json(b);
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(document_encode("backup", BACKUP_VERSION, o, &text, err));
    struct object_name name = name_backup(cluster, b->id, BACKUP_PART);
    TRY(put_once(r, name.text, &text, err));
    b->digest = sha256_of(text.data, text.len);
    return RC_OK;
}

enum rc backup_commit(struct repo *r, const char *cluster, struct backup_info *b,
                      struct manifest *m, struct error *err)
{
    BUG_IF(!backup_id_valid(b->id));
    TRY(put_manifest(r, cluster, b, m, err));
    TRY(put_packs(r, cluster, b, m, err));
    return put_summary(r, cluster, b, err);
}

static enum rc decode_backup(const json_t *o, const char *id, struct backup_info *b,
                             struct error *err)
{
    TRY(backup_from_json(o, b, err));
    if (!str_eq(b->id, id))
        return error_set(err, RC_INTEGRITY, "the summary is that of another backup, %s", b->id);
    return RC_OK;
}

enum rc backup_load(struct repo *r, const char *cluster, const char *id, struct backup_info **ret,
                    struct error *err)
{
    CLEANUP_JSON json_t *o = NULL;
    if (!backup_id_valid(id)) {
        error_set(err, RC_USAGE, "\"%.40s\" is not the id of a backup", id);
        return error_now(err, "ids look like 20261121T020000Z; \"pgproof info\" lists them");
    }
    CLEANUP(cleanup_backup_info) struct backup_info *b = backup_info_new();
    struct object_name name = name_backup(cluster, id, BACKUP_PART);
    TRY(document_get(r->store, name.text, "backup", BACKUP_VERSION, &o, &b->digest, err));
    if (decode_backup(o, id, b, err) != RC_OK)
        return error_on(err, "%s", name.text);
    *ret = b;
    b = NULL;
    return RC_OK;
}

static enum rc decode_manifest(const struct backup_info *b, const struct buf *text,
                               struct manifest **ret, struct error *err)
{
    CLEANUP(cleanup_manifest) struct manifest *m = NULL;
    struct sha256 is = sha256_of(text->data, text->len);
    if (text->len != b->manifest_bytes || !sha256_equal(&is, &b->manifest_digest))
        return error_set(err, RC_INTEGRITY,
                         "the manifest is damaged: it does not have the digest that " BACKUP_PART
                         " names");
    TRY(manifest_decode(text->data, text->len, &m, err));
    if (!str_eq(m->backup_id, b->id) || m->system_identifier != b->system_identifier)
        return error_set(err, RC_INTEGRITY, "the manifest is that of another backup, %s",
                         m->backup_id);
    *ret = m;
    m = NULL;
    return RC_OK;
}

enum rc backup_load_manifest(struct repo *r, const char *cluster, const struct backup_info *b,
                             struct manifest **ret, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MANIFEST_MAX);
    struct object_name name = name_backup(cluster, b->id, MANIFEST_PART);
    enum rc rc = store_get(r->store, name.text, &text, err);
    if (rc == RC_NOT_FOUND)
        error_set(err, RC_INTEGRITY, "the manifest is missing");
    else if (rc == RC_OK)
        rc = decode_manifest(b, &text, ret, err);
    if (rc == RC_OK)
        return RC_OK;
    error_on(err, "%s", name.text);
    return error_now(err, "restore from another backup: \"pgproof info\" lists them");
}

/* What a listing shows of the packs in a table. */
struct pack_census {
    struct pack_table *packs;
    bool *seen; /* by number: there, with the right size */
};

static enum rc wrong_size(const char *name, uint64_t is, uint64_t should, struct error *err)
{
    error_set(err, RC_INTEGRITY, "the pack is %llu bytes long instead of %llu",
              (unsigned long long)is, (unsigned long long)should);
    return error_on(err, "%s", name);
}

static enum rc take_pack(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    struct pack_census *c = ctx;
    struct sha256 id;
    uint32_t number;
    if (!sha256_parse(name_base(name), &id) || !pack_table_find(c->packs, &id, &number))
        return RC_OK;
    uint64_t should = pack_table_get(c->packs, number).bytes;
    if (should && info->size_bytes != should)
        return wrong_size(name, info->size_bytes, should, err);
    c->seen[number] = true;
    return RC_OK;
}

/* A listing that does not have it proves nothing: ask for the pack itself. */
static enum rc ask_for_pack(struct repo *r, const char *name, uint64_t should, struct error *err)
{
    struct store_info info;
    enum rc rc = store_head(r->store, name, &info, err);
    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_INTEGRITY, "a pack that the backup needs is missing");
        return error_on(err, "%s", name);
    }
    TRY(rc);
    return should && info.size_bytes != should ? wrong_size(name, info.size_bytes, should, err)
                                               : RC_OK;
}

static enum rc check_table(struct repo *r, const char *cluster, enum pack_kind kind,
                           struct pack_table *packs, struct error *err)
{
    uint32_t count = pack_table_count(packs);
    if (count == 0)
        return RC_OK;
    CLEANUP_FREE bool *seen = mem_zalloc(count * sizeof *seen);
    struct pack_census c = {packs, seen};
    TRY(store_list(r->store, name_packs_prefix(cluster, kind).text, take_pack, &c, err));
    for (uint32_t i = 0; i < count; i++) {
        struct pack_ref ref = pack_table_get(packs, i);
        if (!seen[i])
            TRY(ask_for_pack(r, name_pack(cluster, kind, &ref.id).text, ref.bytes, err));
    }
    return RC_OK;
}

enum rc backup_check_packs(struct repo *r, const char *cluster, struct manifest *m,
                           struct error *err)
{
    TRY(check_table(r, cluster, PACK_DATA, m->packs, err));
    return check_table(r, cluster, PACK_MAPS, m->map_packs, err);
}
