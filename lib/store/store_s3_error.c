/* What the answers of S3 servers mean, and what to do about them. */
#include "store/store_s3_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define OTHER_CLOCK "set the clock of this machine, or the server's, by NTP; then try again"

enum rc s3_error_on(const struct s3_store *s, const char *name, struct error *err)
{
    return error_on(err, "%s%s%s", s->store.where, name[0] ? "/" : "", name);
}

static bool one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++)
        if (str_eq(code, *codes))
            return true;
    return false;
}

bool s3_may_pass(int status, const char *code)
{
    /* 400: the body was damaged or cut on its way, or came too slowly. */
    static const char *const damaged[] = {"RequestTimeout", "BadDigest",
                                          "XAmzContentSHA256Mismatch", "IncompleteBody", NULL};
    static const char *const full[] = {"XMinioStorageFull", "QuotaExceeded",
                                       "XMinioAdminBucketQuotaExceeded", NULL};

    if (one_of(code, full))
        return false;
    switch (status) {
    case 400:
        return one_of(code, damaged);
    case 408:
    case 409:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    }
    return str_eq(code, "SlowDown") || str_eq(code, "InternalError");
}

/* Codes with a remedy of their own. */
static const struct meaning {
    const char *code;
    const char *what;
    const char *now;
} meanings[] = {
    {"AccessDenied", "the storage denies it to these credentials",
     "give them the rights in docs/security.md; 'pgproof doctor' shows which they have, 'pgproof "
     "config' where they come from"},
    {"InvalidAccessKeyId", "the storage does not know this access key",
     "'pgproof config' shows where the credentials come from; check them there"},
    {"InvalidTokenId", "the storage does not know this session token",
     "'pgproof config' shows where the credentials come from; check them there"},
    {"InvalidToken", "the storage does not accept this session token",
     "'pgproof config' shows where the credentials come from; check them there"},
    {"ExpiredToken", "these credentials have ended",
     "'pgproof config' shows where they come from; get new ones there"},
    {"SignatureDoesNotMatch", "the storage does not accept the signature: the secret key is wrong",
     "check 'secret-access-key' (or what gives it: 'pgproof config') for this access key; if it is "
     "right, a proxy changes requests on their way"},
    {"NoSuchBucket", "there is no such bucket",
     "check 'bucket' and 'endpoint' in section [repository]; pgproof makes no buckets"},
    {"InvalidBucketName", "this is no name for a bucket", "check 'bucket' in section [repository]"},
    {"InvalidObjectState",
     "the object is in an archive storage class and can't be read before it is restored from there",
     "restore it with the storage's own tool (aws s3api restore-object), then try again"},
    {"InvalidStorageClass", "the storage does not know this storage class",
     "check 'storage-class' in the section of the tier"},
    {"QuotaExceeded", "the bucket's quota is used up",
     "raise the quota; what retention no longer keeps goes with expiry"},
    {"XMinioAdminBucketQuotaExceeded", "the bucket's quota is used up",
     "raise the quota; what retention no longer keeps goes with expiry"},
    {"XMinioStorageFull", "the storage is full", "make room on the storage"},
    {"EntityTooLarge", "the object is larger than the storage takes", NULL},
    {"KMS.DisabledException", "the KMS key is disabled", "enable the key in the KMS"},
    {"KMS.NotFoundException", "there is no such KMS key", "check 'sse-kms-key-id'"},
    {"kms:KeyNotFound", "there is no such KMS key", "check 'sse-kms-key-id'"}, /* MinIO */
    {"NotImplemented", "the storage does not offer what was asked for",
     "'pgproof doctor' shows what it offers"},
};

static const struct meaning *meaning_of(const struct s3_call *c)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (str_eq(meanings[i].code, c->code))
            return &meanings[i];
    if (c->status == 403 && !c->code[0])
        return &meanings[0];
    return NULL;
}

