#include "pgproof/wal_window.h"

#include "archive/branch.h"
#include "base/mem.h"
#include "base/str.h"

struct wal_run *wal_runs(const struct wal_list *l, size_t *ret_count)
{
    struct wal_run *runs = NULL;
    size_t count = 0, capacity = 0;

    for (size_t i = 0; i < l->segment_count; i++) {
        const struct wal_segment *s = &l->segments[i];
        struct wal_run *before = count ? &runs[count - 1] : NULL;

        if (!before || before->timeline != s->timeline || before->last + 1 != s->number) {
            runs = mem_grow(runs, count, &capacity, sizeof(*runs));
            before = &runs[count++];
            before->timeline = s->timeline;
            before->first = s->number;
        }
        before->last = s->number;
        before->newest = s->stored;
    }
    *ret_count = count;
    return runs;
}

struct finder {
    struct window *windows;
    size_t count, capacity;
};

static void finish_window(struct window *w, const struct branch *v)
{
    uint64_t next = 0;

    w->hole = branch_next(v, w->last, &next);
    w->hole_last = w->hole ? next - 1 : 0;
}

static void open_window(struct finder *f, const struct branch *v, const struct backup_info *b,
                        uint64_t first, uint64_t last, bool beside)
{
    const struct wal_segment *s = branch_segment(v, last);

    f->windows = mem_grow(f->windows, f->count, &f->capacity, sizeof(*f->windows));
    struct window *w = &f->windows[f->count++];
    *w = (struct window){.timeline = s->timeline,
                         .first = first,
                         .last = last,
                         .from = b->stop_time,
                         .to = s->stored > b->stop_time ? s->stored : b->stop_time,
                         .from_lsn = b->stop_lsn,
                         .first_backup = b->id,
                         .last_backup = b->id,
                         .beside = beside};
    finish_window(w, v);
}

/* The window that a backup lies in already: it adds nothing to what can be reached. */
static struct window *covering_window(struct finder *f, const struct backup_info *b, uint64_t first,
                                      uint64_t needed, bool beside)
{
    for (size_t i = f->count; i-- > 0;) {
        struct window *w = &f->windows[i];
        if (w->beside == beside && (!beside || w->timeline == b->timeline) && first >= w->first &&
            needed <= w->last)
            return w;
    }
    return NULL;
}

static void place_backup(struct finder *f, const struct branch *v, const struct backup_info *b,
                         struct backup_standing *standing)
{
    uint64_t first = lsn_segment(b->start_lsn, v->segment_bytes);
    uint64_t needed = lsn_segment_before(b->stop_lsn, v->segment_bytes);
    struct window *w = covering_window(f, b, first, needed, standing->beside);

    if (w) {
        w->last_backup = b->id;
        return;
    }
    uint64_t last = branch_run_end(v, first);
    if (last < needed || last + 1 == first) {
        standing->state = BACKUP_WAL_MISSING;
        branch_segment_name(v, last + 1, standing->missing);
        return;
    }
    open_window(f, v, b, first, last, standing->beside);
}

void windows_find(const struct catalog *catalog, uint64_t system_identifier, uint32_t segment_bytes,
                  const struct wal_list *l, const struct history *h,
                  struct backup_standing *standing, struct window **ret, size_t *ret_count)
{
    struct branch newest = {.history = h, .wal = l, .segment_bytes = segment_bytes};
    struct finder f = {0};

    for (size_t i = 0; i < catalog->count; i++) {
        const struct backup_info *b = catalog->entries[i].info;

        if (!b || b->system_identifier != system_identifier) {
            standing[i].state = b ? BACKUP_OTHER : BACKUP_BROKEN;
            continue;
        }
        struct history own = {.timeline = b->timeline};
        struct branch beside = newest;
        beside.history = &own;
        standing[i].state = BACKUP_USABLE;
        standing[i].beside = !history_contains(h, b->timeline, b->stop_lsn);
        place_backup(&f, standing[i].beside ? &beside : &newest, b, &standing[i]);
    }
    *ret = f.windows;
    *ret_count = f.count;
}
