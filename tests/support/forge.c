#include "support/forge.h"

#include "base/mem.h"
#include "base/str.h"
#include "codec/zlines.h"
#include "repo/document.h"
#include "repo/names.h"
#include "repo/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANIFEST_MAX (64u << 20)

struct forge {
    struct store *store;
    char *cluster;
    char id[BACKUP_ID_SIZE];
    json_t *summary, *header, *files;
};

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

static struct store *open_store(const char *repository)
{
    const struct store_options o = {.type = STORE_POSIX, .path = repository};
    struct store *s = NULL;
    struct error err;
    must(store_open(&o, &s, &err), &err);
    return s;
}

/* ---- documents ---- */

/* Without what document_put adds by itself. */
static json_t *load_document(struct store *s, const char *name, const char *kind)
{
    json_t *o = NULL;
    struct error err;
    must(document_get(s, name, kind, 1, &o, NULL, &err), &err);
    json_object_del(o, "kind");
    json_object_del(o, "version");
    json_object_del(o, "sha256");
    return o;
}

static void replace(struct store *s, const char *name, const struct buf *data)
{
    struct error err;
    must(store_remove(s, name, &err), &err);
    must(store_put(s, name, data->data, data->len, &err), &err);
}

static void replace_document(struct store *s, const char *name, const char *kind, json_t *body)
{
    struct error err;
    must(store_remove(s, name, &err), &err);
    must(document_put(s, name, kind, 1, body, NULL, &err), &err);
}

void forge_document(const char *repository, const char *name, const char *kind, const char *member,
                    json_t *value)
{
    CLEANUP_STORE struct store *s = open_store(repository);
    CLEANUP_JSON json_t *o = load_document(s, name, kind);
    assert_int_equal(json_object_set_new(o, member, value), 0);
    replace_document(s, name, kind, o);
}

/* ---- manifests ---- */

static enum rc newest_id(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    struct forge *f = ctx;
    (void)info;
    (void)err;
    if (str_ends(name, "/backup.json"))
        str_copy(f->id, sizeof f->id, strrchr(name, '/') - BACKUP_ID_LEN);
    f->id[BACKUP_ID_LEN] = '\0';
    return RC_OK;
}

static void choose(struct forge *f, const char *backup_id)
{
    struct error err;
    if (backup_id) {
        str_copy(f->id, sizeof f->id, backup_id);
        return;
    }
    must(store_list(f->store, name_backups_prefix(f->cluster).text, newest_id, f, &err), &err);
    assert_true(backup_id_valid(f->id));
}

static enum rc take_line(void *ctx, uint64_t number, const char *line, size_t len,
                         struct error *err)
{
    struct forge *f = ctx;
    json_t *o = NULL;
    TRY(json_parse_object(line, len, &o, err));
    if (number == 1)
        f->header = o;
    else if (json_object_get(o, "end"))
        json_decref(o);
    else
        json_array_append_new(f->files, o);
    return RC_OK;
}

struct forge *forge_open(const char *repository, const char *cluster, const char *backup_id)
{
    struct forge *f = mem_zalloc(sizeof *f);
    CLEANUP_BUF struct buf data = BUF_INIT(MANIFEST_MAX);
    struct error err;
    f->store = open_store(repository);
    f->cluster = str_dup(cluster);
    f->files = json_array();
    choose(f, backup_id);
    f->summary = load_document(f->store, name_backup(cluster, f->id, "backup.json").text, "backup");
    must(store_get(f->store, name_backup(cluster, f->id, "manifest").text, &data, &err), &err);
    must(zlines_read(data.data, data.len, MANIFEST_MAX, take_line, f, &err), &err);
    assert_non_null(f->header);
    return f;
}

json_t *forge_summary(struct forge *f)
{
    return f->summary;
}

json_t *forge_header(struct forge *f)
{
    return f->header;
}

json_t *forge_files(struct forge *f)
{
    return f->files;
}

size_t forge_index(struct forge *f, const char *path)
{
    size_t i;
    json_t *o;
    json_array_foreach(f->files, i, o)
    {
        const char *is = json_string_value(json_object_get(o, "path"));
        if (is && str_eq(is, path))
            return i;
    }
    fail_msg("the manifest has no file %s", path);
    return 0;
}

json_t *forge_file(struct forge *f, const char *path)
{
    return json_array_get(f->files, forge_index(f, path));
}

