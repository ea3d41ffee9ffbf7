/*
 * The typed header of binary objects (packs, WAL objects). docs/format.md has the layout:
 *
 *     0   8  magic
 *     8   4  version (1)
 *    12   4  header length in bytes: everything in front of the body
 *    16  16  random bytes
 *    32   …  sections: type (2), flags (2), length (4), payload; the last has type 0, length 0
 *
 * Readers skip section types they don't know, unless flag SECTION_MUST_KNOW is set.
 */
#ifndef PGPROOF_REPO_SECTIONS_H
#define PGPROOF_REPO_SECTIONS_H

#include "base/buf.h"

#define HEADER_FIXED_LEN  32
#define HEADER_MAX_LEN    (1u << 20)
#define SECTION_MUST_KNOW 0x0001

enum section_type {
    SECTION_END = 0,
    SECTION_SEAL = 1,     /* reserved: suite, key id, wrapped data key; MUST_KNOW */
    SECTION_PACK = 2,     /* kind of pack, repository id, system identifier */
    SECTION_WAL = 3,      /* what segment this is */
    SECTION_WAL_INDEX = 4 /* reserved: what the segment holds */
};

/* Begin a header in an empty buffer; fills random bytes. */
MUST_CHECK enum rc header_begin(struct buf *b, const char magic[static 8], struct error *err);
MUST_CHECK enum rc header_add(struct buf *b, uint16_t type, uint16_t flags, const void *payload,
                              uint32_t len, struct error *err);
MUST_CHECK enum rc header_end(struct buf *b, struct error *err); /* writes the length */

struct section {
    uint16_t type;
    uint16_t flags;
    const uint8_t *payload; /* inside the object's bytes */
    uint32_t len;
};

typedef enum rc section_fn(void *ctx, const struct section *s, bool *ret_known, struct error *err);

/*
 * Check magic, version and bounds, call fn for each section. *ret_header_len is where the body
 * begins. RC_INTEGRITY: not such an object; RC_CONFIG: a version or a must-know section that this
 * program does not know.
 */
MUST_CHECK enum rc header_read(const void *object, size_t len, const char magic[static 8],
                               section_fn *fn, void *ctx, size_t *ret_header_len,
                               struct error *err);

#endif
