/* Errors, the flag for cancellation, the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void errors_have_three_parts(void **state)
{
    struct error e = {.on = "old", .now = "old"};

    (void)state;
    assert_int_equal(error_set(&e, RC_STORAGE, "could not read"), RC_STORAGE);
    assert_string_equal(e.on, "");
    error_on(&e, "pack %d", 1);
    error_on(&e, "pack %d", 2); /* never replaces */
    error_now(&e, "look");
    error_prefix(&e, "could not restore %s", "t");
    error_prefix(&e, "%s", e.what); /* arguments may point into the error */
    assert_string_equal(e.what, "could not restore t: could not read: could not restore t: could "
                                "not read");
    assert_string_equal(e.on, "pack 1");
    error_set_errno(&e, RC_SYSTEM, 2, "%s", e.what);
    assert_int_equal(e.sys_errno, 2);
    assert_non_null(strstr(e.what, "No such file"));
}

static void long_errors_are_cut(void **state)
{
    struct error e;
    char *big = malloc(5001);

    (void)state;
    memset(big, 'x', 5000);
    big[5000] = '\0';
    error_set(&e, RC_STORAGE, "%s", big);
    error_prefix(&e, "%s", big);
    error_set_errno(&e, RC_SYSTEM, 28, "%s", big);
    assert_non_null(strstr(e.what, "No space left")); /* the reason survives */
    assert_int_equal(strnlen(e.what, sizeof(e.what)) < sizeof(e.what), 1);
    free(big);
}

static void absent_parts_are_filled_in_later(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(error_set(&e, RC_BUSY, "held"), RC_BUSY);
    assert_int_equal(error_now(&e, "wait"), RC_BUSY);
    assert_int_equal(error_now(&e, "hurry"), RC_BUSY);
    assert_string_equal(e.now, "wait");
    assert_int_equal(error_reclass(&e, RC_REFUSED), RC_REFUSED);
    assert_int_equal(e.rc, RC_REFUSED);
    assert_string_equal(e.what, "held");
}

static void a_new_error_forgets_the_old(void **state)
{
    struct error e;

    (void)state;
    error_set_errno(&e, RC_STORAGE, 5, "old");
    e.transient = true;
    error_set(&e, RC_CONFIG, "new");
    assert_int_equal(e.sys_errno, 0);
    assert_false(e.transient);
}

static void every_class_has_a_name(void **state)
{
    (void)state;
    for (int rc = RC_OK; rc <= RC_BUG; rc++) {
        assert_true(rc_name((enum rc)rc)[0]);
        assert_string_not_equal(rc_name((enum rc)rc), "unknown");
    }
    assert_string_equal(rc_name((enum rc)(RC_BUG + 1)), "unknown");
}

static void cancellation_is_an_error(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(cancel_check(&e), RC_OK);
    cancel_request(SIGTERM);
    assert_int_equal(cancel_signal(), SIGTERM);
    assert_int_equal(cancel_check(&e), RC_CANCELLED);
    assert_non_null(strstr(e.what, "15"));
    cancel_request(0);
}

static char logged[100];

static void sink(void *ctx, enum log_level level, const char *message)
{
    snprintf(logged, sizeof(logged), "%s%d%s", (const char *)ctx, (int)level, message);
}

static void the_log_goes_where_it_is_sent(void **state)
{
    (void)state;
    log_warning("nobody listens yet");
    log_set_sink(sink, (char[]){"#"}, LOG_LEVEL_INFO);
    log_debug("too small");
    assert_string_equal(logged, "");
    log_warning("%d bytes", 3);
    log_set_sink(NULL, NULL, LOG_LEVEL_INFO);
    assert_string_equal(logged, "#23 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_three_parts),
        cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(absent_parts_are_filled_in_later),
        cmocka_unit_test(a_new_error_forgets_the_old),
        cmocka_unit_test(every_class_has_a_name),
        cmocka_unit_test(cancellation_is_an_error),
        cmocka_unit_test(the_log_goes_where_it_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
