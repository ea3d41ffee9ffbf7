/*
 * The fault-injecting proxy between curl and a server of the test's own, which counts what it
 * hears: each fault is there as the client sees it, and the server was asked or not.
 */
#include "support/fault_proxy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "support/fault_proxy_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES 300000 /* several pieces */

/* ---- a server: GET gives BODY_BYTES, PUT counts what it is given ---- */

struct server {
    int listener;
    int port;
    pthread_t thread;
    atomic_uint requests;  /* answered */
    atomic_uint bytes_put; /* of the last body that came, whole or not */
    atomic_bool conditional;
};

static char body_byte(size_t i)
{
    return (char)('a' + i % 26);
}

static size_t take_body(int fd, const struct proxy_head *h)
{
    uint64_t length = proxy_head_length(h);
    char piece[10000];
    size_t done = 0;

    if (proxy_head_has(h, "Expect", "100-continue"))
        proxy_send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    while (length != UINT64_MAX && done < length) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);

        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void send_framed(int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

    proxy_send_all(fd, head, strlen(head));
}

static void send_body(int fd)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT"
        "\r\nContent-Length: 300000\r\n\r\n";
    char *body = mem_alloc(BODY_BYTES);

    for (size_t i = 0; i < BODY_BYTES; i++)
        body[i] = body_byte(i);
    (void)(proxy_send_all(fd, head, strlen(head)) && proxy_send_all(fd, body, BODY_BYTES));
    free(body);
}

static void answer(struct server *s, int fd)
{
    struct proxy_head h;
    size_t len;

    if (!proxy_head_read(fd, &h))
        return;
    if (strstr(h.text, "/early")) { /* refused before the body was heard */
        proxy_send_all(fd, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 38);
        return;
    }
    s->conditional = proxy_head_has(&h, "If-None-Match", "*");
    len = take_body(fd, &h);
    s->bytes_put = (unsigned)len;
    if (len < proxy_head_length(&h) && proxy_head_length(&h) != UINT64_MAX)
        return;
    s->requests++;
    if (strstr(h.text, "/framed"))
        send_framed(fd);
    else if (strncmp(h.text, "GET", 3) == 0)
        send_body(fd);
    else
        proxy_send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
}

static void *serve(void *ctx)
{
    struct server *s = ctx;
    int fd;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        answer(s, fd);
        close(fd);
    }
    return NULL;
}

static void start_server(struct server *s)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);

    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&here, len), 0);
    assert_int_equal(listen(s->listener, 20), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&here, &len), 0);
    s->port = ntohs(here.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

/* ---- a client, and the proxy between ---- */

struct fixture {
    struct server server;
    struct fault_proxy *proxy;
    CURL *curl;
    char *got;
    size_t got_len;
    char headers[4000];
    long status;
    long connects; /* connections that the last request opened */
};

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    char url[40];

    start_server(&f->server);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", f->server.port);
    f->proxy = fault_proxy_start(url);
    f->curl = curl_easy_init();
    assert_non_null(f->curl);
    curl_easy_setopt(f->curl, CURLOPT_TIMEOUT, 30L); /* a fault that fails to come is no wait */
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    curl_easy_cleanup(f->curl);
    fault_proxy_stop(f->proxy);
    stop_server(&f->server);
    free(f->got);
    free(f);
    return 0;
}

static size_t keep_body(char *data, size_t size, size_t n, void *ctx)
{
    struct fixture *f = ctx;

    f->got = mem_realloc(f->got, f->got_len + size * n + 1);
    memcpy(f->got + f->got_len, data, size * n);
    f->got_len += size * n;
    f->got[f->got_len] = '\0';
    return size * n;
}

static size_t keep_header(char *data, size_t size, size_t n, void *ctx)
{
    struct fixture *f = ctx;
    size_t used = strlen(f->headers);

    snprintf(f->headers + used, sizeof(f->headers) - used, "%.*s", (int)(size * n), data);
    return size * n;
}

