/* app_main: what every tool does around its own work. */
#include "app/app_int.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Started without stdin, stdout or stderr, the next file opened would take such a number, and a
 * message would be written into it. */
static void open_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(EXIT_COULD_NOT);
}

static void log_to_stderr(void *ctx, enum log_level level, const char *message)
{
    static const char *const words[] = {"debug", "info", "warning", "error"};
    const struct app *a = ctx;
    CLEANUP_FREE char *shown = str_printable(message);
    bool colour = a->colour && level >= LOG_LEVEL_WARNING;

    terminal_line("%s: %s%s:%s %s", a->tool->name, colour ? "\033[1;33m" : "", words[level],
                  colour ? "\033[0m" : "", shown);
}

void app_say(const struct app *a, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    if (a->quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    CLEANUP_FREE char *shown = str_printable(text);
    terminal_line("%s: %s", a->tool->name, shown);
}

static size_t option_index(const struct app *a, const char *option)
{
    for (size_t i = 0; a->tool->options && a->tool->options[i].name; i++)
        if (str_eq(a->tool->options[i].name, option))
            return i;
    BUG("%s has no option --%s", a->tool->name, option);
}

const char *app_value(const struct app *a, const char *option)
{
    return a->values[option_index(a, option)];
}

bool app_switch(const struct app *a, const char *option)
{
    return app_value(a, option) != NULL;
}

/* Before the arguments are understood: an error in them should come as JSON too. */
static bool wants_json(const struct app_tool *tool, int argc, char **argv)
{
    for (int i = 1; tool->has_json && i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--json"))
            return true;
    return false;
}

static void init(struct app *a, const struct app_tool *tool, int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");

    a->tool = tool;
    a->json = wants_json(tool, argc, argv);
    a->err_is_terminal = isatty(STDERR_FILENO);
    a->out_is_terminal = isatty(STDOUT_FILENO);
    a->colour = a->err_is_terminal && !(no_colour && no_colour[0]);
    a->self_dir = proc_self_dir();
}

static void take_arguments(struct app *a, const struct arguments *args)
{
    a->quiet = args->quiet;
    a->verbose = args->verbose;
    a->values = args->values;
    a->args = args->positional;
    a->arg_count = args->positional_count;
    log_set_sink(log_to_stderr, a, a->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
}

static enum rc load_config(const struct app_tool *tool, const struct arguments *args,
                           struct config **ret, struct error *err)
{
    struct config_request q = {.path = args->config_path,
                               .cluster = args->cluster,
                               .overrides = args->overrides,
                               .override_count = args->override_count};
    CLEANUP(cleanup_config) struct config *c = NULL;

    TRY(config_load(&q, &c, err));
    if (tool->needs_config && !c->path && !c->repository_path && !c->s3.bucket) {
        error_set(err, RC_CONFIG,
                  "there is no configuration file, and neither the environment nor the command "
                  "line names a repository");
        error_on(err, "%s", CONFIG_DEFAULT_PATH);
        return error_now(err, "write one as docs/configuration.md shows, or name it with "
                              "--config=FILE or PGPROOF_CONFIG");
    }
    *ret = c;
    c = NULL;
    return RC_OK;
}

/* Results that did not reach their reader were not delivered. */
static enum rc flush_stdout(struct error *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not write the result");
    return error_on(err, "stdout");
}

static enum rc run(struct app *a, const struct arguments *args, int *exit_code, struct error *err)
{
    CLEANUP(cleanup_config) struct config *config = NULL;

    if (args->help) {
        help_print(stdout, a->tool);
    } else if (args->version) {
        printf("%s %s\n", a->tool->name, PGPROOF_VERSION);
    } else {
        TRY(load_config(a->tool, args, &config, err));
        a->config = config;
        enum rc rc = a->tool->run(a, exit_code, err);
        a->config = NULL;
        TRY(rc);
    }
    return flush_stdout(err);
}

static int report(const struct app *a, struct error *err)
{
    int code = a->tool->exit_code_for ? a->tool->exit_code_for(err) : app_exit_code(err);

    app_complete_error(err, a->tool->name);
    fflush(stdout);
    terminal_bar(NULL);
    app_print_error(stderr, a->tool->name, err, a->colour);
    if (a->json) {
        app_print_error_json(stdout, err, code);
        fflush(stdout);
    }
    return code;
}

int app_main(const struct app_tool *tool, int argc, char **argv)
{
    struct app a = {0};
    struct arguments args = {0};
    struct error err = {0};
    int exit_code = EXIT_DONE;

    open_standard_files();
    umask(077);
    signals_install();
    init(&a, tool, argc, argv);
    enum rc rc = arguments_parse(tool, argc, argv, &args, &err);
    if (rc == RC_OK) {
        take_arguments(&a, &args);
        rc = run(&a, &args, &exit_code, &err);
    }
    if (rc != RC_OK)
        exit_code = report(&a, &err);
    log_set_sink(NULL, NULL, LOG_LEVEL_ERROR);
    arguments_done(&args);
    free(a.self_dir);
    return exit_code;
}
