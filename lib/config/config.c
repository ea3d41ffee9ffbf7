/* Put together what file, environment and command line say. */
#include "config/config_int.h"

#include "base/file.h"
#include "base/str.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "postgresql://user:password@host/db" */
static bool uri_has_password(const char *text)
{
    const char *at = strchr(text, '@'), *scheme = strstr(text, "://");

    if (!str_starts(text, "postgres") || !scheme || !at)
        return false;
    const char *colon = strchr(scheme + 3, ':');
    return colon && colon < at;
}

/* "password = x", also "sslpassword=x" */
static bool conninfo_has_password(const char *text)
{
    for (const char *p = text; (p = strstr(p, "password")); p++) {
        const char *behind = p + strlen("password");
        if (behind[strspn(behind, " \t")] == '=')
            return true;
    }
    return uri_has_password(text);
}

bool setting_is_secret(const struct setting *s)
{
    if (!s->text)
        return false;
    if (s->option->flags & OPT_SECRET)
        return true;
    return str_eq(s->option->key, "connection") && conninfo_has_password(s->text);
}

static const char *variable_value(const struct config_source *s, const char *variable)
{
    size_t len = strlen(variable);

    for (char *const *e = s->environment; e && *e; e++)
        if (!strncmp(*e, variable, len) && (*e)[len] == '=' && (*e)[len + 1])
            return *e + len + 1;
    return NULL;
}

/* The file asked for must be there; the default one need not. */
static const char *choose_path(struct draft *d, const char *asked)
{
    const char *path = asked ? asked : variable_value(d->source, "PGPROOF_CONFIG");

    if (!path)
        path = access(d->source->default_path, F_OK) == 0 ? d->source->default_path : NULL;
    if (!path)
        return NULL;
    CLEANUP_FREE char *absolute = path_absolute(path);
    return arena_strdup(d->memory, absolute);
}

static size_t count_declared(const struct draft *d, const char *section, const char *name,
                             const char **ret_first)
{
    size_t n = 0;

    for (size_t i = 0; i < d->declared_count; i++) {
        const struct declared *s = &d->declared[i];
        if (!str_eq(s->section, section) || (name && !str_eq(s->name, name)))
            continue;
        if (ret_first && (n == 0))
            *ret_first = s->name;
        n += !ret_first || n == 0 || !str_eq(s->name, *ret_first);
    }
    return n;
}

/* "main, reports" */
static void list_clusters(const struct draft *d, char *to, size_t size)
{
    to[0] = '\0';
    for (size_t i = 0; i < d->declared_count; i++) {
        size_t len = strlen(to);
        if (!str_eq(d->declared[i].section, "cluster"))
            continue;
        str_copy(to + len, size - len, len ? ", " : "");
        len = strlen(to);
        str_copy(to + len, size - len, d->declared[i].name);
    }
}

static enum rc choose_cluster(struct draft *d, const char *asked, const char **ret,
                              struct error *err)
{
    const char *name = asked ? asked : variable_value(d->source, "PGPROOF_CLUSTER");
    const char *only = NULL;
    size_t count = count_declared(d, "cluster", NULL, &only);
    char list[400];

    list_clusters(d, list, sizeof(list));
    if (!name && count > 1) {
        error_set(err, RC_CONFIG, "which cluster? the configuration has several: %s", list);
        error_on(err, "%s", d->path);
        return error_now(err, "choose one with --cluster=NAME or PGPROOF_CLUSTER");
    }
    if (!name)
        name = only ? only : "main";
    if (!section_name_valid("cluster", name)) {
        CLEANUP_FREE char *shown = str_printable(name);
        error_set(err, RC_CONFIG, "'%.200s' can't be the name of a cluster", shown);
        error_on(err, "%s", asked ? "--cluster" : "PGPROOF_CLUSTER");
        return error_now(err, "a name has 1 to 63 of a-z 0-9 - _");
    }
    if (count && !count_declared(d, "cluster", name, NULL)) {
        error_set(err, RC_CONFIG, "there is no cluster '%s' in the configuration", name);
        error_on(err, "%s", d->path);
        return error_now(err, "it has: %s", list);
    }
    *ret = arena_strdup(d->memory, name);
    return RC_OK;
}

