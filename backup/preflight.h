/*
 * What must be true before a backup begins, and what is opened and held for it from then on.
 */
#ifndef PGPROOF_BACKUP_PREFLIGHT_H
#define PGPROOF_BACKUP_PREFLIGHT_H

#include "app/app.h"
#include "archive/wait_wal.h"
#include "pg/control.h"
#include "pg/session.h"
#include "repo/backup.h"

struct preflight {
    struct app *app; /* borrowed; set by the caller */
    struct repo *repo;
    struct session *session; /* the server is in backup mode, and the lock held, as long as it is */
    struct server_facts facts;
    struct control control;
    struct cluster_system system;
    struct wait_wal wal;
    struct lease *lease; /* NULL before preflight_begin */
};

/* Opens repository and session: the server can be backed up, it runs on the configured data
 * directory, and its system is registered. Writes nothing. */
MUST_CHECK enum rc preflight_check(struct preflight *p, struct error *err);

/*
 * Takes lock and lease, sweeps up after killed writers, proves that WAL arrives. Fills id,
 * previous_id and previous_digest of `b`.
 */
MUST_CHECK enum rc preflight_begin(struct preflight *p, struct backup_info *b, struct error *err);

/* Also after a failure. */
void preflight_done(struct preflight *p);

#endif
