/* pgproof info: what is there, and to which moments it can be restored. */
#include "app/app_open.h"
#include "base/str.h"
#include "pgproof/commands.h"
#include "pgproof/report.h"

/* Another cluster is there, but not this one: most likely a wrong name. */
static enum rc check_cluster(const struct report *r, struct error *err)
{
    if (r->registered || !r->clusters[0] || r->catalog->count)
        return RC_OK;
    const char *nearest = str_nearest(r->cluster, (const char *const *)r->clusters);
    error_set(err, RC_REFUSED, "the repository has no cluster '%s'", r->cluster);
    error_on(err, "%s", r->repo->store->where);
    return error_now(err,
                     "it has '%s': choose it with --cluster, or register this one with "
                     "'pgproof init'",
                     nearest ? nearest : r->clusters[0]);
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    CLEANUP_REPO struct repo *repo = NULL;
    struct report r;

    TRY(app_open_repo(a, &repo, err));
    TRY(report_load(repo, a->config->cluster, &r, err));
    enum rc rc = check_cluster(&r, err);
    if (rc == RC_OK) {
        *exit_code = r.problem_count ? EXIT_BAD : EXIT_DONE;
        if (a->json)
            report_print_json(&r, *exit_code);
        else
            report_print(&r);
    }
    report_done(&r);
    return rc;
}

const struct app_tool info_tool = {
    .name = "pgproof info",
    .summary = "what is there: backups, WAL, the recovery window",
    .usage = "[options]",
    .details =
        "Reads only the repository, so it works where the server is gone. It looks at "
        "names and summaries, not at every byte: 'pgproof verify drill' restores one. Ends with "
        "exit code 2 where something that must be there is missing or damaged.",
    .examples = "pgproof info\npgproof info --json\n",
    .needs_config = true,
    .has_json = true,
    .run = run,
};
