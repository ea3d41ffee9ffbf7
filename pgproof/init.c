/* pgproof init: create the repository, register a cluster after checking its server. */
#include "app/app_keep.h"
#include "app/app_open.h"
#include "base/file.h"
#include "base/str.h"
#include "pgproof/commands.h"
#include "pgproof/owner.h"
#include "pgproof/server_review.h"
#include "repo/names.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct app_option options[] = {
    {"new-system", NULL,
     "register this server beside the one that the cluster was before, after pg_upgrade or a new "
     "initdb"},
    {"dry-run", NULL, "check the server and say what would be done, change nothing"},
    {0},
};

struct init {
    struct app *app;
    struct session *session;
    struct server_facts facts;
    struct archiving archiving;
    const char *data_directory; /* the configured one, or the server's */
    struct repo *repo;          /* NULL: there is none yet */
    bool created, registered;
};

static enum rc check_server(struct init *in, struct error *err)
{
    const struct config *c = in->app->config;

    TRY(owner_become(c->data_directory, err));
    TRY(app_open_session(in->app, NULL, &in->session, err));
    TRY(session_facts(in->session, &in->facts, err));
    in->data_directory = c->data_directory ? c->data_directory : in->facts.data_directory;
    TRY(owner_become(in->data_directory, err));
    TRY(review_server(&in->facts, err));
    TRY(review_data_directory(in->data_directory, &in->facts, err));
    return review_archiving(in->session, &in->facts, &in->archiving, err);
}

static enum rc stop_at_first(void *ctx, const char *name, const struct store_info *info,
                             struct error *err)
{
    struct object_name *first = ctx;

    (void)info;
    (void)err;
    str_copy(first->text, sizeof(first->text), name);
    return RC_EXISTS;
}

/* A directory with other things in it is most likely not the one that was meant. */
static enum rc refuse_foreign(struct store *s, struct error *err)
{
    struct object_name first;
    enum rc rc = store_list(s, "", stop_at_first, &first, err);

    if (rc != RC_EXISTS)
        return rc;
    error_set(err, RC_REFUSED, "the place is not empty, and it holds no repository: there is %s",
              first.text);
    error_on(err, "%s", s->where);
    return error_now(err, "give an empty or new place in section [repository]");
}

static bool is_directory(const struct app *a)
{
    return str_eq(a->config->repository_type, "posix");
}

/* in->repo stays NULL where there is none and one may be made. */
static enum rc look_for_repository(struct init *in, struct error *err)
{
    CLEANUP_STORE struct store *s = NULL;
    struct store_info info;

    if (is_directory(in->app) && !file_exists(in->app->config->repository_path))
        return RC_OK;
    TRY(app_open_store(in->app, false, &s, err));
    enum rc rc = store_head(s, REPOSITORY_OBJECT, &info, err);
    if (rc == RC_NOT_FOUND)
        return refuse_foreign(s, err);
    TRY(rc);
    struct store *given = s;
    s = NULL;
    return repo_open(given, &in->repo, err);
}

static enum rc create_repository(struct init *in, struct error *err)
{
    CLEANUP_STORE struct store *s = NULL;

    if (is_directory(in->app))
        TRY(owner_make_directory(in->data_directory, in->app->config->repository_path, err));
    TRY(app_open_store(in->app, true, &s, err));
    TRY(repo_create(s, err));
    struct store *given = s;
    s = NULL;
    in->created = true;
    return repo_open(given, &in->repo, err);
}

static enum rc refuse_other_system(const struct init *in, const struct cluster_system *before,
                                   struct error *err)
{
    error_set(err, RC_REFUSED,
              "cluster '%s' is registered with system identifier %" PRIu64
              " (PostgreSQL %u), and this server has %" PRIu64 " (PostgreSQL %u)",
              in->app->config->cluster, before->system_identifier, before->pg_major,
              in->facts.system_identifier, in->facts.version_num / 10000);
    error_on(err, "%s", in->repo->store->where);
    return error_now(err, "is it another cluster? give it a name of its own with --cluster=NAME. "
                          "Was it upgraded or made anew? run this with --new-system");
}

/* *ret_known: this very system is registered already. */
static enum rc look_for_system(const struct init *in, bool *ret_known, struct error *err)
{
    const char *cluster = in->app->config->cluster;
    struct cluster_system system;