static void add_line(struct zlines_writer *w, const json_t *o)
{
    struct error err;
    char *text = json_dumps(o, JSON_COMPACT);
    assert_non_null(text);
    must(zlines_add(w, text, strlen(text), &err), &err);
    free(text);
}

static json_t *end_line(const struct forge *f)
{
    json_int_t bytes = 0;
    size_t i;
    json_t *o;
    json_array_foreach(f->files, i, o)
    {
        bytes += json_integer_value(json_object_get(o, "size"));
    }
    return json_pack("{s:b,s:I,s:I}", "end", 1, "files", (json_int_t)json_array_size(f->files),
                     "bytes", bytes);
}

static void encode(const struct forge *f, struct buf *to)
{
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;
    CLEANUP_JSON json_t *end = end_line(f);
    struct error err;
    size_t i;
    json_t *o;
    must(zlines_writer_new(to, 1, &w, &err), &err);
    add_line(w, f->header);
    json_array_foreach(f->files, i, o)
    {
        add_line(w, o);
    }
    add_line(w, end);
    must(zlines_commit(w, &err), &err);
}

static json_t *hex_of(const struct sha256 *digest)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(digest, hex);
    return json_string(hex);
}

void forge_commit(struct forge *f)
{
    CLEANUP_BUF struct buf data = BUF_INIT(MANIFEST_MAX);
    encode(f, &data);
    struct sha256 digest = sha256_of(data.data, data.len);
    replace(f->store, name_backup(f->cluster, f->id, "manifest").text, &data);
    json_object_set_new(
        f->summary, "manifest",
        json_pack("{s:o,s:I}", "sha256", hex_of(&digest), "bytes", (json_int_t)data.len));
    replace_document(f->store, name_backup(f->cluster, f->id, "backup.json").text, "backup",
                     f->summary);
    json_decref(f->summary);
    json_decref(f->header);
    json_decref(f->files);
    store_close(f->store);
    free(f->cluster);
    free(f);
}

/* ---- frames ---- */

static struct sha256 id_at(const json_t *ids, size_t i)
{
    struct sha256 id;
    const char *hex = json_string_value(json_array_get(ids, i));
    assert_non_null(hex);
    assert_true(hex_decode(hex, 2 * SHA256_LEN, id.bytes));
    return id;
}

/* A copy of the pack with the byte changed, under its own right name. */
static struct sha256 put_flipped(struct forge *f, enum pack_kind kind, const struct sha256 *id,
                                 size_t at)
{
    CLEANUP_BUF struct buf pack = BUF_INIT(PACK_MAX_BYTES);
    struct error err;
    must(store_get(f->store, name_pack(f->cluster, kind, id).text, &pack, &err), &err);
    assert_true(at < pack.len);
    pack.data[at] ^= 0x10;
    struct sha256 new_id = sha256_of(pack.data, pack.len);
    must(store_put(f->store, name_pack(f->cluster, kind, &new_id).text, pack.data, pack.len, &err),
         &err);
    return new_id;
}

static size_t number_at(const json_t *array, size_t i)
{
    return (size_t)json_integer_value(json_array_get(array, i));
}

void forge_flip_chunk(struct forge *f, const char *path)
{
    json_t *at = json_object_get(forge_file(f, path), "at");
    json_t *ids = json_object_get(f->header, "packs");
    json_t *sizes = json_object_get(f->header, "pack_bytes");
    assert_non_null(at);
    size_t pack = number_at(at, 0), byte = number_at(at, 1) + number_at(at, 2) / 2;
    struct sha256 id = id_at(ids, pack);
    struct sha256 new_id = put_flipped(f, PACK_DATA, &id, byte);
    json_array_set_new(at, 0, json_integer((json_int_t)json_array_size(ids)));
    json_array_append_new(ids, hex_of(&new_id));
    json_array_append(sizes, json_array_get(sizes, pack));
}

/* The maps of other files in that pack stay as they are. */
void forge_flip_map(struct forge *f, const char *path)
{
    json_t *map = json_array_get(json_object_get(forge_file(f, path), "maps"), 0);
    json_t *ids = json_object_get(f->header, "map_packs");
    assert_non_null(map);
    size_t pack = number_at(map, 0), byte = number_at(map, 1) + number_at(map, 2) / 2;
    struct sha256 id = id_at(ids, pack);
    struct sha256 new_id = put_flipped(f, PACK_MAPS, &id, byte);
    json_array_set_new(ids, pack, hex_of(&new_id));
}
