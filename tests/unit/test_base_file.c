/* Files outside the repository: whole, bounded, durable; trees; paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char dir[] = "/tmp/pgproof-unit-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct error e;

    (void)state;
    return file_remove_tree(dir, &e) == RC_OK ? 0 : -1;
}

static void replaced_whole_or_not(void **state)
{
    CLEANUP_FREE char *path = path_join(dir, "file");
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct error e = {0};
    struct stat st;

    (void)state;
    mode_t before = umask(077);
    assert_int_equal(file_replace(path, "one", 3, 0600, &e), RC_OK);
    assert_int_equal(file_replace(path, "second", 6, 0640, &e), RC_OK);
    umask(before);
    assert_int_equal(file_read(path, &b, &e), RC_OK);
    assert_int_equal(b.len, 6);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(file_replace("/nowhere/file", "x", 1, 0600, &e), RC_SYSTEM);
}

static void reads_are_bounded(void **state)
{
    CLEANUP_FREE char *path = path_join(dir, "bounded");
    CLEANUP_BUF struct buf exact = BUF_INIT(6);
    CLEANUP_BUF struct buf small = BUF_INIT(5);
    struct error e = {0};

    (void)state;
    assert_int_equal(file_replace(path, "123456", 6, 0600, &e), RC_OK);
    assert_int_equal(file_read(path, &exact, &e), RC_OK);
    assert_int_equal(e.rc, RC_OK); /* success leaves the error alone */
    assert_int_equal(exact.len, 6);
    assert_int_equal(file_read(path, &small, &e), RC_NOMEM);
    assert_string_equal(e.on, path);
    assert_int_equal(small.len, 0); /* no half a file */
    assert_int_equal(file_read("/nowhere", &small, &e), RC_NOT_FOUND);
    assert_int_equal(file_read(dir, &small, &e), RC_SYSTEM);
    assert_int_equal(file_read("/dev/null", &exact, &e), RC_OK);
    assert_int_equal(exact.len, 6); /* appended */
}

static void trees_go_without_following_links(void **state)
{
    CLEANUP_FREE char *tree = path_join(dir, "tree");
    CLEANUP_FREE char *deep = path_join(dir, "tree/a/b/c");
    CLEANUP_FREE char *keep = path_join(dir, "keep");
    CLEANUP_FREE char *kept = path_join(dir, "keep/file");
    CLEANUP_FREE char *link = path_join(dir, "tree/a/link");
    struct error e = {0};
    bool empty;

    (void)state;
    assert_int_equal(file_make_dirs(deep, 0700, &e), RC_OK);
    assert_int_equal(file_make_dirs(deep, 0700, &e), RC_OK);
    assert_int_equal(file_make_dirs(keep, 0700, &e), RC_OK);
    assert_int_equal(file_replace(kept, "x", 1, 0600, &e), RC_OK);
    assert_int_equal(symlink(keep, link), 0);
    CLEANUP_FREE char *top_link = path_join(dir, "top");
    CLEANUP_FREE char *as_directory = path_join(dir, "top/");
    assert_int_equal(symlink(keep, top_link), 0);
    assert_int_equal(file_remove_tree(as_directory, &e), RC_OK);
    assert_false(file_exists(top_link));
    assert_int_equal(file_remove_tree(tree, &e), RC_OK);
    assert_int_equal(file_remove_tree(tree, &e), RC_OK);
    assert_false(file_exists(tree));
    assert_true(file_exists(kept));
    assert_int_equal(file_dir_is_empty(keep, &empty, &e), RC_OK);
    assert_false(empty);
    assert_int_equal(file_dir_is_empty(tree, &empty, &e), RC_NOT_FOUND);
}

static void paths(void **state)
{
    static const char *const bad[] = {"", "/a", "a//b", "a/", "..", "a/../b", "./a", "a/."};
    CLEANUP_FREE char *p = path_absolute("/a/./b/../c//d/");
    CLEANUP_FREE char *root = path_absolute("/../..");
    CLEANUP_FREE char *relative = path_absolute("x/../y");
    CLEANUP_FREE char *cwd = getcwd(NULL, 0);
    CLEANUP_FREE char *below = path_join(cwd, "y");
    CLEANUP_FREE char *no_dir = path_join("", "y");
    CLEANUP_FREE char *slash = path_join("/", "y");

    (void)state;
    assert_string_equal(p, "/a/c/d");
    assert_string_equal(root, "/");
    assert_string_equal(relative, below);
    assert_string_equal(no_dir, "y"); /* not a path from the root */
    assert_string_equal(slash, "/y");
    assert_true(path_is_contained("base/1/123"));
    assert_true(path_is_contained("..."));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(path_is_contained(bad[i]));
}

static void names_are_bounded(void **state)
{
    char name[NAME_MAX + 2], path[PATH_MAX + 1];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[NAME_MAX + 1] = '\0';
    assert_false(path_is_contained(name));
    assert_true(path_is_contained(name + 1));
    for (size_t i = 0; i < PATH_MAX; i++)
        path[i] = i % 2 ? '/' : 'p';
    path[PATH_MAX - 1] = 'p';
    path[PATH_MAX] = '\0';
    assert_false(path_is_contained(path));
    assert_true(path_is_contained(path + 2));
}

