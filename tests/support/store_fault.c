#include "support/store_fault.h"

#include "base/mem.h"
#include "base/str.h"
#include "store/store_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct fault_store {
    struct store store;
    struct store *inner;
    struct fault_plan *plan;
};

static const char *const operation_names[] = {
    [FAULT_ANY] = "any",   [FAULT_PUT] = "put",   [FAULT_GET] = "get",
    [FAULT_HEAD] = "head", [FAULT_LIST] = "list", [FAULT_REMOVE] = "remove",
};

static const char *const mode_names[] = {
    [FAULT_FAIL] = "fail",     [FAULT_FAIL_AFTER] = "fail-after",
    [FAULT_OUTAGE] = "outage", [FAULT_TEAR] = "tear",
    [FAULT_KILL] = "kill",     [FAULT_KILL_AFTER] = "kill-after",
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static int index_of(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    return -1;
}

bool fault_plan_parse(const char *text, struct fault_plan *ret)
{
    char operation[16] = "", at[24] = "", mode[16] = "";
    int end = 0, operation_index, mode_index;
    uint64_t n;

    if (sscanf(text, "%15[a-z]:%23[0-9]:%15[a-z-]%n", operation, at, mode, &end) != 3 ||
        text[end] != '\0' || !parse_u64(at, &n))
        return false;
    operation_index = index_of(operation, operation_names, COUNT_OF(operation_names));
    mode_index = index_of(mode, mode_names, COUNT_OF(mode_names));
    if (operation_index < 0 || mode_index < 0)
        return false;
    ret->operation = (enum fault_operation)operation_index;
    ret->at = (unsigned long)n;
    ret->mode = (enum fault_mode)mode_index;
    atomic_store(&ret->count, 0);
    return true;
}

static _Noreturn void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void die_of_size(int signal_number)
{
    (void)signal_number;
    die();
}

/*
 * The real put, of a process that may write files of half this size: the kernel ends it in the
 * middle of the driver's own write, so what is left behind is what the driver leaves, not what we
 * think that it does.
 */
static _Noreturn void tear_put(struct store *inner, const char *name, const void *data, size_t len)
{
    const struct sigaction action = {.sa_handler = die_of_size};
    const struct rlimit half = {len / 2, len / 2};
    struct error err;

    BUG_IF(sigaction(SIGXFSZ, &action, NULL) != 0 || setrlimit(RLIMIT_FSIZE, &half) != 0);
    (void)!store_put(inner, name, data, len, &err);
    die(); /* it wrote nothing: the name was taken, or it failed before that */
}

static enum rc failed(const struct fault_store *f, enum fault_operation operation, const char *name,
                      struct error *err)
{
    error_set(err, RC_STORAGE, "could not %s: an injected fault", operation_names[operation]);
    err->transient = true;
    error_on(err, "%s/%s", f->store.where, name);
    return error_now(err, "nothing: this is a test");
}

/* Counts the operation. True if the plan's fault strikes at this one. */
static bool strikes(struct fault_store *f, enum fault_operation operation)
{
    struct fault_plan *plan = f->plan;
    unsigned long number;

    if (plan->operation != FAULT_ANY && plan->operation != operation)
        return false;
    number = atomic_fetch_add(&plan->count, 1) + 1;
    if (plan->at == 0)
        return false;
    return number == plan->at || (plan->mode == FAULT_OUTAGE && number > plan->at);
}

/* Before an operation that the fault strikes: true if it is to be done at all. */
static bool goes_on(const struct fault_plan *plan)
{
    switch (plan->mode) {
    case FAULT_FAIL:
    case FAULT_OUTAGE:
        return false;
    case FAULT_TEAR:
    case FAULT_KILL:
        die();
    case FAULT_FAIL_AFTER:
    case FAULT_KILL_AFTER:
        break;
    }
    return true;
}

/* After it: rc is what it returned. A failure of its own is no lost answer, and stays. */
static enum rc answer(const struct fault_store *f, enum fault_operation operation, const char *name,
                      enum rc rc, struct error *err)
{
    if (f->plan->mode == FAULT_KILL_AFTER)
        die();
    return rc == RC_OK ? failed(f, operation, name, err) : rc;
}

static struct fault_store *fault_store_of(struct store *s)
{
    return (struct fault_store *)s;
}

static enum rc fault_put(struct store *s, const char *name, const void *data, size_t len,
                         const struct store_put_how *how, struct error *err)
{
    struct fault_store *f = fault_store_of(s);

    if (!strikes(f, FAULT_PUT))
        return store_put_as(f->inner, name, data, len, how, err);
    if (f->plan->mode == FAULT_TEAR && strcmp(f->inner->ops->driver, "posix") == 0)
        tear_put(f->inner, name, data, len);
    if (!goes_on(f->plan))
        return failed(f, FAULT_PUT, name, err);
    return answer(f, FAULT_PUT, name, store_put_as(f->inner, name, data, len, how, err), err);
}

static enum rc inner_get(struct fault_store *f, const char *name, uint64_t offset, size_t len,
                         struct buf *to, struct error *err)
{
    return len == STORE_WHOLE ? store_get(f->inner, name, to, err)
                              : store_get_range(f->inner, name, offset, len, to, err);
}

static enum rc fault_get(struct store *s, const char *name, uint64_t offset, size_t len,
                         struct buf *to, struct error *err)
{
    struct fault_store *f = fault_store_of(s);

    if (!strikes(f, FAULT_GET))
        return inner_get(f, name, offset, len, to, err);
    if (!goes_on(f->plan))
        return failed(f, FAULT_GET, name, err);
    return answer(f, FAULT_GET, name, inner_get(f, name, offset, len, to, err), err);
}

static enum rc fault_head(struct store *s, const char *name, struct store_info *ret,
                          struct error *err)
{
    struct fault_store *f = fault_store_of(s);
    struct store_info lost;

    if (!strikes(f, FAULT_HEAD))
        return store_head(f->inner, name, ret, err);
    if (!goes_on(f->plan))
        return failed(f, FAULT_HEAD, name, err);
    return answer(f, FAULT_HEAD, name, store_head(f->inner, name, &lost, err), err);
}

static enum rc fault_list(struct store *s, const char *prefix, store_list_fn *fn, void *ctx,
                          struct error *err)
{
    struct fault_store *f = fault_store_of(s);

    if (!strikes(f, FAULT_LIST))
        return store_list(f->inner, prefix, fn, ctx, err);
    if (!goes_on(f->plan))
        return failed(f, FAULT_LIST, prefix, err);
    return answer(f, FAULT_LIST, prefix, store_list(f->inner, prefix, fn, ctx, err), err);
}

static enum rc fault_remove(struct store *s, const char *name, struct error *err)
{
    struct fault_store *f = fault_store_of(s);

    if (!strikes(f, FAULT_REMOVE))
        return store_remove(f->inner, name, err);
    if (!goes_on(f->plan))
        return failed(f, FAULT_REMOVE, name, err);
    return answer(f, FAULT_REMOVE, name, store_remove(f->inner, name, err), err);
}

static enum rc fault_lock(struct store *s, const char *name, moment_us until, struct error *err)
{
    return store_lock(fault_store_of(s)->inner, name, until, err);
}

static enum rc fault_credentials(struct store *s, char **ret, struct error *err)
{
    return store_credentials(fault_store_of(s)->inner, ret, err);
}

static enum rc fault_examine(struct store *s, store_finding_fn *fn, void *ctx, struct error *err)
{
    return store_examine(fault_store_of(s)->inner, fn, ctx, err);
}

static enum rc fault_sweep(struct store *s, moment_us before, unsigned *ret_removed,
                           struct error *err)
{
    return store_sweep(fault_store_of(s)->inner, before, ret_removed, err);
}

static enum rc fault_dup(struct store *s, struct store **ret, struct error *err)
{
    struct store *inner;

    TRY(store_dup(fault_store_of(s)->inner, &inner, err));
    *ret = store_fault_wrap(inner, fault_store_of(s)->plan);
    return RC_OK;
}

static void fault_close(struct store *s)
{
    store_close(fault_store_of(s)->inner);
    free(s->where);
    free(s);
}

static const struct store_ops fault_ops = {
    .driver = "fault",
    .put = fault_put,
    .get = fault_get,
    .head = fault_head,
    .list = fault_list,
    .remove = fault_remove,
    .remove_many = store_remove_each, /* each is an operation of its own */
    .lock = fault_lock,
    .examine = fault_examine,
    .credentials = fault_credentials,
    .sweep = fault_sweep,
    .dup = fault_dup,
    .close = fault_close,
};

struct store *store_fault_wrap(struct store *inner, struct fault_plan *plan)
{
    struct fault_store *f = mem_zalloc(sizeof(*f));

    f->store.ops = &fault_ops;
    f->store.where = str_dup(inner->where);
    f->inner = inner;
    f->plan = plan;
    return &f->store;
}
