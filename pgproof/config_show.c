/* pgproof config: every value in force, and where it comes from. */
#include "app/app_open.h"
#include "base/json.h"
#include "base/str.h"
#include "pgproof/commands.h"

#define MASK "********"

static const char *origin_name(enum origin_kind kind)
{
    static const char *const names[] = {"default", "file", "environment", "command line"};

    return names[kind];
}

static const char *shown_text(const struct setting *s)
{
    return setting_is_secret(s) ? MASK : s->text;
}

static void print_section(const struct setting *s, bool first)
{
    printf(s->name[0] ? "%s[%s:%s]\n" : "%s[%s]\n", first ? "" : "\n", s->option->section, s->name);
}

static void print_setting(const struct setting *s)
{
    if (!s->text) {
        printf("; %s is not set\n", s->option->key);
        return;
    }
    CLEANUP_FREE char *shown = str_printable(shown_text(s));
    int column = printf("%s = %s", s->option->key, shown);
    printf("%*s ; %s\n", column < 44 ? 44 - column : 0, "", s->origin_where);
}

/* The output is a configuration file again. */
static void print_text(const struct config *c)
{
    const struct setting *before = NULL;

    printf("; file:    %s\n", c->path ? c->path : "none");
    printf("; cluster: %s\n\n", c->cluster);
    for (size_t i = 0; i < c->setting_count; i++) {
        const struct setting *s = &c->settings[i];
        if (!before || !str_eq(before->option->section, s->option->section) ||
            !str_eq(before->name, s->name))
            print_section(s, !before);
        print_setting(s);
        before = s;
    }
}

static json_t *setting_json(const struct setting *s)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "section", s->option->section, "name", s->name, "key",
                          s->option->key);

    if (s->text)
        json_set_bytes(o, "value", shown_text(s));
    else
        json_object_set_new(o, "value", json_null());
    json_object_set_new(o, "secret", json_boolean(setting_is_secret(s)));
    json_object_set_new(o, "origin", json_string(origin_name(s->origin)));
    json_set_bytes(o, "where", s->origin_where);
    return o;
}

/* *ret stays NULL where the storage needs no credentials. */
static enum rc find_credentials(const struct app *a, char **ret, struct error *err)
{
    CLEANUP_STORE struct store *s = NULL;
    enum rc rc;

    if (!str_eq(a->config->repository_type, "s3"))
        return RC_OK;
    TRY(app_open_store(a, false, &s, err));
    rc = store_credentials(s, ret, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static void print_json(const struct config *c, const char *credentials)
{
    CLEANUP_JSON json_t *o = json_object();
    json_t *settings = json_array();

    json_object_set_new(o, "version", json_integer(1));
    if (c->path)
        json_set_bytes(o, "file", c->path);
    else
        json_object_set_new(o, "file", json_null());
    json_object_set_new(o, "cluster", json_string(c->cluster));
    for (size_t i = 0; i < c->setting_count; i++)
        json_array_append_new(settings, setting_json(&c->settings[i]));
    json_object_set_new(o, "settings", settings);
    if (credentials)
        json_set_bytes(o, "credentials", credentials);
    json_dumpf(o, stdout, JSON_INDENT(2));
    printf("\n");
}

/* The settings are shown also where the credentials can't be found: they tell why. */
static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    CLEANUP_FREE char *credentials = NULL;
    enum rc rc = find_credentials(a, &credentials, err);

    (void)exit_code;
    if (a->json)
        print_json(a->config, credentials);
    else
        print_text(a->config);
    if (credentials && !a->json)
        printf("\n; credentials: %s\n", credentials);
    return rc;
}

const struct app_tool config_tool = {
    .name = "pgproof config",
    .summary = "what is in force, and where each value comes from",
    .usage = "[options]",
    .details =
        "Prints every option of the configuration with its value and its origin: the file "
        "and line, the environment variable, the command line, or the default. Secrets are "
        "masked. The output is a configuration file again. For an S3 repository it also says "
        "which link of the chain gives the credentials, never what they are.",
    .examples = "pgproof config\npgproof config --json --cluster=reports\n",
    .has_json = true,
    .run = run,
};
