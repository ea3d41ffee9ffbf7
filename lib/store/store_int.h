/*
 * For drivers and their tests only.
 */
#ifndef PGPROOF_STORE_STORE_INT_H
#define PGPROOF_STORE_STORE_INT_H

#include "store/store.h"

/* As `len` of ops->get: the whole object. */
#define STORE_WHOLE SIZE_MAX

/* What the posix driver keeps beside the objects. No object's name can begin with a dot. */
#define STORE_POSIX_TMP  ".tmp"  /* directory of objects that are being written */
#define STORE_POSIX_LOCK ".lock" /* locked around a rename where nothing better is known */

/*
 * How a finished temporary file gets its name without replacing another. The driver begins with the
 * first and goes on to the next, for the life of the handle, where the file system knows it not.
 */
enum posix_naming {
    POSIX_NAMING_RENAME, /* renameat2 with RENAME_NOREPLACE */
    POSIX_NAMING_LINK,   /* a hard link, then unlink the temporary name */
    POSIX_NAMING_LOCK,   /* look, then rename, under an exclusive lock on STORE_POSIX_LOCK */
};

MUST_CHECK enum rc store_posix_open(const struct store_options *o, struct store **ret,
                                    struct error *err);

MUST_CHECK enum rc store_s3_open(const struct store_options *o, struct store **ret,
                                 struct error *err);

/* ops->remove_many of a driver that has nothing better: one by one. */
MUST_CHECK enum rc store_remove_each(struct store *s, const char *const *names, size_t count,
                                     store_removed_fn *fn, void *ctx, struct error *err);

/* Begin with this one: which one a file system needs can't be seen before it is tried, and tests
 * want each on the file system that they have. Inherited by store_dup. */
void store_posix_set_naming(struct store *s, enum posix_naming naming);
enum posix_naming store_posix_naming(const struct store *s); /* the one in use now */

#endif
