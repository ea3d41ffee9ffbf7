/*
 * The bounded pool: a fixed number of threads work on items that one producer hands in. The queue
 * is bounded, so a producer that is faster waits. The first error stops the pool: items that have
 * not begun are dropped, pool_submit and pool_finish return that error.
 *
 *     pool_new(4, 64, work, ctx, &pool)
 *     while (...) TRY(pool_submit(pool, item, err));
 *     rc = pool_finish(pool, err);      // waits, joins, frees
 */
#ifndef PGPROOF_BASE_POOL_H
#define PGPROOF_BASE_POOL_H

#include "base/error.h"

#include <stddef.h>

struct pool;

/*
 * Works on one item in thread number `worker` (0 .. workers-1; things that belong to one thread are
 * kept in an array by it). With item NULL it is called once per worker at the end, after the last
 * item, if no error happened: time to flush. Errors go into err as everywhere.
 */
typedef enum rc pool_work(void *ctx, unsigned worker, void *item, struct error *err);

/* Threads start at once. Signals are blocked in them. workers >= 1. */
MUST_CHECK enum rc pool_new(unsigned workers, size_t queue_length, pool_work *work, void *ctx,
                            struct pool **ret, struct error *err);

/* Hand in one item (not NULL); waits while the queue is full. */
MUST_CHECK enum rc pool_submit(struct pool *p, void *item, struct error *err);

/* No more items: wait for all, flush, join, free the pool. */
MUST_CHECK enum rc pool_finish(struct pool *p, struct error *err);

/* Drop what has not begun, join and free; no flush. Takes NULL. For error paths. */
void pool_abort(struct pool *p);

#endif
