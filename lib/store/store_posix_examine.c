/* What a directory and its file system do: for 'pgproof doctor'. */
#include "store/examine.h"
#include "store/store_posix_int.h"

#include "base/cancel.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XFS_MAGIC   0x58465342 /* not in linux/magic.h of older kernels */
#define CIFS_MAGIC  0xff534d42
#define FUSE_MAGIC  0x65735546
#define ZFS_MAGIC   0x2fc12fc1
#define LITTLE_FREE (1ull << 30)

static const struct {
    long magic;
    const char *name;
} file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4"}, {XFS_MAGIC, "xfs"},       {BTRFS_SUPER_MAGIC, "btrfs"},
    {ZFS_MAGIC, "zfs"},         {NFS_SUPER_MAGIC, "nfs"}, {CIFS_MAGIC, "cifs"},
    {FUSE_MAGIC, "fuse"},       {TMPFS_MAGIC, "tmpfs"},   {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
};

static void tell_file_system(struct examination *e, const struct posix_store *s)
{
    struct statfs fs;

    if (fstatfs(s->root_fd, &fs) != 0) {
        examine_tell(e, "file system", STORE_UNKNOWN, "%s", strerror(errno));
        return;
    }
    if (fs.f_type == TMPFS_MAGIC) {
        examine_tell(e, "file system", STORE_WARNING, "tmpfs: it is gone with the power");
        return;
    }
    for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++)
        if (file_systems[i].magic == (long)fs.f_type) {
            examine_tell(e, "file system", STORE_FACT, "%s", file_systems[i].name);
            return;
        }
    examine_tell(e, "file system", STORE_FACT, "type 0x%lx", (unsigned long)fs.f_type);
}

static void tell_owner(struct examination *e, const struct posix_store *s)
{
    unsigned mode = s->root.st_mode & 07777;
    struct passwd entry, *found = NULL;
    char text[1024], number[16];

    snprintf(number, sizeof(number), "%u", (unsigned)s->root.st_uid);
    if (getpwuid_r(s->root.st_uid, &entry, text, sizeof(text), &found) != 0)
        found = NULL;
    examine_tell(e, "directory", mode & 077 ? STORE_WARNING : STORE_HOLDS,
                 "%s, owner %s, mode %04o%s", s->store.where, found ? found->pw_name : number, mode,
                 mode & 077 ? ": others may look into it (chmod 700)" : "");
}

static void tell_space(struct examination *e, const struct posix_store *s)
{
    uint64_t free_bytes;
    struct error err;
    char text[32];

    if (file_space_free(s->store.where, &free_bytes, &err) != RC_OK)
        examine_tell(e, "free space", STORE_UNKNOWN, "%s", err.what);
    else
        examine_tell(e, "free space", free_bytes < LITTLE_FREE ? STORE_WARNING : STORE_FACT, "%s",
                     format_size(free_bytes, text));
}

/* The modification time of a new file against ours: the ages of leases are told by it. */
static void try_clock(struct examination *e)
{
    const char *name = examine_name(e, "clock");
    moment_us before = clock_now(), middle;
    struct store_info info;
    struct error err;

    if (e->s->ops->put(e->s, name, "x", 1, &(struct store_put_how){0}, &err) != RC_OK ||
        e->s->ops->head(e->s, name, &info, &err) != RC_OK) {
        examine_failed(e, "clock", &err);
        return;
    }
    middle = before + (clock_now() - before) / 2;
    examine_clock(e, (double)(info.modified - middle) / 1e6);
}

/* Every put makes its file and its directories durable, and fails where that fails; a directory
 * that knows no fsync is passed over there, and told of here. */
static void try_durability(struct examination *e, const struct posix_store *s)
{
    if (fsync(s->root_fd) == 0)
        examine_promise(e, "durability", STORE_HOLDS, "fsync of files and directories works");
    else if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
        examine_promise(e, "durability", STORE_WARNING,
                        "fsync of files works, of directories is not known here");
    else
        examine_promise(e, "durability", STORE_BROKEN, "fsync of the directory fails: %s",
                        strerror(errno));
}

static void tell_naming(struct examination *e)
{
    static const char *const names[] = {
        [POSIX_NAMING_RENAME] = "renameat2 with RENAME_NOREPLACE",
        [POSIX_NAMING_LINK] = "hard links",
        [POSIX_NAMING_LOCK] =
            "a lock on " STORE_POSIX_LOCK ": only programs that take it too are kept off",
    };
    enum posix_naming naming = store_posix_naming(e->s);

    examine_tell(e, "naming", naming == POSIX_NAMING_LOCK ? STORE_WARNING : STORE_FACT, "by %s",
                 names[naming]);
}

/* The small objects, by the directory that they are in. */
static enum rc count_small(struct examination *e, size_t *ret, struct error *err)
{
    struct posix_store *s = posix_store_of(e->s);
    CLEANUP_DIR DIR *dir = NULL;
    const struct dirent *d;
    int fd;

    TRY(posix_open_dir(s, e->place, strlen(e->place), &fd, err));
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return posix_failed(s, e->place, errno, "list a directory of the repository", err);
    }
    *ret = 0;
    while ((d = readdir(dir)))
        *ret += str_starts(d->d_name, "small");
    return RC_OK;
}

static void try_listing(struct examination *e)
{
    struct error err;
    size_t seen = 0;

    if (e->timed == 0)
        examine_promise(e, "list after write", STORE_UNKNOWN, "nothing could be put");
    else if (count_small(e, &seen, &err) != RC_OK)
        examine_failed(e, "list after write", &err);
    else
        examine_promise(e, "list after write", seen == e->timed ? STORE_HOLDS : STORE_BROKEN,
                        "%zu of %zu objects are listed right after they were put", seen, e->timed);
}

static enum rc examine(struct examination *e, struct posix_store *s, struct error *err)
{
    e->group = "server";
    tell_owner(e, s);
    tell_file_system(e, s);
    tell_space(e, s);
    try_clock(e);
    TRY(cancel_check(err));
    e->group = "promises";
    examine_put_twice(e);
    tell_naming(e);
    examine_at_once(e);
    try_durability(e, s);
    examine_read_back(e);
    try_listing(e);
    examine_range(e);
    examine_absence(e);
    examine_removal(e);
    TRY(cancel_check(err));
    e->group = "speed";
    examine_latency(e);
    examine_throughput(e);
    return cancel_check(err);
}

enum rc posix_examine(struct store *store, store_finding_fn *fn, void *ctx, struct error *err)
{
    struct examination e;
    enum rc rc;

    TRY(examination_begin(&e, store, fn, ctx, err));
    rc = examine(&e, posix_store_of(store), err);
    e.group = "afterwards";
    examination_end(&e);
    /* Only if nobody writes: else the root of a new repository would not be as it was. */
    unlinkat(posix_store_of(store)->root_fd, STORE_POSIX_TMP, AT_REMOVEDIR);
    return rc;
}
