/* The typed header of binary objects. */
#include "fuzz/fuzz.h"

#include "repo/sections.h"

#include <string.h>

struct input {
    const uint8_t *begin, *end;
};

static enum rc take(void *ctx, const struct section *s, bool *ret_known, struct error *err)
{
    const struct input *in = ctx;

    (void)err;
    BUG_IF(s->payload < in->begin || s->payload + s->len > in->end);
    *ret_known = s->type % 2;
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = {data, data + len};
    struct error err;
    size_t header_len = 0;
    enum rc rc = header_read(data, len, "pgpFUZZ1", take, &in, &header_len, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    BUG_IF(rc == RC_OK && (header_len < HEADER_FIXED_LEN || header_len > len));
    return 0;
}
