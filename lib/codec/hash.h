/*
 * Digests.
 *
 *   SHA-256    names and chains of objects, over stored bytes (OpenSSL)
 *   XXH3-128   equality of plain bytes, with the repository's seed (libxxhash)
 *   CRC-32C    what backup_manifest and pg_control use: Castagnoli, reflected polynomial 0x82F63B78
 *              (RFC 3720, appendix B.4); SSE 4.2 where the processor has it
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
void sha256_hex(const struct sha256 *h, char to[static SHA256_HEX_SIZE]);
/* Exactly 64 lower-case hex digits. */
_Bool sha256_parse(const char *hex, struct sha256 *ret);
_Bool sha256_equal(const struct sha256 *a, const struct sha256 *b);

struct sha256_stream; /* the same over pieces */
struct sha256_stream *sha256_stream_new(void);
void sha256_stream_add(struct sha256_stream *s, const void *data, size_t len);
struct sha256 sha256_stream_finish(struct sha256_stream *s); /* frees it */
void sha256_stream_free(struct sha256_stream *s);            /* takes NULL */

#define XXH128_LEN 16
struct xxh128 {
    uint8_t bytes[XXH128_LEN]; /* canonical: big-endian, high half first */
};
struct xxh128 xxh128_of(uint64_t seed, const void *data, size_t len);
_Bool xxh128_equal(const struct xxh128 *a, const struct xxh128 *b);

/* CRC-32C of data, continuing from the finished value `crc` of what came before (0 at first). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same by tables, whatever the processor: for tests, and where there is no SSE 4.2. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);
/* CRC-32C of A followed by B, from each one's and B's length. O(log len). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

#endif
