/* The demo runs to its end, shows what it promises, and stops its servers, also when interrupted.
 */
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

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PGPROOF_SOURCE_DIR
#error "the build says where the sources are"
#endif

#define DEMO PGPROOF_SOURCE_DIR "/scripts/demo"

static char output[] = "/tmp/pgproof-demo-output-XXXXXX";

static pid_t begin(const char *store)
{
    CLEANUP_FREE char *bin = str_printf("PGPROOF_DEMO_BIN=%s", getenv("PGPROOF_TEST_BIN"));
    const char *argv[] = {"bash", DEMO, NULL};
    const char *env[] = {bin, "PGPROOF_DEMO_SCALE=1", store, NULL};
    struct proc_options o = {
        .argv = argv, .env = env, .output_path = output, .die_with_parent = true};
    struct error e = {0};
    pid_t pid = -1;

    assert_int_equal(truncate(output, 0), 0);
    if (proc_spawn(&o, &pid, &e) != RC_OK)
        fail_msg("%s: %s", e.what, e.on);
    return pid;
}

static const char *read_output(struct buf *b)
{
    struct error e;
    const char *s;

    buf_clear(b);
    assert_int_equal(file_read(output, b, &e), RC_OK);
    assert_int_equal(buf_cstr(b, &s, &e), RC_OK);
    return (const char *)b->data; /* NUL-terminated now */
}

/* The directory that the demo says it leaves: behind `words`, up to a blank. */
static char *named_dir(const char *text, const char *words)
{
    const char *at = strstr(text, words);

    if (!at)
        fail_msg("the demo does not say \"%s\":\n%s", words, text);
    at += strlen(words);
    return str_printf("%.*s", (int)strcspn(at, " \n"), at);
}

static void check_stopped_and_remove(const char *dir)
{
    CLEANUP_FREE char *production = path_join(dir, "production/postmaster.pid");
    CLEANUP_FREE char *s3 = path_join(dir, "s3/pids/front");
    CLEANUP_FREE char *restored = path_join(dir, "restored/postmaster.pid");
    struct error e;

    assert_true(str_starts(dir, "/tmp/pgproof-demo-"));
    assert_true(file_exists(dir));
    assert_false(file_exists(production));
    assert_false(file_exists(restored));
    assert_false(file_exists(s3));
    assert_int_equal(file_remove_tree(dir, &e), RC_OK);
}

static void run_to_its_end(const char *store, const char *where)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    static const char *const promised[] = {
        "DROP TABLE orders", "The rows are back", "PROVEN backup",
        "Recovery window",   "What to type next",
    };
    struct error e;
    int status = -1;

    assert_int_equal(proc_wait(begin(store), 300000, &status, &e), RC_OK);
    const char *text = read_output(&b);
    if (status != 0)
        fail_msg("the demo ended with %d:\n%s", status, text);
    for (size_t i = 0; i < sizeof(promised) / sizeof(*promised); i++)
        if (!strstr(text, promised[i]))
            fail_msg("the demo does not show \"%s\":\n%s", promised[i], text);
    if (!strstr(text, where))
        fail_msg("the repository is not in %s:\n%s", where, text);
    CLEANUP_FREE char *dir = named_dir(text, "All of it is in ");
    check_stopped_and_remove(dir);
}

static void runs_to_its_end(void **state)
{
    (void)state;
    run_to_its_end("STORE=posix", "type = posix");
}

static void runs_in_s3(void **state)
{
    (void)state;
    run_to_its_end("STORE=s3", "Repository  s3://");
}

static void interrupted(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    struct error e;
    int status = -1;
    pid_t pid = begin("STORE=posix");

    (void)state;
    for (int i = 0; i < 600 && !strstr(read_output(&b), "A full backup"); i++)
        clock_sleep_ms(100);
    kill(pid, SIGTERM);
    assert_int_equal(proc_wait(pid, 60000, &status, &e), RC_OK);
    assert_int_equal(status, 128 + SIGTERM);
    CLEANUP_FREE char *dir = named_dir(read_output(&b), "what it made is in ");
    check_stopped_and_remove(dir);
}

static int make_output(void **state)
{
    int fd = mkstemp(output);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_output(void **state)
{
    (void)state;
    return unlink(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_to_its_end),
        cmocka_unit_test(runs_in_s3),
        cmocka_unit_test(interrupted),
    };

    return cmocka_run_group_tests(tests, make_output, remove_output);
}
