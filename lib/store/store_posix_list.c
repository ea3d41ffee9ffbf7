#include "store/examine.h"
#include "store/store_posix_int.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct listing {
    const struct posix_store *store;
    store_list_fn *fn;
    void *ctx;
    char path[STORE_NAME_MAX + NAME_MAX + 2]; /* of the directory, with its '/', then the entry */
};

/* The entries of one directory. A directory's name ends in '/' here: with it, the order of the
 * entries is the order of the objects below them ("a-b" stands before "a/b"). */
struct entries {
    struct arena *arena;
    const char **names;
    size_t count;
    size_t capacity;
};

static void entries_done(struct entries *e)
{
    arena_free(e->arena);
    free((void *)e->names);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What stands in a root besides objects: our own, and what ext4 puts into the root of a mount. */
static bool belongs_in_root(const char *name)
{
    return str_eq(name, STORE_POSIX_TMP) || str_eq(name, STORE_POSIX_LOCK) ||
           str_eq(name, EXAMINE_ROOT) || str_eq(name, "lost+found");
}

static unsigned char entry_type(int dir_fd, const struct dirent *d)
{
    struct stat st;

    if (d->d_type != DT_UNKNOWN)
        return d->d_type;
    if (fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
}

static void add_entry(struct listing *l, size_t path_len, int dir_fd, const struct dirent *d,
                      struct entries *e)
{
    unsigned char type;

    if (path_len == 0 && belongs_in_root(d->d_name))
        return;
    type = entry_type(dir_fd, d);
    if (type == DT_UNKNOWN)
        return; /* gone since */
    strcpy(l->path + path_len, d->d_name);
    if (!store_name_valid(l->path) || (type != DT_DIR && type != DT_REG)) {
        CLEANUP_FREE char *name = str_printable(l->path);

        log_warning("%s: %s is no object of a repository and is left alone", l->store->store.where,
                    name);
        return;
    }
    e->names = mem_grow((void *)e->names, e->count, &e->capacity, sizeof(*e->names));
    e->names[e->count++] = type == DT_DIR ? arena_printf(e->arena, "%s/", d->d_name)
                                          : arena_strdup(e->arena, d->d_name);
}

/* Read all entries that begin with `begin`, sorted. */
static enum rc read_entries(struct listing *l, size_t path_len, int dir_fd, const char *begin,
                            struct entries *e, struct error *err)
{
    CLEANUP_DIR DIR *dir = NULL;
    CLEANUP_FD int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct dirent *d;

    l->path[path_len] = '\0';
    if (fd < 0 && errno == ENOENT)
        return RC_OK; /* removed since it was opened: it was empty */
    if (fd < 0 || !(dir = fdopendir(fd)))
        return posix_failed(l->store, l->path, errno, "open a directory of the repository", err);
    fd = -1; /* the DIR's now */
    while ((void)(errno = 0), (d = readdir(dir)))
        if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, "..") && str_starts(d->d_name, begin))
            add_entry(l, path_len, dir_fd, d, e);
    l->path[path_len] = '\0';
    if (errno != 0)
        return posix_failed(l->store, l->path, errno, "list a directory of the repository", err);
    if (e->count > 1)
        qsort((void *)e->names, e->count, sizeof(*e->names), compare_names);
    return RC_OK;
}

static enum rc list_file(struct listing *l, int dir_fd, const char *base, struct error *err)
{
    struct store_info info;
    struct stat st;

    if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return RC_OK;
        return posix_failed(l->store, l->path, errno, "look at an object", err);
    }
    if (!S_ISREG(st.st_mode))
        return RC_OK;
    posix_info(&st, &info);
    return l->fn(l->ctx, l->path, &info, err);
}

static enum rc list_dir(struct listing *l, size_t path_len, int dir_fd, const char *begin,
                        struct error *err);

static enum rc list_below(struct listing *l, size_t path_len, int dir_fd, const char *base,
                          struct error *err)
{
    CLEANUP_FD int fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0)
        return posix_failed(l->store, l->path, errno, "open a directory of the repository", err);
    return list_dir(l, path_len, fd, "", err);
}

static enum rc list_entries(struct listing *l, size_t path_len, int dir_fd, const struct entries *e,
                            struct error *err)
{
    for (size_t i = 0; i < e->count; i++) {
        size_t len = strlen(e->names[i]);

        memcpy(l->path + path_len, e->names[i], len + 1);
        if (e->names[i][len - 1] == '/')
            TRY(list_below(l, path_len + len, dir_fd, e->names[i], err));
        else
            TRY(list_file(l, dir_fd, e->names[i], err));
    }
    return RC_OK;
}

/* As deep as a name has components; ours have seven. */
static enum rc list_dir(struct listing *l, size_t path_len, int dir_fd, const char *begin,
                        struct error *err)
{
    CLEANUP(entries_done) struct entries e = {.arena = arena_new()};

    TRY(read_entries(l, path_len, dir_fd, begin, &e, err));
    return list_entries(l, path_len, dir_fd, &e, err);
}

enum rc posix_list(struct store *store, const char *prefix, store_list_fn *fn, void *ctx,
                   struct error *err)
{
    struct listing l = {.store = posix_store_of(store), .fn = fn, .ctx = ctx};
    size_t dir_len = posix_dir_len(prefix);
    CLEANUP_FD int dir_fd = -1;
    enum rc rc;

    TRY(posix_check_root(l.store, err));
    memcpy(l.path, prefix, dir_len);
    rc = posix_open_dir(l.store, l.path, dir_len, &dir_fd, err);
    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    if (dir_len > 0)
        l.path[dir_len++] = '/';
    return list_dir(&l, dir_len, dir_fd, posix_base(prefix), err);
}
