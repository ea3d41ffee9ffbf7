/* What only the posix driver has: directories, owners, modes, mounts. */
#include "store/store_int.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOMEBODY 65534

struct fixture {
    char *dir;
    char *root;
    struct store *store;
    struct error err;
};

static enum rc open_at(struct fixture *f, const char *path, bool create, struct store **ret)
{
    struct store_options o = {.type = STORE_POSIX, .path = path, .create = create};

    return store_open(&o, ret, &f->err);
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    f->dir = str_printf("%s/pgproof-posix-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->root = path_join(f->dir, "repo");
    assert_int_equal(open_at(f, f->root, true, &f->store), RC_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    assert_int_equal(file_remove_tree(f->dir, &f->err), RC_OK);
    free(f->root);
    free(f->dir);
    free(f);
    return 0;
}

static enum rc put(struct fixture *f, const char *name)
{
    return store_put(f->store, name, "0123456789", 10, &f->err);
}

static struct stat stat_of(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = path_join(f->root, name);
    struct stat st = {0};

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static bool exists(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = path_join(f->root, name);

    return file_exists(path);
}

static unsigned entries_in(struct fixture *f, const char *name)
{
    CLEANUP_FREE char *path = path_join(f->root, name);
    CLEANUP_DIR DIR *dir = opendir(path);
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count - 2;
}

static void write_file(const char *path, const char *text)
{
    struct error err;

    assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), RC_OK);
}

static enum rc join(void *ctx, const char *name, const struct store_info *info, struct error *err)
{
    struct buf *b = ctx;

    (void)info;
    return buf_printf(b, err, "%s%s", b->len ? " " : "", name);
}

static void assert_list(struct fixture *f, const char *expected)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 16);
    const char *text;

    assert_int_equal(store_list(f->store, "", join, &b, &f->err), RC_OK);
    assert_int_equal(buf_cstr(&b, &text, &f->err), RC_OK);
    assert_string_equal(text, expected);
}

/* Runs body in a process of its own, for what can't be undone; it ends with _exit(0) if all is well
 * and with 77 if this machine can't do it. */
static void in_child(struct fixture *f, void (*body)(struct fixture *f))
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(f);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with status %d (see above)", status);
}

/* In a child cmocka's assertions would go on with the next test. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: not so (%s)\n", __FILE__, __LINE__, #cond, f->err.what);   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void a_missing_root_is_a_storage_error(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *missing = path_join(f->dir, "missing");
    CLEANUP_FREE char *below = path_join(missing, "repo");
    struct store *s = NULL;

    assert_int_equal(open_at(f, missing, false, &s), RC_STORAGE);
    assert_string_equal(f->err.what, "the repository directory does not exist");
    assert_string_equal(f->err.on, missing);
    assert_non_null(strstr(f->err.now, "mounted"));
    assert_non_null(strstr(f->err.now, "pgproof init"));
    assert_int_equal(open_at(f, below, true, &s), RC_STORAGE); /* only the last directory is made */
    assert_false(file_exists(missing));
    assert_int_equal(open_at(f, "relative/path", true, &s), RC_REFUSED);
    assert_null(s);
}

static void a_root_that_is_no_directory_is_a_storage_error(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *file = path_join(f->dir, "file");
    struct store *s = NULL;

    write_file(file, "x");
    assert_int_equal(open_at(f, file, false, &s), RC_STORAGE);
    assert_int_equal(f->err.sys_errno, ENOTDIR);
    assert_int_equal(open_at(f, file, true, &s), RC_STORAGE);
}

static void a_removed_root_is_a_storage_error(void **state)
{
    struct fixture *f = *state;
    struct store_info info;

    assert_int_equal(rmdir(f->root), 0);
    assert_int_equal(store_head(f->store, "x", &info, &f->err), RC_STORAGE);
    assert_int_equal(put(f, "a/x"), RC_STORAGE);
    assert_false(file_exists(f->root));
}

