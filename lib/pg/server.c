#include "pg/server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The socket directory is ours alone, so the port never clashes. */
#define SOCKET_PORT "5432"
#define SOCKET_NAME "/.s.PGSQL." SOCKET_PORT
#define HBA_NAME    "pgproof_hba.conf"
#define POLL_MS     50
#define ROLES_MAX   4

struct server {
    pid_t pid;
    bool ended; /* waited for: the pid is nobody's, or somebody else's, now */
    int status;
    char *log_path;
    char *socket_directory;
    char *roles[ROLES_MAX]; /* to try, the likeliest first */
    size_t role_count;
    size_t role; /* the one that conninfo has */
    bool is_superuser;
    char *conninfo;
};

/* ---- finding the executables ---- */

/* The major version that <dir>/postgres names as its own; 0 if it doesn't run or isn't one. */
static uint32_t major_of(const char *dir)
{
    CLEANUP_FREE char *path = path_join(dir, "postgres");
    CLEANUP_BUF struct buf out = BUF_INIT(1024);
    const char *const argv[] = {path, "--version", NULL};
    const char *text, prefix[] = "postgres (PostgreSQL) ";
    struct error ignored;
    int status;
    if (access(path, X_OK) != 0 ||
        proc_run(&(struct proc_options){.argv = argv}, &out, NULL, &status, &ignored) != RC_OK ||
        status != 0 || buf_cstr(&out, &text, &ignored) != RC_OK || !str_starts(text, prefix))
        return 0;
    return (uint32_t)strtoul(text + strlen(prefix), NULL, 10);
}

/* Each candidate gives a malloc'ed directory, or NULL. */
static char *debian_bindir(uint32_t major)
{
    return str_printf("/usr/lib/postgresql/%" PRIu32 "/bin", major);
}

static char *pg_config_bindir(void)
{
    CLEANUP_BUF struct buf out = BUF_INIT(4096);
    const char *const argv[] = {"pg_config", "--bindir", NULL};
    const char *text;
    struct error ignored;
    int status;
    if (proc_run(&(struct proc_options){.argv = argv}, &out, NULL, &status, &ignored) != RC_OK ||
        status != 0 || buf_cstr(&out, &text, &ignored) != RC_OK)
        return NULL;
    return str_printf("%.*s", (int)strcspn(text, "\r\n"), text);
}

static char *path_bindir(uint32_t major)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        CLEANUP_FREE char *dir = str_printf("%.*s", (int)len, path);
        if (*dir == '/' && major_of(dir) == major)
            return str_dup(dir);
        path += len + (path[len] == ':');
    }
    return NULL;
}

static enum rc check_configured(const char *configured, uint32_t major, char **ret,
                                struct error *err)
{
    uint32_t found = major_of(configured);
    if (found == major) {
        *ret = str_dup(configured);
        return RC_OK;
    }
    if (found == 0)
        error_set(err, RC_CONFIG, "the configured directory has no working \"postgres\"");
    else
        error_set(err, RC_CONFIG,
                  "the configured directory has PostgreSQL %" PRIu32 ", needed is %" PRIu32, found,
                  major);
    error_on(err, "%s", configured);
    return error_now(err, "give the bin directory of PostgreSQL %" PRIu32, major);
}

enum rc server_find_bindir(const char *configured, uint32_t major, char **ret, struct error *err)
{
    if (configured)
        return check_configured(configured, major, ret, err);
    char *candidates[] = {debian_bindir(major), pg_config_bindir(), path_bindir(major)};
    char *found = NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        if (!found && candidates[i] && major_of(candidates[i]) == major)
            found = candidates[i];
        else
            free(candidates[i]);
    }
    if (found) {
        *ret = found;
        return RC_OK;
    }
    error_set(err, RC_CONFIG, "could not find the executables of PostgreSQL %" PRIu32, major);
    error_on(err, "/usr/lib/postgresql/%" PRIu32 "/bin, pg_config and PATH", major);
    return error_now(
        err, "install postgresql-%" PRIu32 ", or configure the directory of its executables",
        major);
}