static void a_removed_directory_is_no_root(void **state)
{
    CLEANUP_FREE char *gone = path_join(dir, "gone");
    CLEANUP_FD int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_int_equal(mkdir(gone, 0700), 0);
    assert_int_equal(chdir(gone), 0);
    assert_int_equal(rmdir(gone), 0);
    CLEANUP_FREE char *p = path_absolute("data");
    assert_int_equal(fchdir(home), 0);
    assert_string_equal(p, "data");
}

static void bytes_at_offsets(void **state)
{
    CLEANUP_FREE char *path = path_join(dir, "offsets");
    CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct error e;
    char got[8];
    size_t n = 99;

    (void)state;
    assert_int_equal(file_pwrite_all(fd, "tail", 4, 6, path, &e), RC_OK);
    assert_int_equal(file_write_all(fd, "head", 4, path, &e), RC_OK);
    assert_int_equal(file_pread(fd, got, 8, 0, &n, path, &e), RC_OK);
    assert_int_equal(n, 8);
    assert_memory_equal(got, "head\0\0ta", 8);
    assert_int_equal(file_pread(fd, got, 8, 6, &n, path, &e), RC_OK);
    assert_int_equal(n, 4); /* the end of the file */
    assert_int_equal(file_pread(fd, got, 8, 100, &n, path, &e), RC_OK);
    assert_int_equal(n, 0);
    n = 99;
    assert_int_equal(file_pread(-1, got, 8, 0, &n, path, &e), RC_SYSTEM);
    assert_int_equal(n, 99);
    assert_string_equal(e.on, path);
}

static void a_full_disk_is_told(void **state)
{
    CLEANUP_FD int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct error e;

    (void)state;
    assert_int_equal(file_write_all(full, "x", 1, "/dev/full", &e), RC_SYSTEM);
    assert_int_equal(e.sys_errno, ENOSPC);
    assert_non_null(strstr(e.now, "space"));
}

static void a_failed_replacement_changes_nothing(void **state)
{
    CLEANUP_FREE char *own = path_join(dir, "failed");
    CLEANUP_FREE char *path = path_join(own, "target");
    CLEANUP_FREE char *inside = path_join(path, "inside");
    struct error e;
    bool empty;

    (void)state;
    assert_int_equal(file_make_dirs(path, 0700, &e), RC_OK);
    assert_int_equal(file_replace(inside, "x", 1, 0600, &e), RC_OK);
    assert_int_equal(file_replace(path, "x", 1, 0600, &e), RC_SYSTEM); /* it is a directory */
    assert_true(file_exists(inside));
    assert_int_equal(file_remove_tree(path, &e), RC_OK);
    assert_int_equal(file_dir_is_empty(own, &empty, &e), RC_OK);
    assert_true(empty); /* no temporary file is left */
}

static void directories_are_made_or_refused(void **state)
{
    CLEANUP_FREE char *file = path_join(dir, "plain");
    CLEANUP_FREE char *below = path_join(dir, "plain/below");
    CLEANUP_FREE char *slashes = path_join(dir, "s//t/");
    struct error e;

    (void)state;
    assert_int_equal(file_replace(file, "", 0, 0600, &e), RC_OK);
    assert_int_equal(file_make_dirs(file, 0700, &e), RC_SYSTEM);
    assert_int_equal(e.sys_errno, ENOTDIR);
    assert_int_equal(file_make_dirs(below, 0700, &e), RC_SYSTEM);
    assert_int_equal(file_make_dirs("", 0700, &e), RC_SYSTEM);
    assert_int_equal(file_make_dirs(slashes, 0700, &e), RC_OK);
    assert_true(file_exists(slashes));
    assert_int_equal(file_fsync_dir(slashes, &e), RC_OK);
    assert_int_equal(file_fsync_dir(file, &e), RC_SYSTEM);
}

static void space_is_what_statvfs_gives_users(void **state)
{
    struct statvfs s;
    struct error e;
    uint64_t bytes = 42;

    (void)state;
    assert_int_equal(file_space_free("/nowhere", &bytes, &e), RC_SYSTEM);
    assert_true(bytes == 42);
    assert_int_equal(file_space_free("/proc", &bytes, &e), RC_OK);
    assert_true(bytes == 0);
    assert_int_equal(statvfs(dir, &s), 0);
    assert_int_equal(file_space_free(dir, &bytes, &e), RC_OK);
    assert_true(bytes > 0 && bytes < (uint64_t)s.f_blocks * s.f_frsize);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_whole_or_not),
        cmocka_unit_test(reads_are_bounded),
        cmocka_unit_test(trees_go_without_following_links),
        cmocka_unit_test(paths),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(a_removed_directory_is_no_root),
        cmocka_unit_test(bytes_at_offsets),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_failed_replacement_changes_nothing),
        cmocka_unit_test(directories_are_made_or_refused),
        cmocka_unit_test(space_is_what_statvfs_gives_users),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