static void a_root_may_be_reached_through_a_link(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *link_path = path_join(f->dir, "link");
    struct store *s = NULL;
    struct store_info info;

    assert_int_equal(symlink("repo", link_path), 0);
    assert_int_equal(open_at(f, link_path, false, &s), RC_OK);
    assert_int_equal(store_head(s, "x", &info, &f->err), RC_NOT_FOUND);
    assert_int_equal(put(f, "x"), RC_OK);
    assert_int_equal(store_head(s, "x", &info, &f->err), RC_OK);
    store_close(s);
}

static void each_naming_leaves_only_the_object(void **state)
{
    struct fixture *f = *state;

    for (enum posix_naming n = POSIX_NAMING_RENAME; n <= POSIX_NAMING_LOCK; n++) {
        CLEANUP_FREE char *name = str_printf("dir/%d", (int)n);

        store_posix_set_naming(f->store, n);
        assert_int_equal(put(f, name), RC_OK);
        assert_int_equal(put(f, name), RC_EXISTS);
        assert_int_equal(store_posix_naming(f->store), n); /* this file system knows them all */
        assert_int_equal(stat_of(f, name).st_nlink, 1);
        assert_int_equal(entries_in(f, STORE_POSIX_TMP), 0);
        assert_int_equal(exists(f, STORE_POSIX_LOCK), n == POSIX_NAMING_LOCK);
    }
    assert_list(f, "dir/0 dir/1 dir/2");
}

/* From now on the kernel answers `failed` to this call, where argument number `flags` isn't 0. */
static void forbid(struct fixture *f, unsigned call, unsigned flags, unsigned failed)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * flags),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | failed),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static void check_naming(struct fixture *f, const char *name, enum posix_naming expected)
{
    CHECK(put(f, name) == RC_OK);
    CHECK(store_posix_naming(f->store) == expected);
    CHECK(put(f, name) == RC_EXISTS);
    CHECK(entries_in(f, STORE_POSIX_TMP) == 0);
}

/* As on a mount that knows first no RENAME_NOREPLACE, then no hard links either. */
static void body_poor_mount(struct fixture *f)
{
    forbid(f, SYS_renameat2, 4, EINVAL);
    check_naming(f, "d/1", POSIX_NAMING_LINK);
    forbid(f, SYS_linkat, 0, EPERM); /* the first argument, a descriptor, is never 0 */
    check_naming(f, "d/2", POSIX_NAMING_LOCK);
}

static void what_a_mount_lacks_is_found_out(void **state)
{
    in_child(*state, body_poor_mount);
    assert_list(*state, "d/1 d/2");
}

/* Stands before libc's for the whole program: notes what is made durable, and may refuse. */
static struct {
    struct buf paths; /* "<path>;" each, below the root */
    const char *root;
    int fail_at; /* which call fails with EIO, from 1; 0: none */
    int calls;
} syncs;

