/* PGPROOF_<SECTION>_<KEY>. */
#include "config/config_int.h"

#include "base/log.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "PGPROOF_"

/* Variables that are no options: which file, which cluster, and what tests use. */
static bool is_other(const char *name)
{
    return str_eq(name, PREFIX "CONFIG") || str_eq(name, PREFIX "CLUSTER") ||
           str_starts(name, PREFIX "TEST_");
}

/* "PGPROOF_WAL_KEEP" -> "wal-keep" */
static char *long_name_of(const char *variable)
{
    char *s = str_dup(variable + strlen(PREFIX));

    for (char *p = s; *p; p++)
        *p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    return s;
}

/* "wal-keep" -> "PGPROOF_WAL_KEEP" */
static char *variable_of(const char *long_name)
{
    char *s = str_printf(PREFIX "%s", long_name);

    for (char *p = s; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return s;
}

static char *nearest_variable(const struct config_source *s, const char *long_name)
{
    char **names = mem_array(NULL, s->table_count + 1, sizeof(*names));

    for (size_t i = 0; i < s->table_count; i++)
        names[i] = option_long_name(&s->table[i], "");
    names[s->table_count] = NULL;
    const char *nearest = str_nearest(long_name, (const char *const *)names);
    char *variable = nearest ? variable_of(nearest) : NULL;
    for (size_t i = 0; i < s->table_count; i++)
        free(names[i]);
    free(names);
    return variable;
}

/*
 * A variable of one of our sections is a mistake, as it would be in the file. Any other may belong
 * to somebody else's script: it is only named where it looks like one of ours.
 */
static enum rc unknown_variable(const struct config_source *s, const char *variable,
                                const char *long_name, struct error *err)
{
    CLEANUP_FREE char *nearest = nearest_variable(s, long_name);

    for (size_t i = 0; i < s->table_count; i++) {
        size_t len = strlen(s->table[i].section);
        if (strncmp(long_name, s->table[i].section, len) || long_name[len] != '-')
            continue;
        error_set(err, RC_CONFIG, "unknown option in the environment");
        error_on(err, "%s", variable);
        return nearest ? error_now(err, "did you mean %s?", nearest)
                       : error_now(err, "docs/configuration.md has every option");
    }
    if (nearest)
        log_warning("the environment variable %s is not known; did you mean %s?", variable,
                    nearest);
    return RC_OK;
}

static enum rc take_variable(struct draft *d, const char *entry, struct error *err)
{
    const char *equals = strchr(entry, '=');
    char name[SECTION_NAME_SIZE];

    if (!equals || !str_starts(entry, PREFIX))
        return RC_OK;
    CLEANUP_FREE char *variable = str_printf("%.*s", (int)(equals - entry), entry);
    if (is_other(variable))
        return RC_OK;
    CLEANUP_FREE char *long_name = long_name_of(variable);
    const struct option *o =
        option_find_long(d->source->table, d->source->table_count, long_name, name);
    if (!o)
        return unknown_variable(d->source, variable, long_name, err);
    return draft_give(d, o, name, equals + 1, ORIGIN_ENVIRONMENT, variable, err);
}

enum rc config_environment_read(struct draft *d, struct error *err)
{
    for (char *const *e = d->source->environment; e && *e; e++)
        TRY(take_variable(d, *e, err));
    return RC_OK;
}