/* What wins for one option: the later origin. A value for the chosen cluster from outside the file
 * has no name. */
static struct setting resolve(const struct draft *d, const struct option *o, const char *name)
{
    bool cluster = str_eq(o->section, "cluster");
    const char *fallback = str_eq(o->section, "tier") ? tier_default(name, o->key) : NULL;
    struct setting best = {.option = o,
                           .name = name,
                           .text = fallback ? fallback : o->default_value,
                           .origin = ORIGIN_DEFAULT,
                           .origin_where = "default"};

    for (size_t i = 0; i < d->given_count; i++) {
        const struct setting *s = &d->given[i];
        bool same = str_eq(s->name, name) || (cluster && s->origin != ORIGIN_FILE);
        if (s->option == o && same && s->origin > best.origin)
            best = *s;
    }
    best.name = name;
    return best;
}

static void add_tier(struct config *c, struct arena *memory, const char *name, size_t *capacity)
{
    for (size_t i = 0; i < c->tier_count; i++)
        if (str_eq(c->tiers[i].name, name))
            return;
    struct tier *tiers = c->tiers;
    if (c->tier_count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 8;
        tiers = arena_alloc(memory, *capacity * sizeof(*tiers));
        if (c->tier_count)
            memcpy(tiers, c->tiers, c->tier_count * sizeof(*tiers));
        c->tiers = tiers;
    }
    tiers[c->tier_count++].name = name;
}

/* The built-in ones, then the others in the order in which they were given. */
static void collect_tiers(struct config *c, const struct draft *d)
{
    size_t capacity = 0;

    for (size_t i = 0; builtin_tiers[i]; i++)
        add_tier(c, d->memory, builtin_tiers[i], &capacity);
    for (size_t i = 0; i < d->declared_count; i++)
        if (str_eq(d->declared[i].section, "tier"))
            add_tier(c, d->memory, d->declared[i].name, &capacity);
    for (size_t i = 0; i < d->given_count; i++)
        if (str_eq(d->given[i].option->section, "tier"))
            add_tier(c, d->memory, d->given[i].name, &capacity);
}

/* Every row of one section under one name. */
static void settle_section(struct config *c, const struct draft *d, const char *section,
                           const char *name)
{
    for (size_t i = 0; i < d->source->table_count; i++)
        if (str_eq(d->source->table[i].section, section))
            c->settings[c->setting_count++] = resolve(d, &d->source->table[i], name);
}

static void settle(struct config *c, const struct draft *d)
{
    const struct config_source *s = d->source;

    c->settings =
        arena_alloc(d->memory, s->table_count * (1 + c->tier_count) * sizeof(*c->settings));
    for (size_t i = 0; i < s->table_count; i++) {
        const char *section = s->table[i].section;

        if (i > 0 && str_eq(section, s->table[i - 1].section))
            continue;
        if (str_eq(section, "tier"))
            for (size_t t = 0; t < c->tier_count; t++)
                settle_section(c, d, section, c->tiers[t].name);
        else
            settle_section(c, d, section, str_eq(section, "cluster") ? c->cluster : "");
    }
}

static const struct setting *setting_find(const struct config *c, const char *section,
                                          const char *name, const char *key)
{
    for (size_t i = 0; i < c->setting_count; i++) {
        const struct setting *s = &c->settings[i];
        if (str_eq(s->option->section, section) && str_eq(s->option->key, key) &&
            (!name || str_eq(s->name, name)))
            return s;
    }
    return NULL;
}

static const char *named_text(const struct config *c, const char *section, const char *name,
                              const char *key)
{
    const struct setting *s = setting_find(c, section, name, key);

    return s ? s->text : NULL;
}