int fsync(int fd)
{
    char link_path[64], path[4096] = "";
    struct error err;

    if (!syncs.root)
        return (int)syscall(SYS_fsync, fd);
    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    assert_true(readlink(link_path, path, sizeof(path) - 1) > 0);
    assert_true(str_starts(path, syncs.root));
    if (strstr(path, "/" STORE_POSIX_TMP "/"))
        strcpy(path + strlen(syncs.root), "/temporary");
    assert_int_equal(buf_printf(&syncs.paths, &err, "%s;", path + strlen(syncs.root)), RC_OK);
    if (++syncs.calls != syncs.fail_at)
        return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

static void note_syncs(struct fixture *f, int fail_at)
{
    syncs.paths = BUF_INIT(1 << 16);
    syncs.root = f->root;
    syncs.fail_at = fail_at;
    syncs.calls = 0;
}

static void assert_syncs(const char *expected)
{
    struct error err;
    const char *text;

    syncs.root = NULL;
    assert_int_equal(buf_cstr(&syncs.paths, &text, &err), RC_OK);
    assert_string_equal(text, expected);
    buf_done(&syncs.paths);
}

static void all_is_durable_before_the_answer(void **state)
{
    struct fixture *f = *state;

    for (enum posix_naming n = POSIX_NAMING_RENAME; n <= POSIX_NAMING_LOCK; n++) {
        store_posix_set_naming(f->store, n);
        note_syncs(f, 0);
        assert_int_equal(put(f, "a/b/x"), RC_OK);
        assert_syncs("/temporary;/a/b;/a;;");
        note_syncs(f, 0); /* whoever put it may have been killed before its own fsync */
        assert_int_equal(put(f, "a/b/x"), RC_EXISTS);
        assert_syncs("/a/b;/a;;");
        note_syncs(f, 0);
        assert_int_equal(store_remove(f->store, "a/b/x", &f->err), RC_OK);
        assert_syncs("/a/b;/a;;");
    }
}

static void what_is_not_durable_is_not_answered_ok(void **state)
{
    struct fixture *f = *state;
    char name[16];

    for (int at = 1; at <= 4; at++) {
        snprintf(name, sizeof(name), "a/b/%d", at);
        note_syncs(f, at);
        assert_int_equal(put(f, name), RC_STORAGE);
        assert_int_equal(f->err.sys_errno, EIO);
        syncs.root = NULL;
        buf_done(&syncs.paths);
        assert_int_equal(entries_in(f, STORE_POSIX_TMP), 0);
        assert_int_equal(exists(f, name), at > 1);
    }
}

static void body_modes(struct fixture *f)
{
    umask(0);
    CHECK(put(f, "open/mask") == RC_OK);
    umask(0777);
    CHECK(put(f, "shut/mask/x") == RC_OK);
    store_posix_set_naming(f->store, POSIX_NAMING_LOCK);
    CHECK(put(f, "lock") == RC_OK);
}

static void modes_are_0600_and_0700_whatever_the_umask(void **state)
{
    struct fixture *f = *state;

    in_child(f, body_modes);
    assert_int_equal(stat_of(f, "open").st_mode & 07777, 0700);
    assert_int_equal(stat_of(f, "open/mask").st_mode & 07777, 0600);
    assert_int_equal(stat_of(f, "shut/mask").st_mode & 07777, 0700);
    assert_int_equal(stat_of(f, "shut/mask/x").st_mode & 07777, 0600);
    assert_int_equal(stat_of(f, STORE_POSIX_TMP).st_mode & 07777, 0700);
    assert_int_equal(stat_of(f, STORE_POSIX_LOCK).st_mode & 07777, 0600);
    assert_int_equal(stat_of(f, ".").st_mode & 07777, 0700);
}

static void become_somebody(struct fixture *f)
{
    CHECK(setgroups(0, NULL) == 0 && setgid(SOMEBODY) == 0 && setuid(SOMEBODY) == 0);
}

static void body_modes_as_somebody(struct fixture *f)
{
    become_somebody(f);
    body_modes(f);
}

static void open_as_owner(struct fixture *f, uid_t owner)
{
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(chown(f->root, owner, owner), 0);
    assert_int_equal(open_at(f, f->root, false, &f->store), RC_OK);
}

static void a_user_gets_the_modes_right_too(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    open_as_owner(f, SOMEBODY);
    in_child(f, body_modes_as_somebody);
    assert_int_equal(stat_of(f, "shut/mask").st_mode & 07777, 0700);
    assert_int_equal(stat_of(f, "shut/mask/x").st_mode & 07777, 0600);
}

static void body_put_as_somebody(struct fixture *f)
{
    become_somebody(f);
    CHECK(put(f, "clusters/main/wal/2") == RC_OK);
    CHECK(store_remove(f->store, "clusters/main/wal/1", &f->err) == RC_OK);
}

static void what_root_makes_belongs_to_the_owner(void **state)
{
    static const char *const made[] = {"clusters", "clusters/main/wal", "clusters/main/wal/1",
                                       STORE_POSIX_TMP, STORE_POSIX_LOCK};
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    open_as_owner(f, SOMEBODY);
    store_posix_set_naming(f->store, POSIX_NAMING_LOCK);
    assert_int_equal(put(f, "clusters/main/wal/1"), RC_OK);
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        assert_int_equal(stat_of(f, made[i]).st_uid, SOMEBODY);
        assert_int_equal(stat_of(f, made[i]).st_gid, SOMEBODY);
    }
    in_child(f, body_put_as_somebody);
    assert_list(f, "clusters/main/wal/2");
}

