#include "restore/wal_hole.h"

#include "archive/branch.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/recovery.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (16u << 20) /* history and configuration files */

/* What the check knows after listing. */
struct search {
    const struct wal_absence *a;
    const struct wal_list *list;
    uint64_t number;
    uint32_t timeline, segment_bytes;
};

/* ---- the data directory ---- */

/* Recycled segments wait in pg_wal under names of the future, with the content of the past: the
 * header decides. */
static bool in_pg_wal(const struct wal_absence *a)
{
    uint8_t page[512];
    struct wal_header h;
    struct stat st;
    struct error ignored;
    size_t len;

    if (!a->data_directory)
        return false;
    CLEANUP_FREE char *path = str_printf("%s/pg_wal/%s", a->data_directory, a->file);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size != a->system->wal_segment_bytes)
        return false;
    return file_pread(fd, page, sizeof page, 0, &len, path, &ignored) == RC_OK &&
           wal_header_read(page, len, &h, &ignored) == RC_OK &&
           h.system_identifier == a->system->system_identifier && h.timeline <= a->name.timeline &&
           h.page_lsn == a->name.number * a->system->wal_segment_bytes;
}

static bool file_mentions(const char *directory, const char *file, const char *word)
{
    CLEANUP_FREE char *path = path_join(directory, file);
    CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
    struct error ignored;

    return file_read(path, &text, &ignored) == RC_OK && text.len > 0 &&
           memmem(text.data, text.len, word, strlen(word));
}

/* The timeline to recover to as pgproof-restore wrote it; 0 where it is not told for certain: what
 * stands on the server's command line beats the file. */
static uint32_t target_timeline(const struct wal_absence *a)
{
    CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
    struct error ignored;
    uint64_t n;

    if (!a->data_directory ||
        file_mentions(a->data_directory, "postmaster.opts", "recovery_target_timeline"))
        return 0;
    CLEANUP_FREE char *path = path_join(a->data_directory, "postgresql.auto.conf");
    if (file_read(path, &text, &ignored) != RC_OK)
        return 0;
    CLEANUP_FREE char *value =
        conf_value((const char *)text.data, text.len, "recovery_target_timeline");
    return value && parse_u64(value, &n) && n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* ---- histories ---- */

/* RC_NOT_FOUND where it is neither archived nor in pg_wal. */
static enum rc find_history(const struct wal_absence *a, uint32_t timeline, struct history *ret,
                            struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
    char file[WAL_NAME_MAX];
    const char *s;
    enum rc rc =
        history_load(a->repo, a->cluster, a->system->system_identifier, timeline, ret, err);

    if (rc != RC_NOT_FOUND || !a->data_directory)
        return rc;
    wal_name_history(timeline, file);
    CLEANUP_FREE char *path = str_printf("%s/pg_wal/%s", a->data_directory, file);
    TRY(file_read(path, &text, err));
    TRY(buf_cstr(&text, &s, err));
    return history_parse(timeline, s, ret, err);
}

/* Where `h` says that the timeline ended; 0 if it is none of its ancestors. */
static uint64_t end_in(const struct history *h, uint32_t timeline)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->entries[i].timeline == timeline)
            return h->entries[i].end_lsn;
    return 0;
}

/* Before the timeline began? Unknown is no: then what is missing may be missed. */
static enum rc is_before(const struct search *s, bool *ret, struct error *err)
{
    struct history h;

    *ret = false;
    if (s->timeline == 1)
        return RC_OK;
    enum rc rc = find_history(s->a, s->timeline, &h, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    if (h.count)
        *ret = s->number < lsn_segment(h.entries[h.count - 1].end_lsn, s->segment_bytes);
    history_done(&h);
    return RC_OK;
}

/* Behind where the timeline to recover to left this one? Unknown is no. */
static enum rc is_behind(const struct search *s, bool *ret, struct error *err)
{
    uint32_t target = target_timeline(s->a);
    struct history h;

    *ret = false;
    if (target <= s->timeline)
        return RC_OK;
    enum rc rc = find_history(s->a, target, &h, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    uint64_t end = end_in(&h, s->timeline);
    *ret = end && s->number > lsn_segment_before(end, s->segment_bytes);
    history_done(&h);
    return RC_OK;
}

/* ---- what shows that the timeline went on ---- */

static bool later_segment(const struct search *s, char why[static WAL_HOLE_WHY_MAX])
{
    for (size_t i = 0; i < s->list->segment_count; i++) {
        const struct wal_segment *w = &s->list->segments[i];
        char file[WAL_NAME_MAX];
        if (w->timeline != s->timeline || w->number <= s->number)
            continue;
        wal_name_segment(w->timeline, w->number, s->segment_bytes, file);
        snprintf(why, WAL_HOLE_WHY_MAX, "%s is archived", file);
        return true;
    }
    return false;
}

/* The segment in which a timeline was left is not asked for: the child began with a copy of it, and
 * the original is often only there as .partial. */
static enum rc later_in_history(const struct search *s, bool *ret,
                                char why[static WAL_HOLE_WHY_MAX], struct error *err)
{
    bool later = false;

    for (size_t i = 0; i < s->list->history_count && !later; i++) {
        uint32_t child = s->list->histories[i];
        char lsn[LSN_TEXT_MAX];
        struct history h;
        if (child <= s->timeline)
            continue;
        TRY(find_history(s->a, child, &h, err));
        uint64_t end = end_in(&h, s->timeline);
        history_done(&h);
        later = end && s->number < lsn_segment(end, s->segment_bytes);
        if (later)
            snprintf(why, WAL_HOLE_WHY_MAX, "timeline %" PRIu32 " branched off only at %s", child,
                     lsn_text(end, lsn));
    }
    *ret = later;
    return RC_OK;
}

static enum rc search(const struct search *s, bool *ret, char why[static WAL_HOLE_WHY_MAX],
                      struct error *err)
{
    bool outside, hole = true;

    TRY(is_before(s, &outside, err));
    if (!outside)
        TRY(is_behind(s, &outside, err));
    if (outside)
        hole = false;
    else if (wal_list_find(s->list, s->timeline, s->number))
        snprintf(why, WAL_HOLE_WHY_MAX, "it is listed, and can't be read");
    else if (!later_segment(s, why))
        TRY(later_in_history(s, &hole, why, err));
    *ret = hole;
    return RC_OK;
}

enum rc wal_hole_check(const struct wal_absence *a, bool *ret, char why[static WAL_HOLE_WHY_MAX],
                       struct error *err)
{
    CLEANUP(cleanup_wal_list) struct wal_list *list = NULL;
    struct search s = {.a = a,
                       .number = a->name.number,
                       .timeline = a->name.timeline,
                       .segment_bytes = a->system->wal_segment_bytes};

    if (in_pg_wal(a)) {
        *ret = false;
        return RC_OK;
    }
    TRY(wal_list_load(a->repo, a->cluster, a->system->system_identifier, s.segment_bytes, &list,
                      err));
    s.list = list;
    enum rc rc = search(&s, ret, why, err);
    if (rc == RC_NOT_FOUND) /* a history file that was listed and is gone: nothing is proven */
        return error_reclass(err, RC_STORAGE);
    return rc;
}