static const char *text_of(const struct config *c, const char *section, const char *key)
{
    return named_text(c, section, NULL, key);
}

/* -1 where it isn't set. Values were checked when they were given. */
static int64_t seconds_of(const struct config *c, const char *section, const char *name,
                          const char *key)
{
    const struct setting *s = setting_find(c, section, name, key);
    int64_t seconds = -1;

    if (s && s->text)
        BUG_IF(!parse_duration(s->text, &seconds));
    return seconds;
}

static uint64_t number_of(const struct config *c, const char *section, const char *key)
{
    const char *text = text_of(c, section, key);
    uint64_t n = 0;

    if (text)
        BUG_IF(!parse_u64(text, &n));
    return n;
}

static bool flag_of(const struct config *c, const char *section, const char *key)
{
    const char *text = text_of(c, section, key);
    bool b = false;

    if (text)
        BUG_IF(!parse_bool(text, &b));
    return b;
}

/* The processors that this process may use, not those of the machine: in a container they differ.
 */
static uint32_t processor_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 1)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

static void fill_s3(struct config *c)
{
    struct config_s3 *s = &c->s3;
    const char *as_of = text_of(c, "repository", "as-of");
    struct error ignored;

    s->endpoint = text_of(c, "repository", "endpoint");
    s->region = text_of(c, "repository", "region");
    s->bucket = text_of(c, "repository", "bucket");
    s->prefix = text_of(c, "repository", "prefix");
    s->uri_style = text_of(c, "repository", "uri-style");
    s->ca_file = text_of(c, "repository", "ca-file");
    s->access_key_id = text_of(c, "repository", "access-key-id");
    s->secret_access_key = text_of(c, "repository", "secret-access-key");
    s->session_token = text_of(c, "repository", "session-token");
    s->profile = text_of(c, "repository", "profile");
    s->connect_timeout_seconds = (uint32_t)seconds_of(c, "repository", NULL, "connect-timeout");
    s->stall_timeout_seconds = (uint32_t)seconds_of(c, "repository", NULL, "stall-timeout");
    s->retry_timeout_seconds = (uint32_t)seconds_of(c, "repository", NULL, "retry-timeout");
    s->sse = text_of(c, "repository", "sse");
    s->sse_kms_key_id = text_of(c, "repository", "sse-kms-key-id");
    s->sse_c_key_file = text_of(c, "repository", "sse-c-key-file");
    s->object_lock = text_of(c, "repository", "object-lock");
    if (as_of)
        BUG_IF(moment_parse(as_of, &c->repository_as_of, &ignored) != RC_OK);
}

static enum rc fill_tiers(struct config *c, struct error *err)
{
    for (size_t i = 0; i < c->tier_count; i++) {
        struct tier *t = &c->tiers[i];

        t->keep_seconds = seconds_of(c, "tier", t->name, "keep");
        t->type = named_text(c, "tier", t->name, "type");
        t->storage_class = named_text(c, "tier", t->name, "storage-class");
        if (t->keep_seconds >= 0)
            continue;
        error_set(err, RC_CONFIG, "tier '%s' does not say how long its backups are kept", t->name);
        error_on(err, "%s", c->path ? c->path : "the environment or the command line");
        return error_now(err, "put 'keep = 30d' into section [tier:%s]", t->name);
    }
    return RC_OK;
}

static enum rc check_objective(const struct config *c, const char *key, int64_t target,
                               int64_t maximum, struct error *err)
{
    if (target < 0 || maximum < 0 || target <= maximum)
        return RC_OK;
    CLEANUP_FREE char *key_max = str_printf("%s-max", key);
    error_set(err, RC_CONFIG, "the objective %s = %s is longer than its maximum %s = %s", key,
              text_of(c, "objectives", key), key_max, text_of(c, "objectives", key_max));
    error_on(err, "%s", setting_find(c, "objectives", NULL, key)->origin_where);
    return error_now(err, "make the maximum at least as long");
}

