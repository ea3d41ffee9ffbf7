#include "restore/target_dir.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/server.h"
#include "repo/names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARKER_MAX        (1u << 20)
#define CONTROL_NEW       "global/pg_control.pgproof"
#define SPACE_SLACK_BYTES (64u << 20) /* settings, WAL for the first moments */

static bool is_beneath(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return str_starts(path, dir) && (path[n] == '/' || path[n] == '\0');
}

static bool overlap(const char *a, const char *b)
{
    return is_beneath(a, b) || is_beneath(b, a);
}

/* Two trees in one place would overwrite each other. */
static enum rc check_overlap(const struct target_dir *t, struct error *err)
{
    for (size_t i = 0; i < t->tablespace_count; i++) {
        const char *location = t->tablespaces[i].location;
        bool clash = overlap(location, t->path);
        for (size_t j = 0; j < i && !clash; j++)
            clash = overlap(location, t->tablespaces[j].location);
        if (!clash)
            continue;
        error_set(err, RC_REFUSED,
                  "tablespace %u would lie in the data directory or in another "
                  "tablespace",
                  t->tablespaces[i].oid);
        error_on(err, "%s", location);
        return error_now(err, "choose another place with --tablespace-root=DIR");
    }
    return RC_OK;
}

/* Root gives the files to the owner that the parent directory has, or to `postgres`: never keeps
 * them, because PostgreSQL refuses to run as root. */
static enum rc find_owner(struct target_dir *t, struct error *err)
{
    CLEANUP_FREE char *parent = path_join(t->path, "..");
    CLEANUP_FREE char *plain = path_absolute(parent);
    struct stat st;

    t->set_owner = geteuid() == 0;
    if (!t->set_owner)
        return RC_OK;
    if (stat(t->path, &st) == 0 && st.st_uid != 0) {
        t->uid = st.st_uid;
        t->gid = st.st_gid;
        return RC_OK;
    }
    if (stat(plain, &st) == 0 && st.st_uid != 0) {
        t->uid = st.st_uid;
        t->gid = st.st_gid;
        return RC_OK;
    }
    const struct passwd *pw = getpwnam("postgres");
    if (!pw) {
        error_set(err, RC_REFUSED, "there is nobody to own the restored files: no user postgres");
        error_on(err, "%s", t->path);
        return error_now(err, "run pgproof-restore as the user that will run PostgreSQL");
    }
    t->uid = pw->pw_uid;
    t->gid = pw->pw_gid;
    return RC_OK;
}

enum rc target_plan(const char *path, const char *tablespace_root, const struct backup_info *b,
                    struct target_dir *ret, struct error *err)
{
    struct target_dir t = {.path = path_absolute(path), .fd = -1};
    CLEANUP_FREE char *root = tablespace_root ? path_absolute(tablespace_root) : NULL;
    enum rc rc;

    t.tablespaces = mem_zalloc((b->tablespace_count + 1) * sizeof(*t.tablespaces));
    for (size_t i = 0; i < b->tablespace_count; i++) {
        const struct backup_tablespace *from = &b->tablespaces[i];
        if (!from->location[0])
            continue; /* in place: a plain directory of the data directory */
        struct target_tablespace *to = &t.tablespaces[t.tablespace_count++];
        to->oid = from->oid;
        to->fd = -1;
        to->location = root ? str_printf("%s/%u", root, from->oid) : path_absolute(from->location);
    }
    rc = check_overlap(&t, err);
    if (rc == RC_OK)
        rc = find_owner(&t, err);
    if (rc != RC_OK) {
        target_done(&t);
        return rc;
    }
    *ret = t;
    return RC_OK;
}

/* A restore that was cut off: its marker stands there, and pg_control does not yet. */
static bool is_unfinished(const struct target_dir *t)
{
    CLEANUP_FREE char *marker = path_join(t->path, RESTORE_MARKER);
    CLEANUP_FREE char *control = path_join(t->path, CONTROL_PATH);

    return file_exists(marker) && !file_exists(control);
}

static enum rc refuse_not_empty(const char *path, struct error *err)
{
    CLEANUP_FREE char *aside = str_printf("%s.old", path);
    CLEANUP_FREE char *from = str_shell_word(path);
    CLEANUP_FREE char *to = str_shell_word(aside);

