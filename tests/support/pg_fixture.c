#include "support/pg_fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "support/pg_fixture_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct pgfix *fixtures;

/* ---- failing and waiting ---- */

_Noreturn void pgfix_fail(struct pgfix *f, const struct error *err, const char *fmt, ...)
{
    char what[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    /* Not print_error, which cuts. */
    fprintf(stderr, "pgfix: %s\n", what);
    if (err)
        fprintf(stderr, "  what: %s\n  on:   %s\n  now:  %s\n", err->what, err->on, err->now);
    if (f && f->log) {
        CLEANUP_FREE char *tail = server_log_tail(f->log, 15);
        if (*tail)
            fprintf(stderr, "  end of %s:\n%s\n", f->log, tail);
    }
    fail();
    abort(); /* not reached: fail() leaves the test */
}

static unsigned timeout_s(void)
{
    const char *text = getenv("PGPROOF_TEST_TIMEOUT");
    uint64_t seconds;
    return text && parse_u64(text, &seconds) && seconds < 86400 ? (unsigned)seconds : 60;
}

double pgfix_deadline(void)
{
    return clock_monotonic() + timeout_s();
}

void pgfix_sleep(void)
{
    clock_sleep_ms(50);
}

/* ---- users, paths and children ---- */

bool pgfix_can_reach(const char *path, uid_t uid, gid_t gid)
{
    CLEANUP_FREE char *copy = path_absolute(path);
    if (uid == 0)
        return true;
    for (char *slash = copy; slash; slash = strchr(slash + 1, '/')) {
        struct stat st;
        char *cut = strchr(slash + 1, '/');
        if (cut)
            *cut = '\0';
        if (stat(copy, &st) != 0)
            return false;
        mode_t needed = st.st_uid == uid ? 0100 : st.st_gid == gid ? 0010 : 0001;
        if (!(st.st_mode & needed))
            return false;
        if (!cut)
            break;
        *cut = '/';
    }
    return true;
}

static void choose_user(struct pgfix *f)
{
    f->uid = geteuid();
    f->gid = getegid();
    f->root = f->uid == 0;
    if (!f->root)
        return;
    const char *name = getenv("PGPROOF_TEST_USER");
    name = name && *name ? name : "postgres";
    const struct passwd *user = getpwnam(name);
    if (!user || user->pw_uid == 0)
        pgfix_fail(f, NULL,
                   "PostgreSQL refuses root, and there is no user \"%s\" to become: create it, or "
                   "name another in PGPROOF_TEST_USER",
                   name);
    f->uid = user->pw_uid;
    f->gid = user->pw_gid;
}

static void give_one(const struct pgfix *f, const char *path)
{
    if (f->root && lchown(path, f->uid, f->gid) != 0)
        pgfix_fail(NULL, NULL, "could not give %s away: %s", path, strerror(errno));
}

static const struct pgfix *giving; /* nftw has no argument of its own */

static int give_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    give_one(giving, path);
    return 0;
}

void pgfix_give(struct pgfix *f, const char *path)
{
    giving = f;
    if (f->root && nftw(path, give_visit, 16, FTW_PHYS) != 0)
        pgfix_fail(f, NULL, "could not give %s away: %s", path, strerror(errno));
}

struct proc_options pgfix_child(const struct pgfix *f, const char *const *argv)
{
    return (struct proc_options){.argv = argv,
                                 .cwd = f->dir,
                                 .uid = f->root ? f->uid : 0,
                                 .gid = f->root ? f->gid : 0,
                                 .die_with_parent = true};
}

void pgfix_must_run(struct pgfix *f, const char *const *argv)
{
    struct pgfix_run r = pgfix_tool_argv(f, argv);
    pgfix_expect(&r, 0);
}

const char *pgfix_client(struct pgfix *f, const char *name)
{
    const char *own = arena_printf(f->arena, "%s/%s", f->bindir, name);
    if (access(own, X_OK) == 0)
        return own;
    for (int major = 18; major >= 13; major--) {
        const char *debian = arena_printf(f->arena, "/usr/lib/postgresql/%d/bin/%s", major, name);
        if (access(debian, X_OK) == 0)
            return debian;
    }
    pgfix_fail(f, NULL, "there is no %s in %s or /usr/lib/postgresql", name, f->bindir);
}

