#include "restore/branch.h"

#include <string.h>

#define HISTORY_FILE_MAX (1u << 20)

static uint32_t newest_timeline(const struct wal_list *wal)
{
    uint32_t newest = 0;

    if (wal->history_count)
        newest = wal->histories[wal->history_count - 1];
    if (wal->segment_count && wal->segments[wal->segment_count - 1].timeline > newest)
        newest = wal->segments[wal->segment_count - 1].timeline;
    return newest;
}

static bool timeline_known(const struct wal_list *wal, uint32_t timeline)
{
    for (size_t i = 0; i < wal->history_count; i++)
        if (wal->histories[i] == timeline)
            return true;
    for (size_t i = 0; i < wal->segment_count; i++)
        if (wal->segments[i].timeline == timeline)
            return true;
    return false;
}

/* Timeline 1 has no history file; every other one must have it, or nobody knows where it began. */
static enum rc load_history(struct repo *r, const char *cluster, uint64_t system_identifier,
                            uint32_t timeline, struct history *ret, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(HISTORY_FILE_MAX);
    struct wal_info info;
    char file[WAL_NAME_MAX];
    const char *s = "";

    if (timeline > 1) {
        wal_name_history(timeline, file);
        enum rc rc = wal_get(r, cluster, system_identifier, file, &info, &text, err);
        if (rc == RC_NOT_FOUND) {
            error_set(err, RC_REFUSED, "the history of timeline %u is not in the archive",
                      timeline);
            error_on(err, "%s", file);
            return error_now(err, "choose another timeline with --target-timeline");
        }
        TRY(rc);
        TRY(buf_cstr(&text, &s, err));
    }
    return history_parse(timeline, s, ret, err);
}

enum rc branch_load(struct repo *r, const char *cluster, const struct cluster_system *system,
                    uint32_t timeline, uint32_t fallback, struct branch *ret, struct error *err)
{
    CLEANUP(cleanup_wal_list) struct wal_list *wal = NULL;
    struct history history;

    TRY(wal_list_load(r, cluster, system->system_identifier, system->wal_segment_bytes, &wal, err));
    if (timeline && !timeline_known(wal, timeline) && timeline != fallback) {
        error_set(err, RC_REFUSED, "timeline %u is not in the archive", timeline);
        error_on(err, "cluster %s", cluster);
        return error_now(err, "`pgproof info` lists the timelines that are there");
    }
    if (!timeline)
        timeline = newest_timeline(wal);
    if (!timeline)
        timeline = fallback;
    TRY(load_history(r, cluster, system->system_identifier, timeline, &history, err));
    ret->history = history;
    ret->wal = wal;
    ret->segment_bytes = system->wal_segment_bytes;
    wal = NULL;
    return RC_OK;
}

void branch_done(struct branch *b)
{
    history_done(&b->history);
    wal_list_free(b->wal);
    b->wal = NULL;
}

/* A segment in which the timeline changes exists under both; PostgreSQL takes the newer one. */
const struct wal_segment *branch_segment(const struct branch *b, uint64_t number)
{
    uint64_t begin = number * b->segment_bytes;
    uint32_t last = history_timeline_at(&b->history, begin + b->segment_bytes - 1);
    uint32_t first = history_timeline_at(&b->history, begin);
    const struct wal_segment *s = wal_list_find(b->wal, last, number);

    for (unsigned i = b->history.count; !s && i-- > 0;) {
        uint32_t timeline = b->history.entries[i].timeline;
        if (timeline >= first && timeline < last)
            s = wal_list_find(b->wal, timeline, number);
    }
    return s;
}

uint64_t branch_run_end(const struct branch *b, uint64_t first, bool *ret_beyond)
{
    uint64_t n = first;

    while (branch_segment(b, n))
        n++;
    *ret_beyond = false;
    for (size_t i = 0; i < b->wal->segment_count; i++)
        if (b->wal->segments[i].number > n && branch_segment(b, b->wal->segments[i].number))
            *ret_beyond = true;
    return n - 1;
}

void branch_segment_name(const struct branch *b, uint64_t number, char to[static WAL_NAME_MAX])
{
    wal_name_segment(history_timeline_at(&b->history, number * b->segment_bytes), number,
                     b->segment_bytes, to);
}
