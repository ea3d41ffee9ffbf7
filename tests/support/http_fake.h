/*
 * A server for services that no real server here can play: instance metadata, a container's
 * credentials, a token service. One thread on 127.0.0.1 (or [::1]) takes one request after another,
 * writes it down and gives the answer that was set for it.
 *
 *     struct http_fake *f = http_fake_start("127.0.0.1");
 *     http_fake_set(f, (struct fake_answer){.method = "GET", .path = "/keys", .body = json});
 *     ... http_fake_url(f) ...
 *     assert_int_equal(http_fake_count(f, "GET", "/keys"), 1);
 *     http_fake_stop(f);
 */
#ifndef PGPROOF_TESTS_HTTP_FAKE_H
#define PGPROOF_TESTS_HTTP_FAKE_H

#include <stdbool.h>
#include <stddef.h>

struct fake_answer {
    const char *method; /* of the requests that it is for, */
    const char *path;   /* and how their path begins */
    int status;         /* 0: 200 */
    const char *body;   /* NULL: empty; copied */
    unsigned delay_ms;  /* before the answer */
    bool drop;          /* close the connection instead */
};

struct fake_request {
    char method[16];
    char path[1024];
    char *head; /* the header lines */
    char *body;
};

struct http_fake;
struct http_fake *http_fake_start(const char *address);
void http_fake_stop(struct http_fake *f);             /* takes NULL */
const char *http_fake_url(const struct http_fake *f); /* "http://127.0.0.1:40001" */

/* The latest that fits a request answers it; where none fits, it is 404. */
void http_fake_set(struct http_fake *f, struct fake_answer a);

/* How many requests with this method and beginning of their path there were. */
size_t http_fake_count(struct http_fake *f, const char *method, const char *path);
/* The last of them, or a failed test. Valid until http_fake_stop. */
const struct fake_request *http_fake_last(struct http_fake *f, const char *method,
                                          const char *path);
/* The value of a header, cut to the size, or "". Returns `to`. */
const char *fake_header(const struct fake_request *q, const char *name, char *to, size_t size);

#endif
