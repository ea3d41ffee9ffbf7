#include "base/file.h"
#include "base/str.h"
#include "support/pg_fixture_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OUTPUT_MAX (16 << 20)
#define ARGV_MAX   64

/* ---- configuration ---- */

const char *pgfix_repository(struct pgfix *f)
{
    return pgfix_path(f, "repository");
}

const char *pgfix_write_config_with(struct pgfix *f, const char *repository, const char *extra)
{
    struct error err;
    const char *path = pgfix_path(f, "pgproof.conf");
    CLEANUP_FREE char *text =
        str_printf("[repository]\n"
                   "%s\n"
                   "[cluster:main]\n"
                   "data-directory = %s\n"
                   "connection = %s\n"
                   "%s%s",
                   repository, f->data, f->conninfo, extra ? extra : "", extra ? "\n" : "");
    if (file_replace(path, text, strlen(text), 0600, &err) != RC_OK)
        pgfix_fail(f, &err, "could not write a configuration");
    pgfix_give(f, path);
    f->config = path;
    return path;
}

const char *pgfix_write_config(struct pgfix *f, const char *extra)
{
    CLEANUP_FREE char *posix = str_printf("type = posix\npath = %s\n", pgfix_repository(f));
    return pgfix_write_config_with(f, posix, extra);
}

/* ---- running ---- */

/* As root: a readable copy, owned by the fixture's user. */
static const char *copy_executables(struct pgfix *f, const char *from)
{
    const char *to = pgfix_path(f, "bin");
    const char *const argv[] = {"cp", "-rL", from, to, NULL};
    struct proc_options o = {.argv = argv, .inherit_output = true};
    struct error err;
    int status;
    if (proc_run(&o, NULL, NULL, &status, &err) != RC_OK)
        pgfix_fail(f, &err, "could not copy the executables");
    if (status != 0)
        pgfix_fail(f, NULL, "could not copy %s, which user %u can't reach, to %s", from, f->uid,
                   to);
    pgfix_give(f, to);
    return to;
}

const char *pgfix_bin(struct pgfix *f)
{
    if (f->bin)
        return f->bin;
    const char *bin = getenv("PGPROOF_TEST_BIN");
    if (!bin || !*bin)
        pgfix_fail(f, NULL,
                   "PGPROOF_TEST_BIN is not set: run the test with ctest, or set it to the build's "
                   "bin directory");
    if (access(bin, X_OK) != 0)
        pgfix_fail(f, NULL, "PGPROOF_TEST_BIN is %s: %s", bin, strerror(errno));
    f->bin = pgfix_can_reach(bin, f->uid, f->gid) ? arena_strdup(f->arena, bin)
                                                  : copy_executables(f, bin);
    return f->bin;
}

static const char *executable(struct pgfix *f, const char *tool)
{
    if (strchr(tool, '/') && !str_starts(tool, "faulty/"))
        return tool;
    const char *path = arena_printf(f->arena, "%s/%s", pgfix_bin(f), tool);
    if (access(path, X_OK) != 0)
        pgfix_fail(f, NULL, "could not run %s: %s", path, strerror(errno));
    return path;
}

void pgfix_tool_env(struct pgfix *f, const char *assignment)
{
    f->tool_env =
        mem_grow(f->tool_env, f->tool_env_count, &f->tool_env_capacity, sizeof *f->tool_env);
    f->tool_env[f->tool_env_count++] = arena_strdup(f->arena, assignment);
}

/* NULL-terminated: the configuration, then what the test set. */
static const char *const *environment(struct pgfix *f)
{
    const char **env = arena_alloc(f->arena, (f->tool_env_count + 2) * sizeof *env);
    size_t n = 0;
    if (f->config)
        env[n++] = arena_printf(f->arena, "PGPROOF_CONFIG=%s", f->config);
    for (size_t i = 0; i < f->tool_env_count; i++)
        env[n++] = f->tool_env[i];
    return env;
}

