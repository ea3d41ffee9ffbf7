/* The proof: what may be called proven, and how it is written down. */
#include "verify/proof.h"

#include "base/json.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct proof *full_proof(void)
{
    struct proof *p = proof_new();
    p->cluster = "main";
    p->backup_id = "20261121T020000Z";
    p->host = "db1";
    p->system_identifier = 7012345678901234567u;
    p->postgresql_version = "15.20";
    p->target_kind = "lsn";
    p->target_lsn = p->reached_lsn = 0x5000028;
    p->reached_timeline = 1;
    p->seconds_restore = 20;
    p->seconds_recovery = 10;
    for (int i = 0; i < CHECK_COUNT; i++)
        check_passed(p, (enum check_id)i, "fine");
    return p;
}

/* The text as people get it; free() it. */
static char *printed(const struct proof *p, bool colour)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    proof_print(p, f, colour);
    fclose(f);
    return text;
}

static void nothing_run_is_not_proven(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = proof_new();
    assert_int_equal(proof_result(p), VERDICT_NOT_RUN);
    assert_string_equal(proof_result_name(proof_result(p)), "not proven");
}

static void all_passed_is_passed(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    assert_int_equal(proof_result(p), VERDICT_PASSED);
}

/* For each required check in turn: not run is never green, and failed beats it. */
static void each_required_check_decides(void **state)
{
    (void)state;
    for (int i = 0; i < CHECK_COUNT; i++) {
        CLEANUP_PROOF struct proof *p = full_proof();
        if (!p->checks[i].required)
            continue;
        p->checks[i].verdict = VERDICT_NOT_RUN;
        assert_int_equal(proof_result(p), VERDICT_NOT_RUN);
        check_failed(p, i == CHECK_ROWS ? CHECK_HEAPS : CHECK_ROWS, "bad");
        assert_int_equal(proof_result(p), VERDICT_FAILED);
    }
}

static void optional_checks_do_not_decide(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    check_failed(p, CHECK_COLLATIONS, "another version");
    assert_int_equal(proof_result(p), VERDICT_PASSED);
    p->checks[CHECK_HEAPS].verdict = VERDICT_NOT_RUN;
    check_optional(p, CHECK_HEAPS);
    assert_int_equal(proof_result(p), VERDICT_PASSED);
}

static void a_failure_is_final(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    check_failed(p, CHECK_INDEXES, "broken");
    check_passed(p, CHECK_INDEXES, "fine");
    check_not_run(p, CHECK_INDEXES, "skipped");
    assert_int_equal(p->checks[CHECK_INDEXES].verdict, VERDICT_FAILED);
    assert_string_equal(p->checks[CHECK_INDEXES].detail, "broken");
}

static void objectives(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof(); /* 30 s measured */
    assert_int_equal(proof_rto(p), OBJECTIVE_NONE);
    p->rto_seconds = 30;
    p->rto_max_seconds = 60;
    assert_int_equal(proof_rto(p), OBJECTIVE_MET);
    p->rto_seconds = 29;
    assert_int_equal(proof_rto(p), OBJECTIVE_MISSED_TARGET);
    assert_int_equal(proof_result(p), VERDICT_PASSED);
    p->rto_max_seconds = 29;
    assert_int_equal(proof_rto(p), OBJECTIVE_MISSED);
    assert_int_equal(proof_result(p), VERDICT_FAILED);
    p->seconds_recovery = -1;
    assert_int_equal(proof_rto(p), OBJECTIVE_NOT_MEASURED);
}

static void findings_are_bounded_and_counted(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    for (int i = 0; i < FINDINGS_MAX + 50; i++)
        check_finding(p, CHECK_ROWS, "table %d", i);
    assert_int_equal(p->checks[CHECK_ROWS].finding_count, FINDINGS_MAX);
    assert_int_equal(p->checks[CHECK_ROWS].findings_total, FINDINGS_MAX + 50);
    CLEANUP_FREE char *text = printed(p, false);
    assert_non_null(strstr(text, "- table 9\n"));
    assert_null(strstr(text, "- table 10\n"));
    assert_non_null(strstr(text, "- and 140 more\n"));
}

static const json_t *check_of(const json_t *doc, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(doc, "checks"), i, c)
    {
        if (str_eq(json_string_value(json_object_get(c, "name")), name))
            return c;
    }
    fail_msg("no check \"%s\"", name);
    return NULL;
}

