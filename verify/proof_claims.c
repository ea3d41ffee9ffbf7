#include "verify/proof_claims.h"

static const char *const proven_by[CHECK_COUNT] = {
    [CHECK_ARCHIVE] = "Every WAL segment that leads from this backup to the target is archived.",
    [CHECK_RESTORE] = "Every file of the backup could be fetched, decoded and written, and matched "
                      "its checksums.",
    [CHECK_RECOVERY] = "PostgreSQL starts on the restored files, replays the archived WAL and "
                       "answers queries.",
    [CHECK_TARGET] = "Recovery stopped at the target that it was given, not somewhere before it.",
    [CHECK_ROWS] = "Every table that was counted at the backup has exactly as many rows.",
    [CHECK_PROMOTION] = "The restored cluster can be promoted to a writable server.",
    [CHECK_INDEXES] = "Every valid B-tree index is in order and leads to every row of its table.",
    [CHECK_HEAPS] = "The pages, tuples and TOAST pointers of every table are well formed.",
    [CHECK_TABLES] = "Every table can be read from its first page to its last.",
    [CHECK_COLLATIONS] = "Collations sort on this host as the database remembers them.",
};

void claims_proven(const struct proof *p, claim_fn *fn, void *ctx)
{
    for (int i = 0; i < CHECK_COUNT; i++)
        if (p->checks[i].verdict == VERDICT_PASSED)
            fn(ctx, proven_by[i]);
}

void claims_not_proven(const struct proof *p, claim_fn *fn, void *ctx)
{
    if (p->checks[CHECK_ROWS].verdict == VERDICT_PASSED)
        fn(ctx, "What the rows say: they were counted, their contents were not compared.");
    else
        fn(ctx, "That the rows are the rows: neither their number nor their contents is proven.");
    fn(ctx, "Anything written after the recovery target, and how much a disaster now would lose.");
    if (p->not_covered.total > 0)
        fn(ctx, "What stands under \"not covered\".");
    if (p->not_loaded.total > 0)
        fn(ctx, "What the preload libraries do that the scratch instance did not load.");
    fn(ctx, "Other backups, and other moments that the archive could reach.");
}
