/*
 * What goes wrong on the way to a real S3 server and back: each fault passes unseen, or ends in the
 * right error, and whatever is said to be there is there byte for byte. What answers mean is in
 * test_s3_answers.c.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "support/s3_fixture.h"
#include "support/s3_proxied.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OBJECTS      6 /* of the race */

/* ---- statuses ---- */

static void statuses_that_pass_are_tried_again(void **state)
{
    static const struct proxy_rule answers[] = {
        {.status = 500, .code = "InternalError"},
        {.status = 503, .code = "SlowDown"},
        {.status = 503, .code = "ServiceUnavailable"},
        {.status = 429, .code = "TooManyRequests"},
        {.status = 408, .code = "RequestTimeout"},
        {.status = 409, .code = "OperationAborted"},
        {.status = 502, .body = "<html><title>502 Bad Gateway</title></html>"},
        {.status = 504},
    };

    for (size_t i = 0; i < COUNT(answers); i++)
        for (enum s3_op op = 0; op < S3_OPS; op++) {
            struct proxy_rule rule = answers[i];

            rule.act = PROXY_STATUS;
            rule.times = 1;
            s3_survives(*state, op, rule, 1);
        }
}

/* HEAD has no document: its 400 says nothing. */
static void requests_that_came_too_slowly_are_tried_again(void **state)
{
    static const char *const codes[] = {"RequestTimeout", "BadDigest", "IncompleteBody"};

    for (size_t i = 0; i < COUNT(codes); i++)
        for (enum s3_op op = 0; op < S3_OPS; op++)
            if (op != S3_HEAD)
                s3_survives(*state, op,
                            (struct proxy_rule){
                                .act = PROXY_STATUS, .status = 400, .code = codes[i], .times = 1},
                            1);
}

static void bursts_are_ridden_out(void **state)
{
    s3_survives(
        *state, S3_PUT,
        (struct proxy_rule){.act = PROXY_STATUS, .status = 503, .code = "SlowDown", .times = 4}, 4);
    s3_survives(*state, S3_GET,
                (struct proxy_rule){
                    .act = PROXY_STATUS, .status = 500, .code = "InternalError", .times = 4},
                4);
}

static double gap_of_gets(struct s3_proxied *f)
{
    double at[2] = {0, 0};

    assert_int_equal(fault_proxy_seen(f->proxy, "GET", at, 2), 2);
    fault_proxy_forget(f->proxy);
    return at[1] - at[0];
}

static void retry_after_is_respected(void **state)
{
    struct s3_proxied *f = *state;
    time_t then = time(NULL) + 4;
    char date[60];
    struct tm tm;

    s3_survives(f, S3_GET,
                (struct proxy_rule){.act = PROXY_STATUS,
                                    .status = 503,
                                    .code = "SlowDown",
                                    .headers = "Retry-After: 2\r\n",
                                    .times = 1},
                1);
    assert_true(gap_of_gets(f) >= 2);
    strftime(date, sizeof(date), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n",
             gmtime_r(&then, &tm));
    s3_survives(
        f, S3_GET,
        (struct proxy_rule){.act = PROXY_STATUS, .status = 429, .headers = date, .times = 1}, 1);
    assert_true(gap_of_gets(f) >= 1);
}

static void endless_trouble_ends(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 1);

    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK); /* now it knows the server */
    fault_proxy_set(f->proxy,
                    (struct proxy_rule){.act = PROXY_STATUS, .status = 503, .code = "SlowDown"});
    for (enum s3_op op = 0; op < S3_OPS; op++) {
        assert_int_equal(s3_do(f, s, op), RC_STORAGE);
        assert_true(f->err.transient);
        s3_assert_says(f, "503");
    }
    assert_true(fault_proxy_hits(f->proxy, 0) >= 2 * S3_OPS);
    fault_proxy_set(f->proxy,
                    s3_rule(S3_PUT, (struct proxy_rule){.act = PROXY_STATUS,
                                                        .status = 503,
                                                        .headers = "Retry-After: 86400\r\n"}));
    assert_int_equal(s3_do(f, s, S3_PUT), RC_STORAGE);
    assert_true(f->err.transient);
}

/* ---- connections that break ---- */

static void requests_that_break_are_sent_again(void **state)
{
    static const uint64_t at[] = {0, 1, 70000, S3_PROXIED_SIZE - 1, S3_PROXIED_SIZE};

    for (size_t i = 0; i < COUNT(at); i++)
        s3_survives(*state, S3_PUT,
                    (struct proxy_rule){.act = PROXY_RESET_REQUEST, .at = at[i], .times = 2}, 2);
    for (enum s3_op op = 0; op < S3_OPS; op++)
        s3_survives(*state, op, (struct proxy_rule){.act = PROXY_DROP, .times = 2}, 2);
}

