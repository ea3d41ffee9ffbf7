/*
 * The composition root. A tool is a table of arguments and a function; app_main does the rest:
 * --help, --version, configuration, signals, messages, exit codes.
 *
 *     static const struct app_tool tool = { .name = "pgproof-backup", .run = run, ... };
 *     int main(int argc, char **argv) { return app_main(&tool, argc, argv); }
 *
 * Results go to stdout, logs, progress and errors to stderr.
 */
#ifndef PGPROOF_APP_APP_H
#define PGPROOF_APP_APP_H

#include "base/error.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes, the same in every tool but pgproof-wal-fetch. */
enum app_exit {
    EXIT_DONE = 0,      /* all that was claimed was done, and what was checked is good */
    EXIT_COULD_NOT = 1, /* could not do it, or could not check it */
    EXIT_BAD = 2,       /* proven bad: damage, a failed check */
    EXIT_USAGE = 3,     /* wrong usage or configuration */
    EXIT_BUSY = 4,      /* another one holds the lock */
                        /* 128 + n: ended by signal n */
};

/* An option of one tool, always long. */
struct app_option {
    const char *name;        /* "target-time" */
    const char *placeholder; /* "TIME"; NULL: a switch */
    const char *help;
};

struct app {
    const struct app_tool *tool;
    const struct config *config; /* never NULL; without a file it has the defaults */
    bool json;                   /* --json */
    bool quiet, verbose;         /* --quiet, --verbose */
    bool err_is_terminal, out_is_terminal, colour;
    char *self_dir;          /* where the tools are */
    const char *const *args; /* positional ones; NULL-terminated */
    int arg_count;
    const char **values; /* by tool->options index; NULL: not given; "" for a switch */
};

struct app_tool {
    const char *name;                 /* "pgproof-backup" */
    const char *summary;              /* one line for --help */
    const char *usage;                /* behind the name: "[options]", "%p" */
    const char *details;              /* paragraphs below the summary */
    const char *examples;             /* lines, as typed; may be NULL */
    const struct app_option *options; /* ends with name NULL */
    int min_args, max_args;
    bool needs_config; /* a file must be there, or something that names a repository */
    bool has_json;
    /* RC_OK exits 0; set *exit_code for another code without an error message. */
    enum rc (*run)(struct app *a, int *exit_code, struct error *err);
    /* For wal-fetch: its own mapping of a failure to an exit code; NULL: the common one. */
    int (*exit_code_for)(const struct error *err);
};

int app_main(const struct app_tool *tool, int argc, char **argv);

/* The value of an option of the tool's table; NULL if not given. BUG() for an unknown name. */
const char *app_value(const struct app *a, const char *option);
bool app_switch(const struct app *a, const char *option);

/* Say what to do now, by the class of the error, where nobody who knew better has. */
void app_complete_error(struct error *err, const char *tool);

/* The common mapping, and the three-part message as people see it. */
int app_exit_code(const struct error *err);
void app_print_error(FILE *to, const char *tool, const struct error *err, bool colour);

/* The command line that runs a sibling tool with the same configuration, for restore_command and
 * for "what to type next": "/usr/bin/pgproof-wal-fetch --config=/etc/… --cluster=main", words
 * quoted for /bin/sh where they need it. malloc'ed. */
char *app_command_line(const struct app *a, const char *tool);

/*
 * The data directory that PostgreSQL runs this tool in: it makes it the working directory. Where a
 * person runs it elsewhere: the configured one, or NULL. Not to be freed.
 */
const char *app_data_directory(const struct app *a);

/* Print to stderr unless --quiet: what is happening, one line. */
void app_say(const struct app *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Draw progress counters on stderr until stopped: a bar on a terminal, elsewhere a plain line every
 * 30 s. Quiet: nothing. One at a time. */
struct progress;
struct app_progress;
struct app_progress *app_progress_start(const struct app *a, struct progress *p);
void app_progress_stop(struct app_progress *ap); /* takes NULL */

#endif
