/* pgproof doctor on repositories in directories. */
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "support/pg_fixture.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct pgfix *pg; /* never started: the doctor needs no server */

static int set_up(void **state)
{
    (void)state;
    pg = pgfix_new(NULL);
    pgfix_write_config(pg, NULL);
    return 0;
}

static struct pgfix_run doctor(const char *option)
{
    return pgfix_tool(pg, "pgproof", "doctor", option, NULL);
}

static void expect(int code, const char *text)
{
    struct pgfix_run r = doctor("--quiet");

    pgfix_expect(&r, code);
    pgfix_expect_text(&r, text);
}

static const char *tree(void)
{
    struct pgfix_run r =
        pgfix_tool(pg, "/bin/sh", "-c", "cd \"$1\" && find . -printf '%p %m %s %T@\\n' | sort",
                   "sh", pgfix_repository(pg), NULL);

    pgfix_expect(&r, 0);
    return r.out;
}

static void before_init_nothing_stays(void **state)
{
    (void)state;
    expect(0, "not there yet");
    expect(0, "All that pgproof needs holds");
    assert_false(file_exists(pgfix_repository(pg)));
}

static void a_missing_parent_is_an_error(void **state)
{
    (void)state;
    CLEANUP_FREE char *option = str_printf("--repository-path=%s/a/b", pgfix_dir(pg));
    struct pgfix_run r = doctor(option);

    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "the directory above it must be there");
}

static void what_is_there_is_untouched(void **state)
{
    const char *dir = pgfix_make_dir(pg, "repository");
    CLEANUP_FREE char *object = path_join(dir, "repository.json");
    struct error err;

    (void)state;
    assert_int_equal(file_replace(object, "{}", 2, 0600, &err), RC_OK);
    pgfix_give(pg, dir);
    const char *there = tree();
    expect(0, "All that pgproof needs holds");
    /* The directory's own time has changed; nothing below it has. */
    assert_string_equal(strchr(tree(), '\n'), strchr(there, '\n'));
}

static void a_mode_that_is_too_wide_is_a_warning(void **state)
{
    (void)state;
    assert_int_equal(chmod(pgfix_repository(pg), 0755), 0);
    expect(0, "others may look into it");
    expect(0, "see the warnings above");
    assert_int_equal(chmod(pgfix_repository(pg), 0700), 0);
}

/* A promise that could not be tried is not kept. */
static void who_may_not_write_learns_that_it_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(chmod(pgfix_repository(pg), 0500), 0);
    expect(1, "Not all that pgproof needs could be found out");
    expect(1, "unknown  put if absent");
    assert_int_equal(chmod(pgfix_repository(pg), 0700), 0);
}

static bool is_verdict(const char *word)
{
    static const char *const words[] = {"ok", "no", "unknown", "info", "warning", "broken"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_eq(words[i], word))
            return true;
    return false;
}

static void json_says_the_same(void **state)
{
    struct pgfix_run r = doctor("--json");
    CLEANUP_JSON json_t *o = NULL;
    struct error err;
    json_t *findings, *f;
    bool put = false;
    size_t i;

    (void)state;
    pgfix_expect(&r, 0);
    assert_int_equal(json_parse_object(r.out, strlen(r.out), &o, &err), RC_OK);
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    assert_string_equal(json_string_value(json_object_get(o, "result")), "ok");
    assert_string_equal(json_string_value(json_object_get(o, "type")), "posix");
    assert_string_equal(json_string_value(json_object_get(o, "repository")), pgfix_repository(pg));
    assert_int_equal(json_integer_value(json_object_get(o, "exit_code")), 0);
    assert_int_equal(json_get_array(o, "findings", &findings, &err), RC_OK);
    json_array_foreach(findings, i, f)
    {
        assert_true(is_verdict(json_string_value(json_object_get(f, "verdict"))));
        assert_true(json_string_length(json_object_get(f, "group")) > 0);
        assert_true(json_string_length(json_object_get(f, "text")) > 0);
        put |= str_eq(json_string_value(json_object_get(f, "what")), "put if absent") &&
               json_is_true(json_object_get(f, "needed"));
    }
    assert_true(put);
}

static void json_has_the_error(void **state)
{
    struct pgfix_run r;
    CLEANUP_JSON json_t *o = NULL;
    struct error err;

    (void)state;
    r = pgfix_tool(pg, "pgproof", "doctor", "--json", "--repository-path=/nonexistent/a", NULL);
    pgfix_expect(&r, 1);
    assert_int_equal(json_parse_object(r.out, strlen(r.out), &o, &err), RC_OK);
    assert_string_equal(json_string_value(json_object_get(o, "result")), "could not check");
    assert_non_null(json_object_get(json_object_get(o, "error"), "what"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_init_nothing_stays),
        cmocka_unit_test(a_missing_parent_is_an_error),
        cmocka_unit_test(what_is_there_is_untouched),
        cmocka_unit_test(a_mode_that_is_too_wide_is_a_warning),
        cmocka_unit_test(who_may_not_write_learns_that_it_is_unknown),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(json_has_the_error),
    };

    return cmocka_run_group_tests(tests, set_up, pgfix_free_all);
}
