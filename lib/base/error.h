/*
 * The one error type.
 *
 * A function that can fail returns `enum rc` and takes `struct error *err` as its last parameter.
 * On anything but RC_OK it has filled `err` and left its `ret_` outputs untouched. RC_OK leaves
 * `err` as it was. Libraries neither print nor exit: the error travels up to `main`, and app turns
 * it into a message and an exit code.
 *
 * A message has three parts, so that somebody who reads it at 3 a.m. knows what to do:
 *
 *     what   what failed and why     "could not read the pack: it is 12 bytes long"
 *     on     on what                 "clusters/main/packs/3f/3f02..."
 *     now    what to do now          "run pgproof-verify data to see which backups it spoils"
 *
 * Calling sequence:
 *
 *     error_set(err, RC_INTEGRITY, "page checksum does not match");
 *     error_on(err, "%s, block %u", path, block);
 *     return error_now(err, "restore from an earlier backup");
 *
 * A caller may fill in parts that the callee left empty (error_on, error_now never replace) and
 * may put context in front of `what` (error_prefix).
 */
#ifndef PGPROOF_BASE_ERROR_H
#define PGPROOF_BASE_ERROR_H

#include <stdbool.h>

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))

enum rc {
    RC_OK = 0,
    RC_NOT_FOUND, /* the thing is proven to be absent; never a guess after a failure */
    RC_EXISTS,    /* the name is taken; nothing was changed */
    RC_USAGE,     /* the command line makes no sense */
    RC_CONFIG,    /* the configuration makes no sense */
    RC_STORAGE,   /* the repository's storage failed or could not be reached */
    RC_SYSTEM,    /* the operating system refused something outside the repository */
    RC_DATABASE,  /* a PostgreSQL server refused or could not be reached */
    RC_INTEGRITY, /* bytes are proven not to be what they should be */
    RC_BUSY,      /* somebody else holds the lock */
    RC_CANCELLED, /* a signal asked us to stop */
    RC_REFUSED,   /* it would do harm or can't succeed, so nothing was begun */
    RC_NOMEM,     /* a size was refused or memory ran out */
    RC_BUG,       /* an invariant of ours does not hold */
};

struct error {
    enum rc rc;
    int sys_errno;  /* errno where the operating system was the cause, else 0 */
    bool transient; /* trying again later may help */
    char what[1024];
    char on[1024];
    char now[512];
};

/* Start a new error with its first part; the other parts become empty. Returns rc. */
enum rc error_set(struct error *err, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same, with ": strerror(sys_errno)" behind the text. Returns rc. */
enum rc error_set_errno(struct error *err, enum rc rc, int sys_errno, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Fill in part two or three if it is still empty. Both return err->rc. */
enum rc error_on(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum rc error_now(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put "text: " in front of part one. Returns err->rc. */
enum rc error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Change the class of an error on its way up. Returns rc. */
enum rc error_reclass(struct error *err, enum rc rc);

/* A short English word for rc, e.g. "integrity". Never NULL. */
const char *rc_name(enum rc rc);

/* A broken invariant of our own: says where and aborts. */
#define BUG(...) bug_abort(__FILE__, __LINE__, __VA_ARGS__)
#define BUG_IF(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            BUG("%s", #cond);                                                                      \
    } while (0)
_Noreturn void bug_abort(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Return from the calling function if expr, an enum rc, is not RC_OK. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        enum rc try_rc_ = (expr);                                                                  \
        if (try_rc_ != RC_OK)                                                                      \
            return try_rc_;                                                                        \
    } while (0)

#endif
