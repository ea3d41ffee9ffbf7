/*
 * Files outside the repository: whole reads and writes, durable replacement, trees.
 * All opens are O_CLOEXEC. Errors are RC_SYSTEM with the path in part two; a missing file is
 * RC_NOT_FOUND where a function says so.
 */
#ifndef PGPROOF_BASE_FILE_H
#define PGPROOF_BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read a whole file into `to` (appended; its maximum bounds the read, RC_NOMEM over it). May give
 * RC_NOT_FOUND.
 */
MUST_CHECK enum rc file_read(const char *path, struct buf *to, struct error *err);

/* Write all bytes; no short writes. `path` is for the message. */
MUST_CHECK enum rc file_write_all(int fd, const void *data, size_t len, const char *path,
                                  struct error *err);
MUST_CHECK enum rc file_pwrite_all(int fd, const void *data, size_t len, uint64_t offset,
                                   const char *path, struct error *err);
/* Read up to len bytes at offset; *ret_len is shorter only at the end of the file. */
MUST_CHECK enum rc file_pread(int fd, void *to, size_t len, uint64_t offset, size_t *ret_len,
                              const char *path, struct error *err);

/* Durable: temporary name beside it, fsync, rename over path, fsync of the directory. */
MUST_CHECK enum rc file_replace(const char *path, const void *data, size_t len, mode_t mode,
                                struct error *err);

MUST_CHECK enum rc file_fsync_dir(const char *dir, struct error *err);
MUST_CHECK enum rc file_make_dirs(const char *path, mode_t mode, struct error *err);
/* Remove a tree without following links. A missing one is no error. */
MUST_CHECK enum rc file_remove_tree(const char *path, struct error *err);
/* True if the directory exists and has no entries; RC_NOT_FOUND where there is none. */
MUST_CHECK enum rc file_dir_is_empty(const char *path, bool *ret, struct error *err);
bool file_exists(const char *path); /* lstat works */

/* Bytes available to us on the file system that holds path. */
MUST_CHECK enum rc file_space_free(const char *path, uint64_t *ret_bytes, struct error *err);

char *path_join(const char *dir, const char *name); /* never NULL; free() it */
/*
 * Absolute and without "." and ".."; links are not resolved. free() it. Where the current directory
 * was removed, a relative path stays as it is.
 */
char *path_absolute(const char *path);
/*
 * True if `path` may be used below a directory that we own: relative, not empty, no empty, "." or
 * ".." component, no NUL, not longer than PATH_MAX allows.
 */
bool path_is_contained(const char *path);

#endif
