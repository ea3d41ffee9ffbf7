/*
 * pgproof-backup: a full backup of a local data directory. The order of its steps is what makes a
 * backup that can be restored (docs/design.md): nothing is listed before backup.json is written,
 * and that is written last.
 */
#include "app/app.h"
#include "app/app_open.h"
#include "archive/wait_wal.h"
#include "backup/backup_report.h"
#include "backup/config_files.h"
#include "backup/copy.h"
#include "backup/row_counter.h"
#include "backup/scan.h"
#include "backup/start_stop.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/recovery.h"
#include "repo/backup.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define STALE_SECONDS  (24 * 3600)
#define LABEL_MAX      512
#define ID_WAIT_TRIES  5
#define CONTROL_FILE   "global/pg_control"
#define BACKUP_LABEL   "backup_label"
#define TABLESPACE_MAP "tablespace_map"

struct request {
    const char *tier;
    const char *label;
    bool fast, row_counts, paranoid, dry_run;
};

/* Everything of one run, in the order in which it comes to be. */
struct run {
    struct app *app;
    struct request request;
    struct repo *repo;
    struct session *session;
    struct server_facts facts;
    struct control control;
    struct cluster_system system;
    struct wait_wal wal;
    struct lease *lease;
    struct backup_info *info;
    struct manifest *manifest;
    struct scan_options scan_options;
    struct scan_result scan;
    struct copy_options copy_options;
    struct copy_result copy;
    struct buf control_file;
    struct backup_stop stop;
    struct row_counter_result rows;
    bool have_rows;
    char rows_problem[1024];
    uint64_t first_segment, last_segment;
    struct progress progress;
    double began;
};

static void run_done(struct run *r)
{
    lease_release(r->lease);
    session_close(r->session);
    backup_info_free(r->info);
    manifest_free(r->manifest);
    buf_done(&r->control_file);
    backup_stop_done(&r->stop);
    repo_close(r->repo);
}

/* ---- the command line ---- */

static enum rc check_tier(const struct config *c, const char *name, struct error *err)
{
    CLEANUP_FREE const char **known = mem_array(NULL, c->tier_count + 1, sizeof(char *));
    for (size_t i = 0; i < c->tier_count; i++) {
        known[i] = c->tiers[i].name;
        if (str_eq(c->tiers[i].name, name))
            return RC_OK;
    }
    known[c->tier_count] = NULL;
    const char *near = str_nearest(name, known);
    error_set(err, RC_USAGE, "there is no tier \"%s\"", name);
    error_on(err, "--tier");
    return error_now(
        err, near ? "did you mean --tier=%s?" : "add a section [tier:%s] to the configuration",
        near ? near : name);
}

static enum rc check_label(const char *label, struct error *err)
{
    bool good = strlen(label) <= LABEL_MAX;
    for (const char *p = label; *p; p++)
        good = good && !iscntrl((unsigned char)*p);
    if (good)
        return RC_OK;
    error_set(err, RC_USAGE, "a label is one line of at most %d bytes", LABEL_MAX);
    return error_on(err, "--label");
}

static enum rc read_request(const struct app *a, struct request *q, struct error *err)
{
    const char *type = app_value(a, "type"), *checkpoint = app_value(a, "checkpoint");
    const char *tier = app_value(a, "tier"), *label = app_value(a, "label");
    if (type && !str_eq(type, "full")) {
        error_set(err, RC_USAGE, "backups of type \"%s\" can't be taken yet, only full ones", type);
        error_on(err, "--type");
        return error_now(err, "leave the option out");
    }
    if (checkpoint && !str_eq(checkpoint, "fast") && !str_eq(checkpoint, "spread")) {
        error_set(err, RC_USAGE, "\"%s\" is no kind of checkpoint", checkpoint);
        error_on(err, "--checkpoint");
        return error_now(err, "say fast (now) or spread (easy on the disk, takes minutes)");
    }
    if (tier)
        TRY(check_tier(a->config, tier, err));
    if (label)
        TRY(check_label(label, err));
    *q = (struct request){
        .tier = tier ? tier : "",
        .label = label ? label : "",
        .fast = !checkpoint || str_eq(checkpoint, "fast"),
        .row_counts = a->config->row_counts && !app_switch(a, "no-row-counts"),
        .paranoid = app_switch(a, "paranoid"),
        .dry_run = app_switch(a, "dry-run"),
    };
    return RC_OK;
}

