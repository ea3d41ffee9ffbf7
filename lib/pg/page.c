#include "pg/page.h"

#include "base/str.h"

#include <string.h>

#define LANES     32
#define ROW_BYTES (LANES * sizeof(uint32_t))
#define FNV_PRIME 16777619u

/* PageHeaderData: where the checksum itself and the end of free space are. */
#define AT_CHECKSUM 8
#define AT_UPPER    14

/* Where the lanes begin: constants of PostgreSQL's on-disk format. */
static const uint32_t lane_start[LANES] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};

/* One build of the loop per kind of processor, chosen when the program starts. ifuncs run before
 * the sanitizers' own start, so those builds take the plain loop. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

static inline uint32_t mix(uint32_t lane, uint32_t value)
{
    uint32_t x = lane ^ value;
    return x * FNV_PRIME ^ x >> 17;
}

/* Rows of 32 numbers, each into its lane: independent of each other, so the loop vectorises. */
FOR_EACH_PROCESSOR
static void mix_rows(uint32_t lanes[LANES], const uint8_t *rows, size_t count)
{
    uint32_t local[LANES];
    memcpy(local, lanes, sizeof local);
    for (size_t i = 0; i < count; i++) {
        uint32_t row[LANES];
        memcpy(row, rows + i * ROW_BYTES, sizeof row);
        for (int j = 0; j < LANES; j++)
            local[j] = mix(local[j], row[j]);
    }
    memcpy(lanes, local, sizeof local);
}

uint16_t page_checksum(const void *page, uint32_t page_bytes, uint32_t block)
{
    static const uint8_t zero_rows[2 * ROW_BYTES];
    uint32_t lanes[LANES];
    uint8_t first[ROW_BYTES];
    memcpy(lanes, lane_start, sizeof lanes);
    memcpy(first, page, sizeof first);
    memset(first + AT_CHECKSUM, 0, sizeof(uint16_t)); /* computed as if it were not there yet */
    mix_rows(lanes, first, 1);
    mix_rows(lanes, (const uint8_t *)page + ROW_BYTES, page_bytes / ROW_BYTES - 1);
    mix_rows(lanes, zero_rows, 2);
    uint32_t sum = block;
    for (int j = 0; j < LANES; j++)
        sum ^= lanes[j];
    return (uint16_t)(sum % 65535 + 1); /* never 0 */
}

bool bytes_are_zero(const void *p, size_t len)
{
    const uint8_t *bytes = p;
    /* Where the first 16 are zero and each byte equals the one 16 before it, all are. */
    size_t head = len < 16 ? len : 16;
    for (size_t i = 0; i < head; i++)
        if (bytes[i])
            return false;
    return len <= 16 || memcmp(bytes, bytes + 16, len - 16) == 0;
}

enum page_verdict page_check(const void *page, uint32_t page_bytes, uint32_t block)
{
    const uint8_t *p = page;
    /* Only a page that was never initialised has no end of free space. */
    if (p[AT_UPPER] == 0 && p[AT_UPPER + 1] == 0)
        return bytes_are_zero(page, page_bytes) ? PAGE_NEW : PAGE_BAD;
    uint16_t stored = (uint16_t)(p[AT_CHECKSUM] | p[AT_CHECKSUM + 1] << 8);
    return stored == page_checksum(page, page_bytes, block) ? PAGE_GOOD : PAGE_BAD;
}

/* A decimal number without leading zeroes; *s moves behind it. */
static bool take_number(const char **s, uint32_t *ret)
{
    const char *p = *s;
    if (*p < '1' || *p > '9')
        return false;
    uint64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *s = p;
    *ret = (uint32_t)value;
    return true;
}

static bool take_text(const char **s, const char *text)
{
    if (!str_starts(*s, text))
        return false;
    *s += strlen(text);
    return true;
}

/* "<file number>[_fsm|_vm|_init][.<segment>]" up to the end. */
static bool is_relation_file(const char *s, uint32_t *ret_segment)
{
    uint32_t number, segment = 0;
    if (!take_number(&s, &number))
        return false;
    if (!take_text(&s, "_fsm") && !take_text(&s, "_vm"))
        take_text(&s, "_init");
    if (*s == '.') {
        s++;
        if (!take_number(&s, &segment))
            return false;
    }
    if (*s != '\0')
        return false;
    *ret_segment = segment;
    return true;
}

/* "<tablespace OID>/PG_<version>/" */
static bool take_tablespace(const char **s)
{
    uint32_t oid;
    if (!take_number(s, &oid) || !take_text(s, "/PG_"))
        return false;
    size_t version = strcspn(*s, "/");
    if (version == 0 || (*s)[version] == '\0')
        return false;
    *s += version + 1;
    return true;
}

bool path_is_relation(const char *path, uint32_t *ret_segment)
{
    uint32_t database;
    if (take_text(&path, "global/"))
        return is_relation_file(path, ret_segment);
    if (take_text(&path, "pg_tblspc/")) {
        if (!take_tablespace(&path))
            return false;
    } else if (!take_text(&path, "base/")) {
        return false;
    }
    return take_number(&path, &database) && take_text(&path, "/") &&
           is_relation_file(path, ret_segment);
}
