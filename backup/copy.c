#include "backup/copy.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "pg/page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES   (8 * CHUNK_BYTES)
#define PIECE_BYTES  ((uint64_t)MAP_FRAME_CHUNKS * CHUNK_BYTES)
#define PACK_PENDING UINT32_MAX /* the chunk is in a pack that has no number yet */
#define POLL_SECONDS 10.0

struct copy_file {
    struct manifest_file *entry;
    struct unit *units;
    uint32_t unit_count;
    bool is_relation; /* check its pages */
    uint32_t segment; /* of the relation */
};

/* One piece of one file. */
struct unit {
    struct copy_file *file;
    uint32_t piece;
    uint32_t chunk_count;
    struct chunk *chunks;  /* until its map is written */
    struct chunk first;    /* stays */
    uint64_t limit_bytes;  /* read no more */
    uint64_t length_bytes; /* what was there to read */
    uint32_t crc32c;
    bool vanished, done, listed;
    struct map_ref map;
    uint32_t *bad_blocks;
    size_t bad_count, bad_capacity;
};

struct unit_list {
    struct unit **items;
    size_t count, capacity;
};

struct copier {
    const struct copy_options *options;
    struct manifest *manifest;
    int root; /* the data directory */
    struct worker *workers;
    _Atomic uint64_t stored_bytes;
    _Atomic uint64_t pages_checked;
};

struct worker {
    struct copier *copier;
    struct repo *repo;
    struct stage *encoder;
    struct pack_writer *data;
    struct pack_writer *maps;
    uint8_t *buffer;            /* READ_BYTES */
    struct buf map_plain;       /* of one map frame */
    struct unit_list data_open; /* units with chunks in the data pack that is being filled */
    struct unit_list maps_open; /* units whose map is in the map pack that is being filled */
    char *dir_path;             /* the directory that dir_fd is open on */
    int dir_fd;
};

static void list_push(struct unit_list *l, struct unit *u)
{
    l->items = mem_grow(l->items, l->count, &l->capacity, sizeof(struct unit *));
    l->items[l->count++] = u;
}

/* ---- a worker ---- */

static enum rc worker_init(struct worker *w, struct copier *c, struct error *err)
{
    const struct copy_options *o = c->options;
    w->copier = c;
    w->dir_fd = -1;
    w->map_plain = BUF_INIT(FRAME_PLAIN_MAX);
    w->buffer = mem_alloc(READ_BYTES);
    TRY(repo_dup(o->repo, &w->repo, err));
    TRY(stage_zstd_encoder(o->zstd_level, &w->encoder, err));
    TRY(pack_writer_new(w->repo, o->cluster, o->system_identifier, PACK_DATA, w->encoder,
                        o->paranoid, &w->data, err));
    return pack_writer_new(w->repo, o->cluster, o->system_identifier, PACK_MAPS, w->encoder,
                           o->paranoid, &w->maps, err);
}

static void worker_done(struct worker *w)
{
    pack_writer_free(w->data);
    pack_writer_free(w->maps);
    stage_free(w->encoder);
    repo_close(w->repo);
    buf_done(&w->map_plain);
    free(w->buffer);
    free(w->data_open.items);
    free(w->maps_open.items);
    free(w->dir_path);
    cleanup_fd(&w->dir_fd);
}

static void count_stored(struct copier *c, uint64_t bytes)
{
    progress_add(&c->stored_bytes, bytes);
    if (c->options->progress)
        progress_add(&c->options->progress->bytes_stored, bytes);
}

/* ---- packs ---- */

static enum rc finish_map_pack(struct worker *w, struct error *err)
{
    if (w->maps_open.count == 0)
        return RC_OK;
    struct sha256 id;
    uint64_t bytes;
    TRY(pack_writer_finish(w->maps, &id, &bytes, err));
    count_stored(w->copier, bytes);
    struct pack_table *table = w->copier->manifest->map_packs;
    uint32_t number = pack_table_add(table, &id, bytes);
    for (size_t i = 0; i < w->maps_open.count; i++) {
        struct unit *u = w->maps_open.items[i];
        u->map.map_pack = number;
        pack_table_count_live(table, number, u->map.frame.stored_len);
    }
    w->maps_open.count = 0;
    return RC_OK;
}

