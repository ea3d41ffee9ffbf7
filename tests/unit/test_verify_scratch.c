/* Scratch directories: made private, removed whole, leftovers swept, nothing else touched. */
#include "verify/scratch.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "verify/scratch_owner.h"
#include "verify/scratch_server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), RC_OK)

struct place {
    char *dir;
};

static int make_place(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct place *p = mem_zalloc(sizeof *p);
    p->dir = str_printf("%s/pgproof-test-scratch-XXXXXX", tmp ? tmp : "/tmp");
    *state = p;
    return mkdtemp(p->dir) ? 0 : -1;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    struct error err;
    int failed = file_remove_tree(p->dir, &err) != RC_OK;
    free(p->dir);
    free(p);
    return failed;
}

static unsigned swept(const char *dir)
{
    struct error err;
    unsigned n = 99;
    OK(scratch_sweep(dir, &n, &err));
    return n;
}

/* A process that makes a scratch directory with a file in it and dies without a word. */
static char *killed_drill(const char *parent)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct error err;
        struct scratch *s;
        if (scratch_make(parent, getuid(), getgid(), &s, &err) != RC_OK ||
            mkdir(s->data, 0700) != 0 || write(pipe_fds[1], s->root, strlen(s->root)) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    close(pipe_fds[1]);
    char root[4096] = "";
    assert_true(read(pipe_fds[0], root, sizeof root - 1) > 0);
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return str_dup(root);
}

