#include "repo/manifest.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/manifest_int.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MIN 4096u

struct manifest *manifest_new(void)
{
    struct manifest *m = mem_zalloc(sizeof *m);
    m->arena = arena_new();
    m->packs = pack_table_new();
    m->map_packs = pack_table_new();
    return m;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    pack_table_free(m->packs);
    pack_table_free(m->map_packs);
    arena_free(m->arena);
    free(m->files);
    free(m);
}

struct manifest_file *manifest_add(struct manifest *m, const char *path)
{
    m->files = mem_grow(m->files, m->file_count, &m->file_capacity, sizeof *m->files);
    struct manifest_file *f = &m->files[m->file_count++];
    *f = (struct manifest_file){.path = arena_strdup(m->arena, path)};
    return f;
}

/* The index of path among the first `count` files, which are sorted; -1 if it isn't there. */
static ssize_t find_among(const struct manifest *m, size_t count, const char *path, size_t len)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(m->files[middle].path, path, len);
        if (order == 0)
            order = m->files[middle].path[len] ? 1 : 0;
        if (order == 0)
            return (ssize_t)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

const struct manifest_file *manifest_find(const struct manifest *m, const char *path)
{
    ssize_t i = find_among(m, m->file_count, path, strlen(path));
    return i < 0 ? NULL : &m->files[i];
}

uint64_t manifest_chunk_count(uint64_t size_bytes, uint32_t chunk_bytes)
{
    return size_bytes / chunk_bytes + (size_bytes % chunk_bytes != 0);
}

uint32_t manifest_chunk_len(const struct manifest_file *f, uint64_t i)
{
    uint64_t left = f->size_bytes - i * f->chunk_bytes;
    return left < f->chunk_bytes ? (uint32_t)left : f->chunk_bytes;
}

uint32_t manifest_map_chunks(const struct manifest_file *f, uint32_t i)
{
    uint64_t left = f->chunk_count - (uint64_t)i * MAP_FRAME_CHUNKS;
    return left < MAP_FRAME_CHUNKS ? (uint32_t)left : MAP_FRAME_CHUNKS;
}

static bool is_tablespace_path(const char *path)
{
    if (!str_starts(path, "pg_tblspc/"))
        return false;
    const char *oid = path + strlen("pg_tblspc/");
    size_t len = strlen(oid);
    return len >= 1 && len <= 10 && strspn(oid, "0123456789") == len;
}

static enum rc check_place(const struct manifest *m, size_t i, struct error *err)
{
    const char *path = m->files[i].path;
    if (!path_is_contained(path))
        return error_set(err, RC_INTEGRITY, "the path would leave the data directory");
    if (i > 0 && strcmp(m->files[i - 1].path, path) >= 0)
        return error_set(err, RC_INTEGRITY, "the path is there twice, or out of order");
    const char *slash = strrchr(path, '/');
    if (!slash)
        return RC_OK;
    ssize_t parent = find_among(m, i, path, (size_t)(slash - path));
    if (parent < 0)
        return error_set(err, RC_INTEGRITY, "the directory that it lies in is missing");
    if (m->files[parent].kind == FILE_REGULAR)
        return error_set(err, RC_INTEGRITY, "what it should lie in is not a directory");
    return RC_OK;
}

static bool frame_possible(const struct frame *f)
{
    return f->offset >= 32 && f->stored_len > 0 &&
           (uint64_t)f->offset + f->stored_len <= PACK_MAX_BYTES && f->plain_len > 0 &&
           f->plain_len <= FRAME_PLAIN_MAX && (f->flags & ~(uint32_t)FRAME_RAW) == 0 &&
           (!(f->flags & FRAME_RAW) || f->stored_len == f->plain_len);
}

static bool only_possible(const struct manifest *m, const struct manifest_file *f)
{
    const struct chunk *c = &f->only;
    if (c->crc32c != f->crc32c)
        return false;
    if (c->flags == CHUNK_ZERO)
        return true;
    struct frame frame = {.offset = c->offset,
                          .stored_len = c->stored_len,
                          .plain_len = (uint32_t)f->size_bytes,
                          .flags = c->flags};
    return c->pack < m->listed_packs && frame_possible(&frame);
}

static enum rc check_maps(const struct manifest *m, const struct manifest_file *f,
                          struct error *err)
{
    uint64_t need = f->chunk_count / MAP_FRAME_CHUNKS + (f->chunk_count % MAP_FRAME_CHUNKS != 0);
    uint32_t packs = pack_table_count(m->map_packs);
    if (f->map_count != need)
        return error_set(err, RC_INTEGRITY, "it has %u chunk maps, and its size needs %llu",
                         f->map_count, (unsigned long long)need);
    for (uint32_t i = 0; i < f->map_count; i++)
        if (f->maps[i].map_pack >= packs || !frame_possible(&f->maps[i].frame))
            return error_set(err, RC_INTEGRITY, "where its chunk map is can't be");
    return RC_OK;
}

static enum rc check_content(const struct manifest *m, const struct manifest_file *f,
                             struct error *err)
{
    if (f->size_bytes > INT64_MAX)
        return error_set(err, RC_INTEGRITY, "no file is so large");
    if (f->size_bytes == 0) {
        if (f->chunk_count || f->map_count || f->crc32c)
            return error_set(err, RC_INTEGRITY, "an empty file has chunks or a checksum");
        return RC_OK;
    }
    if (f->chunk_bytes < CHUNK_BYTES_MIN || f->chunk_bytes > CHUNK_BYTES_MAX ||
        (f->chunk_bytes & (f->chunk_bytes - 1)) != 0)
        return error_set(err, RC_INTEGRITY, "no chunk is %u bytes long", f->chunk_bytes);
    if (f->chunk_count != manifest_chunk_count(f->size_bytes, f->chunk_bytes))
        return error_set(err, RC_INTEGRITY, "it does not have as many chunks as its size needs");
    if (f->chunk_count > 1)
        return check_maps(m, f, err);
    if (f->map_count || !only_possible(m, f))
        return error_set(err, RC_INTEGRITY, "where its chunk is can't be");
    return RC_OK;
}

enum rc manifest_check_file(const struct manifest *m, size_t i, struct error *err)
{
    const struct manifest_file *f = &m->files[i];
    TRY(check_place(m, i, err));
    if (f->mode & ~(mode_t)07777)
        return error_set(err, RC_INTEGRITY, "its mode has more than permission bits");
    if (f->pages != PAGES_BAD && f->bad_block_count)
        return error_set(err, RC_INTEGRITY, "it has bad blocks, and is not said to be damaged");
    if (f->kind == FILE_REGULAR)
        return check_content(m, f, err);
    if (f->size_bytes || f->chunk_count || f->map_count)
        return error_set(err, RC_INTEGRITY, "what is not a regular file has content");
    if (f->kind == FILE_TABLESPACE_LINK) {
        if (!is_tablespace_path(f->path))
            return error_set(err, RC_INTEGRITY,
                             "a link is allowed only for a tablespace, pg_tblspc/<oid>");
        if (!f->link_target || f->link_target[0] != '/')
            return error_set(err, RC_INTEGRITY, "a tablespace's link needs an absolute target");
    }
    return RC_OK;
}
