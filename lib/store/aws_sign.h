/*
 * AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"), header form.
 */
#ifndef PGPROOF_STORE_AWS_SIGN_H
#define PGPROOF_STORE_AWS_SIGN_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#include <stddef.h>

/* All strings are owned. */
struct aws_keys {
    char *access_key_id;
    char *secret_access_key;
    char *session_token; /* NULL: none */
    unsigned generation; /* tells a renewed set from the one before (aws_credentials.h) */
};
void aws_keys_done(struct aws_keys *k); /* wipes and frees; k is empty afterwards */
#define CLEANUP_AWS_KEYS __attribute__((cleanup(aws_keys_done)))

/* A query parameter, not encoded; value "" for one without. */
struct aws_param {
    const char *name;
    const char *value;
};

/* Percent-encode as S3 wants a path or a parameter: all but A-Z a-z 0-9 - . _ ~, in upper-case hex;
 * '/' stays where keep_slash. Appends to `to`. */
MUST_CHECK enum rc aws_uri_encode(const char *text, bool keep_slash, struct buf *to,
                                  struct error *err);

/* "a=1&b=" from parameters in any order: sorted and encoded as a canonical query, and good for the
 * URL as well. Appends to `to`. */
MUST_CHECK enum rc aws_query(const struct aws_param *params, size_t count, struct buf *to,
                             struct error *err);

struct aws_request {
    const char *method;
    const char *path;           /* encoded, as it stands in the URL; begins with '/' */
    const char *query;          /* from aws_query; "" for none */
    const char *const *headers; /* all that are signed, "Name: value", any order; with Host,
                                   x-amz-date and x-amz-content-sha256; NULL-terminated */
    const char *payload_sha256; /* hex, or "UNSIGNED-PAYLOAD" */
    const char *region, *service;
    moment_us at; /* what x-amz-date says */
};

#define AWS_DATE_SIZE 17 /* "20261121T143000Z" with its NUL */
const char *aws_date(moment_us at, char to[static AWS_DATE_SIZE]);

/* The value of the Authorization header, appended to `to`. */
MUST_CHECK enum rc aws_authorize(const struct aws_keys *k, const struct aws_request *r,
                                 struct buf *to, struct error *err);

#endif
