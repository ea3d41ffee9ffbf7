/*
 * The posix driver keeps the contract, by each way to name objects, and so does the store that
 * injects faults while it injects none.
 */
#include "base/file.h"
#include "base/str.h"
#include "store/store_int.h"
#include "support/store_contract.h"
#include "support/store_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct posix_case {
    enum posix_naming naming;
    struct fault_plan *plan; /* or NULL */
    char *dir;               /* private; the repository is a directory in it */
    char *root;
};

static void begin(void *ctx)
{
    struct posix_case *c = ctx;
    const char *tmp = getenv("TMPDIR");

    c->dir = str_printf("%s/pgproof-contract-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(c->dir))
        BUG("could not make %s", c->dir);
    c->root = str_printf("%s/repo", c->dir);
}

static void end(void *ctx)
{
    struct posix_case *c = ctx;
    struct error err;

    if (file_remove_tree(c->dir, &err) != RC_OK)
        BUG("could not remove %s: %s", c->dir, err.what);
    free(c->root);
    free(c->dir);
}

static enum rc open_case(void *ctx, struct store **ret, struct error *err)
{
    struct posix_case *c = ctx;
    struct store_options o = {.type = STORE_POSIX, .path = c->root, .create = true};
    struct store *s;

    TRY(store_open(&o, &s, err));
    store_posix_set_naming(s, c->naming);
    *ret = c->plan ? store_fault_wrap(s, c->plan) : s;
    return RC_OK;
}

/* As an unmounted file system looks: its files live on where they are open, and the mount point is
 * there and empty. */
static void lose(void *ctx)
{
    struct posix_case *c = ctx;
    char *aside = str_printf("%s/unmounted", c->dir);

    if (rename(c->root, aside) != 0 || mkdir(c->root, 0700) != 0)
        BUG("could not move %s away", c->root);
    free(aside);
}

int main(void)
{
    static struct fault_plan no_fault = {.operation = FAULT_ANY};
    struct posix_case rename_case = {.naming = POSIX_NAMING_RENAME};
    struct posix_case link_case = {.naming = POSIX_NAMING_LINK};
    struct posix_case lock_case = {.naming = POSIX_NAMING_LOCK};
    struct posix_case fault_case = {.naming = POSIX_NAMING_RENAME, .plan = &no_fault};
    struct {
        const char *name;
        struct posix_case *ctx;
    } cases[] = {
        {"posix, by rename", &rename_case},
        {"posix, by link", &link_case},
        {"posix, by lock", &lock_case},
        {"posix under the fault store", &fault_case},
    };
    int failures = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_contract c = {
            .name = cases[i].name,
            .ctx = cases[i].ctx,
            .begin = begin,
            .end = end,
            .open = open_case,
            .lose = lose,
            .many = 2000,
        };

        failures += store_contract_run(&c);
    }
    return failures ? 1 : 0;
}
