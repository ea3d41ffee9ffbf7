/* docs/configuration.md has every row of the option table, with its default, and no other. */
#include "base/file.h"
#include "base/str.h"
#include "config/config_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The text below "### [section]", up to the next heading; free() it. */
static char *section_text(const char *page, const char *section)
{
    char *heading = str_printf(
        option_section_is_named(section) ? "\n### [%s:NAME]\n" : "\n### [%s]\n", section);
    const char *begin = strstr(page, heading);

    if (!begin)
        fail_msg("there is no heading for [%s]", section);
    begin += strlen(heading);
    const char *end = strstr(begin, "\n##");
    free(heading);
    return str_printf("%.*s", (int)(end ? end - begin : (long)strlen(begin)), begin);
}

static char *read_page(void)
{
    static const char self[] = __FILE__, tail[] = "tests/unit/test_config_docs.c";
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    struct error err = {0};
    const char *text;

    CLEANUP_FREE char *path =
        str_printf("%.*sdocs/configuration.md", (int)(sizeof(self) - sizeof(tail)), self);
    if (file_read(path, &b, &err) != RC_OK || buf_cstr(&b, &text, &err) != RC_OK)
        fail_msg("%s (%s)", err.what, err.on);
    return str_dup(text);
}

static void test_every_option_is_described(void **state)
{
    char *page = read_page();

    (void)state;
    for (size_t i = 0; i < config_option_count; i++) {
        const struct option *o = &config_options[i];
        char *text = section_text(page, o->section);
        char *row = str_printf("| `%s` |", o->key);
        const char *found = strstr(text, row);
        if (!found)
            fail_msg("[%s] %s is not described", o->section, o->key);
        char *line = str_printf("%.*s", (int)strcspn(found, "\n"), found);
        char *value = str_printf("`%s`", o->default_value ? o->default_value : "");
        if (o->default_value && !strstr(line, value))
            fail_msg("[%s] %s: the default %s is not described", o->section, o->key, value);
        free(value);
        free(line);
        free(row);
        free(text);
    }
    free(page);
}

static void test_nothing_else_is_described(void **state)
{
    char *page = read_page(), *begin = strstr(page, "\n## Options\n");

    (void)state;
    assert_non_null(begin);
    char *end = strstr(begin + 1, "\n## ");
    size_t rows = 0;
    *end = '\0';
    for (char *p = begin; (p = strstr(p, "\n| `")); p++)
        rows++;
    assert_int_equal(rows, config_option_count);
    free(page);
}

static void test_long_names_find_their_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_option_count; i++) {
        char name[SECTION_NAME_SIZE];
        char *text = option_long_name(&config_options[i], "some-tier");
        assert_ptr_equal(option_by_long_name(text, name), &config_options[i]);
        assert_string_equal(name, str_eq(config_options[i].section, "tier") ? "some-tier" : "");
        free(text);
    }
    char name[SECTION_NAME_SIZE] = "untouched";
    assert_null(option_by_long_name("tier-keep", name));
    assert_null(option_by_long_name("tier--keep", name));
    assert_null(option_by_long_name("wal", name));
    assert_null(option_by_long_name("wal-", name));
    assert_null(option_by_long_name("", name));
    assert_string_equal(name, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_described),
        cmocka_unit_test(test_nothing_else_is_described),
        cmocka_unit_test(test_long_names_find_their_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
