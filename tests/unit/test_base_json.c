/* JSON from outside: one object, members of the right kind, names of any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static json_t *parsed(const char *text)
{
    struct error e = {0};
    json_t *o = NULL;

    assert_int_equal(json_parse_object(text, strlen(text), &o, &e), RC_OK);
    return o;
}

static void only_one_whole_object(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[1]",
        "1",
        "null",
        "{\"a\":1} x",
        "{\"a\":1,\"a\":2}",
        "{} {}",
        "{'a':1}",
        "{\"a\":\"\xff\"}",
        "{\"a\":1e999}",
        "{\"a\":9223372036854775808}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":01}",
    };
    CLEANUP_JSON json_t *good = parsed(" {\"a\": {\"a\": []}}\n");

    (void)state;
    assert_non_null(good);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error e = {0};
        json_t *o = NULL;
        assert_int_equal(json_parse_object(bad[i], strlen(bad[i]), &o, &e), RC_INTEGRITY);
        assert_null(o);
        assert_true(e.what[0]);
    }
}

/* Thousands of brackets must not exhaust the stack. */
static void depth_is_bounded(void **state)
{
    static char deep[1 << 20];
    struct error e;
    json_t *o = NULL;

    (void)state;
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    assert_int_equal(json_parse_object(deep, sizeof(deep), &o, &e), RC_INTEGRITY);
    assert_null(o);
}

static void numbers_in_range(void **state)
{
    CLEANUP_JSON json_t *o = parsed("{\"zero\":0,\"minus\":-1,\"big\":9223372036854775807,"
                                    "\"u32\":4294967295,\"over\":4294967296,\"real\":1.0,"
                                    "\"text\":\"1\",\"null\":null}");
    static const char *const no_number[] = {"real", "text", "null", "absent"};
    struct error e;
    uint64_t u = 42;
    int64_t i = 42;
    uint32_t n = 42;

    (void)state;
    assert_int_equal(json_get_u64(o, "big", &u, &e), RC_OK);
    assert_true(u == INT64_MAX);
    assert_int_equal(json_get_i64(o, "minus", &i, &e), RC_OK);
    assert_true(i == -1);
    assert_int_equal(json_get_u32(o, "u32", &n, &e), RC_OK);
    assert_true(n == UINT32_MAX);
    u = n = 42;
    i = 42;
    assert_int_equal(json_get_u64(o, "minus", &u, &e), RC_INTEGRITY);
    assert_int_equal(json_get_u32(o, "minus", &n, &e), RC_INTEGRITY);
    assert_int_equal(json_get_u32(o, "over", &n, &e), RC_INTEGRITY);
    for (size_t k = 0; k < 4; k++) {
        assert_int_equal(json_get_u64(o, no_number[k], &u, &e), RC_INTEGRITY);
        assert_int_equal(json_get_i64(o, no_number[k], &i, &e), RC_INTEGRITY);
        assert_int_equal(json_get_u32(o, no_number[k], &n, &e), RC_INTEGRITY);
        assert_non_null(strstr(e.what, no_number[k])); /* the member is named */
    }
    assert_true(u == 42 && i == 42 && n == 42);
}

static void strings_and_fallbacks(void **state)
{
    CLEANUP_JSON json_t *o = parsed("{\"s\":\"text\",\"n\":1,\"yes\":true,\"null\":null}");
    struct error e;
    const char *s = NULL;
    bool b = false;

    (void)state;
    assert_int_equal(json_get_str(o, "s", &s, &e), RC_OK);
    assert_string_equal(s, "text");
    assert_int_equal(json_get_str(o, "n", &s, &e), RC_INTEGRITY);
    assert_int_equal(json_get_str(o, "absent", &s, &e), RC_INTEGRITY);
    assert_string_equal(s, "text");
    assert_int_equal(json_get_str_or(o, "absent", "other", &s, &e), RC_OK);
    assert_string_equal(s, "other");
    assert_int_equal(json_get_str_or(o, "n", "other", &s, &e), RC_INTEGRITY);
    assert_int_equal(json_get_flag(o, "yes", false, &b, &e), RC_OK);
    assert_true(b);
    assert_int_equal(json_get_flag(o, "absent", true, &b, &e), RC_OK);
    assert_true(b);
    assert_int_equal(json_get_flag(o, "absent", false, &b, &e), RC_OK);
    assert_false(b);
    assert_int_equal(json_get_flag(o, "n", true, &b, &e), RC_INTEGRITY);
    assert_int_equal(json_get_flag(o, "null", true, &b, &e), RC_INTEGRITY);
    assert_false(b);
}

