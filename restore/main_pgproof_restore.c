/* pgproof-restore: bring a cluster back to a moment. */
#include "app/app_open.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "pg/control.h"
#include "restore/follow.h"
#include "restore/plan.h"
#include "restore/settle.h"
#include "restore/target_dir.h"
#include "restore/unpack.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct app_option options[] = {
    {"to", "DIR", "the new data directory (default: the configured one)"},
    {"target", "latest|immediate", "all WAL there is (the default), or the end of the backup"},
    {"target-time", "TIME", "stop at this moment; needs an offset or UTC"},
    {"target-lsn", "LSN", "stop at this LSN"},
    {"target-xid", "XID", "stop at the commit of this transaction"},
    {"target-name", "NAME", "stop at this restore point"},
    {"target-exclusive", NULL, "stop just before the target, not just after it"},
    {"target-timeline", "N", "end on this timeline (default: the newest)"},
    {"target-action", "ACTION", "at the target: pause (the default), promote or shutdown"},
    {"backup", "ID", "start from this backup (or latest, oldest; default: chosen for the target)"},
    {"as", "copy|replacement",
     "copy (the default) can't archive into this repository; a replacement "
     "takes the original's place"},
    {"tablespace-root", "DIR", "put each tablespace into DIR/<oid>"},
    {"start", NULL, "start the server and follow recovery to the target"},
    {"dry-run", NULL, "show the plan and stop"},
    {0},
};

struct restore {
    struct app *app;
    struct restore_request request;
    struct restore_plan plan;
    struct target_dir target;
    struct manifest *manifest;
    bool have_plan, have_target;
    bool replacement;
    double seconds_files;
};

static enum rc bad_option(struct error *err, const char *name, const char *value, const char *now)
{
    error_set(err, RC_USAGE, "the value makes no sense");
    error_on(err, "--%s=%s", name, value);
    return error_now(err, "%s", now);
}

static enum rc parse_plain_target(struct recovery_target *t, const char *v, struct error *err)
{
    if (!str_eq(v, "latest") && !str_eq(v, "immediate"))
        return bad_option(err, "target", v, "give latest or immediate, or use --target-time");
    t->kind = str_eq(v, "latest") ? TARGET_LATEST : TARGET_IMMEDIATE;
    return RC_OK;
}

static enum rc parse_target_value(struct recovery_target *t, const char *name, const char *v,
                                  struct error *err)
{
    if (str_eq(name, "target"))
        return parse_plain_target(t, v, err);
    if (str_eq(name, "target-time")) {
        t->kind = TARGET_TIME;
        return moment_parse(v, &t->time, err);
    }
    if (str_eq(name, "target-lsn")) {
        t->kind = TARGET_LSN;
        return lsn_parse(v, &t->lsn) ? RC_OK
                                     : bad_option(err, name, v, "an LSN looks like 0/3000028");
    }
    if (str_eq(name, "target-xid")) {
        t->kind = TARGET_XID;
        return parse_u64(v, &t->xid) && t->xid >= 3
                   ? RC_OK
                   : bad_option(err, name, v, "give a transaction id, a number of at least 3");
    }
    t->kind = TARGET_NAME;
    return v[0] && str_copy(t->name, sizeof(t->name), v)
               ? RC_OK
               : bad_option(err, name, v, "a restore point's name has 1 to 63 bytes");
}

static enum rc parse_target(const struct app *a, struct recovery_target *t, struct error *err)
{
    static const char *const names[] = {"target", "target-time", "target-lsn", "target-xid",
                                        "target-name"};
    const char *given = NULL;

    t->kind = TARGET_LATEST;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *v = app_value(a, names[i]);
        if (!v)
            continue;
        if (given) {
            error_set(err, RC_USAGE, "there can be one target only");
            error_on(err, "--%s and --%s", given, names[i]);
            return error_now(err, "leave one of them out");
        }
        given = names[i];
        TRY(parse_target_value(t, names[i], v, err));
    }
    t->exclusive = app_switch(a, "target-exclusive");
    if (t->exclusive && t->kind != TARGET_TIME && t->kind != TARGET_LSN && t->kind != TARGET_XID)
        return bad_option(err, "target-exclusive", "",
                          "it goes with a time, an LSN or a transaction");
    return RC_OK;
}

