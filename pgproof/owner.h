/*
 * Root acts as the owner of the cluster's data directory: the server knows that user (peer
 * authentication), and what he makes in the repository the archiver can use.
 */
#ifndef PGPROOF_PGPROOF_OWNER_H
#define PGPROOF_PGPROOF_OWNER_H

#include "base/error.h"

/* Nothing happens where we are not root, or the directory is NULL or root's own. */
MUST_CHECK enum rc owner_become(const char *data_directory, struct error *err);
/* As root again: make the directory, give it to the owner; nothing where it has something in it.
 * Afterwards we are the owner again. */
MUST_CHECK enum rc owner_make_directory(const char *data_directory, const char *path,
                                        struct error *err);

#endif
