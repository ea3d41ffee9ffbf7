/* The command line. */
#include "app/app_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

const struct common_option common_options[] = {
    {"config", "FILE", "the configuration file (default: " CONFIG_DEFAULT_PATH ")"},
    {"cluster", "NAME", "which cluster, where the configuration has several"},
    {"json", NULL, "the result as JSON on stdout"},
    {"quiet", NULL, "only warnings and errors on stderr"},
    {"verbose", NULL, "say on stderr what is done in detail"},
    {"help", NULL, "show this and exit"},
    {"version", NULL, "show the version and exit"},
    {0},
};

/* One option as given: "--name", "--name=value", "--name value". */
struct given {
    const char *text; /* for messages */
    char *name;
    const char *value; /* behind '=', else NULL */
    const char *next;  /* the next word of argv, or NULL */
    bool used_next;
};

static enum rc wrong(const struct app_tool *tool, struct error *err, const char *on)
{
    CLEANUP_FREE char *shown = str_printable(on);

    error_on(err, "%s", shown);
    return error_now(err, "run '%s --help' to see what it takes", tool->name);
}

static enum rc take_value(const struct app_tool *tool, struct given *g, const char **ret,
                          struct error *err)
{
    const char *value = g->value;

    if (!value && g->next && !str_starts(g->next, "--")) {
        value = g->next;
        g->used_next = true;
    }
    if (!value) {
        error_set(err, RC_USAGE, "the option needs a value");
        return wrong(tool, err, g->text);
    }
    *ret = value;
    return RC_OK;
}

static enum rc take_switch(const struct app_tool *tool, const struct given *g, struct error *err)
{
    if (!g->value)
        return RC_OK;
    error_set(err, RC_USAGE, "the option takes no value");
    return wrong(tool, err, g->text);
}

/* Twice the same option with a value is a slip; nobody can know which was meant. */
static enum rc take_once(const struct app_tool *tool, struct given *g, const char **slot,
                         struct error *err)
{
    const char *value = NULL;

    TRY(take_value(tool, g, &value, err));
    if (*slot)
        error_set(err, RC_USAGE, "the option is given twice");
    else if (!value[0])
        error_set(err, RC_USAGE, "the option's value is empty");
    if (*slot || !value[0])
        return wrong(tool, err, g->text);
    *slot = value;
    return RC_OK;
}

static enum rc take_tool_option(const struct app_tool *tool, struct given *g, struct arguments *a,
                                bool *ret_known, struct error *err)
{
    for (size_t i = 0; tool->options && tool->options[i].name; i++) {
        if (!str_eq(tool->options[i].name, g->name))
            continue;
        *ret_known = true;
        if (tool->options[i].placeholder)
            return take_once(tool, g, &a->values[i], err);
        TRY(take_switch(tool, g, err));
        a->values[i] = "";
        return RC_OK;
    }
    return RC_OK;
}

static bool *common_switch(const struct app_tool *tool, struct arguments *a, const char *name)
{
    if (str_eq(name, "json"))
        return tool->has_json ? &a->json : NULL;
    return str_eq(name, "quiet")     ? &a->quiet
           : str_eq(name, "verbose") ? &a->verbose
           : str_eq(name, "help")    ? &a->help
           : str_eq(name, "version") ? &a->version
                                     : NULL;
}

static enum rc take_common_option(const struct app_tool *tool, struct given *g, struct arguments *a,
                                  bool *ret_known, struct error *err)
{
    bool *on = common_switch(tool, a, g->name);

    *ret_known = true;
    if (str_eq(g->name, "config"))
        return take_once(tool, g, &a->config_path, err);
    if (str_eq(g->name, "cluster"))
        return take_once(tool, g, &a->cluster, err);
    if (on) {
        TRY(take_switch(tool, g, err));
        *on = true;
        return RC_OK;
    }
    *ret_known = false;
    return RC_OK;
}

static enum rc take_config_option(const struct app_tool *tool, struct given *g, struct arguments *a,
                                  bool *ret_known, struct error *err)
{
    char name[SECTION_NAME_SIZE];
    const struct option *o = option_by_long_name(g->name, name);
    const char *value = NULL;

    if (!o)
        return RC_OK;
    *ret_known = true;
    TRY(take_value(tool, g, &value, err));
    a->overrides[a->override_count++] =
        (struct config_override){.option = o,
                                 .name = arena_strdup(a->memory, name),
                                 .value = value,
                                 .given_as = arena_printf(a->memory, "--%s", g->name)};
    return RC_OK;
}

