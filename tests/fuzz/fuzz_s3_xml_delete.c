/* The answer to a batch deletion, and the request with any key in it. */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "store/s3_xml.h"
#include "store/xml_walk.h"

#include <stdlib.h>
#include <string.h>

static void take(void *ctx, const struct s3_delete_error *e)
{
    (void)ctx;
    BUG_IF(!e->key[0] || !e->code[0]);
    BUG_IF(strlen(e->key) > 1024 || strlen(e->version_id) > 1024);
}

static void read_answer(const uint8_t *data, size_t len)
{
    struct error err;
    size_t deleted;
    enum rc rc = s3_xml_delete_result(data, len, take, NULL, &deleted, &err);

    BUG_IF(rc != RC_OK && rc != RC_STORAGE);
}

static enum rc compare_key(void *ctx, unsigned depth, const char *name, const char *text,
                           struct error *err)
{
    (void)depth, (void)err;
    BUG_IF(str_eq(name, "Key") && !str_eq(text, ctx));
    return RC_OK;
}

/* Who parses the request finds the key that was meant, or no XML (a key that is not UTF-8). */
static void write_request(const char *key)
{
    static const struct xml_events events = {.close = compare_key};
    CLEANUP_BUF struct buf xml = BUF_INIT(1 << 20);
    struct error err;
    enum rc rc = s3_xml_delete_request(&key, &key, 1, &xml, &err);

    BUG_IF(rc != RC_OK && rc != RC_REFUSED);
    if (rc == RC_OK)
        rc = xml_walk(xml.data, xml.len, &events, (void *)(uintptr_t)key, &err);
    BUG_IF(rc != RC_OK && rc != RC_REFUSED && rc != RC_STORAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_FREE char *key = strndup((const char *)data, len < 1024 ? len : 1024);

    read_answer(data, len);
    if (key)
        write_request(key);
    return 0;
}
