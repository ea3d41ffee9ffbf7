/* pgproof-wal-fetch: fetch one WAL file. PostgreSQL's restore_command. */
#include "app/app_open.h"
#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "pg/control.h"
#include "restore/wal_fetch.h"

#include <inttypes.h>

#define EXIT_ABSENT           1   /* PostgreSQL: the end of the WAL, as 2 to 125 */
#define EXIT_STOP             126 /* PostgreSQL: stop recovery, as all above */
#define HOLE_WAIT_SECONDS     5
#define HOLE_WAIT_SECONDS_MAX 3600

static const struct app_option options[] = {
    {"hole-wait", "SECONDS",
     "how long to wait for a missing segment when later ones are there (default: 5)"},
    {0},
};

static int exit_code_for(const struct error *err)
{
    return err->rc == RC_CANCELLED ? 128 + cancel_signal() : EXIT_STOP;
}

static enum rc parse_arguments(const struct app *a, struct wal_fetch *f, struct error *err)
{
    const char *wait = app_value(a, "hole-wait");
    uint64_t seconds = HOLE_WAIT_SECONDS;

    if (wait && (!parse_u64(wait, &seconds) || seconds > HOLE_WAIT_SECONDS_MAX)) {
        error_set(err, RC_USAGE, "this is not a number of seconds up to %d", HOLE_WAIT_SECONDS_MAX);
        error_on(err, "--hole-wait=%s", wait);
        return error_now(err, "give a whole number, for example --hole-wait=5");
    }
    f->cluster = a->config->cluster;
    f->hole_wait_seconds = (unsigned)seconds;
    f->file = a->args[0];
    f->path = a->args[1];
    return RC_OK;
}

/* PostgreSQL calls in its data directory. A person may ask from anywhere. */
static void find_data_directory(const struct app *a, struct wal_fetch *f)
{
    const char *candidate = app_data_directory(a);
    CLEANUP_FREE char *control = candidate ? path_join(candidate, CONTROL_PATH) : NULL;

    if (!control || !file_exists(control))
        return;
    f->data_directory = candidate;
    f->standby = wal_fetch_is_standby(candidate);
}

/* Whose WAL is wanted: the data directory's, or that of the cluster's newest system. */
static enum rc identify(const struct app *a, struct wal_fetch *f, struct error *err)
{
    struct control control;

    if (!f->data_directory)
        return repo_current_system(f->repo, f->cluster, &f->system, err);
    TRY(control_read(f->data_directory, &control, NULL, err));
    TRY(app_check_system(a, f->repo, control.system_identifier, &f->system, err));
    if (control.wal_segment_bytes == f->system.wal_segment_bytes)
        return RC_OK;
    error_set(err, RC_INTEGRITY,
              "the WAL segments of this data directory have %" PRIu32
              " bytes, those in the repository %" PRIu32,
              control.wal_segment_bytes, f->system.wal_segment_bytes);
    error_on(err, "system identifier %" PRIu64, control.system_identifier);
    return error_now(err, "recover a backup that was taken with this segment size");
}

static enum rc fetch(const struct app *a, struct wal_fetch *f, enum wal_fetch_answer *ret,
                     struct error *err)
{
    CLEANUP_REPO struct repo *repo = NULL;

    TRY(app_open_repo(a, &repo, err));
    f->repo = repo;
    TRY(identify(a, f, err));
    return wal_fetch(f, ret, err);
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct wal_fetch f = {0};
    enum wal_fetch_answer answer;

    TRY(parse_arguments(a, &f, err));
    find_data_directory(a, &f);
    enum rc rc = fetch(a, &f, &answer, err);
    if (rc == RC_STORAGE && f.standby && wal_fetch_standby_can_wait(f.data_directory, f.file)) {
        log_warning(
            "could not find out whether %s is archived: %s (%s); the standby will ask again",
            f.file, err->what, err->on);
        *exit_code = EXIT_ABSENT;
        return RC_OK;
    }
    TRY(rc);
    log_info("%s is %s", f.file, answer == WAL_FETCHED ? "in place" : "not archived");
    if (answer == WAL_ABSENT)
        *exit_code = EXIT_ABSENT;
    return RC_OK;
}

static const struct app_tool tool = {
    .name = "pgproof-wal-fetch",
    .summary = "fetch one WAL file: PostgreSQL's restore_command",
    .usage = "[option ...] FILE PATH",
    .details =
        "FILE is restore_command's %f, PATH its %p. PostgreSQL takes an exit code up to 125 for "
        "the end of the WAL, and opens the database; so the exit codes are not those of the other "
        "tools:\n"
        "\n"
        "  0    the file is verified and in place\n"
        "  1    it is proven that there is no such file, and no hole\n"
        "  126  everything else: an outage, damage, a hole, wrong usage\n"
        "  128+n  ended by signal n\n"
        "\n"
        "A hole is a segment that is missing while its timeline goes on behind it. A standby that "
        "has reached consistency gets 1 in an outage, too: it will ask again.",
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
