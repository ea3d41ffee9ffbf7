/*
 * One WAL file on its way into the repository: whose it is, and whether it may go there. What is
 * refused here never reaches the repository, so PostgreSQL keeps the file and asks again.
 */
#ifndef PGPROOF_BACKUP_WAL_PUSH_H
#define PGPROOF_BACKUP_WAL_PUSH_H

#include "base/buf.h"
#include "pg/control.h"
#include "repo/wal_object.h"

/*
 * Who archives: the pg_control of the data directory says it, since a configuration can be copied
 * to another host. RC_REFUSED where the directory is a copy that pgproof-restore made.
 */
MUST_CHECK enum rc wal_push_identify(const char *data_directory, struct control *ret,
                                     struct error *err);

/* RC_REFUSED where the cluster was registered with another WAL segment size. */
MUST_CHECK enum rc wal_push_check_system(const struct control *c,
                                         const struct cluster_system *registered,
                                         struct error *err);

/*
 * Read the file into `to`, whose maximum should be WAL_PLAIN_MAX, and fill in name, system and
 * segment size. RC_USAGE: no name of a WAL file. RC_INTEGRITY: not of the right length, or a header
 * that belongs to another name, cluster or segment size.
 */
MUST_CHECK enum rc wal_push_read(const char *path, const struct control *c, struct wal_info *ret,
                                 struct buf *to, struct error *err);

#endif
