/* pgproof-wal-push: archive one WAL file. PostgreSQL's archive_command. */
#include "app/app_keep.h"
#include "app/app_open.h"
#include "backup/wal_push.h"
#include "base/log.h"
#include "base/str.h"

/* A history file is needed by every later restore; the rest by those to a moment of its time. */
static moment_us lock_of(const struct app *a, const char *file)
{
    int64_t keep =
        str_ends(file, ".history") ? app_keep_longest_seconds(a) : a->config->wal_keep_seconds;

    return app_locked_until(a, clock_now(), keep);
}

/* What can be refused without the repository is refused first: it costs nothing there. */
static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    const char *path = a->args[0];
    const char *data_directory = app_data_directory(a);
    CLEANUP_REPO struct repo *r = NULL;
    CLEANUP_BUF struct buf content = BUF_INIT(WAL_PLAIN_MAX);
    struct cluster_system registered;
    struct control control;
    struct wal_info info;
    bool was_there;

    (void)exit_code;
    if (!data_directory)
        return config_need(a->config, "cluster", "data-directory", err);
    TRY(app_need_present(a, "archiving", err));
    TRY(wal_push_identify(data_directory, &control, err));
    TRY(wal_push_read(path, &control, &info, &content, err));
    TRY(app_open_repo(a, &r, err));
    TRY(app_check_system(a, r, control.system_identifier, &registered, err));
    TRY(wal_push_check_system(&control, &registered, err));
    r->locked_until = lock_of(a, info.file);
    TRY(wal_put(r, a->config->cluster, &info, content.data, content.len, a->config->zstd_level,
                &was_there, err));
    log_info("%s %s", info.file, was_there ? "was archived already" : "is archived");
    return RC_OK;
}

static const struct app_option options[] = {{0}};

static const struct app_tool tool = {
    .name = "pgproof-wal-push",
    .summary = "archive one WAL file: PostgreSQL's archive_command",
    .usage = "[option ...] PATH",
    .details =
        "PATH is archive_command's %p. Exit code 0 means that the file is durable in the "
        "repository. The same file again is a success; another content under its name is an error "
        "(exit code 2), and the first one stays as it is.\n"
        "\n"
        "The file must belong where it is: a segment's length and header are checked against its "
        "name and the data directory's pg_control, and that against the cluster in the "
        "repository. A data directory that pgproof-restore made as a copy is refused.",
    .examples = "archive_command = 'pgproof-wal-push %p'\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .needs_config = true,
    .run = run,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
