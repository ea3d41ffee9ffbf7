/* Strings, numbers, sizes and durations as text. */
#ifndef PGPROOF_BASE_STR_H
#define PGPROOF_BASE_STR_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_dup(const char *s);                             /* never NULL; free() it */
char *str_printf(const char *fmt, ...) PRINTF_LIKE(1, 2); /* never NULL; free() it */

/* Copy into a fixed array; false (and a cut copy) if it does not fit. */
bool str_copy(char *to, size_t to_size, const char *from);

/* Lower-case hex. `to` has room for 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *to);
bool hex_decode(const char *hex, size_t hex_len,
                void *to);                    /* exactly hex_len / 2 bytes, either case */
bool hex_is_lower(const char *s, size_t len); /* len lower-case hex digits */

/* The whole string must be a number in range. */
bool parse_u64(const char *s, uint64_t *ret);
bool parse_i64(const char *s, int64_t *ret);
bool parse_bool(const char *s, bool *ret); /* on off yes no true false 1 0 */
bool parse_size(const char *s,
                uint64_t *ret_bytes); /* 10, 10kB, 16MB, 2GB (binary, as PostgreSQL) */
bool parse_duration(const char *s,
                    int64_t *ret_seconds); /* 90s, 30m, 2h, 7d, 4w; a unit must be there */

/* "3.2 GB", "14 kB": for people; `to` has room for 32 bytes. Returns `to`. */
const char *format_size(uint64_t bytes, char to[static 32]);
/* "1 h 02 min", "14.2 s": for people. Returns `to`. */
const char *format_duration(double seconds, char to[static 32]);

/* Of `known` (NULL-terminated), the one nearest to `word`, or NULL where none is close enough. */
const char *str_nearest(const char *word, const char *const *known);

/* Text for a terminal or a log: control bytes and invalid UTF-8 become \xNN. free() it. */
char *str_printable(const char *s);

/* `word` as one word for /bin/sh: quoted where it needs to be. malloc'ed. */
char *str_shell_word(const char *word);

#endif
