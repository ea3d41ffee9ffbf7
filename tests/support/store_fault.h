/*
 * A store that fails on request: it wraps any other and lets something go wrong at the Nth storage
 * operation.
 *
 * Operations are put, get (whole or a range), head, list and remove; each is counted before it is
 * done. Opening, duplicating, sweeping and closing are not counted. The count belongs to the plan,
 * which all handles of a process share, whichever threads they work in.
 *
 * The tools under build/bin/faulty/ are the shipped ones with this around every store they open
 * (wrap_store_open.c). Two variables of the environment steer them:
 *
 *   PGPROOF_TEST_FAULT=<operation|any>:<N>:<mode>    put:3:kill, any:17:fail-after
 *   PGPROOF_TEST_FAULT_COUNT=<file>                  at exit a line with the count is appended
 *
 * N counts the operations of the kind named, from 1; 0 never comes and only counts. The modes:
 *
 *   fail        nothing is done, and the answer is RC_STORAGE
 *   fail-after  it is done, and the answer is RC_STORAGE: a lost answer
 *   outage      like fail, and so is every operation of the kind after it
 *   tear        a put dies (SIGKILL) in the middle of the driver's own write; other operations:
 * kill kill        the process dies (SIGKILL) before the operation kill-after  the process dies
 * (SIGKILL) after it
 *
 * A sweep learns first how many operations a good run has, then goes through all of them:
 *
 *     rm -f count
 *     PGPROOF_TEST_FAULT_COUNT=count bin/faulty/pgproof-backup ...
 *     for n in $(seq 1 $(cat count)); do
 *         PGPROOF_TEST_FAULT=any:$n:kill bin/faulty/pgproof-backup ...   # its end is not the point
 *         ...  what is listed restores; a run without a fault succeeds unaided ...
 *     done
 *
 * For "put:1:…", "put:2:…" count with PGPROOF_TEST_FAULT=put:0:fail. A run that was killed writes
 * no count; one that opens no store neither. Where tools run others, each writes a line of its own.
 * With several workers the order of operations differs from run to run; a sweep over N still meets
 * every moment, one over a single worker meets the same each time. Since a run may take more
 * operations than the one that was counted (what an earlier one left behind is looked at too), a
 * sweep that wants to be sure goes on until a run ends without having met its fault: exit status 0,
 * and a count below N.
 */
#ifndef PGPROOF_SUPPORT_STORE_FAULT_H
#define PGPROOF_SUPPORT_STORE_FAULT_H

#include "store/store.h"

#include <stdatomic.h>

enum fault_operation {
    FAULT_ANY,
    FAULT_PUT,
    FAULT_GET,
    FAULT_HEAD,
    FAULT_LIST,
    FAULT_REMOVE,
};

enum fault_mode {
    FAULT_FAIL,
    FAULT_FAIL_AFTER,
    FAULT_OUTAGE,
    FAULT_TEAR,
    FAULT_KILL,
    FAULT_KILL_AFTER,
};

struct fault_plan {
    enum fault_operation operation; /* which are counted */
    unsigned long at;               /* 0: never */
    enum fault_mode mode;
    atomic_ulong count; /* so far */
};

/* "<operation|any>:<N>:<mode>". The count begins at 0. */
bool fault_plan_parse(const char *text, struct fault_plan *ret);

/* Wraps `inner` and owns it from now on; the plan is the caller's and outlives all handles. */
struct store *store_fault_wrap(struct store *inner, struct fault_plan *plan);

#endif