/* All packs of this unit's chunks are known: its map can be written, its chunks forgotten. */
static enum rc settle_unit(struct worker *w, struct unit *u, struct error *err)
{
    if (u->chunk_count > 0)
        u->first = u->chunks[0];
    bool in_manifest_line = u->piece == 0 && u->chunk_count == 1;
    if (u->chunk_count > 0 && !in_manifest_line) {
        TRY(chunk_map_encode(u->chunks, u->chunk_count, w->copier->manifest->packs, &w->map_plain,
                             err));
        struct xxh128 hash = xxh128_of(w->repo->hash_seed, w->map_plain.data, w->map_plain.len);
        TRY(pack_writer_add(w->maps, u->file->entry->path, u->piece, w->map_plain.data,
                            (uint32_t)w->map_plain.len, &hash,
                            crc32c(0, w->map_plain.data, w->map_plain.len), &u->map.frame, err));
        list_push(&w->maps_open, u);
        if (pack_writer_is_full(w->maps))
            TRY(finish_map_pack(w, err));
    }
    free(u->chunks);
    u->chunks = NULL;
    return RC_OK;
}

static enum rc finish_data_pack(struct worker *w, struct error *err)
{
    if (w->data_open.count == 0)
        return RC_OK;
    struct sha256 id;
    uint64_t bytes;
    TRY(pack_writer_finish(w->data, &id, &bytes, err));
    count_stored(w->copier, bytes);
    struct pack_table *table = w->copier->manifest->packs;
    uint32_t number = pack_table_add(table, &id, bytes);
    uint64_t live = 0;
    for (size_t i = 0; i < w->data_open.count; i++) {
        struct unit *u = w->data_open.items[i];
        for (uint32_t k = 0; k < u->chunk_count; k++) {
            if (u->chunks[k].pack == PACK_PENDING) {
                u->chunks[k].pack = number;
                live += u->chunks[k].stored_len;
            }
        }
        u->listed = false;
        if (u->done)
            TRY(settle_unit(w, u, err));
    }
    pack_table_count_live(table, number, live);
    w->data_open.count = 0;
    return RC_OK;
}

/* Append one chunk to the unit, and its bytes to the open pack unless they are all zero. */
static enum rc store_chunk(struct worker *w, struct unit *u, const uint8_t *data, uint32_t len,
                           struct error *err)
{
    struct chunk c = {
        .crc32c = crc32c(0, data, len),
        .hash = xxh128_of(w->repo->hash_seed, data, len),
    };
    uint64_t number = (uint64_t)u->piece * MAP_FRAME_CHUNKS + u->chunk_count;
    if (bytes_are_zero(data, len)) {
        c.flags = CHUNK_ZERO;
    } else {
        struct frame f;
        TRY(pack_writer_add(w->data, u->file->entry->path, number, data, len, &c.hash, c.crc32c, &f,
                            err));
        c.pack = PACK_PENDING;
        c.offset = f.offset;
        c.stored_len = f.stored_len;
        c.flags = f.flags & FRAME_RAW ? CHUNK_RAW : 0;
        if (!u->listed) {
            list_push(&w->data_open, u);
            u->listed = true;
        }
    }
    u->crc32c = crc32c_combine(u->crc32c, c.crc32c, len);
    u->length_bytes += len;
    u->chunks[u->chunk_count++] = c;
    return pack_writer_is_full(w->data) ? finish_data_pack(w, err) : RC_OK;
}

/* ---- pages ---- */

struct page_run {
    int fd;
    const char *path;
    uint64_t offset; /* of the first page in the file */
    uint8_t *pages;
    uint32_t count;
    uint32_t first_block; /* in the relation */
    uint32_t page_bytes;
};