static enum rc parse_action(const char *v, struct recovery_target *t, struct error *err)
{
    t->action = ACTION_PAUSE;
    if (!v || str_eq(v, "pause"))
        return RC_OK;
    if (str_eq(v, "promote"))
        t->action = ACTION_PROMOTE;
    else if (str_eq(v, "shutdown"))
        t->action = ACTION_SHUTDOWN;
    else
        return bad_option(err, "target-action", v, "give pause, promote or shutdown");
    return RC_OK;
}

static enum rc parse_request(struct restore *r, struct error *err)
{
    const struct app *a = r->app;
    const char *timeline = app_value(a, "target-timeline");
    const char *as = app_value(a, "as");
    uint64_t n = 0;

    TRY(parse_target(a, &r->request.target, err));
    TRY(parse_action(app_value(a, "target-action"), &r->request.target, err));
    if (r->request.target.kind == TARGET_LATEST && app_value(a, "target-action") &&
        r->request.target.action != ACTION_PROMOTE)
        return bad_option(err, "target-action", app_value(a, "target-action"),
                          "the end of the WAL is no target to stop at: PostgreSQL promotes there; "
                          "give a target, such as --target-time");
    if (timeline && !str_eq(timeline, "latest") &&
        (!parse_u64(timeline, &n) || n < 1 || n > UINT32_MAX))
        return bad_option(err, "target-timeline", timeline,
                          "give a number of at least 1, or latest");
    r->request.timeline = (uint32_t)n;
    r->request.backup = app_value(a, "backup");
    if (as && !str_eq(as, "copy") && !str_eq(as, "replacement"))
        return bad_option(err, "as", as, "give copy or replacement");
    r->replacement = str_eq(as, "replacement");
    return RC_OK;
}

static const char *local_time(moment_us t, char to[static 64])
{
    time_t seconds = (time_t)(t / 1000000);
    struct tm tm;

    strftime(to, 64, "%Y-%m-%d %H:%M:%S %Z", localtime_r(&seconds, &tm));
    return to;
}

static void print_target(const struct restore_plan *p)
{
    CLEANUP_FREE char *text = plan_target_text(&p->target);
    static const char *const actions[] = {"pause", "promote", "shut down"};
    char local[64];

    printf("  target       %s\n", text);
    if (p->target.kind == TARGET_TIME)
        printf("               %s here\n", local_time(p->target.time, local));
    printf("  then         %s\n", p->target.kind == TARGET_LATEST
                                      ? "promote: there is no more WAL to wait for"
                                      : actions[p->target.action]);
    printf("  timeline     %u\n", p->target.timeline);
}

static void print_plan(const struct restore *r)
{
    const struct restore_plan *p = &r->plan;
    const struct backup_info *b = p->backup;
    char a[MOMENT_TEXT_MAX], s1[32], s2[32], first[WAL_NAME_MAX], last[WAL_NAME_MAX];

    printf("Plan: restore cluster %s\n", r->app->config->cluster);
    print_target(p);
    printf("  backup       %s, %s%s%s, taken until %s\n", b->id, b->type, b->tier[0] ? ", " : "",
           b->tier, moment_text(b->stop_time, a));
    printf("               %s\n", p->why);
    branch_segment_name(&p->branch, p->first_segment, first);
    branch_segment_name(&p->branch, p->last_segment, last);
    printf("  WAL          %s to %s: %llu segments, all in the archive\n", first, last,
           (unsigned long long)(p->last_segment - p->first_segment + 1));
    printf("  files        %llu, %s; %s to fetch\n", (unsigned long long)b->file_count,
           format_size(b->size_bytes, s1), format_size(b->stored_bytes, s2));
    if (b->corrupt_pages)
        printf("  DAMAGE       %llu pages were damaged in the source already\n",
               (unsigned long long)b->corrupt_pages);
    printf("  into         %s\n", r->target.path);
    for (size_t i = 0; i < r->target.tablespace_count; i++)
        printf("  tablespace   %u into %s\n", r->target.tablespaces[i].oid,
               r->target.tablespaces[i].location);
    printf("  as           %s\n", r->replacement
                                      ? "replacement: it may archive into this repository"
                                      : "copy: it can't archive into this repository");
    fflush(stdout);
}

