#include "base/mem.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "pgproof: out of memory (%zu bytes)\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_zalloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_realloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);

    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_array(void *old, size_t count, size_t item_size)
{
    size_t size;

    if (__builtin_mul_overflow(count, item_size, &size))
        out_of_memory(SIZE_MAX);
    return mem_realloc(old, size);
}

void *mem_grow(void *base, size_t used, size_t *capacity, size_t item_size)
{
    if (used < *capacity)
        return base;
    *capacity = *capacity ? 2 * *capacity : 16;
    return mem_array(base, *capacity, item_size);
}

#define ARENA_BLOCK 65536
#define ARENA_ALIGN _Alignof(max_align_t)

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct arena_block *blocks;
};

struct arena *arena_new(void)
{
    return mem_zalloc(sizeof(struct arena));
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_block *b = a->blocks;
    size_t rounded;

    if (__builtin_add_overflow(size, ARENA_ALIGN - 1, &rounded))
        out_of_memory(size);
    rounded &= ~(ARENA_ALIGN - 1);
    if (!b || b->size - b->used < rounded) {
        size_t room = rounded > ARENA_BLOCK ? rounded : ARENA_BLOCK, whole;
        if (__builtin_add_overflow(sizeof(*b), room, &whole))
            out_of_memory(size);
        struct arena_block *fresh = mem_zalloc(whole);
        fresh->size = room;
        fresh->next = b;
        a->blocks = b = fresh;
    }
    void *p = b->bytes + b->used;
    b->used += rounded;
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list va, again;

    va_start(va, fmt);
    va_copy(again, va);
    int n = vsnprintf(NULL, 0, fmt, va);
    BUG_IF(n < 0);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(va);
    return s;
}
