/* pgproof: the front command. Runs pgproof-<tool> as git does; init, info, check, doctor and config
 * are here.
 */
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "pgproof/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    const char *summary;
    const struct app_tool *tool; /* NULL: an executable of its own */
} commands[] = {
    {"init", "create the repository, register a cluster", &init_tool},
    {"check", "does archiving work, now, from end to end?", &check_tool},
    {"doctor", "does the storage keep what pgproof relies on?", &doctor_tool},
    {"info", "what is there: backups, WAL, the recovery window", &info_tool},
    {"config", "what is in force, and where each value comes from", &config_tool},
    {"backup", "take a base backup", NULL},
    {"restore", "restore a cluster to a moment", NULL},
    {"verify", "prove that backups restore: pgproof verify drill", NULL},
    {"wal-push", "archive a WAL segment (archive_command)", NULL},
    {"wal-fetch", "get a WAL segment (restore_command)", NULL},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void print_help(FILE *to)
{
    fprintf(to, "pgproof: back up PostgreSQL, restore it to any moment, prove that it works\n\n"
                "Usage: pgproof [--config=FILE] [--cluster=NAME] COMMAND [options]\n\n"
                "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(to,
            "\nThe database is gone and you need it back?\n"
            "  pgproof info                            what there is, and to which moments\n"
            "  pgproof restore --dry-run --target-time='2026-11-21 14:30:00 UTC' --to=DIR\n"
            "                                          shows the plan and changes nothing\n"
            "\n'pgproof COMMAND --help' explains a command. The configuration is "
            "in\n" CONFIG_DEFAULT_PATH ", or in the file that --config or PGPROOF_CONFIG names.\n"
            "\nExit codes: 0 done and good, 1 could not do or could not check it, 2 proven bad,\n"
            "3 wrong usage or configuration, 4 busy, 128+n ended by signal n.\n");
}

static int usage_error(const char *what, const char *on, const char *now)
{
    struct error err = {0};
    CLEANUP_FREE char *shown = on ? str_printable(on) : NULL;

    error_set(&err, RC_USAGE, "%s", what);
    if (shown)
        error_on(&err, "%s", shown);
    error_now(&err, "%s", now);
    app_print_error(stderr, "pgproof", &err, false);
    return app_exit_code(&err);
}

static const char *nearest_command(const char *word)
{
    const char *names[COMMAND_COUNT + 1] = {0};

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    return str_nearest(word, names);
}

/* A name that can't leave the directory it is looked up in. */
static bool is_command_name(const char *s)
{
    return s[0] && s[0] != '-' && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static int could_not_run(const char *path, int sys_errno)
{
    struct error err = {0};

    error_set_errno(&err, RC_SYSTEM, sys_errno, "could not run the tool");
    error_on(&err, "%s", path);
    error_now(&err, "see that pgproof is installed completely");
    app_print_error(stderr, "pgproof", &err, false);
    return app_exit_code(&err);
}

static int unknown_command(const char *command)
{
    const char *nearest = nearest_command(command);
    CLEANUP_FREE char *now = nearest && !str_eq(nearest, command)
                                 ? str_printf("did you mean 'pgproof %s'?", nearest)
                                 : str_printf("'pgproof --help' lists the commands");

    return usage_error("there is no such command", command, now);
}

/* From our own directory, else from PATH. That PATH names a directory which we may not enter is no
 * reason to say "permission denied" about a command that is nowhere. */
static int run_executable(const char *command, char **argv)
{
    CLEANUP_FREE char *self = proc_self_dir();
    CLEANUP_FREE char *name = str_printf("pgproof-%s", command);
    CLEANUP_FREE char *path = str_printf("%s/%s", self, name);

    argv[0] = path;
    execv(path, argv);
    if (errno != ENOENT)
        return could_not_run(path, errno);
    argv[0] = name;
    execvp(name, argv);
    return errno == ENOENT || errno == EACCES ? unknown_command(command)
                                              : could_not_run(name, errno);
}

static int run_command(const char *command, int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].tool && str_eq(commands[i].name, command))
            return app_main(commands[i].tool, argc, argv);
    if (!is_command_name(command))
        return usage_error("there is no such command", command,
                           "'pgproof --help' lists the commands");
    return run_executable(command, argv);
}

/* How many words in front of the command are options of ours, which go along with it. */
static int count_leading_options(int argc, char **argv)
{
    int i = 1;

    while (i < argc && str_starts(argv[i], "--") && argv[i][2]) {
        bool takes_next = str_eq(argv[i], "--config") || str_eq(argv[i], "--cluster");
        i += takes_next && i + 1 < argc ? 2 : 1;
    }
    return i - 1;
}

/* "pgproof help", "pgproof help backup" */
static int help_command(int argc, char **argv, int at)
{
    char option[] = "--help";
    char *words[] = {argv[0], option, NULL};

    if (at + 1 < argc)
        return run_command(argv[at + 1], 2, words);
    print_help(stdout);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    int leading = count_leading_options(argc, argv), at = leading + 1;

    for (int i = 1; i <= leading; i++) {
        if (str_eq(argv[i], "--version"))
            return printf("pgproof %s\n", PGPROOF_VERSION) < 0;
        if (str_eq(argv[i], "--help")) {
            print_help(stdout);
            return EXIT_DONE;
        }
    }
    if (at >= argc) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (str_eq(argv[at], "help") || str_eq(argv[at], "-h"))
        return help_command(argc, argv, at);
    /* [pgproof] [options] [command] [rest] -> [pgproof] [options] [rest] */
    const char *command = argv[at];
    CLEANUP_FREE char **words = mem_zalloc(((size_t)argc + 1) * sizeof(*words));
    int n = 0;
    for (int i = 0; i < argc; i++)
        if (i != at)
            words[n++] = argv[i];
    return run_command(command, n, words);
}
