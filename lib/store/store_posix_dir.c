#include "store/store_posix_int.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* A directory may be removed under somebody who is about to put something into it, and is made
 * again. That can't go on for long: a removal needs an object that was there. */
#define MAKE_DIR_ATTEMPTS 100

size_t posix_dir_len(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? (size_t)(slash - name) : 0;
}

const char *posix_base(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

static enum rc who_may(const struct posix_store *s, struct error *err)
{
    char text[1024];
    struct passwd entry, *found = NULL;

    if (geteuid() == s->root.st_uid || geteuid() == 0)
        return error_now(err, "check owner, mode and mount options of the repository's directory; "
                              "all in it must belong to whoever owns the directory itself");
    if (getpwuid_r(s->root.st_uid, &entry, text, sizeof(text), &found) == 0 && found)
        return error_now(err, "run this as user %s, who owns the repository", found->pw_name);
    return error_now(err, "run this as the user with id %u, who owns the repository",
                     (unsigned)s->root.st_uid);
}

static enum rc remedy(const struct posix_store *s, int sys_errno, struct error *err)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
        return who_may(s, err);
    case ENOSPC:
    case EDQUOT:
        return error_now(err, "make room on the file system of the repository, or give it more; "
                              "nothing was left half-written");
    case EROFS:
        return error_now(err, "mount the file system of the repository for writing");
    case EXDEV:
        return error_now(err, "keep the whole repository on one file system: a directory inside it "
                              "can't be a mount of its own");
    case ELOOP:
        return error_now(err, "a repository has no symbolic links inside; put the real directory "
                              "in its place");
    case EMFILE:
    case ENFILE:
        return error_now(err, "raise the limit of open files (ulimit -n) or use fewer workers");
    default:
        return error_now(err, "look into the kernel's log for trouble with the disk or the mount");
    }
}

static bool may_pass(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
    case EINTR:
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ESTALE:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

enum rc posix_failed(const struct posix_store *s, const char *name, int sys_errno, const char *what,
                     struct error *err)
{
    error_set_errno(err, RC_STORAGE, sys_errno, "could not %s", what);
    err->transient = may_pass(sys_errno);
    error_on(err, "%s%s%s", s->store.where, name[0] ? "/" : "", name);
    return remedy(s, sys_errno, err);
}

enum rc posix_check_root(const struct posix_store *s, struct error *err)
{
    struct stat held, there;

    if (fstat(s->root_fd, &held) != 0)
        return posix_failed(s, "", errno, "look at the repository directory", err);
    if (held.st_nlink > 0 && stat(s->store.where, &there) == 0 && there.st_dev == held.st_dev &&
        there.st_ino == held.st_ino)
        return RC_OK;
    error_set(err, RC_STORAGE,
              "the repository directory is gone, or another one stands in its place");
    error_on(err, "%s", s->store.where);
    return error_now(err, "check that the file system that holds it is still mounted");
}

enum rc posix_absent(const struct posix_store *s, const char *name, struct error *err)
{
    TRY(posix_check_root(s, err));
    error_set(err, RC_NOT_FOUND, "there is no such object");
    return error_on(err, "%s/%s", s->store.where, name);
}

/* Mounts without modes (vfat, some network mounts) refuse to change them, and there is nothing that
 * could be done better. */
static int set_mode(int fd, const struct stat *st, mode_t mode)
{
    if ((st->st_mode & 0777) == mode || fchmod(fd, mode) == 0)
        return 0;
    return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
}

/*
 * Root and the user who owns the repository (postgres, as a rule) may both work on it, so what root
 * makes is given to that owner: else the next archived segment would fail on a directory that a
 * backup made by hand left behind.
 */
int posix_own(const struct posix_store *s, int fd, mode_t mode)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errno;
    if (geteuid() == 0 && (st.st_uid != s->root.st_uid || st.st_gid != s->root.st_gid) &&
        fchown(fd, s->root.st_uid, s->root.st_gid) != 0)
        return errno;
    return set_mode(fd, &st, mode);
}

/* The next component of a directory's name: moves *at behind it and its '/'. */
static bool next_component(const char **at, const char *end, char component[static NAME_MAX + 1])
{
    size_t len = 0;

    while (*at + len < end && (*at)[len] != '/')
        len++;
    if (len == 0)
        return false;
    BUG_IF(len > NAME_MAX); /* store_name_valid */
    memcpy(component, *at, len);
    component[len] = '\0';
    *at += *at + len < end ? len + 1 : len;
    return true;
}

/*
 * Open one component. Both an object and a link answer ENOTDIR; behind an object there is proven to
 * be nothing (ENOENT), a link can't be judged (ELOOP).
 */
static int open_component(int parent_fd, const char *component)
{
    int fd = openat(parent_fd, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 || errno != ENOTDIR)
        return fd;
    errno = ENOTDIR;
    if (fstatat(parent_fd, component, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISREG(st.st_mode))
            errno = ENOENT;
        else if (S_ISLNK(st.st_mode))
            errno = ELOOP;
        else
            errno = ENOTDIR;
    }
    return -1;
}

