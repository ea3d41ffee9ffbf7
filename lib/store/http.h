/*
 * One HTTP/1.1 exchange over libcurl: what S3 and the services that give credentials are spoken
 * with. Knows nothing of S3.
 *
 * A struct http keeps its connection open for the next exchange; one thread at a time uses it.
 * It holds two buffers of 512 kB (libcurl's, one for each direction); bodies are not copied
 * besides. Proxies come from the environment (http_proxy, https_proxy, no_proxy), as curl reads
 * them. Certificates are always checked; there is no switch against it. Redirects are not followed.
 */
#ifndef PGPROOF_STORE_HTTP_H
#define PGPROOF_STORE_HTTP_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "codec/hash.h"

struct http_options {
    const char *ca_file;      /* PEM file of the authorities to trust; NULL: the system's */
    unsigned connect_seconds; /* to resolve, connect and agree on TLS; 0: 10 */
    unsigned stall_seconds;   /* this long without a byte in either direction ends it; 0: 60 */
    bool no_proxy;            /* whatever the environment says */
};

struct http_request {
    const char *method;         /* "PUT" */
    const char *url;            /* encoded as it goes out */
    const char *const *headers; /* "Name: value" lines; NULL-terminated; may be NULL */
    const void *body;
    size_t body_len;        /* sent with Content-Length, also 0 with PUT and POST */
    unsigned total_seconds; /* the whole exchange; 0: only the limits above */
    struct sha256_sum *sum; /* begun here, and given the body of a 2xx as it comes; may be NULL */
};

/* How an exchange ended. */
enum http_end {
    HTTP_ANSWERED,    /* an answer came, whole; its status may be anything */
    HTTP_UNREACHABLE, /* no such host, no connection: the request was not sent */
    HTTP_UNTRUSTED,   /* the server's certificate is not to be trusted, or TLS can't be agreed on */
    HTTP_STALLED,     /* a time limit passed; the request may have been carried out */
    HTTP_BROKEN,      /* the connection was lost; the request may have been carried out */
    HTTP_TOO_BIG,     /* the body of the answer is more than `to` takes */
    HTTP_STOPPED,     /* cancelled (RC_CANCELLED) */
};

struct http_answer {
    enum http_end end;
    int status;         /* 0 where none came */
    bool resent;        /* a kept connection broke, and the request went out a second time: the
                           first may have been carried out, and this answer is to the second */
    moment_us date;     /* of the server's Date header; MOMENT_NONE without */
    struct buf problem; /* the body of a status other than 2xx; at most 64 kB of it */
};
#define HTTP_ANSWER_INIT ((struct http_answer){.date = MOMENT_NONE, .problem = BUF_INIT(65536)})
#define CLEANUP_ANSWER   CLEANUP(http_answer_done)
void http_answer_done(struct http_answer *a);

struct http;
MUST_CHECK enum rc http_open(const struct http_options *o, struct http **ret, struct error *err);
void http_close(struct http *h); /* takes NULL */
DEFINE_CLEANUP(cleanup_http, struct http *, http_close)
#define CLEANUP_HTTP CLEANUP(cleanup_http)

/*
 * RC_OK where an answer came whole, of any status; the body of a 2xx is appended to `to` (may be
 * NULL: then a body is dropped). Else RC_STORAGE, RC_CANCELLED or RC_CONFIG (a CA file that can't
 * be used), and a->end says how it ended; what was appended to `to` is then taken back. The error
 * is on the URL's scheme, host and port, never on its query. May be used again with the same
 * answer: it is cleared first.
 */
MUST_CHECK enum rc http_exchange(struct http *h, const struct http_request *q, struct buf *to,
                                 struct http_answer *a, struct error *err);

/* A header of the last answer, or NULL; valid until the next exchange. Any case. */
const char *http_header(struct http *h, const char *name);

/* A date as HTTP writes it (RFC 9110, 5.6.7). */
bool http_date_parse(const char *text, moment_us *ret);

#endif
