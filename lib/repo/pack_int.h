/* The layout of a pack that its writer and its reader share. docs/format.md describes it. */
#ifndef PGPROOF_REPO_PACK_INT_H
#define PGPROOF_REPO_PACK_INT_H

#include "repo/pack.h"

#define PACK_MAGIC         "pgpPACK1"
#define PACK_TRAILER_MAGIC "pgpPEND1"

/* Payload of SECTION_PACK. */
#define PACK_SECTION_LEN       28
#define PACK_SECTION_KIND      0 /* u32: 1 data, 2 maps */
#define PACK_SECTION_REPO      4 /* 16 bytes */
#define PACK_SECTION_SYSTEM    20
#define PACK_SECTION_KIND_DATA 1
#define PACK_SECTION_KIND_MAPS 2

#define PACK_TRAILER_LEN 64
#define TRAILER_OFFSET   0  /* u64 */
#define TRAILER_STORED   8  /* u32 */
#define TRAILER_PLAIN    12 /* u32 */
#define TRAILER_COUNT    16 /* u32 */
#define TRAILER_HASH     24 /* XXH3-128, seed 0 */
#define TRAILER_MAGIC    56

/* Plain bytes of the index: this head, the paths, the entries. */
#define INDEX_VERSION   1
#define INDEX_HEAD_LEN  16 /* version, paths, entries, bytes of an entry: u32 each */
#define INDEX_ENTRY_LEN 52
#define INDEX_PATH_MAX  4096
#define INDEX_PLAIN_MAX PACK_MAX_BYTES

#define ENTRY_KIND   0
#define ENTRY_PATH   4
#define ENTRY_NUMBER 8
#define ENTRY_OFFSET 16
#define ENTRY_STORED 20
#define ENTRY_PLAIN  24
#define ENTRY_FLAGS  28
#define ENTRY_CRC    32
#define ENTRY_HASH   36

_Static_assert(ENTRY_HASH + XXH128_LEN == INDEX_ENTRY_LEN, "an entry ends with its hash");
_Static_assert(TRAILER_MAGIC + 8 == PACK_TRAILER_LEN, "the trailer ends with its magic");

#endif