/* ---- before the backup ---- */

static enum rc open_and_check(struct run *r, struct error *err)
{
    const struct config *c = r->app->config;
    TRY(config_need(c, "cluster", "data-directory", err));
    TRY(app_open_repo(r->app, &r->repo, err));
    TRY(app_open_session(r->app, NULL, &r->session, err));
    TRY(session_facts(r->session, &r->facts, err));
    TRY(backup_refuse_unfit(&r->facts, err));
    TRY(backup_check_directory(&r->facts, c->data_directory, &r->control, err));
    TRY(app_check_system(r->app, r->repo, r->facts.system_identifier, &r->system, err));
    r->scan_options = (struct scan_options){
        .data_directory = c->data_directory,
        .pg_major = r->control.pg_major,
        .catalog_version = r->control.catalog_version,
    };
    r->wal = (struct wait_wal){
        .repo = r->repo,
        .session = r->session,
        .cluster = c->cluster,
        .system_identifier = r->facts.system_identifier,
        .segment_bytes = r->facts.wal_segment_bytes,
        .timeout_seconds = c->archive_timeout_seconds,
    };
    return RC_OK;
}

static enum rc sweep(struct run *r, struct error *err)
{
    unsigned removed = 0;
    TRY(store_sweep(r->repo->store, clock_now() - (moment_us)STALE_SECONDS * 1000000, &removed,
                    err));
    if (removed > 0)
        log_info("removed %u temporary files that killed writers left in the repository", removed);
    return RC_OK;
}

static enum rc id_is_taken(struct run *r, const char *id, bool *ret, struct error *err)
{
    static const char *const parts[] = {"backup.json", "manifest", "packs"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct store_info info;
        enum rc rc = store_head(
            r->repo->store, name_backup(r->app->config->cluster, id, parts[i]).text, &info, err);
        if (rc != RC_OK && rc != RC_NOT_FOUND)
            return rc;
        if (rc == RC_OK) {
            *ret = true;
            return RC_OK;
        }
    }
    *ret = false;
    return RC_OK;
}

/* The id is the server's time in seconds; one that is taken (also by a run that died while it
 * wrote its manifest) makes us wait for the next second. */
static enum rc choose_id(struct run *r, struct error *err)
{
    for (int i = 0; i < ID_WAIT_TRIES; i++) {
        moment_us now;
        bool taken = false;
        TRY(backup_server_clock(r->session, &now, err));
        backup_id_from(now, r->info->id);
        TRY(id_is_taken(r, r->info->id, &taken, err));
        if (!taken)
            return RC_OK;
        clock_sleep_ms(1000);
        TRY(cancel_check(err));
    }
    error_set(err, RC_REFUSED, "the backup id %s is taken", r->info->id);
    return error_now(err, "check the server's clock: it seems to stand still");
}

/* Each backup names the one before, so that a missing one shows. One that is damaged for good must
 * not stop new backups; where asking again may help, passing it over would lose the link. */
static enum rc note_previous(struct run *r, struct error *err)
{
    CLEANUP(cleanup_catalog) struct catalog *catalog = NULL;
    TRY(catalog_load(r->repo, r->app->config->cluster, &catalog, err));
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *e = &catalog->entries[i];
        if (!e->info && e->problem.transient) {
            *err = e->problem;
            return error_prefix(err, "could not read backup %s, which this one must name", e->id);
        }
        if (!e->info) {
            log_warning("backup %s can't be read: %s", e->id, e->problem.what);
            continue;
        }
        str_copy(r->info->previous_id, sizeof r->info->previous_id, e->id);
        r->info->previous_digest = e->info->digest;
        if (strcmp(e->id, r->info->id) >= 0)
            log_warning("backup %s lies in the future of the server's clock", e->id);
    }
    return RC_OK;
}

