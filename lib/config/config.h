/*
 * The configuration: one table of options, one immutable struct, the origin of every value.
 *
 * The command line wins over the environment (PGPROOF_<SECTION>_<KEY>), which wins over the file
 * (INI; docs/configuration.md). Unknown keys and bad values are RC_CONFIG errors that name file,
 * line and key, and the nearest known key.
 */
#ifndef PGPROOF_CONFIG_CONFIG_H
#define PGPROOF_CONFIG_CONFIG_H

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_PATH "/etc/pgproof/pgproof.conf"

enum option_type {
    OPT_TEXT,
    OPT_PATH,
    OPT_UINT,
    OPT_SIZE,
    OPT_DURATION,
    OPT_BOOL,
    OPT_CHOICE,
    OPT_MOMENT, /* with an offset or zone */
};
enum option_flags { OPT_SECRET = 1 };

/* One row: from it come the parser, `pgproof config`, --help and docs/configuration.md. */
struct option {
    const char *section; /* "repository", "cluster", "wal", "tier", "objectives", ... */
    const char *key;     /* "data-directory" */
    enum option_type type;
    const char *default_value;  /* as text; NULL: none */
    const char *const *choices; /* OPT_CHOICE: NULL-terminated */
    uint64_t min, max;          /* OPT_UINT */
    unsigned flags;
    const char *help; /* one sentence */
};
extern const struct option config_options[];
extern const size_t config_option_count;

/* Sections that stand for one of several things have a name: [cluster:NAME], [tier:NAME]. On the
 * command line and in the environment a tier's name stands in the middle (--tier-daily-keep,
 * PGPROOF_TIER_DAILY_KEEP), and the cluster is always the chosen one (--cluster-connection). */
bool option_section_is_named(const char *section);

/* The row for a long option without its dashes: "wal-keep", "tier-daily-keep". `name` gets "daily",
 * or "". NULL: there is none. */
#define SECTION_NAME_SIZE                                                                          \
    64 /* 1 to 63 of [a-z0-9_-] (tiers: no '_'), not beginning with _ or -                         \
        */
const struct option *option_by_long_name(const char *long_name,
                                         char name[static SECTION_NAME_SIZE]);
/* "wal-keep"; "tier-NAME-keep" where name is "". malloc'ed. */
char *option_long_name(const struct option *o, const char *name);

enum origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_COMMAND_LINE };

/* One value in force. */
struct setting {
    const struct option *option;
    const char *name; /* the section's name behind ':', "" if it has none */
    const char *text; /* as given; NULL: not set */
    enum origin_kind origin;
    const char *origin_where; /* "/etc/pgproof/pgproof.conf:12", "PGPROOF_WAL_KEEP", "--wal-keep";
                               * "default" */
};
/* Never shown, never on a command line: secret options, and connection strings with a password. */
bool setting_is_secret(const struct setting *s);

struct tier {
    const char *name;
    int64_t keep_seconds;
    const char *type;          /* "full", "incr", "auto" */
    const char *storage_class; /* of its data packs; NULL: the storage's usual one */
};

/* [repository] where type is s3; texts are NULL where they are not set. */
struct config_s3 {
    const char *endpoint, *region, *bucket, *prefix, *ca_file;
    const char *uri_style; /* "auto", "path", "virtual" */
    const char *access_key_id, *secret_access_key, *session_token, *profile;
    uint32_t connect_timeout_seconds, stall_timeout_seconds, retry_timeout_seconds;
    const char *sse; /* "none", "s3", "kms", "c" */
    const char *sse_kms_key_id, *sse_c_key_file;
    const char *object_lock; /* "off", "governance", "compliance" */
};

struct config {
    const char *path; /* the file that was read; NULL if none */

    const char *cluster;        /* name of the chosen cluster; never NULL */
    const char *data_directory; /* NULL: not set */
    const char *connection;
    const char *pg_bindir; /* NULL: look for it */

    const char *repository_type;
    const char *repository_path; /* posix; NULL: not set */
    moment_us repository_as_of;  /* 0: as it is now */
    struct config_s3 s3;

    uint32_t jobs; /* 0 in the file: the number of cores */
    int zstd_level;
    bool row_counts;                 /* note the rows of every table with a backup */
    int64_t archive_timeout_seconds; /* how long to wait for WAL to arrive */

    int64_t wal_keep_seconds;
    struct tier *tiers;
    size_t tier_count;
    int64_t rto_seconds, rto_max_seconds, rpo_seconds, rpo_max_seconds; /* -1: no objective */
    const char *scratch_directory; /* where drills restore to */

    struct setting *settings; /* every option of every section in force, in table order */
    size_t setting_count;
    void *memory; /* owns all of the above */
};

/* What the command line says about the configuration. */
struct config_override {
    const struct option *option;
    const char *name; /* of a tier; "" otherwise */
    const char *value;
    const char *given_as; /* "--wal-keep" */
};
struct config_request {
    const char *path;    /* --config; NULL: PGPROOF_CONFIG, then the default path if it exists */
    const char *cluster; /* --cluster; NULL: PGPROOF_CLUSTER, else the only one in the file, else
                          * "main" where the file has none */
    const struct config_override *overrides;
    size_t override_count;
};

MUST_CHECK enum rc config_load(const struct config_request *q, struct config **ret,
                               struct error *err);
void config_free(struct config *c); /* takes NULL */
DEFINE_CLEANUP(cleanup_config, struct config *, config_free)

/* RC_CONFIG with the way to set it where a value that a tool needs is not set. */
MUST_CHECK enum rc config_need(const struct config *c, const char *section, const char *key,
                               struct error *err);

#endif
