/* What the links of the credential chain (aws_credentials.h) share. */
#ifndef PGPROOF_STORE_AWS_CREDENTIALS_INT_H
#define PGPROOF_STORE_AWS_CREDENTIALS_INT_H

#include "base/buf.h"
#include "base/clock.h"
#include "store/aws_credentials.h"
#include "store/http.h"

#include <pthread.h>

/* What the chain is asked with. Does not change after it was made; all is owned. */
struct aws_chain {
    char *access_key_id, *secret_access_key, *session_token; /* NULL: none */
    char *profile, *region, *ca_file;                        /* NULL: not given */
    char **environment;                                      /* NULL-terminated */
};

/* A variable of the environment, or NULL where it is missing or empty, which is the same to AWS. */
const char *aws_chain_env(const struct aws_chain *c, const char *name);
bool aws_chain_env_is_true(const struct aws_chain *c, const char *name);
/* The region as the options, the environment or the profile name it, or NULL; malloc'ed. */
char *aws_chain_region(const struct aws_chain *c);

/* What a link says. */
struct aws_found {
    struct aws_keys keys; /* access_key_id NULL: it has nothing to say */
    moment_us expires;    /* MOMENT_NONE: nobody knows of an end */
    bool renewable;       /* asking again may give others */
    char *from;           /* where the keys are from; without keys, why there are none */
};
#define AWS_FOUND_INIT ((struct aws_found){.expires = MOMENT_NONE})
void aws_found_done(struct aws_found *f);
#define CLEANUP_AWS_FOUND CLEANUP(aws_found_done)

/* "It has nothing to say, because …" Returns RC_OK. */
enum rc aws_found_nothing(struct aws_found *ret, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Copies them, unless one holds what can't be in a header: RC_CONFIG, which names the part only. */
MUST_CHECK enum rc aws_found_keys(struct aws_found *ret, const char *id, const char *secret,
                                  const char *token, struct error *err);

/*
 * The JSON of a service (docs.aws.amazon.com, EC2 User Guide, "Retrieve security credentials from
 * instance metadata"; ECS Developer Guide, "Task IAM role") or of a credential_process (AWS SDKs
 * and Tools Reference Guide, "Process credential provider"): keys and their end. No error quotes
 * it.
 */
enum aws_json { AWS_JSON_SERVICE, AWS_JSON_PROCESS };
MUST_CHECK enum rc aws_found_parse(struct aws_found *ret, enum aws_json form, const void *text,
                                   size_t len, struct error *err);

/* The links. Each sets all of ret, or fails. */
typedef enum rc aws_link(const struct aws_chain *c, struct aws_found *ret, struct error *err);
aws_link aws_link_configuration, aws_link_environment, aws_link_web_identity, aws_link_profile,
    aws_link_container, aws_link_instance;

/* Where the container's service is, malloc'ed; NULL where the environment names none. RC_CONFIG for
 * a place that credentials must not come from. */
MUST_CHECK enum rc aws_container_url(const struct aws_chain *c, char **ret, struct error *err);

/* A role that the token service (docs.aws.amazon.com, STS API Reference) is asked for. */
struct aws_role {
    const char *arn;
    const char *session_name;     /* NULL: "pgproof" */
    const char *external_id;      /* NULL: none */
    const char *duration_seconds; /* NULL: the service's usual */
};
/* Set keys and end; the caller adds from where. */
MUST_CHECK enum rc aws_sts_web_identity(const struct aws_chain *c, const struct aws_role *r,
                                        const char *token_path, struct aws_found *ret,
                                        struct error *err);
MUST_CHECK enum rc aws_sts_assume_role(const struct aws_chain *c, const struct aws_role *r,
                                       const struct aws_keys *by, struct aws_found *ret,
                                       struct error *err);

/* One exchange with a service that gives credentials. */
struct aws_call {
    const char *service; /* "instance metadata", for errors */
    const char *method, *url;
    const char *const *headers; /* NULL-terminated, or NULL */
    const char *body;           /* or NULL */
    const char *secrets[2];     /* what the request holds and no error may; or NULL */
    const char *ca_file;        /* or NULL */
    bool nearby;                /* on this machine or its link: no proxy, and fast or not at all */
};
/* As http_exchange, whose error then names the service. */
MUST_CHECK enum rc aws_call(const struct aws_call *q, struct buf *to, struct http_answer *a,
                            struct error *err);
/* The error for an answer that is no success, in the service's words. Never RC_OK. */
enum rc aws_call_refused(const struct aws_call *q, const struct http_answer *a, struct error *err);

/* How much of a URL may be shown, "http://host:port": the path to a container's keys is as good as
 * the keys. */
int aws_server_len(const char *url);

/* Secrets in memory. */
void aws_wipe(char **s); /* overwrites and frees *s, which may be NULL */
void aws_buf_wipe(struct buf *b);
#define CLEANUP_SECRET     CLEANUP(aws_wipe)
#define CLEANUP_SECRET_BUF CLEANUP(aws_buf_wipe)
/* A whole file, in one piece of memory, so that growing leaves no copies. May give RC_NOT_FOUND. */
MUST_CHECK enum rc aws_file_read(const char *path, struct buf *to, struct error *err);
/* A file with one token: no blanks around it. Every failure is an error that names the file. */
MUST_CHECK enum rc aws_token_read(const char *path, char **ret, struct error *err);
/* At least one byte, and nothing but visible ASCII. */
bool aws_is_word(const char *s);

struct aws_credentials {
    unsigned references; /* atomic */
    struct aws_chain chain;
    moment_us (*now)(void); /* clock_now, but for tests */

    pthread_mutex_t lock; /* for all below; held while a link is asked, so that one thread asks */
    int link;             /* the one that gave keys; -1: none yet */
    struct aws_found found;
    moment_us renew_at;  /* MOMENT_NONE: never */
    bool refused;        /* the server called them expired */
    bool warned;         /* that they could not be renewed */
    moment_us failed_at; /* the last attempt; MOMENT_NONE: it did not fail */
    struct error failure;
    bool region_known;
    char *region;
};

#endif
