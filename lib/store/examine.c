/* What can be tried on any storage. */
#include "store/examine.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PACK_BYTES    ((size_t)32 << 20) /* what a pack has (docs/format.md) */
#define LARGE_BYTES   ((size_t)64 << 20)
#define PATIENCE      30.0  /* seconds: what would take longer is not begun */
#define CLOCK_WARNING 60.0  /* seconds */
#define CLOCK_BROKEN  600.0 /* S3 servers refuse at 900 */

static const struct store_put_how plain = {0};

enum rc examination_begin(struct examination *e, struct store *s, store_finding_fn *fn, void *ctx,
                          struct error *err)
{
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1];

    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return error_set(err, RC_SYSTEM, "could not get random bytes");
    hex_encode(random, sizeof(random), hex);
    *e = (struct examination){.s = s, .fn = fn, .ctx = ctx, .rounds = 4};
    snprintf(e->place, sizeof(e->place), EXAMINE_ROOT "/%s/", hex);
    return RC_OK;
}

/* After a signal nothing that is found out means anything. */
static void tell(struct examination *e, const char *what, enum store_verdict verdict, bool needed,
                 const char *fmt, va_list ap)
{
    char text[1024];

    vsnprintf(text, sizeof(text), fmt, ap);
    struct store_finding f = {
        .group = e->group, .what = what, .verdict = verdict, .needed = needed, .text = text};
    if (!cancel_signal())
        e->fn(e->ctx, &f);
}

void examine_tell(struct examination *e, const char *what, enum store_verdict verdict,
                  const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(e, what, verdict, false, fmt, ap);
    va_end(ap);
}

void examine_promise(struct examination *e, const char *what, enum store_verdict verdict,
                     const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(e, what, verdict, true, fmt, ap);
    va_end(ap);
}

void examine_failed(struct examination *e, const char *what, const struct error *why)
{
    bool damage = why->rc == RC_INTEGRITY || why->rc == RC_NOT_FOUND;

    examine_promise(e, what, damage ? STORE_BROKEN : STORE_UNKNOWN, "%s", why->what);
}

const char *examine_name(struct examination *e, const char *base)
{
    e->names = mem_grow(e->names, e->count, &e->capacity, sizeof(*e->names));
    return e->names[e->count++] = str_printf("%s%s", e->place, base);
}

/* With every kind of character that a name may have; '+' and '=' have to be encoded in a URL. */
const char *examine_small(size_t n, char to[static 32])
{
    snprintf(to, 32, "small+%02zu=_-.X", n);
    return to;
}

static enum rc put(struct examination *e, const char *name, const void *data, size_t len,
                   struct error *err)
{
    return e->s->ops->put(e->s, name, data, len, &plain, err);
}

/* RC_INTEGRITY where other bytes come back. */
static enum rc expect(struct examination *e, const char *name, size_t offset, const void *data,
                      size_t len, bool whole, struct error *err)
{
    CLEANUP_BUF struct buf there = BUF_INIT(len);

    TRY(e->s->ops->get(e->s, name, offset, whole ? STORE_WHOLE : len, &there, err));
    if (there.len == len && memcmp(there.data, data, len) == 0)
        return RC_OK;
    return error_set(err, RC_INTEGRITY, "other bytes came back than were put");
}

void examine_put_twice(struct examination *e)
{
    static const char first[] = "the first\n", second[] = "and the second\n";
    const char *what = "put if absent", *name = examine_name(e, "twice");
    struct error err;
    enum rc rc = put(e, name, first, strlen(first), &err);

    if (rc != RC_OK) {
        examine_failed(e, what, &err);
        return;
    }
    rc = put(e, name, second, strlen(second), &err);
    if (rc != RC_OK && rc != RC_EXISTS)
        examine_failed(e, what, &err);
    else if (rc == RC_OK)
        examine_promise(e, what, STORE_BROKEN, "a second put of a name was not refused");
    else if (expect(e, name, 0, first, strlen(first), true, &err) != RC_OK)
        examine_failed(e, what, &err);
    else
        examine_promise(e, what, STORE_HOLDS, "a second put is refused, the first object stays");
}