static void made_private_and_removed_whole(void **state)
{
    struct place *p = *state;
    struct error err;
    struct stat st;
    CLEANUP_SCRATCH struct scratch *s = NULL;
    CLEANUP_FREE char *parent = path_join(p->dir, "not/there/yet");
    OK(scratch_make(parent, getuid(), getgid(), &s, &err));
    assert_int_equal(stat(s->root, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(s->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    OK(file_make_dirs(s->data, 0700, &err));
    CLEANUP_FREE char *log = path_join(s->data, "log");
    assert_int_equal(symlink("/etc", log), 0);
    OK(scratch_remove(s, &err));
    assert_false(file_exists(s->root));
    assert_true(file_exists("/etc/passwd"));
}

/* Where the path is too long for a socket address, the socket goes to /tmp, and away again. */
static void a_long_path_gets_a_short_socket(void **state)
{
    struct place *p = *state;
    struct error err;
    CLEANUP_SCRATCH struct scratch *s = NULL;
    CLEANUP_FREE char *parent = str_printf(
        "%s/a-directory-with-a-name-that-is-long/and-another-one-that-is-no-shorter", p->dir);
    OK(scratch_make(parent, getuid(), getgid(), &s, &err));
    assert_true(s->socket_outside);
    assert_true(str_starts(s->socket, "/tmp/" SCRATCH_PREFIX));
    assert_true(file_exists(s->socket));
    OK(scratch_remove(s, &err));
    assert_false(file_exists(s->socket));
}

static void killed_drills_are_swept(void **state)
{
    struct place *p = *state;
    CLEANUP_FREE char *root = killed_drill(p->dir);
    assert_true(file_exists(root));
    assert_int_equal(swept(p->dir), 1);
    assert_false(file_exists(root));
    assert_int_equal(swept(p->dir), 0);
}

static void drills_at_work_and_kept_ones_stay(void **state)
{
    struct place *p = *state;
    struct error err;
    struct scratch *s;
    OK(scratch_make(p->dir, getuid(), getgid(), &s, &err));
    assert_int_equal(swept(p->dir), 0);
    assert_true(file_exists(s->conf));
    OK(scratch_keep(s, &err));
    CLEANUP_FREE char *root = str_dup(s->root);
    scratch_free(s);
    assert_int_equal(swept(p->dir), 0);
    assert_true(file_exists(root));
}

/* Without a lock that works the process itself tells: this one lives. */
static void a_living_process_counts_without_its_lock(void **state)
{
    struct place *p = *state;
    struct error err;
    struct scratch *s;
    OK(scratch_make(p->dir, getuid(), getgid(), &s, &err));
    CLEANUP_FREE char *root = str_dup(s->root);
    scratch_free(s); /* lets go of the lock */
    assert_int_equal(swept(p->dir), 0);
    assert_true(file_exists(root));
}

static void what_no_drill_made_stays(void **state)
{
    struct place *p = *state;
    struct error err;
    CLEANUP_FREE char *alike = path_join(p->dir, SCRATCH_PREFIX "0123456789abcdef");
    CLEANUP_FREE char *inside = path_join(alike, "precious");
    CLEANUP_FREE char *other = path_join(p->dir, SCRATCH_PREFIX "of-mine");
    CLEANUP_FREE char *forged = path_join(other, OWNER_FILE);
    CLEANUP_FREE char *link = path_join(p->dir, SCRATCH_PREFIX "fedcba9876543210");
    OK(file_make_dirs(inside, 0700, &err));
    OK(file_make_dirs(other, 0700, &err));
    OK(file_replace(forged, "{}", 2, 0600, &err));
    assert_int_equal(symlink(inside, link), 0);
    assert_int_equal(swept(p->dir), 0);
    assert_true(file_exists(inside));
    assert_true(file_exists(other));
    assert_true(file_exists(link));
}

static void write_text(const char *path, const char *text)
{
    struct error err;
    OK(file_replace(path, text, strlen(text), 0600, &err));
}

/* postmaster.pid of a killed drill may name a process of somebody else by now. */
static void strangers_are_not_killed(void **state)
{
    struct place *p = *state;
    CLEANUP_FREE char *root = killed_drill(p->dir);
    CLEANUP_FREE char *pid_file = str_printf("%s/data/postmaster.pid", root);
    pid_t stranger = fork();
    if (stranger == 0) {
        for (;;)
            pause();
    }
    CLEANUP_FREE char *text = str_printf("%d\n", (int)stranger);
    write_text(pid_file, text);
    assert_int_equal(swept(p->dir), 1);
    assert_int_equal(kill(stranger, 0), 0);
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    kill(stranger, SIGKILL);
    waitpid(stranger, NULL, 0);
}

/* A process that works in that data directory is a leftover server. */
static void leftover_servers_are_ended(void **state)
{
    struct place *p = *state;
    CLEANUP_FREE char *root = killed_drill(p->dir);
    CLEANUP_FREE char *data = path_join(root, "data");
    CLEANUP_FREE char *pid_file = path_join(data, "postmaster.pid");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t server = fork();
    if (server == 0) {
        if (chdir(data) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char x;
    assert_int_equal(read(ready[0], &x, 1), 1);
    close(ready[0]);
    close(ready[1]);
    CLEANUP_FREE char *text = str_printf("%d\n", (int)server);
    write_text(pid_file, text);
    /* a zombie has no working directory, so the sweep sees it end though we don't reap it */
    assert_int_equal(swept(p->dir), 1);
    int status;
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT);
    assert_false(file_exists(root));
}

/* ---- the scratch server's settings ---- */

static bool has_setting(const struct setting_list *l, const char *text)
{
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->items[i], text))
            return true;
    return false;
}

static void the_scratch_server_is_cut_off(void **state)
{
    (void)state;
    struct name_value noted[] = {{"max_connections", "500"}, {"max_wal_senders", "2"}};
    struct backup_info b = {.pg_version_num = 150020, .settings = noted, .setting_count = 2};
    struct control c = {.max_connections = 100, .max_wal_senders = 10, .max_worker_processes = 8};
    struct scratch dir = {.conf = (char *)"/scratch/conf"};
    CLEANUP(setting_list_done) struct setting_list l = {0};
    scratch_server_settings(&dir, &b, &c, &l);
    static const char *const musts[] = {
        "listen_addresses=",          "archive_mode=off",
        "archive_command=",           "archive_library=",
        "primary_conninfo=",          "primary_slot_name=",
        "shared_preload_libraries=",  "max_logical_replication_workers=0",
        "recovery_end_command=",      "archive_cleanup_command=",
        "synchronous_standby_names=", "autovacuum=off",
        "promote_trigger_file=",      "config_file=/scratch/conf/postgresql.conf",
    };
    for (size_t i = 0; i < sizeof musts / sizeof musts[0]; i++)
        if (!has_setting(&l, musts[i]))
            fail_msg("not set: %s", musts[i]);
    assert_true(has_setting(&l, "max_connections=500"));    /* noted, larger */
    assert_true(has_setting(&l, "max_wal_senders=10"));     /* pg_control, larger */
    assert_true(has_setting(&l, "max_worker_processes=8")); /* not noted */
    assert_false(has_setting(&l, "event_triggers=off"));    /* 15 does not know it */
    assert_null(l.items[l.count]);
}

static void versions_get_what_they_know(void **state)
{
    (void)state;
    struct control c = {0};
    struct scratch dir = {.conf = (char *)"/c"};
    struct backup_info old = {.pg_version_num = 130023}, newer = {.pg_version_num = 170005};
    CLEANUP(setting_list_done) struct setting_list a = {0}, b = {0};
    scratch_server_settings(&dir, &old, &c, &a);
    assert_false(has_setting(&a, "archive_library="));
    assert_true(has_setting(&a, "promote_trigger_file="));
    scratch_server_settings(&dir, &newer, &c, &b);
    assert_true(has_setting(&b, "archive_library="));
    assert_false(has_setting(&b, "promote_trigger_file="));
    assert_true(has_setting(&b, "event_triggers=off"));
}

int main(void)
{
#define PLACED(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        PLACED(made_private_and_removed_whole),
        PLACED(a_long_path_gets_a_short_socket),
        PLACED(killed_drills_are_swept),
        PLACED(drills_at_work_and_kept_ones_stay),
        PLACED(a_living_process_counts_without_its_lock),
        PLACED(what_no_drill_made_stays),
        PLACED(strangers_are_not_killed),
        PLACED(leftover_servers_are_ended),
        cmocka_unit_test(the_scratch_server_is_cut_off),
        cmocka_unit_test(versions_get_what_they_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