/* ---- is one running? ---- */

/* Whether `pid` is a server that works in this directory; where /proc doesn't let us see its
 * working directory, a process named as PostgreSQL names its own counts. */
static bool process_works_in(pid_t pid, const char *data_directory)
{
    CLEANUP_FREE char *cwd = str_printf("/proc/%d/cwd", (int)pid);
    struct stat theirs, ours;
    if (stat(data_directory, &ours) != 0)
        return false;
    if (stat(cwd, &theirs) == 0)
        return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
    if (errno != EACCES && errno != EPERM)
        return false;
    CLEANUP_FREE char *comm_path = str_printf("/proc/%d/comm", (int)pid);
    CLEANUP_BUF struct buf comm = BUF_INIT(256);
    const char *text;
    struct error ignored;
    return file_read(comm_path, &comm, &ignored) == RC_OK &&
           buf_cstr(&comm, &text, &ignored) == RC_OK &&
           (str_eq(text, "postgres\n") || str_eq(text, "postmaster\n"));
}

/* The first line of postmaster.pid; a single-user server writes its pid negated. 0: no number. */
static pid_t parse_pid(const char *text)
{
    long pid = strtol(text, NULL, 10);
    if (pid < 0)
        pid = -pid;
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

enum rc server_is_running(const char *data_directory, bool *ret, pid_t *ret_pid, struct error *err)
{
    CLEANUP_FREE char *path = path_join(data_directory, "postmaster.pid");
    CLEANUP_BUF struct buf bytes = BUF_INIT(64 * 1024);
    const char *text;
    enum rc rc = file_read(path, &bytes, err);
    if (rc == RC_NOT_FOUND) {
        *ret = false;
        return RC_OK;
    }
    TRY(rc);
    TRY(buf_cstr(&bytes, &text, err));
    pid_t pid = parse_pid(text);
    bool running = pid > 0 && process_works_in(pid, data_directory);
    *ret = running;
    if (running && ret_pid)
        *ret_pid = pid;
    return RC_OK;
}

/* ---- starting ---- */

/* Who the server will be: the data directory's owner if we may choose, else ourselves. */
struct owner {
    uid_t uid;
    gid_t gid;
    bool change; /* we are root: what we make has to be given away */
};

static enum rc find_owner(const char *data_directory, struct owner *ret, struct error *err)
{
    struct stat st;
    if (stat(data_directory, &st) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not look at the data directory");
        return error_on(err, "%s", data_directory);
    }
    if (geteuid() != 0) {
        *ret = (struct owner){.uid = geteuid(), .gid = getegid()};
        return RC_OK;
    }
    if (st.st_uid == 0) {
        error_set(err, RC_REFUSED,
                  "the data directory belongs to root, and PostgreSQL does not run as root");
        error_on(err, "%s", data_directory);
        return error_now(err, "give it to the user that is to run the server (chown -R postgres)");
    }
    *ret = (struct owner){.uid = st.st_uid, .gid = st.st_gid, .change = true};
    return RC_OK;
}

static enum rc give_to(const char *path, const struct owner *owner, struct error *err)
{
    if (owner->change && chown(path, owner->uid, owner->gid) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not give this to the server's user");
        return error_on(err, "%s", path);
    }
    return RC_OK;
}

/* Anybody who gets at the socket may connect, so nobody else may get at it. */
static enum rc check_private(const char *dir, const struct owner *owner, struct error *err)
{
    struct stat st;
    if (lstat(dir, &st) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not look at the socket directory");
        return error_on(err, "%s", dir);
    }
    if (!S_ISDIR(st.st_mode) || (st.st_mode & 077) || (st.st_uid != owner->uid && st.st_uid != 0)) {
        error_set(err, RC_REFUSED,
                  "the socket directory is not private to the server's user (mode 0700)");
        error_on(err, "%s", dir);
        return error_now(err, "choose a directory that does not exist yet");
    }
    return give_to(dir, owner, err);
}

static enum rc prepare_socket_directory(const struct server_options *o, const struct owner *owner,
                                        struct error *err)
{
    size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    if (strlen(o->socket_directory) + strlen(SOCKET_NAME) >= room) {
        error_set(err, RC_REFUSED, "the path is too long for a socket: at most %zu bytes fit",
                  room - strlen(SOCKET_NAME) - 1);
        error_on(err, "%s", o->socket_directory);
        return error_now(err, "choose a directory with a shorter path");
    }
    if (mkdir(o->socket_directory, 0700) == 0)
        return give_to(o->socket_directory, owner, err);
    if (errno != EEXIST) {
        error_set_errno(err, RC_SYSTEM, errno, "could not create the socket directory");
        return error_on(err, "%s", o->socket_directory);
    }
    return o->keep_hba ? RC_OK : check_private(o->socket_directory, owner, err);
}

static enum rc write_hba(const char *path, const struct owner *owner, struct error *err)
{
    static const char text[] = "local all all trust\nlocal replication all trust\n";
    TRY(file_replace(path, text, sizeof text - 1, 0600, err));
    return give_to(path, owner, err);
}

/* The log is there, and the server's, before the server is. */
static enum rc prepare_log(const char *path, const struct owner *owner, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || close(fd) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not create the server's log");
        return error_on(err, "%s", path);
    }
    return give_to(path, owner, err);
}

