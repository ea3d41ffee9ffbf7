/*
 * The log sink. Libraries report what may interest somebody who looks for a cause; only app decides
 * where it goes (stderr). The default sink drops everything.
 */
#ifndef PGPROOF_BASE_LOG_H
#define PGPROOF_BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

typedef void log_sink(void *ctx, enum log_level level, const char *message);

/* Set once at start-up, before threads. The sink is called from any thread, one at a time. */
void log_set_sink(log_sink *sink, void *ctx, enum log_level threshold);
void log_message(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...)   log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)    log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)

#endif
