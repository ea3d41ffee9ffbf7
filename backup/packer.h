/*
 * Fills packs with the chunks of units, and packs of maps with their chunk maps. A chunk's pack is
 * known only when that pack is finished, so a unit waits for the packs of its chunks before its map
 * can be written.
 */
#ifndef PGPROOF_BACKUP_PACKER_H
#define PGPROOF_BACKUP_PACKER_H

#include "backup/copy.h"
#include "backup/work_list.h"
#include "base/buf.h"

struct unit_list {
    struct unit **items;
    size_t count, capacity;
};

/* Of one thread; the manifest's tables of packs are shared. */
struct packer {
    struct repo *repo;
    struct manifest *manifest;
    struct progress *progress; /* may be NULL */
    struct stage *encoder;
    struct pack_writer *data;
    struct pack_writer *maps;
    struct buf map_plain;       /* of one map frame */
    struct unit_list data_open; /* units with chunks in the data pack that is being filled */
    struct unit_list maps_open; /* units whose map is in the map pack that is being filled */
    uint64_t stored_bytes;      /* of the packs that were put */
};

/* Call packer_done after a failure, too. */
MUST_CHECK enum rc packer_init(struct packer *p, const struct copy_options *o, struct manifest *m,
                               struct error *err);
void packer_done(struct packer *p);

/* Append one chunk to the unit, and its bytes to the open pack unless they are all zero. The
 * unit's `chunks` has room for it. */
MUST_CHECK enum rc packer_add_chunk(struct packer *p, struct unit *u, const uint8_t *data,
                                    uint32_t len, struct error *err);
/* The unit has all its chunks. Its reference and map are complete after packer_flush at the
 * latest. */
MUST_CHECK enum rc packer_end_unit(struct packer *p, struct unit *u, struct error *err);
/* Put the packs that are not full yet. */
MUST_CHECK enum rc packer_flush(struct packer *p, struct error *err);

#endif
