#include "repo/manifest.h"

#include "base/json.h"
#include "base/str.h"
#include "codec/stage.h"
#include "codec/zlines.h"
#include "repo/fields_int.h"
#include "repo/manifest_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int by_path(const void *a, const void *b)
{
    const struct manifest_file *fa = a, *fb = b;
    return strcmp(fa->path, fb->path);
}

static void sort_files(struct manifest *m)
{
    size_t i = 1;
    while (i < m->file_count && strcmp(m->files[i - 1].path, m->files[i].path) < 0)
        i++;
    if (i < m->file_count)
        qsort(m->files, m->file_count, sizeof *m->files, by_path);
}

static void field_set_packs(json_t *o, const char *ids_key, const char *bytes_key,
                            struct pack_table *packs)
{
    json_t *ids = json_array(), *bytes = json_array();
    for (uint32_t i = 0; i < pack_table_count(packs); i++) {
        struct pack_ref ref = pack_table_get(packs, i);
        char hex[SHA256_HEX_SIZE];
        sha256_hex(&ref.id, hex);
        BUG_IF(json_array_append_new(ids, json_string(hex)) != 0 ||
               json_array_append_new(bytes, json_integer((json_int_t)ref.bytes)) != 0);
    }
    field_set(o, ids_key, ids);
    field_set(o, bytes_key, bytes);
}

static enum rc add_json_line(struct zlines_writer *w, const json_t *o, struct error *err)
{
    CLEANUP_FREE char *line = json_dumps(o, JSON_COMPACT);
    if (!line)
        return error_set(err, RC_NOMEM, "could not write JSON: out of memory");
    return zlines_add(w, line, strlen(line), err);
}

static enum rc add_header(struct zlines_writer *w, struct manifest *m, struct error *err)
{
    CLEANUP_JSON json_t *o = json_object();
    field_set_str(o, "kind", "manifest");
    field_set_u64(o, "version", MANIFEST_VERSION);
    field_set_str(o, "backup", m->backup_id);
    field_set_decimal(o, "system_identifier", m->system_identifier);
    field_set_packs(o, "packs", "pack_bytes", m->packs);
    field_set_packs(o, "map_packs", "map_pack_bytes", m->map_packs);
    return add_json_line(w, o, err);
}

static enum rc add_end(struct zlines_writer *w, const struct manifest *m, struct error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->file_count; i++)
        bytes += m->files[i].size_bytes;
    CLEANUP_JSON json_t *o = json_object();
    field_set(o, "end", json_true());
    field_set_u64(o, "files", m->file_count);
    field_set_u64(o, "bytes", bytes);
    return add_json_line(w, o, err);
}