struct arguments {
    const char **v;
    size_t count, capacity;
};

static void add_argument(struct arguments *a, const char *value)
{
    a->v = mem_grow(a->v, a->count, &a->capacity, sizeof *a->v);
    a->v[a->count++] = value;
}

static void add_setting(struct arguments *a, const char *setting)
{
    add_argument(a, "-c");
    add_argument(a, setting);
}

static enum rc spawn(const struct server_options *o, const struct owner *owner, const char *hba,
                     pid_t *ret, struct error *err)
{
    CLEANUP_FREE char *program = path_join(o->bindir, "postgres");
    CLEANUP_FREE char *sockets = str_printf("unix_socket_directories=%s", o->socket_directory);
    CLEANUP_FREE char *hba_setting = str_printf("hba_file=%s", hba);
    CLEANUP_FREE char *pid_file =
        str_printf("external_pid_file=%s/postgres.pid", o->socket_directory);
    const char *const own[] = {
        "listen_addresses=",           "port=" SOCKET_PORT, "logging_collector=off",
        "log_destination=stderr",      "ssl=off",           "unix_socket_group=",
        "unix_socket_permissions=0700"};
    struct arguments args = {0};
    add_argument(&args, program);
    add_argument(&args, "-D");
    add_argument(&args, o->data_directory);
    add_setting(&args, sockets);
    add_setting(&args, pid_file); /* the cluster's own may be production's */
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        add_setting(&args, own[i]);
    if (!o->keep_hba)
        add_setting(&args, hba_setting);
    for (const char *const *s = o->settings; s && *s; s++)
        add_setting(&args, *s);
    add_argument(&args, NULL);
    struct proc_options p = {.argv = args.v,
                             .cwd = "/",
                             .uid = owner->change ? owner->uid : 0,
                             .gid = owner->change ? owner->gid : 0,
                             .output_path = o->log_path,
                             .die_with_parent = o->die_with_parent,
                             .new_session = !o->die_with_parent};
    enum rc rc = proc_spawn(&p, ret, err);
    free(args.v);
    return rc;
}

static enum rc refuse_running(const char *data_directory, struct error *err)
{
    bool running;
    pid_t pid;
    TRY(server_is_running(data_directory, &running, &pid, err));
    if (!running)
        return RC_OK;
    error_set(err, RC_BUSY, "a server runs on this data directory already (process %d)", (int)pid);
    error_on(err, "%s", data_directory);
    return error_now(err, "stop it first");
}

/* Quoted as a value in a connection string; malloc'ed. */
static char *conninfo_quote(const char *value)
{
    char *quoted = mem_array(NULL, strlen(value) + 2, 2);
    char *to = quoted;
    *to++ = '\'';
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            *to++ = '\\';
        *to++ = *value;
    }
    *to++ = '\'';
    *to = '\0';
    return quoted;
}

