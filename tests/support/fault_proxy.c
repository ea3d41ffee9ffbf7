#include "support/fault_proxy.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "support/fault_proxy_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_RULES    16
#define HELD_SECONDS 30

struct standing_rule {
    struct proxy_rule rule;
    unsigned matched; /* requests, those that passed unharmed included */
    unsigned hits;
};

struct seen {
    char method[12];
    double at;
};

struct fault_proxy {
    struct sockaddr_storage server;
    socklen_t server_len;
    char url[40];
    int port;
    int listener;
    pthread_t acceptor;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    struct arena *strings; /* of all rules that ever stood: a request may still have an old one */
    struct standing_rule rules[MAX_RULES];
    unsigned rule_count;
    struct seen *seen;
    size_t seen_count, seen_capacity;
    unsigned held;
    unsigned releases;
    bool stopping; /* or gone */
    struct proxy_link *links;
};

/* ---- rules and counts ---- */

static void copy_strings(struct arena *memory, struct proxy_rule *r)
{
    const char **strings[] = {&r->method, &r->path,    &r->header, &r->code,
                              &r->body,   &r->headers, &r->secret};

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        *strings[i] = arena_strdup(memory, *strings[i]);
}

static unsigned add(struct fault_proxy *p, const struct proxy_rule *rule)
{
    BUG_IF(p->rule_count == MAX_RULES);
    p->rules[p->rule_count] = (struct standing_rule){.rule = *rule};
    copy_strings(p->strings, &p->rules[p->rule_count].rule);
    return p->rule_count++;
}

unsigned fault_proxy_add(struct fault_proxy *p, struct proxy_rule rule)
{
    unsigned number;

    pthread_mutex_lock(&p->lock);
    number = add(p, &rule);
    pthread_mutex_unlock(&p->lock);
    return number;
}

void fault_proxy_set(struct fault_proxy *p, struct proxy_rule rule)
{
    pthread_mutex_lock(&p->lock);
    p->rule_count = 0;
    add(p, &rule);
    pthread_mutex_unlock(&p->lock);
}

void fault_proxy_clear(struct fault_proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->rule_count = 0;
    pthread_mutex_unlock(&p->lock);
}

unsigned fault_proxy_hits(struct fault_proxy *p, unsigned rule)
{
    unsigned hits;

    pthread_mutex_lock(&p->lock);
    BUG_IF(rule >= p->rule_count);
    hits = p->rules[rule].hits;
    pthread_mutex_unlock(&p->lock);
    return hits;
}

size_t fault_proxy_seen(struct fault_proxy *p, const char *method, double *ret_at, size_t max)
{
    size_t count = 0;

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->seen_count; i++) {
        if (method && !str_eq(p->seen[i].method, method))
            continue;
        if (count < max)
            ret_at[count] = p->seen[i].at;
        count++;
    }
    pthread_mutex_unlock(&p->lock);
    return count;
}

void fault_proxy_forget(struct fault_proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->seen_count = 0;
    pthread_mutex_unlock(&p->lock);
}

static bool matches(const struct proxy_rule *r, const char *method, const char *target,
                    const struct proxy_head *head)
{
    return (!r->method || str_eq(r->method, method)) && (!r->path || strstr(target, r->path)) &&
           (!r->header || strstr(head->text, r->header));
}

static bool treats(struct standing_rule *s)
{
    const struct proxy_rule *r = &s->rule;

    if (s->matched++ < r->skip || (r->times && s->hits == r->times))
        return false;
    s->hits++;
    return true;
}

static void note(struct fault_proxy *p, const char *method)
{
    struct seen *s;

    p->seen = mem_grow(p->seen, p->seen_count, &p->seen_capacity, sizeof(*p->seen));
    s = &p->seen[p->seen_count++];
    str_copy(s->method, sizeof(s->method), method);
    s->at = clock_monotonic();
}

bool proxy_begin(struct fault_proxy *p, const char *method, const char *target,
                 const struct proxy_head *head, struct proxy_rule *ret)
{
    bool found = false;

    pthread_mutex_lock(&p->lock);
    note(p, method);
    for (unsigned i = 0; i < p->rule_count && !found; i++)
        if (matches(&p->rules[i].rule, method, target, head) && treats(&p->rules[i])) {
            *ret = p->rules[i].rule;
            found = true;
        }
    pthread_mutex_unlock(&p->lock);
    return found;
}

/* ---- waiting ---- */

void proxy_hold(struct fault_proxy *p)
{
    unsigned before;

    pthread_mutex_lock(&p->lock);
    before = p->releases;
    p->held++;
    pthread_cond_broadcast(&p->changed);
    while (p->releases == before && !p->stopping)
        pthread_cond_wait(&p->changed, &p->lock);
    p->held--;
    pthread_mutex_unlock(&p->lock);
}

