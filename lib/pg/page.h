/*
 * Data pages. The checksum is PostgreSQL's (src/include/storage/checksum_impl.h: an FNV-1a variant
 * in 32 lanes); the implementation here is our own, from the description of the algorithm.
 */
#ifndef PGPROOF_PG_PAGE_H
#define PGPROOF_PG_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint16_t page_checksum(const void *page, uint32_t page_bytes, uint32_t block);

enum page_verdict { PAGE_GOOD, PAGE_NEW /* all zeroes */, PAGE_BAD };
/* `block`: number within the relation fork; it continues across segment files. */
enum page_verdict page_check(const void *page, uint32_t page_bytes, uint32_t block);

bool bytes_are_zero(const void *p, size_t len);

/*
 * Is this path (relative to the data directory; pg_tblspc/<oid>/PG_... for tablespaces) a file with
 * checksummed pages: a relation fork's segment? *ret_segment is its segment number (0, 1, …).
 */
bool path_is_relation(const char *path, uint32_t *ret_segment);

#endif
