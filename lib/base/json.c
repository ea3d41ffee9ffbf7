#include "base/json.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum rc json_parse_object(const void *text, size_t len, json_t **ret, struct error *err)
{
    json_error_t e;
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

    if (!o)
        return error_set(err, RC_INTEGRITY, "this is not JSON: %s (line %d)", e.text, e.line);
    if (!json_is_object(o)) {
        json_decref(o);
        return error_set(err, RC_INTEGRITY, "this is not a JSON object");
    }
    *ret = o;
    return RC_OK;
}

static enum rc bad_member(struct error *err, const char *key, const char *wanted)
{
    return error_set(err, RC_INTEGRITY, "the member \"%s\" is missing or not %s", key, wanted);
}

enum rc json_get_str(const json_t *o, const char *key, const char **ret, struct error *err)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_string(v))
        return bad_member(err, key, "a string");
    if (strlen(json_string_value(v)) != json_string_length(v))
        return bad_member(err, key, "a string without NUL");
    *ret = json_string_value(v);
    return RC_OK;
}

enum rc json_get_str_or(const json_t *o, const char *key, const char *fallback, const char **ret,
                        struct error *err)
{
    if (json_object_get(o, key))
        return json_get_str(o, key, ret, err);
    *ret = fallback;
    return RC_OK;
}

enum rc json_get_i64(const json_t *o, const char *key, int64_t *ret, struct error *err)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_integer(v))
        return bad_member(err, key, "an integer");
    *ret = json_integer_value(v);
    return RC_OK;
}

enum rc json_get_u64(const json_t *o, const char *key, uint64_t *ret, struct error *err)
{
    int64_t v = 0;

    TRY(json_get_i64(o, key, &v, err));
    if (v < 0)
        return bad_member(err, key, "a whole number from 0");
    *ret = (uint64_t)v;
    return RC_OK;
}

enum rc json_get_u32(const json_t *o, const char *key, uint32_t *ret, struct error *err)
{
    int64_t v = 0;

    TRY(json_get_i64(o, key, &v, err));
    if (v < 0 || v > UINT32_MAX)
        return bad_member(err, key, "a whole number of at most 32 bits");
    *ret = (uint32_t)v;
    return RC_OK;
}

enum rc json_get_flag(const json_t *o, const char *key, bool fallback, bool *ret, struct error *err)
{
    const json_t *v = json_object_get(o, key);

    if (v && !json_is_boolean(v))
        return bad_member(err, key, "true or false");
    *ret = v ? json_is_true(v) : fallback;
    return RC_OK;
}

enum rc json_get_hex(const json_t *o, const char *key, void *ret, size_t len, struct error *err)
{
    const char *hex = NULL;

    TRY(json_get_str(o, key, &hex, err));
    if (strlen(hex) != 2 * len || !hex_decode(hex, 2 * len, ret))
        return bad_member(err, key, "hex digits of the right number");
    return RC_OK;
}

enum rc json_get_array(const json_t *o, const char *key, json_t **ret, struct error *err)
{
    json_t *v = json_object_get(o, key);

    if (!json_is_array(v))
        return bad_member(err, key, "an array");
    *ret = v;
    return RC_OK;
}

enum rc json_get_obj(const json_t *o, const char *key, json_t **ret, struct error *err)
{
    json_t *v = json_object_get(o, key);

    if (!json_is_object(v))
        return bad_member(err, key, "an object");
    *ret = v;
    return RC_OK;
}

void json_set_bytes(json_t *o, const char *key, const char *value)
{
    json_t *text = json_string(value); /* NULL where it is no UTF-8 */

    if (text) {
        BUG_IF(json_object_set_new(o, key, text) != 0);
        return;
    }
    size_t len = strlen(value);
    char *hex = mem_alloc(2 * len + 1);
    char *hex_key = str_printf("%s_hex", key);
    hex_encode(value, len, hex);
    BUG_IF(json_object_set_new(o, hex_key, json_string(hex)) != 0);
    free(hex_key);
    free(hex);
}

enum rc json_get_bytes(const json_t *o, const char *key, char **ret, struct error *err)
{
    const char *text;

    if (json_object_get(o, key)) {
        TRY(json_get_str(o, key, &text, err));
        *ret = str_dup(text);
        return RC_OK;
    }
    char *hex_key = str_printf("%s_hex", key);
    enum rc rc = json_get_str(o, hex_key, &text, err);
    free(hex_key);
    if (rc != RC_OK)
        return bad_member(err, key, "a string");
    size_t len = strlen(text);
    char *value = mem_zalloc(len / 2 + 1);
    if (!hex_decode(text, len, value) || strlen(value) != len / 2) {
        free(value);
        return bad_member(err, key, "hex digits without a zero byte");
    }
    *ret = value;
    return RC_OK;
}
