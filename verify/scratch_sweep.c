#include "verify/scratch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "verify/scratch_owner.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A directory without an owner file may be a drill's that was born this moment. */
#define YOUNG_SECONDS 60

static bool is_drill_name(const char *name)
{
    size_t prefix = sizeof(SCRATCH_PREFIX) - 1;
    return str_starts(name, SCRATCH_PREFIX) && strlen(name) == prefix + 16 &&
           hex_is_lower(name + prefix, 16);
}

static pid_t postmaster_of(const char *data)
{
    CLEANUP_FREE char *path = path_join(data, "postmaster.pid");
    CLEANUP_FILE FILE *f = fopen(path, "re");
    char line[32];
    int64_t pid;
    if (!f || !fgets(line, sizeof line, f))
        return 0;
    line[strcspn(line, "\n")] = '\0';
    return parse_i64(line, &pid) && pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* PostgreSQL's processes work in their data directory; a number used again is somebody else's. */
static bool works_in(pid_t pid, const char *data)
{
    char link[64], cwd[PATH_MAX], real[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
    ssize_t len = readlink(link, cwd, sizeof cwd - 1);
    if (len <= 0 || !realpath(data, real))
        return false;
    cwd[len] = '\0';
    return str_eq(cwd, real);
}

static bool wait_gone(pid_t pid, const char *data, unsigned ms)
{
    for (unsigned waited = 0; waited < ms; waited += 50) {
        if (!works_in(pid, data))
            return true;
        clock_sleep_ms(50);
    }
    return !works_in(pid, data);
}

static void end_server(const char *data)
{
    pid_t pid = postmaster_of(data);
    if (pid == 0 || !works_in(pid, data))
        return;
    log_warning("ending process %d, the scratch server of a drill that was killed (%s)", (int)pid,
                data);
    kill(pid, SIGQUIT); /* PostgreSQL's immediate shutdown */
    if (!wait_gone(pid, data, 5000) && works_in(pid, data))
        kill(pid, SIGKILL);
    wait_gone(pid, data, 5000);
}

static bool is_own_socket_dir(const char *path, const char *name)
{
    CLEANUP_FREE char *expected = path_join("/tmp", name);
    return str_eq(path, expected);
}

static enum rc remove_leftover(const char *root, const char *name, const struct owner *o,
                               struct error *err)
{
    CLEANUP_FREE char *data = path_join(root, "data");
    end_server(data);
    if (is_own_socket_dir(o->socket_dir, name))
        TRY(file_remove_tree(o->socket_dir, err));
    return owner_remove_root(root, err);
}

/* Killed between mkdir and the owner file: empty, and not born just now. rmdir takes no more. */
static bool remove_if_empty(const char *root)
{
    struct stat st;
    return lstat(root, &st) == 0 && st.st_mtime + YOUNG_SECONDS < time(NULL) && rmdir(root) == 0;
}

static enum rc sweep_one(const char *root, const char *name, bool *ret_removed, struct error *err)
{
    struct owner o;
    struct stat st;
    *ret_removed = false;
    if (lstat(root, &st) != 0 || !S_ISDIR(st.st_mode))
        return RC_OK;
    TRY(owner_look(root, &o, err));
    if (o.state == OWNER_NONE)
        *ret_removed = remove_if_empty(root);
    if (o.state != OWNER_GONE)
        return RC_OK;
    CLEANUP_FD int lock = o.fd; /* so that two sweeps don't work on one */
    TRY(remove_leftover(root, name, &o, err));
    *ret_removed = true;
    return RC_OK;
}

enum rc scratch_sweep(const char *parent, unsigned *ret_removed, struct error *err)
{
    unsigned removed = 0;
    CLEANUP_DIR DIR *dir = opendir(parent);
    if (!dir && errno != ENOENT) {
        error_set_errno(err, RC_SYSTEM, errno, "could not look for leftovers of killed drills");
        return error_on(err, "%s", parent);
    }
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_drill_name(e->d_name))
            continue;
        CLEANUP_FREE char *root = path_join(parent, e->d_name);
        struct error problem;
        bool gone;
        if (sweep_one(root, e->d_name, &gone, &problem) != RC_OK)
            log_warning("could not clear away the leftovers of a drill: %s (%s)", problem.what,
                        root);
        else if (gone)
            removed++;
    }
    *ret_removed = removed;
    return RC_OK;
}
