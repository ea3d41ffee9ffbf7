#include "pg/lsn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *lsn_text(uint64_t lsn, char to[static LSN_TEXT_MAX])
{
    snprintf(to, LSN_TEXT_MAX, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    return to;
}

static int hex_digit(char c, bool lower_too)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (lower_too && c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* One to eight hex digits; *text moves behind them. */
static bool take_hex(const char **text, uint32_t *ret)
{
    uint32_t value = 0;
    unsigned n = 0;
    for (int digit; n < 8 && (digit = hex_digit((*text)[n], true)) >= 0; n++)
        value = value << 4 | (uint32_t)digit;
    *text += n;
    *ret = value;
    return n > 0;
}

bool lsn_parse(const char *text, uint64_t *ret)
{
    uint32_t high, low;
    if (!take_hex(&text, &high) || *text++ != '/' || !take_hex(&text, &low) || *text != '\0')
        return false;
    *ret = (uint64_t)high << 32 | low;
    return true;
}

bool wal_segment_size_valid(uint32_t bytes)
{
    return bytes >= 1u << 20 && bytes <= 1u << 30 && (bytes & (bytes - 1)) == 0;
}

/* Exactly eight upper-case hex digits, as all parts of these names are. */
static bool name_part(const char *s, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < 8; i++) {
        int digit = hex_digit(s[i], false);
        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return true;
}

static bool is_backup_suffix(const char *s)
{
    uint32_t offset;
    return *s == '.' && name_part(s + 1, &offset) && strcmp(s + 9, ".backup") == 0;
}

/* A name's kind and timeline; the two halves of the segment number where it has them. */
static bool split_name(const char *file, struct wal_name *ret, uint32_t *ret_log, uint32_t *ret_seg)
{
    struct wal_name name = {0};
    *ret_log = *ret_seg = 0;
    if (!name_part(file, &name.timeline) || name.timeline == 0)
        return false;
    if (strcmp(file + 8, ".history") == 0) {
        name.kind = WAL_HISTORY;
        *ret = name;
        return true;
    }
    if (!name_part(file + 8, ret_log) || !name_part(file + 16, ret_seg))
        return false;
    const char *suffix = file + 24;
    if (*suffix == '\0')
        name.kind = WAL_SEGMENT;
    else if (strcmp(suffix, ".partial") == 0)
        name.kind = WAL_PARTIAL;
    else if (is_backup_suffix(suffix))
        name.kind = WAL_BACKUP_LABEL;
    else
        return false;
    *ret = name;
    return true;
}

bool wal_name_kind(const char *file, struct wal_name *ret)
{
    uint32_t log, seg;
    return split_name(file, ret, &log, &seg);
}

bool wal_name_parse(const char *file, uint32_t segment_bytes, struct wal_name *ret)
{
    struct wal_name name;
    uint32_t log, seg;
    if (!wal_segment_size_valid(segment_bytes) || !split_name(file, &name, &log, &seg))
        return false;
    uint64_t per_log = (UINT64_C(1) << 32) / segment_bytes;
    if (seg >= per_log)
        return false;
    name.number = log * per_log + seg;
    *ret = name;
    return true;
}

void wal_name_segment(uint32_t timeline, uint64_t number, uint32_t segment_bytes,
                      char to[static WAL_NAME_MAX])
{
    uint64_t per_log = (UINT64_C(1) << 32) / segment_bytes;
    snprintf(to, WAL_NAME_MAX, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, timeline,
             (uint32_t)(number / per_log), (uint32_t)(number % per_log));
}

void wal_name_history(uint32_t timeline, char to[static WAL_NAME_MAX])
{
    snprintf(to, WAL_NAME_MAX, "%08" PRIX32 ".history", timeline);
}
