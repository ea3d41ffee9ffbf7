/* Time. Moments are microseconds since 1970-01-01 00:00:00 UTC in an int64_t, named `_us`. */
#ifndef PGPROOF_BASE_CLOCK_H
#define PGPROOF_BASE_CLOCK_H

#include "base/error.h"

#include <stdint.h>

typedef int64_t moment_us;
#define MOMENT_NONE INT64_MIN

moment_us clock_now(void);        /* wall clock */
double clock_monotonic(void);     /* seconds; only differences mean something */
void clock_sleep_ms(unsigned ms); /* returns early on a signal */

#define MOMENT_TEXT_MAX 40
/* "2026-11-21 14:30:00 UTC", fractions only where there are any. Returns `to`. */
const char *moment_text(moment_us t, char to[static MOMENT_TEXT_MAX]);
/* "2026-11-21T14:30:00.123456Z", for machines. */
const char *moment_iso(moment_us t, char to[static MOMENT_TEXT_MAX]);
/* "20261121T143000Z", for names. Seconds only. */
const char *moment_name(moment_us t, char to[static MOMENT_TEXT_MAX]);

/*
 * A moment as people write it: "2026-11-21 14:30[:00[.5]]", with 'T' or a space between, then an
 * offset ("+02", "+02:00", "+0200", "-05:30") or "Z" or "UTC". Without an offset or zone: RC_USAGE,
 * because the reader can't know what was meant. ISO and name forms parse too.
 */
MUST_CHECK enum rc moment_parse(const char *text, moment_us *ret, struct error *err);

#endif
