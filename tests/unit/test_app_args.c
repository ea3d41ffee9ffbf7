/* The command line: what is understood, and what a slip gets. */
#include "app/app_int.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct app_option options[] = {
    {"target-time", "TIME", "stop here"},
    {"start", NULL, "start it"},
    {0},
};
static const struct app_tool tool = {.name = "pgproof-try",
                                     .usage = "WHAT",
                                     .options = options,
                                     .min_args = 1,
                                     .max_args = 2,
                                     .has_json = true};

static struct error err;

static enum rc parse(const char *const *words, struct arguments *ret)
{
    int argc = 0;

    memset(&err, 0, sizeof(err));
    while (words[argc])
        argc++;
    return arguments_parse(&tool, argc, (char **)words, ret, &err);
}
#define PARSE(ret, ...) parse((const char *const[]){"pgproof-try", __VA_ARGS__, NULL}, ret)

static void test_both_forms(void **state)
{
    struct arguments a;

    (void)state;
    assert_int_equal(PARSE(&a, "one", "--target-time=a=b", "--start", "--config", "/c", "--quiet",
                           "--wal-keep", "3d", "--tier-daily-keep=1d", "--json", "two"),
                     RC_OK);
    assert_string_equal(a.values[0], "a=b");
    assert_string_equal(a.values[1], "");
    assert_string_equal(a.config_path, "/c");
    assert_true(a.quiet && a.json && !a.verbose && !a.help);
    assert_int_equal(a.positional_count, 2);
    assert_string_equal(a.positional[1], "two");
    assert_int_equal(a.override_count, 2);
    assert_string_equal(a.overrides[0].option->key, "keep");
    assert_string_equal(a.overrides[0].value, "3d");
    assert_string_equal(a.overrides[1].name, "daily");
    assert_string_equal(a.overrides[1].given_as, "--tier-daily-keep");
    arguments_done(&a);
}

static void test_what_is_not_given(void **state)
{
    struct arguments a;

    (void)state;
    assert_int_equal(PARSE(&a, "--", "--start", "-x"), RC_OK);
    assert_null(a.values[0]);
    assert_null(a.values[1]);
    assert_string_equal(a.positional[0], "--start");
    assert_string_equal(a.positional[1], "-x");
    assert_int_equal(a.override_count, 0);
    arguments_done(&a);
    assert_int_equal(PARSE(&a, "--help"), RC_OK); /* no argument is missing then */
    assert_true(a.help);
    arguments_done(&a);
}

#define EXPECT_USAGE(what_, on_, now_, ...)                                                        \
    do {                                                                                           \
        struct arguments a_;                                                                       \
        assert_int_equal(PARSE(&a_, __VA_ARGS__), RC_USAGE);                                       \
        assert_non_null(strstr(err.what, what_));                                                  \
        assert_non_null(strstr(err.on, on_));                                                      \
        assert_non_null(strstr(err.now, now_));                                                    \
    } while (0)

static void test_slips(void **state)
{
    (void)state;
    EXPECT_USAGE("unknown option", "--target-tme=x", "--target-time", "w", "--target-tme=x");
    EXPECT_USAGE("unknown option", "--wal-kep", "--wal-keep", "w", "--wal-kep=1");
    EXPECT_USAGE("unknown option", "--confg", "--config", "w", "--confg");
    EXPECT_USAGE("unknown option", "--xyzzyxyzzy", "--help", "w", "--xyzzyxyzzy");
    EXPECT_USAGE("long ones", "-v", "--help", "w", "-v");
    EXPECT_USAGE("needs a value", "--target-time", "", "w", "--target-time", "--start");
    EXPECT_USAGE("needs a value", "--wal-keep", "", "w", "--wal-keep");
    EXPECT_USAGE("takes no value", "--start=yes", "", "w", "--start=yes");
    EXPECT_USAGE("given twice", "--target-time", "", "w", "--target-time=1", "--target-time=2");
    EXPECT_USAGE("empty", "--target-time=", "", "w", "--target-time=");
    EXPECT_USAGE("too many", "three", "", "one", "two", "three");
    EXPECT_USAGE("missing", "", "--help", "--start");
    EXPECT_USAGE("unknown option", "\\x1b", "--help", "w", "--\033[2J=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms),
        cmocka_unit_test(test_what_is_not_given),
        cmocka_unit_test(test_slips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