/* Nothing that JSON must escape, and surely UTF-8. */
static bool is_plain(const char *s)
{
    for (; *s; s++)
        if (*s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\')
            return false;
    return true;
}

/* Appends `"key":"value",` by hand for the paths of every day, through JSON's library for others.
 */
static enum rc put_text(struct buf *line, const char *key, const char *value, struct error *err)
{
    value = value ? value : "";
    if (is_plain(value))
        return buf_printf(line, err, "\"%s\":\"%s\",", key, value);
    CLEANUP_JSON json_t *o = json_object();
    json_set_bytes(o, key, value);
    CLEANUP_FREE char *text = json_dumps(o, JSON_COMPACT);
    if (!text)
        return error_set(err, RC_NOMEM, "could not write JSON: out of memory");
    TRY(buf_append(line, text + 1, strlen(text) - 2, err)); /* without its braces */
    return buf_append(line, ",", 1, err);
}

static enum rc put_only(struct buf *line, const struct chunk *c, struct error *err)
{
    char hash[2 * XXH128_LEN + 1];
    bool zero = c->flags & CHUNK_ZERO;
    hex_encode(c->hash.bytes, XXH128_LEN, hash);
    return buf_printf(line, err, "\"at\":[%u,%u,%u,%u,\"%s\"],", zero ? 0 : c->pack,
                      zero ? 0 : c->offset, zero ? 0 : c->stored_len, c->flags, hash);
}

static enum rc put_maps(struct buf *line, const struct manifest_file *f, struct error *err)
{
    TRY(buf_printf(line, err, "\"maps\":["));
    for (uint32_t i = 0; i < f->map_count; i++) {
        const struct map_ref *r = &f->maps[i];
        char hash[2 * XXH128_LEN + 1];
        hex_encode(r->frame.hash.bytes, XXH128_LEN, hash);
        TRY(buf_printf(line, err, "%s[%u,%u,%u,%u,%u,\"%08x\",\"%s\"]", i ? "," : "", r->map_pack,
                       r->frame.offset, r->frame.stored_len, r->frame.plain_len, r->frame.flags,
                       r->frame.crc32c, hash));
    }
    return buf_append(line, "],", 2, err);
}

static enum rc put_bad_blocks(struct buf *line, const struct manifest_file *f, struct error *err)
{
    TRY(buf_printf(line, err, "\"bad_blocks\":["));
    for (uint32_t i = 0; i < f->bad_block_count; i++)
        TRY(buf_printf(line, err, "%s%u", i ? "," : "", f->bad_blocks[i]));
    return buf_append(line, "],", 2, err);
}

static enum rc put_content(struct buf *line, const struct manifest_file *f, struct error *err)
{
    TRY(buf_printf(line, err, "\"size\":%" PRIu64 ",\"crc32c\":\"%08x\",", f->size_bytes,
                   f->crc32c));
    if (f->pages != PAGES_NOT_CHECKED)
        TRY(buf_printf(line, err, "\"pages\":\"%s\",", f->pages == PAGES_GOOD ? "good" : "bad"));
    if (f->bad_block_count)
        TRY(put_bad_blocks(line, f, err));
    if (f->size_bytes == 0)
        return RC_OK;
    TRY(buf_printf(line, err, "\"chunk_bytes\":%u,", f->chunk_bytes));
    return f->chunk_count == 1 ? put_only(line, &f->only, err) : put_maps(line, f, err);
}

static enum rc put_file(struct buf *line, const struct manifest_file *f, struct error *err)
{
    static const char *const kinds[] = {
        [FILE_REGULAR] = "file", [FILE_DIRECTORY] = "dir", [FILE_TABLESPACE_LINK] = "link"};
    buf_clear(line);
    TRY(buf_append(line, "{", 1, err));
    TRY(put_text(line, "path", f->path, err));
    TRY(buf_printf(line, err, "\"kind\":\"%s\",", kinds[f->kind]));
    if (f->kind == FILE_REGULAR)
        TRY(put_content(line, f, err));
    if (f->kind == FILE_TABLESPACE_LINK)
        TRY(put_text(line, "target", f->link_target, err));
    TRY(put_text(line, "owner", f->owner, err));
    TRY(put_text(line, "group", f->group, err));
    /* Inode and device are 64 bits that only serve comparing; JSON integers are signed. */
    return buf_printf(line, err,
                      "\"mode\":\"%04o\",\"mtime\":%" PRId64 ",\"ctime\":%" PRId64
                      ",\"inode\":%" PRId64 ",\"device\":%" PRId64 "}",
                      (unsigned)f->mode, f->mtime_ns, f->ctime_ns, (int64_t)f->inode,
                      (int64_t)f->device);
}

/* What a reader would refuse is never written. */
static enum rc add_file(struct zlines_writer *w, const struct manifest *m, size_t i,
                        struct buf *line, struct error *err)
{
    if (manifest_check_file(m, i, err) != RC_OK) {
        error_prefix(err, "could not write the manifest");
        error_on(err, "%s", m->files[i].path);
        return error_reclass(err, RC_BUG);
    }
    TRY(put_file(line, &m->files[i], err));
    return zlines_add(w, (const char *)line->data, line->len, err);
}

enum rc manifest_encode(struct manifest *m, struct buf *to, struct error *err)
{
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;
    CLEANUP_BUF struct buf line = BUF_INIT(MANIFEST_LINE_MAX);
    sort_files(m);
    m->listed_packs = pack_table_count(m->packs);
    TRY(zlines_writer_new(to, ZSTD_LEVEL_DEFAULT, &w, err));
    TRY(add_header(w, m, err));
    for (size_t i = 0; i < m->file_count; i++)
        TRY(add_file(w, m, i, &line, err));
    TRY(add_end(w, m, err));
    return zlines_commit(w, err);
}