static void json_has_what_readers_need(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    check_failed(p, CHECK_ROWS, "1 of 2 tables differ");
    check_finding(p, CHECK_ROWS, "shop: public.orders has 9 rows");
    remark(p, &p->not_covered, "shop: index i: amcheck can't look into gin");
    CLEANUP_JSON json_t *doc = proof_json(p);
    struct error err;
    const char *s;
    json_t *o;
    assert_int_equal(json_get_str(doc, "result", &s, &err), RC_OK);
    assert_string_equal(s, "failed");
    assert_int_equal(json_get_str(doc, "system_identifier", &s, &err), RC_OK);
    assert_string_equal(s, "7012345678901234567");
    assert_int_equal(json_get_obj(doc, "reached", &o, &err), RC_OK);
    assert_int_equal(json_get_str(o, "lsn", &s, &err), RC_OK);
    assert_string_equal(s, "0/5000028");
    const json_t *rows = check_of(doc, "row counts");
    assert_int_equal(json_get_str(rows, "verdict", &s, &err), RC_OK);
    assert_string_equal(s, "failed");
    assert_int_equal(json_array_size(json_object_get(rows, "findings")), 1);
    assert_int_equal(json_array_size(json_object_get(doc, "checks")), CHECK_COUNT);
    assert_int_equal(json_array_size(json_object_get(doc, "not_covered")), 1);
    assert_true(json_array_size(json_object_get(doc, "what_this_does_not_prove")) >= 3);
}

/* A server's message may hold any bytes; the proof must still be written. */
static void any_bytes_can_be_written_down(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    check_failed(p, CHECK_HEAPS, "table \"\xff\xfe\x1b[2J\" is broken");
    check_finding(p, CHECK_HEAPS, "\xc3");
    p->host = "h\xf0";
    CLEANUP_JSON json_t *doc = proof_json(p);
    CLEANUP_FREE char *dumped = json_dumps(doc, 0);
    assert_non_null(dumped);
    assert_null(strchr(p->checks[CHECK_HEAPS].detail, '\x1b'));
}

static const char *last_line(const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(text[len - 1], '\n');
    const char *at = text + len - 1;
    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

static void the_last_line_says_it(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    CLEANUP_FREE char *good = printed(p, false);
    assert_true(str_starts(last_line(good), "PROVEN backup 20261121T020000Z"));
    p->checks[CHECK_ROWS].verdict = VERDICT_NOT_RUN;
    CLEANUP_FREE char *unknown = printed(p, false);
    assert_true(str_starts(last_line(unknown), "NOT PROVEN backup 20261121T020000Z: the check "
                                               "\"row counts\""));
    check_failed(p, CHECK_INDEXES, "bad");
    CLEANUP_FREE char *bad = printed(p, false);
    assert_string_equal(last_line(bad), "FAILED backup 20261121T020000Z: indexes\n");
}

static void it_claims_no_more_than_was_checked(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    CLEANUP_FREE char *good = printed(p, false);
    assert_non_null(strstr(good, "has exactly as many rows"));
    assert_non_null(strstr(good, "their contents were not compared"));
    p->checks[CHECK_ROWS].verdict = VERDICT_NOT_RUN;
    CLEANUP_FREE char *unknown = printed(p, false);
    assert_null(strstr(unknown, "has exactly as many rows"));
    assert_non_null(strstr(unknown, "neither their number nor their contents is proven"));
}

static void colour_only_where_asked(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = full_proof();
    CLEANUP_FREE char *plain = printed(p, false);
    CLEANUP_FREE char *coloured = printed(p, true);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(coloured, "\033[32mPROVEN\033[0m"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_run_is_not_proven),
        cmocka_unit_test(all_passed_is_passed),
        cmocka_unit_test(each_required_check_decides),
        cmocka_unit_test(optional_checks_do_not_decide),
        cmocka_unit_test(a_failure_is_final),
        cmocka_unit_test(objectives),
        cmocka_unit_test(findings_are_bounded_and_counted),
        cmocka_unit_test(json_has_what_readers_need),
        cmocka_unit_test(any_bytes_can_be_written_down),
        cmocka_unit_test(the_last_line_says_it),
        cmocka_unit_test(it_claims_no_more_than_was_checked),
        cmocka_unit_test(colour_only_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
