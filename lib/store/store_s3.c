#include "store/store_int.h"

enum rc store_s3_open(const struct store_options *o, struct store **ret, struct error *err)
{
    (void)o;
    (void)ret;
    return error_set(err, RC_REFUSED, "this build has no S3 driver");
}
