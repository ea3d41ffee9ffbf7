/*
 * The store that injects faults: each mode does what it says, at the operation that was asked for.
 */
#include "support/store_fault.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum rc __real_store_open(const struct store_options *o, struct store **ret, struct error *err);
enum rc __wrap_store_open(const struct store_options *o, struct store **ret, struct error *err);

/* In the faulty tools the linker puts these together; here the test is the linker. */
enum rc __real_store_open(const struct store_options *o, struct store **ret, struct error *err)
{
    return store_open(o, ret, err);
}

#include "support/wrap_store_open.c"

struct fixture {
    char *dir;
    struct fault_plan plan;
    struct store *plain;
    struct store *faulty;
    struct error err;
};

static struct store *open_plain(struct fixture *f)
{
    struct store_options o = {.type = STORE_POSIX, .path = f->dir};
    struct store *s = NULL;

    assert_int_equal(store_open(&o, &s, &f->err), RC_OK);
    return s;
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    f->dir = str_printf("%s/pgproof-fault-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->plain = open_plain(f);
    f->faulty = store_fault_wrap(open_plain(f), &f->plan);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    store_close(f->faulty);
    store_close(f->plain);
    assert_int_equal(file_remove_tree(f->dir, &f->err), RC_OK);
    free(f->dir);
    free(f);
    return 0;
}

static void arm(struct fixture *f, const char *plan)
{
    assert_true(fault_plan_parse(plan, &f->plan));
}

static enum rc put(struct fixture *f, const char *name)
{
    return store_put(f->faulty, name, "0123456789", 10, &f->err);
}

static bool is_there(struct fixture *f, const char *name)
{
    struct store_info info;
    enum rc rc = store_head(f->plain, name, &info, &f->err);

    assert_true(rc == RC_OK || rc == RC_NOT_FOUND);
    return rc == RC_OK;
}

static void plans_are_parsed(void **state)
{
    static const char *const bad[] = {
        "",
        "put",
        "put:3",
        "put:3:",
        "put:x:kill",
        "put:-1:kill",
        ":3:kill",
        "pot:3:kill",
        "put:3:kil",
        "put:3:kill ",
        "put:3:kill:",
        "PUT:3:kill",
        "put::kill",
        "put:3:killer",
        "any:99999999999999999999999:kill",
    };
    struct fault_plan plan;

    (void)state;
    assert_true(fault_plan_parse("put:3:kill", &plan));
    assert_int_equal(plan.operation, FAULT_PUT);
    assert_int_equal(plan.at, 3);
    assert_int_equal(plan.mode, FAULT_KILL);
    assert_true(fault_plan_parse("any:0:fail-after", &plan));
    assert_int_equal(plan.operation, FAULT_ANY);
    assert_int_equal(plan.mode, FAULT_FAIL_AFTER);
    assert_true(fault_plan_parse("remove:12:kill-after", &plan));
    assert_true(fault_plan_parse("list:1:outage", &plan));
    assert_true(fault_plan_parse("head:1:tear", &plan));
    assert_true(fault_plan_parse("get:1:fail", &plan));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(fault_plan_parse(bad[i], &plan));
}

static void fail_does_nothing_and_only_once(void **state)
{
    struct fixture *f = *state;

    arm(f, "put:2:fail");
    assert_int_equal(put(f, "a"), RC_OK);
    assert_int_equal(put(f, "b"), RC_STORAGE);
    assert_true(f->err.transient);
    assert_false(is_there(f, "b"));
    assert_int_equal(put(f, "b"), RC_OK);
    assert_true(is_there(f, "b"));
    assert_int_equal(atomic_load(&f->plan.count), 3);
}

static void fail_after_loses_the_answer(void **state)
{
    struct fixture *f = *state;

    arm(f, "put:2:fail-after");
    assert_int_equal(put(f, "a"), RC_OK);
    assert_int_equal(put(f, "b"), RC_STORAGE);
    assert_true(is_there(f, "b"));
    assert_int_equal(put(f, "b"), RC_EXISTS);
    arm(f, "put:1:fail-after");
    assert_int_equal(put(f, "b"), RC_EXISTS); /* a failure of its own stays */
}

static enum rc count_one(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    (void)name;
    (void)info;
    (void)err;
    ++*(unsigned *)ctx;
    return RC_OK;
}

static void lost_answers_leave_outputs_alone(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info = {.size_bytes = 77};
    unsigned listed = 0;

    assert_int_equal(put(f, "a"), RC_OK);
    arm(f, "get:1:fail-after");
    assert_int_equal(store_get(f->faulty, "a", &b, &f->err), RC_STORAGE);
    assert_int_equal(b.len, 0);
    arm(f, "get:1:fail-after");
    assert_int_equal(store_get_range(f->faulty, "a", 1, 2, &b, &f->err), RC_STORAGE);
    assert_int_equal(b.len, 0);
    arm(f, "head:1:fail-after");
    assert_int_equal(store_head(f->faulty, "a", &info, &f->err), RC_STORAGE);
    assert_int_equal(info.size_bytes, 77);
    arm(f, "list:1:fail-after");
    assert_int_equal(store_list(f->faulty, "", count_one, &listed, &f->err), RC_STORAGE);
    assert_int_equal(listed, 1);
    arm(f, "remove:1:fail-after");
    assert_int_equal(store_remove(f->faulty, "a", &f->err), RC_STORAGE);
    assert_false(is_there(f, "a"));
}

static void every_operation_is_counted(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(100);
    struct store_info info;
    unsigned listed = 0;

    for (unsigned at = 1; at <= 6; at++) {
        char plan[32];

        snprintf(plan, sizeof(plan), "any:%u:fail", at);
        arm(f, plan);
        assert_int_equal(put(f, "a"), at == 1 ? RC_STORAGE : RC_OK);
        if (at == 1)
            assert_int_equal(store_put(f->plain, "a", "0123456789", 10, &f->err), RC_OK);
        assert_int_equal(store_get(f->faulty, "a", &b, &f->err), at == 2 ? RC_STORAGE : RC_OK);
        assert_int_equal(store_get_range(f->faulty, "a", 0, 1, &b, &f->err),
                         at == 3 ? RC_STORAGE : RC_OK);
        assert_int_equal(store_head(f->faulty, "a", &info, &f->err), at == 4 ? RC_STORAGE : RC_OK);
        assert_int_equal(store_list(f->faulty, "", count_one, &listed, &f->err),
                         at == 5 ? RC_STORAGE : RC_OK);
        assert_int_equal(store_remove(f->faulty, "a", &f->err), at == 6 ? RC_STORAGE : RC_OK);
        assert_int_equal(atomic_load(&f->plan.count), 6);
        if (at == 6)
            assert_int_equal(store_remove(f->plain, "a", &f->err), RC_OK);
    }
}

static void other_kinds_are_not_counted(void **state)
{
    struct fixture *f = *state;
    struct store_info info;

    arm(f, "head:2:fail");
    assert_int_equal(put(f, "a"), RC_OK);
    assert_int_equal(put(f, "b"), RC_OK);
    assert_int_equal(store_head(f->faulty, "a", &info, &f->err), RC_OK);
    assert_int_equal(put(f, "c"), RC_OK);
    assert_int_equal(store_head(f->faulty, "a", &info, &f->err), RC_STORAGE);
    assert_int_equal(atomic_load(&f->plan.count), 2);
}

static void zero_only_counts(void **state)
{
    struct fixture *f = *state;

    arm(f, "any:0:kill");
    assert_int_equal(put(f, "a"), RC_OK);
    assert_int_equal(put(f, "a"), RC_EXISTS);
    assert_int_equal(atomic_load(&f->plan.count), 2);
}

static void an_outage_stays(void **state)
{
    struct fixture *f = *state;

    arm(f, "any:2:outage");
    assert_int_equal(put(f, "a"), RC_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put(f, "b"), RC_STORAGE);
    assert_false(is_there(f, "b"));
}

#define THREADS 4
#define EACH    20000

struct counting {
    struct store *store;
    unsigned failed;
};

static void *count_in_thread(void *arg)
{
    struct counting *c = arg;
    struct store_info info;
    struct error err;

    for (int i = 0; i < EACH; i++)
        c->failed += store_head(c->store, "nothing", &info, &err) == RC_STORAGE;
    return NULL;
}

/* The number of heads that failed in all threads together. */
static unsigned count_in_threads(struct fixture *f)
{
    struct counting counting[THREADS] = {0};
    pthread_t ids[THREADS];
    unsigned failed_in_all = 0;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(store_dup(f->faulty, &counting[i].store, &f->err), RC_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, count_in_thread, &counting[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        failed_in_all += counting[i].failed;
        store_close(counting[i].store);
    }
    assert_int_equal(atomic_load(&f->plan.count), THREADS * EACH);
    return failed_in_all;
}

static void twins_in_threads_share_the_count(void **state)
{
    struct fixture *f = *state;

    arm(f, "head:1000:fail");
    assert_int_equal(count_in_threads(f), 1);
    arm(f, "head:1:outage"); /* fast, so that the threads get into each other's way */
    assert_int_equal(count_in_threads(f), THREADS * EACH);
}

/* Puts "a" and "b" under the plan in a process of its own, which must die by SIGKILL. */
static void puts_are_killed(struct fixture *f, const char *plan)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        arm(f, plan);
        (void)!put(f, "a");
        (void)!put(f, "b");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void kill_strikes_before(void **state)
{
    struct fixture *f = *state;

    puts_are_killed(f, "put:2:kill");
    assert_true(is_there(f, "a"));
    assert_false(is_there(f, "b"));
}

static void kill_after_strikes_after(void **state)
{
    struct fixture *f = *state;

    puts_are_killed(f, "put:2:kill-after");
    assert_true(is_there(f, "a"));
    assert_true(is_there(f, "b"));
}

static void tear_leaves_half_an_object_that_only_a_sweep_sees(void **state)
{
    struct fixture *f = *state;
    unsigned listed = 0, removed = 0;

    puts_are_killed(f, "put:2:tear");
    assert_true(is_there(f, "a"));
    assert_false(is_there(f, "b"));
    assert_int_equal(store_list(f->plain, "", count_one, &listed, &f->err), RC_OK);
    assert_int_equal(listed, 1);
    assert_int_equal(store_put(f->plain, "b", "again", 5, &f->err), RC_OK);
    assert_int_equal(store_sweep(f->plain, clock_now() - 3600 * 1000000ll, &removed, &f->err),
                     RC_OK);
    assert_int_equal(removed, 0); /* too young */
    assert_int_equal(store_sweep(f->plain, clock_now() + 60 * 1000000ll, &removed, &f->err), RC_OK);
    assert_int_equal(removed, 1);
}

/* A process whose store_open is the wrapped one: puts until a put fails, twice at most. */
static int run_wrapped(struct fixture *f, const char *fault, const char *count_path)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_options o = {.type = STORE_POSIX, .path = f->dir};
        struct store *first = NULL, *second = NULL;

        fault ? setenv("PGPROOF_TEST_FAULT", fault, 1) : unsetenv("PGPROOF_TEST_FAULT");
        setenv("PGPROOF_TEST_FAULT_COUNT", count_path, 1);
        if (__wrap_store_open(&o, &first, &f->err) != RC_OK ||
            __wrap_store_open(&o, &second, &f->err) != RC_OK)
            exit(10);
        if (store_put(first, "w/1", "1", 1, &f->err) == RC_STORAGE)
            exit(1);
        if (store_put(second, "w/2", "2", 1, &f->err) == RC_STORAGE)
            exit(2);
        store_close(first);
        store_close(second);
        exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void the_environment_steers_wrapped_tools(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *count_path = path_join(f->dir, "count.txt");
    CLEANUP_BUF struct buf counts = BUF_INIT(1000);
    const char *text;

    assert_int_equal(run_wrapped(f, NULL, count_path), 0);
    assert_int_equal(run_wrapped(f, "any:1:fail", count_path), 1);
    assert_int_equal(run_wrapped(f, "put:2:fail", count_path), 2);
    assert_int_equal(run_wrapped(f, "any:2:kill", count_path), 128 + SIGKILL);
    assert_int_equal(run_wrapped(f, "put:3:fail", count_path), 0);
    assert_int_equal(run_wrapped(f, "head:0:fail", count_path), 0);
    assert_int_equal(run_wrapped(f, "nonsense", count_path), 10);
    assert_int_equal(file_read(count_path, &counts, &f->err), RC_OK);
    assert_int_equal(buf_cstr(&counts, &text, &f->err), RC_OK);
    assert_string_equal(text, "2\n1\n2\n2\n0\n0\n");
}

#define FAULT_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_parsed),
        FAULT_TEST(fail_does_nothing_and_only_once),
        FAULT_TEST(fail_after_loses_the_answer),
        FAULT_TEST(lost_answers_leave_outputs_alone),
        FAULT_TEST(every_operation_is_counted),
        FAULT_TEST(other_kinds_are_not_counted),
        FAULT_TEST(zero_only_counts),
        FAULT_TEST(an_outage_stays),
        FAULT_TEST(twins_in_threads_share_the_count),
        FAULT_TEST(kill_strikes_before),
        FAULT_TEST(kill_after_strikes_after),
        FAULT_TEST(tear_leaves_half_an_object_that_only_a_sweep_sees),
        FAULT_TEST(the_environment_steers_wrapped_tools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
