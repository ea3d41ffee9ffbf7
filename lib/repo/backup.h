/*
 * backup.json: the summary, written last; the backup exists when it does. And the catalog: all
 * backups of a cluster.
 */
#ifndef PGPROOF_REPO_BACKUP_H
#define PGPROOF_REPO_BACKUP_H

#include "repo/manifest.h"

struct name_value {
    const char *name;
    const char *value;
};

struct backup_tablespace {
    uint32_t oid;
    const char *name;
    const char *location; /* "" for one that lies in the data directory (in place) */
};

/* A configuration file that lives outside the data directory. */
struct backup_config_file {
    const char *role; /* "config_file", "hba_file", "ident_file", or "include" */
    const char *path; /* where it was */
    const char *text;
};

struct backup_info {
    struct arena *arena; /* owns strings and arrays */

    char id[BACKUP_ID_SIZE];
    const char *label; /* "" if none */
    const char *tier;  /* "" if none */
    const char *type;  /* "full" */
    const char *tool_version;
    const char *host;
    uint32_t pg_version_num; /* 150020 */
    uint64_t system_identifier;
    uint32_t timeline;
    uint64_t start_lsn, stop_lsn;
    uint64_t checkpoint_lsn;
    moment_us start_time, stop_time; /* the server's clock */
    uint64_t next_xid;               /* 64-bit, at the stop: every xid at or beyond it came later */
    uint32_t wal_segment_bytes, page_bytes;
    bool data_checksums;
    uint64_t corrupt_pages;
    uint64_t file_count, size_bytes, stored_bytes, pack_count;
    double seconds_copy, seconds_wal, seconds_total;
    struct sha256 manifest_digest;
    uint64_t manifest_bytes;
    char previous_id[BACKUP_ID_SIZE]; /* "" for the first */
    struct sha256 previous_digest;    /* of the previous backup's backup.json */
    const char *witness;              /* object name of the row counts noted with it, or "" */

    struct backup_tablespace *tablespaces;
    size_t tablespace_count;
    struct name_value *settings; /* what recovery and a scratch instance need */
    size_t setting_count;
    struct backup_config_file *config_files;
    size_t config_file_count;

    struct sha256 digest; /* of backup.json itself; set by put and load */
};

struct backup_info *backup_info_new(void);
void backup_info_free(struct backup_info *b); /* takes NULL */
DEFINE_CLEANUP(cleanup_backup_info, struct backup_info *, backup_info_free)

/*
 * Commit a backup: manifest, the list of its packs, then backup.json, in this order. Fills
 * manifest_digest, manifest_bytes and digest. RC_EXISTS: this id is taken.
 */
MUST_CHECK enum rc backup_commit(struct repo *r, const char *cluster, struct backup_info *b,
                                 struct manifest *m, struct error *err);

/* RC_NOT_FOUND: there is no such backup. */
MUST_CHECK enum rc backup_load(struct repo *r, const char *cluster, const char *id,
                               struct backup_info **ret, struct error *err);
/* Get, check against the digest in backup.json, decode. A missing one is RC_INTEGRITY. */
MUST_CHECK enum rc backup_load_manifest(struct repo *r, const char *cluster,
                                        const struct backup_info *b, struct manifest **ret,
                                        struct error *err);
/* Every pack that the manifest names is there, with the size that it should have. */
MUST_CHECK enum rc backup_check_packs(struct repo *r, const char *cluster, struct manifest *m,
                                      struct error *err);

/* All backups of a cluster, oldest first. A backup.json that can't be used stays in the list, with
 * `info` NULL and the reason: it is named, never passed over. */
struct catalog_entry {
    char id[BACKUP_ID_SIZE];
    struct backup_info *info;
    struct error problem;
};
struct catalog {
    struct catalog_entry *entries;
    size_t count;
};
MUST_CHECK enum rc catalog_load(struct repo *r, const char *cluster, struct catalog **ret,
                                struct error *err);
void catalog_free(struct catalog *c); /* takes NULL */
DEFINE_CLEANUP(cleanup_catalog, struct catalog *, catalog_free)

#endif
