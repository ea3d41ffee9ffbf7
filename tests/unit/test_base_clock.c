/* Moments: as people write them, as machines do, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#include <string.h>

static void check_moment(const char *text, const char *expected)
{
    struct error e = {0};
    moment_us t;
    char to[MOMENT_TEXT_MAX];

    assert_int_equal(moment_parse(text, &t, &e), RC_OK);
    assert_string_equal(moment_text(t, to), expected);
}

static void moments(void **state)
{
    (void)state;
    check_moment("2026-11-21 14:30:00 UTC", "2026-11-21 14:30:00 UTC");
    check_moment("2026-11-21 14:30 UTC", "2026-11-21 14:30:00 UTC");
    check_moment("2026-11-21T14:30:00.250Z", "2026-11-21 14:30:00.25 UTC");
    check_moment("2026-11-21 14:30:00+02", "2026-11-21 12:30:00 UTC");
    check_moment("2026-11-21 14:30:00 +05:45", "2026-11-21 08:45:00 UTC");
    check_moment("2026-11-21 23:30:00-0130", "2026-11-22 01:00:00 UTC");
    check_moment("20261121T143000Z", "2026-11-21 14:30:00 UTC");
    check_moment("2024-02-29 00:00:00 UTC", "2024-02-29 00:00:00 UTC");
}

static void moments_refused(void **state)
{
    static const char *const bad[] = {
        "2026-11-21 14:30:00",
        "2026-02-30 00:00:00 UTC",
        "yesterday",
        "2026-11-21",
        "2026-11-21 25:00:00 UTC",
        "2026-11-21 14:30:00 UTC!",
        "2026-13-01 00:00:00 UTC",
        "",
        "2026-11-21 14:30:00.",
        "2026-11-21 14:30:00+99",
        "2026-11-21 14:30:00 CET",
        "2026-11-21 14:30:00+02:60",
        "2026-11-21 14:30:00+02:",
        "2026-11-21 14:30:60 UTC",
        "2026-1-21 14:30:00 UTC",
        "2025-02-29 00:00:00 UTC",
        "1969-12-31 23:59:59 UTC",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error e = {0};
        moment_us t = 42;
        assert_int_equal(moment_parse(bad[i], &t, &e), RC_USAGE);
        assert_int_equal(t, 42);
        assert_true(e.now[0]);
    }
}

static void a_missing_offset_is_asked_for(void **state)
{
    static const char *const bare[] = {"2026-11-21 14:30", "2026-11-21T14:30:00.5 "};
    moment_us t;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct error e = {0};
        assert_int_equal(moment_parse(bare[i], &t, &e), RC_USAGE);
        assert_non_null(strstr(e.what, "nobody can know"));
        assert_non_null(strstr(e.on, bare[i]));
        assert_non_null(strstr(e.now, "UTC"));
        assert_non_null(strstr(e.now, "+02:00"));
    }
}

static void written_for_machines(void **state)
{
    char to[MOMENT_TEXT_MAX];
    moment_us t = INT64_C(1795271400) * 1000000;

    (void)state;
    assert_string_equal(moment_iso(t, to), "2026-11-21T14:30:00Z");
    assert_string_equal(moment_iso(t + 123456, to), "2026-11-21T14:30:00.123456Z");
    assert_string_equal(moment_name(t + 123456, to), "20261121T143000Z");
    assert_string_equal(moment_text(MOMENT_NONE, to), "never");
    assert_string_equal(moment_text(-1, to), "1969-12-31 23:59:59.999999 UTC");
    assert_string_equal(moment_text(-1000000, to), "1969-12-31 23:59:59 UTC");
}

/* Moments come from files, too: the ends of the range must fit into the text. */
static void far_moments_are_harmless(void **state)
{
    char to[MOMENT_TEXT_MAX];

    (void)state;
    assert_string_equal(moment_text(INT64_MAX, to), "294247-01-10 04:00:54.775807 UTC");
    assert_string_equal(moment_text(INT64_MIN + 1, to), "-290308-12-21 19:59:05.224193 UTC");
    assert_string_equal(moment_name(INT64_MIN, to), "-2903081221T195905Z");
}

static void read_back_as_written(void **state)
{
    (void)state;
    for (moment_us t = 1; t < INT64_C(4000000000000000); t = t * 3 + 999999) {
        char to[MOMENT_TEXT_MAX];
        struct error e;
        moment_us again = 0;
        assert_int_equal(moment_parse(moment_text(t, to), &again, &e), RC_OK);
        assert_true(again == t);
        assert_int_equal(moment_parse(moment_iso(t, to), &again, &e), RC_OK);
        assert_true(again == t);
        assert_int_equal(moment_parse(moment_name(t, to), &again, &e), RC_OK);
        assert_true(again == t - t % 1000000);
    }
}

static void clocks_go(void **state)
{
    double before = clock_monotonic();
    char to[MOMENT_TEXT_MAX];

    (void)state;
    clock_sleep_ms(20);
    assert_true(clock_monotonic() - before >= 0.02);
    assert_true(strcmp(moment_iso(clock_now(), to), "2026") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments),
        cmocka_unit_test(moments_refused),
        cmocka_unit_test(a_missing_offset_is_asked_for),
        cmocka_unit_test(written_for_machines),
        cmocka_unit_test(far_moments_are_harmless),
        cmocka_unit_test(read_back_as_written),
        cmocka_unit_test(clocks_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
