/* Is this text a value of the option's type? */
#include "config/config_int.h"

#include "base/str.h"

#include <string.h>

static enum rc refuse(const struct option *o, const char *value, const char *expected,
                      struct error *err)
{
    CLEANUP_FREE char *shown = str_printable(value);

    if (!value[0])
        error_set(err, RC_CONFIG, "'%s' has no value: it must be %s", o->key, expected);
    else if (o->flags & OPT_SECRET)
        error_set(err, RC_CONFIG, "the value of '%s' must be %s", o->key, expected);
    else
        error_set(err, RC_CONFIG, "'%.200s' is no value for '%s': it must be %s", shown, o->key,
                  expected);
    return error_now(err, "correct it; docs/configuration.md describes every option");
}

static enum rc check_choice(const struct option *o, const char *value, struct error *err)
{
    char list[256] = "one of:";

    for (size_t i = 0; o->choices[i]; i++) {
        size_t len = strlen(list);
        if (str_eq(o->choices[i], value))
            return RC_OK;
        str_copy(list + len, sizeof(list) - len, i ? ", " : " ");
        len = strlen(list);
        str_copy(list + len, sizeof(list) - len, o->choices[i]);
    }
    return refuse(o, value, list, err);
}

static enum rc check_uint(const struct option *o, const char *value, struct error *err)
{
    CLEANUP_FREE char *range = str_printf("a number from %llu to %llu", (unsigned long long)o->min,
                                          (unsigned long long)o->max);
    uint64_t n;

    if (!parse_u64(value, &n) || n < o->min || n > o->max)
        return refuse(o, value, range, err);
    return RC_OK;
}

static enum rc check_duration(const struct option *o, const char *value, struct error *err)
{
    int64_t seconds;

    if (!parse_duration(value, &seconds) || seconds < (int64_t)o->min)
        return refuse(o, value,
                      o->min ? "a duration of at least a second, such as 90s, 30m, 2h, 7d, 4w"
                             : "a duration such as 90s, 30m, 2h, 7d, 4w",
                      err);
    return RC_OK;
}

enum rc option_check(const struct option *o, const char *value, struct error *err)
{
    moment_us moment;
    uint64_t n;
    bool b;

    switch (o->type) {
    case OPT_TEXT:
        return RC_OK;
    case OPT_PATH:
        return value[0] == '/' ? RC_OK
                               : refuse(o, value, "an absolute path, one that begins with /", err);
    case OPT_UINT:
        return check_uint(o, value, err);
    case OPT_SIZE:
        return parse_size(value, &n) ? RC_OK
                                     : refuse(o, value, "a size such as 512kB, 16MB, 2GB", err);
    case OPT_DURATION:
        return check_duration(o, value, err);
    case OPT_BOOL:
        return parse_bool(value, &b) ? RC_OK : refuse(o, value, "on or off", err);
    case OPT_CHOICE:
        return check_choice(o, value, err);
    case OPT_MOMENT:
        return moment_parse(value, &moment, err) == RC_OK
                   ? RC_OK
                   : refuse(o, value, "a moment such as '2026-11-21 14:30:00 UTC'", err);
    }
    BUG("option type %d", (int)o->type);
}