static size_t give_body(char *to, size_t size, size_t n, void *ctx)
{
    size_t *left = ctx;
    size_t len = size * n < *left ? size * n : *left;

    memset(to, 'p', len);
    *left -= len;
    return len;
}

static CURLcode perform(struct fixture *f, const char *path, const char *header)
{
    struct curl_slist *headers = curl_slist_append(NULL, header ? header : "X-Nothing: 1");
    char url[200];
    CURLcode code;

    snprintf(url, sizeof(url), "%s%s", fault_proxy_url(f->proxy), path);
    f->got_len = 0;
    f->headers[0] = '\0';
    curl_easy_setopt(f->curl, CURLOPT_URL, url);
    curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(f->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(f->curl, CURLOPT_HEADERFUNCTION, keep_header);
    curl_easy_setopt(f->curl, CURLOPT_HEADERDATA, f);
    code = curl_easy_perform(f->curl);
    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &f->status);
    curl_easy_getinfo(f->curl, CURLINFO_NUM_CONNECTS, &f->connects);
    curl_slist_free_all(headers);
    return code;
}

static CURLcode get(struct fixture *f, const char *path)
{
    curl_easy_setopt(f->curl, CURLOPT_HTTPGET, 1L);
    return perform(f, path, NULL);
}

static CURLcode put(struct fixture *f, const char *path, size_t len, const char *header)
{
    size_t left = len;

    curl_easy_setopt(f->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(f->curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(f->curl, CURLOPT_READDATA, &left);
    curl_easy_setopt(f->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)len);
    return perform(f, path, header);
}

static void assert_whole(struct fixture *f)
{
    assert_int_equal(f->got_len, BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES; i++)
        if (f->got[i] != body_byte(i))
            fail_msg("byte %zu is 0x%02x", i, (uint8_t)f->got[i]);
}

/* ---- tests ---- */

static void passes_through_and_counts(void **state)
{
    struct fixture *f = *state;
    double at[2] = {0, 0};

    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_whole(f);
    assert_int_equal(put(f, "/b", BODY_BYTES, "Expect:"), CURLE_OK);
    assert_int_equal(f->connects, 0); /* the connection stays open */
    assert_int_equal(put(f, "/b", 32 << 20, "Expect: 100-continue"), CURLE_OK);
    assert_int_equal(f->server.bytes_put, 32 << 20);
    assert_non_null(strstr(f->headers, "100 Continue"));
    assert_int_equal(fault_proxy_seen(f->proxy, "PUT", at, 2), 2);
    assert_true(at[0] > 0 && at[1] >= at[0]);
    assert_int_equal(fault_proxy_seen(f->proxy, NULL, NULL, 0), 3);
    fault_proxy_forget(f->proxy);
    assert_int_equal(fault_proxy_seen(f->proxy, NULL, NULL, 0), 0);
    assert_int_equal(get(f, "/framed"), CURLE_OK);
    assert_string_equal(f->got, "hello world");
}

static void refusals_before_the_body_arrive(void **state)
{
    struct fixture *f = *state;

    put(f, "/early", 32 << 20, "Expect:");
    assert_int_equal(f->status, 403);
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_whole(f);
}

static void rules_match_and_count(void **state)
{
    struct fixture *f = *state;
    const struct proxy_rule rule = {.method = "GET",
                                    .path = "/packs/",
                                    .act = PROXY_STATUS,
                                    .status = 503,
                                    .code = "SlowDown",
                                    .headers = "Retry-After: 1\r\n",
                                    .skip = 1,
                                    .times = 2};
    static const long expected[] = {200, 503, 503, 200};

    fault_proxy_set(f->proxy, rule);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(get(f, "/packs/x"), CURLE_OK);
        assert_int_equal(f->status, expected[i]);
        if (f->status == 503) {
            assert_non_null(strstr(f->got, "<Code>SlowDown</Code>"));
            assert_non_null(strstr(f->headers, "Retry-After: 1\r\n"));
        }
        assert_int_equal(f->connects, i == 0);
    }
    assert_int_equal(fault_proxy_hits(f->proxy, 0), 2);
    assert_int_equal(f->server.requests, 2);
    fault_proxy_set(f->proxy, rule);
    assert_int_equal(get(f, "/other"), CURLE_OK);
    assert_int_equal(put(f, "/packs/x", 5, NULL), CURLE_OK);
    assert_int_equal(f->server.requests, 4);
    assert_int_equal(fault_proxy_hits(f->proxy, 0), 0);
}

