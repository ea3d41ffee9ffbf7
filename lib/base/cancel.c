#include "base/cancel.h"

#include <stdatomic.h>
#include <string.h>

static atomic_int requested; /* lock-free, so a signal handler may set it */

void cancel_request(int signal_number)
{
    atomic_store(&requested, signal_number);
}

int cancel_signal(void)
{
    return atomic_load(&requested);
}

enum rc cancel_check(struct error *err)
{
    int n = cancel_signal();

    if (!n)
        return RC_OK;
    return error_set(err, RC_CANCELLED, "stopped by signal %d (%s)", n, strsignal(n));
}
