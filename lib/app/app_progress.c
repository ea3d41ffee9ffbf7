/* Draw progress counters from a thread of their own. */
#include "app/app_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define BAR_INTERVAL_MS   200
#define PLAIN_INTERVAL_MS 30000

struct app_progress {
    const struct app *app;
    struct progress *counters;
    struct pool *pool;
    pthread_mutex_t mutex;
    pthread_cond_t stop_changed;
    bool stop;

    const char *phase; /* the rate counts from its beginning */
    double phase_began;
    uint64_t phase_bytes;
};

static struct progress_state observe(struct app_progress *ap)
{
    struct progress *p = ap->counters;
    struct progress_state s = {.phase = atomic_load(&p->phase),
                               .bytes_done = atomic_load(&p->bytes_done),
                               .bytes_total = atomic_load(&p->bytes_total),
                               .files_done = atomic_load(&p->files_done),
                               .files_total = atomic_load(&p->files_total)};

    if (s.phase != ap->phase || s.bytes_done < ap->phase_bytes) {
        ap->phase = s.phase;
        ap->phase_began = clock_monotonic();
        ap->phase_bytes = s.bytes_done;
    }
    double seconds = clock_monotonic() - ap->phase_began;
    if (seconds >= 1)
        s.bytes_per_second = (double)(s.bytes_done - ap->phase_bytes) / seconds;
    return s;
}

static void draw(struct app_progress *ap)
{
    struct progress_state s = observe(ap);
    char line[512];

    if (ap->app->err_is_terminal) {
        progress_text(&s, terminal_width(), line, sizeof(line));
        terminal_bar(line);
    } else {
        progress_text(&s, 0, line, sizeof(line));
        terminal_line("%s: %s", ap->app->tool->name, line);
    }
}

/* True when it is time to stop. */
static bool wait_for_stop(struct app_progress *ap, unsigned ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&ap->mutex);
    while (!ap->stop && pthread_cond_timedwait(&ap->stop_changed, &ap->mutex, &until) == 0)
        ;
    bool stop = ap->stop;
    pthread_mutex_unlock(&ap->mutex);
    return stop;
}

static enum rc draw_until_stopped(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct app_progress *ap = ctx;

    (void)worker;
    (void)err;
    if (!item) /* the pool's flush */
        return RC_OK;
    observe(ap);
    while (!wait_for_stop(ap, ap->app->err_is_terminal ? BAR_INTERVAL_MS : PLAIN_INTERVAL_MS))
        draw(ap);
    return RC_OK;
}

static void init_condition(pthread_cond_t *c)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void progress_free(struct app_progress *ap)
{
    pthread_cond_destroy(&ap->stop_changed);
    pthread_mutex_destroy(&ap->mutex);
    free(ap);
}

/* Work goes on without it where there is no thread to be had. */
struct app_progress *app_progress_start(const struct app *a, struct progress *p)
{
    struct error ignored = {0};

    if (a->quiet)
        return NULL;
    struct app_progress *ap = mem_zalloc(sizeof(*ap));
    ap->app = a;
    ap->counters = p;
    pthread_mutex_init(&ap->mutex, NULL);
    init_condition(&ap->stop_changed);
    if (pool_new(1, 1, draw_until_stopped, ap, &ap->pool, &ignored) != RC_OK ||
        pool_submit(ap->pool, ap, &ignored) != RC_OK) {
        pool_abort(ap->pool);
        progress_free(ap);
        return NULL;
    }
    return ap;
}

void app_progress_stop(struct app_progress *ap)
{
    struct error ignored = {0};

    if (!ap)
        return;
    pthread_mutex_lock(&ap->mutex);
    ap->stop = true;
    pthread_cond_signal(&ap->stop_changed);
    pthread_mutex_unlock(&ap->mutex);
    if (pool_finish(ap->pool, &ignored) != RC_OK)
        log_debug("the progress thread ended: %s", ignored.what);
    terminal_bar(NULL);
    progress_free(ap);
}