static void first_rule_wins(void **state)
{
    struct fixture *f = *state;

    fault_proxy_set(f->proxy,
                    (struct proxy_rule){.path = "/b", .act = PROXY_STATUS, .status = 404});
    assert_int_equal(
        fault_proxy_add(f->proxy, (struct proxy_rule){.act = PROXY_STATUS, .status = 500}), 1);
    get(f, "/b");
    assert_int_equal(f->status, 404);
    get(f, "/a");
    assert_int_equal(f->status, 500);
    fault_proxy_clear(f->proxy);
    get(f, "/b");
    assert_int_equal(f->status, 200);
}

static void canned_answers_come_with_or_without_the_work(void **state)
{
    struct fixture *f = *state;

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_STATUS, .status = 500});
    assert_int_equal(put(f, "/a", 100, "Expect:"), CURLE_OK);
    assert_int_equal(f->status, 500);
    put(f, "/a", 100, "Expect: 100-continue");
    assert_int_equal(f->status, 500);
    assert_int_equal(f->server.requests, 0);
    fault_proxy_set(f->proxy, (struct proxy_rule){
                                  .act = PROXY_STATUS_AFTER, .status = 200, .body = "<Error/>"});
    assert_int_equal(put(f, "/a", 100, "Expect: 100-continue"), CURLE_OK);
    assert_int_equal(f->status, 200);
    assert_string_equal(f->got, "<Error/>");
    assert_int_equal(f->server.requests, 1);
}

static void requests_break(void **state)
{
    struct fixture *f = *state;

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_DROP, .times = 1});
    assert_int_not_equal(put(f, "/a", 100, NULL), CURLE_OK);
    assert_int_equal(f->server.requests, 0);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_DROP_AFTER, .times = 1});
    assert_int_not_equal(put(f, "/a", 100, NULL), CURLE_OK);
    assert_int_equal(f->server.requests, 1);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_RESET_REQUEST, .at = 70000});
    assert_int_not_equal(put(f, "/a", BODY_BYTES, "Expect:"), CURLE_OK);
    assert_int_equal(f->server.requests, 1);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_CLOSE_AFTER, .times = 1});
    assert_int_equal(put(f, "/a", 100, NULL), CURLE_GOT_NOTHING);
    assert_int_equal(f->server.requests, 2);
    curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, 300L);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_STALL_AFTER});
    assert_int_equal(put(f, "/a", 100, NULL), CURLE_OPERATION_TIMEDOUT);
    assert_int_equal(f->server.requests, 3);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_STALL_REQUEST, .at = 70000});
    assert_int_equal(put(f, "/a", 32 << 20, "Expect:"), CURLE_OPERATION_TIMEDOUT);
    assert_int_equal(f->server.requests, 3);
}

static void answers_break(void **state)
{
    struct fixture *f = *state;
    static const uint64_t at[] = {0, 1, 70000, BODY_BYTES - 1};

    for (size_t i = 0; i < 4; i++) {
        fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_RESET_ANSWER, .at = at[i]});
        assert_int_equal(get(f, "/a"), CURLE_RECV_ERROR);
        assert_int_equal(f->got_len, at[i]);
        fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_CUT, .at = at[i]});
        assert_int_equal(get(f, "/a"), CURLE_PARTIAL_FILE);
        assert_int_equal(f->got_len, at[i]);
    }
    curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, 300L);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_STALL, .at = 70000});
    assert_int_equal(get(f, "/a"), CURLE_OPERATION_TIMEDOUT);
    assert_int_equal(f->got_len, 70000);
}

