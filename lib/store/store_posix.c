#include "store/store_posix_int.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define NAMING_ATTEMPTS 100 /* as MAKE_DIR_ATTEMPTS: each needs a removal in between */

/* An object that is being written. */
struct temp {
    int dir_fd;
    int fd;
    bool there; /* under its temporary name */
    struct stat st;
    char name[2 * 16 + 1];
};

static void temp_discard(struct temp *t)
{
    cleanup_fd(&t->fd);
    if (t->there && unlinkat(t->dir_fd, t->name, 0) != 0 && errno != ENOENT)
        log_debug("could not remove the temporary file %s: %s", t->name, strerror(errno));
    cleanup_fd(&t->dir_fd);
}

static enum rc temp_open(const struct posix_store *s, const char *name, struct temp *t,
                         struct error *err)
{
    uint8_t random[16];
    int failed;

    TRY(posix_make_dir(s, STORE_POSIX_TMP, strlen(STORE_POSIX_TMP), &t->dir_fd, err));
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return posix_failed(s, name, errno, "get random bytes for a temporary name", err);
    hex_encode(random, sizeof(random), t->name);
    t->fd = openat(t->dir_fd, t->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return posix_failed(s, name, errno, "make a temporary file for the object", err);
    t->there = true;
    failed = posix_own(s, t->fd, 0600);
    if (failed)
        return posix_failed(s, name, failed, "give the object's file its owner and mode", err);
    return RC_OK;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* From here on the bytes are durable; only the name is missing. */
static enum rc temp_write(const struct posix_store *s, const char *name, const void *data,
                          size_t len, struct temp *t, struct error *err)
{
    int failed = write_all(t->fd, data, len);
    int fd = t->fd;

    if (failed)
        return posix_failed(s, name, failed, "write the object", err);
    if (fsync(fd) != 0)
        return posix_failed(s, name, errno, "make the object durable", err);
    if (fstat(fd, &t->st) != 0)
        return posix_failed(s, name, errno, "look at the object just written", err);
    t->fd = -1;
    if (close(fd) != 0)
        return posix_failed(s, name, errno, "finish writing the object", err);
    return RC_OK;
}

/* The namings: 0 when the object has its name, EEXIST when the name is taken, another errno. */

static int name_by_rename(const struct temp *t, int dir_fd, const char *base)
{
    return renameat2(t->dir_fd, t->name, dir_fd, base, RENAME_NOREPLACE) == 0 ? 0 : errno;
}

static int name_by_link(const struct temp *t, int dir_fd, const char *base)
{
    struct stat st;

    if (linkat(t->dir_fd, t->name, dir_fd, base, 0) != 0) {
        int failed = errno;

        /* A network file system may have done it, lost the answer, and asked again by itself. */
        if (failed != EEXIST || fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            st.st_dev != t->st.st_dev || st.st_ino != t->st.st_ino)
            return failed;
    }
    if (unlinkat(t->dir_fd, t->name, 0) != 0)
        log_debug("could not remove the temporary name %s: %s", t->name, strerror(errno));
    return 0;
}

/* Whoever names objects by this lock never replaces one that another names by it; the lock is gone
 * with the descriptor, also when its holder is killed. */
static int name_by_lock(const struct posix_store *s, const struct temp *t, int dir_fd,
                        const char *base)
{
    CLEANUP_FD int lock_fd =
        openat(s->root_fd, STORE_POSIX_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;
    int failed;

    if (lock_fd < 0)
        return errno;
    failed = posix_own(s, lock_fd, 0600);
    if (failed)
        return failed;
    while (flock(lock_fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return errno;
    if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    if (errno != ENOENT)
        return errno;
    return renameat(t->dir_fd, t->name, dir_fd, base) == 0 ? 0 : errno;
}

/* EPERM: of links, from file systems without them; of renameat2, from containers whose filter is
 * older than the call. Where it means something else the last naming fails with it too. */
static bool naming_unknown(int failed)
{
    return failed == EINVAL || failed == ENOSYS || failed == EOPNOTSUPP || failed == EPERM ||
           failed == EMLINK;
}

static int give_name(struct posix_store *s, const struct temp *t, int dir_fd, const char *base)
{
    for (;;) {
        int failed;

        switch (s->naming) {
        case POSIX_NAMING_RENAME:
            failed = name_by_rename(t, dir_fd, base);
            break;
        case POSIX_NAMING_LINK:
            failed = name_by_link(t, dir_fd, base);
            break;
        default:
            return name_by_lock(s, t, dir_fd, base);
        }
        if (!naming_unknown(failed))
            return failed;
        s->naming++;
    }
}

static enum rc temp_lost(const struct posix_store *s, const char *name, struct error *err)
{
    error_set(err, RC_STORAGE, "the object's temporary file was removed while it was written");
    error_on(err, "%s/%s", s->store.where, name);
    err->transient = true;
    return error_now(err, "look who cleans up in %s/%s, and try again", s->store.where,
                     STORE_POSIX_TMP);
}

/* The name is taken: by an object, which is then made durable, since whoever put it may not have
 * come that far; or by something that has no place here. */
static enum rc name_taken(const struct posix_store *s, const char *name, int dir_fd,
                          const struct stat *st, struct error *err)
{
    if (!S_ISREG(st->st_mode))
        return posix_failed(s, name, S_ISDIR(st->st_mode) ? EISDIR : EEXIST,
                            "put the object: something else has its name", err);
    TRY(posix_sync_dirs(s, name, dir_fd, err));
    error_set(err, RC_EXISTS, "there is an object of this name already");
    return error_on(err, "%s/%s", s->store.where, name);
}

/* RC_OK where nothing has the name; else as name_taken says. */
static enum rc check_free(const struct posix_store *s, const char *name, int dir_fd,
                          struct error *err)
{
    struct stat st;

    if (fstatat(dir_fd, posix_base(name), &st, AT_SYMLINK_NOFOLLOW) == 0)
        return name_taken(s, name, dir_fd, &st, err);
    if (errno != ENOENT)
        return posix_failed(s, name, errno, "look for the object", err);
    return RC_OK;
}

/* Names the object, in a directory that may be removed under us as long as it is empty. */
static enum rc publish(struct posix_store *s, const char *name, struct temp *t, struct error *err)
{
    for (int attempt = 0; attempt < NAMING_ATTEMPTS; attempt++) {
        CLEANUP_FD int dir_fd = -1;
        struct stat st;
        int failed;

        TRY(posix_make_dir(s, name, posix_dir_len(name), &dir_fd, err));
        failed = give_name(s, t, dir_fd, posix_base(name));
        if (failed == 0) {
            t->there = false;
            return posix_sync_dirs(s, name, dir_fd, err);
        }
        if (failed == EEXIST) {
            TRY(check_free(s, name, dir_fd, err));
            continue; /* and removed again since */
        }
        if (failed != ENOENT)
            return posix_failed(s, name, failed, "give the object its name", err);
        if (fstatat(t->dir_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return temp_lost(s, name, err);
    }
    error_set(err, RC_STORAGE,
              "could not give the object its name: its directory is removed again "
              "and again");
    error_on(err, "%s/%s", s->store.where, name);
    return error_now(err, "look who else works on this repository, and try again");
}

/* Spares writing what is there already. The race that this leaves open is decided in publish. */
static enum rc look_first(const struct posix_store *s, const char *name, struct error *err)
{
    CLEANUP_FD int dir_fd = -1;
    enum rc rc = posix_open_dir(s, name, posix_dir_len(name), &dir_fd, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    return check_free(s, name, dir_fd, err);
}

static enum rc posix_put(struct store *store, const char *name, const void *data, size_t len,
                         const struct store_put_how *how, struct error *err)
{
    (void)how; /* a directory has no classes and no locks */
    struct posix_store *s = posix_store_of(store);
    CLEANUP(temp_discard) struct temp t = {.dir_fd = -1, .fd = -1};

    TRY(posix_check_root(s, err));
    TRY(look_first(s, name, err));
    TRY(temp_open(s, name, &t, err));
    TRY(temp_write(s, name, data, len, &t, err));
    return publish(s, name, &t, err);
}

static enum rc not_an_object(const struct posix_store *s, const char *name, struct error *err)
{
    error_set(err, RC_STORAGE, "something that is not a plain file stands in the object's place");
    error_on(err, "%s/%s", s->store.where, name);
    return error_now(err, "find out who put it there; pgproof makes only files and directories");
}

/* Not blocking: in the place of an object there could be a FIFO. */
static enum rc open_object(const struct posix_store *s, const char *name, int *ret_fd,
                           struct stat *ret_st, struct error *err)
{
    CLEANUP_FD int dir_fd = -1;
    CLEANUP_FD int fd = -1;
    struct stat st;

    TRY(posix_open_dir(s, name, posix_dir_len(name), &dir_fd, err));
    fd = openat(dir_fd, posix_base(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return posix_absent(s, name, err);
    if (fd < 0 || fstat(fd, &st) != 0)
        return posix_failed(s, name, errno, "open the object", err);
    if (S_ISDIR(st.st_mode))
        return posix_absent(s, name, err);
    if (!S_ISREG(st.st_mode))
        return not_an_object(s, name, err);
    *ret_st = st;
    *ret_fd = fd;
    fd = -1;
    return RC_OK;
}

static enum rc wrong_length(const struct posix_store *s, const char *name, struct error *err)
{
    error_on(err, "%s/%s", s->store.where, name);
    return error_now(err, "run 'pgproof-verify data' to see which backups need this object");
}

/* Whether what is asked for is there and may be had. */
static enum rc check_length(const struct posix_store *s, const char *name, uint64_t size,
                            uint64_t offset, size_t *len, const struct buf *to, struct error *err)
{
    if (*len == STORE_WHOLE) {
        if (size > STORE_OBJECT_MAX || size > to->max - to->len) {
            error_set(err, RC_INTEGRITY, "the object has %llu bytes where at most %zu can be",
                      (unsigned long long)size, to->max - to->len);
            return wrong_length(s, name, err);
        }
        *len = (size_t)size;
    } else if (*len > size || offset > size - *len) {
        error_set(err, RC_INTEGRITY,
                  "the object has %llu bytes, and %zu from offset %llu were asked for",
                  (unsigned long long)size, *len, (unsigned long long)offset);
        return wrong_length(s, name, err);
    }
    return RC_OK;
}

static enum rc read_range(const struct posix_store *s, const char *name, int fd, uint64_t offset,
                          size_t len, struct buf *to, struct error *err)
{
    size_t done = 0;

    TRY(buf_reserve(to, len, err));
    while (done < len) {
        ssize_t n = pread(fd, to->data + to->len + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return posix_failed(s, name, errno, "read the object", err);
        if (n == 0) {
            error_set(err, RC_INTEGRITY, "the object became shorter while it was read");
            return wrong_length(s, name, err);
        }
        done += (size_t)n;
    }
    to->len += len;
    return RC_OK;
}

static enum rc posix_get(struct store *store, const char *name, uint64_t offset, size_t len,
                         struct buf *to, struct error *err)
{
    struct posix_store *s = posix_store_of(store);
    CLEANUP_FD int fd = -1;
    struct stat st;

    TRY(open_object(s, name, &fd, &st, err));
    TRY(check_length(s, name, (uint64_t)st.st_size, offset, &len, to, err));
    return read_range(s, name, fd, offset, len, to, err);
}

/* By opening it, as a get would: what can't be read is not reported as there. */
static enum rc posix_head(struct store *store, const char *name, struct store_info *ret,
                          struct error *err)
{
    CLEANUP_FD int fd = -1;
    struct stat st;

    TRY(open_object(posix_store_of(store), name, &fd, &st, err));
    posix_info(&st, ret);
    return RC_OK;
}

static enum rc posix_remove(struct store *store, const char *name, struct error *err)
{
    struct posix_store *s = posix_store_of(store);
    CLEANUP_FD int dir_fd = -1;
    struct stat st;

    TRY(posix_check_root(s, err));
    TRY(posix_open_dir(s, name, posix_dir_len(name), &dir_fd, err));
    if (fstatat(dir_fd, posix_base(name), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? posix_absent(s, name, err)
                               : posix_failed(s, name, errno, "look for the object", err);
    if (S_ISDIR(st.st_mode))
        return posix_absent(s, name, err);
    if (!S_ISREG(st.st_mode))
        return not_an_object(s, name, err);
    if (unlinkat(dir_fd, posix_base(name), 0) != 0)
        return errno == ENOENT ? posix_absent(s, name, err)
                               : posix_failed(s, name, errno, "remove the object", err);
    TRY(posix_sync_dirs(s, name, dir_fd, err));
    posix_prune(s, name);
    return RC_OK;
}

static bool sweep_one(int dir_fd, const char *name, moment_us before)
{
    struct store_info info;
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    posix_info(&st, &info);
    return info.modified < before && unlinkat(dir_fd, name, 0) == 0;
}

static enum rc posix_sweep(struct store *store, moment_us before, unsigned *ret_removed,
                           struct error *err)
{
    struct posix_store *s = posix_store_of(store);
    CLEANUP_DIR DIR *dir = NULL;
    CLEANUP_FD int fd = -1;
    const struct dirent *d;
    unsigned removed = 0;
    enum rc rc;

    TRY(posix_check_root(s, err));
    rc = posix_open_dir(s, STORE_POSIX_TMP, strlen(STORE_POSIX_TMP), &fd, err);
    if (rc == RC_NOT_FOUND) {
        *ret_removed = 0;
        return RC_OK;
    }
    TRY(rc);
    dir = fdopendir(fd);
    if (!dir)
        return posix_failed(s, STORE_POSIX_TMP, errno, "open the temporary directory", err);
    fd = -1; /* the DIR's now */
    while ((void)(errno = 0), (d = readdir(dir)))
        removed += sweep_one(dirfd(dir), d->d_name, before);
    if (errno != 0)
        return posix_failed(s, STORE_POSIX_TMP, errno, "list the temporary directory", err);
    *ret_removed = removed;
    return RC_OK;
}

static void posix_close(struct store *store)
{
    struct posix_store *s = posix_store_of(store);

    cleanup_fd(&s->root_fd);
    free(s->store.where);
    free(s);
}

static enum rc posix_dup(struct store *store, struct store **ret, struct error *err);

static const struct store_ops posix_ops = {
    .driver = "posix",
    .put = posix_put,
    .get = posix_get,
    .head = posix_head,
    .list = posix_list,
    .remove = posix_remove,
    .remove_many = store_remove_each,
    .examine = posix_examine,
    .sweep = posix_sweep,
    .dup = posix_dup,
    .close = posix_close,
};

static enum rc posix_dup(struct store *store, struct store **ret, struct error *err)
{
    const struct posix_store *s = posix_store_of(store);
    int fd = fcntl(s->root_fd, F_DUPFD_CLOEXEC, 3);
    struct posix_store *twin;

    if (fd < 0)
        return posix_failed(s, "", errno, "open the repository directory", err);
    twin = mem_alloc(sizeof(*twin));
    *twin = *s;
    twin->store.where = str_dup(s->store.where);
    twin->root_fd = fd;
    *ret = &twin->store;
    return RC_OK;
}

static enum rc sync_parent(const struct posix_store *s, struct error *err)
{
    CLEANUP_FD int fd = openat(s->root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EOPNOTSUPP))
        return posix_failed(s, "", errno, "make the new repository directory durable", err);
    return RC_OK;
}

/* Only the last directory of the path: a parent that is missing is a mount that is missing, or a
 * slip of the pen. */
static enum rc make_root(const char *path, bool *ret_made, struct error *err)
{
    if (mkdir(path, 0700) == 0) {
        *ret_made = true;
        return RC_OK;
    }
    *ret_made = false;
    if (errno == EEXIST)
        return RC_OK;
    error_set_errno(err, RC_STORAGE, errno, "could not make the repository directory");
    error_on(err, "%s", path);
    if (err->sys_errno == ENOENT)
        return error_now(err, "check the path, and that the file system that should hold it is "
                              "mounted; the directory above it must be there");
    return error_now(err, "make it by hand, for the user who will run pgproof, with mode 0700");
}

static enum rc root_failed(const char *path, int sys_errno, struct error *err)
{
    if (sys_errno == ENOENT) {
        error_set(err, RC_STORAGE, "the repository directory does not exist");
        error_on(err, "%s", path);
        return error_now(err, "check that its file system is mounted and that the path is right; "
                              "'pgproof init' makes a new repository");
    }
    error_set_errno(err, RC_STORAGE, sys_errno, "could not open the repository directory");
    error_on(err, "%s", path);
    if (sys_errno == EACCES)
        return error_now(err, "run this as the user who owns the repository");
    return error_now(err, "check the path of the repository");
}

static enum rc open_root(struct posix_store *s, const struct store_options *o, struct error *err)
{
    bool made = false;

    if (o->create)
        TRY(make_root(o->path, &made, err));
    s->root_fd = open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd < 0 || fstat(s->root_fd, &s->root) != 0)
        return root_failed(o->path, errno, err);
    if (!made)
        return RC_OK;
    if (fchmod(s->root_fd, 0700) != 0)
        log_debug("could not set the mode of %s: %s", o->path, strerror(errno));
    return sync_parent(s, err);
}

enum rc store_posix_open(const struct store_options *o, struct store **ret, struct error *err)
{
    struct posix_store *s;
    enum rc rc;

    if (!o->path || o->path[0] != '/') {
        error_set(err, RC_REFUSED, "the path of a repository must begin with '/'");
        return error_on(err, "%s", o->path ? o->path : "");
    }
    s = mem_zalloc(sizeof(*s));
    s->store.ops = &posix_ops;
    s->store.where = str_dup(o->path);
    s->root_fd = -1;
    rc = open_root(s, o, err);
    if (rc != RC_OK) {
        posix_close(&s->store);
        return rc;
    }
    *ret = &s->store;
    return RC_OK;
}

void store_posix_set_naming(struct store *s, enum posix_naming naming)
{
    posix_store_of(s)->naming = naming;
}

enum posix_naming store_posix_naming(const struct store *s)
{
    return ((const struct posix_store *)s)->naming;
}