static char *make_conninfo(const char *sockets, const char *user)
{
    CLEANUP_FREE char *host = conninfo_quote(sockets);
    CLEANUP_FREE char *role = conninfo_quote(user);
    return str_printf("host=%s port=" SOCKET_PORT " user=%s dbname=postgres", host, role);
}

static void add_role(struct server *s, const char *role)
{
    if (!role || !*role)
        return;
    for (size_t i = 0; i < s->role_count; i++)
        if (str_eq(s->roles[i], role))
            return;
    s->roles[s->role_count++] = str_dup(role);
}

static void use_role(struct server *s, size_t role)
{
    free(s->conninfo);
    s->role = role;
    s->conninfo = make_conninfo(s->socket_directory, s->roles[role]);
}

/* The role that backups are taken with need not be a superuser, nor be named at all: then libpq
 * takes PGUSER or the user's name. */
static void list_roles(struct server *s, const char *configured, const struct owner *owner)
{
    const struct passwd *pw = getpwuid(owner->uid);
    add_role(s, configured);
    add_role(s, getenv("PGUSER"));
    add_role(s, pw ? pw->pw_name : NULL);
    add_role(s, "postgres");
    use_role(s, 0);
}

enum rc server_start(const struct server_options *o, struct server **ret, struct error *err)
{
    struct owner owner = {0};
    pid_t pid;
    CLEANUP_FREE char *bindir = path_absolute(o->bindir);
    CLEANUP_FREE char *data = path_absolute(o->data_directory);
    CLEANUP_FREE char *log = path_absolute(o->log_path);
    CLEANUP_FREE char *sockets = path_absolute(o->socket_directory);
    CLEANUP_FREE char *hba = path_join(sockets, HBA_NAME);
    struct server_options absolute = *o;
    absolute.bindir = bindir;
    absolute.data_directory = data;
    absolute.log_path = log;
    absolute.socket_directory = sockets;
    TRY(refuse_running(data, err));
    TRY(find_owner(data, &owner, err));
    TRY(prepare_socket_directory(&absolute, &owner, err));
    if (!o->keep_hba)
        TRY(write_hba(hba, &owner, err));
    TRY(prepare_log(log, &owner, err));
    TRY(spawn(&absolute, &owner, hba, &pid, err));
    struct server *s = mem_zalloc(sizeof *s);
    s->pid = pid;
    s->log_path = str_dup(log);
    s->socket_directory = str_dup(sockets);
    list_roles(s, o->user, &owner);
    *ret = s;
    return RC_OK;
}

pid_t server_pid(const struct server *s)
{
    return s->pid;
}

int server_exit_code(const struct server *s)
{
    return s->ended ? s->status : -1;
}

const char *server_conninfo(const struct server *s)
{
    return s->conninfo;
}

const char *server_role(const struct server *s)
{
    return s->roles[s->role];
}

/* ---- watching and ending ---- */

