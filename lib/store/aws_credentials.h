/*
 * Where S3 credentials come from. The first link that has something to say decides:
 *
 *   1 configuration   static keys, handed in
 *   2 environment     AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   3 web identity    AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE (AssumeRoleWithWebIdentity)
 *   4 profile         AWS_PROFILE or "default" in the shared credentials and config files
 *   5 container       AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS pod identity)
 *   6 instance        instance metadata, version 2 only
 *
 * A profile named in the configuration is the only link then. A link that has something to say but
 * fails is an error: no later link stands in for it, so that nobody works with keys that he did not
 * mean.
 *
 * A profile may hold keys, a role_arn with source_profile, credential_source or
 * web_identity_token_file, or a credential_process. The token service is AWS's of the region, or
 * AWS_ENDPOINT_URL_STS, or AWS_ENDPOINT_URL.
 *
 * Temporary credentials are fetched again five minutes before they end (after half of their time,
 * where less than ten are left), and when a server says that they have ended. Where that fails, the
 * old ones go on while they last, with one warning in the log. Whichever link gave the first ones
 * gives all later ones.
 *
 * One struct is shared by all handles of a process; it may be used by any thread. While one thread
 * fetches, the others wait, and share its result. Secrets never appear in errors or logs, and our
 * own copies of them are wiped when they are freed.
 */
#ifndef PGPROOF_STORE_AWS_CREDENTIALS_H
#define PGPROOF_STORE_AWS_CREDENTIALS_H

#include "base/error.h"
#include "store/aws_sign.h"

/* All are copied. */
struct aws_credentials_options {
    const char *access_key_id; /* NULL: go through the chain */
    const char *secret_access_key;
    const char *session_token;
    const char *profile;      /* NULL: the chain decides */
    const char *region;       /* for the token service; NULL: see aws_credentials_region */
    const char *ca_file;      /* for the token service; NULL: AWS_CA_BUNDLE, or the system's */
    char *const *environment; /* NULL: the process's */
};

struct aws_credentials;
struct aws_credentials *aws_credentials_new(const struct aws_credentials_options *o);
struct aws_credentials *aws_credentials_ref(struct aws_credentials *c);
void aws_credentials_unref(struct aws_credentials *c); /* takes NULL */

/*
 * Keys that are valid now, copied. RC_CONFIG where no link has any (the error lists the links that
 * were asked) or a file or variable makes no sense; RC_SYSTEM where a file can't be read;
 * RC_STORAGE where a service refuses or could not be reached, transient where a later try may help.
 * Nothing is tried twice in here.
 */
MUST_CHECK enum rc aws_credentials_get(struct aws_credentials *c, struct aws_keys *ret,
                                       struct error *err);

/* The server called keys of this generation expired: the next get fetches new ones. False: these
 * can't be renewed (static ones). */
bool aws_credentials_expired(struct aws_credentials *c, unsigned generation);

/* The region that the environment (AWS_REGION, AWS_DEFAULT_REGION) or the profile names, or NULL.
 * Belongs to c. */
const char *aws_credentials_region(struct aws_credentials *c);

/*
 * Which link gives the keys, for people: "environment variable AWS_ACCESS_KEY_ID", "profile backup
 * in /var/lib/postgresql/.aws/credentials", "instance metadata, role db-backup, until 2026-11-21
 * 14:30:00 UTC". Never a key. Asks the link. malloc'ed.
 */
MUST_CHECK enum rc aws_credentials_describe(struct aws_credentials *c, char **ret,
                                            struct error *err);

#endif
