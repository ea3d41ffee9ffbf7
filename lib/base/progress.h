/*
 * Progress counters: workers add, one observer (app) reads and draws. Adding costs an atomic
 * addition; nothing here prints.
 */
#ifndef PGPROOF_BASE_PROGRESS_H
#define PGPROOF_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

struct progress {
    _Atomic uint64_t bytes_done;
    _Atomic uint64_t bytes_total; /* 0: not known */
    _Atomic uint64_t files_done;
    _Atomic uint64_t files_total;
    _Atomic uint64_t bytes_stored; /* what went to, or came from, the repository */
    _Atomic(const char *) phase;   /* a literal: "copying files" */
};

static inline void progress_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