/* The arguments with the executable's path in front. */
static const char *const *resolve(struct pgfix *f, const char *const *argv)
{
    size_t n = 0;
    while (argv[n])
        n++;
    const char **resolved = arena_alloc(f->arena, (n + 1) * sizeof *resolved);
    for (size_t i = 0; i < n; i++)
        resolved[i] = i == 0 ? executable(f, argv[0]) : arena_strdup(f->arena, argv[i]);
    return resolved;
}

static const char *command_text(struct pgfix *f, const char *const *argv)
{
    char *text = arena_strdup(f->arena, argv[0]);
    for (size_t i = 1; argv[i]; i++)
        text = arena_printf(f->arena, "%s %s", text, argv[i]);
    return text;
}

static const char *output_text(struct pgfix *f, const struct buf *b)
{
    return arena_strndup(f->arena, b->data ? (const char *)b->data : "", b->len);
}

struct pgfix_run pgfix_tool_argv(struct pgfix *f, const char *const *argv)
{
    CLEANUP_BUF struct buf out = BUF_INIT(OUTPUT_MAX);
    CLEANUP_BUF struct buf errout = BUF_INIT(OUTPUT_MAX);
    const char *const *resolved = resolve(f, argv);
    struct proc_options o = pgfix_child(f, resolved);
    o.env = environment(f);
    struct pgfix_run r = {.command = command_text(f, resolved)};
    struct error err;
    if (proc_run(&o, &out, &errout, &r.code, &err) != RC_OK)
        pgfix_fail(f, &err, "could not run %s", r.command);
    r.out = output_text(f, &out);
    r.err = output_text(f, &errout);
    return r;
}

struct pgfix_run pgfix_tool(struct pgfix *f, const char *tool, ...)
{
    const char *argv[ARGV_MAX + 1] = {tool};
    va_list ap;
    va_start(ap, tool);
    for (size_t n = 1; (argv[n] = va_arg(ap, const char *)) != NULL; n++)
        if (n == ARGV_MAX)
            pgfix_fail(f, NULL, "more than %d arguments for %s", ARGV_MAX, tool);
    va_end(ap);
    return pgfix_tool_argv(f, argv);
}

pid_t pgfix_tool_begin(struct pgfix *f, const char *const *argv, const char *output_path)
{
    struct proc_options o = pgfix_child(f, resolve(f, argv));
    struct error err;
    pid_t pid;
    o.env = environment(f);
    o.output_path = output_path;
    if (proc_spawn(&o, &pid, &err) != RC_OK)
        pgfix_fail(f, &err, "could not start %s", argv[0]);
    return pid;
}

int pgfix_tool_wait(struct pgfix *f, pid_t pid)
{
    struct error err;
    int code;
    if (proc_wait(pid, -1, &code, &err) != RC_OK)
        pgfix_fail(f, &err, "could not wait for process %d", (int)pid);
    return code;
}

/* ---- expectations ---- */

static void show(const struct pgfix_run *r)
{
    /* Not print_error, which cuts. */
    fprintf(stderr, "command: %s\nexit code: %d\n--- stdout ---\n%s\n--- stderr ---\n%s\n---\n",
            r->command, r->code, r->out, r->err);
}

void pgfix_expect(const struct pgfix_run *r, int code)
{
    if (r->code == code)
        return;
    show(r);
    fail_msg("exit code %d where %d was expected", r->code, code);
}

void pgfix_expect_text(const struct pgfix_run *r, const char *text)
{
    if (strstr(r->out, text) || strstr(r->err, text))
        return;
    show(r);
    fail_msg("the output does not say \"%s\"", text);
}

void pgfix_archive_with_pgproof(struct pgfix *f)
{
    if (!f->config)
        pgfix_fail(f, NULL, "call pgfix_write_config before pgfix_archive_with_pgproof");
    const char *command = arena_printf(f->arena, "'%s/pgproof-wal-push' --config='%s' '%%p'",
                                       pgfix_bin(f), f->config);
    pgfix_configure_archiving(f, command);
}
