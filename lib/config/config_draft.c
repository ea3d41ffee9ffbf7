/* What was given, from whichever side, before it is put together. */
#include "config/config_int.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void draft_done(struct draft *d)
{
    free(d->given);
    free(d->declared);
    d->given = NULL;
    d->declared = NULL;
}

/* The words of one column of the table, each once, for "nearest": NULL-terminated; free() it. */
static const char **known_words(const struct config_source *s, const char *keys_of)
{
    const char **words = mem_array(NULL, s->table_count + 1, sizeof(*words));
    size_t n = 0;

    for (size_t i = 0; i < s->table_count; i++) {
        if (keys_of && !str_eq(s->table[i].section, keys_of))
            continue;
        const char *word = keys_of ? s->table[i].key : s->table[i].section;
        if (n == 0 || !str_eq(words[n - 1], word))
            words[n++] = word;
    }
    words[n] = NULL;
    return words;
}

/* Part three for an unknown word: the nearest, or all that there are. */
static enum rc suggest(const struct config_source *s, const char *word, const char *keys_of,
                       struct error *err)
{
    CLEANUP_FREE const char **words = known_words(s, keys_of);
    const char *nearest = str_nearest(word, words);
    char list[400] = "";

    if (nearest)
        return error_now(err, "did you mean '%s'?", nearest);
    for (size_t i = 0; words[i]; i++) {
        size_t len = strlen(list);
        str_copy(list + len, sizeof(list) - len, i ? ", " : "");
        len = strlen(list);
        str_copy(list + len, sizeof(list) - len, words[i]);
    }
    return error_now(err, "known %s: %s", keys_of ? "keys" : "sections", list);
}

static enum rc check_section(struct draft *d, const char *section, const char *name,
                             struct error *err)
{
    CLEANUP_FREE char *shown = str_printable(name);

    if (!option_section_known(d->source->table, d->source->table_count, section)) {
        CLEANUP_FREE char *unknown = str_printable(section);
        error_set(err, RC_CONFIG, "unknown section [%.200s]", unknown);
        return suggest(d->source, section, NULL, err);
    }
    if (!option_section_is_named(section)) {
        if (!name[0])
            return RC_OK;
        error_set(err, RC_CONFIG, "section [%s] takes no name, but [%s:%.200s] has one", section,
                  section, shown);
        return error_now(err, "write [%s]", section);
    }
    if (section_name_valid(section, name))
        return RC_OK;
    if (!name[0])
        error_set(err, RC_CONFIG, "section [%s] needs a name", section);
    else
        error_set(err, RC_CONFIG, "'%.200s' can't be the name of a %s", shown, section);
    return error_now(err, "write [%s:NAME]; a name has 1 to 63 of a-z 0-9 -%s", section,
                     str_eq(section, "cluster") ? " _" : "");
}

enum rc draft_declare(struct draft *d, const char *section, const char *name, struct error *err)
{
    TRY(check_section(d, section, name, err));
    d->declared =
        mem_grow(d->declared, d->declared_count, &d->declared_capacity, sizeof(*d->declared));
    d->declared[d->declared_count++] = (struct declared){
        .section = arena_strdup(d->memory, section), .name = arena_strdup(d->memory, name)};
    return RC_OK;
}

static enum rc check_twice(const struct draft *d, const struct setting *s, struct error *err)
{
    for (size_t i = 0; i < d->given_count; i++) {
        const struct setting *other = &d->given[i];

        if (other->option != s->option || other->origin != s->origin ||
            !str_eq(other->name, s->name))
            continue;
        error_set(err, RC_CONFIG, "'%s' is given twice, first at %s", s->option->key,
                  other->origin_where);
        return error_now(err, "remove one of them");
    }
    return RC_OK;
}

/* A relative path is meant from where the command was typed; a file has no such place. */
static char *value_for(struct draft *d, const struct option *o, const char *value,
                       enum origin_kind origin)
{
    if (o->type == OPT_PATH && origin != ORIGIN_FILE && value[0]) {
        CLEANUP_FREE char *absolute = path_absolute(value);
        return arena_strdup(d->memory, absolute);
    }
    return arena_strdup(d->memory, value);
}

static enum rc check_secret(const struct setting *s, struct error *err)
{
    if (s->origin != ORIGIN_COMMAND_LINE || !setting_is_secret(s))
        return RC_OK;
    error_set(err, RC_CONFIG,
              "a secret can't be given on the command line, where everybody on "
              "this machine can read it");
    return error_now(err, "put it into the configuration file (mode 0600), the environment, or for "
                          "a password into a password file (~/.pgpass)");
}

enum rc draft_give(struct draft *d, const struct option *o, const char *name, const char *value,
                   enum origin_kind origin, const char *where, struct error *err)
{
    struct setting s = {.option = o,
                        .name = arena_strdup(d->memory, name),
                        .text = value_for(d, o, value, origin),
                        .origin = origin,
                        .origin_where = arena_strdup(d->memory, where)};
    enum rc rc = check_secret(&s, err);

    if (rc == RC_OK)
        rc = check_twice(d, &s, err);
    if (rc == RC_OK)
        rc = option_check(o, s.text, err);
    if (rc != RC_OK)
        return error_on(err, "%s", where);
    d->given = mem_grow(d->given, d->given_count, &d->given_capacity, sizeof(*d->given));
    d->given[d->given_count++] = s;
    return RC_OK;
}

enum rc draft_give_by_key(struct draft *d, const char *section, const char *name, const char *key,
                          const char *value, const char *where, struct error *err)
{
    const struct option *o = option_find(d->source->table, d->source->table_count, section, key);

    if (!o) {
        CLEANUP_FREE char *shown = str_printable(key);
        error_set(err, RC_CONFIG, "unknown key '%.200s' in section [%s]", shown, section);
        error_on(err, "%s", where);
        return suggest(d->source, key, section, err);
    }
    return draft_give(d, o, name, value, ORIGIN_FILE, where, err);
}