static enum rc prepare(struct run *r, struct error *err)
{
    TRY(backup_lock(r->session, err));
    TRY(lease_take(r->repo, r->app->config->cluster, "backup", &r->lease, err));
    TRY(sweep(r, err));
    TRY(choose_id(r, err));
    TRY(note_previous(r, err));
    app_say(r->app, "checking that WAL arrives in the repository");
    return wait_wal_prove(&r->wal, err);
}

/* ---- the backup ---- */

static enum rc session_still_there(void *ctx, struct error *err)
{
    struct run *r = ctx;
    if (session_alive(r->session))
        return RC_OK;
    error_set(err, RC_DATABASE,
              "the session that began the backup was lost, so the backup is void");
    return error_now(err, "see the server's log, then run the backup again");
}

static void set_copy_options(struct run *r)
{
    const struct config *c = r->app->config;
    r->copy_options = (struct copy_options){
        .repo = r->repo,
        .cluster = c->cluster,
        .data_directory = c->data_directory,
        .system_identifier = r->facts.system_identifier,
        .page_bytes = r->control.page_bytes,
        .relation_segment_pages = r->control.relation_segment_pages,
        .data_checksums = r->control.data_checksum_version != 0,
        .jobs = c->jobs > 0 ? c->jobs : 1,
        .zstd_level = c->zstd_level,
        .paranoid = r->request.paranoid,
        .progress = &r->progress,
        .poll = session_still_there,
        .poll_ctx = r,
    };
}

static enum rc copy_with_progress(struct run *r, struct error *err)
{
    r->progress.bytes_total = r->scan.size_bytes;
    r->progress.files_total = r->scan.file_count;
    r->progress.phase = "copying files";
    struct app_progress *shown = app_progress_start(r->app, &r->progress);
    enum rc rc = copy_files(&r->copy_options, r->manifest, &r->copy, err);
    app_progress_stop(shown);
    return rc;
}

/* From here on the server is in backup mode, until the session ends. */
static enum rc start_and_copy(struct run *r, struct error *err)
{
    const struct request *q = &r->request;
    struct backup_start start;
    CLEANUP_FREE char *label =
        q->label[0] ? str_dup(q->label) : str_printf("pgproof %s", r->info->id);
    app_say(r->app, q->fast ? "starting backup %s" : "starting backup %s: waiting for a checkpoint",
            r->info->id);
    TRY(backup_start(r->session, label, q->fast, &start, err));
    r->info->start_lsn = start.start_lsn;
    r->info->start_time = start.time;

    const double began = clock_monotonic();
    TRY(scan_data_directory(&r->scan_options, r->manifest, &r->scan, err));
    TRY(copy_with_progress(r, err));
    TRY(scan_check_tablespaces(&r->scan_options, &r->scan, err));
    TRY(control_read(r->app->config->data_directory, &r->control, &r->control_file, err));
    if (r->control.system_identifier != r->facts.system_identifier)
        return error_set(err, RC_INTEGRITY, "pg_control became another system's during the backup");
    r->info->seconds_copy = clock_monotonic() - began;
    return RC_OK;
}

static enum rc stop_backup(struct run *r, struct error *err)
{
    TRY(backup_stop(r->session, &r->stop, err));
    struct backup_label label;
    TRY(backup_label_parse(r->stop.label_file, &label, err));
    if (label.start_lsn != r->info->start_lsn)
        return error_set(err, RC_DATABASE, "the server's backup_label is of another backup");
    struct backup_info *b = r->info;
    b->stop_lsn = r->stop.stop_lsn;
    b->stop_time = r->stop.time;
    b->next_xid = r->stop.next_xid;
    b->checkpoint_lsn = label.checkpoint_lsn;
    b->timeline = label.timeline ? label.timeline : r->control.checkpoint_timeline;
    r->first_segment = lsn_segment(b->start_lsn, r->facts.wal_segment_bytes);
    r->last_segment = lsn_segment_before(b->stop_lsn, r->facts.wal_segment_bytes);
    return RC_OK;
}

