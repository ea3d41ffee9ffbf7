#include "verify/scratch_server.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Versions know different settings, and an unknown one keeps the server from starting. */
struct fixed_setting {
    const char *text;
    uint32_t from_major, to_major; /* 0: no bound */
};

static const struct fixed_setting fixed[] = {
    /* nobody gets in, but over the private socket */
    {"listen_addresses=", 0, 0},
    {"ssl=off", 0, 0},
    /* nothing gets out */
    {"archive_mode=off", 0, 0},
    {"archive_command=", 0, 0},
    {"archive_library=", 15, 0},
    {"archive_cleanup_command=", 0, 0},
    {"recovery_end_command=", 0, 0},
    {"primary_conninfo=", 0, 0},
    {"primary_slot_name=", 0, 0},
    {"sync_replication_slots=off", 17, 0},
    {"synchronized_standby_slots=", 17, 0},
    {"synchronous_standby_names=", 0, 0},
    {"max_logical_replication_workers=0", 0, 0},
    {"external_pid_file=", 0, 0},
    {"promote_trigger_file=", 0, 15},
    /* nothing runs that was not asked for */
    {"shared_preload_libraries=", 0, 0},
    {"session_preload_libraries=", 0, 0},
    {"local_preload_libraries=", 0, 0},
    {"autovacuum=off", 0, 0},
    {"event_triggers=off", 17, 0},
    {"jit=off", 0, 0},
    /* recovery goes to its target and can be asked how far it is */
    {"hot_standby=on", 0, 0},
    {"wal_level=replica", 0, 0},
    {"recovery_min_apply_delay=0", 0, 0},
    /* the same wherever the drill runs */
    {"shared_buffers=128MB", 0, 0},
    {"huge_pages=off", 0, 0},
    {"logging_collector=off", 0, 0},
    {"log_destination=stderr", 0, 0},
    {"lc_messages=C", 0, 0},
    {"cluster_name=pgproof drill", 0, 0},
    {"data_sync_retry=off", 0, 0},
};

void setting_list_done(struct setting_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct setting_list){0};
}

/* Takes over `text`, which may be NULL for the list's end. */
static void add(struct setting_list *l, char *text)
{
    l->items = mem_grow(l->items, l->count, &l->capacity, sizeof *l->items);
    l->items[l->count++] = text;
}

const char *backup_setting(const struct backup_info *b, const char *name)
{
    for (size_t i = 0; i < b->setting_count; i++)
        if (str_eq(b->settings[i].name, name))
            return b->settings[i].value;
    return NULL;
}

static void add_limit(struct setting_list *l, const struct backup_info *b, const char *name,
                      int32_t in_control)
{
    const char *noted = backup_setting(b, name);
    int64_t value;
    if (!noted || !parse_i64(noted, &value) || value < in_control || value > INT32_MAX)
        value = in_control;
    add(l, str_printf("%s=%" PRId64, name, value));
}

void scratch_server_settings(const struct scratch *dir, const struct backup_info *b,
                             const struct control *c, struct setting_list *to)
{
    uint32_t major = b->pg_version_num / 10000;
    add(to, str_printf("config_file=%s/postgresql.conf", dir->conf));
    add(to, str_printf("ident_file=%s/pg_ident.conf", dir->conf));
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (major >= fixed[i].from_major && (!fixed[i].to_major || major <= fixed[i].to_major))
            add(to, str_dup(fixed[i].text));
    add_limit(to, b, "max_connections", c->max_connections);
    add_limit(to, b, "max_worker_processes", c->max_worker_processes);
    add_limit(to, b, "max_wal_senders", c->max_wal_senders);
    add_limit(to, b, "max_prepared_transactions", c->max_prepared_xacts);
    add_limit(to, b, "max_locks_per_transaction", c->max_locks_per_xact);
    add(to, NULL);
    to->count--; /* the end mark is no item */
}

/* Rows are to be read from the tables themselves, not from an index that may be wrong. */
#define SESSION_OPTIONS                                                                            \
    "-c session_preload_libraries= -c local_preload_libraries= -c role=none "                      \
    "-c default_transaction_read_only=off -c default_tablespace= -c temp_tablespaces= "            \
    "-c enable_indexscan=off -c enable_indexonlyscan=off -c enable_bitmapscan=off "                \
    "-c jit=off -c lc_messages=C -c synchronous_commit=local"

enum rc scratch_server_cut_off_sessions(uint32_t pg_major, struct error *err)
{
    const char *options =
        pg_major >= 17 ? SESSION_OPTIONS " -c event_triggers=off" : SESSION_OPTIONS;
    if (setenv("PGOPTIONS", options, 1) != 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not set PGOPTIONS");
    return RC_OK;
}

static enum rc write_conf(const struct scratch *dir, const char *name, const char *text,
                          const struct stat *owner, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir->conf, name);
    TRY(file_replace(path, text, strlen(text), 0600, err));
    if (geteuid() == 0 && chown(path, owner->st_uid, owner->st_gid) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not give the file to the server's user");
        return error_on(err, "%s", path);
    }
    return RC_OK;
}

static enum rc write_conf_files(const struct scratch *dir, struct error *err)
{
    struct stat owner;
    if (stat(dir->data, &owner) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not look at the restored data directory");
        return error_on(err, "%s", dir->data);
    }
    TRY(write_conf(dir, "postgresql.conf", "# a drill's: all settings are on the command line\n",
                   &owner, err));
    return write_conf(dir, "pg_ident.conf", "# none\n", &owner, err);
}

enum rc scratch_server_start(const struct scratch *dir, const struct backup_info *b,
                             const char *bindir, const char *user, struct server **ret,
                             struct error *err)
{
    struct control control;
    TRY(control_read(dir->data, &control, NULL, err));
    TRY(write_conf_files(dir, err));
    CLEANUP(setting_list_done) struct setting_list settings = {0};
    scratch_server_settings(dir, b, &control, &settings);
    struct server_options o = {
        .bindir = bindir,
        .data_directory = dir->data,
        .log_path = dir->server_log,
        .socket_directory = dir->socket,
        .settings = (const char *const *)settings.items,
        .die_with_parent = true,
        .user = user,
    };
    return server_start(&o, ret, err);
}
