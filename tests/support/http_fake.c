#include "support/http_fake.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX      32
#define REQUESTS_MAX     256
#define REQUEST_MAX_SIZE (256u << 10)
#define IDLE_SECONDS     10

struct http_fake {
    int listener;
    char url[64];
    pthread_t thread;

    pthread_mutex_t lock; /* for all below */
    struct fake_answer answers[ANSWERS_MAX];
    size_t answer_count;
    struct fake_request *requests[REQUESTS_MAX];
    size_t request_count;
};

static bool fits(const char *method, const char *path, const struct fake_request *q)
{
    return str_eq(method, q->method) && str_starts(q->path, path);
}

/* A copy of the answer; the body is malloc'ed. */
static struct fake_answer answer_for(struct http_fake *f, const struct fake_request *q)
{
    struct fake_answer a = {.status = 404, .body = "not set"};

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->answer_count; i++)
        if (fits(f->answers[i].method, f->answers[i].path, q))
            a = f->answers[i];
    a.body = str_dup(a.body ? a.body : "");
    pthread_mutex_unlock(&f->lock);
    return a;
}

/* Up to and with `want` bytes, or with the end of the head where want is 0. Where the body begins,
 * or 0 where the connection ended before. */
static size_t receive(int fd, struct buf *text, size_t want)
{
    char block[16384];
    struct error err;
    const char *s;

    for (;;) {
        if (buf_cstr(text, &s, &err) != RC_OK)
            return 0;
        const char *end = strstr(s, "\r\n\r\n");
        if (end && text->len >= want)
            return (size_t)(end + 4 - s);
        ssize_t n = recv(fd, block, sizeof(block), 0);
        if (n <= 0 || buf_append(text, block, (size_t)n, &err) != RC_OK)
            return 0;
    }
}

static struct fake_request *read_request(int fd)
{
    CLEANUP_BUF struct buf text = BUF_INIT(REQUEST_MAX_SIZE);
    struct fake_request *q = mem_zalloc(sizeof(*q));
    char length[32];
    size_t head_len = receive(fd, &text, 0);

    if (head_len == 0 || sscanf((const char *)text.data, "%15s %1023s", q->method, q->path) != 2) {
        free(q);
        return NULL;
    }
    q->head = str_printf("%.*s", (int)head_len, (const char *)text.data);
    receive(fd, &text, head_len + strtoul(fake_header(q, "Content-Length", length, 32), NULL, 10));
    q->body = str_printf("%.*s", (int)(text.len - head_len), (const char *)text.data + head_len);
    return q;
}

static void send_answer(int fd, const struct fake_answer *a)
{
    char *text = str_printf("HTTP/1.1 %d Set\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                            a->status ? a->status : 200, strlen(a->body), a->body);
    size_t len = strlen(text), sent = 0;
    ssize_t n = 1;

    while (sent < len && n > 0) {
        n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
    }
    free(text);
}

static void write_down(struct http_fake *f, struct fake_request *q)
{
    pthread_mutex_lock(&f->lock);
    BUG_IF(f->request_count == REQUESTS_MAX);
    f->requests[f->request_count++] = q;
    pthread_mutex_unlock(&f->lock);
}

static void serve(struct http_fake *f, int fd)
{
    struct timeval patience = {.tv_sec = IDLE_SECONDS};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    struct fake_request *q = read_request(fd);
    if (!q)
        return;
    write_down(f, q);
    struct fake_answer a = answer_for(f, q);
    if (a.delay_ms)
        clock_sleep_ms(a.delay_ms);
    if (!a.drop)
        send_answer(fd, &a);
    free((char *)(uintptr_t)a.body);
}

static void *run(void *ctx)
{
    struct http_fake *f = ctx;
    int fd;

    while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        serve(f, fd);
        close(fd);
    }
    return NULL; /* http_fake_stop shut the listener down */
}

static void listen_on(struct http_fake *f, const char *address)
{
    bool v6 = strchr(address, ':');
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr *a = v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = v6 ? sizeof(six) : sizeof(four);

    assert_int_equal(
        inet_pton(a->sa_family, address, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr), 1);
    f->listener = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->listener >= 0);
    assert_int_equal(bind(f->listener, a, len), 0);
    assert_int_equal(listen(f->listener, 64), 0);
    assert_int_equal(getsockname(f->listener, a, &len), 0);
    snprintf(f->url, sizeof(f->url), v6 ? "http://[%s]:%u" : "http://%s:%u", address,
             ntohs(v6 ? six.sin6_port : four.sin_port));
}

struct http_fake *http_fake_start(const char *address)
{
    struct http_fake *f = mem_zalloc(sizeof(*f));

    pthread_mutex_init(&f->lock, NULL);
    listen_on(f, address);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

void http_fake_stop(struct http_fake *f)
{
    if (!f)
        return;
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listener);
    for (size_t i = 0; i < f->answer_count; i++)
        free((char *)(uintptr_t)f->answers[i].body);
    for (size_t i = 0; i < f->request_count; i++) {
        free(f->requests[i]->head);
        free(f->requests[i]->body);
        free(f->requests[i]);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *http_fake_url(const struct http_fake *f)
{
    return f->url;
}

void http_fake_set(struct http_fake *f, struct fake_answer a)
{
    a.body = a.body ? str_dup(a.body) : NULL;
    pthread_mutex_lock(&f->lock);
    BUG_IF(f->answer_count == ANSWERS_MAX);
    f->answers[f->answer_count++] = a;
    pthread_mutex_unlock(&f->lock);
}

size_t http_fake_count(struct http_fake *f, const char *method, const char *path)
{
    size_t count = 0;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->request_count; i++)
        count += fits(method, path, f->requests[i]);
    pthread_mutex_unlock(&f->lock);
    return count;
}

const struct fake_request *http_fake_last(struct http_fake *f, const char *method, const char *path)
{
    const struct fake_request *last = NULL;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->request_count; i++)
        if (fits(method, path, f->requests[i]))
            last = f->requests[i];
    pthread_mutex_unlock(&f->lock);
    if (!last)
        fail_msg("no %s %s was asked", method, path);
    return last;
}

const char *fake_header(const struct fake_request *q, const char *name, char *to, size_t size)
{
    size_t n = strlen(name);

    to[0] = '\0';
    for (const char *line = strstr(q->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1 + strspn(line + n + 1, " ");
            snprintf(to, size, "%.*s", (int)strcspn(value, "\r"), value);
        }
    }
    return to;
}
