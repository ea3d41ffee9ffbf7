#include "backup/scan.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/control.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 32

/* Directories that a backup keeps empty, wherever they stand. */
static const char *const emptied_directories[] = {
    "pg_dynshmem", "pg_notify",   "pg_replslot", "pg_serial", "pg_snapshots",
    "pg_stat_tmp", "pg_subtrans", "pg_wal",      NULL,
};

/* Files that a restored cluster must not have, by name at any depth. */
static const char *const excluded_files[] = {
    ".DS_Store",
    "backup_label",
    "backup_manifest",
    "current_logfiles.tmp",
    "postgresql.auto.conf.tmp",
    "postmaster.opts",
    "postmaster.pid",
    "tablespace_map",
    NULL,
};

/* Where the server keeps data: a link in there can't be passed over. */
static const char *const data_directories[] = {
    "base",      "global",      "pg_commit_ts", "pg_logical", "pg_multixact",
    "pg_tblspc", "pg_twophase", "pg_xact",      "PG_VERSION", NULL,
};

struct owner_name {
    unsigned id;
    bool is_group;
    const char *name;
};

struct seen_directory {
    dev_t device;
    ino_t inode;
};

struct scan {
    const struct scan_options *options;
    struct manifest *manifest;
    struct scan_result result;
    size_t tablespace_capacity;
    struct owner_name *owners;
    size_t owner_count, owner_capacity;
    struct seen_directory *locations; /* of tablespaces, which may lie in the data directory */
    size_t location_count, location_capacity;
};

/* The names in one directory. */
struct names {
    struct arena *arena;
    const char **items;
    size_t count, capacity;
    uint64_t *unlogged; /* relfilenodes that have an init fork, ascending */
    size_t unlogged_count, unlogged_capacity;
};

static void names_done(struct names *n)
{
    arena_free(n->arena);
    free(n->items);
    free(n->unlogged);
}

static void scan_done(struct scan *s)
{
    free(s->owners);
    free(s->locations);
}

static enum rc fail_errno(int sys_errno, const char *verb, const char *path, struct error *err)
{
    error_set_errno(err, RC_SYSTEM, sys_errno, "could not %s", verb);
    error_on(err, "%s in the data directory", path[0] ? path : ".");
    return error_now(err, "run pgproof-backup as the user that owns the data directory; a backup "
                          "without this file would not be whole");
}

static bool in_list(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (str_eq(*list, name))
            return true;
    return false;
}

/* Reads digits; NULL where there are none or they don't fit an OID. */
static const char *skip_number(const char *p, uint64_t *ret)
{
    if (!isdigit((unsigned char)*p))
        return NULL;
    uint64_t n = 0;
    for (; isdigit((unsigned char)*p); p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > UINT32_MAX)
            return NULL;
    }
    *ret = n;
    return p;
}

/* [_fork][.segment] up to the end of the name. */
static bool relation_tail(const char *p, bool *ret_init)
{
    static const char *const forks[] = {"_fsm", "_vm", "_init", NULL};
    *ret_init = false;
    for (int i = 0; forks[i]; i++) {
        if (str_starts(p, forks[i])) {
            *ret_init = i == 2;
            p += strlen(forks[i]);
            break;
        }
    }
    uint64_t segment;
    if (*p == '.' && !(p = skip_number(p + 1, &segment)))
        return false;
    return *p == '\0';
}

bool scan_relation_name(const char *name, uint64_t *ret_relfilenode, bool *ret_init)
{
    uint64_t number;
    bool init;
    const char *p = skip_number(name, &number);
    if (!p || !relation_tail(p, &init))
        return false;
    *ret_relfilenode = number;
    *ret_init = init;
    return true;
}

bool scan_temp_relation_name(const char *name)
{
    uint64_t number;
    bool init;
    if (name[0] != 't')
        return false;
    const char *p = skip_number(name + 1, &number);
    if (!p || *p != '_')
        return false;
    p = skip_number(p + 1, &number);
    return p && relation_tail(p, &init);
}

