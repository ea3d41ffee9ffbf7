/*
 * Digests.
 *
 *   SHA-256    names and chains of objects, over stored bytes (OpenSSL)
 *   XXH3-128   equality of plain bytes, with the repository's seed (libxxhash)
 *
 * CRC-32C is in base/crc32c.h.
 */
#ifndef PGPROOF_CODEC_HASH_H
#define PGPROOF_CODEC_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN      32
#define SHA256_HEX_SIZE 65 /* with the NUL */

struct sha256 {
    uint8_t bytes[SHA256_LEN];
};

struct sha256 sha256_of(const void *data, size_t len);

/* Of bytes that come in parts: while each part is still in the processor's cache. */
struct sha256_sum;
struct sha256_sum *sha256_sum_new(void);     /* never NULL */
void sha256_sum_free(struct sha256_sum *s);  /* takes NULL */
void sha256_sum_begin(struct sha256_sum *s); /* before the first part */
void sha256_sum_add(struct sha256_sum *s, const void *data, size_t len);
struct sha256 sha256_sum_end(struct sha256_sum *s); /* once; then begin again */

void sha256_hex(const struct sha256 *h, char to[static SHA256_HEX_SIZE]);
/* Exactly 64 lower-case hex digits. */
_Bool sha256_parse(const char *hex, struct sha256 *ret);
_Bool sha256_equal(const struct sha256 *a, const struct sha256 *b);

#define XXH128_LEN 16
struct xxh128 {
    uint8_t bytes[XXH128_LEN]; /* canonical: big-endian, high half first */
};
struct xxh128 xxh128_of(uint64_t seed, const void *data, size_t len);
_Bool xxh128_equal(const struct xxh128 *a, const struct xxh128 *b);

#endif