static json_t *plan_json(const struct restore *r)
{
    const struct restore_plan *p = &r->plan;
    CLEANUP_FREE char *target = plan_target_text(&p->target);
    char first[WAL_NAME_MAX], last[WAL_NAME_MAX];

    branch_segment_name(&p->branch, p->first_segment, first);
    branch_segment_name(&p->branch, p->last_segment, last);
    return json_pack("{s:i,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:I,s:I,s:I,s:s,s:s}", "version", 1,
                     "cluster", r->app->config->cluster, "backup", p->backup->id, "why", p->why,
                     "target", target, "timeline", (int)p->target.timeline, "wal_first", first,
                     "wal_last", last, "size_bytes", (json_int_t)p->backup->size_bytes,
                     "stored_bytes", (json_int_t)p->backup->stored_bytes, "files",
                     (json_int_t)p->backup->file_count, "to", r->target.path, "as",
                     r->replacement ? "replacement" : "copy");
}

/* Without one of these the copy would not start; without the label it could even be made to, and be
 * corrupt. */
static enum rc check_startable(const struct restore *r, struct error *err)
{
    static const char *const needed[] = {CONTROL_PATH, "backup_label"};

    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
        const struct manifest_file *f = manifest_find(r->manifest, needed[i]);
        if (f && f->kind == FILE_REGULAR && f->size_bytes)
            continue;
        error_set(err, RC_INTEGRITY, "the backup lacks %s, so it can't be recovered", needed[i]);
        error_on(err, "backup %s", r->plan.backup->id);
        return error_now(err, "restore from another backup with --backup (`pgproof info` lists "
                              "them)");
    }
    return RC_OK;
}

/* Everything that can refuse, before anything is touched. */
static enum rc prepare(struct restore *r, struct repo *repo, struct error *err)
{
    const struct config *c = r->app->config;
    const char *to = app_value(r->app, "to");
    bool unfinished;

    TRY(plan_make(repo, c->cluster, &r->request, &r->plan, err));
    r->have_plan = true;
    if (!to) {
        TRY(config_need(c, "cluster", "data-directory", err));
        to = c->data_directory;
    }
    TRY(target_plan(to, app_value(r->app, "tablespace-root"), r->plan.backup, &r->target, err));
    r->have_target = true;
    if (!r->app->json)
        print_plan(r);
    TRY(target_check(&r->target, r->plan.backup->size_bytes, &unfinished, err));
    if (app_switch(r->app, "start"))
        TRY(follow_preflight(r->app, &r->plan, err));
    if (unfinished)
        app_say(r->app, "a restore into %s was cut off: clearing what it left, beginning anew",
                r->target.path);
    TRY(backup_load_manifest(repo, c->cluster, r->plan.backup, &r->manifest, err));
    return check_startable(r, err);
}

static void count_totals(const struct restore *r, struct progress *p)
{
    uint64_t files = 0;

    for (size_t i = 0; i < r->manifest->file_count; i++)
        files += r->manifest->files[i].kind == FILE_REGULAR;
    p->files_total = files;
    p->bytes_total = r->plan.backup->size_bytes;
}

static enum rc write_files(struct restore *r, struct repo *repo, struct buf *control,
                           struct error *err)
{
    struct progress progress = {.phase = "restoring files"};
    struct unpack_options o = {.repo = repo,
                               .cluster = r->app->config->cluster,
                               .target = &r->target,
                               .manifest = r->manifest,
                               .workers = r->app->config->jobs,
                               .progress = &progress,
                               .control = control};

