#include "codec/hash.h"

#include "base/error.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <string.h>
#include <xxhash.h>

_Static_assert(sizeof(XXH128_canonical_t) == XXH128_LEN, "the canonical form is what we store");

/* SHA-256 can only fail where OpenSSL is broken or memory is gone: nobody could go on from there.
 */
struct sha256 sha256_of(const void *data, size_t len)
{
    struct sha256 h;

    if (EVP_Digest(len ? data : "", len, h.bytes, NULL, EVP_sha256(), NULL) != 1)
        BUG("OpenSSL refused to compute SHA-256");
    return h;
}

void sha256_hex(const struct sha256 *h, char to[static SHA256_HEX_SIZE])
{
    hex_encode(h->bytes, SHA256_LEN, to);
}

_Bool sha256_parse(const char *hex, struct sha256 *ret)
{
    if (strlen(hex) != 2 * SHA256_LEN || !hex_is_lower(hex, 2 * SHA256_LEN))
        return false;
    return hex_decode(hex, 2 * SHA256_LEN, ret->bytes);
}

_Bool sha256_equal(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->bytes, b->bytes, SHA256_LEN) == 0;
}

struct xxh128 xxh128_of(uint64_t seed, const void *data, size_t len)
{
    XXH128_canonical_t canonical;
    struct xxh128 h;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, len, seed));
    memcpy(h.bytes, canonical.digest, XXH128_LEN);
    return h;
}

_Bool xxh128_equal(const struct xxh128 *a, const struct xxh128 *b)
{
    return memcmp(a->bytes, b->bytes, XXH128_LEN) == 0;
}
