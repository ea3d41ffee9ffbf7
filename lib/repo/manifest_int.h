/* What the writer and the reader of manifests share: the rules that a file's line keeps. */
#ifndef PGPROOF_REPO_MANIFEST_INT_H
#define PGPROOF_REPO_MANIFEST_INT_H

#include "repo/manifest.h"

#define MANIFEST_VERSION  1
#define MANIFEST_LINE_MAX (64u << 20) /* the header lists all packs */

/* Chunks of a file of this size. */
uint64_t manifest_chunk_count(uint64_t size_bytes, uint32_t chunk_bytes);
/* Plain bytes of chunk number i. */
uint32_t manifest_chunk_len(const struct manifest_file *f, uint64_t i);
/* Chunks that map number i of the file describes. */
uint32_t manifest_map_chunks(const struct manifest_file *f, uint32_t i);

/* Checks files[i] by itself and against those before it. RC_INTEGRITY says what is wrong. */
MUST_CHECK enum rc manifest_check_file(const struct manifest *m, size_t i, struct error *err);

#endif
