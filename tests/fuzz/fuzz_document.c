/*
 * Documents and what is read out of them. The input is the text in front of the digest, which is
 * computed here.
 */
#include "fuzz/fuzz.h"

#include "repo/backup_int.h"
#include "repo/document.h"
#include "repo/proof_summary.h"
#include "repo/row_counts.h"

static void read_backup(const json_t *body)
{
    CLEANUP(cleanup_backup_info) struct backup_info *b = backup_info_new();
    struct error err;
    enum rc rc = backup_from_json(body, b, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    if (rc == RC_OK) {
        CLEANUP_JSON json_t *again = backup_to_json(b);
        BUG_IF(!again);
    }
}

static void read_others(const json_t *body)
{
    CLEANUP_ROW_COUNTS struct row_counts *counts = NULL;
    struct proof_summary proof;
    struct error err;
    enum rc rc = row_counts_parse(body, "20261121T020000Z", &counts, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    rc = proof_summary_parse(body, "20261121T020000Z", &proof, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    BUG_IF(rc == RC_OK && !proof.result[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
    CLEANUP_JSON json_t *body = NULL;
    struct sha256 digest = sha256_of(data, len);
    char hex[SHA256_HEX_SIZE];
    struct error err;

    sha256_hex(&digest, hex);
    if (buf_append(&text, data, len, &err) != RC_OK ||
        buf_printf(&text, &err, "  \"sha256\": \"%s\"\n}\n", hex) != RC_OK)
        return 0;
    enum rc rc = document_decode("fuzz", 1, text.data, text.len, &body, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    if (rc == RC_OK) {
        read_backup(body);
        read_others(body);
    }
    return 0;
}
