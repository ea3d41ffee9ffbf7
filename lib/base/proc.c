#include "base/proc.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_STEP_MS 20
#define POLL_MS      100
#define QUIET_POLLS  20 /* how long we listen to what an ended child left running: 2 s */

extern char **environ;

/* What the child could not do before exec, sent to the parent. */
struct failure {
    int sys_errno;
    char what[64];
};

/* What the parent found out or opened for the child. */
struct birth {
    pid_t parent;
    bool change_user;
    gid_t *groups; /* owned: the user's supplementary groups */
    int group_count;
    int out, errout;
    int report; /* here goes a struct failure; closes at exec */
};

static _Noreturn void child_failed(int report, const char *what)
{
    struct failure f = {.sys_errno = errno};

    str_copy(f.what, sizeof(f.what), what);
    ssize_t n = write(report, &f, sizeof(f));
    _exit(n == sizeof(f) ? 127 : 126);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int n = 1; n < NSIG; n++)
        signal(n, SIG_DFL); /* fails for SIGKILL and SIGSTOP, as it must */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * The groups that the user has by name: Debian's postgres may read its TLS key only as a member of
 * ssl-cert. Looked up before the fork, since name services may take locks and threads.
 */
static void find_groups(const struct proc_options *o, struct birth *b)
{
    char text[4096];
    struct passwd entry, *found = NULL;

    if (getpwuid_r(o->uid, &entry, text, sizeof(text), &found) != 0 || !found)
        return;
    getgrouplist(found->pw_name, o->gid, NULL, &b->group_count);
    b->groups = mem_array(NULL, (size_t)b->group_count, sizeof(*b->groups));
    if (getgrouplist(found->pw_name, o->gid, b->groups, &b->group_count) < 0)
        b->group_count = 0; /* the list changed under us */
}

static void become(const struct proc_options *o, const struct birth *b)
{
    if (setgroups((size_t)b->group_count, b->groups) != 0 || setgid(o->gid) != 0 ||
        setuid(o->uid) != 0)
        child_failed(b->report, "become another user");
}