static void answers_change(void **state)
{
    struct fixture *f = *state;

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_FLIP, .at = 70001});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_int_equal((uint8_t)f->got[70001], (uint8_t)~body_byte(70001));
    f->got[70001] = body_byte(70001);
    assert_whole(f);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_EMPTY});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_int_equal(f->got_len, 0);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_LENGTH, .by = 10});
    assert_int_equal(get(f, "/a"), CURLE_PARTIAL_FILE);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_LENGTH, .by = -10});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_int_equal(f->got_len, BODY_BYTES - 10);
    curl_easy_setopt(f->curl, CURLOPT_FRESH_CONNECT, 1L); /* ten bytes wait on the old one */
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_REMOVE_HEADER, .headers = "etag"});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_null(strstr(f->headers, "ETag"));
    assert_whole(f);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_DATE, .by = 86400L * 365 * 50});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_null(strstr(f->headers, "21 Nov 2026 12:00:00"));
    assert_non_null(strstr(f->headers, "Date: "));
    fault_proxy_clear(f->proxy);
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_non_null(strstr(f->headers, "ETag"));
    assert_non_null(strstr(f->headers, "21 Nov 2026 12:00:00"));
}

static void request_headers_are_removed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "/a", 5, "If-None-Match: *"), CURLE_OK);
    assert_true(f->server.conditional);
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_REMOVE_REQUEST_HEADER,
                                                  .headers = "If-None-Match"});
    assert_int_equal(put(f, "/a", 5, "If-None-Match: *"), CURLE_OK);
    assert_false(f->server.conditional);
}

static void slow_and_late_is_whole(void **state)
{
    struct fixture *f = *state;
    double begin = clock_monotonic();

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_SLOW, .at = BODY_BYTES * 2});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_whole(f);
    assert_true(clock_monotonic() - begin >= 0.4);
    begin = clock_monotonic();
    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_DELAY, .by = 200});
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_whole(f);
    assert_true(clock_monotonic() - begin >= 0.2);
}

static void *get_in_thread(void *ctx)
{
    struct fixture *f = ctx;

    return get(f, "/a") == CURLE_OK ? f : NULL;
}

static void requests_are_held(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *good = NULL;

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_HOLD});
    assert_int_equal(pthread_create(&thread, NULL, get_in_thread, f), 0);
    assert_true(fault_proxy_wait_held(f->proxy, 1));
    assert_int_equal(f->server.requests, 0);
    fault_proxy_release(f->proxy);
    pthread_join(thread, &good);
    assert_ptr_equal(good, f);
    assert_int_equal(f->server.requests, 1);
}

static void leaves_and_returns(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, "/a"), CURLE_OK);
    fault_proxy_leave(f->proxy);
    assert_int_equal(get(f, "/a"), CURLE_COULDNT_CONNECT);
    fault_proxy_return(f->proxy);
    assert_int_equal(get(f, "/a"), CURLE_OK);
    assert_whole(f);
}

/* What is held or stalled does not keep the proxy from ending. */
static void stops_in_the_middle(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *good = f;

    fault_proxy_set(f->proxy, (struct proxy_rule){.act = PROXY_HOLD});
    assert_int_equal(pthread_create(&thread, NULL, get_in_thread, f), 0);
    assert_true(fault_proxy_wait_held(f->proxy, 1));
    fault_proxy_stop(f->proxy);
    f->proxy = NULL;
    pthread_join(thread, &good);
    assert_null(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_through_and_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_before_the_body_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rules_match_and_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(first_rule_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(canned_answers_come_with_or_without_the_work, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(requests_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_headers_are_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_and_late_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_are_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_and_returns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stops_in_the_middle, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
