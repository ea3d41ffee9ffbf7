#include "repo/proof_summary.h"

#include "base/str.h"
#include "repo/document.h"
#include "repo/fields_int.h"

#define KIND    "proof"
#define VERSION 1

enum rc proof_encode(json_t *body, struct buf *to, struct error *err)
{
    return document_encode(KIND, VERSION, body, to, err);
}

enum rc proof_put(struct repo *r, const char *object, json_t *body, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
    TRY(proof_encode(body, &text, err));
    return repo_put(r, object, text.data, text.len, err);
}

enum rc proof_summary_parse(const json_t *body, const char *backup_id, struct proof_summary *ret,
                            struct error *err)
{
    struct proof_summary s = {0};
    const char *of, *result;
    TRY(json_get_str(body, PROOF_BACKUP_ID, &of, err));
    TRY(json_get_hex(body, PROOF_BACKUP_SHA256, s.backup_digest.bytes, SHA256_LEN, err));
    TRY(json_get_str(body, PROOF_RESULT, &result, err));
    TRY(field_get_moment(body, PROOF_FINISHED, &s.finished, err));
    if (!str_eq(of, backup_id))
        return error_set(err, RC_INTEGRITY, "it is about backup %.40s", of);
    if (!*result || !str_copy(s.result, sizeof s.result, result))
        return error_set(err, RC_INTEGRITY, "member \"%s\" is no result of a drill", PROOF_RESULT);
    str_copy(s.backup_id, sizeof s.backup_id, of);
    *ret = s;
    return RC_OK;
}

enum rc proof_summary_load(struct repo *r, const char *object, const char *backup_id,
                           struct proof_summary *ret, struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    TRY(document_get(r->store, object, KIND, VERSION, &body, NULL, err));
    enum rc rc = proof_summary_parse(body, backup_id, ret, err);
    return rc == RC_OK ? rc : error_on(err, "%s", object);
}