static void answers_that_break_are_asked_for_again(void **state)
{
    static const uint64_t at[] = {0, 1, 70000, 149999};

    for (size_t i = 0; i < COUNT(at); i++)
        for (enum s3_op op = S3_GET; op <= S3_RANGE; op++) {
            s3_survives(*state, op,
                        (struct proxy_rule){.act = PROXY_RESET_ANSWER, .at = at[i], .times = 1}, 1);
            s3_survives(*state, op, (struct proxy_rule){.act = PROXY_CUT, .at = at[i], .times = 2},
                        2);
        }
    for (uint64_t cut = 0; cut < 250; cut += 83) {
        s3_survives(*state, S3_LIST, (struct proxy_rule){.act = PROXY_CUT, .at = cut, .times = 1},
                    1);
        s3_survives(*state, S3_REMOVE_MANY,
                    (struct proxy_rule){.act = PROXY_CUT, .at = cut / 2, .times = 1}, 1);
    }
}

static void stalls_are_given_up(void **state)
{
    static const struct {
        enum s3_op op;
        struct proxy_rule rule;
    } rows[] = {
        {S3_PUT, {.act = PROXY_STALL_REQUEST, .at = 70000, .times = 1}},
        {S3_PUT, {.act = PROXY_STALL_AFTER, .times = 1}},
        {S3_GET, {.act = PROXY_STALL, .at = 70000, .times = 1}},
        {S3_REMOVE, {.act = PROXY_STALL_AFTER, .times = 1}},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        s3_survives(*state, rows[i].op, rows[i].rule, 1);
}

/* Slow is no stall: what goes on is waited for, however long it takes. */
static void slow_answers_are_waited_for(void **state)
{
    struct s3_proxied *f = *state;

    fault_proxy_forget(f->proxy);
    s3_survives(
        f, S3_GET,
        (struct proxy_rule){.act = PROXY_SLOW, .at = S3_PROXIED_SIZE / (2 * S3_PROXIED_STALL)}, 1);
    assert_int_equal(fault_proxy_seen(f->proxy, "GET", NULL, 0), 1);
}

/* ---- answers that were lost after the work was done ---- */

static const struct proxy_rule lost[] = {
    {.act = PROXY_STATUS_AFTER, .status = 500, .code = "InternalError", .times = 1},
    {.act = PROXY_STATUS_AFTER, .status = 503, .code = "SlowDown", .times = 1},
    {.act = PROXY_STATUS_AFTER, .status = 502, .body = "<html/>", .times = 1},
    {.act = PROXY_STATUS_AFTER, .status = 200, .code = "InternalError", .times = 1},
    {.act = PROXY_STATUS_AFTER, .status = 408, .times = 1},
    {.act = PROXY_DROP_AFTER, .times = 1},
    {.act = PROXY_CLOSE_AFTER, .times = 1},
};

static void lost_answers_are_no_failure(void **state)
{
    for (size_t i = 0; i < COUNT(lost); i++)
        for (enum s3_op op = 0; op < S3_OPS; op++)
            if (op != S3_HEAD || lost[i].status != 200) /* a HEAD has no body that says otherwise */
                s3_survives(*state, op, lost[i], 1);
}

/* Where a connection that was used before breaks, libcurl sends a request again by itself if it has
 * heard nothing at all: so also of small objects, which it sends without asking first. */
static void lost_answers_to_small_puts_are_no_failure(void **state)
{
    struct s3_proxied *f = *state;
    static const size_t sizes[] = {0, 1, 1000, 100000};

    for (size_t i = 0; i < COUNT(lost); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            CLEANUP_BUF struct buf there = BUF_INIT(S3_PROXIED_SIZE);
            char name[50];

            snprintf(name, sizeof(name), "faults/object-small-%zu-%zu", i, j);
            fault_proxy_set(f->proxy, s3_rule(S3_PUT, lost[i]));
            if (store_put(f->store, name, s3_proxied_bytes(3), sizes[j], &f->err) != RC_OK)
                fail_msg("%zu bytes, fault %zu: %s", sizes[j], i, f->err.what);
            assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
            assert_int_equal(store_get(f->direct, name, &there, &f->err), RC_OK);
            assert_int_equal(there.len, sizes[j]);
            assert_true(sizes[j] == 0 || memcmp(there.data, s3_proxied_bytes(3), sizes[j]) == 0);
        }
}

/* On a connection that no request has used yet it does not. */
static void lost_answers_on_a_new_connection_are_no_failure(void **state)
{
    struct s3_proxied *f = *state;

    for (size_t i = 0; i < COUNT(lost); i++) {
        CLEANUP_STORE struct store *s = NULL;

        assert_int_equal(store_dup(f->store, &s, &f->err), RC_OK);
        fault_proxy_set(f->proxy, s3_rule(S3_PUT, lost[i]));
        assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
        assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
    }
}

/* The name was taken, and the answer that said so is lost. */
static void lost_refusals_stay_refusals(void **state)
{
    struct s3_proxied *f = *state;

    for (size_t i = 0; i < COUNT(lost); i++) {
        char name[40];

        snprintf(name, sizeof(name), "faults/object-taken-%zu", i);
        assert_int_equal(store_put(f->direct, name, s3_proxied_bytes(7), S3_PROXIED_SIZE, &f->err),
                         RC_OK);
        fault_proxy_set(f->proxy, s3_rule(S3_PUT, lost[i]));
        assert_int_equal(store_put(f->store, name, s3_proxied_bytes(0), S3_PROXIED_SIZE, &f->err),
                         RC_EXISTS);
        /* Where claims stand in for If-None-Match, nothing is put where something is. */
        assert_int_equal(fault_proxy_hits(f->proxy, 0), s3fix_is("s3rver") ? 0 : 1);
        s3_assert_holds(f, name, 7);
    }
}

/* A put that was answered is never taken for somebody else's. */
static void plain_refusals_stay_refusals(void **state)
{
    struct s3_proxied *f = *state;

    assert_int_equal(s3_do(f, f->store, S3_PUT), RC_OK);
    assert_int_equal(store_put(f->store, f->name, s3_proxied_bytes(0), S3_PROXIED_SIZE, &f->err),
                     RC_EXISTS);
    assert_int_equal(store_put(f->store, f->name, s3_proxied_bytes(7), S3_PROXIED_SIZE, &f->err),
                     RC_EXISTS);
    s3_assert_holds(f, f->name, 0);
}

/* ---- bodies that are not what they should be ---- */

static void flipped_bytes_are_never_delivered(void **state)
{
    struct s3_proxied *f = *state;
    static const uint64_t at[] = {0, 70000, S3_PROXIED_SIZE - 1};

    for (size_t i = 0; i < COUNT(at); i++)
        s3_survives(f, S3_GET, (struct proxy_rule){.act = PROXY_FLIP, .at = at[i], .times = 1}, 1);
    fault_proxy_set(f->proxy, s3_rule(S3_GET, (struct proxy_rule){.act = PROXY_FLIP, .at = 70000}));
    assert_int_equal(s3_do(f, f->store, S3_GET), RC_INTEGRITY);
    s3_assert_says(f, f->name);
}

static void wrong_lengths_are_never_delivered(void **state)
{
    static const long by[] = {-S3_PROXIED_SIZE / 2, -10, 10};

    for (size_t i = 0; i < COUNT(by); i++) {
        s3_survives(*state, S3_GET,
                    (struct proxy_rule){.act = PROXY_LENGTH, .by = by[i], .times = 1}, 1);
        if (by[i] > -100)
            s3_survives(*state, S3_RANGE,
                        (struct proxy_rule){.act = PROXY_LENGTH, .by = by[i], .times = 1}, 1);
    }
}

static void empty_answers_are_no_answers(void **state)
{
    static const enum s3_op with_body[] = {S3_GET, S3_RANGE, S3_LIST, S3_REMOVE_MANY};

    for (size_t i = 0; i < COUNT(with_body); i++)
        s3_survives(*state, with_body[i], (struct proxy_rule){.act = PROXY_EMPTY, .times = 2}, 2);
}

/* Work that began with 200 and failed, or a proxy's page: never an object, a listing, a success. */
static void successes_that_carry_something_else_are_none(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 2);
    static const struct proxy_rule answers[] = {
        {.act = PROXY_STATUS, .status = 200, .code = "InternalError"},
        {.act = PROXY_STATUS, .status = 200, .body = "<html><body>Please log in</body></html>"},
    };

    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
    for (size_t i = 0; i < COUNT(answers); i++)
        for (enum s3_op op = 0; op < S3_OPS; op++) {
            struct proxy_rule rule = answers[i];

            fault_proxy_set(f->proxy, rule); /* to all requests */
            if (s3_do(f, s, op) == RC_OK)
                fail_msg("%s: %s taken for a success", s3_op_name(op),
                         rule.body ? rule.body : rule.code);
            s3_assert_says(f, f->options.s3.bucket);
            rule.times = 1;
            if (op != S3_HEAD) /* which has no body that could tell: it fails as it should */
                s3_survives(f, op, rule, 1);
        }
}

