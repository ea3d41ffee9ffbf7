/* Child processes: what they inherit, what they report, how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
    CLEANUP_FD int leaky = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as libraries may */
    assert_true(leaky >= 3);
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
    o.argv = (const char *[]){"true", NULL};
    o.cwd = "/nowhere";
    assert_int_equal(proc_run(&o, NULL, NULL, &status, &e), RC_SYSTEM);
    assert_non_null(strstr(e.what, "directory"));
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
    cancel_request(SIGINT);
    status = 42;
    assert_int_equal(proc_wait(pid, -1, &status, &e), RC_CANCELLED);
    assert_int_equal(status, 42);
    cancel_request(0);
    kill(pid, SIGTERM);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK);
    assert_int_equal(status, 128 + SIGTERM);
    assert_int_equal(proc_wait(pid, 0, &status, &e), RC_SYSTEM); /* no such child any more */
}

/* Both pipes at once: neither may fill up while we read the other. */
static void much_output_on_both(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT(1 << 20);
    CLEANUP_BUF struct buf errout = BUF_INIT(1 << 20);

    (void)state;
    assert_int_equal(run_shell("head -c 300000 /dev/zero >&2; head -c 500000 /dev/zero;"
                               "head -c 300000 /dev/zero >&2",
                               &out, &errout),
                     0);
    assert_int_equal(out.len, 500000);
    assert_int_equal(errout.len, 600000);
}

static void handled(int n)
{
    (void)n;
}

static void children_start_with_clean_signals(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT(1000);
    struct sigaction ours = {.sa_handler = handled}, ignore = {.sa_handler = SIG_IGN}, old[2];
    sigset_t all, before;
    /* 32 and 33: whoever started us may have them ignored, and the C library does not let go */
    const unsigned long long libc_own = 3ULL << 31;
    unsigned long long blocked = 1, ignored = 1;
    struct error e = {0};
    const char *text = "";

    (void)state;
    sigaction(SIGUSR1, &ours, &old[0]);
    sigaction(SIGPIPE, &ignore, &old[1]);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int status = run_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status", &out, NULL);
    sigset_t after;
    sigprocmask(SIG_SETMASK, &before, &after);
    sigaction(SIGUSR1, &old[0], NULL);
    sigaction(SIGPIPE, &old[1], NULL);
    assert_int_equal(status, 0);
    assert_int_equal(buf_cstr(&out, &text, &e), RC_OK);
    assert_int_equal(sscanf(text, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked & ~libc_own, 0);
    assert_int_equal(ignored & ~libc_own, 0);
    assert_int_equal(sigismember(&after, SIGTERM), 1); /* our own mask is as it was */
}

static void output_is_appended_to_a_file(void **state)
{
    CLEANUP_FREE char *path = path_join(dir, "output");
    CLEANUP_BUF struct buf b = BUF_INIT(1000);
    const char *argv[] = {"sh", "-c", "echo out; echo err >&2; cat", NULL};
    struct proc_options o = {.argv = argv, .output_path = path};
    struct error e;
    pid_t pid;
    int status;

    (void)state;
    assert_int_equal(file_replace(path, "before\n", 7, 0600, &e), RC_OK);
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_OK);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK); /* its stdin is at its end */
    assert_int_equal(status, 0);
    assert_int_equal(file_read(path, &b, &e), RC_OK);
    assert_int_equal(b.len, 15);
    assert_memory_equal(b.data, "before\nout\nerr\n", 15);
    o.output_path = "/nowhere/output";
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_SYSTEM);
    assert_string_equal(e.on, "/nowhere/output");
}

static void a_session_of_its_own(void **state)
{
    const char *argv[] = {"sleep", "60", NULL};
    struct proc_options o = {.argv = argv, .new_session = true};
    struct error e;
    pid_t pid;
    int status;

    (void)state;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_OK);
    assert_int_equal(getsid(pid), pid);
    kill(pid, SIGKILL);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK);
    assert_int_equal(status, 128 + SIGKILL);
    o.new_session = false;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_OK);
    assert_int_equal(getsid(pid), getsid(0));
    kill(pid, SIGKILL);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK);
}

static void a_cancelled_run_stops_its_child(void **state)
{
    const char *argv[] = {"sleep", "60", NULL};
    struct proc_options o = {.argv = argv};
    struct error e;
    int status = 42;
    double from = clock_monotonic();

    (void)state;
    cancel_request(SIGTERM);
    assert_int_equal(proc_run(&o, NULL, NULL, &status, &e), RC_CANCELLED);
    cancel_request(0);
    assert_int_equal(status, 42);
    assert_true(clock_monotonic() - from < 30);
}