/* ---- the private directory ---- */

#define DIR_PREFIX "pgfix-"

/* Where every directory on the way lets the fixture's user pass, and a socket's path fits. */
static const char *temporary_root(const struct pgfix *f)
{
    const char *dir = getenv("TMPDIR");
    if (dir && *dir == '/' && strlen(dir) <= 50 && pgfix_can_reach(dir, f->uid, f->gid))
        return dir;
    return "/tmp";
}

static void remove_orphans_in(const char *root)
{
    CLEANUP_DIR DIR *dir = opendir(root);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (!str_starts(e->d_name, DIR_PREFIX))
            continue;
        long pid = strtol(e->d_name + strlen(DIR_PREFIX), NULL, 10);
        if (pid <= 1 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        CLEANUP_FREE char *path = path_join(root, e->d_name);
        struct error ignored;
        (void)!file_remove_tree(path, &ignored); /* somebody else's, maybe */
    }
}

/* Directories are named after the process that made them, so one that is gone shows. */
void pgfix_remove_orphans(void)
{
    const char *dir = getenv("TMPDIR");
    if (dir && *dir == '/')
        remove_orphans_in(dir);
    remove_orphans_in("/tmp");
}

static void make_private_directory(struct pgfix *f)
{
    static bool looked;
    const char *root = temporary_root(f);
    if (!looked && !getenv("PGPROOF_TEST_KEEP"))
        pgfix_remove_orphans();
    looked = true;
    char *dir = arena_printf(f->arena, "%s/" DIR_PREFIX "%d-XXXXXX", root, (int)getpid());
    if (!mkdtemp(dir))
        pgfix_fail(NULL, NULL, "could not make a directory in %s: %s", root, strerror(errno));
    give_one(f, dir);
    f->dir = dir;
}

