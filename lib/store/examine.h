/*
 * For the drivers' ops->examine: findings, and what can be tried on any storage through the
 * driver's own operations (whole names, below EXAMINE_ROOT, where no object of a repository can
 * be). The sequence:
 *
 *     examination_begin, the trials in any order that their comments allow, examination_end
 *
 * A trial tells what it found out; only a signal ends an examination early, which the driver looks
 * for between trials (cancel_check).
 */
#ifndef PGPROOF_STORE_EXAMINE_H
#define PGPROOF_STORE_EXAMINE_H

#include "store/store_int.h"

#define EXAMINE_ROOT    ".doctor" /* below it a directory for each examination */
#define EXAMINE_SMALL   15        /* how many small objects there are */
#define EXAMINE_WRITERS 8         /* who put one name at once */

struct examination {
    struct store *s;
    store_finding_fn *fn;
    void *ctx;
    const char *group;
    char place[64]; /* ".doctor/<random>/" */
    char **names;   /* of all that was put, or may have been */
    size_t count, capacity;
    bool may_remove; /* examine_removal found it so */
    unsigned rounds; /* of examine_at_once */
    double put_seconds[EXAMINE_SMALL], get_seconds[EXAMINE_SMALL];
    size_t timed;
};

MUST_CHECK enum rc examination_begin(struct examination *e, struct store *s, store_finding_fn *fn,
                                     void *ctx, struct error *err);
/* Removes what was put, and tells what had to stay. */
void examination_end(struct examination *e);

/* A finding that pgproof does not depend on, and one that it does. */
void examine_tell(struct examination *e, const char *what, enum store_verdict verdict,
                  const char *fmt, ...) PRINTF_LIKE(4, 5);
void examine_promise(struct examination *e, const char *what, enum store_verdict verdict,
                     const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The promise, by how its trial failed: damage is broken, all else unknown. */
void examine_failed(struct examination *e, const char *what, const struct error *why);

/* The whole name of an object of this examination, remembered for removal. Belongs to e. */
const char *examine_name(struct examination *e, const char *base);
/* The name of the n-th small object, without the place. Sorted by n. */
const char *examine_small(size_t n, char to[static 32]);

/* Trials. Each puts objects of its own. */
void examine_put_twice(struct examination *e); /* "put if absent" */
void examine_at_once(struct examination *e);   /* "at once" */
void examine_read_back(struct examination *e); /* "read after write"; the small objects */
void examine_range(struct examination *e);     /* "range" */
void examine_absence(struct examination *e);   /* "absence" */
void examine_removal(struct examination *e);   /* "removal"; sets may_remove */
void examine_latency(struct examination *e);   /* after examine_read_back */
/* Only where what is put can be removed again: up to 64 MiB at a time. Ends after a minute or two
 * however slow it goes. */
void examine_throughput(struct examination *e);

/* A difference between the storage's clock and ours. */
void examine_clock(struct examination *e, double ahead_seconds);

#endif
