#include "restore/wal_fetch.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/recovery.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_FILE_MAX (16u << 20)
#define RETRY_MS       1000

static bool exists_below(const char *dir, const char *name)
{
    CLEANUP_FREE char *path = path_join(dir, name);

    return file_exists(path);
}

static bool is_standby(const struct fetch *f)
{
    return f->data_directory && exists_below(f->data_directory, "standby.signal");
}

/* The postmaster notes "ready" in the eighth line of postmaster.pid when recovery has reached
 * consistency and it accepts connections. */
bool fetch_for_consistent_standby(const char *data_directory)
{
    CLEANUP_FREE char *path = path_join(data_directory, "postmaster.pid");
    CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE_MAX);
    struct error ignored;
    const char *line;

    if (!exists_below(data_directory, "standby.signal") ||
        file_read(path, &text, &ignored) != RC_OK || buf_cstr(&text, &line, &ignored) != RC_OK)
        return false;
    for (int i = 1; i < 8 && line; i++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line && str_starts(line, "ready");
}

/* The timeline that recovery wants to end on, as pgproof-restore wrote it; 0 where it is not told.
 */
static uint32_t target_timeline(const struct fetch *f)
{
    CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE_MAX);
    struct error ignored;
    uint64_t n = 0;

    if (!f->data_directory)
        return 0;
    CLEANUP_FREE char *path = path_join(f->data_directory, "postgresql.auto.conf");
    if (file_read(path, &text, &ignored) != RC_OK)
        return 0;
    CLEANUP_FREE char *value =
        conf_value((const char *)text.data, text.len, "recovery_target_timeline");
    return value && parse_u64(value, &n) && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static enum rc read_history(const struct fetch *f, uint32_t timeline, struct history *ret,
                            struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE_MAX);
    struct wal_info info;
    char file[WAL_NAME_MAX];
    const char *s = "";

    if (timeline > 1) {
        wal_name_history(timeline, file);
        TRY(wal_get(f->repo, f->cluster, f->system.system_identifier, file, &info, &text, err));
        TRY(buf_cstr(&text, &s, err));
    }
    return history_parse(timeline, s, ret, err);
}

/*
 * A timeline's own range begins where it left its parent and, seen from the timeline that recovery
 * wants, ends where that way leaves it. Outside of it a segment is rightly absent. A history file
 * that is not there bounds nothing.
 */
static enum rc in_own_range(const struct fetch *f, bool *ret, struct error *err)
{
    uint64_t begin = f->name.number * f->system.wal_segment_bytes;
    uint64_t end = begin + f->system.wal_segment_bytes;
    uint32_t target = target_timeline(f);
    struct history h;
    bool in = true;

    enum rc rc = read_history(f, f->name.timeline, &h, err);
    if (rc == RC_OK) {
        in = !h.count || h.entries[h.count - 1].end_lsn < end;
        history_done(&h);
    } else if (rc != RC_NOT_FOUND) {
        return rc;
    }
    if (in && target > f->name.timeline) {
        rc = read_history(f, target, &h, err);
        if (rc == RC_OK) {
            in = history_contains(&h, f->name.timeline, begin);
            history_done(&h);
        } else if (rc != RC_NOT_FOUND) {
            return rc;
        }
    }
    *ret = in;
    return RC_OK;
}

/* Is a later segment of this timeline archived? */
static enum rc later_archived(const struct fetch *f, bool *ret, struct error *err)
{
    CLEANUP(cleanup_wal_list) struct wal_list *list = NULL;

    TRY(wal_list_load(f->repo, f->cluster, f->system.system_identifier, f->system.wal_segment_bytes,
                      &list, err));
    *ret = false;
    for (size_t i = 0; i < list->segment_count; i++)
        if (list->segments[i].timeline == f->name.timeline &&
            list->segments[i].number > f->name.number)
            *ret = true;
    return RC_OK;
}

static enum rc is_hole(const struct fetch *f, bool *ret, struct error *err)
{
    bool answer = false;

    if (f->name.kind == WAL_SEGMENT && !is_standby(f)) {
        CLEANUP_FREE char *in_pg_wal = path_join("pg_wal", f->file);
        TRY(later_archived(f, &answer, err));
        if (answer && f->data_directory && exists_below(f->data_directory, in_pg_wal))
            answer = false;
        if (answer)
            TRY(in_own_range(f, &answer, err));
    }
    *ret = answer;
    return RC_OK;
}

static enum rc hole_error(const struct fetch *f, struct error *err)
{
    error_set(err, RC_INTEGRITY,
              "a WAL segment is missing from the archive, and later ones are "
              "there: this is a hole, not the end");
    error_on(err, "%s of cluster %s in %s", f->file, f->cluster, f->repo->store->where);
    return error_now(err, "if the server that wrote it still has it in pg_wal, archive it with "
                          "pgproof-wal-push; else restore to a moment before it, or from a later "
                          "backup");
}

static enum rc put_in_place(const struct fetch *f, const struct buf *content, struct error *err)
{
    if (f->name.kind == WAL_SEGMENT || f->name.kind == WAL_PARTIAL) {
        if (content->len != f->system.wal_segment_bytes) {
            error_set(err, RC_INTEGRITY, "the archived WAL segment is %zu bytes long, not %u",
                      content->len, f->system.wal_segment_bytes);
            return error_on(err, "%s", f->file);
        }
        TRY(wal_header_check(content->data, content->len, f->file, f->system.system_identifier,
                             f->system.wal_segment_bytes, err));
    }
    return file_replace(f->path, content->data, content->len, 0600, err);
}

static enum rc try_once(const struct fetch *f, struct error *err)
{
    CLEANUP_BUF struct buf content = BUF_INIT(WAL_PLAIN_MAX);
    struct wal_info info;

    TRY(wal_get(f->repo, f->cluster, f->system.system_identifier, f->file, &info, &content, err));
    return put_in_place(f, &content, err);
}

enum rc fetch_file(const struct fetch *f, struct error *err)
{
    double until = clock_monotonic() + f->hole_wait_seconds;

    for (;;) {
        enum rc rc = try_once(f, err);
        bool hole = false;
        if (rc != RC_NOT_FOUND)
            return rc;
        struct error absent = *err;
        TRY(is_hole(f, &hole, err));
        if (!hole) {
            *err = absent;
            return RC_NOT_FOUND;
        }
        if (clock_monotonic() >= until)
            return hole_error(f, err);
        TRY(cancel_check(err)); /* pushes may arrive out of order: it may be on its way */
        clock_sleep_ms(RETRY_MS);
    }
}