/* The storage's own sentence, for what we have no better one for. */
static void own_words(struct s3_call *c, char *to, size_t to_size)
{
    struct error ignored;
    char text[512];

    to[0] = '\0';
    if (s3_xml_text(c->answer.problem.data, c->answer.problem.len, "Message", text, sizeof(text),
                    &ignored) != RC_OK ||
        !text[0])
        return;
    CLEANUP_FREE char *printable = str_printable(text);
    str_copy(to, to_size, printable);
}

static enum rc clocks_differ(struct s3_call *c, struct error *err)
{
    char ours[MOMENT_TEXT_MAX], theirs[MOMENT_TEXT_MAX] = "unknown";

    if (c->answer.date != MOMENT_NONE)
        moment_text(c->answer.date, theirs);
    error_set(err, RC_STORAGE,
              "the storage refuses requests whose clock is wrong: here it is %s, there it is %s",
              moment_text(clock_now() / 1000000 * 1000000, ours), theirs);
    err->transient = true;
    s3_error_on(c->s, c->name, err);
    return error_now(err, OTHER_CLOCK);
}

/* The region that the bucket is in, where the answer tells it. */
static const char *told_region(struct s3_call *c, char *to, size_t to_size)
{
    const char *header = http_header(c->s->http, "x-amz-bucket-region");
    struct error ignored;

    if (header && str_copy(to, to_size, header))
        return to;
    if (s3_xml_text(c->answer.problem.data, c->answer.problem.len, "Region", to, to_size,
                    &ignored) == RC_OK)
        return to;
    return NULL;
}

static bool is_about_region(const struct s3_call *c)
{
    static const char *const codes[] = {"PermanentRedirect", "AuthorizationHeaderMalformed",
                                        "IllegalLocationConstraintException", "TemporaryRedirect",
                                        NULL};

    return one_of(c->code, codes) || c->status == 301 || c->status == 307;
}

static enum rc wrong_region(struct s3_call *c, struct error *err)
{
    char region[64];

    if (told_region(c, region, sizeof(region)) && !str_eq(region, c->s->shared->region)) {
        error_set(err, RC_STORAGE, "the bucket is in region %s, not in %s", region,
                  c->s->shared->region);
        s3_error_on(c->s, c->name, err);
        return error_now(err, "set 'region = %s' in section [repository]%s", region,
                         c->s->shared->o.endpoint ? ", and the endpoint of that region" : "");
    }
    error_set(err, RC_STORAGE, "the storage sends us elsewhere (%d %s)", c->status, c->code);
    s3_error_on(c->s, c->name, err);
    return error_now(err, "check 'region', 'endpoint' and 'uri-style' in section [repository]");
}

enum rc s3_call_failed(struct s3_call *c, struct error *err)
{
    const struct meaning *m = meaning_of(c);
    char words[512];

    if (str_eq(c->code, "RequestTimeTooSkewed"))
        return clocks_differ(c, err);
    if (is_about_region(c))
        return wrong_region(c, err);
    own_words(c, words, sizeof(words));
    error_set(err, RC_STORAGE, "%s (%s: %d%s%s%s%s)", m ? m->what : "the storage could not do it",
              c->method, c->status, c->code[0] ? " " : "", c->code, words[0] ? ", " : "", words);
    err->transient = s3_may_pass(c->status, c->code);
    s3_error_on(c->s, c->name, err);
    if (m && m->now)
        return error_now(err, "%s", m->now);
    return error_now(err, "look into the storage's own log%s",
                     err->transient ? ", and try again" : "");
}

enum rc s3_call_absent(struct s3_call *c, struct error *err)
{
    if (c->status == 404 && (str_eq(c->code, "NoSuchKey") || str_eq(c->code, "NoSuchVersion"))) {
        error_set(err, RC_NOT_FOUND, "there is no such object");
        return s3_error_on(c->s, c->name, err);
    }
    return s3_call_failed(c, err);
}
