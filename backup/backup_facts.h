/* What backup.json says of the server, of its tablespaces, and of the copy. */
#ifndef PGPROOF_BACKUP_BACKUP_FACTS_H
#define PGPROOF_BACKUP_BACKUP_FACTS_H

#include "backup/copy.h"
#include "backup/preflight.h"
#include "backup/scan.h"

/* Who backs up which server: everything that is known before the backup. */
void note_server(const struct preflight *p, struct backup_info *b);
/* Those of the scan, with their names. */
MUST_CHECK enum rc note_tablespaces(struct session *s, const struct scan_result *scan,
                                    struct backup_info *b, struct error *err);
void note_sizes(const struct manifest *m, const struct copy_result *copy, struct backup_info *b);

#endif
