/*
 * A backup's manifest: zstd JSON Lines. A header line (with the lists of packs and map packs), a
 * line per file in ascending order of path as bytes, an end line with counts.
 *
 * A decoded manifest is safe to act on: paths are contained, unique and ordered, parents precede
 * children, only pg_tblspc/<oid> may be a link, sizes and counts fit together.
 */
#ifndef PGPROOF_REPO_MANIFEST_H
#define PGPROOF_REPO_MANIFEST_H

#include "repo/chunk_map.h"

#include <sys/types.h>

enum file_kind { FILE_REGULAR, FILE_DIRECTORY, FILE_TABLESPACE_LINK };
enum page_result { PAGES_NOT_CHECKED, PAGES_GOOD, PAGES_BAD };

/* Where a piece of a file's chunk map is: number in the manifest's list of map packs, and frame. */
struct map_ref {
    uint32_t map_pack;
    struct frame frame;
};

struct manifest_file {
    const char *path; /* relative to the data directory, any byte but NUL */
    enum file_kind kind;
    uint64_t size_bytes;
    int64_t mtime_ns, ctime_ns; /* since 1970; 0 for what we made ourselves */
    uint64_t inode, device;
    mode_t mode; /* permission bits */
    const char *owner, *group;
    const char *link_target; /* FILE_TABLESPACE_LINK: where it pointed at the backup */
    uint32_t crc32c;         /* of all its bytes */
    enum page_result pages;
    uint32_t *bad_blocks; /* block numbers in the relation (they continue across segments) */
    uint32_t bad_block_count;
    uint32_t chunk_bytes;
    uint64_t chunk_count; /* ceil(size / chunk_bytes) */
    struct chunk only;    /* chunk_count == 1 */
    struct map_ref *maps; /* chunk_count > 1: ceil(chunk_count / MAP_FRAME_CHUNKS) of them */
    uint32_t map_count;
};

struct manifest {
    struct arena *arena; /* owns all that files point to */
    char backup_id[BACKUP_ID_SIZE];
    uint64_t system_identifier;
    struct pack_table *packs;     /* owned; data packs */
    struct pack_table *map_packs; /* owned */
    uint32_t listed_packs;        /* data packs in the stored header; set by encode and decode */
    struct manifest_file *files;
    size_t file_count, file_capacity;
};

struct manifest *manifest_new(void);
void manifest_free(struct manifest *m); /* takes NULL */
DEFINE_CLEANUP(cleanup_manifest, struct manifest *, manifest_free)

/* A new zeroed file; the pointer is valid until the next addition. Not thread-safe. */
struct manifest_file *manifest_add(struct manifest *m, const char *path);
/* Sorts files by path first. Appends to `to`. */
MUST_CHECK enum rc manifest_encode(struct manifest *m, struct buf *to, struct error *err);
MUST_CHECK enum rc manifest_decode(const void *data, size_t len, struct manifest **ret,
                                   struct error *err);
/* NULL if there is none. Needs sorted files (after encode or decode). */
const struct manifest_file *manifest_find(const struct manifest *m, const char *path);

/*
 * The chunks of one file (chunk_count > 0), from its line or its maps. `ret` has room for
 * chunk_count. `scratch` (a buffer that may hold a pack) and the last map pack in it are re-used
 * between calls through `cache`.
 */
struct map_cache {
    struct buf pack;
    struct buf plain;
    bool have;
    uint32_t number;
};
MUST_CHECK enum rc manifest_load_chunks(struct repo *r, const char *cluster, struct manifest *m,
                                        const struct manifest_file *f, struct stage *decoder,
                                        struct map_cache *cache, struct chunk *ret,
                                        struct error *err);
void map_cache_done(struct map_cache *c);
#define MAP_CACHE_INIT                                                                             \
    ((struct map_cache){.pack = BUF_INIT(PACK_MAX_BYTES), .plain = BUF_INIT(FRAME_PLAIN_MAX)})

#endif
