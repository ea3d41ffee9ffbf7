#include "pg/lsn.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void parse(uint32_t timeline, const char *text, struct history *ret)
{
    struct error err;
    if (history_parse(timeline, text, ret, &err) != RC_OK)
        fail_msg("%s", err.what);
}

static void histories_are_read_with_comments_and_blank_lines(void **state)
{
    (void)state;
    struct history h;
    parse(5,
          "1\t0/2000000\tno recovery target specified\n"
          "\n"
          "# written by hand\n"
          "  \t \n"
          "3 1/A0 before 2026-11-21 14:30:00+00\r\n"
          "4\t1/A0\tat restore point \"x\"",
          &h);
    assert_int_equal(h.timeline, 5);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.entries[0].timeline, 1);
    assert_int_equal(h.entries[0].end_lsn, 0x2000000);
    assert_int_equal(h.entries[1].timeline, 3);
    assert_int_equal(h.entries[2].end_lsn, 0x1000000A0);
    history_done(&h);
    parse(1, "", &h);
    assert_int_equal(h.count, 0);
    history_done(&h);
}

static void wrong_histories_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1\n",               /* no LSN */
        "x\t0/1\n",          /* no timeline */
        "0\t0/1\n",          /* none either */
        "1\t0-1\n",          /* no LSN */
        "4294967297\t0/1\n", /* too large */
        "2\t0/1\n1\t0/2\n",  /* descending */
        "1\t0/1\n1\t0/2\n",  /* twice */
        "1\t0/2\n2\t0/1\n",  /* ends before its parent */
        "5\t0/1\n",          /* its own ancestor */
        "1\t0/1\n7\t0/2\n",  /* a descendant */
        "11111111111111111111111111111111111111111111111111111111111111111111111111111\t0/1\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct history h = {.count = 42};
        struct error err;
        if (history_parse(5, bad[i], &h, &err) != RC_INTEGRITY)
            fail_msg("taken for a history: %s", bad[i]);
        assert_int_equal(h.count, 42);
    }
}

static void a_history_has_a_maximum(void **state)
{
    (void)state;
    static char text[HISTORY_ENTRIES_MAX * 16 + 16];
    char *to = text;
    for (unsigned i = 1; i <= HISTORY_ENTRIES_MAX + 1; i++)
        to += sprintf(to, "%u\t0/%X\n", i, i);
    struct history h;
    struct error err;
    assert_int_equal(history_parse(9999, text, &h, &err), RC_INTEGRITY);
    *strrchr(text, '\t') = '\0'; /* cut within the last line … */
    *(strrchr(text, '\n') + 1) = '\0';
    assert_int_equal(history_parse(9999, text, &h, &err), RC_OK); /* … which was one too many */
    assert_int_equal(h.count, HISTORY_ENTRIES_MAX);
    history_done(&h);
}

static void the_timeline_of_a_byte_is_found(void **state)
{
    (void)state;
    struct history h;
    parse(5, "1\t0/2000000\n3\t0/3000000\n", &h);
    assert_int_equal(history_timeline_at(&h, 0x1000000), 1);
    assert_int_equal(history_timeline_at(&h, 0x1FFFFFF), 1);
    assert_int_equal(history_timeline_at(&h, 0x2000000), 3);
    assert_int_equal(history_timeline_at(&h, 0x3000000), 5);
    history_done(&h);
}

static void only_what_was_reached_before_the_switch_is_on_the_way(void **state)
{
    (void)state;
    struct history h;
    parse(5, "1\t0/2000000\n3\t0/3000000\n", &h);
    assert_true(history_contains(&h, 1, 0x2000000)); /* reached just there */
    assert_false(history_contains(&h, 1, 0x2000001));
    assert_true(history_contains(&h, 3, 0x2500000));
    assert_false(history_contains(&h, 2, 0x1000000)); /* another branch */
    assert_true(history_contains(&h, 5, 0x9000000));
    assert_false(history_contains(&h, 6, 0x1000000));
    history_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_are_read_with_comments_and_blank_lines),
        cmocka_unit_test(wrong_histories_are_refused),
        cmocka_unit_test(a_history_has_a_maximum),
        cmocka_unit_test(the_timeline_of_a_byte_is_found),
        cmocka_unit_test(only_what_was_reached_before_the_switch_is_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
