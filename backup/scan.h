/*
 * What is in a data directory: fills a manifest with everything that a backup copies, without what
 * pg_basebackup leaves out too (contents of pg_wal, pg_replslot and the like, temporary and
 * unlogged relations, the postmaster's own files). Reads names and inodes, no contents.
 *
 * global/pg_control is not listed: it is copied last, by who stops the backup.
 */
#ifndef PGPROOF_BACKUP_SCAN_H
#define PGPROOF_BACKUP_SCAN_H

#include "repo/manifest.h"

struct scan_options {
    const char *data_directory;
    uint32_t pg_major;
    uint32_t catalog_version; /* names the directory inside a tablespace: PG_15_202209061 */
};

struct scan_tablespace {
    uint32_t oid;
    const char *location; /* as the link says; "" for one that lies in the data directory */
};

struct scan_result {
    uint64_t file_count; /* regular files */
    uint64_t size_bytes;
    struct scan_tablespace *tablespaces; /* in the manifest's arena */
    size_t tablespace_count;
    char owner[64], group[64]; /* of the data directory */
    mode_t file_mode;          /* that the server gives to new files: 0600, or 0640 */
};

/*
 * Links: pg_tblspc/<oid> is followed; the excluded directories may be links. One that stands where
 * the server keeps data is RC_REFUSED; others are named in the log and left out. What vanishes
 * meanwhile is no error; what can't be read is RC_SYSTEM.
 */
MUST_CHECK enum rc scan_data_directory(const struct scan_options *o, struct manifest *m,
                                       struct scan_result *ret, struct error *err);

/* A tablespace that was there at the scan and whose link still stands must still be readable: else
 * a lost mount would pass for dropped tables. */
MUST_CHECK enum rc scan_check_tablespaces(const struct scan_options *o,
                                          const struct scan_result *scanned, struct error *err);

/* "PG_15_202209061" */
#define TABLESPACE_DIR_MAX 40
void tablespace_version_dir(const struct scan_options *o, char to[static TABLESPACE_DIR_MAX]);

/* <relfilenode>[_fork][.segment] as the server names relation files; *ret_init: the _init fork. */
bool scan_relation_name(const char *name, uint64_t *ret_relfilenode, bool *ret_init);
/* t<backend>_<relfilenode>[_fork][.segment]: a temporary relation. */
bool scan_temp_relation_name(const char *name);

#endif