/* pg_control, and what the server returned at the stop, byte for byte. */
static enum rc add_last_files(struct run *r, struct error *err)
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
static enum rc count_rows(struct run *r, struct error *err)
{
    if (!r->request.row_counts)
        return RC_OK;
    app_say(r->app, "counting rows");
    struct error why;
    enum rc rc = row_counter_note(r->app, &r->wal, r->info->id, &r->rows, &why);
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

static enum rc wait_for_wal(struct run *r, struct error *err)
{
    const double began = clock_monotonic();
    uint64_t last = r->last_segment;
    if (r->have_rows && r->rows.segment > last)
        last = r->rows.segment;
    char first_file[WAL_NAME_MAX], last_file[WAL_NAME_MAX];
    wal_name_segment(r->info->timeline, r->first_segment, r->facts.wal_segment_bytes, first_file);
    wal_name_segment(r->info->timeline, last, r->facts.wal_segment_bytes, last_file);
    app_say(r->app, "waiting for WAL %s to %s in the repository", first_file, last_file);
    enum rc rc = wait_wal_range(&r->wal, r->info->timeline, r->first_segment, last, err);
    if (rc != RC_OK)
        return error_prefix(err, "the backup lacks WAL that it needs, so it is void");
    r->info->seconds_wal = clock_monotonic() - began;
    return RC_OK;
}

/* ---- what backup.json says ---- */

static enum rc note_tablespaces(struct run *r, struct error *err)
{
    struct backup_info *b = r->info;
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(r->session, "SELECT oid, spcname FROM pg_catalog.pg_tablespace", 0, NULL,
                      &rows, err));
    b->tablespaces = arena_alloc(b->arena, (r->scan.tablespace_count + 1) * sizeof *b->tablespaces);
    for (size_t i = 0; i < r->scan.tablespace_count; i++) {
        const struct scan_tablespace *from = &r->scan.tablespaces[i];
        struct backup_tablespace *to = &b->tablespaces[b->tablespace_count++];
        to->oid = from->oid;
        to->location = arena_strdup(b->arena, from->location);
        to->name = ""; /* stays so if it was dropped meanwhile */
        for (int k = 0; k < rows_count(rows); k++) {
            uint64_t oid;
            if (parse_u64(rows_get(rows, k, 0), &oid) && oid == from->oid)
                to->name = arena_strdup(b->arena, rows_get(rows, k, 1));
        }
    }
    return RC_OK;
}

static void note_facts(struct run *r)
{
    struct backup_info *b = r->info;
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    b->label = arena_strdup(b->arena, r->request.label);
    b->tier = arena_strdup(b->arena, r->request.tier);
    b->type = "full";
    b->tool_version = PGPROOF_VERSION;
    b->host = arena_strdup(b->arena, host);
    b->witness = "";
    b->pg_version_num = r->facts.version_num;
    b->system_identifier = r->facts.system_identifier;
    b->wal_segment_bytes = r->facts.wal_segment_bytes;
    b->page_bytes = r->control.page_bytes;
    b->data_checksums = r->control.data_checksum_version != 0;
}

static void note_sizes(struct run *r)
{
    struct backup_info *b = r->info;
    const struct manifest *m = r->manifest;
    for (size_t i = 0; i < m->file_count; i++) {
        if (m->files[i].kind == FILE_REGULAR) {
            b->file_count++;
            b->size_bytes += m->files[i].size_bytes;
        }
    }
    b->stored_bytes = r->copy.stored_bytes;
    b->pack_count = pack_table_count(m->packs) + pack_table_count(m->map_packs);
    b->corrupt_pages = r->copy.pages_bad;
    b->seconds_total = clock_monotonic() - r->began;
}

static enum rc commit(struct run *r, struct error *err)
{
    const char *cluster = r->app->config->cluster;
    TRY(backup_check_packs(r->repo, cluster, r->manifest, err));
    note_sizes(r);
    TRY(cancel_check(err));
    return backup_commit(r->repo, cluster, r->info, r->manifest, err);
}

