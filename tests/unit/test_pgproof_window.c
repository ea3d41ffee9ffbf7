/* The recovery window: holes, timelines, backups that lack WAL. */
#include "base/str.h"
#include "pgproof/wal_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MB16   (16u << 20)
#define SYSTEM 42

struct world {
    struct wal_segment segments[64];
    struct wal_list list;
    struct backup_info backups[4];
    struct catalog_entry entries[4];
    struct catalog catalog;
    struct history_entry past[2];
    struct history history;
    struct backup_standing standing[4];
    struct window *windows;
    size_t count;
};

static void add_wal(struct world *w, uint32_t timeline, uint64_t first, uint64_t last)
{
    w->list.segments = w->segments;
    for (uint64_t n = first; n <= last; n++)
        w->segments[w->list.segment_count++] = (struct wal_segment){
            .timeline = timeline, .number = n, .stored = (moment_us)n * 1000000};
}

/* A backup from within segment `start` to within segment `stop`. */
static void add_backup(struct world *w, uint32_t timeline, uint64_t start, uint64_t stop)
{
    size_t i = w->catalog.count++;
    struct backup_info *b = &w->backups[i];

    b->system_identifier = SYSTEM;
    b->timeline = timeline;
    b->start_lsn = start * MB16 + 40;
    b->stop_lsn = stop * MB16 + 256;
    b->stop_time = (moment_us)stop * 1000000 - 5;
    snprintf(b->id, sizeof(b->id), "b%zu", i);
    w->entries[i].info = b;
    w->catalog.entries = w->entries;
}

static void find(struct world *w)
{
    if (!w->history.timeline)
        w->history.timeline = 1;
    w->history.entries = w->past;
    windows_find(&w->catalog, SYSTEM, MB16, &w->list, &w->history, w->standing, &w->windows,
                 &w->count);
}

static void test_one_window(void **state)
{
    struct world w = {0};

    (void)state;
    add_wal(&w, 1, 1, 9);
    add_backup(&w, 1, 3, 4);
    add_backup(&w, 1, 6, 6);
    find(&w);
    assert_int_equal(w.count, 1);
    assert_string_equal(w.windows[0].first_backup, "b0");
    assert_string_equal(w.windows[0].last_backup, "b1");
    assert_int_equal(w.windows[0].from, 4000000 - 5);
    assert_int_equal(w.windows[0].to, 9000000);
    assert_int_equal(w.windows[0].first, 3);
    assert_int_equal(w.windows[0].last, 9);
    assert_false(w.windows[0].hole);
    assert_int_equal(w.standing[0].state, BACKUP_USABLE);
    free(w.windows);
}

static void test_a_hole_splits_the_window(void **state)
{
    struct world w = {0};

    (void)state;
    add_wal(&w, 1, 3, 5);
    add_wal(&w, 1, 8, 12);
    add_backup(&w, 1, 3, 4);
    add_backup(&w, 1, 9, 9);
    find(&w);
    assert_int_equal(w.count, 2);
    assert_true(w.windows[0].hole);
    assert_int_equal(w.windows[0].last, 5);
    assert_int_equal(w.windows[0].hole_last, 7);
    assert_string_equal(w.windows[1].first_backup, "b1");
    assert_false(w.windows[1].hole);
    free(w.windows);
}

static void test_a_backup_that_lacks_wal(void **state)
{
    struct world w = {0};

    (void)state;
    add_wal(&w, 1, 3, 3);
    add_backup(&w, 1, 3, 4); /* its end is missing */
    add_backup(&w, 1, 7, 7); /* all of it */
    find(&w);
    assert_int_equal(w.count, 0);
    assert_int_equal(w.standing[0].state, BACKUP_WAL_MISSING);
    assert_string_equal(w.standing[0].missing, "000000010000000000000004");
    assert_int_equal(w.standing[1].state, BACKUP_WAL_MISSING);
    assert_string_equal(w.standing[1].missing, "000000010000000000000007");
    free(w.windows);
}

