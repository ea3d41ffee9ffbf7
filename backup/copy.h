/*
 * Copies the files that a manifest lists into packs, by several threads, and fills in what reading
 * them tells: sizes, CRCs, page checksum results, chunk references, chunk maps.
 *
 * A unit of work is one piece of a chunk map (MAP_FRAME_CHUNKS chunks of one file), so large files
 * are shared between the threads. A thread fills a pack of data and one of maps in memory; a
 * chunk's pack is known only when that pack is finished, so a piece waits for the packs of its
 * chunks before its map can be written.
 *
 * Files change under the reader, and WAL repairs what it sees: one that vanished leaves the
 * manifest; one that shrank keeps what was read and gets its true length; one that grew is copied
 * to the length that was seen first.
 */
#ifndef PGPROOF_BACKUP_COPY_H
#define PGPROOF_BACKUP_COPY_H

#include "base/progress.h"
#include "repo/manifest.h"

struct copy_options {
    struct repo *repo;
    const char *cluster;
    const char *data_directory;
    uint64_t system_identifier;
    uint32_t page_bytes;
    uint32_t relation_segment_pages;
    bool data_checksums; /* check pages of relations */
    unsigned jobs;
    int zstd_level;
    bool paranoid;             /* decode every frame again before it is stored */
    struct progress *progress; /* may be NULL */
    /* Called now and then by the thread that called copy_files; a failure ends the copy. May be
     * NULL. */
    enum rc (*poll)(void *ctx, struct error *err);
    void *poll_ctx;
};

struct copy_result {
    uint64_t vanished;      /* files that were gone when they were to be read */
    uint64_t pages_checked; /* of relations, with data checksums on */
    uint64_t pages_bad;
    uint64_t stored_bytes; /* of the packs written */
};

/* Everything in the manifest that is a regular file. Removes vanished ones from it. */
MUST_CHECK enum rc copy_files(const struct copy_options *o, struct manifest *m,
                              struct copy_result *ret, struct error *err);

/* Add a file whose bytes are in memory, and store them. `like` gives mode and owners. */
struct copy_memory {
    const char *path;
    const void *data;
    size_t len;
};
struct copy_owner {
    mode_t mode;
    const char *owner, *group;
};
MUST_CHECK enum rc copy_memory_files(const struct copy_options *o, struct manifest *m,
                                     const struct copy_memory *files, size_t count,
                                     const struct copy_owner *like, uint64_t *ret_stored_bytes,
                                     struct error *err);

#endif