/* Writers of one name, each with a handle of its own. */
struct race {
    struct store *writers[EXAMINE_WRITERS];
    const char **names; /* by round */
    unsigned rounds;
    pthread_barrier_t start;
    enum rc (*ended)[EXAMINE_WRITERS]; /* by round */
    struct error error;                /* of one that neither won nor lost */
    pthread_mutex_t mutex;
};

static void note_failure(struct race *r, const struct error *err)
{
    pthread_mutex_lock(&r->mutex);
    r->error = *err;
    pthread_mutex_unlock(&r->mutex);
}

/* An item is a writer; at the barrier each keeps its thread until all have one. */
static enum rc write_all_rounds(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct race *r = ctx;

    (void)err;
    if (!item)
        return RC_OK;
    for (unsigned i = 0; i < r->rounds; i++) {
        struct error why;
        enum rc rc;

        pthread_barrier_wait(&r->start);
        rc = r->writers[worker]->ops->put(r->writers[worker], r->names[i], &worker, sizeof(worker),
                                          &plain, &why);
        r->ended[i][worker] = rc;
        if (rc != RC_OK && rc != RC_EXISTS)
            note_failure(r, &why);
    }
    return RC_OK;
}

static void race_done(struct race *r)
{
    for (size_t i = 0; i < EXAMINE_WRITERS; i++)
        store_close(r->writers[i]);
    pthread_barrier_destroy(&r->start);
    pthread_mutex_destroy(&r->mutex);
    free((void *)r->names);
    free(r->ended);
}

static enum rc race_run(struct race *r, struct error *err)
{
    struct pool *pool;

    TRY(pool_new(EXAMINE_WRITERS, EXAMINE_WRITERS, write_all_rounds, r, &pool, err));
    for (size_t i = 0; i < EXAMINE_WRITERS; i++)
        if (pool_submit(pool, r->writers[i], err) != RC_OK)
            BUG("a pool that can't fail did");
    return pool_finish(pool, err);
}

static enum rc race_set_up(struct examination *e, struct race *r, struct error *err)
{
    r->rounds = e->rounds;
    r->names = mem_zalloc(r->rounds * sizeof(*r->names));
    r->ended = mem_zalloc(r->rounds * sizeof(*r->ended));
    pthread_barrier_init(&r->start, NULL, EXAMINE_WRITERS);
    pthread_mutex_init(&r->mutex, NULL);
    for (unsigned i = 0; i < r->rounds; i++) {
        char base[32];

        snprintf(base, sizeof(base), "at-once-%u", i);
        r->names[i] = examine_name(e, base);
    }
    for (size_t i = 0; i < EXAMINE_WRITERS; i++)
        TRY(store_dup(e->s, &r->writers[i], err));
    return RC_OK;
}

/* Exactly one was told that it won, and its bytes are there. */
static enum rc judge_round(struct examination *e, struct race *r, unsigned round, struct error *err)
{
    unsigned winners = 0, winner = 0;

    for (unsigned w = 0; w < EXAMINE_WRITERS; w++) {
        if (r->ended[round][w] != RC_OK && r->ended[round][w] != RC_EXISTS) {
            *err = r->error;
            return err->rc;
        }
        if (r->ended[round][w] == RC_OK) {
            winners++;
            winner = w;
        }
    }
    if (winners != 1)
        return error_set(err, RC_INTEGRITY,
                         "of %d that put one name at once, %u were told that "
                         "they won",
                         EXAMINE_WRITERS, winners);
    return expect(e, r->names[round], 0, &winner, sizeof(winner), true, err);
}

void examine_at_once(struct examination *e)
{
    CLEANUP(race_done) struct race r = {0};
    const char *what = "at once";
    struct error err;
    enum rc rc = race_set_up(e, &r, &err);

    if (rc == RC_OK)
        rc = race_run(&r, &err);
    for (unsigned i = 0; rc == RC_OK && i < r.rounds; i++)
        rc = judge_round(e, &r, i, &err);
    if (rc != RC_OK)
        examine_failed(e, what, &err);
    else
        examine_promise(e, what, STORE_HOLDS, "of %d writers of one name exactly one wins (%u %s)",
                        EXAMINE_WRITERS, r.rounds, r.rounds == 1 ? "round" : "rounds");
}

static enum rc read_back_one(struct examination *e, size_t n, struct error *err)
{
    char base[32], text[64];
    const char *name = examine_name(e, examine_small(n, base));
    double begin = clock_monotonic(), put_done;