    error_set(err, RC_REFUSED, "the directory to restore into is not empty");
    error_on(err, "%s", path);
    return error_now(err,
                     "choose another one with --to=DIR (and --tablespace-root=DIR), or move "
                     "this one aside first: mv %s %s",
                     from, to);
}

static enum rc need_empty(const char *path, struct error *err)
{
    bool empty;
    enum rc rc = file_dir_is_empty(path, &empty, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    return empty ? RC_OK : refuse_not_empty(path, err);
}

/* Is location listed in the marker of a cut-off restore into this data directory? */
static bool marker_lists(const struct target_dir *t, const char *location)
{
    CLEANUP_FREE char *marker = path_join(t->path, RESTORE_MARKER);
    CLEANUP_BUF struct buf text = BUF_INIT(MARKER_MAX);
    CLEANUP_FREE char *line = str_printf("\n%s\n", location);
    const char *s;
    struct error ignored;

    return file_read(marker, &text, &ignored) == RC_OK && buf_cstr(&text, &s, &ignored) == RC_OK &&
           strstr(s, line);
}

/* The nearest directory that exists: that is where the space will be taken. */
static enum rc space_free_at(const char *path, uint64_t *ret, struct error *err)
{
    CLEANUP_FREE char *p = str_dup(path);

    while (!file_exists(p)) {
        char *slash = strrchr(p, '/');
        if (!slash || slash == p) {
            strcpy(p, "/");
            break;
        }
        *slash = '\0';
    }
    return file_space_free(p, ret, err);
}

static enum rc check_space(const struct target_dir *t, uint64_t needed, struct error *err)
{
    char have_text[32], need_text[32];
    uint64_t have;

    TRY(space_free_at(t->path, &have, err));
    if (t->tablespace_count || have >= needed + SPACE_SLACK_BYTES)
        return RC_OK;
    error_set(err, RC_REFUSED, "there is not enough room: %s are needed and %s are free",
              format_size(needed + SPACE_SLACK_BYTES, need_text), format_size(have, have_text));
    error_on(err, "%s", t->path);
    return error_now(err, "free some space, or choose another file system with --to=DIR");
}

/* What lies in a data directory is backed up with it, and a repository must hold nothing else. */
static enum rc refuse_inside(const char *path, struct error *err)
{
    CLEANUP_FREE char *dir = str_dup(path);
    bool itself = true; /* that one is refused by what it holds, unless it is a repository */

    while (*dir) {
        CLEANUP_FREE char *version = path_join(dir, "PG_VERSION");
        CLEANUP_FREE char *repository = path_join(dir, REPOSITORY_OBJECT);
        bool cluster = !itself && file_exists(version);
        if (cluster || file_exists(repository)) {
            error_set(err, RC_REFUSED, "the directory to restore into lies inside %s, %s",
                      cluster ? "a data directory" : "a repository", dir);
            error_on(err, "%s", path);
            return error_now(err, "choose another one with --to=DIR");
        }
        itself = false;
        *strrchr(dir, '/') = '\0';
    }
    return RC_OK;
}

enum rc target_check(const struct target_dir *t, uint64_t bytes_needed, bool *ret_unfinished,
                     struct error *err)
{
    bool running = false;
    pid_t pid = 0;
    bool unfinished = is_unfinished(t);

    TRY(refuse_inside(t->path, err));
    if (file_exists(t->path))
        TRY(server_is_running(t->path, &running, &pid, err));
    if (running) {
        error_set(err, RC_REFUSED, "a server is running in the directory to restore into (pid %d)",
                  (int)pid);
        error_on(err, "%s", t->path);
        return error_now(err, "restore beside it with --to=DIR, or stop it and move the directory "
                              "aside");
    }
    if (!unfinished)
        TRY(need_empty(t->path, err));
    for (size_t i = 0; i < t->tablespace_count; i++)
        if (!unfinished || !marker_lists(t, t->tablespaces[i].location))
            TRY(need_empty(t->tablespaces[i].location, err));
    TRY(check_space(t, bytes_needed, err));
    *ret_unfinished = unfinished;
    return RC_OK;
}

static enum rc set_owner_fd(const struct target_dir *t, int fd, const char *path, struct error *err)
{
    if (!t->set_owner || fchown(fd, t->uid, t->gid) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not set the owner of a restored file");
    error_on(err, "%s", path);
    return error_now(err, "restore as the user that will run PostgreSQL, or onto a file system "
                          "that knows owners");
}

static enum rc could_not_write(const char *path, struct error *err)
{
    int e = errno;

