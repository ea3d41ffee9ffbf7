/* pgproof-wal-fetch: fetch one WAL file. PostgreSQL's restore_command. */
#include "app/app_open.h"
#include "base/str.h"
#include "pg/control.h"
#include "restore/wal_fetch.h"

#define EXIT_ABSENT   1   /* PostgreSQL: no more WAL */
#define EXIT_STOP     126 /* PostgreSQL: stop, don't go on without it */
#define HOLE_WAIT     5   /* seconds */
#define HOLE_WAIT_MAX 3600

static const struct app_option options[] = {
    {"hole-wait", "SECONDS",
     "how long to wait for a missing segment when later ones are there "
     "(default 5)"},
    {0},
};

/* For the exit code: is it a standby's data directory that we work for? */
static const char *data_directory;

static int exit_code_for(const struct error *err)
{
    if (err->rc == RC_NOT_FOUND)
        return EXIT_ABSENT;
    if (err->rc != RC_INTEGRITY && data_directory && fetch_for_consistent_standby(data_directory))
        return EXIT_ABSENT;
    return EXIT_STOP;
}

static enum rc identify(const struct app *a, struct fetch *f, struct error *err)
{
    struct control control;

    if (!f->data_directory)
        return repo_current_system(f->repo, f->cluster, &f->system, err) == RC_OK
                   ? RC_OK
                   : error_reclass(err, RC_REFUSED);
    TRY(control_read(f->data_directory, &control, NULL, err));
    return app_check_system(a, f->repo, control.system_identifier, &f->system, err);
}

static enum rc parse(const struct app *a, struct fetch *f, struct error *err)
{
    const char *wait = app_value(a, "hole-wait");
    uint64_t seconds = HOLE_WAIT;

    if (wait && (!parse_u64(wait, &seconds) || seconds > HOLE_WAIT_MAX)) {
        error_set(err, RC_USAGE, "the value makes no sense");
        error_on(err, "--hole-wait=%s", wait);
        return error_now(err, "give a number of seconds, at most %d", HOLE_WAIT_MAX);
    }
    f->hole_wait_seconds = (unsigned)seconds;
    f->file = a->args[0];
    f->path = a->args[1];
    return RC_OK;
}

static enum rc parse_name(struct fetch *f, struct error *err)
{
    bool known = wal_name_kind(f->file, &f->name);

    if (known && f->name.kind == WAL_SEGMENT)
        known = wal_name_parse(f->file, f->system.wal_segment_bytes, &f->name);
    if (known)
        return RC_OK;
    error_set(err, RC_USAGE, "this is not the name of a WAL file");
    error_on(err, "%s", f->file);
    return error_now(err, "give a file name and a path, as restore_command's %%f and %%p do");
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    CLEANUP_REPO struct repo *repo = NULL;
    struct fetch f = {.cluster = a->config->cluster, .data_directory = app_data_directory(a)};

    (void)exit_code;
    data_directory = f.data_directory;
    TRY(parse(a, &f, err));
    TRY(app_open_repo(a, &repo, err));
    f.repo = repo;
    TRY(identify(a, &f, err));
    TRY(parse_name(&f, err));
    return fetch_file(&f, err);
}

static const struct app_tool tool = {
    .name = "pgproof-wal-fetch",
    .summary = "fetch one WAL file: PostgreSQL's restore_command",
    .usage = "[options] FILE PATH",
    .details =
        "FILE is %f, PATH is %p. Exits with 0 when the file is in place and verified, with 1 when "
        "it is proven to be absent, and with 126 on everything else: an outage, damage, a hole. "
        "PostgreSQL takes 1 for the end of the WAL and stops at 126, so it never goes on with WAL "
        "missing. A standby that has reached consistency gets 1 on an outage, too: it asks again.",
    .examples = "restore_command = 'pgproof-wal-fetch %f \"%p\"'\n",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .needs_config = true,
    .run = run,
    .exit_code_for = exit_code_for,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
