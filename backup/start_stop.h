/*
 * The server's side of a backup: what it must be set to, the lock that keeps two backups apart,
 * starting and stopping backup mode. All of it belongs to one session; if that session ends, the
 * server ends backup mode by itself and releases the lock.
 */
#ifndef PGPROOF_BACKUP_START_STOP_H
#define PGPROOF_BACKUP_START_STOP_H

#include "base/clock.h"
#include "pg/control.h"
#include "pg/session.h"

/* RC_REFUSED where a backup of this server would be worthless or can't be taken (yet). */
MUST_CHECK enum rc backup_refuse_unfit(const struct server_facts *f, struct error *err);

/* The configured data directory must be the very directory that the server runs on, and its
 * pg_control must name the same system. Fills *ret from pg_control. */
MUST_CHECK enum rc backup_check_directory(const struct server_facts *f, const char *data_directory,
                                          struct control *ret, struct error *err);

/* The advisory lock's key pair: ASCII "pgpr" and "back". In the database of the connection. */
#define BACKUP_LOCK_CLASS 1885826162
#define BACKUP_LOCK_KEY   1650549611
/* RC_BUSY if another session holds it, with that session's pid. Held until the session ends. */
MUST_CHECK enum rc backup_lock(struct session *s, struct error *err);

/* The server's clock. */
MUST_CHECK enum rc backup_server_clock(struct session *s, moment_us *ret, struct error *err);

struct backup_start {
    uint64_t start_lsn;
    moment_us time;
};
/* fast: an immediate checkpoint; else the server spreads it, which may take minutes. */
MUST_CHECK enum rc backup_start(struct session *s, const char *label, bool fast,
                                struct backup_start *ret, struct error *err);

struct backup_stop {
    uint64_t stop_lsn;
    moment_us time;
    uint64_t next_xid; /* commits of this xid and later ones came after the stop */
    char *label_file;  /* exact bytes of backup_label */
    char *map_file;    /* of tablespace_map; "" if there is none */
};
/* Does not wait for the archive. */
MUST_CHECK enum rc backup_stop(struct session *s, struct backup_stop *ret, struct error *err);
void backup_stop_done(struct backup_stop *s);

#endif
