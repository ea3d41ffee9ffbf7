/* pgproof-backup: a full backup of a local data directory. */
#include "app/app_keep.h"
#include "backup/backup_report.h"
#include "backup/backup_run.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <string.h>

#define LABEL_MAX 512

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

static enum rc read_request(const struct app *a, struct backup_request *q, struct error *err)
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
    *q = (struct backup_request){
        .tier = tier ? tier : "",
        .label = label ? label : "",
        .fast = !checkpoint || str_eq(checkpoint, "fast"),
        .row_counts = a->config->row_counts && !app_switch(a, "no-row-counts"),
        .paranoid = app_switch(a, "paranoid"),
        .dry_run = app_switch(a, "dry-run"),
    };
    return RC_OK;
}

/* ---- results ---- */

static enum rc report(const struct backup_run *r, struct error *err)
{
    const struct backup_report done = {
        .app = r->at.app,
        .info = r->info,
        .manifest = r->manifest,
        .copy = &r->copy,
        .rows = r->have_rows ? &r->rows : NULL,
        .rows_problem = r->rows_problem[0] ? r->rows_problem : NULL,
        .first_segment = r->first_segment,
        .last_segment = r->last_segment,
        .locked_until = r->at.repo->locked_until,
    };
    return backup_report_print(&done, err);
}

/* What the repository's settings would make of it; nothing where they are the usual ones. */
static void print_keeping(const struct backup_run *r)
{
    const struct app *a = r->at.app;
    const char *tier = r->request->tier, *class = app_storage_class(a, tier);
    moment_us until = app_locked_until(a, clock_now(), app_keep_seconds(a, tier));
    char text[MOMENT_TEXT_MAX];

    if (until)
        printf("all of it would be locked until about %s (%s)\n",
               moment_text(until / 1000000 * 1000000, text), a->config->s3.object_lock);
    if (class)
        printf("its data would go into storage class %s\n", class);
}

static enum rc dry_run(struct backup_run *r, struct error *err)
{
    const struct app *a = r->at.app;
    TRY(backup_run_scan(r, err));
    char size[32];
    if (a->json)
        printf("{\"report\": \"backup-dry-run\", \"version\": 1, \"file_count\": %llu, "
               "\"size_bytes\": %llu, \"tablespaces\": %zu}\n",
               (unsigned long long)r->scan.file_count, (unsigned long long)r->scan.size_bytes,
               r->scan.tablespace_count);
    else
        printf(
            "would back up %llu files, %s, %zu tablespaces, of cluster %s at %s\n"
            "nothing was written, and whether WAL is archived was not tried; pgproof check does\n",
            (unsigned long long)r->scan.file_count, format_size(r->scan.size_bytes, size),
            r->scan.tablespace_count, a->config->cluster, a->config->data_directory);
    if (!a->json)
        print_keeping(r);
    return RC_OK;
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct backup_request q;
    TRY(read_request(a, &q, err));
    TRY(app_need_present(a, "a backup", err));
    CLEANUP(backup_run_done) struct backup_run r;
    backup_run_init(&r, a, &q);
    TRY(preflight_check(&r.at, err));
    if (q.dry_run)
        return dry_run(&r, err);
    TRY(backup_run_take(&r, err));
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
