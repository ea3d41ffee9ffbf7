/*
 * What every storage driver promises (lib/store/store.h), as tests. A driver's test hands in how a
 * store of its kind is made and opened; the suite does the rest:
 *
 *     static const struct store_contract posix = {.name = "posix", .begin = ..., ...};
 *     int main(void) { return store_contract_run(&posix); }
 *
 * Several may run one after another; add up what they return.
 */
#ifndef PGPROOF_SUPPORT_STORE_CONTRACT_H
#define PGPROOF_SUPPORT_STORE_CONTRACT_H

#include "store/store.h"

/* A test that a known defect of a server makes pointless: left out, and named. */
struct store_contract_gap {
    const char *test, *why;
};

struct store_contract {
    const char *name; /* stands in front of the tests' names */
    void *ctx;        /* for the functions below */

    /* Make a new, empty storage, and remove it: around every test. They abort on failure. */
    void (*begin)(void *ctx);
    void (*end)(void *ctx);

    /* A handle on it; the suite opens many, also in other threads and processes. */
    enum rc (*open)(void *ctx, struct store **ret, struct error *err);

    /* Make it unreachable for the handles that are open, as a lost mount or server would. */
    void (*lose)(void *ctx);

    const struct store_contract_gap *gaps; /* ends with test NULL; may be NULL */
    unsigned longest_component; /* bytes of a name between '/'; 0: 255, as it should be */
    unsigned many;              /* objects in the test of a long listing: more than a page has */
};

/* Runs the suite. Returns how many tests failed. */
int store_contract_run(const struct store_contract *driver);

#endif
