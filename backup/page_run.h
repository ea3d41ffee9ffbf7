/*
 * A run of pages as they were read, and which of them are damaged: they fail their checksum, and
 * reading them again after pauses gives the same bytes. A page that the server was just writing
 * gives others.
 */
#ifndef PGPROOF_BACKUP_PAGE_RUN_H
#define PGPROOF_BACKUP_PAGE_RUN_H

#include "base/error.h"

#include <stdint.h>

#define PAGE_RUN_MAX 1024u /* pages */

struct page_run {
    int fd;
    const char *path;
    uint64_t offset; /* of the first page in the file */
    uint8_t *pages;
    uint32_t count;       /* at most PAGE_RUN_MAX */
    uint32_t first_block; /* in the relation */
    uint32_t page_bytes;
};

/*
 * Places of the damaged pages in the run, ascending. Pages that were read again have their newest
 * bytes afterwards. patient: with pauses of most of a second; else a short one.
 */
MUST_CHECK enum rc page_run_check(const struct page_run *r, bool patient,
                                  uint32_t ret_bad[static PAGE_RUN_MAX], uint32_t *ret_count,
                                  struct error *err);

#endif