    error_set_errno(err, RC_SYSTEM, e, "could not create a restored file");
    error_on(err, "%s", path);
    return error_now(err, e == ENOSPC || e == EDQUOT
                              ? "free some space and run the same command again"
                              : "look at the directory's owner and mode, and run the same command "
                                "again");
}

/* Like file_make_dirs, but what is new belongs to the owner of the restored files: PostgreSQL's
 * user must be able to enter it. */
static enum rc make_owned_dirs(const struct target_dir *t, const char *path, struct error *err)
{
    CLEANUP_FREE char *p = str_dup(path);

    for (char *slash = p; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(p, 0700) == 0) {
            if (t->set_owner && lchown(p, t->uid, t->gid) != 0)
                return could_not_write(p, err);
        } else if (errno != EEXIST) {
            return could_not_write(p, err);
        }
        if (slash)
            *slash = '/';
    }
    return RC_OK;
}

/* Make (with parents) and open a directory that the restore fills. */
static enum rc open_root(const struct target_dir *t, const char *path, int *ret, struct error *err)
{
    CLEANUP_FD int fd = -1;

    TRY(make_owned_dirs(t, path, err));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0700) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not prepare the directory to restore into");
        return error_on(err, "%s", path);
    }
    TRY(set_owner_fd(t, fd, path, err));
    *ret = fd;
    fd = -1;
    return RC_OK;
}

static enum rc clear_dir(const char *path, struct error *err)
{
    TRY(file_remove_tree(path, err));
    return file_make_dirs(path, 0700, err);
}

/* What a cut-off restore left goes away; its marker goes last, so that this can be cut off, too. */
static enum rc clear_unfinished(struct target_dir *t, struct error *err)
{
    for (size_t i = 0; i < t->tablespace_count; i++)
        if (marker_lists(t, t->tablespaces[i].location))
            TRY(clear_dir(t->tablespaces[i].location, err));

    CLEANUP_DIR DIR *d = opendir(t->path);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || str_eq(e->d_name, RESTORE_MARKER))
            continue;
        CLEANUP_FREE char *path = path_join(t->path, e->d_name);
        TRY(file_remove_tree(path, err));
    }
    return RC_OK;
}

static enum rc write_marker(const struct target_dir *t, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MARKER_MAX);

    TRY(buf_printf(
        &text, err,
        "pgproof-restore has begun to fill this directory and has not finished. PostgreSQL "
        "can't start here.\nRun the same pgproof-restore command again: it clears what "
        "it left and begins anew. It also fills:\n"));
    for (size_t i = 0; i < t->tablespace_count; i++)
        TRY(buf_printf(&text, err, "%s\n", t->tablespaces[i].location));
    TRY(target_write(t, RESTORE_MARKER, 0600, text.data, text.len, err));
    return file_fsync_dir(t->path, err);
}

enum rc target_begin(struct target_dir *t, struct error *err)
{
    if (is_unfinished(t))
        TRY(clear_unfinished(t, err));
    TRY(open_root(t, t->path, &t->fd, err));
    TRY(write_marker(t, err));
    for (size_t i = 0; i < t->tablespace_count; i++)
        TRY(open_root(t, t->tablespaces[i].location, &t->tablespaces[i].fd, err));
    return RC_OK;
}

/* Which directory a manifest path lies in, and the rest of the path below it. */
static int locate(const struct target_dir *t, const char *path, const char **ret_rest)
{
    unsigned oid;
    int used = 0;

    *ret_rest = path;
    if (sscanf(path, "pg_tblspc/%u/%n", &oid, &used) < 1 || !used)
        return t->fd;
    for (size_t i = 0; i < t->tablespace_count; i++)
        if (t->tablespaces[i].oid == oid) {
            *ret_rest = path + used;
            return t->tablespaces[i].fd;
        }
    return t->fd;
}

/* Kernels before 5.6 have no openat2: there, the parents are directories that this restore made and
 * only the last component needs the check. */
