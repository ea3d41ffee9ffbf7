#include "repo/fields_int.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

void field_set(json_t *o, const char *key, json_t *value)
{
    if (!value || json_object_set_new(o, key, value) != 0)
        BUG("could not set JSON member \"%s\"", key);
}

void field_set_str(json_t *o, const char *key, const char *ascii)
{
    field_set(o, key, json_string(ascii));
}

void field_set_u64(json_t *o, const char *key, uint64_t value)
{
    BUG_IF(value > INT64_MAX);
    field_set(o, key, json_integer((json_int_t)value));
}

void field_set_decimal(json_t *o, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    field_set_str(o, key, text);
}

void field_set_lsn(json_t *o, const char *key, uint64_t lsn)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    field_set_str(o, key, text);
}

void field_set_moment(json_t *o, const char *key, moment_us time)
{
    char text[MOMENT_TEXT_MAX];
    field_set_str(o, key, moment_iso(time, text));
}

void field_set_hex(json_t *o, const char *key, const void *data, size_t len)
{
    char text[2 * 64 + 1];
    BUG_IF(len > 64);
    hex_encode(data, len, text);
    field_set_str(o, key, text);
}

enum rc field_get_decimal(const json_t *o, const char *key, uint64_t *ret, struct error *err)
{
    const char *text;
    TRY(json_get_str(o, key, &text, err));
    if (!parse_u64(text, ret))
        return error_set(err, RC_INTEGRITY, "member \"%s\" is not a decimal number", key);
    return RC_OK;
}

/* One to eight hex digits, up to the end character; moves *p behind it. */
static bool hex_half(const char **p, char end, uint32_t *ret)
{
    uint32_t value = 0;
    unsigned count = 0;
    for (; **p && **p != end; (*p)++, count++) {
        char c = **p;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A' + 10);
        else
            return false;
        if (count == 8)
            return false;
        value = value << 4 | digit;
    }
    if (count == 0 || **p != end)
        return false;
    if (end)
        (*p)++;
    *ret = value;
    return true;
}

enum rc field_get_lsn(const json_t *o, const char *key, uint64_t *ret, struct error *err)
{
    const char *text;
    uint32_t high, low;
    TRY(json_get_str(o, key, &text, err));
    if (!hex_half(&text, '/', &high) || !hex_half(&text, '\0', &low))
        return error_set(err, RC_INTEGRITY, "member \"%s\" is not an LSN", key);
    *ret = (uint64_t)high << 32 | low;
    return RC_OK;
}

enum rc field_get_moment(const json_t *o, const char *key, moment_us *ret, struct error *err)
{
    const char *text;
    TRY(json_get_str(o, key, &text, err));
    if (moment_parse(text, ret, err) != RC_OK)
        return error_set(err, RC_INTEGRITY, "member \"%s\" is not a time", key);
    return RC_OK;
}

enum rc field_get_seconds(const json_t *o, const char *key, double *ret, struct error *err)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_number(value) || json_number_value(value) < 0)
        return error_set(err, RC_INTEGRITY, "member \"%s\" is not a number of seconds", key);
    *ret = json_number_value(value);
    return RC_OK;
}

enum rc field_get_text(const json_t *o, const char *key, struct arena *a, const char **ret,
                       struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    TRY(json_get_bytes(o, key, &text, err));
    *ret = arena_strdup(a, text);
    return RC_OK;
}