/* What a program leaves running keeps our pipe open; the run ends all the same. */
static void daemons_do_not_hold_us_up(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT(1000);
    double from = clock_monotonic();

    (void)state;
    assert_int_equal(run_shell("sleep 60 & echo $!", &out, NULL), 0);
    assert_true(clock_monotonic() - from < 30);
    assert_int_equal(buf_append(&out, "", 1, &(struct error){0}), RC_OK);
    assert_true(atoi((char *)out.data) > 1);
    kill(atoi((char *)out.data), SIGTERM);
}

/* A zombie, which nobody may have collected yet, has ended. */
static bool running(pid_t pid)
{
    CLEANUP_FREE char *path = str_printf("/proc/%d/stat", (int)pid);
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    struct error e;
    const char *s;

    if (file_read(path, &b, &e) != RC_OK || buf_cstr(&b, &s, &e) != RC_OK)
        return false;
    return !strstr(s, ") Z") && !strstr(s, ") X");
}

/* A process between us and the child is killed; the child must follow. */
static void children_die_with_their_parent(void **state)
{
    const char *argv[] = {"sleep", "60", NULL};
    struct proc_options o = {.argv = argv, .die_with_parent = true, .uid = 65534, .gid = 65534};
    struct error e;
    int fds[2], status;
    pid_t child = 0;
    char end;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t middle = fork();
    assert_true(middle >= 0);
    if (middle == 0) {
        if (proc_spawn(&o, &child, &e) != RC_OK || write(fds[1], &child, sizeof(child)) < 0)
            _exit(1);
        pause();
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &child, sizeof(child)), sizeof(child));
    kill(middle, SIGKILL);
    assert_int_equal(waitpid(middle, &status, 0), middle);
    assert_int_equal(read(fds[0], &end, 1), 0);
    close(fds[0]);
    for (int i = 0; i < 500 && running(child); i++)
        clock_sleep_ms(10);
    assert_false(running(child));
}

static void children_become_another_user(void **state)
{
    const struct passwd *somebody = getpwnam("postgres");

    (void)state;
    if (geteuid() != 0 || !somebody)
        skip(); /* leaves at once: nothing may be held here */
    CLEANUP_BUF struct buf out = BUF_INIT(1000);
    CLEANUP_FREE char *own = path_join(dir, "its.log");
    CLEANUP_FREE char *link = path_join(dir, "link.log");
    CLEANUP_FREE char *twin = path_join(dir, "twin.log");
    const char *argv[] = {"sh", "-c", "id -u; id -g; id -G", NULL};
    struct error e;
    struct stat st;
    int status;
    pid_t pid;

    struct proc_options o = {.argv = argv, .uid = somebody->pw_uid, .gid = somebody->pw_gid};
    assert_int_equal(proc_run(&o, &out, NULL, &status, &e), RC_OK);
    CLEANUP_BUF struct buf wanted = BUF_INIT(1000);
    assert_int_equal(run_shell("id -u postgres; id -g postgres; id -G postgres", &wanted, NULL), 0);
    assert_int_equal(out.len, wanted.len);
    assert_memory_equal(out.data, wanted.data, out.len);

    o.output_path = own;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_OK);
    assert_int_equal(proc_wait(pid, 5000, &status, &e), RC_OK);
    assert_int_equal(stat(own, &st), 0);
    assert_int_equal(st.st_uid, somebody->pw_uid);

    /* a link of theirs must not give them a file of ours */
    CLEANUP_FREE char *ours = path_join(dir, "ours");
    assert_int_equal(file_replace(ours, "x", 1, 0600, &e), RC_OK);
    assert_int_equal(symlink(ours, link), 0);
    o.output_path = link;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_SYSTEM);
    assert_int_equal(e.sys_errno, ELOOP);
    assert_int_equal(linkat(AT_FDCWD, ours, AT_FDCWD, twin, 0), 0);
    o.output_path = twin;
    assert_int_equal(proc_spawn(&o, &pid, &e), RC_REFUSED);
    assert_int_equal(stat(ours, &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void tools_find_each_other(void **state)
{
    CLEANUP_FREE char *self = proc_self_dir();
    CLEANUP_FREE char *path = path_join(self, program_invocation_short_name);

    (void)state;
    assert_int_equal(self[0], '/');
    assert_true(file_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_report),
        cmocka_unit_test(missing_programs_are_named),
        cmocka_unit_test(waiting_ends),
        cmocka_unit_test(much_output_on_both),
        cmocka_unit_test(children_start_with_clean_signals),
        cmocka_unit_test(output_is_appended_to_a_file),
        cmocka_unit_test(a_session_of_its_own),
        cmocka_unit_test(a_cancelled_run_stops_its_child),
        cmocka_unit_test(daemons_do_not_hold_us_up),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(children_become_another_user),
        cmocka_unit_test(tools_find_each_other),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
