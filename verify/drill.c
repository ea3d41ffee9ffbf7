#include "verify/drill.h"

#include "app/app_keep.h"
#include "app/app_open.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "repo/document.h"
#include "repo/proof_summary.h"
#include "verify/drill_choose.h"
#include "verify/drill_restore.h"
#include "verify/drill_steps.h"
#include "verify/scratch.h"
#include "verify/scratch_server.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beside the files themselves: WAL, and what recovery writes. */
#define SPACE_SLACK_BYTES (256u << 20)
#define NAME_TRIES        10

struct drill {
    struct app *app;
    const struct drill_options *o;
    struct repo *repo;
    struct lease *lease;
    struct drill_subject subject;
    struct scratch *scratch;
    struct proof *proof;
    char *bindir;
    double began;
};

static void drill_done(struct drill *d)
{
    drill_subject_done(&d->subject);
    scratch_free(d->scratch);
    proof_free(d->proof);
    lease_release(d->lease);
    repo_close(d->repo);
    free(d->bindir);
}

/* ---- before anything is written ---- */

/* PostgreSQL does not run as root: the scratch instance gets the owner of the configured cluster.
 */
static enum rc scratch_owner(const struct config *c, uid_t *ret_uid, gid_t *ret_gid,
                             struct error *err)
{
    struct stat st;
    *ret_uid = geteuid();
    *ret_gid = getegid();
    if (*ret_uid != 0)
        return RC_OK;
    if (c->data_directory && stat(c->data_directory, &st) == 0 && st.st_uid != 0) {
        *ret_uid = st.st_uid;
        *ret_gid = st.st_gid;
        return RC_OK;
    }
    const struct passwd *pw = getpwnam("postgres");
    if (!pw) {
        error_set(err, RC_REFUSED,
                  "PostgreSQL does not run as root, and there is no user postgres here");
        return error_now(err, "run the drill as the user that is to run the scratch server");
    }
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    return RC_OK;
}

static enum rc sweep(const struct drill *d, struct error *err)
{
    unsigned removed;
    TRY(scratch_sweep(d->app->config->scratch_directory, &removed, err));
    if (removed)
        app_say(d->app, "removed what %u killed drill%s had left in %s", removed,
                removed == 1 ? "" : "s", d->app->config->scratch_directory);
    return RC_OK;
}

static enum rc check_space(const struct drill *d, struct error *err)
{
    const char *dir = d->app->config->scratch_directory;
    char need_text[32], free_text[32];
    uint64_t size = d->subject.info->size_bytes, available;
    uint64_t need = size + size / 20 + SPACE_SLACK_BYTES;
    TRY(file_space_free(dir, &available, err));
    if (available >= need)
        return RC_OK;
    error_set(err, RC_REFUSED, "there is not enough room for a drill: %s are needed, %s are free",
              format_size(need, need_text), format_size(available, free_text));
    error_on(err, "%s", dir);
    return error_now(err, "make room, or set scratch-directory in [verify] to another file system");
}

static void describe_host(struct proof *p)
{
    char host[256] = "unknown";
    if (gethostname(host, sizeof host - 1) != 0)
        memcpy(host, "unknown", sizeof "unknown");
    p->host = proof_text(p, host);
}

static void name_preload_libraries(const struct backup_info *b, struct proof *p)
{
    const char *libraries = backup_setting(b, "shared_preload_libraries");
    if (!libraries)
        return;
    CLEANUP_FREE char *copy = str_dup(libraries);
    char *save = NULL;
    for (char *l = strtok_r(copy, ", \"", &save); l; l = strtok_r(NULL, ", \"", &save))
        remark(p, &p->not_loaded, "%s", l);
}

static enum rc prepare(struct drill *d, struct error *err)
{
    const struct config *c = d->app->config;
    uid_t uid;
    gid_t gid;
    TRY(config_need(c, "verify", "scratch-directory", err));
    TRY(app_need_present(d->app, "a drill", err));
    TRY(app_open_repo(d->app, &d->repo, err));
    TRY(drill_choose(d->repo, c->cluster, d->o->backup, &d->subject, d->proof, err));
    TRY(sweep(d, err));
    TRY(server_find_bindir(c->pg_bindir, d->subject.info->pg_version_num / 10000, &d->bindir, err));
    TRY(scratch_owner(c, &uid, &gid, err));
    TRY(scratch_make(c->scratch_directory, uid, gid, &d->scratch, err));
    d->proof->rto_seconds = c->rto_seconds;
    d->proof->rto_max_seconds = c->rto_max_seconds;
    name_preload_libraries(d->subject.info, d->proof);
    return check_space(d, err);
}

/* People who look see that somebody reads this repository. Nothing depends on it. */
static void take_lease(struct drill *d)
{
    struct error why;
    if (lease_take(d->repo, d->app->config->cluster, "drill", &d->lease, &why) != RC_OK)
        log_warning("could not note in the repository that a drill is running: %s", why.what);
}

/* ---- the drill itself ---- */

