/* Comparing row counts: what is equal, what fails, what can't be said. And reaching the target. */
#include "verify/row_check.h"

#include "verify/damage.h"
#include "verify/scratch_replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct row_counts exact = {.exact = true}, inexact = {.exact = false};

static enum verdict judged(const struct row_tally *t, const struct row_counts *c)
{
    CLEANUP_PROOF struct proof *p = proof_new();
    row_tally_judge(t, p, c);
    return p->checks[CHECK_ROWS].verdict;
}

/* One table that had `expected` rows and has `found` now; -1: it is gone. */
static enum verdict one_table(uint64_t expected, int64_t found, const struct row_counts *c)
{
    CLEANUP_PROOF struct proof *p = proof_new();
    struct row_tally t = {0};
    uint64_t n = (uint64_t)found;
    row_tally_table(&t, p, "db: public.t", expected, found < 0 ? NULL : &n);
    row_tally_judge(&t, p, c);
    assert_int_equal(p->checks[CHECK_ROWS].findings_total, found != (int64_t)expected);
    return p->checks[CHECK_ROWS].verdict;
}

static void exact_counts_must_be_equal(void **state)
{
    (void)state;
    assert_int_equal(one_table(10, 10, &exact), VERDICT_PASSED);
    assert_int_equal(one_table(0, 0, &exact), VERDICT_PASSED);
    assert_int_equal(one_table(10, 9, &exact), VERDICT_FAILED);
    assert_int_equal(one_table(10, 11, &exact), VERDICT_FAILED);
    assert_int_equal(one_table(10, 0, &exact), VERDICT_FAILED);
    assert_int_equal(one_table(0, 1, &exact), VERDICT_FAILED);
    assert_int_equal(one_table(10, -1, &exact), VERDICT_FAILED);
}

/* Inexact counts never pass; gone and emptied tables still fail. */
static void inexact_counts_prove_little(void **state)
{
    (void)state;
    assert_int_equal(one_table(10, 10, &inexact), VERDICT_NOT_RUN);
    assert_int_equal(one_table(10, 9, &inexact), VERDICT_NOT_RUN);
    assert_int_equal(one_table(10, 0, &inexact), VERDICT_FAILED);
    assert_int_equal(one_table(10, -1, &inexact), VERDICT_FAILED);
}

static void an_extra_table_fails_exact_counts(void **state)
{
    (void)state;
    CLEANUP_PROOF struct proof *p = proof_new();
    struct row_tally t = {.tables = 1};
    row_tally_extra(&t, p, "db: public.new");
    assert_int_equal(judged(&t, &exact), VERDICT_FAILED);
    assert_int_equal(judged(&t, &inexact), VERDICT_NOT_RUN);
}

static void nothing_counted_is_not_green(void **state)
{
    (void)state;
    assert_int_equal(judged(&(struct row_tally){0}, &exact), VERDICT_NOT_RUN);
    assert_int_equal(judged(&(struct row_tally){.tables = 3, .unreadable = 1}, &exact),
                     VERDICT_NOT_RUN);
    assert_int_equal(judged(&(struct row_tally){.tables = 3, .damaged = 1}, &inexact),
                     VERDICT_FAILED);
}

static void the_target_may_be_off_by_a_page_header(void **state)
{
    (void)state;
    assert_true(replay_is_at(0x5000028, 0x5000028));
    assert_true(replay_is_at(0x5000000, 0x5000028)); /* the segment's first page */
    assert_true(replay_is_at(0x5002000, 0x5002018)); /* another page */
    assert_false(replay_is_at(0x4ffff00, 0x5000028));
    assert_false(replay_is_at(0x5000030, 0x5000028));
    assert_false(replay_is_at(0, 0x10));
    assert_true(replay_is_past(0x6000000, 0x5000028));
    assert_false(replay_is_past(0x4ffff00, 0x5000028));
}

static void only_damage_is_damage(void **state)
{
    (void)state;
    assert_int_equal(damage_of_sqlstate("XX001"), DAMAGE_PROVEN);
    assert_int_equal(damage_of_sqlstate("XX002"), DAMAGE_PROVEN);
    assert_int_equal(damage_of_sqlstate("58P01"), DAMAGE_PROVEN);
    assert_int_equal(damage_of_sqlstate("42883"), DAMAGE_UNKNOWN);
    assert_int_equal(damage_of_sqlstate("22012"), DAMAGE_UNKNOWN);
    assert_int_equal(damage_of_sqlstate(""), DAMAGE_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_counts_must_be_equal),
        cmocka_unit_test(inexact_counts_prove_little),
        cmocka_unit_test(an_extra_table_fails_exact_counts),
        cmocka_unit_test(nothing_counted_is_not_green),
        cmocka_unit_test(the_target_may_be_off_by_a_page_header),
        cmocka_unit_test(only_damage_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
