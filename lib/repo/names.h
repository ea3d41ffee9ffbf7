/*
 * The names of all objects (docs/format.md lists them). The only place that knows how a name is put
 * together or taken apart.
 */
#ifndef PGPROOF_REPO_NAMES_H
#define PGPROOF_REPO_NAMES_H

#include "base/clock.h"
#include "codec/hash.h"
#include "store/store.h"

#include <stdint.h>

struct object_name {
    char text[STORE_NAME_MAX + 1];
};

#define REPOSITORY_OBJECT "repository.json"

#define BACKUP_ID_LEN  16 /* 20261121T020000Z */
#define BACKUP_ID_SIZE (BACKUP_ID_LEN + 1)

bool backup_id_valid(const char *id);
void backup_id_from(moment_us start, char to[static BACKUP_ID_SIZE]);

/* 1 to 63 of [a-z0-9_-], beginning with a letter or digit. */
bool cluster_name_valid(const char *name);

enum pack_kind { PACK_DATA, PACK_MAPS };

struct object_name name_system(const char *cluster, uint64_t system_identifier);
struct object_name name_systems_prefix(const char *cluster);
struct object_name name_pack(const char *cluster, enum pack_kind kind, const struct sha256 *id);
struct object_name name_packs_prefix(const char *cluster, enum pack_kind kind);
struct object_name name_backup(const char *cluster, const char *backup_id, const char *part);
struct object_name name_backups_prefix(const char *cluster);
/* What a file that PostgreSQL archives is, by its name (upper-case hex, as PostgreSQL writes). */
enum wal_file_kind {
    WAL_FILE_NONE, /* not the name of a WAL file */
    WAL_FILE_SEGMENT,
    WAL_FILE_PARTIAL,
    WAL_FILE_BACKUP_LABEL, /* <segment>.<8 hex>.backup */
    WAL_FILE_HISTORY,
};
enum wal_file_kind wal_file_kind(const char *file);
/* A segment, .partial or .backup goes to <system>/<timeline>/<8 hex>/, .history to <system>/.
 * BUG() on what wal_file_kind calls WAL_FILE_NONE. */
struct object_name name_wal(const char *cluster, uint64_t system_identifier, const char *wal_file);
struct object_name name_wal_prefix(const char *cluster, uint64_t system_identifier);
struct object_name name_wal_timeline_prefix(const char *cluster, uint64_t system_identifier,
                                            uint32_t timeline);
struct object_name name_witness(const char *cluster, moment_us at, uint64_t lsn);
struct object_name name_proof(const char *cluster, moment_us at, const char *backup_id);
struct object_name name_proofs_prefix(const char *cluster);
/* Of which backup a proof is, by its name. False: no name of a proof. */
bool name_proof_backup(const char *name, char ret_id[static BACKUP_ID_SIZE]);
struct object_name name_lease(const char *cluster, const char *kind, const char *random_hex,
                              unsigned n);
struct object_name name_leases_prefix(const char *cluster);

/* The last component. */
const char *name_base(const char *name);

#endif
