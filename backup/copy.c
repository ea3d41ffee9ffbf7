#include "backup/copy.h"

#include "backup/data_files.h"
#include "backup/packer.h"
#include "backup/page_run.h"
#include "backup/work_list.h"
#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES   (8 * CHUNK_BYTES)
#define POLL_SECONDS 10.0

struct copier {
    const struct copy_options *options;
    struct manifest *manifest;
    int root; /* the data directory */
    struct worker *workers;
};

struct worker {
    struct copier *copier;
    struct data_files files;
    struct packer packer;
    uint8_t *buffer; /* READ_BYTES */
    uint64_t pages_checked;
};

/* ---- reading ---- */

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
    CLEANUP_FD int fd = data_files_open(&w->files, path);
    if (fd < 0 && errno == ENOENT) {
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

/* The pages of what was just read into the buffer. */
static enum rc check_pages(struct worker *w, struct unit *u, int fd, uint64_t offset, size_t len,
                           struct error *err)
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
    uint32_t bad[PAGE_RUN_MAX], count;
    w->pages_checked += run.count;
    /* A file that is damaged all over must not take a second for each of its chunks. */
    TRY(page_run_check(&run, u->bad_count < 64, bad, &count, err));
    for (uint32_t k = 0; k < count; k++) {
        u->bad_blocks = mem_grow(u->bad_blocks, u->bad_count, &u->bad_capacity, sizeof(uint32_t));
        u->bad_blocks[u->bad_count++] = run.first_block + bad[k];
    }
    return RC_OK;
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
            TRY(check_pages(w, u, fd, offset, got, err));
        for (size_t at = 0; at < got; at += CHUNK_BYTES) {
            size_t len = got - at < CHUNK_BYTES ? got - at : CHUNK_BYTES;
            TRY(packer_add_chunk(&w->packer, u, w->buffer + at, (uint32_t)len, err));
        }
        if (w->copier->options->progress)
            progress_add(&w->copier->options->progress->bytes_done, got);
        if (got < want)
            break; /* it shrank */
    }
    return RC_OK;
}

static enum rc copy_unit(void *ctx, unsigned number, void *item, struct error *err)
{
    struct copier *c = ctx;
    struct worker *w = &c->workers[number];
    struct unit *u = item;
    if (!u)
        return packer_flush(&w->packer, err);
    CLEANUP_FD int fd = -1;
    TRY(open_unit(w, u, &fd, err));
    if (!u->vanished)
        TRY(read_unit(w, u, fd, err));
    if (c->options->progress && u->piece + 1 == u->file->unit_count)
        progress_add(&c->options->progress->files_done, 1);
    return packer_end_unit(&w->packer, u, err);
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

static enum rc worker_init(struct worker *w, struct copier *c, struct error *err)
{
    w->copier = c;
    w->buffer = mem_alloc(READ_BYTES);
    return packer_init(&w->packer, c->options, c->manifest, err);
}

static void worker_done(struct worker *w)
{
    data_files_done(&w->files);
    packer_done(&w->packer);
    free(w->buffer);
}

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
        data_files_init(&c->workers[i].files, c->root);
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
    work_list_init(&list, m, 0, o->data_checksums);
    TRY(copier_init(&c, err));
    TRY(run_pool(&c, &list, err));
    describe_files(&c, &list, &result);
    for (unsigned i = 0; i < o->jobs; i++) {
        result.stored_bytes += c.workers[i].packer.stored_bytes;
        result.pages_checked += c.workers[i].pages_checked;
    }
    *ret = result;
    return RC_OK;
}

static enum rc store_memory(struct packer *p, struct unit *u, const struct copy_memory *file,
                            struct error *err)
{
    const uint8_t *data = file->data;
    u->limit_bytes = file->len;
    u->chunks = mem_array(NULL, file->len / CHUNK_BYTES + 1, sizeof(struct chunk));
    for (size_t at = 0; at < file->len; at += CHUNK_BYTES) {
        size_t len = file->len - at < CHUNK_BYTES ? file->len - at : CHUNK_BYTES;
        TRY(packer_add_chunk(p, u, data + at, (uint32_t)len, err));
    }
    return packer_end_unit(p, u, err);
}

static void add_memory(struct manifest *m, const struct copy_memory *files, size_t count,
                       const struct copy_owner *like)
{
    for (size_t i = 0; i < count; i++) {
        struct manifest_file *f = manifest_add(m, files[i].path);
        BUG_IF(files[i].len > PIECE_BYTES);
        f->kind = FILE_REGULAR;
        f->mode = like->mode;
        f->owner = arena_strdup(m->arena, like->owner);
        f->group = arena_strdup(m->arena, like->group);
    }
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
    add_memory(m, files, count, like);
    work_list_init(&list, m, m->file_count - count, false);
    TRY(copier_init(&c, err));
    for (size_t i = 0; i < count; i++)
        TRY(store_memory(&c.workers[0].packer, &list.units[i], &files[i], err));
    TRY(packer_flush(&c.workers[0].packer, err));
    describe_files(&c, &list, &ignored);
    *ret_stored_bytes = c.workers[0].packer.stored_bytes;
    return RC_OK;
}