static bool page_is_bad(const struct page_run *r, uint32_t i)
{
    return page_check(r->pages + (size_t)i * r->page_bytes, r->page_bytes, r->first_block + i) ==
           PAGE_BAD;
}

static uint32_t find_bad_pages(const struct page_run *r, uint32_t *to)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < r->count; i++)
        if (page_is_bad(r, i))
            to[bad++] = i;
    return bad;
}

/* Read a page that failed its checksum again. A page that the server was just writing has other
 * bytes now; *ret_changed says so. One that is gone was truncated, and WAL tells about that. */
static enum rc read_page_again(const struct page_run *r, uint32_t i, bool *ret_changed,
                               struct error *err)
{
    uint8_t again[32768];
    BUG_IF(r->page_bytes > sizeof again);
    size_t len;
    uint8_t *page = r->pages + (size_t)i * r->page_bytes;
    TRY(file_pread(r->fd, again, r->page_bytes, r->offset + (uint64_t)i * r->page_bytes, &len,
                   r->path, err));
    *ret_changed = len < r->page_bytes || memcmp(page, again, r->page_bytes) != 0;
    if (len == r->page_bytes)
        memcpy(page, again, len);
    return RC_OK;
}

/*
 * Keeps in bad[0..*count) those pages that are damaged: they fail their checksum and do not change
 * over all pauses. A page that changed and still fails is given new pauses, up to a limit.
 */
static enum rc recheck_pages(const struct page_run *r, uint32_t *bad, uint32_t *count, bool patient,
                             struct error *err)
{
    static const unsigned pauses_ms[] = {50, 200, 500};
    const unsigned steps = patient ? 3 : 1;
    unsigned unchanged_for = 0;
    for (unsigned tries = 0; *count > 0 && unchanged_for < steps && tries < 10; tries++) {
        clock_sleep_ms(patient ? pauses_ms[unchanged_for] : 20);
        TRY(cancel_check(err));
        uint32_t left = 0;
        bool any_changed = false;
        for (uint32_t k = 0; k < *count; k++) {
            bool changed = false;
            TRY(read_page_again(r, bad[k], &changed, err));
            any_changed |= changed;
            if (page_is_bad(r, bad[k]))
                bad[left++] = bad[k];
        }
        *count = left;
        unchanged_for = any_changed ? 0 : unchanged_for + 1;
    }
    return RC_OK;
}

static enum rc check_pages(struct worker *w, struct unit *u, const struct page_run *r,
                           struct error *err)
{
    uint32_t bad[READ_BYTES / 1024];
    uint32_t count = find_bad_pages(r, bad);
    progress_add(&w->copier->pages_checked, r->count);
    /* A file that is damaged all over must not take a second for each of its chunks. */
    TRY(recheck_pages(r, bad, &count, u->bad_count < 64, err));
    for (uint32_t k = 0; k < count; k++) {
        u->bad_blocks = mem_grow(u->bad_blocks, u->bad_count, &u->bad_capacity, sizeof(uint32_t));
        u->bad_blocks[u->bad_count++] = r->first_block + bad[k];
    }
    return RC_OK;
}

/* ---- reading ---- */

static bool gone(int sys_errno)
{
    return sys_errno == ENOENT;
}

/* Open a directory below the data directory, following no link but pg_tblspc/<oid>. -1 and errno
 * on failure. */
static int open_directory(int root, const char *path)
{
    CLEANUP_FD int fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool in_tablespaces = false;
    while (fd >= 0 && *path) {
        char name[NAME_MAX + 1];
        size_t len = strcspn(path, "/");
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        path += len + (path[len] == '/');
        int next =
            openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | (in_tablespaces ? 0 : O_NOFOLLOW));
        in_tablespaces = str_eq(name, "pg_tblspc") && !in_tablespaces;
        cleanup_fd(&fd);
        fd = next;
    }
    int result = fd;
    fd = -1;
    return result;
}

