#include "restore/follow.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/server.h"
#include "pg/session.h"
#include "restore/settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS   200
#define SAY_EVERY 5.0 /* seconds between two progress lines */

static enum rc make_socket_dir(const char *data_directory, char to[static 108], struct error *err)
{
    struct stat st;

    strcpy(to, "/tmp/pgproof-restored-XXXXXX");
    if (!mkdtemp(to) || stat(data_directory, &st) != 0 ||
        (geteuid() == 0 && chown(to, st.st_uid, st.st_gid) != 0)) {
        error_set_errno(err, RC_SYSTEM, errno, "could not make a directory for the private socket");
        return error_on(err, "%s", to);
    }
    return RC_OK;
}

/* Without a postgresql.conf of its own (Debian keeps it in /etc) the server is told where we put
 * the one from the backup. */
static enum rc add_config_settings(const char *data_directory, char *(*ret)[3], struct error *err)
{
    CLEANUP_FREE char *own = path_join(data_directory, "postgresql.conf");
    CLEANUP_FREE char *dir = path_join(data_directory, SETTLE_CONFIG_DIR);
    CLEANUP_FREE char *saved = path_join(dir, "postgresql.conf");

    if (file_exists(saved)) {
        (*ret)[0] = str_printf("config_file=%s/postgresql.conf", dir);
        (*ret)[1] = str_printf("data_directory=%s", data_directory);
        (*ret)[2] = str_printf("ident_file=%s/pg_ident.conf", dir);
        return RC_OK;
    }
    if (file_exists(own))
        return RC_OK;
    error_set(err, RC_REFUSED,
              "the backup holds no postgresql.conf, so the server can't be started");
    error_on(err, "%s", data_directory);
    return error_now(err, "put your postgresql.conf and pg_hba.conf there and start the server "
                          "yourself");
}

static enum rc find_bindir(const struct app *a, const struct restore_plan *p, char **ret,
                           struct error *err)
{
    return server_find_bindir(a->config->pg_bindir, p->backup->pg_version_num / 10000, ret, err);
}

enum rc follow_preflight(const struct app *a, const struct restore_plan *p, struct error *err)
{
    CLEANUP_FREE char *bindir = NULL;

    return find_bindir(a, p, &bindir, err);
}

static enum rc start_server(const struct app *a, const struct restore_plan *p,
                            const char *data_directory, struct follow_result *f,
                            struct server **ret, struct error *err)
{
    CLEANUP_FREE char *bindir = NULL;
    CLEANUP_FREE char *user = conninfo_user(a->config->connection);
    char *config[3] = {0};
    const char *settings[16] = {"hot_standby=on", "logging_collector=off",
                                "log_destination=stderr"};
    int n = 3;

    TRY(find_bindir(a, p, &bindir, err));
    TRY(add_config_settings(data_directory, &config, err));
    for (int i = 0; i < 3 && config[i]; i++)
        settings[n++] = config[i];
    TRY(make_socket_dir(data_directory, f->socket_directory, err));
    snprintf(f->log_path, sizeof(f->log_path), "%s/server.log", f->socket_directory);
    struct server_options o = {
        .bindir = bindir,
        .data_directory = data_directory,
        .log_path = f->log_path,
        .socket_directory = f->socket_directory,
        .settings = settings,
        .user = user,
    };
    enum rc rc = server_start(&o, ret, err);
    for (int i = 0; i < 3; i++)
        free(config[i]);
    return rc;
}

struct state {
    bool in_recovery, paused;
    uint64_t lsn;
    char last_commit[64];
};

static enum rc read_state(struct session *s, struct state *ret, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct state st = {0};

    TRY(session_query(s,
                      "SELECT pg_catalog.pg_is_in_recovery(),"
                      " CASE WHEN pg_catalog.pg_is_in_recovery()"
                      "      THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END,"
                      " coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'),"
                      " coalesce(pg_catalog.pg_last_xact_replay_timestamp()::text, '')",
                      0, NULL, &rows, err));
    st.in_recovery = str_eq(rows_get(rows, 0, 0), "t");
    st.paused = str_eq(rows_get(rows, 0, 1), "t");
    if (!lsn_parse(rows_get(rows, 0, 2), &st.lsn))
        return error_set(err, RC_DATABASE, "the server gave no LSN");
    str_copy(st.last_commit, sizeof(st.last_commit), rows_get(rows, 0, 3));
    *ret = st;
    return RC_OK;
}

/*
 * Recovery stops in front of a commit, so what that transaction had locked stays locked: somebody
 * who looks at the very table that was dropped would wait for ever.
 */
