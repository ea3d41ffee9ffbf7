#include "archive/branch.h"

#include <string.h>

#define HISTORY_FILE_MAX (1u << 20)

/* A segment in which the timeline changes may be archived under both; PostgreSQL takes the newer.
 */
const struct wal_segment *branch_segment(const struct branch *b, uint64_t number)
{
    const struct history *h = b->history;
    uint64_t begin = number * b->segment_bytes;
    uint32_t first = history_timeline_at(h, begin);
    uint32_t last = history_timeline_at(h, begin + b->segment_bytes - 1);
    const struct wal_segment *s = wal_list_find(b->wal, last, number);

    for (unsigned i = h->count; !s && i-- > 0;)
        if (h->entries[i].timeline >= first && h->entries[i].timeline < last)
            s = wal_list_find(b->wal, h->entries[i].timeline, number);
    return s;
}

uint64_t branch_run_end(const struct branch *b, uint64_t first)
{
    uint64_t n = first;

    while (branch_segment(b, n))
        n++;
    return n - 1;
}

bool branch_next(const struct branch *b, uint64_t number, uint64_t *ret)
{
    uint64_t best = 0;
    bool found = false;

    for (size_t i = 0; i < b->wal->segment_count; i++) {
        uint64_t n = b->wal->segments[i].number;
        if (n > number && (!found || n < best) && branch_segment(b, n)) {
            best = n;
            found = true;
        }
    }
    if (found)
        *ret = best;
    return found;
}

void branch_segment_name(const struct branch *b, uint64_t number, char to[static WAL_NAME_MAX])
{
    wal_name_segment(history_timeline_at(b->history, number * b->segment_bytes), number,
                     b->segment_bytes, to);
}

uint32_t newest_timeline(const struct wal_list *wal)
{
    uint32_t newest = 0;

    if (wal->history_count)
        newest = wal->histories[wal->history_count - 1];
    if (wal->segment_count && wal->segments[wal->segment_count - 1].timeline > newest)
        newest = wal->segments[wal->segment_count - 1].timeline;
    return newest;
}

bool timeline_is_archived(const struct wal_list *wal, uint32_t timeline)
{
    for (size_t i = 0; i < wal->history_count; i++)
        if (wal->histories[i] == timeline)
            return true;
    for (size_t i = 0; i < wal->segment_count; i++)
        if (wal->segments[i].timeline == timeline)
            return true;
    return false;
}

enum rc history_load(struct repo *r, const char *cluster, uint64_t system_identifier,
                     uint32_t timeline, struct history *ret, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(HISTORY_FILE_MAX);
    struct wal_info info;
    char file[WAL_NAME_MAX];
    const char *s = "";

    if (timeline > 1) {
        wal_name_history(timeline, file);
        TRY(wal_get(r, cluster, system_identifier, file, &info, &text, err));
        TRY(buf_cstr(&text, &s, err));
    }
    return history_parse(timeline, s, ret, err);
}