void fault_proxy_release(struct fault_proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->releases++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static struct timespec in_ms(long ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

bool fault_proxy_wait_held(struct fault_proxy *p, unsigned count)
{
    struct timespec end = in_ms(HELD_SECONDS * 1000);
    bool held;

    pthread_mutex_lock(&p->lock);
    while (p->held < count && pthread_cond_timedwait(&p->changed, &p->lock, &end) != ETIMEDOUT)
        ;
    held = p->held >= count;
    pthread_mutex_unlock(&p->lock);
    return held;
}

bool proxy_nap(struct fault_proxy *p, long ms)
{
    struct timespec end = in_ms(ms);
    bool go_on;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping && pthread_cond_timedwait(&p->changed, &p->lock, &end) != ETIMEDOUT)
        ;
    go_on = !p->stopping;
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

/* ---- connections ---- */

bool proxy_link_ask(struct proxy_link *l)
{
    struct fault_proxy *p = l->proxy;
    int fd = socket(p->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    bool stopping;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&p->server, p->server_len) != 0) {
        close(fd);
        return false;
    }
    pthread_mutex_lock(&p->lock);
    l->server = fd;
    stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return !stopping;
}

static void close_one(struct fault_proxy *p, int *fd)
{
    pthread_mutex_lock(&p->lock);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    pthread_mutex_unlock(&p->lock);
}

void proxy_link_hang_up(struct proxy_link *l)
{
    close_one(l->proxy, &l->server);
}

/* What was sent is with the client: a reset overtakes what still waits here. */
static void let_through(struct proxy_link *l)
{
    int waiting;

    for (int i = 0; i < 1000 && ioctl(l->client, SIOCOUTQ, &waiting) == 0 && waiting > 0; i++)
        if (!proxy_nap(l->proxy, 2))
            break;
}

void proxy_link_reset(struct proxy_link *l)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    let_through(l);
    setsockopt(l->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (l->server >= 0)
        setsockopt(l->server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void forget_link(struct proxy_link *l)
{
    struct fault_proxy *p = l->proxy;

    pthread_mutex_lock(&p->lock);
    for (struct proxy_link **at = &p->links; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    free(l);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void *serve(void *ctx)
{
    struct proxy_link *l = ctx;

    while (proxy_exchange(l))
        ;
    close_one(l->proxy, &l->server);
    close_one(l->proxy, &l->client);
    forget_link(l);
    return NULL;
}

static void start_link(struct fault_proxy *p, int client)
{
    struct proxy_link *l = mem_alloc(sizeof(*l));
    pthread_t thread;
    int on = 1;

    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    pthread_mutex_lock(&p->lock);
    *l = (struct proxy_link){.proxy = p, .client = client, .server = -1, .next = p->links};
    p->links = l;
    pthread_mutex_unlock(&p->lock);
    BUG_IF(pthread_create(&thread, NULL, serve, l) != 0);
    pthread_detach(thread);
}

static void *accept_clients(void *ctx)
{
    struct fault_proxy *p = ctx;
    int client;

    while ((client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        start_link(p, client);
    return NULL;
}

/* ---- coming and going ---- */

/* Threads inherit the mask: signals are for the test. */
static void start_acceptor(struct fault_proxy *p)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    BUG_IF(pthread_create(&p->acceptor, NULL, accept_clients, p) != 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fault_proxy_return(struct fault_proxy *p)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)p->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);
    int on = 1;

    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    BUG_IF(bind(p->listener, (struct sockaddr *)&here, len) != 0);
    BUG_IF(listen(p->listener, 64) != 0);
    BUG_IF(getsockname(p->listener, (struct sockaddr *)&here, &len) != 0);
    p->port = ntohs(here.sin_port);
    pthread_mutex_lock(&p->lock);
    p->stopping = false;
    pthread_mutex_unlock(&p->lock);
    start_acceptor(p);
}

static void end_links(struct fault_proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->changed);
    for (struct proxy_link *l = p->links; l; l = l->next) {
        if (l->client >= 0)
            shutdown(l->client, SHUT_RDWR);
        if (l->server >= 0)
            shutdown(l->server, SHUT_RDWR);
    }
    while (p->links)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void fault_proxy_leave(struct fault_proxy *p)
{
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->acceptor, NULL);
    close(p->listener);
    end_links(p);
}

static void find_server(struct fault_proxy *p, const char *server)
{
    CLEANUP_FREE char *host = str_dup(str_starts(server, "http://") ? server + 7 : server);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *colon = strrchr(host, ':');

    BUG_IF(!colon);
    *colon = '\0';
    BUG_IF(getaddrinfo(host, colon + 1, &hints, &found) != 0);
    memcpy(&p->server, found->ai_addr, found->ai_addrlen);
    p->server_len = found->ai_addrlen;
    freeaddrinfo(found);
}

struct fault_proxy *fault_proxy_start(const char *server)
{
    struct fault_proxy *p = mem_zalloc(sizeof(*p));
    pthread_condattr_t monotonic;

    find_server(p, server);
    p->strings = arena_new();
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &monotonic);
    fault_proxy_return(p);
    snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%d", p->port);
    return p;
}

const char *fault_proxy_url(const struct fault_proxy *p)
{
    return p->url;
}

void fault_proxy_stop(struct fault_proxy *p)
{
    if (!p)
        return;
    fault_proxy_leave(p);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    arena_free(p->strings);
    free(p->seen);
    free(p);
}