static enum rc count_locked(struct session *s, struct follow_result *f, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;

    TRY(session_query(
        s,
        "SELECT coalesce(sum(n), 0), coalesce(string_agg(datname || ': ' || n, ', '), '')"
        " FROM (SELECT d.datname, count(*) AS n FROM pg_catalog.pg_locks l"
        "       JOIN pg_catalog.pg_database d ON d.oid = l.database"
        "       WHERE l.granted AND l.locktype = 'relation'"
        "         AND l.mode = 'AccessExclusiveLock' GROUP BY 1 ORDER BY 1) held",
        0, NULL, &rows, err));
    if (!parse_u64(rows_get(rows, 0, 0), &f->locked_relations))
        return error_set(err, RC_DATABASE, "the server gave no number of locks");
    str_copy(f->locked_where, sizeof(f->locked_where), rows_get(rows, 0, 1));
    return RC_OK;
}

static void say_state(const struct app *a, const struct restore_plan *p, const struct state *st)
{
    char lsn[LSN_TEXT_MAX];
    double from = (double)p->backup->start_lsn;
    double to = (double)(p->last_segment + 1) * p->branch.segment_bytes;
    double part = to > from && (double)st->lsn > from ? ((double)st->lsn - from) / (to - from) : 0;

    app_say(a, "replaying WAL: at LSN %s, about %d %%, last commit %s", lsn_text(st->lsn, lsn),
            (int)(100 * (part > 1 ? 1 : part)),
            st->last_commit[0] ? st->last_commit : "not seen yet");
}

/* Paused at the target, or out of recovery: that is the end of the way. */
static bool has_arrived(const struct restore_plan *p, const struct state *st)
{
    if (!st->in_recovery)
        return true;
    return st->paused && p->target.kind != TARGET_LATEST && p->target.action == ACTION_PAUSE;
}

/* PostgreSQL ends with 0 only if it was told to stop: by the target, or by somebody. */
static enum rc ended(const struct restore_plan *p, const char *data_directory,
                     const struct server *server, struct error *err)
{
    if (p->target.action == ACTION_SHUTDOWN && server_exit_code(server) == 0)
        return RC_OK;
    error_prefix(err, "the server ended before it reached the target");
    error_on(err, "%s", data_directory);
    return error_now(err, "the restored files are untouched by this: mend the cause and start the "
                          "server again, or restore to another moment");
}

static enum rc follow_loop(const struct app *a, const struct restore_plan *p,
                           const char *data_directory, struct server *server,
                           struct follow_result *f, struct error *err)
{
    CLEANUP_SESSION struct session *session = NULL;
    struct state st = {0};
    double said = clock_monotonic();

    for (;;) {
        enum server_state now;
        TRY(cancel_check(err));
        TRY(server_poll(server, &now, err));
        if (now == SERVER_ENDED) {
            TRY(ended(p, data_directory, server, err));
            f->running = false;
            return RC_OK;
        }
        if (now == SERVER_ACCEPTING) {
            struct error connection;
            if (!session && session_open(server_conninfo(server), "pgproof-restore", NULL, &session,
                                         &connection) != RC_OK)
                session = NULL;
            if (session && read_state(session, &st, &connection) != RC_OK) {
                session_close(session);
                session = NULL;
            } else if (session && has_arrived(p, &st)) {
                break;
            }
        }
        if (clock_monotonic() - said > SAY_EVERY) {
            said = clock_monotonic();
            say_state(a, p, &st);
        }
        clock_sleep_ms(POLL_MS);
    }
    if (st.in_recovery)
        TRY(count_locked(session, f, err));
    f->running = true;
    f->in_recovery = st.in_recovery;
    f->reached_lsn = st.lsn;
    str_copy(f->role, sizeof(f->role), server_role(server));
    str_copy(f->last_commit, sizeof(f->last_commit), st.last_commit);
    return RC_OK;
}

enum rc follow_recovery(const struct app *a, const struct restore_plan *p,
                        const char *data_directory, struct follow_result *ret, struct error *err)
{
    struct follow_result f = {0};
    struct server *server = NULL;

    TRY(start_server(a, p, data_directory, &f, &server, err));
    app_say(a, "started a server on the private socket %s; its log is %s", f.socket_directory,
            f.log_path);
    enum rc rc = follow_loop(a, p, data_directory, server, &f, err);
    if (rc != RC_OK) {
        server_kill(server);
        return rc;
    }
    server_leave(server);
    if (!f.running) { /* nobody needs its socket and log any more; what stays does no harm */
        struct error ignored;
        (void)!file_remove_tree(f.socket_directory, &ignored);
        f.socket_directory[0] = '\0';
    }
    *ret = f;
    return RC_OK;
}