static void body_denied(struct fixture *f)
{
    struct store_info info;
    struct store *s;

    become_somebody(f);
    CHECK(store_head(f->store, "d/x", &info, &f->err) == RC_STORAGE);
    CHECK(f->err.sys_errno == EACCES);
    CHECK(strstr(f->err.now, "run this as user root") != NULL);
    CHECK(store_head(f->store, "d/none", &info, &f->err) == RC_STORAGE);
    CHECK(put(f, "d/y") == RC_STORAGE);
    CHECK(open_at(f, f->root, false, &s) == RC_STORAGE);
    CHECK(strstr(f->err.now, "run this as the user who owns") != NULL);
}

static void a_denial_is_never_not_found(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(put(f, "d/x"), RC_OK);
    assert_int_equal(chmod(f->dir, 0755), 0);
    in_child(f, body_denied);
}

static void links_inside_are_not_followed(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *outside = path_join(f->dir, "outside");
    CLEANUP_FREE char *secret = path_join(outside, "secret");
    CLEANUP_FREE char *dir_link = path_join(f->root, "linked");
    CLEANUP_FREE char *file_link = path_join(f->root, "file");
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;

    assert_int_equal(mkdir(outside, 0700), 0);
    write_file(secret, "secret");
    assert_int_equal(symlink(outside, dir_link), 0);
    assert_int_equal(symlink(secret, file_link), 0);
    assert_int_equal(store_get(f->store, "linked/secret", &b, &f->err), RC_STORAGE);
    assert_int_equal(f->err.sys_errno, ELOOP);
    assert_int_equal(store_get(f->store, "file", &b, &f->err), RC_STORAGE);
    assert_int_equal(store_head(f->store, "linked/none", &info, &f->err), RC_STORAGE);
    assert_int_equal(put(f, "linked/new"), RC_STORAGE);
    assert_int_equal(put(f, "file"), RC_STORAGE);
    assert_int_equal(store_remove(f->store, "linked/secret", &f->err), RC_STORAGE);
    assert_int_equal(store_remove(f->store, "file", &f->err), RC_STORAGE);
    assert_list(f, "");
    assert_true(file_exists(secret));
    assert_int_equal(b.len, 0);
}

static unsigned warnings;

static void count_warnings(void *ctx, enum log_level level, const char *message)
{
    (void)ctx;
    (void)message;
    warnings += level == LOG_LEVEL_WARNING;
}

static void foreign_files_are_passed_over_with_a_warning(void **state)
{
    static const char *const silent[] = {"lost+found/x", ".tmp/x"};
    static const char *const foreign[] = {".hidden", "with space", "d/.nfs0001", "d/caf\xc3\xa9"};
    struct fixture *f = *state;

    assert_int_equal(put(f, "d/x"), RC_OK);
    CLEANUP_FREE char *lost = path_join(f->root, "lost+found");
    assert_int_equal(mkdir(lost, 0700), 0);
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
        CLEANUP_FREE char *path = path_join(f->root, silent[i]);

        write_file(path, "x");
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        CLEANUP_FREE char *path = path_join(f->root, foreign[i]);

        write_file(path, "x");
    }
    CLEANUP_FREE char *fifo = path_join(f->root, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    warnings = 0;
    log_set_sink(count_warnings, NULL, LOG_LEVEL_WARNING);
    assert_list(f, "d/x");
    log_set_sink(NULL, NULL, LOG_LEVEL_WARNING);
    assert_int_equal(warnings, 5);
}

