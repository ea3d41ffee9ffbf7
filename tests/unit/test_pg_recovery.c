#include "base/cleanup.h"
#include "pg/recovery.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *settings_of(const struct recovery_target *t, struct buf *b)
{
    struct error err;
    const char *text;
    buf_clear(b);
    assert_int_equal(recovery_settings(t, "fetch %f \"%p\"", b, &err), RC_OK);
    assert_int_equal(buf_cstr(b, &text, &err), RC_OK);
    return text;
}

static void says(const char *text, const char *name, const char *value)
{
    CLEANUP_FREE char *found = conf_value(text, strlen(text), name);
    assert_non_null(found);
    assert_string_equal(found, value);
}

static void one_target_is_set_and_all_others_emptied(void **state)
{
    (void)state;
    static const struct {
        struct recovery_target target;
        const char *name, *value;
    } cases[] = {
        {{.kind = TARGET_IMMEDIATE, .timeline = 1}, "recovery_target", "immediate"},
        {{.kind = TARGET_TIME, .time = 1795271400000001, .timeline = 1},
         "recovery_target_time",
         "2026-11-21 14:30:00.000001+00"},
        {{.kind = TARGET_TIME, .time = -500000, .timeline = 1},
         "recovery_target_time",
         "1969-12-31 23:59:59.500000+00"},
        {{.kind = TARGET_LSN, .lsn = 0x16B374D848, .timeline = 1},
         "recovery_target_lsn",
         "16/B374D848"},
        {{.kind = TARGET_XID, .xid = (UINT64_C(3) << 32) + 700, .timeline = 1},
         "recovery_target_xid",
         "700"},
        {{.kind = TARGET_NAME, .name = "it's \\ here", .timeline = 1},
         "recovery_target_name",
         "it's \\ here"},
        {{.kind = TARGET_LATEST, .timeline = 1}, NULL, NULL},
    };
    static const char *const targets[] = {"recovery_target",      "recovery_target_time",
                                          "recovery_target_lsn",  "recovery_target_xid",
                                          "recovery_target_name", NULL};
    CLEANUP_BUF struct buf b = BUF_INIT(65536);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = settings_of(&cases[i].target, &b);
        for (const char *const *name = targets; *name; name++) {
            bool chosen = cases[i].name && strcmp(*name, cases[i].name) == 0;
            says(text, *name, chosen ? cases[i].value : "");
        }
        if (cases[i].name) { /* the chosen one comes last: two at a time are refused */
            const char *last = strrchr(text, '=');
            while (last > text && last[-1] != '\n')
                last--;
            assert_memory_equal(last, cases[i].name, strlen(cases[i].name));
        }
    }
}

static void the_rest_is_always_written(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(65536);
    struct recovery_target t = {.kind = TARGET_LSN, .lsn = 1, .exclusive = true, .timeline = 27};
    const char *text = settings_of(&t, &b);
    says(text, "restore_command", "fetch %f \"%p\"");
    says(text, "recovery_target_inclusive", "off");
    says(text, "recovery_target_timeline", "27"); /* decimal, as the setting wants it */
    says(text, "recovery_target_action", "pause");
    t.exclusive = false;
    t.action = ACTION_PROMOTE;
    text = settings_of(&t, &b);
    says(text, "recovery_target_inclusive", "on");
    says(text, "recovery_target_action", "promote");
    t.action = ACTION_SHUTDOWN;
    says(settings_of(&t, &b), "recovery_target_action", "shutdown");
    for (const char *const *name = recovery_setting_names; *name; name++) {
        CLEANUP_FREE char *value = conf_value((const char *)b.data, b.len, *name);
        if (!value)
            fail_msg("%s is not written", *name);
    }
}

static void a_cut_last_line_is_not_continued(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(65536);
    struct recovery_target t = {.kind = TARGET_LATEST, .timeline = 1};
    struct error err;
    assert_int_equal(buf_append(&b, "work_mem = 1MB", 14, &err), RC_OK);
    assert_int_equal(recovery_settings(&t, "x", &b, &err), RC_OK);
    CLEANUP_FREE char *value = conf_value((const char *)b.data, b.len, "work_mem");
    assert_string_equal(value, "1MB");
    assert_memory_equal(b.data, "work_mem = 1MB\nrestore_command = 'x'\n", 37);
}

static void an_empty_name_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf b = BUF_INIT(65536);
    struct recovery_target t = {.kind = TARGET_NAME, .timeline = 1};
    struct error err;
    assert_int_equal(recovery_settings(&t, "x", &b, &err), RC_USAGE);
    assert_int_equal(b.len, 0);
}