/* After this only 0, 1, 2 and the report are open; the report closes itself at exec. */
static void set_descriptors(const struct birth *b)
{
    int in = open("/dev/null", O_RDONLY);

    if (in < 0 || dup2(in, 0) < 0 || dup2(b->out, 1) < 0 || dup2(b->errout, 2) < 0 ||
        dup2(b->report, 3) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
        child_failed(b->report, "set up its descriptors");
    closefrom(4); /* close_range, or one by one where the kernel does not know it */
}

static _Noreturn void child(const struct proc_options *o, const struct birth *b)
{
    reset_signals();
    if (b->change_user)
        become(o, b);
    /* Changing ids clears it, so it comes after; and the parent may be gone by now. */
    if (o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        child_failed(b->report, "be tied to its parent");
    if (o->die_with_parent && getppid() != b->parent)
        _exit(127);
    if (o->new_session && setsid() < 0)
        child_failed(b->report, "leave its terminal");
    if (o->cwd && chdir(o->cwd) != 0)
        child_failed(b->report, "enter its directory");
    for (size_t i = 0; o->env && o->env[i]; i++)
        putenv((char *)(uintptr_t)o->env[i]);
    set_descriptors(b);
    execvp(o->argv[0], (char *const *)(uintptr_t)o->argv);
    child_failed(3, "be executed");
}

/* A pipe whose ends are clear of the descriptors that a child gets. */
static enum rc high_pipe(int *ret_read, int *ret_write, struct error *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not make a pipe");
    *ret_read = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    *ret_write = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    close(fds[0]);
    close(fds[1]);
    if (*ret_read < 0 || *ret_write < 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not make a pipe");
    return RC_OK;
}

/* fork with all signals blocked, so that none meets our handlers in the child and is lost there. */
static pid_t fork_child(const struct proc_options *o, struct birth *b)
{
    sigset_t all, old;

    b->parent = getpid();
    b->change_user = geteuid() == 0 && o->uid;
    if (b->change_user)
        find_groups(o, b);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0)
        child(o, b);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    free(b->groups);
    errno = saved;
    return pid;
}

/* Wait for the end; false where there is no such child. */
static bool reap(pid_t pid, int *ret_status)
{
    while (waitpid(pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

static enum rc spawn(const struct proc_options *o, int out, int errout, pid_t *ret_pid,
                     struct error *err)
{
    CLEANUP_FD int from_child = -1, report = -1;
    struct failure f;
    ssize_t n;
    int status;

    TRY(high_pipe(&from_child, &report, err));
    struct birth b = {.out = out, .errout = errout, .report = report};
    pid_t pid = fork_child(o, &b);
    if (pid < 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not start a process");
    cleanup_fd(&report);
    do
        n = read(from_child, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(f)) {
        *ret_pid = pid;
        return RC_OK;
    }
    reap(pid, &status);
    error_set_errno(err, RC_SYSTEM, f.sys_errno, "the process could not %s", f.what);
    error_on(err, "%s", o->argv[0]);
    return error_now(err, "check that the program is installed and that this user may run it");
}

/*
 * As root the file goes to the child's user, in whose directory it may be. There may be a link
 * there, symbolic or hard, to a file that must not change hands.
 */
static enum rc open_output(const struct proc_options *o, int *ret, struct error *err)
{
    bool give = o->output_path && geteuid() == 0 && o->uid;
    const char *path = o->output_path ? o->output_path : "/dev/null";
    CLEANUP_FD int low = open(
        path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | (give ? O_NOFOLLOW : 0), 0600);
    struct stat st;

    CLEANUP_FD int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 10); /* clear of 0 to 3 */
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not open the file for a program's output");
        return error_on(err, "%s", path);
    }
    give = give && S_ISREG(st.st_mode);
    if (give && st.st_nlink > 1) {
        error_set(err, RC_REFUSED, "the file for a program's output has another name elsewhere");
        error_on(err, "%s", path);
        return error_now(err, "remove it if it isn't needed, and try again");
    }
    if (give && fchown(fd, o->uid, o->gid) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not give the output file to its user");
        return error_on(err, "%s", path);
    }
    *ret = fd;
    fd = -1;
    return RC_OK;
}

enum rc proc_spawn(const struct proc_options *o, pid_t *ret_pid, struct error *err)
{
    CLEANUP_FD int opened = -1;

    if (o->inherit_output)
        return spawn(o, 1, 2, ret_pid, err);
    TRY(open_output(o, &opened, err));
    return spawn(o, opened, opened, ret_pid, err);
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

enum rc proc_wait(pid_t pid, int timeout_ms, int *ret_status, struct error *err)
{
    double until = clock_monotonic() + timeout_ms / 1000.0;

    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid) {
            *ret_status = exit_status(status);
            return RC_OK;
        }
        if (got < 0 && errno != EINTR)
            return error_set_errno(err, RC_SYSTEM, errno, "could not wait for process %d",
                                   (int)pid);
        if (timeout_ms >= 0 && clock_monotonic() >= until)
            return error_set(err, RC_BUSY, "process %d has not ended", (int)pid);
        if (timeout_ms < 0)
            TRY(cancel_check(err));
        clock_sleep_ms(WAIT_STEP_MS);
    }
}

/* Read what is there; false at the end. */
static bool drain(int fd, struct buf *to)
{
    char block[65536];
    struct error ignored;
    ssize_t n = read(fd, block, sizeof(block));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n > 0 && to && to->len < to->max) {
        size_t room = to->max - to->len;
        if (buf_append(to, block, (size_t)n < room ? (size_t)n : room, &ignored) != RC_OK)
            return true; /* out of memory: the rest is dropped */
    }
    return n > 0;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/*
 * Until both ends are closed, or until the child has ended and what it left running (a daemon that
 * kept our pipe) has said nothing for a while. When we are asked to stop, the child is asked, too.
 */
static void collect(pid_t pid, int out, struct buf *out_buf, int errout, struct buf *err_buf)
{
    struct pollfd p[2] = {{.fd = out, .events = POLLIN}, {.fd = errout, .events = POLLIN}};
    bool asked = false;
    int quiet = 0;

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        int n = poll(p, 2, POLL_MS);
        if (n < 0 && errno != EINTR)
            return;
        quiet = n == 0 ? quiet + 1 : 0;
        if (quiet >= QUIET_POLLS && has_ended(pid))
            return;
        if (p[0].revents && !drain(out, out_buf))
            p[0].fd = -1;
        if (p[1].revents && !drain(errout, err_buf))
            p[1].fd = -1;
        p[0].revents = p[1].revents = 0;
        if (cancel_signal() && !asked) {
            kill(pid, SIGTERM);
            asked = true;
        }
    }
}

enum rc proc_run(const struct proc_options *o, struct buf *out, struct buf *errout, int *ret_status,
                 struct error *err)
{
    CLEANUP_FD int out_read = -1, out_write = -1, err_read = -1, err_write = -1;
    pid_t pid;
    int status;

    TRY(high_pipe(&out_read, &out_write, err));
    TRY(high_pipe(&err_read, &err_write, err));
    TRY(spawn(o, out_write, err_write, &pid, err));
    cleanup_fd(&out_write);
    cleanup_fd(&err_write);
    collect(pid, out_read, out, err_read, errout);
    cleanup_fd(&out_read); /* should poll have failed, the child must not wait for a reader */
    cleanup_fd(&err_read);
    if (!reap(pid, &status))
        return error_set_errno(err, RC_SYSTEM, errno, "could not wait for %s", o->argv[0]);
    TRY(cancel_check(err));
    *ret_status = exit_status(status);
    return RC_OK;
}

char *proc_self_dir(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return str_dup(".");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return str_dup(path);
}
