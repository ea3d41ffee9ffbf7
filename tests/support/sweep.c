#include "support/sweep.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX     64
#define KILLED       (128 + 9)
#define COULD_NOT    1
#define COUNT_LENGTH 4096

const char *const sweep_mode_names[SWEEP_MODES] = {
    [FAULT_FAIL] = "fail",     [FAULT_FAIL_AFTER] = "fail-after",
    [FAULT_OUTAGE] = "outage", [FAULT_TEAR] = "tear",
    [FAULT_KILL] = "kill",     [FAULT_KILL_AFTER] = "kill-after",
};

struct sweep_row {
    char what[48], mode[16];
    unsigned long first, last; /* N */
    unsigned done, failed, killed, listed, cases;
};

static struct sweep_row rows[ROWS_MAX];
static size_t row_count;
static uint64_t seed;
static bool soak;

void sweep_begin(void)
{
    const char *wanted = getenv("PGPROOF_TEST_SEED");
    soak = getenv("PGPROOF_SOAK") != NULL;
    if (!wanted || !parse_u64(wanted, &seed))
        seed = (uint64_t)clock_now() % 1000000;
    print_message("sweep: %s, PGPROOF_TEST_SEED=%llu\n", soak ? "all of it" : "a slice",
                  (unsigned long long)seed);
}

bool sweep_is_soak(void)
{
    return soak;
}

unsigned long sweep_random(unsigned long limit)
{
    /* An odd step visits every value; the multiplications spread it over all bits. */
    seed += 0x9e3779b97f4a7c15u;
    uint64_t x = seed;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return (unsigned long)((x ^ (x >> 32)) % limit);
}

/* ---- running ---- */

static void set_environment(struct pgfix *f, const char *fault, const char *count_path)
{
    CLEANUP_FREE char *plan = str_printf("PGPROOF_TEST_FAULT=%s", fault);
    CLEANUP_FREE char *count = str_printf("PGPROOF_TEST_FAULT_COUNT=%s", count_path);
    pgfix_tool_env(f, plan);
    pgfix_tool_env(f, count);
}

/* 0: it wrote none, so it was killed, or it ended before it opened the store. */
static unsigned long read_count(const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT(COUNT_LENGTH);
    struct error err;
    const char *line;
    enum rc rc = file_read(path, &text, &err);
    if (rc == RC_NOT_FOUND)
        return 0;
    if (rc != RC_OK || buf_cstr(&text, &line, &err) != RC_OK)
        fail_msg("%s: %s", path, err.what);
    return strtoul(line, NULL, 10);
}

static struct pgfix_run run_with(struct pgfix *f, const char *const *argv, const char *fault,
                                 unsigned long *ret_count)
{
    const char *path = pgfix_path(f, "fault-count");
    (void)unlink(path);
    set_environment(f, fault, path);
    struct pgfix_run r = pgfix_tool_argv(f, argv);
    *ret_count = read_count(path);
    return r;
}

unsigned long sweep_count(struct pgfix *f, const char *const *argv, const char *operation, int code)
{
    CLEANUP_FREE char *fault = str_printf("%s:0:fail", operation);
    unsigned long count;
    struct pgfix_run r = run_with(f, argv, fault, &count);
    pgfix_expect(&r, code);
    assert_true(count > 0);
    return count;
}

struct sweep_run sweep_faulty(struct pgfix *f, const char *const *argv, const char *operation,
                              unsigned long n, enum fault_mode mode, int other_code)
{
    static char fault[64]; /* lives until the next run, as messages need it */
    unsigned long count;
    snprintf(fault, sizeof fault, "%s:%lu:%s", operation, n, sweep_mode_names[mode]);
    struct sweep_run r = {.run = run_with(f, argv, fault, &count), .fault = fault};
    bool deadly = mode == FAULT_TEAR || mode == FAULT_KILL || mode == FAULT_KILL_AFTER;
    r.killed = deadly && r.run.code == KILLED;
    r.met = r.killed || count >= n;
    if (r.met && deadly)
        pgfix_expect(&r.run, KILLED);
    else if (!r.met || r.run.code != COULD_NOT)
        pgfix_expect(&r.run, other_code);
    return r;
}

/* ---- the table ---- */

struct sweep_row *sweep_row(const char *what, const char *mode)
{
    for (size_t i = 0; i < row_count; i++)
        if (str_eq(rows[i].what, what) && str_eq(rows[i].mode, mode))
            return &rows[i];
    assert_true(row_count < ROWS_MAX);
    struct sweep_row *r = &rows[row_count++];
    str_copy(r->what, sizeof r->what, what);
    str_copy(r->mode, sizeof r->mode, mode);
    return r;
}

void sweep_note(struct sweep_row *r, unsigned long n, const struct sweep_run *run, bool listed)
{
    if (!run->met)
        return;
    r->first = r->cases == 0 || n < r->first ? n : r->first;
    r->last = n > r->last ? n : r->last;
    r->cases++;
    r->killed += run->killed;
    r->done += !run->killed && run->run.code == 0;
    r->failed += !run->killed && run->run.code != 0;
    r->listed += listed;
}

void sweep_print_table(void)
{
    unsigned total = 0;
    print_message("%-28s %-11s %9s %6s %7s %7s %7s %9s\n", "tool", "mode", "N", "exit 0", "failed",
                  "killed", "listed", "not there");
    for (size_t i = 0; i < row_count; i++) {
        const struct sweep_row *r = &rows[i];
        char range[32];
        snprintf(range, sizeof range, "%lu..%lu", r->first, r->last);
        print_message("%-28s %-11s %9s %6u %7u %7u %7u %9u\n", r->what, r->mode, range, r->done,
                      r->failed, r->killed, r->listed, r->cases - r->listed);
        total += r->cases;
    }
    print_message("%u cases\n", total);
}
