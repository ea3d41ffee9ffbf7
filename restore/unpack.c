#include "restore/unpack.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "pg/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANOTHER_BACKUP "restore from another backup with --backup (`pgproof info` lists them)"

/* One chunk and where its bytes go. */
struct piece {
    struct frame frame;
    uint32_t pack;
    uint32_t file; /* index in the manifest */
    uint64_t offset;
};

/* A run of pieces of one pack: what a worker takes at a time. */
struct job {
    const struct piece *pieces;
    size_t count;
};

struct worker {
    struct repo *repo;
    struct stage *decoder;
    struct buf pack;
    uint8_t *plain;
    size_t plain_size;
    uint32_t open_file; /* index of the file behind fd */
    int fd;
};

struct unpack {
    const struct unpack_options *o;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    size_t control_file; /* index in the manifest */
    struct job *jobs;
    size_t job_count;
    struct worker *workers;
};

bool unpack_leaves_out(const char *path)
{
    return str_eq(path, "recovery.signal") || str_eq(path, "standby.signal") ||
           str_eq(path, RESTORE_MARKER);
}

static uint32_t plain_len(const struct manifest_file *f, uint64_t number)
{
    uint64_t begin = number * f->chunk_bytes;
    uint64_t left = f->size_bytes - begin;

    return (uint32_t)(left < f->chunk_bytes ? left : f->chunk_bytes);
}

static void add_piece(struct unpack *u, size_t file, uint64_t number, const struct chunk *c)
{
    const struct manifest_file *f = &u->o->manifest->files[file];

    if (c->flags & CHUNK_ZERO)
        return;
    u->pieces = mem_grow(u->pieces, u->piece_count, &u->piece_capacity, sizeof(*u->pieces));
    u->pieces[u->piece_count++] = (struct piece){
        .frame = {.offset = c->offset,
                  .stored_len = c->stored_len,
                  .plain_len = plain_len(f, number),
                  .flags = c->flags & FRAME_RAW,
                  .crc32c = c->crc32c,
                  .hash = c->hash},
        .pack = c->pack,
        .file = (uint32_t)file,
        .offset = number * f->chunk_bytes,
    };
}

static enum rc open_sized(const struct unpack *u, size_t file, int *ret_fd, struct error *err)
{
    const struct manifest_file *f = &u->o->manifest->files[file];
    CLEANUP_FD int fd = -1;

    TRY(target_open(u->o->target, f->path, f->mode, &fd, err));
    if (ftruncate(fd, (off_t)f->size_bytes) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not give a restored file its size");
        return error_on(err, "%s", f->path);
    }
    *ret_fd = fd;
    fd = -1;
    return RC_OK;
}

/* Collect a file's pieces; make it at once if no pack has any byte of it. */
static enum rc plan_file(struct unpack *u, size_t file, struct stage *decoder,
                         struct map_cache *cache, struct error *err)
{
    const struct manifest_file *f = &u->o->manifest->files[file];
    size_t before = u->piece_count;

    if (f->chunk_count) {
        CLEANUP_FREE struct chunk *chunks = mem_array(NULL, f->chunk_count, sizeof(*chunks));
        if (manifest_load_chunks(u->o->repo, u->o->cluster, u->o->manifest, f, decoder, cache,
                                 chunks, err) != RC_OK)
            return error_now(err, ANOTHER_BACKUP);
        for (uint64_t i = 0; i < f->chunk_count; i++)
            add_piece(u, file, i, &chunks[i]);
    }
    if (str_eq(f->path, CONTROL_PATH)) {
        u->control_file = file;
        return RC_OK;
    }
    if (u->piece_count == before) {
        CLEANUP_FD int fd = -1;
        TRY(open_sized(u, file, &fd, err));
        progress_add(&u->o->progress->files_done, 1);
        progress_add(&u->o->progress->bytes_done, f->size_bytes);
    }
    return RC_OK;
}

static enum rc plan_entries(struct unpack *u, struct error *err)
{
    struct manifest *m = u->o->manifest;
    struct map_cache cache = MAP_CACHE_INIT;
    CLEANUP_STAGE struct stage *decoder = NULL;
    enum rc rc = stage_zstd_decoder(&decoder, err);
    unsigned oid;

    for (size_t i = 0; rc == RC_OK && i < m->file_count; i++) {
        const struct manifest_file *f = &m->files[i];
        if (unpack_leaves_out(f->path))
            continue;
        if (f->kind == FILE_DIRECTORY)
            rc = target_make_dir(u->o->target, f->path, f->mode, err);
        else if (f->kind == FILE_TABLESPACE_LINK)
            rc = sscanf(f->path, "pg_tblspc/%u", &oid) == 1
                     ? target_link_tablespace(u->o->target, oid, err)
                     : error_set(err, RC_INTEGRITY, "a link in the manifest is no tablespace");
        else
            rc = plan_file(u, i, decoder, &cache, err);
        if (rc == RC_OK)
            rc = cancel_check(err);
    }
    map_cache_done(&cache);
    return rc;
}

static int compare_pieces(const void *pa, const void *pb)
{
    const struct piece *a = pa, *b = pb;

    if (a->pack != b->pack)
        return a->pack < b->pack ? -1 : 1;
    return (a->frame.offset > b->frame.offset) - (a->frame.offset < b->frame.offset);
}