    count_totals(r, &progress);
    struct app_progress *drawing = app_progress_start(r->app, &progress);
    enum rc rc = unpack_files(&o, err);
    app_progress_stop(drawing);
    return rc;
}

/* In restore_command a percent sign stands for something unless it is doubled. */
static char *restore_command(const struct app *a)
{
    CLEANUP_FREE char *command = app_command_line(a, "pgproof-wal-fetch");
    char *to = mem_alloc(2 * strlen(command) + 16), *p = to;

    for (const char *s = command; *s; s++) {
        *p++ = *s;
        if (*s == '%')
            *p++ = '%';
    }
    strcpy(p, " %f \"%p\"");
    return to;
}

static enum rc do_restore(struct restore *r, struct repo *repo, struct error *err)
{
    CLEANUP_BUF struct buf control = BUF_INIT(CONTROL_FILE_BYTES);
    CLEANUP_FREE char *command = restore_command(r->app);
    double began = clock_monotonic();

    TRY(target_begin(&r->target, err));
    TRY(write_files(r, repo, &control, err));
    TRY(control_require_label(control.data, control.len, err));
    struct settle_options o = {.target = &r->target,
                               .backup = r->plan.backup,
                               .manifest = r->manifest,
                               .control = &control,
                               .recovery = &r->plan.target,
                               .restore_command = command,
                               .replacement = r->replacement};
    TRY(settle(&o, err));
    TRY(target_sync(&r->target, err));
    TRY(target_commit(&r->target, control.data, control.len, err));
    r->seconds_files = clock_monotonic() - began;
    return RC_OK;
}

/* A copy gets a port of its own: the original's may be in use. */
#define COPY_PORT "5433"

static void print_next_unstarted(const struct restore *r)
{
    uint32_t major = r->plan.backup->pg_version_num / 10000;
    const char *bindir = r->app->config->pg_bindir;
    CLEANUP_FREE char *program = bindir ? path_join(bindir, "pg_ctl")
                                        : str_printf("/usr/lib/postgresql/%u/bin/pg_ctl", major);
    CLEANUP_FREE char *log_path = str_printf("%s.log", r->target.path);
    CLEANUP_FREE char *pg_ctl = str_shell_word(program);
    CLEANUP_FREE char *data = str_shell_word(r->target.path);
    CLEANUP_FREE char *log = str_shell_word(log_path);

    printf("Next: start the server on it, as the user that owns it%s. It recovers by itself:\n"
           "  %s -D %s -l %s%s start\n",
           r->replacement ? "" : ", on a port that is free", pg_ctl, data, log,
           r->replacement ? "" : " -o '-p " COPY_PORT "'");
    if (r->plan.backup->config_file_count)
        printf("Its configuration lay outside the data directory. It was restored into\n"
               "  %s/" SETTLE_CONFIG_DIR "/\n"
               "Look through it and put it where your installation expects it before the start.\n",
               r->target.path);
    if (r->plan.target.kind != TARGET_LATEST && r->plan.target.action == ACTION_PAUSE)
        printf("At the target it pauses, so that you can look. To open it for writing:\n"
               "  psql%s -d postgres -c 'SELECT pg_promote()'\n"
               "To try another moment, stop it and run pgproof-restore with another --to.\n",
               r->replacement ? "" : " -p " COPY_PORT);
}

static void print_reached(const struct follow_result *f)
{
    char lsn[LSN_TEXT_MAX];

    printf("Reached LSN %s; ", lsn_text(f->reached_lsn, lsn));
    if (f->last_commit[0])
        printf("the last transaction replayed was committed at %s.\n", f->last_commit);
    else
        printf("no transaction was replayed.\n");
    if (!f->in_recovery)
        printf("It is open for writing.\n");
}

