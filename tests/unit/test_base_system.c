/* Files and processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    umask(0);
    assert_int_equal(file_replace(path, "one", 3, 0600, &e), RC_OK);
    assert_int_equal(file_replace(path, "second", 6, 0640, &e), RC_OK);
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
    assert_int_equal(file_read(path, &small, &e), RC_NOMEM);
    assert_int_equal(file_read("/nowhere", &small, &e), RC_NOT_FOUND);
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

    (void)state;
    assert_string_equal(p, "/a/c/d");
    assert_string_equal(root, "/");
    assert_true(path_is_contained("base/1/123"));
    assert_true(path_is_contained("..."));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(path_is_contained(bad[i]));
}

static int run_shell(const char *script, struct buf *out, struct buf *errout)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *env[] = {"PGPROOF_UNIT=yes", NULL};
    struct proc_options o = {.argv = argv, .env = env, .cwd = dir};
    struct error e = {0};
    int status = -1;

    assert_int_equal(proc_run(&o, out, errout, &status, &e), RC_OK);
    return status;
}

static void children_report(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT(1000);
    CLEANUP_BUF struct buf errout = BUF_INIT(4);
    const char *s;
    struct error e;

    (void)state;
    assert_int_equal(run_shell("echo $PGPROOF_UNIT; pwd; echo too long >&2; exit 3", &out, &errout),
                     3);
    assert_int_equal(buf_cstr(&out, &s, &e), RC_OK);
    CLEANUP_FREE char *expected = str_printf("yes\n%s\n", dir);
    assert_string_equal(s, expected);
    assert_int_equal(errout.len, 4);
    assert_int_equal(run_shell("kill -9 $$", NULL, NULL), 137);
    /* descriptors of ours do not reach a child: only 0, 1, 2 and the one that lists them */
    buf_clear(&out);
    assert_int_equal(run_shell("ls /proc/self/fd | wc -l", &out, NULL), 0);
    assert_int_equal(atoi((char *)out.data), 4);
}

static void missing_programs_are_named(void **state)
{
    const char *argv[] = {"/nowhere/program", NULL};
    struct proc_options o = {.argv = argv};
    struct error e = {0};
    int status;

    (void)state;
    assert_int_equal(proc_run(&o, NULL, NULL, &status, &e), RC_SYSTEM);
    assert_int_equal(e.sys_errno, ENOENT);
    assert_string_equal(e.on, "/nowhere/program");
}

static void waiting_ends(void **state)
{
    const char *argv[] = {"sleep", "60", NULL};
    struct proc_options o = {.argv = argv, .die_with_parent = true};
    struct error e = {0};
    pid_t pid;
    int status;

    (void)state;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_OK);
    assert_int_equal(proc_wait(pid, 50, &status, &e), RC_BUSY);
    kill(pid, SIGTERM);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK);
    assert_int_equal(status, 128 + SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_whole_or_not),
        cmocka_unit_test(reads_are_bounded),
        cmocka_unit_test(trees_go_without_following_links),
        cmocka_unit_test(paths),
        cmocka_unit_test(children_report),
        cmocka_unit_test(missing_programs_are_named),
        cmocka_unit_test(waiting_ends),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
