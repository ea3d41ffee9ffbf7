/*
 * For fault_proxy*.c: the head of an HTTP message as text that can be changed, and what one
 * connection needs of the proxy that it belongs to.
 */
#ifndef PGPROOF_SUPPORT_FAULT_PROXY_INT_H
#define PGPROOF_SUPPORT_FAULT_PROXY_INT_H

#include "base/error.h"
#include "support/fault_proxy.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_HEAD_MAX 32768

/* From the first line to the empty one; NUL-terminated. */
struct proxy_head {
    char text[PROXY_HEAD_MAX + 4096]; /* with room for what is added */
    size_t len;
};

/* Read one, and nothing behind it. False: the connection ended, or this is none. */
bool proxy_head_read(int fd, struct proxy_head *h);

/* The value of a header, copied and cut to to_size - 1 bytes; false where there is none. */
bool proxy_head_value(const struct proxy_head *h, const char *name, char *to, size_t to_size);
bool proxy_head_has(const struct proxy_head *h, const char *name, const char *value);
void proxy_head_remove(struct proxy_head *h, const char *name);
/* Whole lines, behind the others. */
void proxy_head_add(struct proxy_head *h, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Signature Version 4 anew, over the headers that were signed before and are still there. */
void proxy_head_sign(struct proxy_head *h, const char *secret);

int proxy_head_status(const struct proxy_head *h);
/* UINT64_MAX where there is no Content-Length. */
uint64_t proxy_head_length(const struct proxy_head *h);

bool proxy_send_all(int fd, const void *data, size_t len);

/* One connection of a client. Its sockets are opened and closed by the functions below only, since
 * fault_proxy_stop shuts them down from another thread. */
struct proxy_link {
    struct fault_proxy *proxy;
    int client;
    int server; /* -1: none */
    struct proxy_link *next;
};

bool proxy_link_ask(struct proxy_link *l);     /* connect to the server */
void proxy_link_hang_up(struct proxy_link *l); /* on the server */
/* With a reset in the place of a good end, behind what the client was sent. */
void proxy_link_reset(struct proxy_link *l);

/* Count a request, and the rule for it; false: none. */
bool proxy_begin(struct fault_proxy *p, const char *method, const char *target,
                 const struct proxy_head *head, struct proxy_rule *ret);
void proxy_hold(struct fault_proxy *p);
/* False: the proxy stops. */
bool proxy_nap(struct fault_proxy *p, long ms);

/* One request and its answer. False: the connection is to be closed. */
bool proxy_exchange(struct proxy_link *l);

#endif
