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

/* There is no struct sha256_stream: it is OpenSSL's context under a name of our own. */
static EVP_MD_CTX *context_of(struct sha256_stream *s)
{
    return (EVP_MD_CTX *)(void *)s;
}

struct sha256_stream *sha256_stream_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        BUG("OpenSSL refused to begin SHA-256");
    return (struct sha256_stream *)(void *)context;
}

void sha256_stream_add(struct sha256_stream *s, const void *data, size_t len)
{
    if (len && EVP_DigestUpdate(context_of(s), data, len) != 1)
        BUG("OpenSSL refused to go on with SHA-256");
}

struct sha256 sha256_stream_finish(struct sha256_stream *s)
{
    struct sha256 h;

    if (EVP_DigestFinal_ex(context_of(s), h.bytes, NULL) != 1)
        BUG("OpenSSL refused to finish SHA-256");
    sha256_stream_free(s);
    return h;
}

void sha256_stream_free(struct sha256_stream *s)
{
    EVP_MD_CTX_free(context_of(s));
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
