/*
 * The proof document (docs/format.md), as far as the repository's readers care: what it is about,
 * and how it ended. A drill writes all of it (verify/proof_json.c).
 */
#ifndef PGPROOF_REPO_PROOF_SUMMARY_H
#define PGPROOF_REPO_PROOF_SUMMARY_H

#include "base/buf.h"
#include "base/json.h"
#include "repo/names.h"
#include "repo/repository.h"

/* Members of the body that are read again. */
#define PROOF_BACKUP_ID     "backup_id"
#define PROOF_BACKUP_SHA256 "backup_sha256"
#define PROOF_RESULT        "result"
#define PROOF_FINISHED      "finished"

/* What PROOF_RESULT says. Later versions may say more; only "passed" is good news. */
#define PROOF_PASSED     "passed"
#define PROOF_FAILED     "failed"
#define PROOF_NOT_PROVEN "not proven"

struct proof_summary {
    char backup_id[BACKUP_ID_SIZE];
    struct sha256 backup_digest; /* of the whole backup.json that was proven */
    char result[32];             /* never "" */
    moment_us finished;
};

/* The document as text, and into the repository; RC_EXISTS if the name is taken. */
MUST_CHECK enum rc proof_encode(json_t *body, struct buf *to, struct error *err);
MUST_CHECK enum rc proof_put(struct repo *r, const char *object, json_t *body, struct error *err);

/* RC_NOT_FOUND: it isn't there. RC_INTEGRITY: damaged, malformed or of another backup. */
MUST_CHECK enum rc proof_summary_load(struct repo *r, const char *object, const char *backup_id,
                                      struct proof_summary *ret, struct error *err);
MUST_CHECK enum rc proof_summary_parse(const json_t *body, const char *backup_id,
                                       struct proof_summary *ret, struct error *err);

#endif
