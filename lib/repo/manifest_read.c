#include "repo/manifest.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/zlines.h"
#include "repo/fields_int.h"
#include "repo/manifest_int.h"

#include <string.h>

enum reader_state { WANT_HEADER, WANT_FILES, SEEN_END };

struct reader {
    struct manifest *m;
    enum reader_state state;
    uint64_t bytes;
};

static enum rc array_u32(const json_t *a, size_t i, uint32_t *ret, struct error *err)
{
    const json_t *v = json_array_get(a, i);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
        return error_set(err, RC_INTEGRITY, "item %zu of a list is not a number in range", i);
    *ret = (uint32_t)json_integer_value(v);
    return RC_OK;
}

static enum rc array_hex(const json_t *a, size_t i, void *ret, size_t len, struct error *err)
{
    const json_t *v = json_array_get(a, i);
    if (!json_is_string(v) || json_string_length(v) != 2 * len ||
        !hex_decode(json_string_value(v), 2 * len, ret))
        return error_set(err, RC_INTEGRITY, "item %zu of a list is not hex of %zu bytes", i, len);
    return RC_OK;
}

static uint32_t crc_from(const uint8_t b[static 4])
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static enum rc read_packs(const json_t *o, const char *ids_key, const char *bytes_key,
                          struct pack_table *packs, struct error *err)
{
    json_t *ids, *bytes;
    TRY(json_get_array(o, ids_key, &ids, err));
    TRY(json_get_array(o, bytes_key, &bytes, err));
    if (json_array_size(ids) != json_array_size(bytes))
        return error_set(err, RC_INTEGRITY, "\"%s\" and \"%s\" are not of one length", ids_key,
                         bytes_key);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        struct sha256 id;
        uint32_t size = 0;
        TRY(array_hex(ids, i, id.bytes, SHA256_LEN, err));
        TRY(array_u32(bytes, i, &size, err));
        if (size > PACK_MAX_BYTES)
            return error_set(err, RC_INTEGRITY, "no pack is %u bytes long", size);
        if (pack_table_add(packs, &id, size) != i)
            return error_set(err, RC_INTEGRITY, "\"%s\" has a pack twice", ids_key);
    }
    return RC_OK;
}

static enum rc read_header(struct reader *r, const json_t *o, struct error *err)
{
    const char *kind, *id;
    uint32_t version;
    TRY(json_get_str(o, "kind", &kind, err));
    if (!str_eq(kind, "manifest"))
        return error_set(err, RC_INTEGRITY, "it is not a manifest");
    TRY(json_get_u32(o, "version", &version, err));
    if (version > MANIFEST_VERSION) {
        error_set(err, RC_CONFIG, "the manifest has version %u, and this program knows up to %u",
                  version, MANIFEST_VERSION);
        return error_now(err, "use a newer pgproof");
    }
    TRY(json_get_str(o, "backup", &id, err));
    if (version == 0 || !backup_id_valid(id))
        return error_set(err, RC_INTEGRITY, "the manifest's header is damaged");
    str_copy(r->m->backup_id, sizeof r->m->backup_id, id);
    TRY(field_get_decimal(o, "system_identifier", &r->m->system_identifier, err));
    TRY(read_packs(o, "packs", "pack_bytes", r->m->packs, err));
    TRY(read_packs(o, "map_packs", "map_pack_bytes", r->m->map_packs, err));
    r->m->listed_packs = pack_table_count(r->m->packs);
    r->state = WANT_FILES;
    return RC_OK;
}

static enum rc read_kind(const json_t *o, enum file_kind *ret, struct error *err)
{
    const char *kind;
    TRY(json_get_str(o, "kind", &kind, err));
    if (str_eq(kind, "file"))
        *ret = FILE_REGULAR;
    else if (str_eq(kind, "dir"))
        *ret = FILE_DIRECTORY;
    else if (str_eq(kind, "link"))
        *ret = FILE_TABLESPACE_LINK;
    else
        return error_set(err, RC_INTEGRITY, "there are no files of kind \"%s\"", kind);
    return RC_OK;
}

