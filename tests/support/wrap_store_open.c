/*
 * store_open of the tools in bin/faulty/: linked with -Wl,--wrap=store_open, so that every call of
 * store_open comes here and __real_store_open is the shipped one. What the variables of the
 * environment mean is in store_fault.h.
 */
#include "support/store_fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum rc __real_store_open(const struct store_options *o, struct store **ret, struct error *err);
enum rc __wrap_store_open(const struct store_options *o, struct store **ret, struct error *err);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct fault_plan process_plan;
static bool plan_is_good;

/* One write in append mode: tools that end at once don't mix their lines. */
static void write_count(void)
{
    const char *path = getenv("PGPROOF_TEST_FAULT_COUNT");
    char line[32];
    int len = snprintf(line, sizeof(line), "%lu\n", atomic_load(&process_plan.count));
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0 || write(fd, line, (size_t)len) != len || close(fd) != 0)
        BUG("could not write the count of storage operations to %s", path);
}

static void read_environment(void)
{
    const char *text = getenv("PGPROOF_TEST_FAULT");

    plan_is_good = fault_plan_parse(text && text[0] ? text : "any:0:fail", &process_plan);
    if (getenv("PGPROOF_TEST_FAULT_COUNT"))
        atexit(write_count);
}

enum rc __wrap_store_open(const struct store_options *o, struct store **ret, struct error *err)
{
    struct store *inner;

    pthread_once(&once, read_environment);
    if (!plan_is_good)
        return error_set(err, RC_CONFIG, "PGPROOF_TEST_FAULT is not <operation|any>:<N>:<mode>");
    TRY(__real_store_open(o, &inner, err));
    *ret = store_fault_wrap(inner, &process_plan);
    return RC_OK;
}
