#include "store/aws_credentials_int.h"

#include "base/str.h"
#include "codec/hash.h"
#include "store/s3_xml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX_BYTES   (256u << 10)
#define ANSWER_MAX_BYTES (64u << 10)
#define TOKEN_MAX_BYTES  16384
#define FORM             "Content-Type: application/x-www-form-urlencoded"

/* Where the token service is, and what a signature says about it. */
struct place {
    char *url;        /* ends with '/' */
    const char *path; /* of the url */
    char *host;       /* with the port, as in the url */
    char *region;
};

static void place_done(struct place *p)
{
    free(p->url);
    free(p->host);
    free(p->region);
}

static bool is_label(const char *s)
{
    size_t n = strlen(s);

    for (const char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-')
            return false;
    return n > 0 && n < 64;
}

static char *regional_url(const char *region)
{
    if (!region)
        return str_dup("https://sts.amazonaws.com/");
    return str_printf("https://sts.%s.amazonaws.com%s/", region,
                      str_starts(region, "cn-") ? ".cn" : "");
}

/* The endpoint that the environment names, or NULL. */
static const char *named_endpoint(const struct aws_chain *c)
{
    const char *sts = aws_chain_env(c, "AWS_ENDPOINT_URL_STS");

    if (aws_chain_env_is_true(c, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
        return NULL;
    return sts ? sts : aws_chain_env(c, "AWS_ENDPOINT_URL");
}

static enum rc take_apart(struct place *p, struct error *err)
{
    const char *slashes = strstr(p->url, "://");
    size_t n = slashes ? strcspn(slashes + 3, "/") : 0;

    if (n == 0 || !aws_is_word(p->url) || strpbrk(p->url, "?#@")) {
        error_set(err, RC_CONFIG, "the token service's address is no URL");
        return error_now(err, "write AWS_ENDPOINT_URL_STS as https://HOST:PORT");
    }
    p->host = str_printf("%.*s", (int)n, slashes + 3);
    p->path = slashes + 3 + n;
    return RC_OK;
}

static enum rc find_place(const struct aws_chain *c, struct place *ret, struct error *err)
{
    const char *endpoint = named_endpoint(c);
    CLEANUP_FREE char *region = aws_chain_region(c);

    if (!endpoint && region && !is_label(region)) {
        error_set(err, RC_CONFIG, "the region's name is none");
        error_on(err, "\"%s\"", region);
        return error_now(err, "write it as in eu-central-1");
    }
    ret->region = str_dup(region ? region : "us-east-1");
    ret->url = endpoint ? str_printf("%s%s", endpoint, str_ends(endpoint, "/") ? "" : "/")
                        : regional_url(region);
    return take_apart(ret, err);
}

/* One element of the answer. */
static enum rc take(const struct buf *xml, const char *element, char *to, size_t size,
                    struct error *err)
{
    enum rc rc = s3_xml_text(xml->data, xml->len, element, to, size, err);

    if (rc == RC_OK && strlen(to) + 1 < size)
        return RC_OK;
    return error_set(err, RC_STORAGE,
                     "the token service's answer is not understood: it has no usable %s", element);
}

static enum rc take_end(const struct buf *xml, moment_us *ret, struct error *err)
{
    char text[64];
    struct error quoting;

    TRY(take(xml, "Expiration", text, sizeof(text), err));
    if (moment_parse(text, ret, &quoting) != RC_OK)
        return error_set(err, RC_STORAGE,
                         "the token service's answer is not understood: its Expiration is no time");
    return RC_OK;
}

static enum rc parse_answer(const struct buf *xml, struct aws_found *ret, struct error *err)
{
    char id[256], secret[256], token[TOKEN_MAX_BYTES];
    moment_us expires;

    enum rc rc = take(xml, "AccessKeyId", id, sizeof(id), err);
    if (rc == RC_OK)
        rc = take(xml, "SecretAccessKey", secret, sizeof(secret), err);
    if (rc == RC_OK)
        rc = take(xml, "SessionToken", token, sizeof(token), err);
    if (rc == RC_OK)
        rc = take_end(xml, &expires, err);
    if (rc == RC_OK)
        rc = aws_found_keys(ret, id, secret, token, err);
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(token, sizeof(token));
    if (rc != RC_OK)
        return error_reclass(err, RC_STORAGE);
    ret->expires = expires;
    ret->renewable = true;
    return RC_OK;
}

static enum rc exchange(const struct aws_chain *c, const struct place *p,
                        const char *const *headers, const char *body, const char *secret,
                        const char *token, struct aws_found *ret, struct error *err)
{
    struct aws_call q = {
        .service = "token service",
        .method = "POST",
        .url = p->url,
        .headers = headers,
        .body = body,
        .secrets = {secret, token},
        .ca_file = c->ca_file ? c->ca_file : aws_chain_env(c, "AWS_CA_BUNDLE"),
    };
    CLEANUP_SECRET_BUF struct buf xml = BUF_INIT(ANSWER_MAX_BYTES);
    CLEANUP_ANSWER struct http_answer a = HTTP_ANSWER_INIT;

    TRY(aws_call(&q, &xml, &a, err));
    if (a.status / 100 != 2) {
        aws_call_refused(&q, &a, err);
        return error_now(err, "look whether the role exists, and whom its trust policy lets in");
    }
    if (parse_answer(&xml, ret, err) == RC_OK)
        return RC_OK;
    return error_on(err, "%s", p->url);
}

static enum rc form_body(const struct aws_param *params, size_t count, struct buf *to,
                         const char **ret, struct error *err)
{
    TRY(buf_reserve(to, to->max, err));
    TRY(aws_query(params, count, to, err));
    return buf_cstr(to, ret, err);
}

enum rc aws_sts_web_identity(const struct aws_chain *c, const struct aws_role *r,
                             const char *token_path, struct aws_found *ret, struct error *err)
{
    CLEANUP(place_done) struct place p = {0};
    CLEANUP_SECRET char *token = NULL;
    CLEANUP_SECRET_BUF struct buf body = BUF_INIT(BODY_MAX_BYTES);
    const char *const headers[] = {FORM, NULL};
    const char *text;

    TRY(aws_token_read(token_path, &token, err));
    TRY(find_place(c, &p, err));
    const struct aws_param params[] = {
        {"Action", "AssumeRoleWithWebIdentity"},
        {"Version", "2011-06-15"},
        {"RoleArn", r->arn},
        {"RoleSessionName", r->session_name ? r->session_name : "pgproof"},
        {"WebIdentityToken", token},
        {"DurationSeconds", r->duration_seconds},
    };
    size_t count = sizeof(params) / sizeof(*params) - !r->duration_seconds;
    TRY(form_body(params, count, &body, &text, err));
    return exchange(c, &p, headers, text, token, NULL, ret, err);
}

/* The headers of a signed request: Host, content type, date, digest, token, signature. */
struct signed_headers {
    char *lines[7]; /* NULL-terminated; owned */
};

static void signed_headers_done(struct signed_headers *h)
{
    for (char **line = h->lines; *line; line++)
        aws_wipe(line);
}

static enum rc sign(const struct place *p, const struct aws_keys *by, const char *body,
                    struct signed_headers *ret, struct error *err)
{
    CLEANUP_BUF struct buf signature = BUF_INIT(4096);
    struct sha256 digest = sha256_of(body, strlen(body));
    char date[AWS_DATE_SIZE], hex[SHA256_HEX_SIZE];
    char **line = ret->lines;
    const char *text;
    struct aws_request r = {
        .method = "POST",
        .path = p->path,
        .query = "",
        .headers = (const char *const *)ret->lines,
        .payload_sha256 = hex,
        .region = p->region,
        .service = "sts",
        .at = clock_now(),
    };

    sha256_hex(&digest, hex);
    *line++ = str_printf("Host: %s", p->host);
    *line++ = str_dup(FORM);
    *line++ = str_printf("x-amz-date: %s", aws_date(r.at, date));
    *line++ = str_printf("x-amz-content-sha256: %s", hex);
    if (by->session_token)
        *line++ = str_printf("x-amz-security-token: %s", by->session_token);
    TRY(aws_authorize(by, &r, &signature, err));
    TRY(buf_cstr(&signature, &text, err));
    *line = str_printf("Authorization: %s", text);
    return RC_OK;
}

enum rc aws_sts_assume_role(const struct aws_chain *c, const struct aws_role *r,
                            const struct aws_keys *by, struct aws_found *ret, struct error *err)
{
    CLEANUP(place_done) struct place p = {0};
    CLEANUP(signed_headers_done) struct signed_headers headers = {0};
    CLEANUP_BUF struct buf body = BUF_INIT(BODY_MAX_BYTES);
    struct aws_param params[6] = {
        {"Action", "AssumeRole"},
        {"Version", "2011-06-15"},
        {"RoleArn", r->arn},
        {"RoleSessionName", r->session_name ? r->session_name : "pgproof"},
    };
    size_t count = 4;
    const char *text;

    if (r->external_id)
        params[count++] = (struct aws_param){"ExternalId", r->external_id};
    if (r->duration_seconds)
        params[count++] = (struct aws_param){"DurationSeconds", r->duration_seconds};
    TRY(find_place(c, &p, err));
    TRY(form_body(params, count, &body, &text, err));
    TRY(sign(&p, by, text, &headers, err));
    return exchange(c, &p, (const char *const *)headers.lines, text, by->secret_access_key,
                    by->session_token, ret, err);
}