const char *pgfix_path(struct pgfix *f, const char *fmt, ...)
{
    char name[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    return arena_printf(f->arena, "%s/%s", f->dir, name);
}

const char *pgfix_make_dir(struct pgfix *f, const char *name)
{
    const char *path = pgfix_path(f, "%s", name);
    if (mkdir(path, 0700) != 0)
        pgfix_fail(f, NULL, "could not make %s: %s", path, strerror(errno));
    give_one(f, path);
    return path;
}

/* ---- birth ---- */

static void clean_up_at_exit(void)
{
    (void)pgfix_free_all(NULL);
}

/* A fixture with its directory, in the list, so that whatever fails from here on is cleaned up. */
static struct pgfix *new_fixture(void)
{
    static bool registered;
    struct arena *arena = arena_new();
    struct pgfix *f = arena_alloc(arena, sizeof *f);
    f->arena = arena;
    f->owner = getpid();
    f->next = fixtures;
    fixtures = f;
    if (!registered)
        atexit(clean_up_at_exit);
    registered = true;
    choose_user(f);
    make_private_directory(f);
    f->sockets = pgfix_path(f, "s");
    f->log = pgfix_path(f, "log");
    f->data = pgfix_path(f, "data");
    f->database = "postgres";
    f->conninfo = arena_printf(arena, "host=%s port=" PGFIX_PORT " user=postgres dbname=postgres",
                               f->sockets);
    return f;
}

static void choose_bindir(struct pgfix *f, const char *configured)
{
    const char *wanted = configured ? configured : getenv("PGPROOF_TEST_PGBIN");
    struct error err;
    for (uint32_t major = 18; major >= 13; major--) {
        char *found;
        if (server_find_bindir(wanted && *wanted ? wanted : NULL, major, &found, &err) == RC_OK) {
            f->bindir = arena_strdup(f->arena, found);
            f->major = major;
            free(found);
            return;
        }
    }
    pgfix_fail(f, &err, "there is no PostgreSQL to test with");
}

static void run_initdb(struct pgfix *f, const struct pgfix_options *o)
{
    const char *argv[20];
    size_t n = 0;
    argv[n++] = arena_printf(f->arena, "%s/initdb", f->bindir);
    argv[n++] = "-D";
    argv[n++] = f->data;
    argv[n++] = "--username=postgres";
    argv[n++] = "--auth=trust";
    argv[n++] = "--encoding=UTF8";
    argv[n++] = "--locale=C.UTF-8";
    argv[n++] = "--no-sync";
    if (!o->no_checksums)
        argv[n++] = "--data-checksums";
    else if (f->major >= 18)
        argv[n++] = "--no-data-checksums";
    if (o->wal_segment_mb)
        argv[n++] = arena_printf(f->arena, "--wal-segsize=%u", o->wal_segment_mb);
    argv[n] = NULL;
    pgfix_must_run(f, argv);
}

struct pgfix *pgfix_new(const struct pgfix_options *o)
{
    static const struct pgfix_options defaults;
    o = o ? o : &defaults;
    struct pgfix *f = new_fixture();
    choose_bindir(f, o->bindir);
    run_initdb(f, o);
    pgfix_configure(f,
                    "listen_addresses = ''\n"
                    "unix_socket_directories = '%s'\n"
                    "shared_buffers = 16MB\n"
                    "max_connections = 40\n"
                    "max_wal_size = 256MB\n"
                    "wal_level = replica\n"
                    "archive_mode = on\n"
                    "archive_command = 'true'\n"
                    "log_line_prefix = '%%m [%%p] '\n"
                    "log_timezone = 'UTC'\n"
                    "timezone = 'UTC'",
                    f->sockets);
    for (const char *const *s = o->settings; s && *s; s++)
        pgfix_configure(f, "%s", *s);
    return f;
}

struct pgfix *pgfix_adopt(struct pgfix *like, const char *data_directory)
{
    struct pgfix *f = new_fixture();
    f->bindir = arena_strdup(f->arena, like->bindir);
    f->major = like->major;
    CLEANUP_FREE char *absolute = path_absolute(data_directory);
    f->data = arena_strdup(f->arena, absolute);
    return f;
}

/* -T old=new for each tablespace: two servers on one machine can't share them. */
static size_t map_tablespaces(struct pgfix *f, struct pgfix *primary, const char **argv, size_t max)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error err;
    if (session_query(pgfix_session(primary),
                      "SELECT oid, pg_catalog.pg_tablespace_location(oid)"
                      " FROM pg_catalog.pg_tablespace"
                      " WHERE pg_catalog.pg_tablespace_location(oid) LIKE '/%'",
                      0, NULL, &rows, &err) != RC_OK)
        pgfix_fail(primary, &err, "could not list the tablespaces");
    size_t n = 0;
    for (int i = 0; i < rows_count(rows) && n < max; i++)
        argv[n++] = arena_printf(f->arena, "--tablespace-mapping=%s=%s/tablespace-%s",
                                 rows_get(rows, i, 1), f->dir, rows_get(rows, i, 0));
    return n;
}

struct pgfix *pgfix_standby(struct pgfix *primary)
{
    struct pgfix *f = new_fixture();
    f->bindir = arena_strdup(f->arena, primary->bindir);
    f->major = primary->major;
    const char *argv[32];
    size_t n = 0;
    argv[n++] = pgfix_client(f, "pg_basebackup");
    argv[n++] = "-D";
    argv[n++] = f->data;
    argv[n++] = "--write-recovery-conf";
    argv[n++] = "--wal-method=stream";
    argv[n++] = "--checkpoint=fast";
    argv[n++] = "--no-sync";
    argv[n++] = "-d";
    argv[n++] = primary->conninfo;
    n += map_tablespaces(f, primary, argv + n, sizeof argv / sizeof *argv - n - 1);
    argv[n] = NULL;
    pgfix_must_run(f, argv);
    pgfix_start(f);
    return f;
}

/* ---- death: never fails a test, since it also runs after one ---- */

static void forget(const struct pgfix *f)
{
    for (struct pgfix **p = &fixtures; *p; p = &(*p)->next) {
        if (*p == f) {
            *p = f->next;
            return;
        }
    }
}

static void end_pgbench(struct pgfix *f)
{
    struct error ignored;
    int status;
    if (f->pgbench <= 0)
        return;
    kill(f->pgbench, SIGTERM);
    (void)!proc_wait(f->pgbench, 10000, &status, &ignored);
    f->pgbench = 0;
}

