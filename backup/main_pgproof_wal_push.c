/* pgproof-wal-push: archive one WAL file. PostgreSQL's archive_command. */
#include "app/app_open.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/lsn.h"
#include "pg/recovery.h"
#include "repo/wal_object.h"

#include <stdlib.h>
#include <string.h>

#define AUTO_CONF_MAX  (16u << 20)
#define SMALL_FILE_MAX (1u << 20) /* history and backup label files */
#define COMPRESS_LEVEL 3

static const struct app_option options[] = {{0}};

struct push {
    const struct app *app;
    const char *path;
    const char *file; /* the last component of path */
    const char *data_directory;
    struct wal_name name;
    struct cluster_system system;
};

static enum rc check_name(struct push *p, struct error *err)
{
    const char *slash = strrchr(p->path, '/');

    p->file = slash ? slash + 1 : p->path;
    if (wal_name_kind(p->file, &p->name))
        return RC_OK;
    error_set(err, RC_USAGE, "this is not the name of a WAL file");
    error_on(err, "%s", p->path);
    return error_now(err, "give the path of a WAL segment, as archive_command's %%p does");
}

/* A copy that was restored beside its original has the original's archive_command. */
static enum rc refuse_copy(const struct push *p, struct error *err)
{
    CLEANUP_FREE char *path = path_join(p->data_directory, "postgresql.auto.conf");
    CLEANUP_BUF struct buf text = BUF_INIT(AUTO_CONF_MAX);
    enum rc rc = file_read(path, &text, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    CLEANUP_FREE char *role = conf_value((const char *)text.data, text.len, "pgproof.role");
    if (!str_eq(role, "copy"))
        return RC_OK;
    error_set(err, RC_REFUSED,
              "this data directory is a copy that pgproof-restore made: it must not "
              "archive into the repository of its original");
    error_on(err, "%s in %s", p->file, p->data_directory);
    return error_now(err, "switch archiving off here (archive_mode = off); or, if it takes the "
                          "original's place, remove pgproof.role from its postgresql.auto.conf");
}

/* The file's owner is known by the pg_control beside it, not by what the configuration says. */
static enum rc identify(struct push *p, struct repo *r, struct error *err)
{
    struct control control;

    p->data_directory = app_data_directory(p->app);
    if (!p->data_directory)
        return config_need(p->app->config, "cluster", "data-directory", err);
    TRY(control_read(p->data_directory, &control, NULL, err));
    TRY(refuse_copy(p, err));
    return app_check_system(p->app, r, control.system_identifier, &p->system, err);
}

static bool is_segment(const struct push *p)
{
    return p->name.kind == WAL_SEGMENT || p->name.kind == WAL_PARTIAL;
}

static enum rc check_content(const struct push *p, const struct buf *content, struct error *err)
{
    if (!is_segment(p))
        return RC_OK;
    if (content->len != p->system.wal_segment_bytes) {
        error_set(err, RC_INTEGRITY, "the WAL segment is %zu bytes long, not %u", content->len,
                  p->system.wal_segment_bytes);
        error_on(err, "%s", p->path);
        return error_now(err, "find out who cut it short; PostgreSQL will ask for it again");
    }
    return wal_header_check(content->data, content->len, p->file, p->system.system_identifier,
                            p->system.wal_segment_bytes, err);
}

static enum rc push(struct push *p, struct error *err)
{
    CLEANUP_REPO struct repo *r = NULL;
    bool was_there;

    TRY(check_name(p, err));
    TRY(app_open_repo(p->app, &r, err));
    TRY(identify(p, r, err));
    CLEANUP_BUF struct buf content =
        BUF_INIT(is_segment(p) ? p->system.wal_segment_bytes : SMALL_FILE_MAX);
    enum rc rc = file_read(p->path, &content, err);
    if (rc == RC_NOT_FOUND || rc == RC_NOMEM)
        error_reclass(err, rc == RC_NOMEM ? RC_INTEGRITY : RC_SYSTEM);
    if (rc != RC_OK)
        return error_now(err,
                         "run pgproof-wal-push in the data directory, as archive_command does");
    TRY(check_content(p, &content, err));
    struct wal_info info = {.system_identifier = p->system.system_identifier,
                            .segment_bytes = p->system.wal_segment_bytes};
    str_copy(info.file, sizeof(info.file), p->file);
    TRY(wal_put(r, p->app->config->cluster, &info, content.data, content.len, COMPRESS_LEVEL,
                &was_there, err));
    log_info("%s %s", p->file, was_there ? "was archived already" : "archived");
    return RC_OK;
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct push p = {.app = a, .path = a->args[0]};

    (void)exit_code;
    return push(&p, err);
}

static const struct app_tool tool = {
    .name = "pgproof-wal-push",
    .summary = "archive one WAL file: PostgreSQL's archive_command",
    .usage = "[options] PATH",
    .details = "PATH is %p. Exits with 0 only when the file is durable in the repository. The same "
               "file again is fine; another content under its name is an error, and the first one "
               "stays. The segment's own header must belong to its name and to this cluster.",
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
