#include "base/file.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The kernel takes at most 2 GB a call. */
#define IO_MAX (1u << 30)

static enum rc failed(struct error *err, const char *path, const char *what)
{
    int e = errno;

    error_set_errno(err, RC_SYSTEM, e, "could not %s", what);
    error_on(err, "%s", path);
    if (e == ENOSPC || e == EDQUOT)
        error_now(err, "free some space and try again");
    else if (e == EACCES || e == EPERM)
        error_now(err, "check the owner and mode, or run this as another user");
    return RC_SYSTEM;
}

static ssize_t read_some(int fd, void *to, size_t len)
{
    ssize_t n;

    do
        n = read(fd, to, len < IO_MAX ? len : IO_MAX);
    while (n < 0 && errno == EINTR);
    return n;
}

static enum rc read_to_end(int fd, const char *path, struct buf *to, struct error *err)
{
    for (;;) {
        char past_end; /* a full buffer is right if the file ends here */
        bool full = to->len == to->max;
        if (!full && buf_reserve(to, 1, err) != RC_OK)
            return error_on(err, "%s", path);
        size_t room = (to->capacity < to->max ? to->capacity : to->max) - to->len;
        ssize_t n = full ? read_some(fd, &past_end, 1) : read_some(fd, to->data + to->len, room);
        if (n < 0)
            return failed(err, path, "read the file");
        if (n == 0)
            return RC_OK;
        if (full) {
            error_set(err, RC_NOMEM, "the file is larger than the %zu bytes allowed", to->max);
            return error_on(err, "%s", path);
        }
        to->len += (size_t)n;
    }
}

enum rc file_read(const char *path, struct buf *to, struct error *err)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        error_set(err, RC_NOT_FOUND, "there is no such file");
        return error_on(err, "%s", path);
    }
    if (fd < 0)
        return failed(err, path, "open the file");
    size_t before = to->len;
    enum rc rc = read_to_end(fd, path, to, err);
    if (rc != RC_OK)
        to->len = before;
    return rc;
}

enum rc file_write_all(int fd, const void *data, size_t len, const char *path, struct error *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len < IO_MAX ? len : IO_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err, path, "write to the file");
        p += n;
        len -= (size_t)n;
    }
    return RC_OK;
}

enum rc file_pwrite_all(int fd, const void *data, size_t len, uint64_t offset, const char *path,
                        struct error *err)
{
    const char *p = data;

    while (len) {
        ssize_t n = pwrite(fd, p, len < IO_MAX ? len : IO_MAX, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err, path, "write to the file");
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return RC_OK;
}

enum rc file_pread(int fd, void *to, size_t len, uint64_t offset, size_t *ret_len, const char *path,
                   struct error *err)
{
    size_t got = 0;

    while (got < len) {
        size_t want = len - got < IO_MAX ? len - got : IO_MAX;
        ssize_t n = pread(fd, (char *)to + got, want, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err, path, "read the file");
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_len = got;
    return RC_OK;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return str_dup(".");
    if (slash == path)
        return str_dup("/");
    return str_printf("%.*s", (int)(slash - path), path);
}

static enum rc write_new_file(const char *path, const void *data, size_t len, mode_t mode,
                              struct error *err)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0)
        return failed(err, path, "create the file");
    if (fchmod(fd, mode) != 0) /* whatever the umask */
        return failed(err, path, "set the mode of the file");
    TRY(file_write_all(fd, data, len, path, err));
    if (fsync(fd) != 0)
        return failed(err, path, "write the file to disk");
    int closing = fd;
    fd = -1;
    if (close(closing) != 0)
        return failed(err, path, "close the file");
    return RC_OK;
}

enum rc file_replace(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    CLEANUP_FREE char *dir = parent_of(path);
    CLEANUP_FREE char *temporary = NULL;
    uint64_t unique;

    if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
        return failed(err, path, "draw a temporary name");
    temporary = str_printf("%s.%016llx.tmp", path, (unsigned long long)unique);
    enum rc rc = write_new_file(temporary, data, len, mode, err);
    if (rc == RC_OK && rename(temporary, path) != 0)
        rc = failed(err, path, "put the file in its place");
    if (rc != RC_OK) {
        unlink(temporary);
        return rc;
    }
    return file_fsync_dir(dir, err);
}

enum rc file_fsync_dir(const char *dir, struct error *err)
{
    CLEANUP_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return failed(err, dir, "open the directory");
    if (fsync(fd) != 0)
        return failed(err, dir, "write the directory to disk");
    return RC_OK;
}

