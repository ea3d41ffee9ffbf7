#include "backup/backup_run.h"

#include "app/app_keep.h"
#include "backup/backup_facts.h"
#include "backup/backup_locks.h"
#include "backup/config_files.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/recovery.h"

#include <string.h>

#define CONTROL_FILE   "global/pg_control"
#define BACKUP_LABEL   "backup_label"
#define TABLESPACE_MAP "tablespace_map"

void backup_run_init(struct backup_run *r, struct app *a, const struct backup_request *q)
{
    *r = (struct backup_run){
        .request = q,
        .at.app = a,
        .info = backup_info_new(),
        .manifest = manifest_new(),
        .control_file = BUF_INIT(CONTROL_FILE_BYTES),
        .began = clock_monotonic(),
    };
}

void backup_run_done(struct backup_run *r)
{
    preflight_done(&r->at);
    backup_info_free(r->info);
    manifest_free(r->manifest);
    buf_done(&r->control_file);
    backup_stop_done(&r->stop);
}

enum rc backup_run_scan(struct backup_run *r, struct error *err)
{
    r->scan_options = (struct scan_options){
        .data_directory = r->at.app->config->data_directory,
        .pg_major = r->at.control.pg_major,
        .catalog_version = r->at.control.catalog_version,
    };
    return scan_data_directory(&r->scan_options, r->manifest, &r->scan, err);
}

static enum rc session_still_there(void *ctx, struct error *err)
{
    struct backup_run *r = ctx;
    if (session_alive(r->at.session))
        return RC_OK;
    error_set(err, RC_DATABASE,
              "the session that began the backup was lost, so the backup is void");
    return error_now(err, "see the server's log, then run the backup again");
}

static void set_copy_options(struct backup_run *r)
{
    const struct config *c = r->at.app->config;
    r->copy_options = (struct copy_options){
        .repo = r->at.repo,
        .cluster = c->cluster,
        .data_directory = c->data_directory,
        .system_identifier = r->at.facts.system_identifier,
        .page_bytes = r->at.control.page_bytes,
        .relation_segment_pages = r->at.control.relation_segment_pages,
        .data_checksums = r->at.control.data_checksum_version != 0,
        .jobs = c->jobs > 0 ? c->jobs : 1,
        .zstd_level = c->zstd_level,
        .paranoid = r->request->paranoid,
        .progress = &r->progress,
        .poll = session_still_there,
        .poll_ctx = r,
    };
}

static enum rc copy_with_progress(struct backup_run *r, struct error *err)
{
    r->progress.bytes_total = r->scan.size_bytes;
    r->progress.files_total = r->scan.file_count;
    r->progress.phase = "copying files";
    struct app_progress *shown = app_progress_start(r->at.app, &r->progress);
    enum rc rc = copy_files(&r->copy_options, r->manifest, &r->copy, err);
    app_progress_stop(shown);
    return rc;
}

/* Where locks can't be had, it shows here, not after hours. */
static enum rc keep_by_tier(struct backup_run *r, struct error *err)
{
    const char *tier = r->request->tier;
    const struct app *a = r->at.app;
    r->at.repo->locked_until = app_locked_until(a, r->info->start_time, app_keep_seconds(a, tier));
    r->at.repo->data_class = app_storage_class(a, tier);
    return store_lock(r->at.repo->store, REPOSITORY_OBJECT, r->at.repo->locked_until, err);
}

/* From here on the server is in backup mode, until the session ends. */
static enum rc start_and_copy(struct backup_run *r, struct error *err)
{
    const struct backup_request *q = r->request;
    struct backup_start start;
    CLEANUP_FREE char *label =
        q->label[0] ? str_dup(q->label) : str_printf("pgproof %s", r->info->id);
    app_say(r->at.app,
            q->fast ? "starting backup %s" : "starting backup %s: waiting for a checkpoint",
            r->info->id);
    TRY(backup_start(r->at.session, label, q->fast, &start, err));
    r->info->start_lsn = start.start_lsn;
    r->info->start_time = start.time;
    TRY(keep_by_tier(r, err));

    const double began = clock_monotonic();
    TRY(backup_run_scan(r, err));
    TRY(copy_with_progress(r, err));
    TRY(scan_check_tablespaces(&r->scan_options, &r->scan, err));
    TRY(control_read(r->at.app->config->data_directory, &r->at.control, &r->control_file, err));
    if (r->at.control.system_identifier != r->at.facts.system_identifier)
        return error_set(err, RC_INTEGRITY, "pg_control became another system's during the backup");
    r->info->seconds_copy = clock_monotonic() - began;
    return RC_OK;
}

static enum rc stop_backup(struct backup_run *r, struct error *err)
{
    TRY(backup_stop(r->at.session, &r->stop, err));
    struct backup_label label;
    TRY(backup_label_parse(r->stop.label_file, &label, err));
    if (label.start_lsn != r->info->start_lsn)
        return error_set(err, RC_DATABASE, "the server's backup_label is of another backup");
    struct backup_info *b = r->info;
    b->stop_lsn = r->stop.stop_lsn;
    b->stop_time = r->stop.time;
    b->next_xid = r->stop.next_xid;
    b->checkpoint_lsn = label.checkpoint_lsn;
    b->timeline = label.timeline ? label.timeline : r->at.control.checkpoint_timeline;
    r->first_segment = lsn_segment(b->start_lsn, r->at.facts.wal_segment_bytes);
    r->last_segment = lsn_segment_before(b->stop_lsn, r->at.facts.wal_segment_bytes);
    return RC_OK;
}

