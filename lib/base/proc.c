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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_STEP_MS 20

extern char **environ;

/* What the child could not do before exec, sent to the parent. */
struct failure {
    int sys_errno;
    char what[64];
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

static void become(const struct proc_options *o, int report)
{
    if (geteuid() != 0 || !o->uid)
        return;
    if (setgroups(0, NULL) != 0 || setgid(o->gid) != 0 || setuid(o->uid) != 0)
        child_failed(report, "become another user");
}

/* After this only 0, 1, 2 and the report are open; the report closes itself at exec. */
static void set_descriptors(int out, int errout, int report)
{
    int in = open("/dev/null", O_RDONLY);

    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errout, 2) < 0 ||
        dup2(report, 3) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
        child_failed(report, "set up its descriptors");
    close_range(4, ~0U, 0);
}

static _Noreturn void child(const struct proc_options *o, int out, int errout, int report,
                            pid_t parent)
{
    reset_signals();
    become(o, report);
    /* Changing ids clears it, so it comes after; and the parent may be gone by now. */
    if (o->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        child_failed(report, "be tied to its parent");
    if (o->die_with_parent && getppid() != parent)
        _exit(127);
    if (o->cwd && chdir(o->cwd) != 0)
        child_failed(report, "enter its directory");
    for (size_t i = 0; o->env && o->env[i]; i++)
        putenv((char *)(uintptr_t)o->env[i]);
    set_descriptors(out, errout, report);
    execvp(o->argv[0], (char *const *)(uintptr_t)o->argv);
    child_failed(3, "be executed");
}

static enum rc spawn(const struct proc_options *o, int out, int errout, pid_t *ret_pid,
                     struct error *err)
{
    int pipe_fds[2];
    struct failure f;
    pid_t parent = getpid();

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not make a pipe");
    CLEANUP_FD int from_child = pipe_fds[0];
    CLEANUP_FD int report = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 10); /* clear of 0 to 3 */
    close(pipe_fds[1]);
    pid_t pid = report < 0 ? -1 : fork();
    if (pid < 0)
        return error_set_errno(err, RC_SYSTEM, errno, "could not start a process");
    if (pid == 0)
        child(o, out, errout, report, parent);
    cleanup_fd(&report);
    ssize_t n;
    do
        n = read(from_child, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(f)) {
        *ret_pid = pid;
        return RC_OK;
    }
    waitpid(pid, NULL, 0);
    error_set_errno(err, RC_SYSTEM, f.sys_errno, "the process could not %s", f.what);
    error_on(err, "%s", o->argv[0]);
    return error_now(err, "check that the program is installed and that this user may run it");
}

enum rc proc_spawn(const struct proc_options *o, pid_t *ret_pid, struct error *err)
{
    CLEANUP_FD int opened = -1;

    if (o->inherit_output)
        return spawn(o, 1, 2, ret_pid, err);
    const char *path = o->output_path ? o->output_path : "/dev/null";
    int low = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (low >= 0) {
        opened = fcntl(low, F_DUPFD_CLOEXEC, 10);
        close(low);
    }
    if (opened < 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not open the file for a program's output");
        return error_on(err, "%s", path);
    }
    if (o->output_path && geteuid() == 0 && o->uid && fchown(opened, o->uid, o->gid) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not give the output file to its user");
        return error_on(err, "%s", path);
    }
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

/* Until both ends are closed. When we are asked to stop, the child is asked, too. */
static void collect(pid_t pid, int out, struct buf *out_buf, int errout, struct buf *err_buf)
{
    struct pollfd p[2] = {{.fd = out, .events = POLLIN}, {.fd = errout, .events = POLLIN}};
    bool asked = false;

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, 100) < 0 && errno != EINTR)
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
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, RC_SYSTEM, errno, "could not wait for %s", o->argv[0]);
    *ret_status = exit_status(status);
    return cancel_check(err);
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
