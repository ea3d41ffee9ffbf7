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

/* An EVP_MD_CTX under a name of ours. */
static EVP_MD_CTX *context(struct sha256_sum *s)
{
    return (EVP_MD_CTX *)s;
}

struct sha256_sum *sha256_sum_new(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    BUG_IF(!c);
    return (struct sha256_sum *)c;
}

void sha256_sum_free(struct sha256_sum *s)
{
    EVP_MD_CTX_free(context(s));
}

void sha256_sum_begin(struct sha256_sum *s)
{
    BUG_IF(EVP_DigestInit_ex(context(s), EVP_sha256(), NULL) != 1);
}

void sha256_sum_add(struct sha256_sum *s, const void *data, size_t len)
{
    BUG_IF(EVP_DigestUpdate(context(s), data, len) != 1);
}

struct sha256 sha256_sum_end(struct sha256_sum *s)
{
    struct sha256 h;

    BUG_IF(EVP_DigestFinal_ex(context(s), h.bytes, NULL) != 1);
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
