/*
 * The sweep: a tool of bin/faulty/ runs with a fault at its Nth storage operation, for every N and
 * every mode of store_fault.h. What must hold afterwards, the test knows; here is what sweeps of
 * all tools share.
 *
 *     sweep_begin();                                   // the seed, and whether this is a soak
 *     unsigned long count = sweep_count(pg, argv, "any");
 *     for (mode …) {
 *         struct sweep_row *row = sweep_row("push, new segment", sweep_mode_names[mode]);
 *         for (n = 1; …; n++) {
 *             struct sweep_run run = sweep_faulty(pg, argv, "any", n, mode);
 *             …                                        // the invariants
 *             sweep_note(row, n, &run, listed);
 *             if (!run.met)
 *                 break;                               // that run had no Nth operation
 *         }
 *     }
 *     sweep_print_table();
 *
 * PGPROOF_SOAK=1: everything. PGPROOF_TEST_SEED=<n>: the seed of the slice that runs without.
 * PGPROOF_TEST_FAULT=<…> as store_fault.h has it is set for the tool by sweep_faulty, and none
 * strikes any longer when it returns.
 */
#ifndef PGPROOF_TESTS_SUPPORT_SWEEP_H
#define PGPROOF_TESTS_SUPPORT_SWEEP_H

#include "support/pg_fixture.h"
#include "support/store_fault.h"

#define SWEEP_MODES 6 /* of enum fault_mode */
extern const char *const sweep_mode_names[SWEEP_MODES];

void sweep_begin(void);
bool sweep_is_soak(void);
/* 0 to limit - 1, from the seed. */
unsigned long sweep_random(unsigned long limit);

struct sweep_run {
    struct pgfix_run run;
    const char *fault; /* "put:3:kill", for messages */
    bool met;          /* false: the run ended without that many operations */
    bool killed;
};

/* How many operations of this kind ("any", "put" …) a run takes that meets no fault. Fails the
 * test unless it exits with `code`. */
unsigned long sweep_count(struct pgfix *f, const char *const *argv, const char *operation,
                          int code);

/*
 * Run with a fault. Fails the test where the process ends as no fault can make it end: another
 * signal, a crash, or an exit code that means something else than "could not" (a storage fault
 * proves no damage: never 2, unless it is `other_code`, how a run without fault ends).
 */
struct sweep_run sweep_faulty(struct pgfix *f, const char *const *argv, const char *operation,
                              unsigned long n, enum fault_mode mode, int other_code);

/* ---- the table ---- */

struct sweep_row;
/* A row for these words, a new one if there is none. */
struct sweep_row *sweep_row(const char *what, const char *mode);
/* `listed`: what the run was to store is there afterwards. Nothing is noted for a run that did not
 * meet its fault. */
void sweep_note(struct sweep_row *r, unsigned long n, const struct sweep_run *run, bool listed);
void sweep_print_table(void);

#endif
