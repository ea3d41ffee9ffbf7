/* The S3 driver keeps the contract of every store, against the real server of the environment. */
#include "base/str.h"
#include "support/s3_fixture.h"
#include "support/store_contract.h"

#include <stdio.h>
#include <stdlib.h>

/* A bucket for each test, so that it can be lost. */
struct s3_case {
    const char *bucket;
};

static void begin(void *ctx)
{
    struct s3_case *c = ctx;

    c->bucket = s3fix_bucket(S3FIX_PLAIN);
}

static void end(void *ctx)
{
    (void)ctx;
}

static enum rc open_case(void *ctx, struct store **ret, struct error *err)
{
    struct s3_case *c = ctx;
    struct store_options o = s3fix_options(c->bucket);

    return store_open(&o, ret, err);
}

static void lose(void *ctx)
{
    struct s3_case *c = ctx;

    s3fix_bucket_drop(c->bucket);
}

#define DIES "s3rver ends where a directory goes away under a writer"

static const struct store_contract_gap s3rver_gaps[] = {
    {"of_two_threads_one_wins", DIES},
    {"of_two_processes_one_wins", DIES},
    {"puts_and_removals_get_along", DIES},
    {"a_killed_writer_leaves_nothing_visible", "s3rver keeps what came of a body that was cut off"},
    {NULL, NULL},
};

int main(void)
{
    struct s3_case ctx = {0};
    const char *kind = s3fix_setting_or("KIND");
    CLEANUP_FREE char *name = str_printf("s3, %s", kind ? kind : "no server");
    struct store_contract c = {
        .name = name,
        .ctx = &ctx,
        .begin = begin,
        .end = end,
        .open = open_case,
        .lose = lose,
        .many = getenv("PGPROOF_SOAK") ? 2500 : 1100, /* pages have 1000 */
        .gaps = str_eq(kind, "s3rver") ? s3rver_gaps : NULL,
        /* s3rver's files have longer names than its objects, and the file system's limit */
        .longest_component = str_eq(kind, "s3rver") ? 220 : 0,
    };

    return store_contract_run(&c) ? 1 : 0;
}