static void quoting_goes_there_and_back(void **state)
{
    (void)state;
    static const char *const values[] = {
        "",    "plain",       "it's", "a\\b",         "line\nbreak", "'",  "''",
        "\\'", "x = 'y' # z", "\\n",  "C:\\new\\101", "tab\there",   "é雪"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        CLEANUP_FREE char *quoted = conf_quote(values[i]);
        CLEANUP_BUF struct buf b = BUF_INIT(4096);
        struct error err;
        assert_int_equal(buf_printf(&b, &err, "a = 1\nname = %s # note\nb = 2\n", quoted), RC_OK);
        CLEANUP_FREE char *back = conf_value((const char *)b.data, b.len, "name");
        assert_string_equal(back, values[i]);
    }
    CLEANUP_FREE char *quoted = conf_quote("it's \\");
    assert_string_equal(quoted, "'it''s \\\\'");
}

static void values_are_found_as_the_server_finds_them(void **state)
{
    (void)state;
    static const char text[] = "# work_mem = 1\n"
                               "Work_Mem=4MB # more\n"
                               "  port 5433\r\n"
                               "shared.name = 'a\\'b\\101\\tc'\n"
                               "empty = ''\n"
                               "port = 5434\n"
                               "broken = 'no end\n"
                               "ports = 1\n"
                               "last = x";
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"work_mem", "4MB"}, {"port", "5434"},     {"shared.name", "a'bA\tc"},
        {"empty", ""},       {"broken", "no end"}, {"last", "x"},
        {"missing", NULL},   {"por", NULL},        {"# work_mem", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP_FREE char *value = conf_value(text, sizeof text - 1, cases[i].name);
        if (!cases[i].value)
            assert_null(value);
        else
            assert_string_equal(value, cases[i].value);
    }
}

static void other_lines_stay_byte_for_byte(void **state)
{
    (void)state;
    static const char text[] = "# Do not edit\n"
                               "recovery_target_time = '2026-01-01'\n"
                               "\n"
                               "  RECOVERY_TARGET_XID=5 # x\r\n"
                               "recovery_target_timex = 1\n"
                               "#recovery_target_lsn = '0/1'\n"
                               "work_mem\t=  '4MB'\r\n"
                               "restore_command 'cp'";
    static const char expected[] = "# Do not edit\n"
                                   "\n"
                                   "recovery_target_timex = 1\n"
                                   "#recovery_target_lsn = '0/1'\n"
                                   "work_mem\t=  '4MB'\r\n";
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    struct error err;
    assert_int_equal(conf_without(text, sizeof text - 1, recovery_setting_names, &b, &err), RC_OK);
    assert_int_equal(b.len, sizeof expected - 1);
    assert_memory_equal(b.data, expected, b.len);
}

static void backup_labels_are_read(void **state)
{
    (void)state;
    struct backup_label label;
    struct error err;
    static const char text[] = "START WAL LOCATION: 1/A000028 (file 00000001000000010000000A)\n"
                               "CHECKPOINT LOCATION: 1/A000060\n"
                               "BACKUP METHOD: streamed\n"
                               "BACKUP FROM: primary\n"
                               "START TIME: 2026-11-21 02:00:00 UTC\n"
                               "LABEL: x\n"
                               "START TIMELINE: 9\n" /* the label's text, meant to mislead */
                               "START TIMELINE: 26\n";
    assert_int_equal(backup_label_parse(text, &label, &err), RC_OK);
    assert_int_equal(label.start_lsn, 0x10A000028);
    assert_int_equal(label.checkpoint_lsn, 0x10A000060);
    assert_int_equal(label.timeline, 26);
    assert_int_equal(
        backup_label_parse("START WAL LOCATION: 0/28 (file x)\nCHECKPOINT LOCATION: 0/60\n", &label,
                           &err),
        RC_OK);
    assert_int_equal(label.timeline, 0);
}

static void wrong_backup_labels_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "START WAL LOCATION: 0/28 (file x)\n",
        "CHECKPOINT LOCATION: 0/60\n",
        "START WAL LOCATION: zero\nCHECKPOINT LOCATION: 0/60\n",
        "xSTART WAL LOCATION: 0/28\nCHECKPOINT LOCATION: 0/60\n",
        "START WAL LOCATION: 0/28\nCHECKPOINT LOCATION: 0/60\nSTART TIMELINE: 0\n",
        "START WAL LOCATION: 0/28\nCHECKPOINT LOCATION: 0/60\nSTART TIMELINE: 4294967296\n",
        "START WAL LOCATION: 0/28\nCHECKPOINT LOCATION: 0/60\nSTART TIMELINE: many\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct backup_label label = {.timeline = 42};
        struct error err;
        if (backup_label_parse(bad[i], &label, &err) != RC_INTEGRITY)
            fail_msg("taken for a backup_label: %s", bad[i]);
        assert_int_equal(label.timeline, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_target_is_set_and_all_others_emptied),
        cmocka_unit_test(the_rest_is_always_written),
        cmocka_unit_test(a_cut_last_line_is_not_continued),
        cmocka_unit_test(an_empty_name_is_refused),
        cmocka_unit_test(quoting_goes_there_and_back),
        cmocka_unit_test(values_are_found_as_the_server_finds_them),
        cmocka_unit_test(other_lines_stay_byte_for_byte),
        cmocka_unit_test(backup_labels_are_read),
        cmocka_unit_test(wrong_backup_labels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