static enum rc fill(struct config *c, struct error *err)
{
    c->data_directory = text_of(c, "cluster", "data-directory");
    c->connection = text_of(c, "cluster", "connection");
    c->pg_bindir = text_of(c, "cluster", "pg-bindir");
    c->repository_type = text_of(c, "repository", "type");
    c->repository_path = text_of(c, "repository", "path");
    fill_s3(c);
    c->jobs = (uint32_t)number_of(c, "backup", "jobs");
    if (c->jobs == 0)
        c->jobs = processor_count();
    c->zstd_level = (int)number_of(c, "backup", "compress-level");
    c->row_counts = flag_of(c, "backup", "row-counts");
    c->archive_timeout_seconds = seconds_of(c, "wal", NULL, "archive-timeout");
    c->wal_keep_seconds = seconds_of(c, "wal", NULL, "keep");
    c->rto_seconds = seconds_of(c, "objectives", NULL, "rto");
    c->rto_max_seconds = seconds_of(c, "objectives", NULL, "rto-max");
    c->rpo_seconds = seconds_of(c, "objectives", NULL, "rpo");
    c->rpo_max_seconds = seconds_of(c, "objectives", NULL, "rpo-max");
    c->scratch_directory = text_of(c, "verify", "scratch-directory");
    TRY(check_objective(c, "rto", c->rto_seconds, c->rto_max_seconds, err));
    TRY(check_objective(c, "rpo", c->rpo_seconds, c->rpo_max_seconds, err));
    return fill_tiers(c, err);
}

static enum rc gather(struct draft *d, const struct config_request *q, struct error *err)
{
    d->path = choose_path(d, q->path);
    if (d->path)
        TRY(config_file_read(d, err));
    TRY(config_environment_read(d, err));
    for (size_t i = 0; i < q->override_count; i++) {
        const struct config_override *o = &q->overrides[i];
        TRY(draft_give(d, o->option, o->name, o->value, ORIGIN_COMMAND_LINE, o->given_as, err));
    }
    return RC_OK;
}

static enum rc build(struct draft *d, const struct config_request *q, struct config *c,
                     struct error *err)
{
    TRY(gather(d, q, err));
    c->path = d->path;
    TRY(choose_cluster(d, q->cluster, &c->cluster, err));
    collect_tiers(c, d);
    settle(c, d);
    return fill(c, err);
}

enum rc config_load_from(const struct config_source *source, const struct config_request *q,
                         struct config **ret, struct error *err)
{
    struct arena *memory = arena_new();
    struct draft d = {.source = source, .memory = memory};
    struct config *c = arena_alloc(memory, sizeof(*c));
    enum rc rc = build(&d, q, c, err);

    draft_done(&d);
    if (rc != RC_OK) {
        arena_free(memory);
        return rc;
    }
    c->memory = memory;
    *ret = c;
    return RC_OK;
}

enum rc config_load(const struct config_request *q, struct config **ret, struct error *err)
{
    struct config_source source = {.table = config_options,
                                   .table_count = config_option_count,
                                   .environment = environ,
                                   .default_path = CONFIG_DEFAULT_PATH};

    return config_load_from(&source, q, ret, err);
}

void config_free(struct config *c)
{
    if (c)
        arena_free(c->memory);
}

enum rc config_need(const struct config *c, const char *section, const char *key, struct error *err)
{
    const struct setting *s = setting_find(c, section, NULL, key);

    if (!s)
        BUG("there is no option %s in [%s]", key, section);
    if (s->text && s->text[0])
        return RC_OK;
    CLEANUP_FREE char *long_name = option_long_name(s->option, s->name);
    const char *colon = s->name[0] ? ":" : "";
    error_set(err, RC_CONFIG, "'%s' in section [%s%s%s] is not set", key, section, colon, s->name);
    error_on(err, "%s", c->path ? c->path : "no configuration file was found");
    return error_now(err, "set it in %s, or give --%s", c->path ? c->path : CONFIG_DEFAULT_PATH,
                     long_name);
}
