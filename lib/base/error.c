#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rc error_set(struct error *err, enum rc rc, const char *fmt, ...)
{
    char text[sizeof(err->what)]; /* the arguments may point into err */
    va_list va;

    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    *err = (struct error){.rc = rc};
    memcpy(err->what, text, sizeof(text));
    return rc;
}

enum rc error_set_errno(struct error *err, enum rc rc, int sys_errno, const char *fmt, ...)
{
    char text[sizeof(err->what)], reason[128];
    va_list va;

    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    error_set(err, rc, "%.*s: %s", (int)(sizeof(text) - sizeof(reason) - 3), text,
              strerror_r(sys_errno, reason, sizeof(reason)));
    err->sys_errno = sys_errno;
    return rc;
}

enum rc error_on(struct error *err, const char *fmt, ...)
{
    va_list va;

    if (err->on[0])
        return err->rc;
    va_start(va, fmt);
    vsnprintf(err->on, sizeof(err->on), fmt, va);
    va_end(va);
    return err->rc;
}

enum rc error_now(struct error *err, const char *fmt, ...)
{
    va_list va;

    if (err->now[0])
        return err->rc;
    va_start(va, fmt);
    vsnprintf(err->now, sizeof(err->now), fmt, va);
    va_end(va);
    return err->rc;
}

enum rc error_prefix(struct error *err, const char *fmt, ...)
{
    char text[sizeof(err->what)], whole[2 * sizeof(err->what) + 3];
    va_list va;

    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    snprintf(whole, sizeof(whole), "%s: %s", text, err->what);
    whole[sizeof(err->what) - 1] = '\0';
    memcpy(err->what, whole, sizeof(err->what));
    return err->rc;
}

enum rc error_reclass(struct error *err, enum rc rc)
{
    err->rc = rc;
    return rc;
}

const char *rc_name(enum rc rc)
{
    static const char *const names[] = {
        [RC_OK] = "ok",
        [RC_NOT_FOUND] = "not found",
        [RC_EXISTS] = "exists",
        [RC_USAGE] = "usage",
        [RC_CONFIG] = "configuration",
        [RC_STORAGE] = "storage",
        [RC_SYSTEM] = "system",
        [RC_DATABASE] = "database",
        [RC_INTEGRITY] = "integrity",
        [RC_BUSY] = "busy",
        [RC_CANCELLED] = "cancelled",
        [RC_REFUSED] = "refused",
        [RC_NOMEM] = "no memory",
        [RC_BUG] = "bug",
    };

    return (size_t)rc < sizeof(names) / sizeof(*names) ? names[rc] : "unknown";
}

void bug_abort(const char *file, int line, const char *fmt, ...)
{
    va_list va;

    fprintf(stderr, "pgproof: this is a bug in pgproof, at %s:%d: ", file, line);
    va_start(va, fmt);
    vfprintf(stderr, fmt, va);
    va_end(va);
    fputc('\n', stderr);
    abort();
}
