/* --help, wrapped to 80 columns. */
#include "app/app_int.h"

#include "base/str.h"

#include <string.h>

#define COLUMNS     80
#define HELP_COLUMN 26

/* One line's words; `column` is where the cursor stands. */
static void wrap_line(FILE *to, const char *line, size_t len, int column, int indent)
{
    const char *end = line + len;
    bool first = true;

    if (len && line[0] == ' ') {
        fprintf(to, "%.*s\n", (int)len, line);
        return;
    }
    for (const char *p = line; p < end;) {
        int word = (int)strcspn(p, " \n");
        if (!first && column + 1 + word > COLUMNS - 1) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", word, p);
        column += word;
        first = false;
        p += word;
        p += strspn(p, " ");
    }
    fputc('\n', to);
}

void help_wrap(FILE *to, const char *text, int column, int indent)
{
    while (*text) {
        size_t len = strcspn(text, "\n");

        wrap_line(to, text, len, column, indent);
        text += len;
        text += *text == '\n';
        if (*text) {
            fprintf(to, "%*s", *text == '\n' ? 0 : indent, "");
            column = indent;
        }
    }
}

static void print_option(FILE *to, const char *name, const char *placeholder, const char *help)
{
    int column = fprintf(to, placeholder ? "  --%s=%s" : "  --%s", name, placeholder);

    if (column > HELP_COLUMN - 2) {
        fputc('\n', to);
        column = 0;
    }
    fprintf(to, "%*s", HELP_COLUMN - column, "");
    help_wrap(to, help, HELP_COLUMN, HELP_COLUMN);
}

static void print_options(FILE *to, const struct app_tool *tool)
{
    if (tool->options && tool->options->name) {
        fprintf(to, "\nOptions:\n");
        for (const struct app_option *o = tool->options; o->name; o++)
            print_option(to, o->name, o->placeholder, o->help);
    }
    fprintf(to, "\nCommon options:\n");
    for (const struct common_option *o = common_options; o->name; o++)
        if (tool->has_json || !str_eq(o->name, "json"))
            print_option(to, o->name, o->placeholder, o->help);
    fputc('\n', to);
    help_wrap(to,
              "Any configuration key can also be given as --SECTION-KEY=VALUE (--wal-keep=14d, "
              "--tier-daily-keep=3d) or in the environment (PGPROOF_WAL_KEEP). 'pgproof config' "
              "lists them all with their values; docs/configuration.md describes them.",
              0, 0);
}

static void print_examples(FILE *to, const char *examples)
{
    fprintf(to, "\nExamples:\n");
    while (*examples) {
        size_t len = strcspn(examples, "\n");
        fprintf(to, "  %.*s\n", (int)len, examples);
        examples += len + (examples[len] == '\n');
    }
}

void help_print(FILE *to, const struct app_tool *tool)
{
    fprintf(to, "%s: ", tool->name);
    help_wrap(to, tool->summary, (int)strlen(tool->name) + 2, 2);
    fprintf(to, "\nUsage: %s%s%s\n", tool->name, tool->usage ? " " : "",
            tool->usage ? tool->usage : "");
    if (tool->details) {
        fputc('\n', to);
        help_wrap(to, tool->details, 0, 0);
    }
    print_options(to, tool);
    if (tool->examples)
        print_examples(to, tool->examples);
    if (tool->exit_code_for) /* it has its own and says so in its details */
        return;
    fprintf(to, "\nExit codes:\n"
                "  0  all that was claimed was done, and what was checked is good\n"
                "  1  could not do it, or could not check it\n"
                "  2  proven bad: damage, a failed check\n"
                "  3  wrong usage or configuration\n"
                "  4  busy: another one holds the lock\n"
                "  128+n  ended by signal n\n");
}
