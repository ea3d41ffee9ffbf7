/*
 * What is to be copied: the regular files of a manifest, cut into units that threads share. A unit
 * is one piece of a file's chunk map (MAP_FRAME_CHUNKS chunks).
 */
#ifndef PGPROOF_BACKUP_WORK_LIST_H
#define PGPROOF_BACKUP_WORK_LIST_H

#include "repo/manifest.h"

#define PIECE_BYTES ((uint64_t)MAP_FRAME_CHUNKS * CHUNK_BYTES)

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

struct work_list {
    struct copy_file *files;
    size_t file_count;
    struct unit *units; /* file by file */
    size_t unit_count;
    struct unit **order; /* largest first, so that the threads end together */
};

/* The regular files of the manifest from `first` on, as long as it says. The list points into the
 * manifest. check_pages: the cluster has page checksums. */
void work_list_init(struct work_list *l, struct manifest *m, size_t first, bool check_pages);
void work_list_done(struct work_list *l);

#endif
