/* A piece of a chunk map; the first byte says how many chunks there should be. */
#include "fuzz/fuzz.h"

#include "repo/chunk_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pack_table *packs = pack_table_new();
    struct chunk chunks[256];
    struct error err;

    if (len > 0) {
        uint32_t count = data[0] + 1u;
        enum rc rc = chunk_map_decode(data + 1, len - 1, count, packs, chunks, &err);
        BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
        for (uint32_t i = 0; rc == RC_OK && i < count; i++)
            if (!(chunks[i].flags & CHUNK_ZERO))
                (void)pack_table_get(packs, chunks[i].pack);
    }
    pack_table_free(packs);
    return 0;
}
