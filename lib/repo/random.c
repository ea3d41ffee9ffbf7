#include "repo/random_int.h"

#include <errno.h>
#include <sys/random.h>

enum rc random_bytes(void *to, size_t len, struct error *err)
{
    BUG_IF(len > RANDOM_MAX);
    for (;;) {
        ssize_t n = getrandom(to, len, 0);
        if (n == (ssize_t)len)
            return RC_OK;
        if (n < 0 && errno != EINTR)
            return error_set_errno(err, RC_SYSTEM, errno, "could not get random bytes");
    }
}
