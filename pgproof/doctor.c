/* pgproof doctor: what does this storage do, and does it keep what pgproof relies on? */
#include "app/app_open.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "pgproof/commands.h"
#include "pgproof/owner.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct doctor {
    struct app *app;
    const char *group; /* the last one that was printed */
    unsigned warnings, broken, unknown;
    json_t *findings;
};

static const char *word(enum store_verdict v)
{
    static const char *const words[] = {
        [STORE_HOLDS] = "ok",  [STORE_LACKS] = "no",        [STORE_UNKNOWN] = "unknown",
        [STORE_FACT] = "info", [STORE_WARNING] = "warning", [STORE_BROKEN] = "broken",
    };

    return words[v];
}

static void count(struct doctor *d, const struct store_finding *f)
{
    d->warnings += f->verdict == STORE_WARNING;
    d->broken += f->verdict == STORE_BROKEN;
    d->unknown += f->verdict == STORE_UNKNOWN && f->needed;
}

static void note_finding(void *ctx, const struct store_finding *f)
{
    struct doctor *d = ctx;
    CLEANUP_FREE char *shown = str_printable(f->text);
    json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "group", f->group, "what", f->what, "verdict",
                          word(f->verdict), "needed", (int)f->needed);

    count(d, f);
    json_set_bytes(o, "text", shown);
    json_array_append_new(d->findings, o);
    if (d->app->json)
        return;
    if (!str_eq(d->group, f->group))
        printf("%s%c%s\n", d->group ? "\n" : "", toupper((unsigned char)f->group[0]), f->group + 1);
    d->group = f->group;
    printf("  %-8s %-16s %s\n", word(f->verdict), f->what, shown);
    fflush(stdout);
}

static bool is_posix(const struct app *a)
{
    return str_eq(a->config->repository_type, "posix");
}

/* Before 'pgproof init' the directory may not be there: it is made for the trial. */
static enum rc open_place(const struct app *a, bool *ret_made, struct store **ret,
                          struct error *err)
{
    const struct config *c = a->config;

    TRY(app_need_repository(a, err));
    *ret_made = is_posix(a) && !file_exists(c->repository_path);
    if (!*ret_made && c->data_directory && file_exists(c->data_directory))
        TRY(owner_become(c->data_directory, err));
    return app_open_store(a, *ret_made, ret, err);
}

static enum rc examine(struct doctor *d, struct error *err)
{
    const char *path = d->app->config->repository_path;
    CLEANUP_STORE struct store *s = NULL;
    bool made;
    enum rc rc;

    TRY(open_place(d->app, &made, &s, err));
    if (!d->app->json)
        printf("Repository  %s%s\n\n", s->where,
               made ? " (not there yet: made for this trial, and removed again)" : "");
    rc = store_examine(s, note_finding, d, err);
    if (made && rmdir(path) != 0)
        log_warning("%s: could not remove the directory again: %s", path, strerror(errno));
    return rc;
}

static int exit_code_of(const struct doctor *d, const struct error *failure)
{
    if (d->broken > 0)
        return EXIT_BAD;
    if (failure->rc != RC_OK)
        return app_exit_code(failure);
    return d->unknown > 0 ? EXIT_COULD_NOT : EXIT_DONE;
}

static void print_result(const struct doctor *d)
{
    if (d->broken > 0)
        printf("\nA promise that pgproof needs does not hold here: see 'broken' above.\n");
    else if (d->unknown > 0)
        printf("\nNot all that pgproof needs could be found out: see 'unknown' above.\n");
    else
        printf("\nAll that pgproof needs holds%s.\n",
               d->warnings ? "; see the warnings above" : "");
}

static json_t *error_json(const struct error *err)
{
    json_t *o = json_object();

    json_object_set_new(o, "class", json_string(rc_name(err->rc)));
    json_set_bytes(o, "what", err->what);
    json_set_bytes(o, "on", err->on);
    json_set_bytes(o, "now", err->now);
    return o;
}

static void print_json(const struct doctor *d, const struct error *failure, int exit_code)
{
    static const char *const results[] = {"ok", "could not check", "bad"};
    CLEANUP_FREE char *where = app_repository_where(d->app);
    CLEANUP_JSON json_t *o = json_pack(
        "{s:i, s:s, s:s, s:O, s:i}", "version", 1, "type", d->app->config->repository_type,
        "result", exit_code <= EXIT_BAD ? results[exit_code] : "could not check", "findings",
        d->findings, "exit_code", exit_code);

    json_set_bytes(o, "repository", where);
    if (failure->rc != RC_OK)
        json_object_set_new(o, "error", error_json(failure));
    json_dumpf(o, stdout, JSON_INDENT(2));
    printf("\n");
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    struct doctor d = {.app = a, .findings = json_array()};
    struct error failure = {0};

    (void)err;
    if (examine(&d, &failure) != RC_OK)
        app_complete_error(&failure, a->tool->name);
    *exit_code = exit_code_of(&d, &failure);
    if (a->json)
        print_json(&d, &failure, *exit_code);
    else if (failure.rc == RC_OK)
        print_result(&d);
    fflush(stdout);
    if (failure.rc != RC_OK)
        app_print_error(stderr, a->tool->name, &failure, a->colour);
    json_decref(d.findings);
    return RC_OK;
}

const struct app_tool doctor_tool = {
    .name = "pgproof doctor",
    .summary = "does the storage keep what pgproof relies on?",
    .usage = "[options]",
    .details = "Tries the repository's storage with small objects of its own and removes them "
               "again: whether a put never replaces, also of eight at once, whether what was "
               "written can be read and listed at once, what is absent is told to be, what the "
               "storage offers beyond that (checksums, versions, object lock, encryption), what "
               "these credentials may do, how far its clock is from ours, and how fast it is. "
               "Nothing in the repository is touched; there need not be one yet. Takes up to two "
               "minutes. Exits with 2 where a promise that pgproof needs does not hold, with 1 "
               "where that could not be found out.",
    .examples = "pgproof doctor\npgproof doctor --json\n",
    .needs_config = true,
    .has_json = true,
    .run = run,
};