static int dup_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void move_fd(int *to, int from)
{
    cleanup_fd(to);
    *to = from;
}

static int give_fd(int *fd)
{
    int given = *fd;

    *fd = -1;
    return given;
}

enum rc posix_open_dir(const struct posix_store *s, const char *name, size_t len, int *ret_fd,
                       struct error *err)
{
    CLEANUP_FD int fd = dup_fd(s->root_fd);
    char component[NAME_MAX + 1];
    const char *at = name;

    if (fd < 0)
        return posix_failed(s, name, errno, "open the repository directory", err);
    while (next_component(&at, name + len, component)) {
        int below = open_component(fd, component);

        if (below < 0 && errno == ENOENT)
            return posix_absent(s, name, err);
        if (below < 0)
            return posix_failed(s, name, errno, "open a directory of the repository", err);
        move_fd(&fd, below);
    }
    *ret_fd = give_fd(&fd);
    return RC_OK;
}

/* With a strange umask a new directory may not even be open to ourselves. */
static int open_new(const struct posix_store *s, int parent_fd, const char *component)
{
    int fd = open_component(parent_fd, component);
    int failed;

    if (fd < 0 && errno == EACCES && geteuid() != 0 &&
        fchmodat(parent_fd, component, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = open_component(parent_fd, component);
    if (fd < 0)
        return -1;
    failed = posix_own(s, fd, 0700);
    if (failed == 0)
        return fd;
    cleanup_fd(&fd);
    errno = failed;
    return -1;
}

/* Open one component, making it if it is missing. ENOENT: the parent was removed meanwhile, or the
 * new directory was. */
static int make_component(const struct posix_store *s, int parent_fd, const char *component)
{
    int fd = open_component(parent_fd, component);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdirat(parent_fd, component, 0700) == 0)
        return open_new(s, parent_fd, component);
    if (errno != EEXIST)
        return -1;
    return open_component(parent_fd, component);
}

/* One walk down. -1 with errno. */
static int make_walk(const struct posix_store *s, const char *name, size_t len)
{
    CLEANUP_FD int fd = dup_fd(s->root_fd);
    char component[NAME_MAX + 1];
    const char *at = name;

    while (fd >= 0 && next_component(&at, name + len, component))
        move_fd(&fd, make_component(s, fd, component));
    return give_fd(&fd);
}

enum rc posix_make_dir(const struct posix_store *s, const char *name, size_t len, int *ret_fd,
                       struct error *err)
{
    for (int attempt = 0; attempt < MAKE_DIR_ATTEMPTS; attempt++) {
        int fd = make_walk(s, name, len);

        if (fd >= 0) {
            *ret_fd = fd;
            return RC_OK;
        }
        if (errno != ENOENT)
            return posix_failed(s, name, errno, "make a directory of the repository", err);
        TRY(posix_check_root(s, err));
    }
    error_set(err, RC_STORAGE,
              "could not make the object's directory: an object, or somebody who "
              "removes it again and again, is in the way");
    error_on(err, "%s/%s", s->store.where, name);
    return error_now(err, "look who else works on this repository, and try again");
}

/* Some mounts offer no fsync of a directory; their servers make a rename durable by themselves or
 * not at all. */
static int sync_dir(int fd)
{
    if (fsync(fd) == 0 || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
        return 0;
    return errno;
}

enum rc posix_sync_dirs(const struct posix_store *s, const char *name, int dir_fd,
                        struct error *err)
{
    CLEANUP_FD int fd = dup_fd(dir_fd);
    int failed;

    if (fd < 0)
        return posix_failed(s, name, errno, "open the object's directory", err);
    for (const char *slash = name;; slash++) {
        failed = sync_dir(fd);
        if (failed)
            return posix_failed(s, name, failed, "make the object's directory durable", err);
        slash = strchr(slash, '/');
        if (!slash)
            return RC_OK;
        move_fd(&fd, openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd < 0 && errno == ENOENT)
            return RC_OK; /* removed meanwhile, and with it the object */
        if (fd < 0)
            return posix_failed(s, name, errno, "open a directory above the object's", err);
    }
}

void posix_prune(const struct posix_store *s, const char *name)
{
    struct error ignored;

    for (size_t len = posix_dir_len(name); len > 0;) {
        CLEANUP_FD int parent_fd = -1;
        char component[NAME_MAX + 1];
        const char *base;
        size_t parent_len = len;

        while (parent_len > 0 && name[parent_len - 1] != '/')
            parent_len--;
        base = name + parent_len;
        if (parent_len > 0)
            parent_len--;
        if (!next_component(&base, name + len, component) ||
            posix_open_dir(s, name, parent_len, &parent_fd, &ignored) != RC_OK ||
            unlinkat(parent_fd, component, AT_REMOVEDIR) != 0)
            return;
        len = parent_len;
    }
}

void posix_info(const struct stat *st, struct store_info *ret)
{
    *ret = (struct store_info){
        .size_bytes = (uint64_t)st->st_size,
        .modified = (moment_us)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000,
    };
}