static enum rc work(struct drill *d, struct error *err)
{
    struct proof *p = d->proof;
    TRY(drill_check_archive(d->repo, d->app->config->cluster, &d->subject, p, err));
    if (p->checks[CHECK_ARCHIVE].verdict != VERDICT_PASSED)
        return RC_OK;
    app_say(d->app, "restoring backup %s into %s", d->subject.info->id, d->scratch->root);
    TRY(drill_restore(d->app, &d->subject, d->scratch, p, err));
    if (p->checks[CHECK_RESTORE].verdict != VERDICT_PASSED)
        return RC_OK;
    struct drill_server_options o = {.app = d->app,
                                     .repo = d->repo,
                                     .subject = &d->subject,
                                     .scratch = d->scratch,
                                     .bindir = d->bindir,
                                     .timeout_seconds = d->o->timeout_seconds};
    return drill_server_steps(&o, p, err);
}

/* Also after a cancellation, and whatever went wrong before. */
static enum rc clean_up(struct drill *d, struct error *err)
{
    if (!d->scratch)
        return RC_OK;
    if (!d->o->keep)
        return scratch_remove(d->scratch, err);
    d->proof->kept_in = proof_text(d->proof, d->scratch->root);
    app_say(d->app, "the scratch directory was kept: %s", d->scratch->root);
    return scratch_keep(d->scratch, err);
}

/* ---- the proof ---- */

static enum rc store_proof(struct drill *d, json_t *body, struct error *err)
{
    struct proof *p = d->proof;
    const struct backup_info *b = d->subject.info;
    enum rc rc = RC_EXISTS;
    /* it is kept as long as what it is the evidence of */
    d->repo->locked_until =
        app_locked_until(d->app, b->start_time, app_keep_seconds(d->app, b->tier));
    /* names have whole seconds, and another drill of this backup may have ended in this one */
    for (int i = 0; rc == RC_EXISTS && i < NAME_TRIES; i++) {
        moment_us at = p->finished + i * INT64_C(1000000);
        struct object_name name = name_proof(p->cluster, at, p->backup_id);
        rc = proof_put(d->repo, name.text, body, err);
        if (rc == RC_OK)
            p->stored_as = proof_text(p, name.text);
    }
    return rc;
}

static enum rc print_json(json_t *body, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(proof_encode(body, &text, err));
    fwrite(text.data, 1, text.len, stdout);
    return RC_OK;
}

static enum rc flush_stdout(struct error *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return RC_OK;
    error_set(err, RC_SYSTEM, "could not write the proof");
    error_on(err, "standard output");
    return error_now(err, "it is in the repository, below proofs/");
}

static int exit_of(const struct proof *p)
{
    switch (proof_result(p)) {
    case VERDICT_PASSED:
        return EXIT_DONE;
    case VERDICT_FAILED:
        return EXIT_BAD;
    case VERDICT_NOT_RUN:
        break;
    }
    return EXIT_COULD_NOT;
}

/* What was found is printed even where it can't be stored. */
static enum rc publish(struct drill *d, int *ret_exit, struct error *err)
{
    struct proof *p = d->proof;
    struct error why;
    p->finished = clock_now();
    p->seconds_total = clock_monotonic() - d->began;
    CLEANUP_JSON json_t *body = proof_json(p);
    enum rc rc = store_proof(d, body, &why);
    if (d->app->json)
        TRY(print_json(body, err));
    else
        proof_print(p, stdout, d->app->colour && d->app->out_is_terminal);
    TRY(flush_stdout(err));
    *ret_exit = exit_of(p);
    if (rc == RC_OK)
        return RC_OK;
    *err = why;
    error_prefix(err, "the drill is done, but its proof could not be stored");
    /* damage stays the louder news */
    return proof_result(p) == VERDICT_FAILED ? error_reclass(err, RC_INTEGRITY) : err->rc;
}

static enum rc run(struct drill *d, int *ret_exit, struct error *err)
{
    struct error cleaning;
    enum rc rc = prepare(d, err);
    if (rc == RC_OK) {
        take_lease(d);
        rc = work(d, err);
    }
    enum rc cleaned = clean_up(d, &cleaning);
    if (rc == RC_OK)
        rc = publish(d, ret_exit, err);
    if (cleaned == RC_OK)
        return rc;
    if (rc != RC_OK) {
        log_warning("could not remove the scratch directory %s: %s", d->scratch->root,
                    cleaning.what);
        return rc;
    }
    *err = cleaning;
    error_prefix(err, "the drill is done, but its scratch directory could not be cleared away");
    CLEANUP_FREE char *root = str_shell_word(d->scratch->root);
    return error_now(err, "remove it yourself: rm -r %s", root);
}

enum rc drill_run(struct app *a, const struct drill_options *o, int *ret_exit, struct error *err)
{
    struct drill d = {.app = a, .o = o, .proof = proof_new(), .began = clock_monotonic()};
    d.proof->started = clock_now();
    d.proof->tool_version = PGPROOF_VERSION;
    describe_host(d.proof);
    enum rc rc = run(&d, ret_exit, err);
    drill_done(&d);
    return rc;
}