static void close_session(struct pgfix *f)
{
    session_close(f->session);
    f->session = NULL;
}

/* Processes that work in the data directory: a killed postmaster's children end by themselves, but
 * a new server refuses to start until they have. */
static bool somebody_works_in(const char *directory)
{
    struct stat ours, theirs;
    CLEANUP_DIR DIR *proc = opendir("/proc");
    const struct dirent *e;
    if (!proc || stat(directory, &ours) != 0)
        return false;
    while ((e = readdir(proc))) {
        char cwd[300];
        if (e->d_name[0] < '1' || e->d_name[0] > '9')
            continue;
        snprintf(cwd, sizeof cwd, "/proc/%s/cwd", e->d_name);
        if (stat(cwd, &theirs) == 0 && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino)
            return true;
    }
    return false;
}

static void wait_until_left(const char *directory)
{
    double until = clock_monotonic() + 20;
    while (somebody_works_in(directory) && clock_monotonic() < until)
        pgfix_sleep();
}

static void end_server(struct pgfix *f)
{
    end_pgbench(f);
    close_session(f);
    if (!f->server)
        return;
    server_kill(f->server);
    f->server = NULL;
    wait_until_left(f->data);
}

void pgfix_free(struct pgfix *f)
{
    struct error err;
    if (!f)
        return;
    forget(f);
    end_server(f);
    if (getenv("PGPROOF_TEST_KEEP"))
        print_message("pgfix: kept %s\n", f->dir ? f->dir : "nothing");
    else if (f->dir && file_remove_tree(f->dir, &err) != RC_OK)
        print_error("pgfix: could not remove %s: %s\n", f->dir, err.what);
    free(f->tool_env);
    arena_free(f->arena);
}

int pgfix_free_all(void **state)
{
    (void)state;
    while (fixtures && fixtures->owner == getpid())
        pgfix_free(fixtures);
    return 0;
}

/* ---- facts ---- */

const char *pgfix_dir(const struct pgfix *f)
{
    return f->dir;
}

const char *pgfix_data(const struct pgfix *f)
{
    return f->data;
}

const char *pgfix_bindir(const struct pgfix *f)
{
    return f->bindir;
}

const char *pgfix_log(const struct pgfix *f)
{
    return f->log;
}

const char *pgfix_conninfo(const struct pgfix *f)
{
    return f->conninfo;
}

uint32_t pgfix_major(const struct pgfix *f)
{
    return f->major;
}

uid_t pgfix_uid(const struct pgfix *f)
{
    return f->uid;
}

gid_t pgfix_gid(const struct pgfix *f)
{
    return f->gid;
}

pid_t pgfix_pid(const struct pgfix *f)
{
    return f->server ? server_pid(f->server) : 0;
}

/* ---- running ---- */

static void begin_server(struct pgfix *f)
{
    struct error err;
    struct server_options o = {.bindir = f->bindir,
                               .data_directory = f->data,
                               .log_path = f->log,
                               .socket_directory = f->sockets,
                               .keep_hba = true,
                               .die_with_parent = true};
    if (f->server)
        pgfix_fail(f, NULL, "the server on %s was started already", f->data);
    if (server_start(&o, &f->server, &err) != RC_OK)
        pgfix_fail(f, &err, "could not start a server on %s", f->data);
}

static void drop_ended_server(struct pgfix *f)
{
    server_kill(f->server);
    f->server = NULL;
}

static enum server_state poll_server(struct pgfix *f, struct error *err)
{
    enum server_state state;
    if (server_poll(f->server, &state, err) != RC_OK)
        pgfix_fail(f, err, "could not look at the server on %s", f->data);
    return state;
}

void pgfix_start(struct pgfix *f)
{
    struct error err;
    double until = pgfix_deadline();
    begin_server(f);
    for (;;) {
        enum server_state state = poll_server(f, &err);
        if (state == SERVER_ACCEPTING)
            return;
        if (state == SERVER_ENDED) {
            drop_ended_server(f);
            pgfix_fail(f, &err, "the server on %s ended instead of starting", f->data);
        }
        if (clock_monotonic() > until)
            pgfix_fail(f, NULL, "the server on %s accepts no connections", f->data);
        pgfix_sleep();
    }
}

