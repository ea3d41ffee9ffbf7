/*
 * Cancellation: signal handlers only set the flag; long work looks at it at chunk boundaries and
 * returns RC_CANCELLED.
 */
#ifndef PGPROOF_BASE_CANCEL_H
#define PGPROOF_BASE_CANCEL_H

#include "base/error.h"

void cancel_request(int signal_number); /* async-signal-safe */
int cancel_signal(void);                /* 0, or the signal that asked */
MUST_CHECK enum rc cancel_check(struct error *err);

#endif