    *ret_known = false;
    if (!in->repo)
        return RC_OK;
    enum rc rc = repo_load_system(in->repo, cluster, in->facts.system_identifier, &system, err);
    *ret_known = rc == RC_OK;
    if (rc != RC_NOT_FOUND)
        return rc;
    rc = repo_current_system(in->repo, cluster, &system, err);
    if (rc == RC_OK && !app_switch(in->app, "new-system"))
        return refuse_other_system(in, &system, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc register_system(struct init *in, struct error *err)
{
    const struct server_facts *f = &in->facts;
    struct cluster_system system = {.system_identifier = f->system_identifier,
                                    .pg_major = f->version_num / 10000,
                                    .wal_segment_bytes = f->wal_segment_bytes,
                                    .page_bytes = f->page_bytes,
                                    .relation_segment_pages = f->relation_segment_pages,
                                    .registered = clock_now()};

    return repo_register_system(in->repo, in->app->config->cluster, &system, err);
}

static void print_done(const struct init *in, bool known, bool dry_run)
{
    const struct server_facts *f = &in->facts;
    const struct config *c = in->app->config;
    CLEANUP_FREE char *where = app_repository_where(in->app);
    const char *would = dry_run ? "would be " : "";

    printf("Server      PostgreSQL %u.%u%s, %s\n", f->version_num / 10000, f->version_num % 10000,
           f->in_recovery ? ", a standby" : "", f->data_directory);
    printf("            system identifier %" PRIu64 ", data checksums %s\n", f->system_identifier,
           f->data_checksums ? "on" : "OFF: damage in pages can't be seen by a backup");
    printf("Repository  %s: %s%s\n", where, in->repo && !in->created ? "" : would,
           in->repo && !in->created ? "was there already" : "created");
    printf("Cluster     %s: %s%s\n", c->cluster, known ? "" : would,
           known ? "registered already" : "registered");
}

static void print_next(const struct init *in)
{
    CLEANUP_FREE char *problem = archiving_problem(&in->archiving);
    const struct config *c = in->app->config;

    if (!archiving_ready(&in->archiving)) {
        printf("\nArchiving   not ready: %s.\n", problem);
        archiving_print_remedy(stdout, in->app, &in->archiving);
    } else {
        printf("Archiving   is set up: archive_command = %s\n", in->facts.archive_command);
    }
    if (in->facts.in_recovery)
        printf(
            "\nThis is a standby: it archives nothing before it is promoted. Set up archiving on "
            "the\nprimary.\n");
    if (!c->data_directory)
        printf("\nSet 'data-directory = %s'\nin section [cluster:%s]: restores and drills on other "
               "hosts can't ask the server.\n",
               in->data_directory, c->cluster);
    printf("\nNext:\n"
           "  pgproof check     see a WAL segment arrive, and read it back\n"
           "  pgproof backup    the first base backup\n");
}

static enum rc steps(struct init *in, struct error *err)
{
    bool dry_run = app_switch(in->app, "dry-run"), known;

    TRY(app_need_repository(in->app, err));
    TRY(app_need_present(in->app, "this", err));
    TRY(check_server(in, err));
    TRY(look_for_repository(in, err));
    TRY(look_for_system(in, &known, err));
    if (!dry_run && !in->repo)
        TRY(create_repository(in, err));
    if (!dry_run)
        TRY(register_system(in, err)); /* known already: compares the facts */
    print_done(in, known, dry_run);
    print_next(in);
    if (dry_run)
        printf("\nNothing was changed (--dry-run).\n");
    return RC_OK;
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct init in = {.app = a};
    enum rc rc = steps(&in, err);

    (void)exit_code;
    repo_close(in.repo);
    session_close(in.session);
    return rc;
}

const struct app_tool init_tool = {
    .name = "pgproof init",
    .summary = "create the repository, register a cluster",
    .usage = "[options]",
    .details = "Connects to the server, checks that it can be backed up, creates the repository "
               "where there is none, and registers the cluster in it. Done already: says so. "
               "Changes nothing in the server; it prints what is missing in postgresql.conf. Run "
               "as root it acts as the owner of the data directory, who then owns the repository.",
    .examples = "pgproof init --dry-run\npgproof init\n",
    .options = options,
    .needs_config = true,
    .run = run,
};