int pgfix_start_until_end(struct pgfix *f)
{
    struct error err;
    double until = pgfix_deadline();
    begin_server(f);
    while (poll_server(f, &err) != SERVER_ENDED) {
        if (clock_monotonic() > until)
            pgfix_fail(f, NULL, "the server on %s does not end by itself", f->data);
        pgfix_sleep();
    }
    int code = server_exit_code(f->server);
    drop_ended_server(f);
    return code;
}

void pgfix_stop(struct pgfix *f, enum pgfix_stop how)
{
    struct error err;
    if (!f->server)
        return;
    if (how == PGFIX_KILL)
        kill(server_pid(f->server), SIGKILL);
    if (how != PGFIX_FAST) {
        end_server(f);
        return;
    }
    end_pgbench(f);
    close_session(f);
    struct server *server = f->server;
    f->server = NULL;
    if (server_stop(server, (int)timeout_s(), &err) != RC_OK)
        pgfix_fail(f, &err, "could not stop the server on %s", f->data);
}

void pgfix_restart(struct pgfix *f)
{
    pgfix_stop(f, PGFIX_FAST);
    pgfix_start(f);
}

const char *pgfix_log_tail(struct pgfix *f, unsigned lines)
{
    CLEANUP_FREE char *tail = server_log_tail(f->log, lines);
    return arena_strdup(f->arena, tail);
}

void pgfix_configure(struct pgfix *f, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text - 1, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof text - 1)
        pgfix_fail(f, NULL, "too many lines of configuration at once");
    text[len] = '\n';
    const char *path = arena_printf(f->arena, "%s/postgresql.conf", f->data);
    CLEANUP_FD int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    struct error err;
    if (fd < 0)
        pgfix_fail(f, NULL, "could not open %s: %s", path, strerror(errno));
    if (file_write_all(fd, text, (size_t)len + 1, path, &err) != RC_OK)
        pgfix_fail(f, &err, "could not configure the server");
}

void pgfix_reload(struct pgfix *f)
{
    /* Over the session, so that the server has read the files when this returns, or soon. */
    const char *before = pgfix_value(f, "SELECT pg_catalog.pg_conf_load_time()");
    double until = pgfix_deadline();
    pgfix_value(f, "SELECT pg_catalog.pg_reload_conf()");
    while (str_eq(before, pgfix_value(f, "SELECT pg_catalog.pg_conf_load_time()"))) {
        if (clock_monotonic() > until)
            pgfix_fail(f, NULL, "the server did not read its configuration again");
        pgfix_sleep();
    }
}

/* ---- SQL ---- */

struct session *pgfix_session(struct pgfix *f)
{
    struct error err;
    if (!f->server)
        pgfix_fail(f, NULL, "SQL needs a running server: call pgfix_start first");
    if (f->session)
        return f->session;
    if (session_open(f->conninfo, "pgfix", f->database, &f->session, &err) != RC_OK)
        pgfix_fail(f, &err, "could not connect to database %s", f->database);
    /* As people have it: tests write "CREATE TABLE t". */
    if (session_exec(f->session, "SET search_path = public", &err) != RC_OK)
        pgfix_fail(f, &err, "could not set the search path");
    return f->session;
}

void pgfix_use(struct pgfix *f, const char *database)
{
    close_session(f);
    f->database = arena_strdup(f->arena, database);
}

static char *format_sql(const char *fmt, va_list ap)
{
    char *sql;
    if (vasprintf(&sql, fmt, ap) < 0)
        pgfix_fail(NULL, NULL, "no memory for a query");
    return sql;
}

void pgfix_sql(struct pgfix *f, const char *fmt, ...)
{
    struct error err;
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *sql = format_sql(fmt, ap);
    va_end(ap);
    if (session_exec(pgfix_session(f), sql, &err) != RC_OK)
        pgfix_fail(f, &err, "SQL failed");
}