void tablespace_version_dir(const struct scan_options *o, char to[static TABLESPACE_DIR_MAX])
{
    snprintf(to, TABLESPACE_DIR_MAX, "PG_%u_%u", o->pg_major, o->catalog_version);
}

static bool is_oid(const char *name)
{
    uint64_t n;
    const char *end = skip_number(name, &n);
    return end && *end == '\0';
}

/* Owner names are looked up once each. */
static const char *owner_name(struct scan *s, unsigned id, bool is_group)
{
    for (size_t i = 0; i < s->owner_count; i++)
        if (s->owners[i].id == id && s->owners[i].is_group == is_group)
            return s->owners[i].name;

    char storage[4096];
    const char *name = NULL;
    if (is_group) {
        struct group g, *found = NULL;
        if (getgrgid_r(id, &g, storage, sizeof storage, &found) == 0 && found)
            name = arena_strdup(s->manifest->arena, found->gr_name);
    } else {
        struct passwd p, *found = NULL;
        if (getpwuid_r(id, &p, storage, sizeof storage, &found) == 0 && found)
            name = arena_strdup(s->manifest->arena, found->pw_name);
    }
    if (!name)
        name = arena_printf(s->manifest->arena, "%u", id);
    s->owners = mem_grow(s->owners, s->owner_count, &s->owner_capacity, sizeof(struct owner_name));
    s->owners[s->owner_count++] = (struct owner_name){id, is_group, name};
    return name;
}

static int64_t timespec_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static struct manifest_file *add_entry(struct scan *s, const char *path, enum file_kind kind,
                                       const struct stat *st)
{
    struct manifest_file *f = manifest_add(s->manifest, path);
    f->kind = kind;
    f->mtime_ns = timespec_ns(&st->st_mtim);
    f->ctime_ns = timespec_ns(&st->st_ctim);
    f->inode = st->st_ino;
    f->device = st->st_dev;
    f->mode = st->st_mode & 07777;
    f->owner = owner_name(s, st->st_uid, false);
    f->group = owner_name(s, st->st_gid, true);
    if (kind == FILE_REGULAR) {
        f->size_bytes = (uint64_t)st->st_size;
        s->result.file_count++;
        s->result.size_bytes += f->size_bytes;
    }
    return f;
}

static enum rc join(const char *dir, const char *name, char **ret, struct error *err)
{
    char *path = dir[0] ? str_printf("%s/%s", dir, name) : str_dup(name);
    if (!path_is_contained(path)) {
        free(path);
        error_set(err, RC_REFUSED, "a path in the data directory is longer than %d bytes",
                  PATH_MAX);
        error_on(err, "%s", dir);
        return error_now(err, "move what does not belong to the cluster out of its directory");
    }
    *ret = path;
    return RC_OK;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void names_add(struct names *n, const char *name, bool is_database)
{
    n->items = mem_grow(n->items, n->count, &n->capacity, sizeof *n->items);
    n->items[n->count++] = arena_strdup(n->arena, name);
    uint64_t number;
    bool init;
    if (is_database && scan_relation_name(name, &number, &init) && init) {
        n->unlogged =
            mem_grow(n->unlogged, n->unlogged_count, &n->unlogged_capacity, sizeof *n->unlogged);
        n->unlogged[n->unlogged_count++] = number;
    }
}

/* All names of a directory, whose descriptor stays open. */
static enum rc list_names(int fd, const char *path, bool is_database, struct names *to,
                          struct error *err)
{
    CLEANUP_FD int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return fail_errno(errno, "read the directory", path, err);
    CLEANUP_DIR DIR *dir = fdopendir(copy);
    if (!dir)
        return fail_errno(errno, "read the directory", path, err);
    copy = -1;
    to->arena = arena_new();
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e)
            break;
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            names_add(to, e->d_name, is_database);
    }
    if (errno != 0)
        return fail_errno(errno, "read the directory", path, err);
    if (to->unlogged_count > 1)
        qsort(to->unlogged, to->unlogged_count, sizeof *to->unlogged, compare_u64);
    return RC_OK;
}