    snprintf(text, sizeof(text), "a small object, number %zu\n", n);
    TRY(put(e, name, text, strlen(text), err));
    put_done = clock_monotonic();
    TRY(expect(e, name, 0, text, strlen(text), true, err));
    e->put_seconds[e->timed] = put_done - begin;
    e->get_seconds[e->timed++] = clock_monotonic() - put_done;
    return RC_OK;
}

void examine_read_back(struct examination *e)
{
    struct error err;

    for (size_t i = 0; i < EXAMINE_SMALL; i++)
        if (read_back_one(e, i, &err) != RC_OK) {
            examine_failed(e, "read after write", &err);
            return;
        }
    examine_promise(e, "read after write", STORE_HOLDS,
                    "%d objects, read right after they were put; names with + = too",
                    EXAMINE_SMALL);
}

void examine_range(struct examination *e)
{
    const char *name = examine_name(e, "range");
    CLEANUP_BUF struct buf more = BUF_INIT(1024);
    uint8_t data[4096];
    struct error err;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    if (put(e, name, data, sizeof(data), &err) != RC_OK ||
        expect(e, name, 1000, data + 1000, 100, false, &err) != RC_OK)
        examine_failed(e, "range", &err);
    else if (e->s->ops->get(e->s, name, sizeof(data) - 10, 20, &more, &err) != RC_INTEGRITY)
        examine_promise(e, "range", STORE_BROKEN, "a range behind an object's end is not refused");
    else
        examine_promise(e, "range", STORE_HOLDS, "parts of objects can be read");
}

/* pgproof-wal-fetch tells PostgreSQL that the WAL ends where an object is absent: this must never
 * be a guess, and it must be possible. */
void examine_absence(struct examination *e)
{
    CLEANUP_FREE char *name = str_printf("%sabsent", e->place);
    CLEANUP_BUF struct buf to = BUF_INIT(1024);
    struct error err = {0};
    enum rc rc = e->s->ops->get(e->s, name, 0, STORE_WHOLE, &to, &err);

    if (rc == RC_NOT_FOUND)
        examine_promise(e, "absence", STORE_HOLDS, "what is not there is said not to be there");
    else if (rc == RC_OK)
        examine_promise(e, "absence", STORE_BROKEN, "an object that was never put can be read");
    else
        examine_promise(e, "absence", STORE_UNKNOWN, "%s", err.what);
}

void examine_removal(struct examination *e)
{
    const char *what = "removal", *name = examine_name(e, "removed");
    CLEANUP_BUF struct buf to = BUF_INIT(1024);
    struct error err;
    enum rc rc = put(e, name, "x", 1, &err);

    if (rc == RC_OK)
        rc = e->s->ops->remove(e->s, name, &err);
    if (rc != RC_OK) {
        examine_tell(e, what, STORE_LACKS, "%s", err.what);
        return;
    }
    e->may_remove = true;
    rc = e->s->ops->get(e->s, name, 0, STORE_WHOLE, &to, &err);
    if (rc == RC_NOT_FOUND)
        examine_promise(e, what, STORE_HOLDS, "what was removed is gone at once");
    else if (rc == RC_OK)
        examine_promise(e, what, STORE_BROKEN, "what was removed can still be read");
    else
        examine_failed(e, what, &err);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

void examine_latency(struct examination *e)
{
    if (e->timed == 0)
        return;
    examine_tell(e, "latency", STORE_FACT, "put %.2f ms, get %.2f ms (median of %zu small objects)",
                 1e3 * median(e->put_seconds, e->timed), 1e3 * median(e->get_seconds, e->timed),
                 e->timed);
}

/* Bytes that no storage makes smaller (xorshift64*; Vigna, "An experimental exploration of
 * Marsaglia's xorshift generators, scrambled", 2016). */
static void fill(uint8_t *to, size_t len)
{
    uint64_t x = 0x9e3779b97f4a7c15;

    for (size_t i = 0; i < len; i += 8) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        put_le64(to + i, x * 0x2545f4914f6cdd1d);
    }
}

struct speed {
    double put_seconds, get_seconds;
};

static enum rc time_one(struct examination *e, const char *base, const uint8_t *data, size_t len,
                        struct speed *ret, struct error *err)
{
    const char *name = examine_name(e, base);
    double begin = clock_monotonic(), put_done;