static void test_a_stop_on_a_boundary_needs_the_segment_before(void **state)
{
    struct world w = {0};

    (void)state;
    add_wal(&w, 1, 3, 3);
    add_backup(&w, 1, 3, 4);
    w.backups[0].stop_lsn = 4 * (uint64_t)MB16;
    find(&w);
    assert_int_equal(w.standing[0].state, BACKUP_USABLE);
    assert_int_equal(w.count, 1);
    free(w.windows);
}

static void test_a_broken_and_a_foreign_backup(void **state)
{
    struct world w = {0};

    (void)state;
    add_wal(&w, 1, 3, 5);
    add_backup(&w, 1, 3, 4);
    add_backup(&w, 1, 3, 4);
    w.entries[0].info = NULL;
    w.backups[1].system_identifier = 43;
    find(&w);
    assert_int_equal(w.standing[0].state, BACKUP_BROKEN);
    assert_int_equal(w.standing[1].state, BACKUP_OTHER);
    assert_int_equal(w.count, 0);
}

/* Timeline 2 left timeline 1 within segment 6. */
static void test_the_window_follows_the_timeline(void **state)
{
    struct world w = {.history = {.timeline = 2, .count = 1},
                      .past = {{.timeline = 1, .end_lsn = 6 * (uint64_t)MB16 + 1000}}};

    (void)state;
    add_wal(&w, 1, 3, 9); /* 7 to 9 are of the branch that was left */
    add_wal(&w, 2, 6, 11);
    add_backup(&w, 1, 3, 4);
    add_backup(&w, 1, 8, 8); /* on what was left */
    add_backup(&w, 2, 8, 8);
    find(&w);
    assert_int_equal(w.count, 2);
    assert_string_equal(w.windows[0].last_backup, "b2");
    assert_string_equal(w.windows[1].last_backup, "b1");
    assert_int_equal(w.windows[0].last, 11);
    assert_int_equal(w.windows[0].timeline, 2);
    assert_true(w.windows[1].beside);
    assert_true(w.standing[1].beside);
    assert_int_equal(w.windows[1].last, 9);
    assert_int_equal(w.windows[1].timeline, 1);
    assert_false(w.windows[1].hole);
    assert_false(w.standing[2].beside);
    free(w.windows);
}

static void test_the_end_of_the_old_timeline_is_missing(void **state)
{
    struct world w = {.history = {.timeline = 2, .count = 1},
                      .past = {{.timeline = 1, .end_lsn = 6 * (uint64_t)MB16 + 1000}}};

    (void)state;
    add_wal(&w, 1, 3, 4); /* 5 is not there */
    add_wal(&w, 2, 6, 8);
    add_backup(&w, 1, 3, 4);
    find(&w);
    assert_int_equal(w.count, 1);
    assert_int_equal(w.windows[0].last, 4);
    assert_true(w.windows[0].hole);
    assert_int_equal(w.windows[0].hole_last, 5);
    free(w.windows);
}

static void test_runs(void **state)
{
    struct world w = {0};
    size_t count;

    (void)state;
    add_wal(&w, 1, 3, 5);
    add_wal(&w, 1, 7, 7);
    add_wal(&w, 2, 8, 9);
    struct wal_run *runs = wal_runs(&w.list, &count);
    assert_int_equal(count, 3);
    assert_int_equal(runs[0].last, 5);
    assert_int_equal(runs[0].newest, 5000000);
    assert_int_equal(runs[1].first, 7);
    assert_int_equal(runs[2].timeline, 2);
    free(runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_window),
        cmocka_unit_test(test_a_hole_splits_the_window),
        cmocka_unit_test(test_a_backup_that_lacks_wal),
        cmocka_unit_test(test_a_stop_on_a_boundary_needs_the_segment_before),
        cmocka_unit_test(test_a_broken_and_a_foreign_backup),
        cmocka_unit_test(test_the_window_follows_the_timeline),
        cmocka_unit_test(test_the_end_of_the_old_timeline_is_missing),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