static enum rc take_backup(struct run *r, struct error *err)
{
    r->info = backup_info_new();
    r->manifest = manifest_new();
    r->manifest->system_identifier = r->facts.system_identifier;
    note_facts(r);
    set_copy_options(r);
    TRY(prepare(r, err));
    str_copy(r->manifest->backup_id, sizeof r->manifest->backup_id, r->info->id);
    TRY(start_and_copy(r, err));
    TRY(note_tablespaces(r, err));
    TRY(note_settings(r->session, r->info, err));
    TRY(note_config_files(r->session, r->app->config->data_directory, r->info, err));
    TRY(stop_backup(r, err));
    TRY(add_last_files(r, err));
    TRY(count_rows(r, err));
    TRY(wait_for_wal(r, err));
    return commit(r, err);
}

/* ---- results ---- */

static enum rc report(struct run *r, struct error *err)
{
    const struct backup_report done = {
        .app = r->app,
        .info = r->info,
        .manifest = r->manifest,
        .copy = &r->copy,
        .rows = r->have_rows ? &r->rows : NULL,
        .rows_problem = r->rows_problem[0] ? r->rows_problem : NULL,
        .first_segment = r->first_segment,
        .last_segment = r->last_segment,
    };
    return backup_report_print(&done, err);
}

static enum rc dry_run(struct run *r, struct error *err)
{
    r->manifest = manifest_new();
    TRY(scan_data_directory(&r->scan_options, r->manifest, &r->scan, err));
    char size[32];
    if (r->app->json)
        printf("{\"report\": \"backup-dry-run\", \"version\": 1, \"file_count\": %llu, "
               "\"size_bytes\": %llu, \"tablespaces\": %zu}\n",
               (unsigned long long)r->scan.file_count, (unsigned long long)r->scan.size_bytes,
               r->scan.tablespace_count);
    else
        printf(
            "would back up %llu files, %s, %zu tablespaces, of cluster %s at %s\n"
            "nothing was written, and whether WAL is archived was not tried; pgproof check does\n",
            (unsigned long long)r->scan.file_count, format_size(r->scan.size_bytes, size),
            r->scan.tablespace_count, r->app->config->cluster, r->app->config->data_directory);
    return RC_OK;
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    CLEANUP(run_done)
    struct run r = {.app = a, .control_file = BUF_INIT(CONTROL_FILE_BYTES)};
    r.began = clock_monotonic();
    TRY(read_request(a, &r.request, err));
    TRY(open_and_check(&r, err));
    if (r.request.dry_run)
        return dry_run(&r, err);
    TRY(take_backup(&r, err));
    if (r.copy.pages_bad > 0)
        *exit_code = EXIT_BAD;
    return report(&r, err);
}

static const struct app_option options[] = {
    {"tier", "NAME", "note this tier with the backup: daily, weekly, monthly or one of your own"},
    {"label", "TEXT", "one line that is shown with the backup"},
    {"type", "TYPE", "full (the only one yet)"},
    {"checkpoint", "KIND", "fast (default), or spread: easy on the disk, may take minutes"},
    {"no-row-counts", NULL, "do not note how many rows each table has"},
    {"paranoid", NULL, "decode everything again before it is stored"},
    {"dry-run", NULL, "check the server, list the files, write nothing"},
    {NULL, NULL, NULL},
};

static const struct app_tool tool = {
    .name = "pgproof-backup",
    .summary = "back up a PostgreSQL cluster",
    .usage = "[options]",
    .details = "Takes a full backup of the cluster's data directory while the server runs, and "
               "waits until the WAL that it needs is archived. Run it on the server's host, as the "
               "user that owns the data directory.\n\nWith exit code 2 the backup is complete, but "
               "the cluster has damaged pages; with 4 another backup of this cluster is running.",
    .examples = "pgproof-backup\npgproof-backup --tier=weekly --label='before the upgrade'",
    .options = options,
    .needs_config = true,
    .has_json = true,
    .run = run,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