static enum rc read_mode(const json_t *o, mode_t *ret, struct error *err)
{
    const char *text;
    mode_t mode = 0;
    TRY(json_get_str(o, "mode", &text, err));
    if (strlen(text) != 4 || strspn(text, "01234567") != 4)
        return error_set(err, RC_INTEGRITY, "\"mode\" is not four octal digits");
    for (int i = 0; i < 4; i++)
        mode = mode << 3 | (mode_t)(text[i] - '0');
    *ret = mode;
    return RC_OK;
}

/* Owners repeat from line to line: keep one copy. */
static enum rc read_owner(struct reader *r, const json_t *o, const char *key, const char *before,
                          const char **ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    TRY(json_get_bytes(o, key, &text, err));
    *ret = str_eq(before, text) ? before : arena_strdup(r->m->arena, text);
    return RC_OK;
}

static enum rc read_only_chunk(const json_t *o, struct manifest_file *f, struct error *err)
{
    json_t *at;
    TRY(json_get_array(o, "at", &at, err));
    TRY(array_u32(at, 0, &f->only.pack, err));
    TRY(array_u32(at, 1, &f->only.offset, err));
    TRY(array_u32(at, 2, &f->only.stored_len, err));
    TRY(array_u32(at, 3, &f->only.flags, err));
    f->only.crc32c = f->crc32c;
    return array_hex(at, 4, f->only.hash.bytes, XXH128_LEN, err);
}

static enum rc read_map_ref(const json_t *a, struct map_ref *ret, struct error *err)
{
    uint8_t crc[4];
    TRY(array_u32(a, 0, &ret->map_pack, err));
    TRY(array_u32(a, 1, &ret->frame.offset, err));
    TRY(array_u32(a, 2, &ret->frame.stored_len, err));
    TRY(array_u32(a, 3, &ret->frame.plain_len, err));
    TRY(array_u32(a, 4, &ret->frame.flags, err));
    TRY(array_hex(a, 5, crc, sizeof crc, err));
    ret->frame.crc32c = crc_from(crc);
    return array_hex(a, 6, ret->frame.hash.bytes, XXH128_LEN, err);
}

static enum rc read_maps(struct reader *r, const json_t *o, struct manifest_file *f,
                         struct error *err)
{
    json_t *maps;
    TRY(json_get_array(o, "maps", &maps, err));
    size_t count = json_array_size(maps);
    if (count > UINT32_MAX)
        return error_set(err, RC_INTEGRITY, "too many chunk maps");
    f->maps = arena_alloc(r->m->arena, count * sizeof *f->maps);
    for (size_t i = 0; i < count; i++)
        TRY(read_map_ref(json_array_get(maps, i), &f->maps[i], err));
    f->map_count = (uint32_t)count;
    return RC_OK;
}

static enum rc read_pages(struct reader *r, const json_t *o, struct manifest_file *f,
                          struct error *err)
{
    const char *pages;
    json_t *blocks;
    TRY(json_get_str_or(o, "pages", "", &pages, err));
    if (!str_eq(pages, "") && !str_eq(pages, "good") && !str_eq(pages, "bad"))
        return error_set(err, RC_INTEGRITY, "\"pages\" is neither \"good\" nor \"bad\"");
    f->pages = pages[0] == 'g' ? PAGES_GOOD : pages[0] == 'b' ? PAGES_BAD : PAGES_NOT_CHECKED;
    if (!json_object_get(o, "bad_blocks"))
        return RC_OK;
    TRY(json_get_array(o, "bad_blocks", &blocks, err));
    size_t count = json_array_size(blocks);
    if (count > UINT32_MAX)
        return error_set(err, RC_INTEGRITY, "too many bad blocks");
    f->bad_blocks = arena_alloc(r->m->arena, count * sizeof *f->bad_blocks);
    for (size_t i = 0; i < count; i++)
        TRY(array_u32(blocks, i, &f->bad_blocks[i], err));
    f->bad_block_count = (uint32_t)count;
    return RC_OK;
}

