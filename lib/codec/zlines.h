/*
 * Text lines through zstd, streamed: a manifest of a million lines never stands in memory whole.
 * A line has no newline inside and no NUL.
 */
#ifndef PGPROOF_CODEC_ZLINES_H
#define PGPROOF_CODEC_ZLINES_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"

struct zlines_writer;

/* Compressed bytes are appended to `to` (the caller's; its maximum bounds them). */
MUST_CHECK enum rc zlines_writer_new(struct buf *to, int level, struct zlines_writer **ret,
                                     struct error *err);
/* Adds the newline. */
MUST_CHECK enum rc zlines_add(struct zlines_writer *w, const char *line, size_t len,
                              struct error *err);
MUST_CHECK enum rc zlines_commit(struct zlines_writer *w, struct error *err); /* then free it */
void zlines_writer_free(struct zlines_writer *w);                             /* takes NULL */
DEFINE_CLEANUP(cleanup_zlines_writer, struct zlines_writer *, zlines_writer_free)

/* One line, without its newline, NUL-terminated; valid only during the call. */
typedef enum rc zlines_fn(void *ctx, uint64_t line_number, const char *line, size_t len,
                          struct error *err);

/*
 * Calls fn for every line. RC_INTEGRITY where the bytes are no complete zstd stream, go on behind
 * it, or a line is longer than max_line or does not end.
 */
MUST_CHECK enum rc zlines_read(const void *data, size_t len, size_t max_line, zlines_fn *fn,
                               void *ctx, struct error *err);

#endif
