#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static struct {
    pthread_mutex_t lock;
    log_sink *sink;
    void *ctx;
    enum log_level threshold;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_set_sink(log_sink *sink, void *ctx, enum log_level threshold)
{
    state.sink = sink;
    state.ctx = ctx;
    state.threshold = threshold;
}

void log_message(enum log_level level, const char *fmt, ...)
{
    char text[2048];
    va_list va;

    if (!state.sink || level < state.threshold)
        return;
    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    pthread_mutex_lock(&state.lock);
    state.sink(state.ctx, level, text);
    pthread_mutex_unlock(&state.lock);
}
