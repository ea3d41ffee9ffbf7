#include "verify/drill_restore.h"

#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define POLL_MS      1000
#define SAY_SECONDS  30.0
#define END_WAIT_MS  20000
#define END_POLL_MS  50
#define TAIL_LINES   10
#define TARGET_BYTES 96

static void target_options(const struct drill_subject *s, char to[static TARGET_BYTES])
{
    char lsn[LSN_TEXT_MAX];
    if (s->counts)
        snprintf(to, TARGET_BYTES, "--target-lsn=%s --target-exclusive",
                 lsn_text(s->target_lsn, lsn));
    else
        snprintf(to, TARGET_BYTES, "--target=immediate");
}

char *drill_restore_command(const struct app *a, const struct drill_subject *s,
                            const struct scratch *dir)
{
    CLEANUP_FREE char *tool = app_command_line(a, "pgproof-restore");
    CLEANUP_FREE char *to = str_shell_word(dir->data);
    CLEANUP_FREE char *tablespaces = str_shell_word(dir->tablespaces);
    char target[TARGET_BYTES];
    target_options(s, target);
    return str_printf("exec %s --backup=%s %s --target-timeline=%" PRIu32
                      " --target-action=pause --as=copy --tablespace-root=%s --to=%s",
                      tool, s->info->id, target, s->info->timeline, tablespaces, to);
}

/* Not proc_wait, which gives up when we are cancelled: this is how a cancelled drill cleans up. */
static bool has_ended(pid_t pid)
{
    int status;
    pid_t got = waitpid(pid, &status, WNOHANG);
    return got == pid || (got < 0 && errno == ECHILD);
}

/* Its directory is to go away, so it has to go first. */
static void end_child(pid_t pid)
{
    kill(pid, SIGTERM);
    for (int waited_ms = 0; !has_ended(pid); waited_ms += END_POLL_MS) {
        if (waited_ms >= END_WAIT_MS)
            kill(pid, SIGKILL);
        clock_sleep_ms(END_POLL_MS);
    }
}

static void say_last_line(const struct app *a, const struct scratch *dir)
{
    CLEANUP_FREE char *line = server_log_tail(dir->restore_log, 1);
    line[strcspn(line, "\n")] = '\0';
    app_say(a, "still restoring: %s", line);
}

static enum rc wait_child(const struct app *a, const struct scratch *dir, pid_t pid,
                          int *ret_status, struct error *err)
{
    double said = clock_monotonic();
    for (;;) {
        enum rc rc = proc_wait(pid, POLL_MS, ret_status, err);
        if (rc == RC_OK) /* Ctrl-C goes to the child, too, which may be gone before we look */
            return *ret_status ? cancel_check(err) : RC_OK;
        if (rc != RC_BUSY) {
            end_child(pid);
            return rc;
        }
        if (clock_monotonic() - said > SAY_SECONDS) {
            said = clock_monotonic();
            say_last_line(a, dir);
        }
    }
}

/* What it said went wrong; or, where it said nothing of the kind, what it said last. */
static void quote_log(const struct scratch *dir, struct proof *p)
{
    CLEANUP_FREE char *tail = server_log_tail(dir->restore_log, TAIL_LINES);
    const char *error = strstr(tail, "pgproof-restore: error:");
    check_finding_lines(p, CHECK_RESTORE, error ? error : tail);
}

static void judge(const struct drill_subject *s, const struct scratch *dir, struct proof *p,
                  int status)
{
    char size[32];
    if (status == 0) {
        check_passed(p, CHECK_RESTORE, "%" PRIu64 " files, %s", s->info->file_count,
                     format_size(s->info->size_bytes, size));
        return;
    }
    if (status == EXIT_BAD)
        check_failed(p, CHECK_RESTORE, "pgproof-restore found damage");
    else
        check_not_run(p, CHECK_RESTORE, "pgproof-restore could not do it (exit code %d)", status);
    quote_log(dir, p);
}

enum rc drill_restore(const struct app *a, const struct drill_subject *s, const struct scratch *dir,
                      struct proof *p, struct error *err)
{
    CLEANUP_FREE char *command = drill_restore_command(a, s, dir);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    struct proc_options o = {
        .argv = argv, .output_path = dir->restore_log, .die_with_parent = true};
    double began = clock_monotonic();
    pid_t pid;
    int status;
    TRY(proc_spawn(&o, &pid, err));
    TRY(wait_child(a, dir, pid, &status, err));
    p->checks[CHECK_RESTORE].seconds = clock_monotonic() - began;
    if (status == 0)
        p->seconds_restore = p->checks[CHECK_RESTORE].seconds;
    judge(s, dir, p, status);
    return RC_OK;
}