/* Empty is what a put is answered with; but a storage says an ETag with it. */
static void empty_successes_of_others_are_none(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 2);
    const struct proxy_rule nothing = {.act = PROXY_STATUS, .status = 200};

    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
    fault_proxy_set(f->proxy, nothing);
    assert_int_equal(s3_do(f, s, S3_PUT), RC_STORAGE);
    s3_survives(f, S3_PUT, (struct proxy_rule){.act = PROXY_STATUS, .status = 200, .times = 1}, 1);
    s3_survives(f, S3_PUT,
                (struct proxy_rule){.act = PROXY_REMOVE_HEADER, .headers = "ETag", .times = 1}, 1);
}

static void heads_without_what_they_must_say_are_none(void **state)
{
    struct s3_proxied *f = *state;
    static const char *const headers[] = {"Content-Length", "Last-Modified"};

    for (size_t i = 0; i < COUNT(headers); i++) {
        fault_proxy_set(f->proxy, s3_rule(S3_HEAD, (struct proxy_rule){.act = PROXY_REMOVE_HEADER,
                                                                       .headers = headers[i]}));
        assert_int_equal(s3_do(f, f->store, S3_HEAD), RC_STORAGE);
    }
    s3_survives(f, S3_GET, (struct proxy_rule){.act = PROXY_REMOVE_HEADER, .headers = "ETag"}, 1);
}