static bool is_unlogged(const struct names *n, const char *name)
{
    uint64_t number;
    bool init;
    if (n->unlogged_count == 0 || !scan_relation_name(name, &number, &init) || init)
        return false;
    return bsearch(&number, n->unlogged, n->unlogged_count, sizeof number, compare_u64) != NULL;
}

static bool is_excluded(const char *name, bool is_database, const struct names *siblings)
{
    if (in_list(excluded_files, name) || str_starts(name, "pgsql_tmp") ||
        str_starts(name, "pg_internal.init"))
        return true;
    return is_database && (scan_temp_relation_name(name) || is_unlogged(siblings, name));
}

static enum rc refuse_link(const char *path, struct error *err)
{
    char first[32];
    size_t len = strcspn(path, "/");
    if (len < sizeof first) {
        memcpy(first, path, len);
        first[len] = '\0';
        if (in_list(data_directories, first)) {
            error_set(err, RC_REFUSED, "a symbolic link stands where the server keeps its data");
            error_on(err, "%s in the data directory", path);
            return error_now(err, "move the data back into the data directory, or put it into a "
                                  "tablespace, whose link is followed");
        }
    }
    CLEANUP_FREE char *shown = str_printable(path);
    log_warning("%s is a symbolic link: it is not backed up, nor what it points to", shown);
    return RC_OK;
}

/* A directory whose contents stay out. It may be a link, so its own inode says nothing. */
static enum rc add_emptied(struct scan *s, int fd, const char *path, const struct stat *st,
                           struct error *err)
{
    struct stat target;
    if (S_ISLNK(st->st_mode)) {
        if (fstatat(fd, path, &target, 0) != 0)
            return fail_errno(errno, "follow the link", path, err);
        st = &target;
    }
    add_entry(s, path, FILE_DIRECTORY, st);
    if (!str_eq(path, "pg_wal"))
        return RC_OK;
    add_entry(s, "pg_wal/archive_status", FILE_DIRECTORY, st);
    if (s->options->pg_major >= 17)
        add_entry(s, "pg_wal/summaries", FILE_DIRECTORY, st);
    return RC_OK;
}

static bool is_tablespace_location(const struct scan *s, const struct stat *st)
{
    for (size_t i = 0; i < s->location_count; i++)
        if (s->locations[i].device == st->st_dev && s->locations[i].inode == st->st_ino)
            return true;
    return false;
}

/* What a directory means for the names in it. */
enum place { PLACE_ROOT, PLACE_DATABASES, PLACE_DATABASE, PLACE_OTHER };

static enum rc walk(struct scan *s, int fd, const char *path, enum place place, unsigned depth,
                    struct error *err);

static enum place place_below(enum place place, const char *name)
{
    if (place == PLACE_ROOT && str_eq(name, "base"))
        return PLACE_DATABASES;
    if (place == PLACE_DATABASES && is_oid(name))
        return PLACE_DATABASE;
    return PLACE_OTHER;
}

static enum rc visit_directory(struct scan *s, int parent, const char *name, const char *path,
                               const struct stat *st, enum place place, unsigned depth,
                               struct error *err)
{
    CLEANUP_FD int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return RC_OK;
    if (fd < 0)
        return fail_errno(errno, "open the directory", path, err);
    add_entry(s, path, FILE_DIRECTORY, st);
    if (is_tablespace_location(s, st))
        return RC_OK; /* its files are listed below pg_tblspc */
    return walk(s, fd, path, place_below(place, name), depth + 1, err);
}

