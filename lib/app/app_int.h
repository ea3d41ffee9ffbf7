/* Between the files of app, and for its tests. */
#ifndef PGPROOF_APP_APP_INT_H
#define PGPROOF_APP_APP_INT_H

#include "app/app.h"
#include "base/log.h"

/* What argv says. Strings are argv's own or belong to `memory`. */
struct arguments {
    bool help, version, json, quiet, verbose;
    const char *config_path, *cluster;
    struct config_override *overrides;
    size_t override_count;
    const char **values; /* by tool->options index */
    const char **positional;
    int positional_count;
    struct arena *memory;
};
/* app_args.c. RC_USAGE with the nearest known option for what makes no sense. */
MUST_CHECK enum rc arguments_parse(const struct app_tool *tool, int argc, char **argv,
                                   struct arguments *ret, struct error *err);
void arguments_done(struct arguments *a);

struct common_option {
    const char *name;
    const char *placeholder;
    const char *help;
};
extern const struct common_option common_options[]; /* ends with name NULL */

/* app_help.c */
void help_print(FILE *to, const struct app_tool *tool);
/* Words of `text` from column `column` on, wrapped to 80 columns, continued at `indent`. Lines
 * that begin with a blank stay as they are. */
void help_wrap(FILE *to, const char *text, int column, int indent);

/* app_signals.c */
void signals_install(void);

/* app_terminal.c: lines and the progress bar share stderr. */
void terminal_line(const char *fmt, ...) PRINTF_LIKE(1, 2); /* a whole line; clears the bar */
void terminal_bar(const char *bar);                         /* NULL or "": clear it */
int terminal_width(void);

/* app_progress_text.c: what is known now, as one line. width 0: plain words, no bar. */
struct progress_state {
    const char *phase;
    uint64_t bytes_done, bytes_total, files_done, files_total;
    double bytes_per_second; /* 0: not known */
};
void progress_text(const struct progress_state *s, int width, char *to, size_t size);

/* app_error.c */
void app_print_error_json(FILE *to, const struct error *err, int exit_code);
/* Text of several lines as part of a message: control bytes shown, later lines indented. */
void app_print_text(FILE *to, const char *text, int indent);

#endif