/* ---- a server that is not there ---- */

struct comeback {
    struct fault_proxy *proxy;
    unsigned after_ms;
};

static void *come_back(void *ctx)
{
    struct comeback *c = ctx;

    clock_sleep_ms(c->after_ms);
    fault_proxy_return(c->proxy);
    return NULL;
}

static void a_server_that_comes_back_is_waited_for(void **state)
{
    struct s3_proxied *f = *state;

    fault_proxy_clear(f->proxy);
    for (enum s3_op op = 0; op < S3_OPS; op++) {
        struct comeback c = {f->proxy, 500};
        pthread_t thread;

        fault_proxy_leave(f->proxy);
        assert_int_equal(pthread_create(&thread, NULL, come_back, &c), 0);
        enum rc rc = s3_do(f, f->store, op);
        pthread_join(thread, NULL);
        if (rc != RC_OK)
            fail_msg("%s: %s", s3_op_name(op), f->err.what);
    }
}

static void a_server_that_stays_away_is_said(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 1);

    fault_proxy_leave(f->proxy);
    for (enum s3_op op = 0; op < S3_OPS; op++) {
        assert_int_equal(s3_do(f, s, op), RC_STORAGE);
        assert_true(f->err.transient);
        s3_assert_says(f, "127.0.0.1");
    }
    fault_proxy_return(f->proxy);
}

/* A label of more than 63 bytes is no name: the resolver says so without asking anybody. */
static void a_host_that_has_no_address_is_said(void **state)
{
    struct s3_proxied *f = *state;

    f->options.s3.endpoint =
        "http://s3.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";
    CLEANUP_STORE struct store *s = s3_proxied_open(f, 1);

    for (enum s3_op op = 0; op < S3_OPS; op++) {
        assert_int_equal(s3_do(f, s, op), RC_STORAGE);
        assert_true(f->err.transient);
        s3_assert_says(f, "resolve");
    }
}

/* ---- a server that does not know If-None-Match ---- */

struct putter {
    struct store *store;
    unsigned seed;
    uint8_t *bytes;
    pthread_barrier_t *start;
    enum rc rc[OBJECTS];
    struct error err;
};

static void *put_all(void *ctx)
{
    struct putter *p = ctx;

    for (int i = 0; i < OBJECTS; i++) {
        char name[40];

        snprintf(name, sizeof(name), "faults/object-race-%d", i);
        pthread_barrier_wait(p->start);
        p->rc[i] = store_put(p->store, name, p->bytes, S3_PROXIED_SIZE, &p->err);
    }
    return NULL;
}