static void cut_into_jobs(struct unpack *u)
{
    size_t capacity = 0;

    if (u->piece_count)
        qsort(u->pieces, u->piece_count, sizeof(*u->pieces), compare_pieces);
    for (size_t i = 0; i < u->piece_count; i++) {
        if (i == 0 || u->pieces[i].pack != u->pieces[i - 1].pack) {
            u->jobs = mem_grow(u->jobs, u->job_count, &capacity, sizeof(*u->jobs));
            u->jobs[u->job_count++] = (struct job){.pieces = &u->pieces[i]};
        }
        u->jobs[u->job_count - 1].count++;
    }
}

static enum rc close_file(struct worker *w, const struct unpack *u, struct error *err)
{
    int fd = w->fd;

    w->fd = -1;
    if (fd < 0 || close(fd) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not finish a restored file");
    return error_on(err, "%s", u->o->manifest->files[w->open_file].path);
}

/* Damage in a pack: which one, and what it holds. */
static enum rc could_not_restore(const struct unpack *u, const struct piece *p, struct error *err)
{
    struct pack_ref ref = pack_table_get(u->o->manifest->packs, p->pack);

    error_prefix(err, "could not restore %s", u->o->manifest->files[p->file].path);
    error_on(err, "%s", name_pack(u->o->cluster, PACK_DATA, &ref.id).text);
    return error_now(err, ANOTHER_BACKUP);
}

static enum rc write_piece(struct unpack *u, struct worker *w, const struct piece *p,
                           struct error *err)
{
    const struct manifest_file *f = &u->o->manifest->files[p->file];

    if (p->frame.plain_len > w->plain_size) {
        w->plain = mem_realloc(w->plain, p->frame.plain_len);
        w->plain_size = p->frame.plain_len;
    }
    if (frame_decode(u->o->repo->hash_seed, &w->pack, &p->frame, w->decoder, w->plain, err) !=
        RC_OK)
        return could_not_restore(u, p, err);
    if (p->file == u->control_file)
        return buf_append(u->o->control, w->plain, p->frame.plain_len, err);
    if (w->fd < 0 || w->open_file != p->file) {
        TRY(close_file(w, u, err));
        TRY(open_sized(u, p->file, &w->fd, err));
        w->open_file = p->file;
        progress_add(&u->o->progress->files_done, p->offset == 0);
    }
    TRY(file_pwrite_all(w->fd, w->plain, p->frame.plain_len, p->offset, f->path, err));
    progress_add(&u->o->progress->bytes_done, p->frame.plain_len);
    return RC_OK;
}

static enum rc open_worker(const struct unpack *u, struct worker *w, struct error *err)
{
    TRY(repo_dup(u->o->repo, &w->repo, err));
    return stage_zstd_decoder(&w->decoder, err);
}

static enum rc work(void *ctx, unsigned number, void *item, struct error *err)
{
    struct unpack *u = ctx;
    struct worker *w = &u->workers[number];
    const struct job *j = item;

    if (!j)
        return close_file(w, u, err);
    if (!w->repo)
        TRY(open_worker(u, w, err));
    struct pack_ref ref = pack_table_get(u->o->manifest->packs, j->pieces[0].pack);
    if (pack_get(w->repo, u->o->cluster, PACK_DATA, &ref.id, &w->pack, err) != RC_OK)
        return could_not_restore(u, j->pieces, err);
    progress_add(&u->o->progress->bytes_stored, w->pack.len);
    for (size_t i = 0; i < j->count; i++) {
        TRY(cancel_check(err));
        TRY(write_piece(u, w, &j->pieces[i], err));
    }
    return RC_OK;
}

static enum rc run_jobs(struct unpack *u, struct error *err)
{
    struct pool *pool;

    TRY(pool_new(u->o->workers, u->o->workers, work, u, &pool, err));
    for (size_t i = 0; i < u->job_count; i++)
        if (pool_submit(pool, &u->jobs[i], err) != RC_OK)
            break; /* pool_finish gives the same error */
    return pool_finish(pool, err);
}

static void unpack_done(struct unpack *u)
{
    for (unsigned i = 0; i < u->o->workers; i++) {
        struct worker *w = &u->workers[i];
        cleanup_fd(&w->fd);
        repo_close(w->repo);
        stage_free(w->decoder);
        buf_done(&w->pack);
        free(w->plain);
    }
    free(u->workers);
    free(u->pieces);
    free(u->jobs);
}

enum rc unpack_files(const struct unpack_options *o, struct error *err)
{
    struct unpack u = {.o = o, .control_file = SIZE_MAX};

    u.workers = mem_zalloc(o->workers * sizeof(*u.workers));
    for (unsigned i = 0; i < o->workers; i++)
        u.workers[i] = (struct worker){.fd = -1, .pack = BUF_INIT(PACK_MAX_BYTES)};
    enum rc rc = plan_entries(&u, err);
    if (rc == RC_OK && u.control_file == SIZE_MAX) {
        rc = error_set(err, RC_INTEGRITY, "the backup has no pg_control");
        error_on(err, "backup %s", o->manifest->backup_id);
    }
    if (rc == RC_OK) {
        cut_into_jobs(&u);
        rc = run_jobs(&u, err);
    }
    unpack_done(&u);
    return rc;
}
