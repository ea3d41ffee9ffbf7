/*
 * The posix driver's own parts: directories and errors (store_posix_dir.c), the listing
 * (store_posix_list.c), trying out what the file system does (store_posix_examine.c), and the rest
 * (store_posix.c).
 *
 * Everything happens below a descriptor of the root directory, component by component and without
 * following links, so that nothing in a repository can lead out of it.
 */
#ifndef PGPROOF_STORE_STORE_POSIX_INT_H
#define PGPROOF_STORE_STORE_POSIX_INT_H

#include "store/store_int.h"

#include <sys/stat.h>
#include <sys/types.h>

struct posix_store {
    struct store store;
    int root_fd;
    struct stat root; /* as it was when the store was opened */
    enum posix_naming naming;
};

static inline struct posix_store *posix_store_of(struct store *s)
{
    return (struct posix_store *)s;
}

/* Bytes of a name before its last '/'; 0 for an object in the root. */
size_t posix_dir_len(const char *name);
const char *posix_base(const char *name);

/* RC_STORAGE: "could not <what>: <reason>", on <root>/<name> (name may be ""), with a remedy. */
enum rc posix_failed(const struct posix_store *s, const char *name, int sys_errno, const char *what,
                     struct error *err);

/* RC_OK if the path of the store still leads to the directory that was opened: without that, a name
 * that isn't there proves nothing. */
MUST_CHECK enum rc posix_check_root(const struct posix_store *s, struct error *err);

/* For a name that isn't there: RC_NOT_FOUND if that is proven, else RC_STORAGE. */
enum rc posix_absent(const struct posix_store *s, const char *name, struct error *err);

/* Give a new file or directory the mode that it should have and, for root, the repository's owner.
 * 0 or an errno. */
int posix_own(const struct posix_store *s, int fd, mode_t mode);

/* Open the directory that the first len bytes of `name` name. RC_NOT_FOUND if there is none. */
MUST_CHECK enum rc posix_open_dir(const struct posix_store *s, const char *name, size_t len,
                                  int *ret_fd, struct error *err);

/* The same, making what is missing. */
MUST_CHECK enum rc posix_make_dir(const struct posix_store *s, const char *name, size_t len,
                                  int *ret_fd, struct error *err);

/* fsync the directory of the object `name`, open as dir_fd, and every one above it up to the root:
 * whoever made one of them may not have come to its own fsync yet. */
MUST_CHECK enum rc posix_sync_dirs(const struct posix_store *s, const char *name, int dir_fd,
                                   struct error *err);

/* Remove the directories of the object `name` that are empty now, as far as that works. */
void posix_prune(const struct posix_store *s, const char *name);

void posix_info(const struct stat *st, struct store_info *ret);

/* ops->list */
enum rc posix_list(struct store *store, const char *prefix, store_list_fn *fn, void *ctx,
                   struct error *err);

/* ops->examine */
enum rc posix_examine(struct store *store, store_finding_fn *fn, void *ctx, struct error *err);

#endif
