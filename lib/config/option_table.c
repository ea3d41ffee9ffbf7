/* The one option table. docs/configuration.md has every row; a test compares them. */
#include "config/config_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const repository_types[] = {"posix", "s3", NULL};
static const char *const uri_styles[] = {"auto", "path", "virtual", NULL};
static const char *const sse_kinds[] = {"none", "s3", "kms", "c", NULL};
static const char *const lock_modes[] = {"off", "governance", "compliance", NULL};
static const char *const backup_types[] = {"auto", "full", "incr", NULL};

const struct option config_options[] = {
    {.section = "repository",
     .key = "type",
     .type = OPT_CHOICE,
     .choices = repository_types,
     .default_value = "posix",
     .help = "what kind of storage holds the repository"},
    {.section = "repository",
     .key = "path",
     .type = OPT_PATH,
     .help = "posix: the repository's directory"},
    {.section = "repository",
     .key = "endpoint",
     .type = OPT_TEXT,
     .help = "s3: the service, https://HOST:PORT; none: AWS's of the region"},
    {.section = "repository",
     .key = "region",
     .type = OPT_TEXT,
     .help = "s3: the bucket's region (default: as AWS's tools find it, else us-east-1)"},
    {.section = "repository",
     .key = "bucket",
     .type = OPT_TEXT,
     .help = "s3: the bucket; it must exist"},
    {.section = "repository",
     .key = "prefix",
     .type = OPT_TEXT,
     .help = "s3: in front of every object's name, such as backups/fleet2"},
    {.section = "repository",
     .key = "uri-style",
     .type = OPT_CHOICE,
     .choices = uri_styles,
     .default_value = "auto",
     .help = "s3: where the bucket stands in a URL, in the path or in the host's name"},
    {.section = "repository",
     .key = "ca-file",
     .type = OPT_PATH,
     .help = "s3: the authorities to trust, PEM (default: the system's)"},
    {.section = "repository",
     .key = "access-key-id",
     .type = OPT_TEXT,
     .help = "s3: the access key (default: AWS's chain of credentials)"},
    {.section = "repository",
     .key = "secret-access-key",
     .type = OPT_TEXT,
     .flags = OPT_SECRET,
     .help = "s3: its secret key"},
    {.section = "repository",
     .key = "session-token",
     .type = OPT_TEXT,
     .flags = OPT_SECRET,
     .help = "s3: its session token, for temporary keys"},
    {.section = "repository",
     .key = "profile",
     .type = OPT_TEXT,
     .help = "s3: take the credentials from this profile of AWS's shared files"},
    {.section = "repository",
     .key = "connect-timeout",
     .type = OPT_DURATION,
     .min = 1,
     .default_value = "10s",
     .help = "s3: how long a connection may take to come about"},
    {.section = "repository",
     .key = "stall-timeout",
     .type = OPT_DURATION,
     .min = 1,
     .default_value = "60s",
     .help = "s3: a request without a byte for so long is given up"},
    {.section = "repository",
     .key = "retry-timeout",
     .type = OPT_DURATION,
     .default_value = "5m",
     .help = "s3: how long an operation is tried again while the storage fails"},
    {.section = "repository",
     .key = "sse",
     .type = OPT_CHOICE,
     .choices = sse_kinds,
     .default_value = "none",
     .help = "s3: encryption by the server: its own keys, a KMS's, or a key of ours"},
    {.section = "repository",
     .key = "sse-kms-key-id",
     .type = OPT_TEXT,
     .help = "s3: the KMS key (default: the bucket's)"},
    {.section = "repository",
     .key = "sse-c-key-file",
     .type = OPT_PATH,
     .help = "s3: the key of SSE-C, 32 bytes or their base64"},
    {.section = "repository",
     .key = "object-lock",
     .type = OPT_CHOICE,
     .choices = lock_modes,
     .default_value = "off",
     .help = "s3: lock what is written for as long as its tier keeps it"},
    {.section = "repository",
     .key = "as-of",
     .type = OPT_MOMENT,
     .help = "s3: read the repository as it was at that moment; needs a versioned bucket"},
    {.section = "cluster",
     .key = "data-directory",
     .type = OPT_PATH,
     .help = "the cluster's data directory"},
    {.section = "cluster",
     .key = "connection",
     .type = OPT_TEXT,
     .default_value = "dbname=postgres",
     .help = "libpq connection string of a superuser or a role as in docs/configuration.md"},
    {.section = "cluster",
     .key = "pg-bindir",
     .type = OPT_PATH,
     .help = "where postgres and pg_ctl of the cluster's version are (default: looked for)"},
    {.section = "backup",
     .key = "jobs",
     .type = OPT_UINT,
     .max = 256,
     .default_value = "0",
     .help = "how many workers read, compress and write at once; 0: one for each processor"},
    {.section = "backup",
     .key = "compress-level",
     .type = OPT_UINT,
     .min = 1,
     .max = 19,
     .default_value = "3",
     .help = "zstd level of backups and WAL"},
    {.section = "backup",
     .key = "row-counts",
     .type = OPT_BOOL,
     .default_value = "on",
     .help = "count the rows of every table with each backup, for the drill to compare"},
    {.section = "wal",
     .key = "keep",
     .type = OPT_DURATION,
     .default_value = "7d",
     .help = "how far back every moment can be restored"},
    {.section = "wal",
     .key = "archive-timeout",
     .type = OPT_DURATION,
     .min = 1,
     .default_value = "10m",
     .help = "how long to wait until PostgreSQL has archived a segment"},
    {.section = "tier",
     .key = "keep",
     .type = OPT_DURATION,
     .min = 1,
     .help = "how long backups of this tier are kept"},
    {.section = "tier",
     .key = "type",
     .type = OPT_CHOICE,
     .choices = backup_types,
     .default_value = "auto",
     .help = "the type of backups of this tier"},
    {.section = "tier",
     .key = "storage-class",
     .type = OPT_TEXT,
     .help = "s3: the storage class of the data of this tier's backups"},
    {.section = "objectives",
     .key = "rto",
     .type = OPT_DURATION,
     .min = 1,
     .help = "a drill that takes longer to recover warns"},
    {.section = "objectives",
     .key = "rto-max",
     .type = OPT_DURATION,
     .min = 1,
     .help = "a drill that takes longer to recover fails"},
    {.section = "objectives",
     .key = "rpo",
     .type = OPT_DURATION,
     .min = 1,
     .help = "a drill that would lose more than this warns"},
    {.section = "objectives",
     .key = "rpo-max",
     .type = OPT_DURATION,
     .min = 1,
     .help = "a drill that would lose more than this fails"},
    {.section = "verify",
     .key = "scratch-directory",
     .type = OPT_PATH,
     .default_value = "/var/tmp",
     .help = "where drills restore to; needs room for the whole cluster"},
};
const size_t config_option_count = sizeof(config_options) / sizeof(*config_options);

