#include "restore/wal_fetch.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/lsn.h"
#include "restore/wal_hole.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS     1000
#define PID_FILE_MAX (1u << 16)

/* ---- the file itself ---- */

static enum rc check_content(const struct wal_fetch *f, const struct wal_name *name,
                             const struct buf *content, struct error *err)
{
    if (name->kind != WAL_SEGMENT && name->kind != WAL_PARTIAL)
        return RC_OK;
    if (wal_header_check(content->data, content->len, f->file, f->system.system_identifier,
                         f->system.wal_segment_bytes, err) == RC_OK)
        return RC_OK;
    error_prefix(err, "what is archived under this name is not that segment");
    return error_now(err, "run 'pgproof-verify data' to see what else is damaged");
}

/* RC_NOT_FOUND: the store said that there is no such object. */
static enum rc try_once(const struct wal_fetch *f, const struct wal_name *name, struct error *err)
{
    CLEANUP_BUF struct buf content = BUF_INIT(WAL_PLAIN_MAX);
    struct wal_info info;

    enum rc rc =
        wal_get(f->repo, f->cluster, f->system.system_identifier, f->file, &info, &content, err);
    if (rc == RC_INTEGRITY)
        error_now(err,
                  "if the server that wrote it still has it in pg_wal, move this object out of "
                  "the repository and archive the file again there; else restore to a moment "
                  "before it");
    TRY(rc);
    TRY(check_content(f, name, &content, err));
    rc = file_replace(f->path, content.data, content.len, 0600, err);
    if (rc != RC_OK)
        error_prefix(err, "could not put the WAL file in its place");
    return rc == RC_NOT_FOUND ? error_reclass(err, RC_SYSTEM) : rc;
}

/* ---- absence ---- */

static enum rc say_hole(const struct wal_fetch *f, const char *why, struct error *err)
{
    error_set(
        err, RC_INTEGRITY,
        "WAL segment %s is missing from the archive, but the timeline goes on behind it (%s): "
        "this is a hole, not the end of the WAL",
        f->file, why);
    error_on(err, "cluster %s in %s", f->cluster, f->repo->store->where);
    return error_now(err, "if the server that wrote it still has it in pg_wal, archive it there "
                          "with pgproof-wal-push; else restore to a moment before it, or from a "
                          "backup that ends after it");
}

/* A standby asks again by itself, so it is told at once. */
static enum rc explain_absence(const struct wal_fetch *f, const struct wal_name *name,
                               bool *ret_hole, char why[static WAL_HOLE_WHY_MAX], struct error *err)
{
    const struct wal_absence a = {.repo = f->repo,
                                  .cluster = f->cluster,
                                  .system = &f->system,
                                  .data_directory = f->data_directory,
                                  .file = f->file,
                                  .name = *name};

    if (name->kind == WAL_SEGMENT && !f->standby)
        return wal_hole_check(&a, ret_hole, why, err);
    *ret_hole = false;
    return RC_OK;
}

enum rc wal_fetch(const struct wal_fetch *f, enum wal_fetch_answer *ret, struct error *err)
{
    double until = clock_monotonic() + f->hole_wait_seconds;
    char why[WAL_HOLE_WHY_MAX];
    struct wal_name name;
    bool hole;

    if (!wal_name_parse(f->file, f->system.wal_segment_bytes, &name)) {
        error_set(err, RC_USAGE, "this is not the name of a WAL file of this cluster");
        error_on(err, "%s", f->file);
        return error_now(err, "give a name and a path, as restore_command's %%f and %%p do");
    }
    for (;;) {
        enum rc rc = try_once(f, &name, err);
        if (rc == RC_OK)
            *ret = WAL_FETCHED;
        if (rc != RC_NOT_FOUND)
            return rc;
        TRY(explain_absence(f, &name, &hole, why, err));
        if (!hole) {
            *ret = WAL_ABSENT;
            return RC_OK;
        }
        if (clock_monotonic() >= until)
            return say_hole(f, why, err);
        clock_sleep_ms(RETRY_MS);
        TRY(cancel_check(err));
    }
}

/* ---- standbys ---- */

static bool has(const char *data_directory, const char *file)
{
    CLEANUP_FREE char *path = path_join(data_directory, file);

    return file_exists(path);
}

bool wal_fetch_is_standby(const char *data_directory)
{
    return has(data_directory, "standby.signal");
}

/* In the eighth line of postmaster.pid the server notes that it takes connections, which a hot
 * standby does from consistency on. */
static bool takes_connections(const char *data_directory)
{
    CLEANUP_FREE char *path = path_join(data_directory, "postmaster.pid");
    CLEANUP_BUF struct buf text = BUF_INIT(PID_FILE_MAX);
    struct error ignored;
    const char *line;

    if (file_read(path, &text, &ignored) != RC_OK || buf_cstr(&text, &line, &ignored) != RC_OK)
        return false;
    for (int n = 1; n < 8 && line; n++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line && str_starts(line, "ready");
}

/* Without hot_standby pg_control must do: who asks for a segment has replayed all before it. */
static bool replayed_enough(const char *data_directory, const char *file)
{
    struct control c;
    struct error ignored;
    struct wal_name name;

    return !has(data_directory, "backup_label") &&
           control_read(data_directory, &c, NULL, &ignored) == RC_OK &&
           c.state == CONTROL_IN_ARCHIVE_RECOVERY && c.backup_start_lsn == 0 &&
           c.min_recovery_lsn != 0 && wal_name_parse(file, c.wal_segment_bytes, &name) &&
           name.kind == WAL_SEGMENT && name.number * c.wal_segment_bytes >= c.min_recovery_lsn;
}

bool wal_fetch_standby_can_wait(const char *data_directory, const char *file)
{
    return wal_fetch_is_standby(data_directory) &&
           (takes_connections(data_directory) || replayed_enough(data_directory, file));
}
