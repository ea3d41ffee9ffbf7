/* backup.json as JSON: what commit and load share. */
#ifndef PGPROOF_REPO_BACKUP_INT_H
#define PGPROOF_REPO_BACKUP_INT_H

#include "base/json.h"
#include "repo/backup.h"

#define BACKUP_VERSION 1
#define BACKUP_PART    "backup.json"
#define MANIFEST_PART  "manifest"
#define PACKS_PART     "packs"

json_t *backup_to_json(const struct backup_info *b);
/* RC_INTEGRITY names what is missing or can't be. */
MUST_CHECK enum rc backup_from_json(const json_t *o, struct backup_info *b, struct error *err);

#endif
