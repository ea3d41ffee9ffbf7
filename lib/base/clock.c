#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

moment_us clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (moment_us)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double clock_monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void clock_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static void split(moment_us t, struct tm *ret_tm, int *ret_us)
{
    time_t s = t / 1000000;
    int us = (int)(t % 1000000);

    if (us < 0) { /* before 1970; division rounds towards zero */
        us += 1000000;
        s--;
    }
    *ret_us = us;
    gmtime_r(&s, ret_tm);
}

static const char *write_moment(moment_us t, const char *format, const char *zone, char *to)
{
    struct tm tm;
    int us;

    if (t == MOMENT_NONE)
        return strcpy(to, "never");
    split(t, &tm, &us);
    size_t n = strftime(to, MOMENT_TEXT_MAX, format, &tm);
    if (us) {
        n += (size_t)snprintf(to + n, MOMENT_TEXT_MAX - n, ".%06d", us);
        while (to[n - 1] == '0')
            to[--n] = '\0';
    }
    snprintf(to + n, MOMENT_TEXT_MAX - n, "%s", zone);
    return to;
}

const char *moment_text(moment_us t, char to[static MOMENT_TEXT_MAX])
{
    return write_moment(t, "%Y-%m-%d %H:%M:%S", " UTC", to);
}

const char *moment_iso(moment_us t, char to[static MOMENT_TEXT_MAX])
{
    return write_moment(t, "%Y-%m-%dT%H:%M:%S", "Z", to);
}

const char *moment_name(moment_us t, char to[static MOMENT_TEXT_MAX])
{
    struct tm tm;
    int us;

    split(t, &tm, &us);
    strftime(to, MOMENT_TEXT_MAX, "%Y%m%dT%H%M%SZ", &tm);
    return to;
}

/* Exactly n digits. */
static bool take_digits(const char **p, int n, int *ret)
{
    int v = 0;

    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        v = 10 * v + (**p - '0');
    }
    *ret = v;
    return true;
}

static bool take_char(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

/* Both 2026-11-21 and 20261121. */
static bool take_date(const char **p, struct tm *tm)
{
    if (!take_digits(p, 4, &tm->tm_year))
        return false;
    bool dashes = take_char(p, '-');
    if (!take_digits(p, 2, &tm->tm_mon) || (dashes && !take_char(p, '-')) ||
        !take_digits(p, 2, &tm->tm_mday))
        return false;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1;
}

/* 14:30, 14:30:05, 14:30:05.25 and 143005. */
static bool take_time(const char **p, struct tm *tm, int *ret_us)
{
    int scale = 100000;

    *ret_us = 0;
    if (!take_digits(p, 2, &tm->tm_hour))
        return false;
    bool colons = take_char(p, ':');
    if (!take_digits(p, 2, &tm->tm_min))
        return false;
    if ((colons && take_char(p, ':')) || !colons)
        if (!take_digits(p, 2, &tm->tm_sec))
            return false;
    if (take_char(p, '.')) {
        if (!isdigit((unsigned char)**p))
            return false;
        for (; isdigit((unsigned char)**p); (*p)++, scale /= 10)
            *ret_us += (**p - '0') * scale;
    }
    return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

/* Seconds east of Greenwich. */
static bool take_zone(const char **p, int *ret)
{
    int hours, minutes = 0;

    while (**p == ' ')
        (*p)++;
    *ret = 0;
    if (take_char(p, 'Z') || take_char(p, 'z'))
        return true;
    if (strncmp(*p, "UTC", 3) == 0 || strncmp(*p, "utc", 3) == 0) {
        *p += 3;
        return true;
    }
    char sign = **p;
    if (sign != '+' && sign != '-')
        return false;
    (*p)++;
    if (!take_digits(p, 2, &hours))
        return false;
    bool colon = take_char(p, ':');
    if ((colon || **p) && !take_digits(p, 2, &minutes))
        return false;
    *ret = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return hours <= 15 && minutes < 60;
}

static enum rc bad_moment(const char *text, const char *what, const char *now, struct error *err)
{
    error_set(err, RC_USAGE, "%s", what);
    error_on(err, "\"%s\"", text);
    return error_now(err, "%s", now);
}

enum rc moment_parse(const char *text, moment_us *ret, struct error *err)
{
    struct tm tm = {0}, check;
    const char *p = text;
    int us, east;

    if (!take_date(&p, &tm) || (!take_char(&p, ' ') && !take_char(&p, 'T')) ||
        !take_time(&p, &tm, &us))
        return bad_moment(text, "this is not a moment",
                          "write it as '2026-11-21 14:30:00 UTC' or '2026-11-21 14:30:00+02:00'",
                          err);
    bool bare = !p[strspn(p, " ")];
    if (!take_zone(&p, &east) || *p)
        return bad_moment(
            text,
            bare ? "the moment has no offset from UTC, so nobody can know what is meant"
                 : "what stands behind the time is no offset from UTC",
            "end it with the offset, as in '2026-11-21 14:30:00 UTC' or "
            "'2026-11-21 14:30:00+02:00'",
            err);
    check = tm;
    time_t s = timegm(&check);
    if (check.tm_mday != tm.tm_mday) /* it ran over into the next month */
        return bad_moment(text, "there is no such day", "look at the calendar", err);
    *ret = ((moment_us)s - east) * 1000000 + us;
    return RC_OK;
}
