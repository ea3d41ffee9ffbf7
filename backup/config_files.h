/*
 * What a restore needs to know of the server besides its data directory: settings that recovery
 * depends on, and the configuration files that live elsewhere (Debian keeps them in /etc).
 */
#ifndef PGPROOF_BACKUP_CONFIG_FILES_H
#define PGPROOF_BACKUP_CONFIG_FILES_H

#include "pg/session.h"
#include "repo/backup.h"

/* Fills settings of `b` from pg_settings. */
MUST_CHECK enum rc note_settings(struct session *s, struct backup_info *b, struct error *err);

/*
 * Fills config_files of `b`: config_file, hba_file, ident_file and the files that they include,
 * where they (or what their links point to) lie outside the data directory. One that can't be read
 * is named in the log and left out: the backup is whole without it.
 */
MUST_CHECK enum rc note_config_files(struct session *s, const char *data_directory,
                                     struct backup_info *b, struct error *err);

#endif
