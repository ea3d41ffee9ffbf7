#include "store/store_s3_int.h"

enum rc s3_examine(struct store *s, store_finding_fn *fn, void *ctx, struct error *err)
{
    (void)fn;
    (void)ctx;
    return error_set(err, RC_REFUSED, "%s can't be examined", s->where);
}
