/*
 * The files that the AWS tools share: ~/.aws/credentials and ~/.aws/config (docs.aws.amazon.com,
 * AWS SDKs and Tools Reference Guide, "Shared config and credentials files").
 *
 * libinih does not read them: Debian's cuts lines at 200 bytes, a session token has a thousand and
 * more, and an indented line is a setting of its own group here, not more of the value above.
 *
 * Secrets are wiped when they are freed, and no error quotes a line.
 */
#ifndef PGPROOF_STORE_AWS_PROFILE_H
#define PGPROOF_STORE_AWS_PROFILE_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>

enum aws_profile_file {
    AWS_FILE_CONFIG,      /* [default] and [profile NAME]; other sections are passed over */
    AWS_FILE_CREDENTIALS, /* [NAME] */
};

struct aws_setting {
    char *profile;
    char *key; /* lower case; "" says only that the profile is there */
    char *value;
    const char *path; /* of the file */
    unsigned rank;    /* the highest one of a key counts, and of these the last */
};

struct aws_profiles;
struct aws_profiles *aws_profiles_new(void);
void aws_profiles_free(struct aws_profiles *p); /* takes NULL */
DEFINE_CLEANUP(cleanup_aws_profiles, struct aws_profiles *, aws_profiles_free)
#define CLEANUP_AWS_PROFILES CLEANUP(cleanup_aws_profiles)

/* Add what a file holds. RC_CONFIG, on FILE:LINE, where a line makes no sense. */
MUST_CHECK enum rc aws_profiles_parse(struct aws_profiles *p, enum aws_profile_file kind,
                                      const char *path, const void *text, size_t len,
                                      struct error *err);

/* The same from the file itself, of at most 1 MB. RC_NOT_FOUND where there is none. */
MUST_CHECK enum rc aws_profiles_read(struct aws_profiles *p, enum aws_profile_file kind,
                                     const char *path, struct error *err);

bool aws_profiles_has(const struct aws_profiles *p, const char *profile);

/* A setting with a value, or NULL. The credentials file stands above the config file, and there
 * [profile default] above [default]. Belongs to p. */
const struct aws_setting *aws_profiles_find(const struct aws_profiles *p, const char *profile,
                                            const char *key);

#endif
