#include "backup/work_list.h"

#include "base/mem.h"
#include "pg/page.h"

#include <stdlib.h>

void work_list_done(struct work_list *l)
{
    for (size_t i = 0; i < l->unit_count; i++) {
        free(l->units[i].chunks);
        free(l->units[i].bad_blocks);
    }
    free(l->files);
    free(l->units);
    free(l->order);
}

static uint32_t pieces_of(uint64_t size_bytes)
{
    return size_bytes <= PIECE_BYTES ? 1 : (uint32_t)((size_bytes + PIECE_BYTES - 1) / PIECE_BYTES);
}

static void add_units(struct work_list *l, struct copy_file *file)
{
    file->units = &l->units[l->unit_count];
    uint64_t left = file->entry->size_bytes;
    for (uint32_t piece = 0; piece < file->unit_count; piece++) {
        l->units[l->unit_count++] = (struct unit){
            .file = file,
            .piece = piece,
            .limit_bytes = left < PIECE_BYTES ? left : PIECE_BYTES,
        };
        left -= left < PIECE_BYTES ? left : PIECE_BYTES;
    }
}

static int compare_units(const void *a, const void *b)
{
    const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;
    if (x->limit_bytes != y->limit_bytes)
        return x->limit_bytes < y->limit_bytes ? 1 : -1;
    return (x > y) - (x < y); /* as listed: one directory after the other */
}

static void count_work(struct work_list *l, const struct manifest *m, size_t first)
{
    size_t units = 0;
    for (size_t i = first; i < m->file_count; i++) {
        if (m->files[i].kind == FILE_REGULAR) {
            units += pieces_of(m->files[i].size_bytes);
            l->file_count++;
        }
    }
    l->files = mem_array(NULL, l->file_count + 1, sizeof *l->files);
    l->units = mem_array(NULL, units + 1, sizeof *l->units);
    l->order = mem_array(NULL, units + 1, sizeof(struct unit *));
}

void work_list_init(struct work_list *l, struct manifest *m, size_t first, bool check_pages)
{
    *l = (struct work_list){0};
    count_work(l, m, first);
    struct copy_file *file = l->files;
    for (size_t i = first; i < m->file_count; i++) {
        struct manifest_file *entry = &m->files[i];
        if (entry->kind != FILE_REGULAR)
            continue;
        *file = (struct copy_file){.entry = entry, .unit_count = pieces_of(entry->size_bytes)};
        file->is_relation = check_pages && path_is_relation(entry->path, &file->segment);
        add_units(l, file++);
    }
    for (size_t i = 0; i < l->unit_count; i++)
        l->order[i] = &l->units[i];
    qsort(l->order, l->unit_count, sizeof(struct unit *), compare_units);
}
