#include "base/str.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

char *str_dup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(mem_alloc(n), s, n);
}

char *str_printf(const char *fmt, ...)
{
    va_list va;
    char *s;

    va_start(va, fmt);
    BUG_IF(vasprintf(&s, fmt, va) < 0);
    va_end(va);
    return s;
}

bool str_copy(char *to, size_t to_size, const char *from)
{
    size_t n = strlen(from);
    size_t keep = n < to_size ? n : to_size - 1;

    memcpy(to, from, keep);
    to[keep] = '\0';
    return n < to_size;
}

void hex_encode(const void *data, size_t len, char *to)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        to[2 * i] = digits[p[i] >> 4];
        to[2 * i + 1] = digits[p[i] & 15];
    }
    to[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *hex, size_t hex_len, void *to)
{
    unsigned char *p = to;

    if (hex_len % 2)
        return false;
    for (size_t i = 0; i < hex_len; i++)
        if (hex_digit(hex[i]) < 0)
            return false;
    for (size_t i = 0; i < hex_len / 2; i++)
        p[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return true;
}

bool hex_is_lower(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (hex_digit(s[i]) < 0 || (s[i] >= 'A' && s[i] <= 'F'))
            return false;
    return true;
}

bool parse_u64(const char *s, uint64_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)*s))
        return false; /* strtoull would take blanks and a minus */
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || *end)
        return false;
    *ret = v;
    return true;
}

bool parse_i64(const char *s, int64_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
        return false;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *ret = v;
    return true;
}

bool parse_bool(const char *s, bool *ret)
{
    static const char *const yes[] = {"on", "yes", "true", "1"};
    static const char *const no[] = {"off", "no", "false", "0"};

    for (size_t i = 0; i < 4; i++)
        if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
            *ret = strcasecmp(s, yes[i]) == 0;
            return true;
        }
    return false;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number and one of the units; *ret = number * factor, if it does not overflow. */
static bool parse_with_unit(const char *s, const struct unit *units, size_t count, uint64_t *ret)
{
    char *end;
    uint64_t v;

    if (!isdigit((unsigned char)*s))
        return false;
    errno = 0;
    v = strtoull(s, &end, 10);
    if (errno)
        return false;
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < count; i++)
        if (strcmp(end, units[i].name) == 0)
            return !__builtin_mul_overflow(v, units[i].factor, ret);
    return false;
}

bool parse_size(const char *s, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1},          {"B", 1},         {"kB", 1u << 10},          {"KB", 1u << 10},
        {"MB", 1u << 20}, {"GB", 1u << 30}, {"TB", UINT64_C(1) << 40},
    };

    return parse_with_unit(s, units, sizeof(units) / sizeof(*units), ret_bytes);
}

bool parse_duration(const char *s, int64_t *ret_seconds)
{
    /* No bare numbers: "keep = 7" would mean seven seconds to us and seven days to its writer. */
    static const struct unit units[] = {
        {"s", 1}, {"min", 60}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800},
    };
    uint64_t v;

    if (!parse_with_unit(s, units, sizeof(units) / sizeof(*units), &v) || v > INT64_MAX / 1000000)
        return false;
    *ret_seconds = (int64_t)v;
    return true;
}

const char *format_size(uint64_t bytes, char to[static 32])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 1000 && u + 1 < sizeof(units) / sizeof(*units)) {
        v /= 1024;
        u++;
    }
    snprintf(to, 32, u == 0 || v >= 99.95 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return to;
}

const char *format_duration(double seconds, char to[static 32])
{
    if (!(seconds > 0)) /* NaN, too */
        seconds = 0;
    if (seconds > 1e12) /* a rate of nearly nothing; the conversion must stay in range */
        return strcpy(to, "for ever");
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (seconds < 59.95)
        snprintf(to, 32, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(to, 32, "%d min %02d s", (int)(s / 60), (int)(s % 60));
    else if (s < 48 * 3600)
        snprintf(to, 32, "%d h %02d min", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(to, 32, "%llu days %d h", (unsigned long long)(s / 86400), (int)(s / 3600 % 24));
    return to;
}

/* Levenshtein's distance, two rows at a time. Words over 63 bytes are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[64];

    if (n > 63 || m > 63)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[m];
}

const char *str_nearest(const char *word, const char *const *known)
{
    size_t limit = strlen(word) / 3 > 2 ? strlen(word) / 3 : 2, best = limit + 1;
    const char *nearest = NULL;

    for (; *known; known++) {
        size_t d = edit_distance(word, *known);
        if (d < best && d < strlen(*known)) {
            best = d;
            nearest = *known;
        }
    }
    return nearest;
}

/* Length of the valid UTF-8 sequence at p (1 to 4), or 0. */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = *p < 0x80                 ? 1
               : *p >= 0xc2 && *p < 0xe0 ? 2
               : (*p & 0xf0) == 0xe0     ? 3
               : *p >= 0xf0 && *p < 0xf5 ? 4
                                         : 0;

    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f) || (*p == 0xc2 && p[1] < 0xa0))
        return 0;
    return n;
}

char *str_printable(const char *s)
{
    char *to = mem_alloc(4 * strlen(s) + 1), *out = to;

    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t n = utf8_length(p);
        if (n == 0 || *p < 0x20 || *p == 0x7f) {
            out += sprintf(out, "\\x%02x", *p++);
            continue;
        }
        memcpy(out, p, n);
        out += n;
        p += n;
    }
    *out = '\0';
    return to;
}

static bool is_plain_word(const char *word)
{
    return word[0] &&
           strspn(word,
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@") ==
               strlen(word);
}

char *str_shell_word(const char *word)
{
    if (is_plain_word(word))
        return str_dup(word);
    char *quoted = mem_array(NULL, strlen(word) + 1, 4), *to = quoted;
    *to++ = '\'';
    for (; *word; word++) {
        if (*word != '\'') {
            *to++ = *word;
            continue;
        }
        memcpy(to, "'\\''", 4);
        to += 4;
    }
    *to++ = '\'';
    *to = '\0';
    return quoted;
}