static void hex_of_the_right_length(void **state)
{
    CLEANUP_JSON json_t *o = parsed("{\"h\":\"00fFa0\",\"odd\":\"00f\",\"bad\":\"00fg00\"}");
    struct error e;
    uint8_t got[3] = {9, 9, 9};

    (void)state;
    assert_int_equal(json_get_hex(o, "bad", got, 3, &e), RC_INTEGRITY);
    assert_int_equal(json_get_hex(o, "odd", got, 1, &e), RC_INTEGRITY);
    assert_int_equal(json_get_hex(o, "h", got, 2, &e), RC_INTEGRITY);
    assert_int_equal(json_get_hex(o, "h", got, 4, &e), RC_INTEGRITY);
    assert_memory_equal(got, "\x09\x09\x09", 3);
    assert_int_equal(json_get_hex(o, "h", got, 3, &e), RC_OK);
    assert_memory_equal(got, "\x00\xff\xa0", 3);
}

static void containers(void **state)
{
    CLEANUP_JSON json_t *o = parsed("{\"a\":[1,2],\"o\":{\"x\":1}}");
    struct error e;
    json_t *v = NULL;

    (void)state;
    assert_int_equal(json_get_array(o, "a", &v, &e), RC_OK);
    assert_int_equal(json_array_size(v), 2);
    assert_int_equal(json_get_obj(o, "o", &v, &e), RC_OK);
    assert_int_equal(json_object_size(v), 1);
    v = NULL;
    assert_int_equal(json_get_array(o, "o", &v, &e), RC_INTEGRITY);
    assert_int_equal(json_get_obj(o, "a", &v, &e), RC_INTEGRITY);
    assert_int_equal(json_get_obj(o, "absent", &v, &e), RC_INTEGRITY);
    assert_null(v);
}

static void names_of_any_bytes(void **state)
{
    static const char *const names[] = {"plain", "gr\xc3\xbc\xc3\x9f", "\xff\xfe",    "a\nb\x01",
                                        "",      "half \xe2\x82",      "\xed\xa0\x80"};
    struct error e;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        CLEANUP_JSON json_t *o = json_object();
        CLEANUP_FREE char *got = NULL;
        json_set_bytes(o, "path", names[i]);
        CLEANUP_FREE char *text = json_dumps(o, JSON_COMPACT);
        CLEANUP_JSON json_t *again = parsed(text);
        assert_int_equal(json_get_bytes(again, "path", &got, &e), RC_OK);
        assert_string_equal(got, names[i]);
    }
}

static void names_that_lie(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"path\":1}",
        "{\"path_hex\":\"0\"}",
        "{\"path_hex\":\"zz\"}",
        "{\"path_hex\":\"610062\"}", /* would end at its zero */
        "{\"path_hex\":3}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CLEANUP_JSON json_t *o = parsed(bad[i]);
        struct error e;
        char *got = NULL;
        assert_int_equal(json_get_bytes(o, "path", &got, &e), RC_INTEGRITY);
        assert_null(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_whole_object),   cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(numbers_in_range),        cmocka_unit_test(strings_and_fallbacks),
        cmocka_unit_test(hex_of_the_right_length), cmocka_unit_test(containers),
        cmocka_unit_test(names_of_any_bytes),      cmocka_unit_test(names_that_lie),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