const char *const builtin_tiers[] = {"daily", "weekly", "monthly", NULL};

const char *tier_default(const char *tier, const char *key)
{
    static const char *const keep[] = {"7d", "28d", "365d"};
    static const char *const type[] = {"auto", "full", "full"};

    for (size_t i = 0; builtin_tiers[i]; i++)
        if (str_eq(builtin_tiers[i], tier))
            return str_eq(key, "keep") ? keep[i] : str_eq(key, "type") ? type[i] : NULL;
    return NULL;
}

bool option_section_is_named(const char *section)
{
    return str_eq(section, "cluster") || str_eq(section, "tier");
}

bool option_section_known(const struct option *table, size_t count, const char *section)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(table[i].section, section))
            return true;
    return false;
}

/* A tier's name must survive the way through an environment variable, so it has no '_'. */
bool section_name_valid(const char *section, const char *name)
{
    const char *allowed = str_eq(section, "tier") ? "abcdefghijklmnopqrstuvwxyz0123456789-"
                                                  : "abcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(name);

    return len > 0 && len < SECTION_NAME_SIZE && name[0] != '-' && name[0] != '_' &&
           strspn(name, allowed) == len;
}

const struct option *option_find(const struct option *table, size_t count, const char *section,
                                 const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(table[i].section, section) && str_eq(table[i].key, key))
            return &table[i];
    return NULL;
}

/* "daily-keep" against key "keep": the name is what stands in front. */
static bool named_key_matches(const char *rest, const char *key,
                              char name[static SECTION_NAME_SIZE])
{
    size_t rest_len = strlen(rest), key_len = strlen(key);
    char text[SECTION_NAME_SIZE];

    if (rest_len < key_len + 2 || rest_len - key_len - 1 >= sizeof(text) ||
        rest[rest_len - key_len - 1] != '-' || !str_ends(rest, key))
        return false;
    memcpy(text, rest, rest_len - key_len - 1);
    text[rest_len - key_len - 1] = '\0';
    if (!section_name_valid("tier", text))
        return false;
    str_copy(name, SECTION_NAME_SIZE, text);
    return true;
}

const struct option *option_find_long(const struct option *table, size_t count,
                                      const char *long_name, char name[static SECTION_NAME_SIZE])
{
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &table[i];
        size_t len = strlen(o->section);

        if (strncmp(long_name, o->section, len) || long_name[len] != '-')
            continue;
        const char *rest = long_name + len + 1;
        if (str_eq(o->section, "tier")) {
            if (named_key_matches(rest, o->key, name))
                return o;
        } else if (str_eq(rest, o->key)) {
            name[0] = '\0';
            return o;
        }
    }
    return NULL;
}

const struct option *option_by_long_name(const char *long_name, char name[static SECTION_NAME_SIZE])
{
    return option_find_long(config_options, config_option_count, long_name, name);
}

char *option_long_name(const struct option *o, const char *name)
{
    if (!str_eq(o->section, "tier"))
        return str_printf("%s-%s", o->section, o->key);
    return str_printf("tier-%s-%s", name[0] ? name : "NAME", o->key);
}
