#include "support/fault_proxy_int.h"

#include "base/clock.h"
#include "store/aws_sign.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PIECE       65536
#define DRAIN_MS    2000 /* for what a client still sends behind an answer */
#define SLOW_PIECES 20   /* a second */

struct request {
    struct proxy_head head;
    char method[12];
    char target[4096];
    uint64_t body_left; /* not taken from the client yet */
    uint64_t body_cap;  /* of it, so much is passed on */
    bool expects;       /* 100-continue */
    bool last;          /* the client wants the connection closed */
};

/* ---- the client's side ---- */

static bool read_request(struct proxy_link *l, struct request *q)
{
    if (!proxy_head_read(l->client, &q->head) ||
        sscanf(q->head.text, "%11s %4095s", q->method, q->target) != 2)
        return false;
    q->body_left = proxy_head_length(&q->head);
    if (q->body_left == UINT64_MAX)
        q->body_left = 0;
    q->body_cap = UINT64_MAX;
    q->expects = proxy_head_has(&q->head, "Expect", "100-continue");
    q->last = proxy_head_has(&q->head, "Connection", "close");
    return true;
}

/* Take what is left of the body and drop it. A client that waits for leave to send it, or has
 * lost interest, need not send it. */
static bool drain(struct proxy_link *l, struct request *q, int patience_ms)
{
    char piece[PIECE];

    while (q->body_left > 0) {
        struct pollfd f = {.fd = l->client, .events = POLLIN};
        ssize_t n;

        if (poll(&f, 1, patience_ms) != 1)
            return false;
        n = recv(l->client, piece, q->body_left < PIECE ? (size_t)q->body_left : PIECE, 0);
        if (n <= 0)
            return false;
        q->body_left -= (uint64_t)n;
    }
    return true;
}

