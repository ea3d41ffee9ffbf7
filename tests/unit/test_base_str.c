/* Strings, numbers, sizes and durations as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

static void numbers(void **state)
{
    uint64_t u;
    int64_t i;

    (void)state;
    assert_true(parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_false(parse_u64("18446744073709551616", &u));
    assert_false(parse_u64("-1", &u));
    assert_false(parse_u64(" 1", &u));
    assert_false(parse_u64("1x", &u));
    assert_false(parse_u64("", &u));
    assert_true(parse_i64("-5", &i) && i == -5);
    assert_true(parse_i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_false(parse_i64("9223372036854775808", &i));
    assert_false(parse_i64("-", &i));
    assert_false(parse_i64("--5", &i));
    assert_true(parse_size("16MB", &u) && u == 16u << 20);
    assert_true(parse_size("10", &u) && u == 10);
    assert_true(parse_size("10kB", &u) && u == 10240);
    assert_true(parse_size("2GB", &u) && u == UINT64_C(2) << 30);
    assert_false(parse_size("99999999999TB", &u));
    assert_false(parse_size("16 mb", &u));
    assert_true(parse_duration("7d", &i) && i == 7 * 86400);
    assert_true(parse_duration("30m", &i) && i == 1800);
    assert_true(parse_duration("4w", &i) && i == 28 * 86400);
    assert_true(parse_duration("2h", &i) && i == 7200);
    assert_true(parse_duration("0s", &i) && i == 0);
    assert_false(parse_duration("7 days", &i));
    assert_false(parse_duration("7", &i)); /* of what? */
    assert_false(parse_duration("", &i));
    assert_false(parse_duration("-1d", &i));
    assert_false(parse_duration("9223372036854775807d", &i));
}

static void hex(void **state)
{
    uint8_t bytes[4] = {0};
    char text[9];

    (void)state;
    assert_true(hex_decode("00fFa0", 6, bytes));
    hex_encode(bytes, 3, text);
    assert_string_equal(text, "00ffa0");
    assert_false(hex_decode("0", 1, bytes));
    assert_false(hex_decode("0g", 2, bytes));
    assert_false(hex_is_lower("0A", 2));
}

static void nearest(void **state)
{
    static const char very_long[] =
        "a-name-that-is-longer-than-the-table-inside-which-has-room-for-sixty-three-bytes";
    static const char *const known[] = {"target-time", "target-lsn", "backup", very_long, NULL};

    (void)state;
    assert_string_equal(str_nearest("target-tiem", known), "target-time");
    assert_string_equal(str_nearest("bakup", known), "backup");
    assert_null(str_nearest("frobnicate", known));
    assert_null(str_nearest("", known));
    char longer[200];
    memset(longer, 'b', 199);
    longer[199] = '\0';
    assert_null(str_nearest(longer, known));
}

static void printable(void **state)
{
    CLEANUP_FREE char *s = str_printable("a\n\xff\xc3\xa9\x1b[31m\xe2\x82");

    (void)state;
    assert_string_equal(s, "a\\x0a\\xff\xc3\xa9\\x1b[31m\\xe2\\x82");

    /* overlong, surrogate, beyond Unicode, a C1 control, delete; then the largest that is right */
    CLEANUP_FREE char *bad = str_printable("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xc2\x9b\x7f");
    assert_string_equal(bad, "\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xc2\\x9b\\x7f");
    CLEANUP_FREE char *good = str_printable("\xf4\x8f\xbf\xbf");
    assert_string_equal(good, "\xf4\x8f\xbf\xbf");
}

static void truth(void **state)
{
    bool b;

    (void)state;
    assert_true(parse_bool("on", &b) && b);
    assert_true(parse_bool("Yes", &b) && b);
    assert_true(parse_bool("FALSE", &b) && !b);
    assert_true(parse_bool("0", &b) && !b);
    assert_false(parse_bool("o", &b));
    assert_false(parse_bool("", &b));
}

static void compared(void **state)
{
    char small[4];

    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_false(str_eq("", NULL));
    assert_true(str_eq("a", "a"));
    assert_true(str_starts("abc", "ab"));
    assert_false(str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc"));
    assert_false(str_ends("c", "bc"));
    assert_true(str_copy(small, sizeof(small), "abc"));
    assert_false(str_copy(small, sizeof(small), "defg"));
    assert_string_equal(small, "def");
}

static void shown_to_people(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } durations[] = {
        {0, "0.0 s"},           {14.24, "14.2 s"},      {59.96, "1 min 00 s"},
        {3599.6, "1 h 00 min"}, {3725, "1 h 02 min"},   {90 * 3600.0, "3 days 18 h"},
        {-1, "0.0 s"},          {INFINITY, "for ever"}, {NAN, "0.0 s"},
    };
    char to[32];

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++)
        assert_string_equal(format_duration(durations[i].seconds, to), durations[i].text);
    assert_string_equal(format_size(0, to), "0 bytes");
    assert_string_equal(format_size(999, to), "999 bytes");
    assert_string_equal(format_size(14 << 10, to), "14.0 kB");
    assert_string_equal(format_size(UINT64_C(3435973837), to), "3.2 GB");
    assert_string_equal(format_size(200u << 20, to), "200 MB");
    assert_string_equal(format_size(UINT64_MAX, to), "16.0 EB");
}

static void shell_words(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"/srv/x-1_2.log", "/srv/x-1_2.log"},
        {"", "''"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"$x", "'$x'"},
        {"''", "''\\'''\\'''"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CLEANUP_FREE char *word = str_shell_word(pairs[i][0]);
        assert_string_equal(word, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),         cmocka_unit_test(hex),
        cmocka_unit_test(nearest),         cmocka_unit_test(printable),
        cmocka_unit_test(truth),           cmocka_unit_test(compared),
        cmocka_unit_test(shown_to_people), cmocka_unit_test(shell_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