static int open_beneath(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

    if (fd < 0 && errno == ENOSYS)
        fd = openat(dir, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd;
}

enum rc target_open(const struct target_dir *t, const char *path, mode_t mode, int *ret_fd,
                    struct error *err)
{
    CLEANUP_FD int fd = -1;
    const char *rest;
    int dir = locate(t, path, &rest);

    BUG_IF(!path_is_contained(path));
    fd = open_beneath(dir, rest, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || fchmod(fd, mode & 0777) != 0)
        return could_not_write(path, err);
    TRY(set_owner_fd(t, fd, path, err));
    *ret_fd = fd;
    fd = -1;
    return RC_OK;
}

enum rc target_make_dir(const struct target_dir *t, const char *path, mode_t mode,
                        struct error *err)
{
    CLEANUP_FREE char *parent = str_dup(path);
    CLEANUP_FD int parent_fd = -1, fd = -1;
    const char *rest;
    int dir = locate(t, path, &rest);
    char *slash;

    BUG_IF(!path_is_contained(path));
    strcpy(parent, rest);
    slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    parent_fd = open_beneath(dir, slash ? parent : ".", O_RDONLY | O_DIRECTORY, 0);
    if (parent_fd < 0)
        return could_not_write(path, err);
    const char *base = slash ? slash + 1 : parent;
    if (mkdirat(parent_fd, base, 0700) != 0 && errno != EEXIST)
        return could_not_write(path, err);
    fd = open_beneath(parent_fd, base, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || fchmod(fd, mode & 0777) != 0)
        return could_not_write(path, err);
    return set_owner_fd(t, fd, path, err);
}

enum rc target_link_tablespace(const struct target_dir *t, uint32_t oid, struct error *err)
{
    for (size_t i = 0; i < t->tablespace_count; i++) {
        const struct target_tablespace *s = &t->tablespaces[i];
        CLEANUP_FREE char *link = str_printf("pg_tblspc/%u", oid);
        if (s->oid != oid)
            continue;
        if (symlinkat(s->location, t->fd, link) != 0 ||
            (t->set_owner && fchownat(t->fd, link, t->uid, t->gid, AT_SYMLINK_NOFOLLOW) != 0))
            return could_not_write(link, err);
        return RC_OK;
    }
    error_set(err, RC_INTEGRITY, "the manifest links a tablespace that backup.json does not know");
    return error_on(err, "tablespace %u", oid);
}

enum rc target_write(const struct target_dir *t, const char *path, mode_t mode, const void *data,
                     size_t len, struct error *err)
{
    CLEANUP_FD int fd = -1;

    TRY(target_open(t, path, mode, &fd, err));
    if (ftruncate(fd, 0) != 0)
        return could_not_write(path, err);
    TRY(file_write_all(fd, data, len, path, err));
    if (fsync(fd) != 0)
        return could_not_write(path, err);
    return RC_OK;
}

static enum rc sync_one(int fd, const char *path, struct error *err)
{
    if (syncfs(fd) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not write the restored files to disk");
    error_on(err, "%s", path);
    return error_now(err, "check the disk, and run the same command again");
}

enum rc target_sync(const struct target_dir *t, struct error *err)
{
    TRY(sync_one(t->fd, t->path, err));
    for (size_t i = 0; i < t->tablespace_count; i++)
        TRY(sync_one(t->tablespaces[i].fd, t->tablespaces[i].location, err));
    return RC_OK;
}

enum rc target_commit(const struct target_dir *t, const void *control, size_t len,
                      struct error *err)
{
    CLEANUP_FREE char *global = path_join(t->path, "global");

    TRY(target_write(t, CONTROL_NEW, 0600, control, len, err));
    if (renameat(t->fd, CONTROL_NEW, t->fd, CONTROL_PATH) != 0)
        return could_not_write(CONTROL_PATH, err);
    TRY(file_fsync_dir(global, err));
    if (unlinkat(t->fd, RESTORE_MARKER, 0) != 0)
        return could_not_write(RESTORE_MARKER, err);
    return file_fsync_dir(t->path, err);
}

void target_done(struct target_dir *t)
{
    for (size_t i = 0; i < t->tablespace_count; i++) {
        cleanup_fd(&t->tablespaces[i].fd);
        free(t->tablespaces[i].location);
    }
    free(t->tablespaces);
    free(t->path);
    cleanup_fd(&t->fd);
    *t = (struct target_dir){.fd = -1};
}
