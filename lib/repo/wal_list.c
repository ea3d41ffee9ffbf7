#include "repo/wal_object.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/names.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    struct wal_list *list;
    const char *cluster;
    uint64_t system_identifier;
    uint64_t segments_per_id; /* segments in 4 GiB of WAL */
    size_t segment_capacity, history_capacity;
};

/* Up to eight hex digits of which we know that they are some. */
static uint32_t hex_u32(const char *digits)
{
    char text[9];
    memcpy(text, digits, 8);
    text[8] = '\0';
    return (uint32_t)strtoul(text, NULL, 16);
}

static void add_history(struct listing *l, const char *file)
{
    struct wal_list *w = l->list;
    w->histories =
        mem_grow(w->histories, w->history_count, &l->history_capacity, sizeof *w->histories);
    w->histories[w->history_count++] = hex_u32(file);
}

static void add_segment(struct listing *l, const char *file, const struct store_info *info)
{
    struct wal_list *w = l->list;
    uint32_t low = hex_u32(file + 16);
    if (low >= l->segments_per_id)
        return; /* no segment of this size has such a name */
    w->segments =
        mem_grow(w->segments, w->segment_count, &l->segment_capacity, sizeof *w->segments);
    w->segments[w->segment_count++] = (struct wal_segment){
        .timeline = hex_u32(file),
        .number = hex_u32(file + 8) * l->segments_per_id + low,
        .stored = info->modified,
        .stored_bytes = info->size_bytes,
    };
}

static enum rc take_object(void *ctx, const char *name, const struct store_info *info,
                           struct error *err)
{
    struct listing *l = ctx;
    (void)err;
    const char *file = name_base(name);
    enum wal_file_kind kind = wal_file_kind(file);
    if (kind == WAL_FILE_NONE ||
        !str_eq(name, name_wal(l->cluster, l->system_identifier, file).text))
        return RC_OK;
    l->list->stored_bytes += info->size_bytes;
    if (kind == WAL_FILE_HISTORY)
        add_history(l, file);
    else if (kind == WAL_FILE_SEGMENT)
        add_segment(l, file, info);
    return RC_OK;
}

enum rc wal_list_load(struct repo *r, const char *cluster, uint64_t system_identifier,
                      uint32_t segment_bytes, struct wal_list **ret, struct error *err)
{
    CLEANUP(cleanup_wal_list) struct wal_list *w = mem_zalloc(sizeof *w);
    BUG_IF(segment_bytes == 0);
    struct listing l = {.list = w,
                        .cluster = cluster,
                        .system_identifier = system_identifier,
                        .segments_per_id = (UINT64_C(1) << 32) / segment_bytes};
    /* Listed by name, which is the order of timelines and numbers. */
    TRY(store_list(r->store, name_wal_prefix(cluster, system_identifier).text, take_object, &l,
                   err));
    *ret = w;
    w = NULL;
    return RC_OK;
}

void wal_list_free(struct wal_list *l)
{
    if (!l)
        return;
    free(l->segments);
    free(l->histories);
    free(l);
}

static int compare_segment(const void *key, const void *item)
{
    const struct wal_segment *a = key, *b = item;
    if (a->timeline != b->timeline)
        return a->timeline < b->timeline ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

const struct wal_segment *wal_list_find(const struct wal_list *l, uint32_t timeline,
                                        uint64_t number)
{
    struct wal_segment key = {.timeline = timeline, .number = number};
    if (l->segment_count == 0)
        return NULL;
    return bsearch(&key, l->segments, l->segment_count, sizeof key, compare_segment);
}