static const char *value_of(struct pgfix *f, const char *sql)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error err;
    if (session_query(pgfix_session(f), sql, 0, NULL, &rows, &err) != RC_OK)
        pgfix_fail(f, &err, "SQL failed");
    if (rows_count(rows) != 1)
        pgfix_fail(f, NULL, "%d rows where one was expected: %s", rows_count(rows), sql);
    return arena_strdup(f->arena, rows_get(rows, 0, 0));
}

const char *pgfix_value(struct pgfix *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *sql = format_sql(fmt, ap);
    va_end(ap);
    return value_of(f, sql);
}

int64_t pgfix_number(struct pgfix *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *sql = format_sql(fmt, ap);
    va_end(ap);
    const char *text = value_of(f, sql);
    int64_t value = 0;
    if (!text || !parse_i64(text, &value))
        pgfix_fail(f, NULL, "\"%s\" where a number was expected: %s", text ? text : "NULL", sql);
    return value;
}

uint64_t pgfix_lsn(struct pgfix *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *sql = format_sql(fmt, ap);
    va_end(ap);
    uint64_t value = 0;
    struct error err;
    if (session_value_lsn(pgfix_session(f), sql, &value, &err) != RC_OK)
        pgfix_fail(f, &err, "SQL failed");
    return value;
}

/* ---- WAL, archiving, recovery ---- */

void pgfix_configure_archiving(struct pgfix *f, const char *command)
{
    CLEANUP_FREE char *literal = sql_literal(pgfix_session(f), command);
    pgfix_sql(f, "ALTER SYSTEM SET archive_command = %s", literal);
    pgfix_reload(f);
}

const char *pgfix_switch_wal(struct pgfix *f)
{
    /* An empty segment would not be switched. */
    pgfix_value(f, "SELECT pg_catalog.pg_logical_emit_message(false, 'pgfix', 'switch')");
    return pgfix_value(f, "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())");
}

/* Is any segment up to this one still waiting for its turn? Names of one timeline sort by time. */
static bool archive_is_behind(const struct pgfix *f, const char *segment)
{
    CLEANUP_FREE char *path = str_printf("%s/pg_wal/archive_status", f->data);
    CLEANUP_FREE char *done = str_printf("%s/%s.done", path, segment);
    CLEANUP_FREE char *wal = str_printf("%s/pg_wal/%s", f->data, segment);
    CLEANUP_DIR DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (str_ends(e->d_name, ".ready") && strncmp(e->d_name, segment, 24) <= 0)
            return true;
    /* After a checkpoint both the segment and its mark are gone. */
    return !dir || (!file_exists(done) && file_exists(wal));
}

void pgfix_wait_archived(struct pgfix *f, const char *segment)
{
    double until = pgfix_deadline();
    while (archive_is_behind(f, segment)) {
        if (clock_monotonic() > until)
            pgfix_fail(f, NULL, "segment %s is not archived", segment);
        pgfix_sleep();
    }
}

static void wait_for(struct pgfix *f, const char *sql, const char *what)
{
    double until = pgfix_deadline();
    while (!str_eq(pgfix_value(f, "%s", sql), "t")) {
        if (clock_monotonic() > until)
            pgfix_fail(f, NULL, "the server on %s %s", f->data, what);
        pgfix_sleep();
    }
}

void pgfix_wait_paused(struct pgfix *f)
{
    wait_for(f,
             f->major >= 14 ? "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused'"
                            : "SELECT pg_catalog.pg_is_wal_replay_paused()",
             "does not pause at its target");
}

void pgfix_wait_promoted(struct pgfix *f)
{
    wait_for(f, "SELECT NOT pg_catalog.pg_is_in_recovery()", "stays in recovery");
}

void pgfix_promote(struct pgfix *f)
{
    pgfix_value(f, "SELECT pg_catalog.pg_promote(false)");
    pgfix_wait_promoted(f);
}

void pgfix_wait_caught_up(struct pgfix *standby, struct pgfix *primary)
{
    char sql[128];
    /* A committed message is flushed when this returns, and everything before it too. */
    pgfix_value(primary, "SELECT pg_catalog.pg_logical_emit_message(true, 'pgfix', 'here')");
    const char *lsn = pgfix_value(primary, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
    snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_last_wal_replay_lsn() >= '%s'", lsn);
    wait_for(standby, sql, "does not catch up with its primary");
}
