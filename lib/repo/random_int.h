/* Random bytes from the kernel: ids, seeds, and what makes every pack's name new. */
#ifndef PGPROOF_REPO_RANDOM_INT_H
#define PGPROOF_REPO_RANDOM_INT_H

#include "base/error.h"

#include <stddef.h>

#define RANDOM_MAX 256

/* len is at most RANDOM_MAX. */
MUST_CHECK enum rc random_bytes(void *to, size_t len, struct error *err);

#endif