/* pg_control, and what the server returned at the stop, byte for byte. */
static enum rc add_last_files(struct backup_run *r, struct error *err)
{
    const struct copy_memory files[] = {
        {CONTROL_FILE, r->control_file.data, r->control_file.len},
        {BACKUP_LABEL, r->stop.label_file, strlen(r->stop.label_file)},
        {TABLESPACE_MAP, r->stop.map_file, strlen(r->stop.map_file)},
    };
    const struct copy_owner owner = {r->scan.file_mode, r->scan.owner, r->scan.group};
    uint64_t stored = 0;
    TRY(copy_memory_files(&r->copy_options, r->manifest, files, r->stop.map_file[0] ? 3 : 2, &owner,
                          &stored, err));
    r->copy.stored_bytes += stored;
    return RC_OK;
}

/* Rows not counted make no backup worse. */
static enum rc count_rows(struct backup_run *r, struct error *err)
{
    if (!r->request->row_counts)
        return RC_OK;
    app_say(r->at.app, "counting rows");
    struct error why;
    enum rc rc = row_counter_note(r->at.app, &r->at.wal, r->info->id, &r->rows, &why);
    if (rc == RC_CANCELLED) {
        *err = why;
        return rc;
    }
    if (rc != RC_OK) {
        str_copy(r->rows_problem, sizeof r->rows_problem, why.what);
        log_warning("row counts are not noted with this backup: %s", why.what);
        return RC_OK;
    }
    r->have_rows = true;
    r->info->witness = arena_strdup(r->info->arena, r->rows.name.text);
    return RC_OK;
}

/* A restore needs WAL up to the stop, a drill up to the row counts. */
static uint64_t last_needed(const struct backup_run *r)
{
    return r->have_rows && r->rows.segment > r->last_segment ? r->rows.segment : r->last_segment;
}

static enum rc wait_for_wal(struct backup_run *r, struct error *err)
{
    const double began = clock_monotonic();
    const uint64_t last = last_needed(r);
    char first_file[WAL_NAME_MAX], last_file[WAL_NAME_MAX];
    wal_name_segment(r->info->timeline, r->first_segment, r->at.facts.wal_segment_bytes,
                     first_file);
    wal_name_segment(r->info->timeline, last, r->at.facts.wal_segment_bytes, last_file);
    app_say(r->at.app, "waiting for WAL %s to %s in the repository", first_file, last_file);
    enum rc rc = wait_wal_range(&r->at.wal, r->info->timeline, r->first_segment, last, err);
    if (rc != RC_OK)
        return error_prefix(err, "the backup lacks WAL that it needs, so it is void");
    r->info->seconds_wal = clock_monotonic() - began;
    return RC_OK;
}

static enum rc lock_needs(struct backup_run *r, struct error *err)
{
    const struct backup_needs n = {
        .cluster = r->at.app->config->cluster,
        .info = r->info,
        .manifest = r->manifest,
        .first_segment = r->first_segment,
        .last_segment = last_needed(r),
    };
    return backup_lock_needs(&n, r->at.repo, r->copy_options.jobs, err);
}

static enum rc commit(struct backup_run *r, struct error *err)
{
    const char *cluster = r->at.app->config->cluster;
    TRY(backup_check_packs(r->at.repo, cluster, r->manifest, err));
    TRY(lock_needs(r, err));
    note_sizes(r->manifest, &r->copy, r->info);
    r->info->seconds_total = clock_monotonic() - r->began;
    TRY(cancel_check(err));
    return backup_commit(r->at.repo, cluster, r->info, r->manifest, err);
}

static void describe(struct backup_run *r)
{
    struct backup_info *b = r->info;
    r->manifest->system_identifier = r->at.facts.system_identifier;
    b->label = arena_strdup(b->arena, r->request->label);
    b->tier = arena_strdup(b->arena, r->request->tier);
    note_server(&r->at, b);
}

enum rc backup_run_take(struct backup_run *r, struct error *err)
{
    describe(r);
    set_copy_options(r);
    TRY(preflight_begin(&r->at, r->info, err));
    str_copy(r->manifest->backup_id, sizeof r->manifest->backup_id, r->info->id);
    TRY(start_and_copy(r, err));
    TRY(note_tablespaces(r->at.session, &r->scan, r->info, err));
    TRY(note_settings(r->at.session, r->info, err));
    TRY(note_config_files(r->at.session, r->at.app->config->data_directory, r->info, err));
    TRY(stop_backup(r, err));
    TRY(add_last_files(r, err));
    TRY(count_rows(r, err));
    TRY(wait_for_wal(r, err));
    return commit(r, err);
}