static enum rc visit(struct scan *s, int fd, const char *dir, const char *name, enum place place,
                     const struct names *siblings, unsigned depth, struct error *err)
{
    if (is_excluded(name, place == PLACE_DATABASE, siblings))
        return RC_OK;
    CLEANUP_FREE char *path = NULL;
    TRY(join(dir, name, &path, err));
    if (str_eq(path, CONTROL_PATH) || str_eq(path, "pg_tblspc"))
        return RC_OK; /* the one is copied last, the other was listed first */
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? RC_OK : fail_errno(errno, "look at the file", path, err);

    if (place == PLACE_ROOT && in_list(emptied_directories, name) && !S_ISREG(st.st_mode))
        return add_emptied(s, fd, path, &st, err);
    if (S_ISDIR(st.st_mode))
        return visit_directory(s, fd, name, path, &st, place, depth, err);
    if (S_ISLNK(st.st_mode))
        return refuse_link(path, err);
    if (S_ISREG(st.st_mode))
        add_entry(s, path, FILE_REGULAR, &st);
    else
        log_debug("%s is neither file nor directory: left out", path);
    return RC_OK;
}

static enum rc walk(struct scan *s, int fd, const char *path, enum place place, unsigned depth,
                    struct error *err)
{
    if (depth > DEPTH_MAX) {
        error_set(err, RC_REFUSED, "directories are nested more than %d deep", DEPTH_MAX);
        error_on(err, "%s", path);
        return error_now(err, "move what does not belong to the cluster out of its directory");
    }
    CLEANUP(names_done) struct names names = {0};
    TRY(list_names(fd, path, place == PLACE_DATABASE, &names, err));
    for (size_t i = 0; i < names.count; i++)
        TRY(visit(s, fd, path, names.items[i], place, &names, depth, err));
    return RC_OK;
}

static void add_tablespace(struct scan *s, const char *oid, const char *location)
{
    struct scan_result *r = &s->result;
    if (r->tablespace_count == s->tablespace_capacity) {
        size_t capacity = s->tablespace_capacity ? s->tablespace_capacity * 2 : 8;
        struct scan_tablespace *bigger = arena_alloc(s->manifest->arena, capacity * sizeof *bigger);
        if (r->tablespace_count > 0)
            memcpy(bigger, r->tablespaces, r->tablespace_count * sizeof *bigger);
        r->tablespaces = bigger;
        s->tablespace_capacity = capacity;
    }
    r->tablespaces[r->tablespace_count++] = (struct scan_tablespace){
        .oid = (uint32_t)strtoul(oid, NULL, 10),
        .location = arena_strdup(s->manifest->arena, location),
    };
}

/* The files of one tablespace: only the directory of this server version. */
static enum rc walk_tablespace(struct scan *s, int fd, const char *path, struct error *err)
{
    char version_dir[TABLESPACE_DIR_MAX];
    tablespace_version_dir(s->options, version_dir);
    CLEANUP_FREE char *below = NULL;
    TRY(join(path, version_dir, &below, err));
    struct stat st;
    CLEANUP_FD int dir = openat(fd, version_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) != 0)
        return fail_errno(errno, "open the tablespace's directory", below, err);
    add_entry(s, below, FILE_DIRECTORY, &st);
    return walk(s, dir, below, PLACE_DATABASES, 3, err);
}