static const char *http_date(long off_seconds, char to[static 40])
{
    time_t t = time(NULL) + off_seconds;
    struct tm tm;

    strftime(to, 40, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
    return to;
}

static void canned_body(const struct proxy_rule *r, char *to, size_t to_size)
{
    if (r->code)
        snprintf(to, to_size,
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
                 "<Message>injected</Message><RequestId>FAULT</RequestId></Error>",
                 r->code);
    else
        to[0] = '\0';
}

static bool send_canned(struct proxy_link *l, const struct request *q, const struct proxy_rule *r,
                        bool last)
{
    char own[400], date[40], head[1000];
    const char *body = r->body ? r->body : own;
    size_t len;

    canned_body(r, own, sizeof(own));
    len = strlen(body);
    snprintf(head, sizeof(head),
             "HTTP/1.1 %d Injected\r\nDate: %s\r\nx-amz-request-id: FAULT\r\n%s%s%s"
             "Content-Length: %zu\r\n\r\n",
             r->status, http_date(r->by, date), r->code ? "Content-Type: application/xml\r\n" : "",
             r->headers ? r->headers : "", last ? "Connection: close\r\n" : "", len);
    if (!proxy_send_all(l->client, head, strlen(head)))
        return false;
    return strcmp(q->method, "HEAD") == 0 || proxy_send_all(l->client, body, len);
}

/* A client that waits for "100 Continue" hears the status in its place. */
static bool answer_canned(struct proxy_link *l, struct request *q, const struct proxy_rule *r)
{
    bool early = q->expects && q->body_left > 0;

    if (!early && !drain(l, q, -1))
        return false;
    if (!send_canned(l, q, r, early || q->last))
        return false;
    return early ? drain(l, q, DRAIN_MS) && false : !q->last;
}

static bool reset(struct proxy_link *l)
{
    proxy_link_reset(l);
    return false;
}

/* Until the client goes. */
static bool stall(struct proxy_link *l)
{
    struct pollfd f = {.fd = l->client, .events = POLLRDHUP};

    poll(&f, 1, -1);
    return false;
}

/* ---- to the server ---- */

static void move_clock(struct proxy_head *h, long by)
{
    char date[AWS_DATE_SIZE];

    proxy_head_remove(h, "x-amz-date");
    proxy_head_add(h, "x-amz-date: %s\r\n", aws_date(clock_now() + by * 1000000, date));
}

static bool send_head(struct proxy_link *l, struct request *q, const struct proxy_rule *r)
{
    struct proxy_head *h = &q->head;

    if (r->act == PROXY_REMOVE_REQUEST_HEADER)
        proxy_head_remove(h, r->headers);
    if (r->act == PROXY_CLIENT_CLOCK)
        move_clock(h, r->by);
    if (r->secret)
        proxy_head_sign(h, r->secret);
    proxy_head_remove(h, "Connection");
    proxy_head_add(h, "Connection: close\r\n");
    return proxy_link_ask(l) && proxy_send_all(l->server, h->text, h->len);
}

/* Body bytes on their way to the server. */
struct pipe {
    char data[PIECE];
    size_t begin, end;
    uint64_t passed;
};

static bool pull(struct proxy_link *l, struct request *q, struct pipe *p)
{
    uint64_t want = q->body_cap - p->passed;
    ssize_t n;

    if (want > q->body_left)
        want = q->body_left;
    n = recv(l->client, p->data, want < PIECE ? (size_t)want : PIECE, 0);
    if (n <= 0)
        return false;
    p->begin = 0;
    p->end = (size_t)n;
    q->body_left -= (uint64_t)n;
    return true;
}

static bool push(struct proxy_link *l, struct pipe *p)
{
    ssize_t n = send(l->server, p->data + p->begin, p->end - p->begin, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n <= 0)
        return false;
    p->begin += (size_t)n;
    p->passed += (uint64_t)n;
    return true;
}

enum asked { ASKED_ANSWERED, ASKED_CAPPED, ASKED_BROKEN };

/* 1xx answers go to the client; the final one ends it, also before the body's end. */
static enum asked hear(struct proxy_link *l, struct proxy_head *a, bool *ret_final)
{
    if (!proxy_head_read(l->server, a))
        return ASKED_BROKEN;
    *ret_final = proxy_head_status(a) >= 200;
    return *ret_final || proxy_send_all(l->client, a->text, a->len) ? ASKED_ANSWERED : ASKED_BROKEN;
}

/* The body to the server, until its answer's head has come. */
static enum asked ask(struct proxy_link *l, struct request *q, struct proxy_head *a)
{
    struct pipe p = {.begin = 0};
    bool final = false;

    while (!final) {
        bool full = p.begin < p.end;
        bool more = !full && q->body_left > 0;
        struct pollfd f[2] = {
            {.fd = l->server, .events = (short)(POLLIN | (full ? POLLOUT : 0))},
            {.fd = more ? l->client : -1, .events = POLLIN},
        };

        if (!full && p.passed == q->body_cap)
            return ASKED_CAPPED;
        poll(f, 2, -1);
        if (f[0].revents & ~POLLOUT) {
            if (hear(l, a, &final) != ASKED_ANSWERED)
                return ASKED_BROKEN;
        } else if ((f[0].revents && !push(l, &p)) || (f[1].revents && !pull(l, q, &p))) {
            return ASKED_BROKEN;
        }
    }
    return ASKED_ANSWERED;
}

/* ---- and back ---- */

static void move_length(struct proxy_head *a, long by)
{
    uint64_t length = proxy_head_length(a);

    proxy_head_remove(a, "Content-Length");
    proxy_head_add(a, "Content-Length: %lld\r\n", (long long)length + by);
}

static void change_head(struct proxy_head *a, const struct request *q, const struct proxy_rule *r)
{
    char date[40];

    proxy_head_remove(a, "Connection");
    if (q->last)
        proxy_head_add(a, "Connection: close\r\n");
    if (r->act == PROXY_REMOVE_HEADER)
        proxy_head_remove(a, r->headers);
    if (r->act == PROXY_LENGTH && proxy_head_length(a) != UINT64_MAX)
        move_length(a, r->by);
    if (r->act == PROXY_EMPTY) {
        proxy_head_remove(a, "Transfer-Encoding");
        proxy_head_remove(a, "Content-Length");
        proxy_head_add(a, "Content-Length: 0\r\n");
    }
    if (r->act == PROXY_DATE) {
        proxy_head_remove(a, "Date");
        proxy_head_add(a, "Date: %s\r\n", http_date(r->by, date));
    }
}

static uint64_t body_length(const struct request *q, const struct proxy_head *a)
{
    int status = proxy_head_status(a);

    return strcmp(q->method, "HEAD") == 0 || status == 204 || status == 304 ? 0
                                                                            : proxy_head_length(a);
}

/* How many bytes may go in one piece, `done` being sent: it ends where the rule wants something. */
static size_t piece_size(const struct proxy_rule *r, uint64_t done, uint64_t left)
{
    uint64_t most = PIECE;

    if (r->act == PROXY_SLOW)
        most = r->at / SLOW_PIECES + 1;
    else if (done < r->at)
        most = r->at - done;
    if (most > left)
        most = left;
    return most < PIECE ? (size_t)most : PIECE;
}

static bool ends_here(const struct proxy_rule *r, uint64_t done)
{
    return (r->act == PROXY_RESET_ANSWER || r->act == PROXY_CUT || r->act == PROXY_STALL) &&
           done == r->at;
}

static bool end_here(struct proxy_link *l, const struct proxy_rule *r)
{
    if (r->act == PROXY_RESET_ANSWER)
        return reset(l);
    return r->act == PROXY_STALL ? stall(l) : false;
}

/* Treat one piece and send it. */
static bool send_piece(struct proxy_link *l, const struct proxy_rule *r, uint64_t done, char *piece,
                       size_t len)
{
    if (r->act == PROXY_FLIP && done == r->at)
        piece[0] = (char)~piece[0];
    if (r->act == PROXY_SLOW && !proxy_nap(l->proxy, 1000 / SLOW_PIECES))
        return false;
    return r->act == PROXY_EMPTY || proxy_send_all(l->client, piece, len);
}

/* False: the connection can't be used again. */
static bool pass_body(struct proxy_link *l, const struct proxy_rule *r, uint64_t left)
{
    char piece[PIECE];
    uint64_t done = 0;

    for (;;) {
        ssize_t n;

        if (ends_here(r, done))
            return end_here(l, r);
        if (left == 0)
            return true;
        n = recv(l->server, piece, piece_size(r, done, left), 0);
        if (n <= 0)
            return n == 0 && left > UINT64_MAX / 2; /* without a length it ends there */
        if (!send_piece(l, r, done, piece, (size_t)n))
            return false;
        done += (uint64_t)n;
        left -= (uint64_t)n;
    }
}

/* Without a length or framing the end of the connection is the end of the body. */
static bool answer_ends_connection(const struct request *q, const struct proxy_rule *r,
                                   const struct proxy_head *a)
{
    return q->last || r->act == PROXY_LENGTH ||
           (body_length(q, a) == UINT64_MAX && !proxy_head_has(a, "Transfer-Encoding", "chunked"));
}

static bool pass_answer(struct proxy_link *l, struct request *q, const struct proxy_rule *r,
                        struct proxy_head *a)
{
    uint64_t length = body_length(q, a);
    bool last = answer_ends_connection(q, r, a);

    change_head(a, q, r);
    if (!proxy_send_all(l->client, a->text, a->len) || !pass_body(l, r, length))
        return false;
    return drain(l, q, DRAIN_MS) && !last;
}

/* ---- one request ---- */

static bool finish(struct proxy_link *l, struct request *q, const struct proxy_rule *r,
                   struct proxy_head *a)
{
    switch (r->act) {
    case PROXY_STATUS_AFTER:
        return answer_canned(l, q, r);
    case PROXY_DROP_AFTER:
        return reset(l);
    case PROXY_CLOSE_AFTER:
        return false;
    case PROXY_STALL_AFTER:
        return stall(l);
    default:
        return pass_answer(l, q, r, a);
    }
}

static bool pass_on(struct proxy_link *l, struct request *q, const struct proxy_rule *r)
{
    struct proxy_head a;

    if (r->act == PROXY_RESET_REQUEST || r->act == PROXY_STALL_REQUEST)
        q->body_cap = r->at;
    if (!send_head(l, q, r))
        return false;
    switch (ask(l, q, &a)) {
    case ASKED_ANSWERED:
        return finish(l, q, r, &a);
    case ASKED_CAPPED:
        if (r->act == PROXY_RESET_REQUEST)
            return reset(l);
        proxy_link_hang_up(l);
        return stall(l);
    case ASKED_BROKEN:
        break;
    }
    return false;
}

static bool treat(struct proxy_link *l, struct request *q, const struct proxy_rule *r)
{
    switch (r->act) {
    case PROXY_STATUS:
        return answer_canned(l, q, r);
    case PROXY_DROP:
        return (q->expects || drain(l, q, -1)) && reset(l);
    case PROXY_DELAY:
        if (!proxy_nap(l->proxy, r->by))
            return false;
        break;
    case PROXY_HOLD:
        proxy_hold(l->proxy);
        break;
    default:
        break;
    }
    return pass_on(l, q, r);
}

bool proxy_exchange(struct proxy_link *l)
{
    static const struct proxy_rule chunked = {.act = PROXY_STATUS, .status = 501};
    struct proxy_rule r = {.act = PROXY_PASS};
    struct request q;
    bool go_on;

    if (!read_request(l, &q))
        return false;
    if (proxy_head_has(&q.head, "Transfer-Encoding", "chunked"))
        return answer_canned(l, &q, &chunked) && false;
    proxy_begin(l->proxy, q.method, q.target, &q.head, &r);
    go_on = treat(l, &q, &r);
    proxy_link_hang_up(l);
    return go_on;
}
