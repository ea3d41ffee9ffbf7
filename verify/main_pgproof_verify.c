/* pgproof-verify: prove that backups can be restored. */
#include "app/app.h"
#include "base/str.h"
#include "verify/drill.h"

static const struct app_option options[] = {
    {"backup", "ID|latest", "the backup to drill; latest unless given"},
    {"keep", NULL, "leave the scratch directory behind, to look at"},
    {"timeout", "DURATION", "how long recovery may take, e.g. 2h; no limit unless given"},
    {0},
};

static enum rc read_options(const struct app *a, struct drill_options *to, struct error *err)
{
    const char *backup = app_value(a, "backup"), *timeout = app_value(a, "timeout");
    to->backup = backup ? backup : "latest";
    to->keep = app_switch(a, "keep");
    to->timeout_seconds = 0;
    if (timeout && (!parse_duration(timeout, &to->timeout_seconds) || to->timeout_seconds <= 0)) {
        error_set(err, RC_USAGE, "\"%s\" is no duration", timeout);
        error_on(err, "--timeout");
        return error_now(err, "write it as 90s, 30m or 2h");
    }
    return RC_OK;
}

static enum rc check_command(const struct app *a, struct error *err)
{
    if (a->arg_count == 1 && str_eq(a->args[0], "drill"))
        return RC_OK;
    if (a->arg_count == 0)
        error_set(err, RC_USAGE, "it is not said what to verify");
    else
        error_set(err, RC_USAGE, "\"%s\" is nothing that can be verified", a->args[0]);
    return error_now(err, "there is: pgproof-verify drill");
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct drill_options o;
    TRY(check_command(a, err));
    TRY(read_options(a, &o, err));
    return drill_run(a, &o, exit_code, err);
}

static const struct app_tool tool = {
    .name = "pgproof-verify",
    .summary = "prove that a backup can be restored",
    .usage = "drill [options]",
    .details =
        "A drill restores a backup with pgproof-restore into a scratch instance that is cut off "
        "from everything, recovers it, compares its row counts with those noted at the backup, "
        "promotes it, checks its tables and indexes with amcheck, writes a proof into the "
        "repository and cleans up.\n"
        "\n"
        "It exits 0 only if every check ran and passed: 1 says that one could not run, 2 that one "
        "failed.",
    .examples = "pgproof-verify drill\n"
                "pgproof-verify drill --backup=20261121T020000Z --keep\n"
                "pgproof-verify drill --json | jq .result",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .needs_config = true,
    .has_json = true,
    .run = run,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
