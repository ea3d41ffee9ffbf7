#include "base/pool.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pool_thread {
    struct pool *pool;
    unsigned number;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    void **queue; /* a ring */
    size_t first, count, capacity;
    bool closed;        /* no more items will come */
    bool flush;         /* call work with NULL at the end */
    struct error error; /* the first one; rc is RC_OK until then */
    pool_work *work;
    void *ctx;
    unsigned workers;
    struct pool_thread *threads;
};

/* NULL: no more work for this thread. */
static void *take_item(struct pool *p)
{
    void *item = NULL;

    pthread_mutex_lock(&p->lock);
    while (!p->count && !p->closed && p->error.rc == RC_OK)
        pthread_cond_wait(&p->not_empty, &p->lock);
    if (p->count && p->error.rc == RC_OK) {
        item = p->queue[p->first];
        p->first = (p->first + 1) % p->capacity;
        p->count--;
        pthread_cond_signal(&p->not_full);
    }
    pthread_mutex_unlock(&p->lock);
    return item;
}

static void run_item(struct pool_thread *t, void *item)
{
    struct pool *p = t->pool;
    struct error err = {0};

    enum rc rc = p->work(p->ctx, t->number, item, &err);
    if (rc == RC_OK)
        return;
    err.rc = rc; /* what work returned decides: a failure must not pass for RC_OK */
    pthread_mutex_lock(&p->lock);
    if (p->error.rc == RC_OK)
        p->error = err;
    pthread_cond_broadcast(&p->not_empty);
    pthread_cond_broadcast(&p->not_full);
    pthread_mutex_unlock(&p->lock);
}

static bool may_flush(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    bool yes = p->flush && p->error.rc == RC_OK;
    pthread_mutex_unlock(&p->lock);
    return yes;
}

static void *thread_main(void *arg)
{
    struct pool_thread *t = arg;
    void *item;

    while ((item = take_item(t->pool)))
        run_item(t, item);
    if (may_flush(t->pool))
        run_item(t, NULL);
    return NULL;
}

/* Tell the threads that nothing more comes, and wait for them. */
static void close_and_join(struct pool *p, bool flush)
{
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    p->flush = flush;
    if (!flush)
        p->count = 0;
    pthread_cond_broadcast(&p->not_empty);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->workers; i++)
        pthread_join(p->threads[i].thread, NULL);
}

static void pool_free(struct pool *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->not_empty);
    pthread_cond_destroy(&p->not_full);
    free(p->queue);
    free(p->threads);
    free(p);
}

static int start_threads(struct pool *p, unsigned wanted)
{
    sigset_t all, old;
    int e = 0;

    sigfillset(&all); /* signals go to the thread that started us */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 0; i < wanted && !e; i++) {
        p->threads[i] = (struct pool_thread){.pool = p, .number = i};
        e = pthread_create(&p->threads[i].thread, NULL, thread_main, &p->threads[i]);
        if (!e)
            p->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e;
}

enum rc pool_new(unsigned workers, size_t queue_length, pool_work *work, void *ctx,
                 struct pool **ret, struct error *err)
{
    struct pool *p = mem_zalloc(sizeof(*p));

    BUG_IF(workers < 1 || queue_length < 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->not_empty, NULL);
    pthread_cond_init(&p->not_full, NULL);
    p->capacity = queue_length;
    p->queue = mem_array(NULL, queue_length, sizeof(*p->queue));
    p->threads = mem_array(NULL, workers, sizeof(*p->threads));
    p->work = work;
    p->ctx = ctx;
    int e = start_threads(p, workers);
    if (e) {
        pool_abort(p);
        error_set_errno(err, RC_SYSTEM, e, "could not start a thread");
        return error_now(err, "ask for fewer jobs, or raise the limit on processes (ulimit -u)");
    }
    *ret = p;
    return RC_OK;
}

enum rc pool_submit(struct pool *p, void *item, struct error *err)
{
    enum rc rc;

    BUG_IF(!item);
    pthread_mutex_lock(&p->lock);
    while (p->count == p->capacity && p->error.rc == RC_OK)
        pthread_cond_wait(&p->not_full, &p->lock);
    rc = p->error.rc;
    if (rc == RC_OK) {
        p->queue[(p->first + p->count) % p->capacity] = item;
        p->count++;
        pthread_cond_signal(&p->not_empty);
    } else {
        *err = p->error;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

enum rc pool_finish(struct pool *p, struct error *err)
{
    close_and_join(p, true);
    enum rc rc = p->error.rc;
    if (rc != RC_OK)
        *err = p->error;
    pool_free(p);
    return rc;
}

void pool_abort(struct pool *p)
{
    if (!p)
        return;
    close_and_join(p, false);
    pool_free(p);
}
