/* Between the files of config, and for its tests. */
#ifndef PGPROOF_CONFIG_CONFIG_INT_H
#define PGPROOF_CONFIG_CONFIG_INT_H

#include "base/mem.h"
#include "config/config.h"

/* Where a configuration comes from; tests bring their own. */
struct config_source {
    const struct option *table;
    size_t table_count;
    char *const *environment;
    const char *default_path;
};

/* A section that stands in the file, also where it has no keys. */
struct declared {
    const char *section;
    const char *name;
};

/* What was given so far, unordered. All strings belong to the arena. */
struct draft {
    const struct config_source *source;
    struct arena *memory;
    const char *path; /* of the file; NULL if none */
    struct setting *given;
    size_t given_count, given_capacity;
    struct declared *declared;
    size_t declared_count, declared_capacity;
};

/* config_file.c, config_environment.c */
MUST_CHECK enum rc config_file_read(struct draft *d, struct error *err);
MUST_CHECK enum rc config_environment_read(struct draft *d, struct error *err);

/* config_draft.c: `name` is "" where the section has none; `where` is copied. */
MUST_CHECK enum rc draft_declare(struct draft *d, const char *section, const char *name,
                                 struct error *err);
MUST_CHECK enum rc draft_give(struct draft *d, const struct option *o, const char *name,
                              const char *value, enum origin_kind origin, const char *where,
                              struct error *err);
MUST_CHECK enum rc draft_give_by_key(struct draft *d, const char *section, const char *name,
                                     const char *key, const char *value, const char *where,
                                     struct error *err);
void draft_done(struct draft *d); /* not the arena */

/* option_value.c: is this a value of the option's type? */
MUST_CHECK enum rc option_check(const struct option *o, const char *value, struct error *err);

/* option_table.c */
const struct option *option_find(const struct option *table, size_t count, const char *section,
                                 const char *key);
const struct option *option_find_long(const struct option *table, size_t count,
                                      const char *long_name, char name[static SECTION_NAME_SIZE]);
bool option_section_known(const struct option *table, size_t count, const char *section);
bool section_name_valid(const char *section, const char *name);
/* The built-in tiers; NULL where `tier` is none of them, or the key has no default. */
const char *tier_default(const char *tier, const char *key);
extern const char *const builtin_tiers[];

/* config.c */
MUST_CHECK enum rc config_load_from(const struct config_source *source,
                                    const struct config_request *q, struct config **ret,
                                    struct error *err);

#endif