static void what_is_no_plain_file_is_no_object(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *fifo = path_join(f->root, "fifo");
    CLEANUP_BUF struct buf b = BUF_INIT(100);

    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(store_get(f->store, "fifo", &b, &f->err), RC_STORAGE);
    assert_int_equal(put(f, "fifo"), RC_STORAGE);
    assert_int_equal(put(f, "d/x"), RC_OK);
    assert_int_equal(put(f, "d"), RC_STORAGE);     /* a directory has the name */
    assert_int_equal(put(f, "d/x/y"), RC_STORAGE); /* an object would have to be one */
    assert_list(f, "d/x");
}

static void empty_directories_go_with_the_last_object(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "a/b/c/1"), RC_OK);
    assert_int_equal(put(f, "a/b/2"), RC_OK);
    assert_int_equal(store_remove(f->store, "a/b/c/1", &f->err), RC_OK);
    assert_false(exists(f, "a/b/c"));
    assert_true(exists(f, "a/b/2"));
    assert_int_equal(store_remove(f->store, "a/b/2", &f->err), RC_OK);
    assert_false(exists(f, "a"));
    assert_true(file_exists(f->root));
}

static void a_sweep_takes_only_what_is_old(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *old = path_join(f->root, ".tmp/old");
    CLEANUP_FREE char *young = path_join(f->root, ".tmp/young");
    struct timespec times[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    unsigned removed = 0;

    assert_int_equal(put(f, "x"), RC_OK);
    write_file(old, "half");
    write_file(young, "half");
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    assert_int_equal(store_sweep(f->store, clock_now() - 3600 * 1000000ll, &removed, &f->err),
                     RC_OK);
    assert_int_equal(removed, 1);
    assert_false(file_exists(old));
    assert_true(file_exists(young));
    assert_true(exists(f, "x"));
}

/* A file system of 1 MB in a mount name space of our own. */
static void body_disk_full(struct fixture *f)
{
    static char big[2 << 20];
    struct store *s;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->root, "tmpfs", 0, "size=1m,nr_inodes=12") != 0)
        _exit(77);
    CHECK(open_at(f, f->root, false, &s) == RC_OK);
    CHECK(store_put(s, "a/x", big, 600000, &f->err) == RC_OK);
    CHECK(store_put(s, "b/y", big, 600000, &f->err) == RC_STORAGE);
    CHECK(f->err.sys_errno == ENOSPC && f->err.transient);
    CHECK(strstr(f->err.now, "make room") != NULL);
    CHECK(entries_in(f, STORE_POSIX_TMP) == 0);
    CHECK(store_put(s, "b/y", big, 300000, &f->err) == RC_OK);
    CHECK(store_put(s, "d/e/f/g/h/i/j/k/l", "x", 1, &f->err) == RC_STORAGE); /* no inodes */
    CHECK(f->err.sys_errno == ENOSPC);
    CHECK(entries_in(f, STORE_POSIX_TMP) == 0);
}

static void a_full_disk_leaves_no_half_object(void **state)
{
    in_child(*state, body_disk_full);
}

static void body_mounted_over(struct fixture *f)
{
    struct store_info info;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->root, "tmpfs", 0, "size=1m") != 0)
        _exit(77);
    store_close(f->store);
    CHECK(open_at(f, f->root, false, &f->store) == RC_OK);
    CHECK(put(f, "x") == RC_OK);
    CHECK(store_head(f->store, "y", &info, &f->err) == RC_NOT_FOUND);
    CHECK(umount2(f->root, MNT_DETACH) == 0);
    CHECK(store_head(f->store, "y", &info, &f->err) == RC_STORAGE);
    CHECK(strstr(f->err.now, "mounted") != NULL);
    CHECK(put(f, "y") == RC_STORAGE);
}

