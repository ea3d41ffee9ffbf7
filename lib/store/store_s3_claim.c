/*
 * Put if absent. Most servers do it themselves when a PUT has If-None-Match: *; some clones ignore
 * the header and overwrite. Which one this is, is asked once per process, with a constant object:
 * the second put of it must be refused.
 *
 * Where it is ignored, writers keep each other off by claims, objects of their own beside the
 * object that they want to put:
 *
 *   1  put a claim for the name, and list the claims for it
 *   2  another live one is there: take the own one back, wait, begin again
 *   3  alone: look whether the object is there, put it if not, take the claim back
 *
 * Of two writers, the one whose listing is later sees both claims, as long as the server shows in
 * a listing what was put before it. A claim counts for CLAIM_SECONDS by the server's clock, so that
 * a killed writer keeps nobody off for long; a writer that has not begun its put in a fifth of that
 * begins again, and its put is given the rest of a half, so that none is under way when its claim
 * has run out. (What a server still carries out after it dropped the connection could break this;
 * nothing that a client does could mend it.)
 */
#include "store/store_s3_int.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PROBE_TEXT    "pgproof puts this again and again, to see that it can't be replaced\n"
#define CLAIM_SECONDS 300.0

/* One for each kind of encryption, so that this also shows whether the server offers it. */
static enum rc probe(struct s3_store *s, bool *ret_honoured, struct error *err)
{
    static const char *const kinds[] = {
        [S3_SSE_NONE] = "", [S3_SSE_S3] = "-s3", [S3_SSE_KMS] = "-kms", [S3_SSE_C] = "-c"};
    CLEANUP_FREE char *name = str_printf("%s%s", S3_PROBE, kinds[s->shared->o.sse]);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    const struct store_put_how how = {0};
    enum s3_condition condition = S3_CONDITION_MET;

    for (int i = 0; i < 2 && condition == S3_CONDITION_MET; i++) {
        enum rc rc = s3_put_key(s, key, name, PROBE_TEXT, strlen(PROBE_TEXT), &how, true, 0,
                                &condition, err);

        if (rc != RC_EXISTS)
            TRY(rc);
    }
    *ret_honoured = condition == S3_CONDITION_FAILED;
    return RC_OK;
}

static enum rc learn_locked(struct s3_store *s, struct error *err)
{
    bool honoured;

    if (s->shared->put != S3_PUT_UNKNOWN)
        return RC_OK;
    TRY(probe(s, &honoured, err));
    s->shared->put = honoured ? S3_PUT_HEADER : S3_PUT_CLAIM;
    if (!honoured)
        log_debug("%s: the server ignores If-None-Match; claims stand in for it", s->store.where);
    return RC_OK;
}

enum rc s3_learn_put(struct s3_store *s, struct error *err)
{
    enum rc rc;

    pthread_mutex_lock(&s->shared->learning);
    rc = learn_locked(s, err);
    pthread_mutex_unlock(&s->shared->learning);
    return rc;
}

struct claim {
    struct s3_store *s;
    char *place; /* what the keys of all claims for this name begin with */
    char *key;
    const char *name; /* of the object */
    double begun;     /* clock_monotonic() before it was put */
    bool there;
    char version_id[256]; /* "" on a bucket without versions, or where it is not known */
    moment_us own;        /* as listed; MOMENT_NONE: not listed */
    moment_us newest_other;
};

static enum rc random_hex(char to[static 33], struct error *err)
{
    uint8_t random[16];

    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return error_set(err, RC_SYSTEM, "could not get random bytes");
    hex_encode(random, sizeof(random), to);
    return RC_OK;
}

/* By its version id, so that nothing of it stays; plainly where that is denied: hidden is enough.
 */
static void claim_release(struct claim *c)
{
    struct error err;

    if (c->there && s3_delete_key(c->s, c->key, c->version_id, c->name, &err) != RC_OK &&
        (!c->version_id[0] || s3_delete_key(c->s, c->key, "", c->name, &err) != RC_OK))
        log_debug("%s: could not take a claim back: %s", c->name, err.what);
    c->there = false;
}

static void claim_done(struct claim *c)
{
    claim_release(c);
    free(c->place);
    free(c->key);
}

