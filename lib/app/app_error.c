/* Errors as people and programs see them, and the exit codes. */
#include "app/app_int.h"

#include "base/cancel.h"
#include "base/json.h"
#include "base/str.h"

#include <string.h>

int app_exit_code(const struct error *err)
{
    switch (err->rc) {
    case RC_OK:
        return EXIT_DONE;
    case RC_USAGE:
    case RC_CONFIG:
        return EXIT_USAGE;
    case RC_INTEGRITY:
        return EXIT_BAD;
    case RC_BUSY:
        return EXIT_BUSY;
    case RC_CANCELLED:
        return 128 + cancel_signal();
    default:
        return EXIT_COULD_NOT;
    }
}

void app_complete_error(struct error *err, const char *tool)
{
    static const char *const now[] = {
        [RC_NOT_FOUND] = "`pgproof info` shows what is there",
        [RC_CONFIG] = "`pgproof config` shows what is in force; docs/configuration.md has all keys",
        [RC_STORAGE] = "check that the repository is there, mounted and can be written, then run "
                       "the same command again",
        [RC_SYSTEM] = "remove the cause, then run the same command again",
        [RC_DATABASE] = "see the server's log, then run the same command again",
        [RC_INTEGRITY] = "rely on nothing there before the cause is found (disk, memory, another "
                         "writer); a second copy of the repository would have it whole",
        [RC_BUSY] = "run it again when the other one is done",
        [RC_NOMEM] = "give it more memory, or fewer jobs",
        [RC_BUG] = "report it, with the command and this message",
    };

    if (err->rc == RC_USAGE || err->rc == RC_REFUSED)
        error_now(err, "see %s --help", tool);
    else if ((size_t)err->rc < sizeof(now) / sizeof(*now) && now[err->rc])
        error_now(err, "%s", now[err->rc]);
}

void app_print_text(FILE *to, const char *text, int indent)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        CLEANUP_FREE char *line = str_printf("%.*s", (int)len, text);
        CLEANUP_FREE char *shown = str_printable(line);

        text += len;
        text += strspn(text, "\n");
        fprintf(to, "%s\n", shown);
        if (*text)
            fprintf(to, "%*s", indent, "");
    }
}

void app_print_error(FILE *to, const char *tool, const struct error *err, bool colour)
{
    const char *bold = colour ? "\033[1;31m" : "", *off = colour ? "\033[0m" : "";

    flockfile(to);
    fprintf(to, "%s: %serror:%s ", tool, bold, off);
    app_print_text(to, err->what[0] ? err->what : rc_name(err->rc), 7);
    if (err->on[0]) {
        fprintf(to, "  on:  ");
        app_print_text(to, err->on, 7);
    }
    if (err->now[0]) {
        fprintf(to, "  now: ");
        app_print_text(to, err->now, 7);
    }
    fflush(to);
    funlockfile(to);
}

/* Bytes that are no UTF-8 would make the whole object unprintable. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    CLEANUP_FREE char *shown = j ? NULL : str_printable(s);

    return j ? j : json_string(shown);
}

void app_print_error_json(FILE *to, const struct error *err, int exit_code)
{
    CLEANUP_JSON json_t *o =
        json_pack("{s:i, s:{s:s, s:o, s:o, s:o}, s:i}", "version", 1, "error", "class",
                  rc_name(err->rc), "what", text(err->what), "on", text(err->on), "now",
                  text(err->now), "exit_code", exit_code);

    if (!o)
        BUG("could not make the error object");
    json_dumpf(o, to, JSON_INDENT(2));
    fputc('\n', to);
}