/* Every name that the tool knows: NULL-terminated, in the arena. */
static const char **known_names(const struct app_tool *tool, struct arena *memory)
{
    size_t n = 0, count = config_option_count + 1;

    for (const struct app_option *o = tool->options; o && o->name; o++)
        count++;
    for (const struct common_option *o = common_options; o->name; o++)
        count++;
    const char **names = arena_alloc(memory, count * sizeof(*names));
    for (const struct app_option *o = tool->options; o && o->name; o++)
        names[n++] = o->name;
    for (const struct common_option *o = common_options; o->name; o++)
        if (tool->has_json || !str_eq(o->name, "json"))
            names[n++] = o->name;
    for (size_t i = 0; i < config_option_count; i++) {
        CLEANUP_FREE char *name = option_long_name(&config_options[i], "");
        names[n++] = arena_strdup(memory, name);
    }
    return names;
}

static enum rc unknown(const struct app_tool *tool, const struct given *g, struct arguments *a,
                       struct error *err)
{
    const char *nearest = str_nearest(g->name, known_names(tool, a->memory));

    error_set(err, RC_USAGE, "unknown option");
    if (!nearest)
        return wrong(tool, err, g->text);
    CLEANUP_FREE char *shown = str_printable(g->text);
    error_on(err, "%s", shown);
    return error_now(err, "did you mean --%s? '%s --help' shows all", nearest, tool->name);
}

static enum rc take_option(const struct app_tool *tool, struct given *g, struct arguments *a,
                           struct error *err)
{
    bool known = false;

    TRY(take_tool_option(tool, g, a, &known, err));
    if (!known)
        TRY(take_common_option(tool, g, a, &known, err));
    if (!known)
        TRY(take_config_option(tool, g, a, &known, err));
    return known ? RC_OK : unknown(tool, g, a, err);
}

static enum rc take_word(const struct app_tool *tool, int argc, char **argv, int *i,
                         struct arguments *a, struct error *err)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    bool dashes = str_starts(word, "--");

    if (str_eq(word, "-h"))
        word = "--help", dashes = true;
    if (!dashes && (word[0] != '-' || word[1] == '\0')) {
        a->positional[a->positional_count++] = word;
        return RC_OK;
    }
    if (!dashes) {
        error_set(err, RC_USAGE, "unknown option: options are long ones here");
        return wrong(tool, err, word);
    }
    struct given g = {.text = word,
                      .name = equals
                                  ? arena_strndup(a->memory, word + 2, (size_t)(equals - word - 2))
                                  : arena_strdup(a->memory, word + 2),
                      .value = equals ? equals + 1 : NULL,
                      .next = *i + 1 < argc ? argv[*i + 1] : NULL};
    TRY(take_option(tool, &g, a, err));
    *i += g.used_next;
    return RC_OK;
}

static enum rc check_count(const struct app_tool *tool, const struct arguments *a,
                           struct error *err)
{
    if (a->help || a->version)
        return RC_OK;
    if (a->positional_count > tool->max_args) {
        error_set(err, RC_USAGE, "too many arguments");
        return wrong(tool, err, a->positional[tool->max_args]);
    }
    if (a->positional_count < tool->min_args) {
        error_set(err, RC_USAGE, "an argument is missing: usage is '%s %s'", tool->name,
                  tool->usage ? tool->usage : "");
        return error_now(err, "run '%s --help' to see what it takes", tool->name);
    }
    return RC_OK;
}

static enum rc parse_all(const struct app_tool *tool, int argc, char **argv, struct arguments *a,
                         struct error *err)
{
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--")) {
            while (++i < argc)
                a->positional[a->positional_count++] = argv[i];
            break;
        }
        TRY(take_word(tool, argc, argv, &i, a, err));
    }
    return check_count(tool, a, err);
}

enum rc arguments_parse(const struct app_tool *tool, int argc, char **argv, struct arguments *ret,
                        struct error *err)
{
    struct arguments a = {.memory = arena_new()};
    size_t options = 0, words = (size_t)argc + 1;

    for (const struct app_option *o = tool->options; o && o->name; o++)
        options++;
    a.values = arena_alloc(a.memory, (options + 1) * sizeof(*a.values));
    a.positional = arena_alloc(a.memory, words * sizeof(*a.positional));
    a.overrides = arena_alloc(a.memory, words * sizeof(*a.overrides));
    enum rc rc = parse_all(tool, argc, argv, &a, err);
    if (rc != RC_OK) {
        arguments_done(&a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

void arguments_done(struct arguments *a)
{
    arena_free(a->memory);
    a->memory = NULL;
}