static void an_unmounted_root_is_a_storage_error(void **state)
{
    in_child(*state, body_mounted_over);
}

static void body_read_only(struct fixture *f)
{
    CLEANUP_BUF struct buf b = BUF_INIT(100);

    CHECK(put(f, "x") == RC_OK);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(f->root, f->root, NULL, MS_BIND, NULL) != 0 ||
        mount("none", f->root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0)
        _exit(77);
    store_close(f->store);
    CHECK(open_at(f, f->root, false, &f->store) == RC_OK);
    CHECK(put(f, "y") == RC_STORAGE);
    CHECK(f->err.sys_errno == EROFS);
    CHECK(store_get(f->store, "x", &b, &f->err) == RC_OK);
}

static void a_read_only_repository_can_be_read(void **state)
{
    in_child(*state, body_read_only);
}

static unsigned open_descriptors(void)
{
    CLEANUP_DIR DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count;
}

static void descriptors_are_given_back(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;
    unsigned before = open_descriptors(), removed;

    for (enum posix_naming n = POSIX_NAMING_RENAME; n <= POSIX_NAMING_LOCK; n++) {
        struct store *twin = NULL;

        assert_int_equal(store_dup(f->store, &twin, &f->err), RC_OK);
        store_posix_set_naming(twin, n);
        assert_int_equal(store_put(twin, "a/b/x", "1", 1, &f->err), RC_OK);
        assert_int_equal(store_put(twin, "a/b/x", "1", 1, &f->err), RC_EXISTS);
        assert_int_equal(store_put(twin, "a/b/x/y", "1", 1, &f->err), RC_STORAGE);
        assert_int_equal(store_get(twin, "a/b/x", &b, &f->err), RC_OK);
        assert_int_equal(store_get(twin, "a/b", &b, &f->err), RC_NOT_FOUND);
        assert_int_equal(store_head(twin, "a/c/d", &info, &f->err), RC_NOT_FOUND);
        assert_list(f, "a/b/x");
        buf_clear(&b);
        assert_int_equal(store_remove(twin, "a/b/x", &f->err), RC_OK);
        assert_int_equal(store_sweep(twin, INT64_MAX, &removed, &f->err), RC_OK);
        store_close(twin);
    }
    assert_int_equal(open_descriptors(), before);
}

#define POSIX_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POSIX_TEST(a_missing_root_is_a_storage_error),
        POSIX_TEST(a_root_that_is_no_directory_is_a_storage_error),
        POSIX_TEST(a_removed_root_is_a_storage_error),
        POSIX_TEST(a_root_may_be_reached_through_a_link),
        POSIX_TEST(each_naming_leaves_only_the_object),
        POSIX_TEST(what_a_mount_lacks_is_found_out),
        POSIX_TEST(all_is_durable_before_the_answer),
        POSIX_TEST(what_is_not_durable_is_not_answered_ok),
        POSIX_TEST(modes_are_0600_and_0700_whatever_the_umask),
        POSIX_TEST(a_user_gets_the_modes_right_too),
        POSIX_TEST(what_root_makes_belongs_to_the_owner),
        POSIX_TEST(a_denial_is_never_not_found),
        POSIX_TEST(links_inside_are_not_followed),
        POSIX_TEST(foreign_files_are_passed_over_with_a_warning),
        POSIX_TEST(what_is_no_plain_file_is_no_object),
        POSIX_TEST(empty_directories_go_with_the_last_object),
        POSIX_TEST(a_sweep_takes_only_what_is_old),
        POSIX_TEST(a_full_disk_leaves_no_half_object),
        POSIX_TEST(an_unmounted_root_is_a_storage_error),
        POSIX_TEST(a_read_only_repository_can_be_read),
        POSIX_TEST(descriptors_are_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
