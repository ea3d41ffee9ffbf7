#include "backup/start_stop.h"

#include "base/str.h"
#include "pg/lsn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum rc backup_refuse_unfit(const struct server_facts *f, struct error *err)
{
    unsigned major = f->version_num / 10000;
    if (major < 13 || major > 18) {
        error_set(err, RC_REFUSED, "PostgreSQL %u is not supported: this program knows 13 to 18",
                  major);
        return error_now(err, "use a version of pgproof that knows this server");
    }
    if (f->in_recovery) {
        error_set(err, RC_REFUSED, "backups from a standby are not supported yet");
        error_on(err, "data directory %s", f->data_directory);
        return error_now(err, "run pgproof-backup on the primary");
    }
    if (str_eq(f->wal_level, "minimal")) {
        error_set(err, RC_REFUSED, "wal_level is minimal: the WAL has not what a backup needs");
        return error_now(err, "set wal_level = replica and restart the server");
    }
    if (!f->full_page_writes) {
        error_set(err, RC_REFUSED,
                  "full_page_writes is off: pages torn while they are copied can't be repaired");
        return error_now(err, "set full_page_writes = on and reload the server");
    }
    if (str_eq(f->archive_mode, "off")) {
        error_set(err, RC_REFUSED, "archive_mode is off: a backup is worthless without its WAL");
        return error_now(err, "put the lines that 'pgproof init' prints into postgresql.conf, then "
                              "restart the server");
    }
    return RC_OK;
}

static enum rc fail_directory(const struct server_facts *f, const char *data_directory,
                              struct error *err)
{
    error_on(err, "configured %s, server %s", data_directory, f->data_directory);
    return error_now(err, "set data-directory in section [cluster] to the server's, and run "
                          "pgproof-backup on the server's host");
}

enum rc backup_check_directory(const struct server_facts *f, const char *data_directory,
                               struct control *ret, struct error *err)
{
    struct stat ours, servers;
    if (stat(data_directory, &ours) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not look at the data directory");
        return fail_directory(f, data_directory, err);
    }
    if (stat(f->data_directory, &servers) != 0) {
        error_set_errno(err, RC_REFUSED, errno,
                        "could not look at the directory that the server runs on");
        return fail_directory(f, data_directory, err);
    }
    if (ours.st_dev != servers.st_dev || ours.st_ino != servers.st_ino) {
        error_set(err, RC_REFUSED,
                  "the configured data directory is not the one that the server runs on");
        return fail_directory(f, data_directory, err);
    }
    struct control control;
    TRY(control_read(data_directory, &control, NULL, err));
    if (control.system_identifier != f->system_identifier) {
        error_set(err, RC_REFUSED, "pg_control is of system %llu, the server says it is %llu",
                  (unsigned long long)control.system_identifier,
                  (unsigned long long)f->system_identifier);
        return fail_directory(f, data_directory, err);
    }
    *ret = control;
    return RC_OK;
}

enum rc backup_lock(struct session *s, struct error *err)
{
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_try_advisory_lock(%d, %d)::int",
             BACKUP_LOCK_CLASS, BACKUP_LOCK_KEY);
    uint64_t taken;
    TRY(session_value_u64(s, sql, &taken, err));
    if (taken)
        return RC_OK;
    snprintf(sql, sizeof sql,
             "SELECT pg_catalog.min(pid) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' "
             "AND classid = %d AND objid = %d",
             BACKUP_LOCK_CLASS, BACKUP_LOCK_KEY);
    uint64_t pid;
    struct error ignored;
    error_set(err, RC_BUSY, "another backup of this cluster is running");
    if (session_value_u64(s, sql, &pid, &ignored) == RC_OK)
        error_on(err, "advisory lock %d, %d, held by server process %llu", BACKUP_LOCK_CLASS,
                 BACKUP_LOCK_KEY, (unsigned long long)pid);
    return error_now(err, "wait until it is done; if its process is dead, end its server process "
                          "with pg_terminate_backend");
}

enum rc backup_server_clock(struct session *s, moment_us *ret, struct error *err)
{
    uint64_t us;
    TRY(session_value_u64(s,
                          "SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())"
                          " * 1000000)::pg_catalog.int8",
                          &us, err));
    *ret = (moment_us)us;
    return RC_OK;
}

static bool has_new_names(const struct session *s)
{
    return session_version(s) >= 150000;
}

enum rc backup_start(struct session *s, const char *label, bool fast, struct backup_start *ret,
                     struct error *err)
{
    const char *sql = has_new_names(s) ? "SELECT pg_catalog.pg_backup_start($1, $2)"
                                       : "SELECT pg_catalog.pg_start_backup($1, $2, false)";
    const char *params[] = {label, fast ? "true" : "false"};
    struct backup_start start;
    TRY(backup_server_clock(s, &start.time, err));
    CLEANUP_ROWS struct rows *rows = NULL;
    if (session_query(s, sql, 2, params, &rows, err) != RC_OK) {
        error_prefix(err, "could not start the backup");
        return error_now(err, "the connection's role needs EXECUTE on %s",
                         has_new_names(s) ? "pg_backup_start and pg_backup_stop"
                                          : "pg_start_backup and pg_stop_backup");
    }
    if (rows_count(rows) != 1 || !lsn_parse(rows_get(rows, 0, 0), &start.start_lsn))
        return error_set(err, RC_DATABASE,
                         "the server's answer to the start of a backup is no LSN");
    *ret = start;
    return RC_OK;
}

enum rc backup_stop(struct session *s, struct backup_stop *ret, struct error *err)
{
    const char *sql =
        has_new_names(s) ? "SELECT lsn, labelfile, spcmapfile FROM pg_catalog.pg_backup_stop(false)"
                         : "SELECT lsn, labelfile, spcmapfile FROM "
                           "pg_catalog.pg_stop_backup(false, false)";
    CLEANUP_ROWS struct rows *rows = NULL;
    if (session_query(s, sql, 0, NULL, &rows, err) != RC_OK) {
        error_prefix(err, "could not stop the backup, so it is void");
        return error_now(err, "run the backup again");
    }
    struct backup_stop stop = {0};
    if (rows_count(rows) != 1 || !rows_get(rows, 0, 1) ||
        !lsn_parse(rows_get(rows, 0, 0), &stop.stop_lsn))
        return error_set(err, RC_DATABASE, "the server's answer to the stop of a backup is no LSN");
    TRY(backup_server_clock(s, &stop.time, err));
    TRY(session_value_u64(
        s, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text",
        &stop.next_xid, err));
    stop.label_file = str_dup(rows_get(rows, 0, 1));
    const char *map = rows_get(rows, 0, 2);
    stop.map_file = str_dup(map ? map : "");
    *ret = stop;
    return RC_OK;
}

void backup_stop_done(struct backup_stop *s)
{
    free(s->label_file);
    free(s->map_file);
}