enum rc file_make_dirs(const char *path, mode_t mode, struct error *err)
{
    CLEANUP_FREE char *p = str_dup(path);
    struct stat st;

    for (char *slash = p; *slash && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(p, mode) != 0 && errno != EEXIST)
            return failed(err, p, "create the directory");
        *slash = '/';
    }
    if (mkdir(p, mode) == 0)
        return RC_OK;
    if (errno != EEXIST)
        return failed(err, p, "create the directory");
    if (stat(p, &st) != 0)
        return failed(err, p, "look at the directory");
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return failed(err, p, "create the directory");
    }
    return RC_OK;
}

static enum rc remove_entries(int dir_fd, const char *path, struct error *err);

/* What is no directory is unlinked; a directory is emptied first. */
static enum rc remove_at(int dir_fd, const char *name, const char *path, struct error *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return RC_OK;
    if (errno != EISDIR && errno != EPERM)
        return failed(err, path, "remove the file");
    int why = errno;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0) {
        if (errno == ENOTDIR || errno == ELOOP)
            errno = why; /* no directory after all: it may really not be removed */
        return failed(err, path, "remove the file");
    }
    TRY(remove_entries(fd, path, err));
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return failed(err, path, "remove the directory");
    return RC_OK;
}

/* Takes dir_fd over. */
static enum rc remove_entries(int dir_fd, const char *path, struct error *err)
{
    CLEANUP_DIR DIR *d = fdopendir(dir_fd);
    const struct dirent *e;

    if (!d) {
        close(dir_fd);
        return failed(err, path, "list the directory");
    }
    while ((errno = 0, e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        CLEANUP_FREE char *child = path_join(path, e->d_name);
        TRY(remove_at(dirfd(d), e->d_name, child, err));
    }
    if (errno)
        return failed(err, path, "list the directory");
    return RC_OK;
}

enum rc file_remove_tree(const char *path, struct error *err)
{
    CLEANUP_FREE char *bare = str_dup(path);
    size_t n = strlen(bare);

    while (n > 1 && bare[n - 1] == '/') /* "link/" would be followed */
        bare[--n] = '\0';
    return remove_at(AT_FDCWD, bare, bare, err);
}

enum rc file_dir_is_empty(const char *path, bool *ret, struct error *err)
{
    CLEANUP_DIR DIR *d = opendir(path);
    const struct dirent *e;
    bool empty = true;

    if (!d && errno == ENOENT) {
        error_set(err, RC_NOT_FOUND, "there is no such directory");
        return error_on(err, "%s", path);
    }
    if (!d)
        return failed(err, path, "open the directory");
    while (empty && (errno = 0, e = readdir(d)))
        empty = str_eq(e->d_name, ".") || str_eq(e->d_name, "..");
    if (empty && errno)
        return failed(err, path, "list the directory");
    *ret = empty;
    return RC_OK;
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

enum rc file_space_free(const char *path, uint64_t *ret_bytes, struct error *err)
{
    struct statvfs s;

    if (statvfs(path, &s) != 0)
        return failed(err, path, "see how much space is free");
    *ret_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    return RC_OK;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return str_printf("%s%s%s", dir, n == 0 || dir[n - 1] == '/' ? "" : "/", name);
}

char *path_absolute(const char *path)
{
    CLEANUP_FREE char *cwd = path[0] == '/' ? str_dup("") : getcwd(NULL, 0);
    if (!cwd)
        return str_dup(path); /* our directory is gone; a path from the root would be another one */
    CLEANUP_FREE char *whole = str_printf("%s/%s", cwd, path);
    char *to = mem_alloc(strlen(whole) + 2), *save = NULL;

    strcpy(to, "");
    for (char *part = strtok_r(whole, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (str_eq(part, "."))
            continue;
        if (str_eq(part, "..")) {
            char *slash = strrchr(to, '/');
            if (slash)
                *slash = '\0';
            continue;
        }
        strcat(to, "/");
        strcat(to, part);
    }
    if (!to[0])
        strcpy(to, "/");
    return to;
}

bool path_is_contained(const char *path)
{
    if (!path[0] || path[0] == '/' || strlen(path) >= PATH_MAX)
        return false;
    for (const char *part = path; part;) {
        const char *slash = strchr(part, '/');
        size_t n = slash ? (size_t)(slash - part) : strlen(part);
        if (n == 0 || n > NAME_MAX || (n == 1 && part[0] == '.') ||
            (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part = slash ? slash + 1 : NULL;
    }
    return true;
}
