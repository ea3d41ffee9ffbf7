/*
 * CRC-32C, which backup_manifest, pg_control and our chunk maps use: Castagnoli, reflected
 * polynomial 0x82F63B78 (RFC 3720, appendix B.4). SSE 4.2 where the processor has it.
 */
#ifndef PGPROOF_BASE_CRC32C_H
#define PGPROOF_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C of data, continuing from the finished value `crc` of what came before (0 at first). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same by tables, whatever the processor: for tests, and where there is no SSE 4.2. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);
/* CRC-32C of A followed by B, from each one's and B's length. O(log len). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

#endif
