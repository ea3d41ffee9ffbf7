/* Listings of S3. */
#include "fuzz/fuzz.h"

#include "store/s3_xml.h"

#include <string.h>

static enum rc take(void *ctx, const struct s3_entry *e, struct error *err)
{
    size_t *count = ctx;

    (void)err;
    BUG_IF(!e->key[0] || strlen(e->key) > 1024 || strlen(e->version_id) > 1024);
    BUG_IF(strlen(e->storage_class) > 63 || e->modified == MOMENT_NONE);
    BUG_IF(e->delete_marker && !e->version_id[0]);
    ++*count;
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct s3_page page;
    struct error err;
    size_t count = 0;
    enum rc rc = s3_xml_list(data, len, take, &count, &page, &err);

    BUG_IF(rc != RC_OK && rc != RC_STORAGE);
    if (rc != RC_OK)
        return 0;
    BUG_IF(page.entries != count || !page.last_key[0] != !count);
    BUG_IF(page.truncated && !page.token[0] && !page.key_marker[0]);
    return 0;
}