static enum rc claim_put(struct claim *c, struct error *err)
{
    const struct store_put_how how = {0};
    char random[33];

    TRY(random_hex(random, err));
    free(c->key);
    c->key = str_printf("%s%s", c->place, random);
    c->begun = clock_monotonic();
    c->there = true; /* also where only the answer is lost */
    c->version_id[0] = '\0';
    TRY(s3_put_key(c->s, c->key, c->name, random, strlen(random), &how, false, 0, NULL, err));
    const char *id = http_header(c->s->http, "x-amz-version-id");
    if (id && !str_copy(c->version_id, sizeof(c->version_id), id))
        c->version_id[0] = '\0';
    return RC_OK;
}

static enum rc see_claim(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct claim *c = ctx;

    (void)err;
    if (str_eq(e->key, c->key))
        c->own = e->modified;
    else if (e->modified > c->newest_other)
        c->newest_other = e->modified;
    return RC_OK;
}

/* RC_OK with *ret_alone. */
static enum rc claim_look(struct claim *c, bool *ret_alone, struct error *err)
{
    c->own = MOMENT_NONE;
    c->newest_other = MOMENT_NONE;
    TRY(s3_each_object(c->s, c->place, see_claim, c, err));
    if (c->own == MOMENT_NONE) {
        error_set(err, RC_STORAGE,
                  "the storage does not list what was just put, so it can't be "
                  "made sure that nothing is replaced");
        s3_error_on(c->s, c->name, err);
        return error_now(err, "use a storage that honours If-None-Match; 'pgproof doctor' tells");
    }
    *ret_alone = c->newest_other == MOMENT_NONE ||
                 c->newest_other < c->own - (moment_us)(CLAIM_SECONDS * 1e6);
    return RC_OK;
}

/* Alone, with a live claim. */
static enum rc put_alone(struct claim *c, const char *key, const void *data, size_t len,
                         const struct store_put_how *how, bool *ret_again, struct error *err)
{
    struct s3_head head;
    enum rc rc = s3_head_key(c->s, key, "", c->name, &head, err);

    if (rc == RC_OK) {
        error_set(err, RC_EXISTS, "there is an object of this name already");
        return s3_error_on(c->s, c->name, err);
    }
    if (rc != RC_NOT_FOUND)
        return rc;
    *ret_again = clock_monotonic() > c->begun + CLAIM_SECONDS / 5;
    if (*ret_again)
        return RC_OK;
    return s3_put_key(c->s, key, c->name, data, len, how, false, c->begun + CLAIM_SECONDS / 2, NULL,
                      err);
}

static enum rc pause_between(unsigned tries, struct error *err)
{
    uint16_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = 0;
    clock_sleep_ms(50 + (random % 100) * (tries < 10 ? tries + 1 : 10));
    return cancel_check(err);
}

static enum rc try_claim(struct claim *c, const char *key, const void *data, size_t len,
                         const struct store_put_how *how, bool *ret_again, struct error *err)
{
    bool alone = false;

    TRY(claim_put(c, err));
    TRY(claim_look(c, &alone, err));
    *ret_again = !alone;
    if (!alone)
        return RC_OK;
    return put_alone(c, key, data, len, how, ret_again, err);
}

enum rc s3_put_claimed(struct s3_store *s, const char *key, const char *name, const void *data,
                       size_t len, const struct store_put_how *how, struct error *err)
{
    double end = clock_monotonic() + CLAIM_SECONDS + s->shared->o.retry_seconds;
    struct sha256 place = sha256_of(name, strlen(name));
    CLEANUP(claim_done) struct claim c = {.s = s, .name = name};
    char hex[SHA256_HEX_SIZE];

    sha256_hex(&place, hex);
    c.place = str_printf("%s%s%s-", s->shared->prefix, S3_CLAIMS, hex);
    for (unsigned tries = 0; clock_monotonic() < end; tries++) {
        bool again = false;

        TRY(try_claim(&c, key, data, len, how, &again, err));
        if (!again)
            return RC_OK;
        claim_release(&c);
        TRY(pause_between(tries, err));
    }
    error_set(err, RC_STORAGE, "another writer holds a claim on this name all the time");
    err->transient = true;
    s3_error_on(s, name, err);
    return error_now(err, "look who else writes this name, and try again");
}
