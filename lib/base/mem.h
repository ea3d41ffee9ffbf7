/*
 * Memory. Small allocations of a size that we choose abort when memory is gone (mem_*); sizes that
 * come from outside go through struct buf, which has a maximum, or mem_try.
 */
#ifndef PGPROOF_BASE_MEM_H
#define PGPROOF_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);              /* uninitialised; never NULL; free() it */
void *mem_zalloc(size_t size);             /* zeroed; never NULL; free() it */
void *mem_realloc(void *old, size_t size); /* never NULL */
void *mem_array(void *old, size_t count, size_t item_size); /* realloc, overflow-checked */

/* A growing array: makes room for one more item, doubling. Returns the new base. */
void *mem_grow(void *base, size_t used, size_t *capacity, size_t item_size);

/* An arena: many small objects with one lifetime. Nothing is freed before arena_free. */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *a);                   /* takes NULL */
void *arena_alloc(struct arena *a, size_t size);    /* zeroed, aligned for any type */
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