    TRY(put(e, name, data, len, err));
    put_done = clock_monotonic();
    TRY(expect(e, name, 0, data, len, true, err));
    *ret = (struct speed){put_done - begin, clock_monotonic() - put_done};
    TRY(e->s->ops->remove(e->s, name, err));
    return RC_OK;
}

static void tell_speed(struct examination *e, struct speed v, size_t len)
{
    char put_text[32], get_text[32];

    examine_tell(e, "throughput", STORE_FACT, "put %s/s, get %s/s (one connection, 32 MB objects)",
                 format_size((uint64_t)((double)len / v.put_seconds), put_text),
                 format_size((uint64_t)((double)len / v.get_seconds), get_text));
}

/* The better of two tries is told: the first may have been slowed by what only happens once. */
static enum rc measure(struct examination *e, const uint8_t *data, struct speed *ret,
                       struct error *err)
{
    struct speed again;

    TRY(time_one(e, "pack-0", data, PACK_BYTES, ret, err));
    if (ret->put_seconds + ret->get_seconds > PATIENCE / 2)
        return RC_OK;
    TRY(time_one(e, "pack-1", data, PACK_BYTES, &again, err));
    if (again.put_seconds < ret->put_seconds)
        ret->put_seconds = again.put_seconds;
    if (again.get_seconds < ret->get_seconds)
        ret->get_seconds = again.get_seconds;
    return RC_OK;
}

/* What the storage refuses outright is not to be had; what may pass could not be found out. */
static void large_failed(struct examination *e, const struct error *why)
{
    examine_promise(e, "large objects",
                    why->transient || why->rc == RC_CANCELLED ? STORE_UNKNOWN : STORE_BROKEN, "%s",
                    why->what);
}

static void try_large(struct examination *e, const uint8_t *data, const struct speed *v)
{
    struct speed ignored;
    struct error err;

    if (v->put_seconds + v->get_seconds > PATIENCE)
        examine_tell(e, "large objects", STORE_UNKNOWN,
                     "32 MB in one put work; 64 MB were not tried, they would take too long");
    else if (time_one(e, "large", data, LARGE_BYTES, &ignored, &err) != RC_OK)
        large_failed(e, &err);
    else
        examine_promise(e, "large objects", STORE_HOLDS, "64 MB in one put (packs have 32 MB)");
}

void examine_throughput(struct examination *e)
{
    CLEANUP_FREE uint8_t *data = NULL;
    struct speed v;
    struct error err;

    if (!e->may_remove) {
        examine_tell(e, "throughput", STORE_UNKNOWN,
                     "not measured: what would be put for it could not be removed again");
        return;
    }
    data = mem_alloc(LARGE_BYTES);
    fill(data, LARGE_BYTES);
    if (measure(e, data, &v, &err) != RC_OK) {
        large_failed(e, &err);
        return;
    }
    tell_speed(e, v, PACK_BYTES);
    try_large(e, data, &v);
}

void examine_clock(struct examination *e, double ahead_seconds)
{
    double off = ahead_seconds < 0 ? -ahead_seconds : ahead_seconds;
    char text[32];

    if (off < 2)
        examine_promise(e, "clock", STORE_HOLDS, "the storage's clock is ours, within 2 s");
    else
        examine_promise(e, "clock",
                        off > CLOCK_BROKEN    ? STORE_BROKEN
                        : off > CLOCK_WARNING ? STORE_WARNING
                                              : STORE_HOLDS,
                        "the storage's clock is %s %s ours%s", format_duration(off, text),
                        ahead_seconds > 0 ? "ahead of" : "behind",
                        off > CLOCK_WARNING ? ": set both by NTP" : "");
}

void examination_end(struct examination *e)
{
    size_t left = 0;

    for (size_t i = 0; i < e->count; i++) {
        struct error err;
        enum rc rc = e->s->ops->remove(e->s, e->names[i], &err);

        if (rc != RC_OK && rc != RC_NOT_FOUND) {
            log_debug("%s: %s", e->names[i], err.what);
            left++;
        }
        free(e->names[i]);
    }
    free((void *)e->names);
    if (left > 0)
        examine_tell(e, "left behind", e->may_remove ? STORE_WARNING : STORE_FACT,
                     "%zu small objects below %s could not be removed", left, e->place);
    e->names = NULL;
    e->count = 0;
}
