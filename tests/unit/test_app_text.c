/* What people see: errors, help, progress; and the command line that goes to PostgreSQL. */
#include "app/app_int.h"
#include "base/cancel.h"
#include "base/json.h"
#include "base/str.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_the_three_parts(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct error err = {0};

    (void)state;
    error_set(&err, RC_INTEGRITY, "first\nsecond \033[2J");
    error_on(&err, "file");
    error_now(&err, "do this");
    app_print_error(to, "pgproof-x", &err, false);
    memset(err.on, 0, sizeof(err.on));
    app_print_error(to, "pgproof-x", &err, true);
    fclose(to);
    assert_string_equal(text, "pgproof-x: error: first\n       second \\x1b[2J\n"
                              "  on:  file\n  now: do this\n"
                              "pgproof-x: \033[1;31merror:\033[0m first\n       second \\x1b[2J\n"
                              "  now: do this\n");
    free(text);
}

static void test_errors_as_json(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct error err = {0};
    CLEANUP_JSON json_t *o = NULL;
    uint64_t code;

    (void)state;
    error_set(&err, RC_CONFIG, "bad \xff byte");
    app_print_error_json(to, &err, 3);
    fclose(to);
    assert_int_equal(json_parse_object(text, len, &o, &err), RC_OK);
    assert_int_equal(json_get_u64(o, "exit_code", &code, &err), RC_OK);
    assert_int_equal(code, 3);
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "error"), "what")),
                        "bad \\xff byte");
    free(text);
}

static void test_exit_codes(void **state)
{
    static const struct {
        enum rc rc;
        int code;
    } expected[] = {{RC_OK, 0},        {RC_NOT_FOUND, 1}, {RC_EXISTS, 1},  {RC_USAGE, 3},
                    {RC_CONFIG, 3},    {RC_STORAGE, 1},   {RC_SYSTEM, 1},  {RC_DATABASE, 1},
                    {RC_INTEGRITY, 2}, {RC_BUSY, 4},      {RC_REFUSED, 1}, {RC_NOMEM, 1},
                    {RC_BUG, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        struct error err = {.rc = expected[i].rc};
        assert_int_equal(app_exit_code(&err), expected[i].code);
    }
    cancel_request(SIGTERM);
    struct error err = {.rc = RC_CANCELLED};
    assert_int_equal(app_exit_code(&err), 128 + SIGTERM);
    cancel_request(0);
}

static void test_help_fits_80_columns(void **state)
{
    static const struct app_option options[] = {
        {"an-option-with-a-very-long-name", "AND-PLACEHOLDER", "its help begins on the next line"},
        {"short", NULL, "words words words words words words words words words words words words"},
        {0},
    };
    static const struct app_tool tool = {.name = "pgproof-x",
                                         .summary = "does this",
                                         .usage = "[options]",
                                         .details = "one two three four five six seven eight nine "
                                                    "ten eleven twelve thirteen fourteen fifteen\n"
                                                    "  kept as it is\nnext",
                                         .examples = "pgproof-x --short\n",
                                         .options = options,
                                         .has_json = true};
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    (void)state;
    help_print(to, &tool);
    fclose(to);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80)
            fail_msg("too long: %.*s", (int)strcspn(line, "\n"), line);
    assert_non_null(strstr(text, "\n  kept as it is\nnext\n"));
    assert_non_null(strstr(text, "\n                          its help begins on the next line\n"));
    assert_non_null(strstr(text, "\n  --json  "));
    assert_non_null(strstr(text, "--SECTION-KEY=VALUE"));
    assert_non_null(strstr(text, "\n  pgproof-x --short\n"));
    assert_non_null(strstr(text, "\n  4  busy"));
    free(text);
}

static void test_progress_as_text(void **state)
{
    struct progress_state s = {.phase = "copying files",
                               .bytes_done = 512u << 20,
                               .bytes_total = 2048u << 20,
                               .bytes_per_second = 128u << 20};
    char line[512];

    (void)state;
    progress_text(&s, 0, line, sizeof(line));
    assert_string_equal(line, "copying files: 25 % (512 MB of 2.0 GB, 128 MB/s, ETA 12.0 s)");
    progress_text(&s, 100, line, sizeof(line));
    assert_non_null(strstr(line, "[#"));
    assert_non_null(strstr(line, " 25 %"));
    for (int width = 20; width < 200; width++) {
        progress_text(&s, width, line, sizeof(line));
        assert_true(strlen(line) < (size_t)width);
    }
    s.bytes_total = 0;
    s.bytes_per_second = 0;
    progress_text(&s, 80, line, sizeof(line));
    assert_string_equal(line, "copying files: 512 MB");
    s = (struct progress_state){.files_done = 3, .files_total = 4};
    progress_text(&s, 0, line, sizeof(line));
    assert_string_equal(line, "working: 75 % (3 of 4 files)");
}

static void test_the_command_line_of_a_sibling(void **state)
{
    const struct option plain = {.section = "wal", .key = "keep"};
    const struct option secret = {.section = "repository", .key = "key", .flags = OPT_SECRET};
    const struct option file = {.section = "backup", .key = "jobs"};
    struct setting settings[] = {
        {&plain, "", "it's 1d", ORIGIN_COMMAND_LINE, "--wal-keep"},
        {&secret, "", "hush", ORIGIN_ENVIRONMENT, "PGPROOF_REPOSITORY_KEY"},
        {&file, "", "3", ORIGIN_FILE, "/c:1"},
    };
    struct config c = {
        .path = "/etc/p g.conf", .cluster = "main", .settings = settings, .setting_count = 3};
    struct app a = {.config = &c, .self_dir = (char *)"/usr/bin"};
    char *line = app_command_line(&a, "pgproof-wal-push");

    (void)state;
    assert_string_equal(line, "/usr/bin/pgproof-wal-push '--config=/etc/p g.conf' --cluster=main "
                              "'--wal-keep=it'\\''s 1d'");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_three_parts),
        cmocka_unit_test(test_errors_as_json),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_help_fits_80_columns),
        cmocka_unit_test(test_progress_as_text),
        cmocka_unit_test(test_the_command_line_of_a_sibling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
