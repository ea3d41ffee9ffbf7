/* A WAL object; the digest at its end is computed here. */
#include "fuzz/fuzz.h"

#include "repo/wal_object.h"

#include <string.h>

#define PLAIN_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_BUF struct buf object = BUF_INIT(1 << 20), plain = BUF_INIT(PLAIN_MAX);
    struct repo r = {.id = "000102030405060708090a0b0c0d0e0f", .hash_seed = 1};
    struct sha256 digest = sha256_of(data, len);
    struct wal_info info, header;
    struct error err;

    if (buf_append(&object, data, len, &err) != RC_OK ||
        buf_append(&object, digest.bytes, SHA256_LEN, &err) != RC_OK)
        return 0;
    enum rc rc = wal_decode(&r, object.data, object.len, &info, &plain, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG && rc != RC_NOMEM);
    BUG_IF(rc != RC_OK && plain.len != 0);
    if (rc != RC_OK)
        return 0;
    BUG_IF(plain.len != info.plain_len);
    BUG_IF(wal_decode(&r, object.data, object.len, &header, NULL, &err) != RC_OK);
    BUG_IF(strcmp(header.file, info.file) != 0);
    return 0;
}