static enum rc visit_tablespace_link(struct scan *s, int fd, const char *oid, const char *path,
                                     const struct stat *st, struct error *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(fd, oid, target, sizeof target - 1);
    if (len < 0)
        return errno == ENOENT ? RC_OK : fail_errno(errno, "read the link", path, err);
    target[len] = '\0';
    struct stat location;
    CLEANUP_FD int dir = openat(fd, oid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &location) != 0) {
        int cause = errno;
        if (fstatat(fd, oid, &location, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
            return RC_OK; /* dropped meanwhile */
        fail_errno(cause, "open the tablespace", path, err);
        return error_prefix(err, "it points to \"%s\"", target);
    }
    struct manifest_file *f = add_entry(s, path, FILE_TABLESPACE_LINK, st);
    f->link_target = arena_strdup(s->manifest->arena, target);
    add_tablespace(s, oid, target);
    s->locations = mem_grow(s->locations, s->location_count, &s->location_capacity,
                            sizeof(struct seen_directory));
    s->locations[s->location_count++] = (struct seen_directory){location.st_dev, location.st_ino};
    return walk_tablespace(s, dir, path, err);
}

static enum rc visit_tablespace(struct scan *s, int fd, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    TRY(join("pg_tblspc", name, &path, err));
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? RC_OK : fail_errno(errno, "look at the file", path, err);
    if (S_ISLNK(st.st_mode) && is_oid(name))
        return visit_tablespace_link(s, fd, name, path, &st, err);
    if (!S_ISDIR(st.st_mode) || !is_oid(name)) {
        struct names none = {0};
        return visit(s, fd, "pg_tblspc", name, PLACE_OTHER, &none, 1, err);
    }
    CLEANUP_FD int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? RC_OK : fail_errno(errno, "open the directory", path, err);
    add_entry(s, path, FILE_DIRECTORY, &st);
    add_tablespace(s, name, "");
    return walk_tablespace(s, dir, path, err);
}

static enum rc walk_tablespaces(struct scan *s, int root, struct error *err)
{
    struct stat st;
    CLEANUP_FD int fd = openat(root, "pg_tblspc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_errno(errno, "open the directory", "pg_tblspc", err);
    add_entry(s, "pg_tblspc", FILE_DIRECTORY, &st);
    CLEANUP(names_done) struct names names = {0};
    TRY(list_names(fd, "pg_tblspc", false, &names, err));
    for (size_t i = 0; i < names.count; i++)
        TRY(visit_tablespace(s, fd, names.items[i], err));
    return RC_OK;
}

static enum rc open_root(const char *data_directory, int *ret, struct stat *ret_st,
                         struct error *err)
{
    CLEANUP_FD int fd = open(data_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_st) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not open the data directory");
        error_on(err, "%s", data_directory);
        return error_now(err, "run pgproof-backup as the user that owns it");
    }
    *ret = fd;
    fd = -1;
    return RC_OK;
}

enum rc scan_data_directory(const struct scan_options *o, struct manifest *m,
                            struct scan_result *ret, struct error *err)
{
    CLEANUP(scan_done) struct scan s = {.options = o, .manifest = m};
    CLEANUP_FD int root = -1;
    struct stat st;
    TRY(open_root(o->data_directory, &root, &st, err));
    str_copy(s.result.owner, sizeof s.result.owner, owner_name(&s, st.st_uid, false));
    str_copy(s.result.group, sizeof s.result.group, owner_name(&s, st.st_gid, true));
    s.result.file_mode = st.st_mode & S_IRGRP ? 0640 : 0600;
    /* Tablespaces first: one may lie in the data directory and must not be listed twice. */
    TRY(walk_tablespaces(&s, root, err));
    TRY(walk(&s, root, "", PLACE_ROOT, 0, err));
    *ret = s.result;
    return RC_OK;
}

enum rc scan_check_tablespaces(const struct scan_options *o, const struct scan_result *scanned,
                               struct error *err)
{
    CLEANUP_FD int root = -1;
    struct stat st;
    TRY(open_root(o->data_directory, &root, &st, err));
    char version_dir[TABLESPACE_DIR_MAX];
    tablespace_version_dir(o, version_dir);
    for (size_t i = 0; i < scanned->tablespace_count; i++) {
        CLEANUP_FREE char *link = str_printf("pg_tblspc/%u", scanned->tablespaces[i].oid);
        CLEANUP_FREE char *dir = str_printf("%s/%s", link, version_dir);
        if (fstatat(root, link, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
            continue; /* dropped meanwhile */
        if (fstatat(root, dir, &st, 0) == 0 && S_ISDIR(st.st_mode))
            continue;
        error_set(err, RC_SYSTEM, "a tablespace went away while it was copied");
        error_on(err, "%s, at \"%s\"", dir, scanned->tablespaces[i].location);
        return error_now(err, "see that its file system is mounted, then run the backup again");
    }
    return RC_OK;
}
