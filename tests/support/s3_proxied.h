/*
 * An S3 store behind the fault-injecting proxy, and a second one beside it on the same objects:
 * what a test does to the first it sees in the second.
 *
 * The server is the one of the environment (PGPROOF_TEST_S3_ENDPOINT, _REGION, _BUCKET,
 * _ACCESS_KEY, _SECRET_KEY); without it the tests fail and say what gives it.
 */
#ifndef PGPROOF_SUPPORT_S3_PROXIED_H
#define PGPROOF_SUPPORT_S3_PROXIED_H

#include "store/store.h"
#include "support/fault_proxy.h"

#define S3_PROXIED_RETRY 20 /* seconds */
#define S3_PROXIED_STALL 2
#define S3_PROXIED_SIZE  300000 /* bytes of an object */

struct s3_proxied {
    struct fault_proxy *proxy;
    struct store *store;          /* through the proxy; has put something already */
    struct store *direct;         /* not through it */
    struct store_options options; /* of `store` */
    char prefix[64];              /* of this test alone */
    char name[64];                /* of the object that the last s3_do was about */
    struct buf got;               /* what a get gave */
    struct error err;
};

/* cmocka's, around every test; *state is a struct s3_proxied. */
int s3_proxied_set_up(void **state);
int s3_proxied_tear_down(void **state);

/* A new name for f->name, where nothing is. */
void s3_new_name(struct s3_proxied *f);

/* A store of its own through the proxy: it knows nothing of the server yet. */
struct store *s3_proxied_open(struct s3_proxied *f, unsigned retry_seconds);

/* What may be done to an object. */
enum s3_op { S3_PUT, S3_GET, S3_RANGE, S3_HEAD, S3_LIST, S3_REMOVE, S3_REMOVE_MANY, S3_OPS };
const char *s3_op_name(enum s3_op op);
/* The rule for the request that does it, and no other. */
struct proxy_rule s3_rule(enum s3_op op, struct proxy_rule rule);

/* S3_PROXIED_SIZE bytes; the same for the same seed. */
const uint8_t *s3_proxied_bytes(unsigned seed);

/* Does it to a new object (f->name), which is there, with the bytes of seed 0, but for S3_PUT,
 * which puts them. Where it gives RC_OK, what it gave or did was looked at. */
enum rc s3_do(struct s3_proxied *f, struct store *s, enum s3_op op);
/* The same to the object f->name, whether it is there or not. */
enum rc s3_do_again(struct s3_proxied *f, struct store *s, enum s3_op op);
/* With one rule, which must be met `hits` times, and must not show. */
void s3_survives(struct s3_proxied *f, enum s3_op op, struct proxy_rule rule, unsigned hits);

/* The object has exactly the bytes of that seed. */
void s3_assert_holds(struct s3_proxied *f, const char *name, unsigned seed);
/* The error has all three parts, and this word in it. */
void s3_assert_says(struct s3_proxied *f, const char *word);

#endif