/* Not proc_wait: a server has to be ended also when we are cancelled. */
static bool has_ended(struct server *s)
{
    int status;
    if (s->ended)
        return true;
    pid_t got = waitpid(s->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    s->ended = true;
    if (got == s->pid)
        s->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

static enum rc describe_end(const struct server *s, struct error *err)
{
    CLEANUP_FREE char *tail = server_log_tail(s->log_path, 8);
    error_set(err, RC_DATABASE, "the server ended with code %d; the end of its log: %s", s->status,
              *tail ? tail : "(empty)");
    error_on(err, "%s", s->log_path);
    return error_now(err, "read the log for the cause");
}

/* PQping would call a server that is in recovery without hot standby "rejecting", and one that
 * refuses our role "accepting"; only a session tells. */
static bool can_connect(const struct server *s, bool *ret_superuser)
{
    CLEANUP_SESSION struct session *session = NULL;
    struct error ignored;
    uint64_t super;
    if (session_open(s->conninfo, "pgproof", NULL, &session, &ignored) != RC_OK ||
        session_value_u64(session,
                          "SELECT rolsuper::int FROM pg_catalog.pg_roles"
                          " WHERE rolname = current_user",
                          &super, &ignored) != RC_OK)
        return false;
    *ret_superuser = super;
    return true;
}

/* The first role that is a superuser; where there is none, the first that may connect. */
static bool accepts(struct server *s)
{
    size_t fallback = s->role_count;
    bool superuser;
    if (s->is_superuser)
        return can_connect(s, &superuser);
    for (size_t i = 0; i < s->role_count; i++) {
        use_role(s, i);
        if (!can_connect(s, &superuser))
            continue;
        if (superuser) {
            s->is_superuser = true;
            return true;
        }
        if (fallback == s->role_count)
            fallback = i;
    }
    use_role(s, fallback < s->role_count ? fallback : 0);
    return fallback < s->role_count;
}

enum rc server_poll(struct server *s, enum server_state *ret, struct error *err)
{
    if (has_ended(s)) {
        (void)describe_end(s, err);
        *ret = SERVER_ENDED;
        return RC_OK;
    }
    *ret = accepts(s) ? SERVER_ACCEPTING : SERVER_STARTING;
    return RC_OK;
}

static void server_free(struct server *s)
{
    free(s->log_path);
    free(s->socket_directory);
    for (size_t i = 0; i < s->role_count; i++)
        free(s->roles[i]);
    free(s->conninfo);
    free(s);
}

static bool wait_for_end(struct server *s, int timeout_ms)
{
    double until = clock_monotonic() + timeout_ms / 1000.0;
    while (!has_ended(s)) {
        if (clock_monotonic() >= until)
            return false;
        clock_sleep_ms(POLL_MS);
    }
    return true;
}

static void end_at_once(struct server *s)
{
    if (has_ended(s))
        return;
    kill(s->pid, SIGQUIT);
    if (wait_for_end(s, 10000))
        return;
    kill(s->pid, SIGKILL); /* its children see that and end by themselves */
    wait_for_end(s, 10000);
}

enum rc server_stop(struct server *s, int timeout_s, struct error *err)
{
    if (!s)
        return RC_OK;
    enum rc rc = RC_OK;
    if (!has_ended(s)) {
        kill(s->pid, SIGINT);
        if (!wait_for_end(s, timeout_s * 1000)) {
            end_at_once(s);
            error_set(err, RC_DATABASE,
                      "the server did not shut down in %d s and was stopped without a checkpoint",
                      timeout_s);
            rc = error_on(err, "%s", s->log_path);
        }
    } else if (s->status != 0) {
        rc = describe_end(s, err);
    }
    server_free(s);
    return rc;
}

void server_kill(struct server *s)
{
    if (!s)
        return;
    end_at_once(s);
    server_free(s);
}

void server_leave(struct server *s)
{
    if (s)
        server_free(s);
}

/* ---- the log ---- */

#define TAIL_BYTES 16384

static const char *last_lines(const char *text, size_t len, unsigned lines)
{
    const char *p = text + len;
    if (p > text && p[-1] == '\n')
        p--;
    for (; p > text; p--)
        if (p[-1] == '\n' && --lines == 0)
            break;
    return p;
}

char *server_log_tail(const char *log_path, unsigned lines)
{
    CLEANUP_FD int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct error ignored;
    char text[TAIL_BYTES];
    size_t len;
    if (lines == 0 || fd < 0 || fstat(fd, &st) != 0)
        return str_dup("");
    uint64_t from = st.st_size > TAIL_BYTES ? (uint64_t)st.st_size - TAIL_BYTES : 0;
    if (file_pread(fd, text, sizeof text, from, &len, log_path, &ignored) != RC_OK)
        return str_dup("");
    while (len > 0 && text[len - 1] == '\n')
        len--;
    const char *start = last_lines(text, len, lines);
    return str_printf("%.*s", (int)(text + len - start), start);
}