static enum rc read_content(struct reader *r, const json_t *o, struct manifest_file *f,
                            struct error *err)
{
    uint8_t crc[4];
    TRY(json_get_u64(o, "size", &f->size_bytes, err));
    TRY(json_get_hex(o, "crc32c", crc, sizeof crc, err));
    f->crc32c = crc_from(crc);
    TRY(read_pages(r, o, f, err));
    if (f->size_bytes == 0)
        return RC_OK;
    TRY(json_get_u32(o, "chunk_bytes", &f->chunk_bytes, err));
    if (f->chunk_bytes == 0)
        return error_set(err, RC_INTEGRITY, "no chunk is 0 bytes long");
    f->chunk_count = manifest_chunk_count(f->size_bytes, f->chunk_bytes);
    return f->chunk_count == 1 ? read_only_chunk(o, f, err) : read_maps(r, o, f, err);
}

static enum rc read_attributes(struct reader *r, const json_t *o, struct manifest_file *f,
                               struct error *err)
{
    const struct manifest_file *before = r->m->file_count > 1 ? f - 1 : NULL;
    int64_t inode, device;
    TRY(read_mode(o, &f->mode, err));
    TRY(read_owner(r, o, "owner", before ? before->owner : NULL, &f->owner, err));
    TRY(read_owner(r, o, "group", before ? before->group : NULL, &f->group, err));
    TRY(json_get_i64(o, "mtime", &f->mtime_ns, err));
    TRY(json_get_i64(o, "ctime", &f->ctime_ns, err));
    TRY(json_get_i64(o, "inode", &inode, err));
    TRY(json_get_i64(o, "device", &device, err));
    f->inode = (uint64_t)inode;
    f->device = (uint64_t)device;
    return RC_OK;
}

static enum rc read_file(struct reader *r, const json_t *o, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    TRY(json_get_bytes(o, "path", &path, err));
    struct manifest_file *f = manifest_add(r->m, path);
    TRY(read_kind(o, &f->kind, err));
    TRY(read_attributes(r, o, f, err));
    if (f->kind == FILE_REGULAR)
        TRY(read_content(r, o, f, err));
    if (f->kind == FILE_TABLESPACE_LINK)
        TRY(field_get_text(o, "target", r->m->arena, &f->link_target, err));
    if (f->size_bytes > INT64_MAX - r->bytes)
        return error_set(err, RC_INTEGRITY, "no data directory is so large");
    r->bytes += f->size_bytes;
    return manifest_check_file(r->m, r->m->file_count - 1, err);
}

static enum rc read_end(struct reader *r, const json_t *o, struct error *err)
{
    uint64_t files, bytes;
    TRY(json_get_u64(o, "files", &files, err));
    TRY(json_get_u64(o, "bytes", &bytes, err));
    if (files != r->m->file_count || bytes != r->bytes)
        return error_set(err, RC_INTEGRITY,
                         "the manifest's end line counts other files than it "
                         "has");
    r->state = SEEN_END;
    return RC_OK;
}

static enum rc read_object(struct reader *r, const json_t *o, struct error *err)
{
    switch (r->state) {
    case WANT_HEADER:
        return read_header(r, o, err);
    case WANT_FILES:
        return json_object_get(o, "end") ? read_end(r, o, err) : read_file(r, o, err);
    case SEEN_END:
        break;
    }
    return error_set(err, RC_INTEGRITY, "the manifest goes on behind its end line");
}

static enum rc read_line(void *ctx, uint64_t line_number, const char *line, size_t len,
                         struct error *err)
{
    CLEANUP_JSON json_t *o = NULL;
    enum rc rc = json_parse_object(line, len, &o, err);
    if (rc == RC_OK)
        rc = read_object(ctx, o, err);
    if (rc != RC_OK)
        error_prefix(err, "line %llu of the manifest", (unsigned long long)line_number);
    return rc;
}

enum rc manifest_decode(const void *data, size_t len, struct manifest **ret, struct error *err)
{
    CLEANUP(cleanup_manifest) struct manifest *m = manifest_new();
    struct reader r = {.m = m};
    TRY(zlines_read(data, len, MANIFEST_LINE_MAX, read_line, &r, err));
    if (r.state != SEEN_END)
        return error_set(err, RC_INTEGRITY, "the manifest is cut off: it has no end line");
    *ret = m;
    m = NULL;
    return RC_OK;
}