static void print_next_started(const struct restore *r, const struct follow_result *f)
{
    CLEANUP_FREE char *role = str_shell_word(f->role);
    CLEANUP_FREE char *data = str_shell_word(r->target.path);
    CLEANUP_FREE char *psql = str_printf("psql -h %s -U %s -d postgres", f->socket_directory, role);

    if (!f->running) {
        printf("Recovery reached its target and the server shut down, as asked.\n");
        return;
    }
    print_reached(f);
    printf("Next: look at it, on its private socket:\n  %s\n", psql);
    if (f->locked_relations)
        printf("%llu %s locked (%s) by transactions that were in progress at this moment:"
               "\na query on them waits until you promote, which ends those transactions.\n",
               (unsigned long long)f->locked_relations,
               f->locked_relations == 1 ? "relation is" : "relations are", f->locked_where);
    if (f->in_recovery)
        printf("Is this the moment? Open it for writing:\n  %s -c 'SELECT pg_promote()'\n", psql);
    printf("Stop it:\n  kill -INT $(head -1 %s/postmaster.pid)\n", data);
    if (f->in_recovery)
        printf("Another moment? Stop it and run pgproof-restore with another --target-time and "
               "--to.\n");
}

static enum rc finish(struct restore *r, struct error *err)
{
    const struct app *a = r->app;
    struct follow_result f = {0};
    bool start = app_switch(a, "start");
    char d[32], s[32], lsn[LSN_TEXT_MAX];

    if (!a->json)
        printf("Restored %s into %s in %s.\n", format_size(r->plan.backup->size_bytes, s),
               r->target.path, format_duration(r->seconds_files, d));
    fflush(stdout);
    if (start)
        TRY(follow_recovery(a, &r->plan, r->target.path, &f, err));
    if (a->json) {
        CLEANUP_JSON json_t *o = plan_json(r);
        json_object_set_new(o, "seconds", json_real(r->seconds_files));
        if (start) {
            json_object_set_new(o, "reached_lsn", json_string(lsn_text(f.reached_lsn, lsn)));
            json_object_set_new(o, "last_commit", json_string(f.last_commit));
            json_object_set_new(o, "in_recovery", json_boolean(f.in_recovery));
            json_object_set_new(o, "locked_relations",
                                json_integer((json_int_t)f.locked_relations));
            json_object_set_new(o, "running", json_boolean(f.running));
            json_object_set_new(o, "socket_directory", json_string(f.socket_directory));
        }
        json_dumpf(o, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (start) {
        print_next_started(r, &f);
    } else {
        print_next_unstarted(r);
    }
    return RC_OK;
}

static enum rc steps(struct restore *r, struct error *err)
{
    CLEANUP_REPO struct repo *repo = NULL;

    TRY(parse_request(r, err));
    TRY(app_open_repo(r->app, &repo, err));
    TRY(prepare(r, repo, err));
    if (app_switch(r->app, "dry-run")) {
        if (r->app->json) {
            CLEANUP_JSON json_t *o = plan_json(r);
            json_dumpf(o, stdout, JSON_INDENT(2));
        }
        printf(r->app->json ? "\n" : "Nothing was changed (--dry-run).\n");
        return RC_OK;
    }
    TRY(do_restore(r, repo, err));
    return finish(r, err);
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct restore r = {.app = a};
    enum rc rc = steps(&r, err);

    (void)exit_code;
    manifest_free(r.manifest);
    if (r.have_target)
        target_done(&r.target);
    if (r.have_plan)
        plan_done(&r.plan);
    return rc;
}

static const struct app_tool tool = {
    .name = "pgproof-restore",
    .summary = "restore a cluster to a moment",
    .usage = "[options]",
    .details = "Shows the plan first, and changes nothing until it is sound. The directory must be "
               "empty or missing: an old one is never overwritten. PostgreSQL can't start in it "
               "before the restore is complete. If it is cut off, run the same command again.",
    .examples = "pgproof-restore --to=/var/lib/postgresql/15/restored "
                "--target-time='2026-11-21 14:30:00 UTC'\n"
                "pgproof-restore --to=/srv/copy --tablespace-root=/srv/copy-tablespaces --start\n"
                "pgproof-restore --dry-run --target-lsn=0/3000028\n",
    .options = options,
    .needs_config = true,
    .has_json = true,
    .run = run,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
