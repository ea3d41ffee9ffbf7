/*
 * An HTTP/1.1 proxy that lets things go wrong between a client and a real server:
 *
 *     struct fault_proxy *p = fault_proxy_start("http://127.0.0.1:9000");
 *     ...  a client is pointed at fault_proxy_url(p) ...
 *     fault_proxy_set(p, (struct proxy_rule){.method = "PUT", .act = PROXY_STATUS, .status = 503,
 *                                            .code = "SlowDown", .times = 3});
 *     ...
 *     assert_int_equal(fault_proxy_hits(p, 0), 3);
 *     fault_proxy_stop(p);
 *
 * It listens on 127.0.0.1 and works in threads of the test's process: one for each connection of a
 * client, which stays open between requests, and a new connection to the server for each request.
 * Bodies stream through. The Host header passes unchanged, so signatures over it stay valid. All
 * functions may be called by any thread, and rules may be replaced while requests run; a request
 * keeps the rule that it began with. A failure of the proxy itself (no port, no thread) aborts.
 *
 * Requests with a chunked body are answered with 501. Where the server's answer is chunked, its
 * framing counts as body.
 */
#ifndef PGPROOF_SUPPORT_FAULT_PROXY_H
#define PGPROOF_SUPPORT_FAULT_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proxy_act {
    PROXY_PASS, /* nothing; for counting */

    /* The server is not asked. */
    PROXY_STATUS, /* answer `status`, with `headers`, and an S3 error `code` or the `body` given */
    PROXY_DROP,   /* take the whole request, then reset */

    /* The request is changed or broken. */
    PROXY_DELAY,                 /* pass it on after `by` milliseconds */
    PROXY_HOLD,                  /* pass it on after fault_proxy_release */
    PROXY_RESET_REQUEST,         /* pass on `at` bytes of its body, then reset both sides */
    PROXY_STALL_REQUEST,         /* pass on `at` bytes of its body, then hang up on the
                                    server and read no more */
    PROXY_REMOVE_REQUEST_HEADER, /* the one in `headers`: its name alone; see `secret` */
    PROXY_CLIENT_CLOCK,          /* x-amz-date is `by` seconds off; see `secret` */

    /* The server has done its work; the answer is replaced. */
    PROXY_STATUS_AFTER, /* as PROXY_STATUS */
    PROXY_DROP_AFTER,   /* reset */
    PROXY_CLOSE_AFTER,  /* closed in good order */
    PROXY_STALL_AFTER,  /* nothing comes */

    /* The answer is changed or broken. Its body ends, or changes, behind `at` bytes. */
    PROXY_RESET_ANSWER,
    PROXY_CUT,           /* closed in good order, but Content-Length promised more */
    PROXY_STALL,         /* nothing more comes; the connection stays open */
    PROXY_FLIP,          /* the next byte is inverted */
    PROXY_SLOW,          /* `at` bytes a second */
    PROXY_EMPTY,         /* no body, and Content-Length says so */
    PROXY_LENGTH,        /* Content-Length is `by` too high or, negative, too low */
    PROXY_DATE,          /* Date is `by` seconds off */
    PROXY_REMOVE_HEADER, /* the one in `headers`: its name alone */
};

struct proxy_rule {
    const char *method; /* NULL: any */
    const char *path;   /* part of the path and query; NULL: any */
    const char *header; /* part of the head, such as "Credential=AKID/"; NULL: any */
    unsigned skip;      /* this many matching requests pass unharmed first */
    unsigned times;     /* then this many are treated; 0: all */

    enum proxy_act act;
    uint64_t at;
    long by; /* also moves the Date of PROXY_STATUS and PROXY_STATUS_AFTER, by seconds */
    int status;
    const char *code;    /* "SlowDown"; NULL and no body: the answer is empty */
    const char *body;    /* instead of an S3 error */
    const char *headers; /* whole lines: "Retry-After: 1\r\n" */
    const char *secret;  /* the secret access key: the changed request is signed anew with it, so
                            that the server hears what a client without the header, or with such a
                            clock, would say */
};

struct fault_proxy;

/* `server` is "http://HOST:PORT"; nobody needs to listen there yet. */
struct fault_proxy *fault_proxy_start(const char *server);
void fault_proxy_stop(struct fault_proxy *p);             /* ends all connections; takes NULL */
const char *fault_proxy_url(const struct fault_proxy *p); /* "http://127.0.0.1:PORT" */

/* This rule alone, or none. Its strings are copied. */
void fault_proxy_set(struct fault_proxy *p, struct proxy_rule rule);
void fault_proxy_clear(struct fault_proxy *p);
/* Behind the others: the first that matches is taken. Returns its number, from 0. */
unsigned fault_proxy_add(struct fault_proxy *p, struct proxy_rule rule);
/* How many requests that rule has treated. */
unsigned fault_proxy_hits(struct fault_proxy *p, unsigned rule);

/* How many requests of that method (NULL: any) came since the last fault_proxy_forget. Into ret_at
 * goes when the first `max` of them came, in clock_monotonic's seconds; it may be NULL with 0. */
size_t fault_proxy_seen(struct fault_proxy *p, const char *method, double *ret_at, size_t max);
void fault_proxy_forget(struct fault_proxy *p);

/* Wait until `count` requests are held; false: they did not come within 30 seconds. */
bool fault_proxy_wait_held(struct fault_proxy *p, unsigned count);
void fault_proxy_release(struct fault_proxy *p); /* all that are held now */

/* The server is gone: open connections end, new ones are refused, until it comes back, on the
 * same port. */
void fault_proxy_leave(struct fault_proxy *p);
void fault_proxy_return(struct fault_proxy *p);

#endif