/* The directory of the file before is kept open: files of one directory come in a row. */
static int open_file(struct worker *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t dir_len = slash ? (size_t)(slash - path) : 0;
    if (!w->dir_path || strlen(w->dir_path) != dir_len || memcmp(w->dir_path, path, dir_len) != 0) {
        free(w->dir_path);
        cleanup_fd(&w->dir_fd);
        w->dir_path = str_printf("%.*s", (int)dir_len, path);
        w->dir_fd = open_directory(w->copier->root, w->dir_path);
        if (w->dir_fd < 0) {
            free(w->dir_path);
            w->dir_path = NULL;
            return -1;
        }
    }
    return openat(w->dir_fd, slash ? slash + 1 : path,
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static enum rc fail_read(int sys_errno, const char *path, struct error *err)
{
    error_set_errno(err, RC_SYSTEM, sys_errno, "could not read a file of the cluster");
    error_on(err, "%s in the data directory", path);
    return error_now(err, "run pgproof-backup as the user that owns the data directory; a backup "
                          "without this file would not be whole");
}

static int64_t timespec_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* A file of one piece is described as it is when it is opened, not as it was when it was listed:
 * small files are replaced whole, by a rename. */
static void describe_again(struct unit *u, const struct stat *st)
{
    struct manifest_file *f = u->file->entry;
    if (u->file->unit_count > 1)
        return;
    f->size_bytes = (uint64_t)st->st_size < PIECE_BYTES ? (uint64_t)st->st_size : PIECE_BYTES;
    f->mtime_ns = timespec_ns(&st->st_mtim);
    f->ctime_ns = timespec_ns(&st->st_ctim);
    f->inode = st->st_ino;
    f->device = st->st_dev;
    u->limit_bytes = f->size_bytes;
}

static enum rc open_unit(struct worker *w, struct unit *u, int *ret_fd, struct error *err)
{
    const char *path = u->file->entry->path;
    CLEANUP_FD int fd = open_file(w, path);
    if (fd < 0 && gone(errno)) {
        u->vanished = true;
        return RC_OK;
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_read(errno, path, err);
    if (!S_ISREG(st.st_mode)) {
        error_set(err, RC_SYSTEM, "a file became something else while it was to be read");
        return error_on(err, "%s in the data directory", path);
    }
    describe_again(u, &st);
    (void)posix_fadvise(fd, (off_t)(u->piece * PIECE_BYTES), (off_t)u->limit_bytes,
                        POSIX_FADV_SEQUENTIAL);
    *ret_fd = fd;
    fd = -1;
    return RC_OK;
}

static enum rc check_block_of_pages(struct worker *w, struct unit *u, int fd, uint64_t offset,
                                    size_t len, struct error *err)
{
    const struct copy_options *o = w->copier->options;
    const struct page_run run = {
        .fd = fd,
        .path = u->file->entry->path,
        .offset = offset,
        .pages = w->buffer,
        .count = (uint32_t)(len / o->page_bytes),
        .first_block = (uint32_t)((uint64_t)u->file->segment * o->relation_segment_pages +
                                  offset / o->page_bytes),
        .page_bytes = o->page_bytes,
    };
    return check_pages(w, u, &run, err);
}

static enum rc read_unit(struct worker *w, struct unit *u, int fd, struct error *err)
{
    const uint64_t start = u->piece * PIECE_BYTES;
    u->chunks =
        mem_array(NULL, (u->limit_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES + 1, sizeof(struct chunk));
    while (u->length_bytes < u->limit_bytes) {
        TRY(cancel_check(err));
        uint64_t offset = start + u->length_bytes;
        size_t want = u->limit_bytes - u->length_bytes < READ_BYTES
                          ? (size_t)(u->limit_bytes - u->length_bytes)
                          : READ_BYTES;
        size_t got;
        TRY(file_pread(fd, w->buffer, want, offset, &got, u->file->entry->path, err));
        if (u->file->is_relation)
            TRY(check_block_of_pages(w, u, fd, offset, got, err));
        for (size_t at = 0; at < got; at += CHUNK_BYTES) {
            size_t len = got - at < CHUNK_BYTES ? got - at : CHUNK_BYTES;
            TRY(store_chunk(w, u, w->buffer + at, (uint32_t)len, err));
        }
        if (w->copier->options->progress)
            progress_add(&w->copier->options->progress->bytes_done, got);
        if (got < want)
            break; /* it shrank */
    }
    return RC_OK;
}

static enum rc flush_worker(struct worker *w, struct error *err)
{
    TRY(finish_data_pack(w, err));
    return finish_map_pack(w, err);
}

static enum rc copy_unit(void *ctx, unsigned number, void *item, struct error *err)
{
    struct copier *c = ctx;
    struct worker *w = &c->workers[number];
    struct unit *u = item;
    if (!u)
        return flush_worker(w, err);
    CLEANUP_FD int fd = -1;
    TRY(open_unit(w, u, &fd, err));
    if (!u->vanished)
        TRY(read_unit(w, u, fd, err));
    u->done = true;
    if (c->options->progress && u->piece + 1 == u->file->unit_count)
        progress_add(&c->options->progress->files_done, 1);
    return u->listed ? RC_OK : settle_unit(w, u, err);
}

/* ---- the list of work ---- */

struct work_list {
    struct copy_file *files;
    size_t file_count;
    struct unit *units;
    size_t unit_count;
    struct unit **order; /* largest first, so that the threads end together */
};

static void work_list_done(struct work_list *l)
{
    for (size_t i = 0; i < l->unit_count; i++) {
        free(l->units[i].chunks);
        free(l->units[i].bad_blocks);
    }
    free(l->files);
    free(l->units);
    free(l->order);
}

static uint32_t pieces_of(uint64_t size_bytes)
{
    return size_bytes <= PIECE_BYTES ? 1 : (uint32_t)((size_bytes + PIECE_BYTES - 1) / PIECE_BYTES);
}

static void add_units(struct work_list *l, struct copy_file *file)
{
    file->units = &l->units[l->unit_count];
    uint64_t left = file->entry->size_bytes;
    for (uint32_t piece = 0; piece < file->unit_count; piece++) {
        l->units[l->unit_count++] = (struct unit){
            .file = file,
            .piece = piece,
            .limit_bytes = left < PIECE_BYTES ? left : PIECE_BYTES,
        };
        left -= left < PIECE_BYTES ? left : PIECE_BYTES;
    }
}

static int compare_units(const void *a, const void *b)
{
    const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;
    if (x->limit_bytes != y->limit_bytes)
        return x->limit_bytes < y->limit_bytes ? 1 : -1;
    return (x > y) - (x < y); /* as listed: one directory after the other */
}

static void list_work(const struct copy_options *o, struct manifest *m, struct work_list *l)
{
    size_t units = 0;
    for (size_t i = 0; i < m->file_count; i++) {
        if (m->files[i].kind == FILE_REGULAR) {
            units += pieces_of(m->files[i].size_bytes);
            l->file_count++;
        }
    }
    l->files = mem_array(NULL, l->file_count + 1, sizeof *l->files);
    l->units = mem_array(NULL, units + 1, sizeof *l->units);
    l->order = mem_array(NULL, units + 1, sizeof(struct unit *));
    struct copy_file *file = l->files;
    for (size_t i = 0; i < m->file_count; i++) {
        struct manifest_file *entry = &m->files[i];
        if (entry->kind != FILE_REGULAR)
            continue;
        *file = (struct copy_file){.entry = entry, .unit_count = pieces_of(entry->size_bytes)};
        file->is_relation = o->data_checksums && path_is_relation(entry->path, &file->segment);
        add_units(l, file++);
    }
    for (size_t i = 0; i < l->unit_count; i++)
        l->order[i] = &l->units[i];
    qsort(l->order, l->unit_count, sizeof(struct unit *), compare_units);
}

/* ---- what the manifest is told ---- */

static bool file_vanished(const struct copy_file *f)
{
    for (uint32_t i = 0; i < f->unit_count; i++)
        if (f->units[i].vanished)
            return true;
    return false;
}

/* Size, CRC and damage of one unit, added to the file's. False: the file ends with this unit. */
static bool add_unit(struct manifest *m, struct manifest_file *entry, const struct unit *u)
{
    entry->size_bytes += u->length_bytes;
    entry->chunk_count += u->chunk_count;
    entry->crc32c = crc32c_combine(entry->crc32c, u->crc32c, u->length_bytes);
    if (u->bad_count > 0) {
        size_t total = entry->bad_block_count + u->bad_count;
        uint32_t *all = arena_alloc(m->arena, total * sizeof *all);
        if (entry->bad_block_count > 0)
            memcpy(all, entry->bad_blocks, entry->bad_block_count * sizeof *all);
        memcpy(all + entry->bad_block_count, u->bad_blocks, u->bad_count * sizeof *all);
        entry->bad_blocks = all;
        entry->bad_block_count = (uint32_t)total;
        entry->pages = PAGES_BAD;
    }
    return u->length_bytes == u->limit_bytes;
}

/* A later piece of a file that shrank meanwhile counts for nothing: the file ends where it was seen
 * to end first. */
static void describe_file(const struct copy_options *o, struct manifest *m, struct copy_file *f)
{
    struct manifest_file *entry = f->entry;
    entry->chunk_bytes = CHUNK_BYTES;
    entry->size_bytes = 0;
    entry->pages = f->is_relation ? PAGES_GOOD : PAGES_NOT_CHECKED;
    for (uint32_t i = 0; i < f->unit_count; i++)
        if (!add_unit(m, entry, &f->units[i]))
            break;
    if (f->is_relation && entry->size_bytes % o->page_bytes != 0)
        log_warning("%s ends inside a page: its last %u bytes were copied, not checked",
                    entry->path, (unsigned)(entry->size_bytes % o->page_bytes));
    if (entry->chunk_count == 1)
        entry->only = f->units[0].first;
    if (entry->chunk_count <= 1)
        return;
    entry->map_count = (uint32_t)((entry->chunk_count + MAP_FRAME_CHUNKS - 1) / MAP_FRAME_CHUNKS);
    entry->maps = arena_alloc(m->arena, entry->map_count * sizeof *entry->maps);
    for (uint32_t i = 0; i < entry->map_count; i++)
        entry->maps[i] = f->units[i].map;
}

static void describe_files(struct copier *c, struct work_list *l, struct copy_result *result)
{
    struct manifest *m = c->manifest;
    for (size_t i = 0; i < l->file_count; i++) {
        struct copy_file *f = &l->files[i];
        if (file_vanished(f)) {
            log_debug("%s vanished while the backup ran", f->entry->path);
            f->entry->path = NULL;
            result->vanished++;
            continue;
        }
        describe_file(c->options, m, f);
        result->pages_bad += f->entry->bad_block_count;
    }
    size_t kept = 0;
    for (size_t i = 0; i < m->file_count; i++)
        if (m->files[i].path)
            m->files[kept++] = m->files[i];
    m->file_count = kept;
}

/* ---- all together ---- */

static void copier_done(struct copier *c)
{
    for (unsigned i = 0; c->workers && i < c->options->jobs; i++)
        worker_done(&c->workers[i]);
    free(c->workers);
    cleanup_fd(&c->root);
}

static enum rc copier_init(struct copier *c, struct error *err)
{
    const struct copy_options *o = c->options;
    c->root = open(o->data_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->root < 0)
        return fail_read(errno, ".", err);
    c->workers = mem_zalloc(o->jobs * sizeof *c->workers);
    for (unsigned i = 0; i < o->jobs; i++)
        c->workers[i].dir_fd = -1;
    for (unsigned i = 0; i < o->jobs; i++)
        TRY(worker_init(&c->workers[i], c, err));
    return RC_OK;
}

static enum rc submit_all(struct copier *c, struct work_list *l, struct pool *pool,
                          struct error *err)
{
    const struct copy_options *o = c->options;
    double polled = clock_monotonic();
    for (size_t i = 0; i < l->unit_count; i++) {
        TRY(cancel_check(err));
        TRY(pool_submit(pool, l->order[i], err));
        if (o->poll && clock_monotonic() - polled >= POLL_SECONDS) {
            TRY(o->poll(o->poll_ctx, err));
            polled = clock_monotonic();
        }
    }
    return RC_OK;
}

static enum rc run_pool(struct copier *c, struct work_list *l, struct error *err)
{
    struct pool *pool;
    TRY(pool_new(c->options->jobs, (size_t)c->options->jobs * 2, copy_unit, c, &pool, err));
    enum rc rc = submit_all(c, l, pool, err);
    if (rc != RC_OK) {
        pool_abort(pool);
        return rc;
    }
    return pool_finish(pool, err);
}

enum rc copy_files(const struct copy_options *o, struct manifest *m, struct copy_result *ret,
                   struct error *err)
{
    CLEANUP(work_list_done) struct work_list list = {0};
    CLEANUP(copier_done) struct copier c = {.options = o, .manifest = m, .root = -1};
    struct copy_result result = {0};
    list_work(o, m, &list);
    TRY(copier_init(&c, err));
    TRY(run_pool(&c, &list, err));
    describe_files(&c, &list, &result);
    result.stored_bytes = c.stored_bytes;
    result.pages_checked = c.pages_checked;
    *ret = result;
    return RC_OK;
}

static enum rc store_memory(struct worker *w, struct unit *u, const struct copy_memory *file,
                            struct error *err)
{
    const uint8_t *data = file->data;
    u->limit_bytes = file->len;
    u->chunks = mem_array(NULL, file->len / CHUNK_BYTES + 1, sizeof(struct chunk));
    for (size_t at = 0; at < file->len; at += CHUNK_BYTES) {
        size_t len = file->len - at < CHUNK_BYTES ? file->len - at : CHUNK_BYTES;
        TRY(store_chunk(w, u, data + at, (uint32_t)len, err));
    }
    u->done = true;
    return u->listed ? RC_OK : settle_unit(w, u, err);
}

static void list_memory(struct manifest *m, const struct copy_memory *files, size_t count,
                        const struct copy_owner *like, struct work_list *l)
{
    for (size_t i = 0; i < count; i++) {
        struct manifest_file *f = manifest_add(m, files[i].path);
        BUG_IF(files[i].len > PIECE_BYTES);
        f->kind = FILE_REGULAR;
        f->mode = like->mode;
        f->owner = arena_strdup(m->arena, like->owner);
        f->group = arena_strdup(m->arena, like->group);
    }
    l->files = mem_array(NULL, count + 1, sizeof *l->files);
    l->units = mem_array(NULL, count + 1, sizeof *l->units);
    for (size_t i = 0; i < count; i++) {
        struct manifest_file *entry = &m->files[m->file_count - count + i];
        l->files[i] = (struct copy_file){.entry = entry, .unit_count = 1};
        add_units(l, &l->files[i]);
    }
    l->file_count = count;
}

enum rc copy_memory_files(const struct copy_options *o, struct manifest *m,
                          const struct copy_memory *files, size_t count,
                          const struct copy_owner *like, uint64_t *ret_stored_bytes,
                          struct error *err)
{
    struct copy_options one = *o;
    one.jobs = 1;
    CLEANUP(work_list_done) struct work_list list = {0};
    CLEANUP(copier_done) struct copier c = {.options = &one, .manifest = m, .root = -1};
    struct copy_result ignored = {0};
    list_memory(m, files, count, like, &list);
    TRY(copier_init(&c, err));
    for (size_t i = 0; i < count; i++)
        TRY(store_memory(&c.workers[0], &list.units[i], &files[i], err));
    TRY(flush_worker(&c.workers[0], err));
    describe_files(&c, &list, &ignored);
    *ret_stored_bytes = c.stored_bytes;
    return RC_OK;
}