static void race(struct putter *putters)
{
    pthread_barrier_t start;
    pthread_t threads[2];

    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++) {
        putters[i].seed = (unsigned)i + 1;
        putters[i].start = &start;
        putters[i].bytes = mem_alloc(S3_PROXIED_SIZE);
        memcpy(putters[i].bytes, s3_proxied_bytes(putters[i].seed), S3_PROXIED_SIZE);
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &putters[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        free(putters[i].bytes);
    }
    pthread_barrier_destroy(&start);
}

/* Two processes, as it were: two stores that share nothing. */
static void assert_one_of_two_wins(struct s3_proxied *f)
{
    CLEANUP_STORE struct store *a = s3_proxied_open(f, S3_PROXIED_RETRY);
    CLEANUP_STORE struct store *b = s3_proxied_open(f, S3_PROXIED_RETRY);
    struct putter putters[2] = {{.store = a}, {.store = b}};

    race(putters);
    for (int i = 0; i < OBJECTS; i++) {
        bool first = putters[0].rc[i] == RC_OK;
        char name[40];

        snprintf(name, sizeof(name), "faults/object-race-%d", i);
        if (putters[first].rc[i] != RC_EXISTS || putters[!first].rc[i] != RC_OK)
            fail_msg("%s: %s and %s (%s)", name, rc_name(putters[0].rc[i]),
                     rc_name(putters[1].rc[i]), putters[first].err.what);
        s3_assert_holds(f, name, first ? 1 : 2);
    }
}

/* The first attempt of each of the two puts that ask whether If-None-Match is honoured: the answers
 * are lost, and what they would have said is asked for again. */
static void lost_answers_do_not_hide_if_none_match(void **state)
{
    struct s3_proxied *f = *state;
    CLEANUP_STORE struct store *s = s3_proxied_open(f, S3_PROXIED_RETRY);
    struct proxy_rule rule = {
        .method = "PUT", .act = PROXY_STATUS_AFTER, .status = 503, .code = "SlowDown", .times = 1};

    fault_proxy_set(f->proxy, rule);
    rule.skip = 1; /* the second attempt */
    fault_proxy_add(f->proxy, rule);
    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
    assert_int_equal(fault_proxy_hits(f->proxy, 0), 1);
    fault_proxy_clear(f->proxy);
    fault_proxy_forget(f->proxy);
    assert_int_equal(s3_do(f, s, S3_PUT), RC_OK);
    /* With If-None-Match one request is enough; else there is a claim, too. */
    assert_int_equal(fault_proxy_seen(f->proxy, "PUT", NULL, 0), s3fix_is("s3rver") ? 2 : 1);
}

static void one_of_two_putters_wins(void **state)
{
    assert_one_of_two_wins(*state);
}

static void one_of_two_putters_wins_without_if_none_match(void **state)
{
    struct s3_proxied *f = *state;

    fault_proxy_set(f->proxy, (struct proxy_rule){.method = "PUT",
                                                  .act = PROXY_REMOVE_REQUEST_HEADER,
                                                  .headers = "If-None-Match",
                                                  .secret = f->options.s3.secret_access_key});
    assert_one_of_two_wins(f);
    assert_true(fault_proxy_hits(f->proxy, 0) > 2 * OBJECTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s3_proxied_set_up, s3_proxied_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(statuses_that_pass_are_tried_again),
        TEST(requests_that_came_too_slowly_are_tried_again),
        TEST(bursts_are_ridden_out),
        TEST(retry_after_is_respected),
        TEST(endless_trouble_ends),
        TEST(requests_that_break_are_sent_again),
        TEST(answers_that_break_are_asked_for_again),
        TEST(stalls_are_given_up),
        TEST(slow_answers_are_waited_for),
        TEST(lost_answers_are_no_failure),
        TEST(lost_answers_to_small_puts_are_no_failure),
        TEST(lost_answers_on_a_new_connection_are_no_failure),
        TEST(lost_refusals_stay_refusals),
        TEST(plain_refusals_stay_refusals),
        TEST(flipped_bytes_are_never_delivered),
        TEST(wrong_lengths_are_never_delivered),
        TEST(empty_answers_are_no_answers),
        TEST(successes_that_carry_something_else_are_none),
        TEST(empty_successes_of_others_are_none),
        TEST(heads_without_what_they_must_say_are_none),
        TEST(a_server_that_comes_back_is_waited_for),
        TEST(a_server_that_stays_away_is_said),
        TEST(a_host_that_has_no_address_is_said),
        TEST(lost_answers_do_not_hide_if_none_match),
        TEST(one_of_two_putters_wins),
        TEST(one_of_two_putters_wins_without_if_none_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
