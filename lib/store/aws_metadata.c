/*
 * The services of a container and of an instance (docs.aws.amazon.com: AWS SDKs and Tools Reference
 * Guide, "Container credential provider" and "IMDS credential provider"; EC2 User Guide, "Use the
 * Instance Metadata Service"). Version 1 of instance metadata is not spoken: whoever can make a
 * process fetch a URL gets the keys from it.
 */
#include "store/aws_credentials_int.h"

#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MAX_BYTES (64u << 10)
#define ROLES            "/latest/meta-data/iam/security-credentials/"

/* Ask for the JSON of keys. */
static enum rc fetch_keys(const struct aws_call *q, struct aws_found *ret, struct error *err)
{
    CLEANUP_SECRET_BUF struct buf json = BUF_INIT(ANSWER_MAX_BYTES);
    CLEANUP_ANSWER struct http_answer a = HTTP_ANSWER_INIT;

    TRY(aws_call(q, &json, &a, err));
    if (a.status / 100 != 2)
        return aws_call_refused(q, &a, err);
    if (aws_found_parse(ret, AWS_JSON_SERVICE, json.data, json.len, err) == RC_OK)
        return RC_OK;
    error_prefix(err, "the %s", q->service);
    return error_on(err, "%.*s", aws_server_len(q->url), q->url);
}

/* The host of "http://HOST[:PORT]/…" without brackets, or "" where it is not written plainly enough
 * for everybody to read the same. */
static void host_of(const char *url, char *to, size_t size)
{
    const char *p = url + strlen("http://");
    size_t n = strcspn(p, "/?#");
    size_t plain = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]");

    snprintf(to, size, "%.*s", n == plain ? (int)n : 0, p);
    char *bracket = strrchr(to, ']');
    if (to[0] == '[' && bracket && (!bracket[1] || bracket[1] == ':')) {
        *bracket = '\0';
        memmove(to, to + 1, strlen(to));
    } else {
        to[strcspn(to, ":")] = '\0';
    }
}

/* Hosts from which credentials may come in the clear: this machine itself, and AWS's addresses for
 * ECS and EKS. */
static bool is_nearby(const char *host)
{
    static const char *const known[] = {"localhost",      "::1",          "169.254.170.2",
                                        "169.254.170.23", "fd00:ec2::23", NULL};
    struct in_addr v4;

    for (const char *const *k = known; *k; k++)
        if (str_eq(host, *k))
            return true;
    return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static bool may_give_credentials(const char *url)
{
    char host[256];

    if (!aws_is_word(url) || memchr(url, '@', (size_t)aws_server_len(url)))
        return false;
    if (str_starts(url, "https://"))
        return true;
    if (!str_starts(url, "http://"))
        return false;
    host_of(url, host, sizeof(host));
    return is_nearby(host);
}

static enum rc check_full_url(const char *url, struct error *err)
{
    if (may_give_credentials(url))
        return RC_OK;
    error_set(err, RC_CONFIG,
              "credentials must not come from there: it is neither https, nor this "
              "machine, nor an address of ECS or EKS");
    error_on(err, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    return error_now(err, "correct the variable, or unset it");
}

enum rc aws_container_url(const struct aws_chain *c, char **ret, struct error *err)
{
    const char *relative = aws_chain_env(c, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_chain_env(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI");

    if (relative && (relative[0] != '/' || !aws_is_word(relative))) {
        error_set(err, RC_CONFIG, "it does not begin with '/', or holds a blank");
        return error_on(err, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    }
    if (!relative && full)
        TRY(check_full_url(full, err));
    *ret = relative ? str_printf("http://169.254.170.2%s", relative) : full ? str_dup(full) : NULL;
    return RC_OK;
}

/* The value of the Authorization header, or NULL. EKS replaces the file from time to time. */
static enum rc container_token(const struct aws_chain *c, char **ret, struct error *err)
{
    const char *path = aws_chain_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_chain_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN");

    if (path)
        return aws_token_read(path, ret, err);
    if (token && strpbrk(token, "\r\n")) {
        error_set(err, RC_CONFIG, "there is a line end in it");
        return error_on(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    }
    *ret = token ? str_dup(token) : NULL;
    return RC_OK;
}

enum rc aws_link_container(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    CLEANUP_FREE char *url = NULL;
    CLEANUP_SECRET char *token = NULL, *authorization = NULL;

    TRY(aws_container_url(c, &url, err));
    if (!url)
        return aws_found_nothing(ret, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
    TRY(container_token(c, &token, err));
    authorization = token ? str_printf("Authorization: %s", token) : NULL;
    const char *const headers[] = {authorization, NULL};
    struct aws_call q = {
        .service = "container's credential service",
        .method = "GET",
        .url = url,
        .headers = headers,
        .secrets = {token},
        .ca_file = aws_chain_env(c, "AWS_CA_BUNDLE"),
        .nearby = str_starts(url, "http://"),
    };
    TRY(fetch_keys(&q, ret, err));
    ret->from = str_printf("container credentials from %.*s", aws_server_len(url), url);
    return RC_OK;
}

/* Instance metadata, once its token is there. */
struct instance {
    char *base;   /* its URL without '/' at the end */
    char *header; /* with the token */
    char *role;
};

static void instance_done(struct instance *i)
{
    free(i->base);
    aws_wipe(&i->header);
    free(i->role);
}

static char *instance_base(const struct aws_chain *c)
{
    const char *named = aws_chain_env(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = aws_chain_env(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    bool v6 = mode && strcasecmp(mode, "IPv6") == 0;

    if (!named)
        return str_dup(v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
    return str_printf("%.*s", (int)(strlen(named) - str_ends(named, "/")), named);
}

/* The first line of an answer as one word, malloc'ed, or NULL. */
static char *first_word(const struct buf *b)
{
    const uint8_t *end = b->len ? memchr(b->data, '\n', b->len) : NULL;
    size_t n = end ? (size_t)(end - b->data) : b->len;
    char *word = mem_zalloc(n + 1);

    if (n)
        memcpy(word, b->data, n);
    word[strcspn(word, "\r")] = '\0';
    if (!aws_is_word(word))
        aws_wipe(&word);
    return word;
}

static struct aws_call instance_call(const char *method, const char *url,
                                     const char *const *headers)
{
    return (struct aws_call){
        .service = "instance metadata service",
        .method = method,
        .url = url,
        .headers = headers,
        .nearby = true,
    };
}

/* GET or PUT of one word; *ret stays NULL, and *ret_status says why, where it is not given. */
static enum rc fetch_word(const struct aws_call *q, int *ret_status, char **ret, struct error *err)
{
    CLEANUP_SECRET_BUF struct buf text = BUF_INIT(ANSWER_MAX_BYTES);
    CLEANUP_ANSWER struct http_answer a = HTTP_ANSWER_INIT;

    TRY(aws_call(q, &text, &a, err));
    *ret_status = a.status;
    if (a.status >= 500 || a.status == 429 || a.status == 401)
        return aws_call_refused(q, &a, err);
    if (a.status / 100 == 2)
        *ret = first_word(&text);
    return RC_OK;
}

/* Without an instance around there is no answer, or one of something else. */
static enum rc instance_token(struct instance *i, struct aws_found *ret, struct error *err)
{
    CLEANUP_FREE char *url = str_printf("%s/latest/api/token", i->base);
    const char *const headers[] = {"X-aws-ec2-metadata-token-ttl-seconds: 300", NULL};
    struct aws_call q = instance_call("PUT", url, headers);
    CLEANUP_SECRET char *token = NULL;
    int status = 0;
    enum rc rc = fetch_word(&q, &status, &token, err);

    if (rc == RC_STORAGE && status == 0)
        return aws_found_nothing(ret, "%s", err->what);
    if (rc != RC_OK)
        return rc;
    if (!token)
        return aws_found_nothing(ret, "%s offers no token of version 2 (HTTP status %d)", i->base,
                                 status);
    i->header = str_printf("X-aws-ec2-metadata-token: %s", token);
    return RC_OK;
}

static enum rc instance_role(struct instance *i, struct aws_found *ret, struct error *err)
{
    CLEANUP_FREE char *url = str_printf("%s" ROLES, i->base);
    const char *const headers[] = {i->header, NULL};
    struct aws_call q = instance_call("GET", url, headers);
    int status = 0;

    TRY(fetch_word(&q, &status, &i->role, err));
    if (!i->role)
        return aws_found_nothing(ret, "this instance has no role (HTTP status %d)", status);
    return RC_OK;
}

static enum rc instance_keys(struct instance *i, struct aws_found *ret, struct error *err)
{
    CLEANUP_BUF struct buf encoded = BUF_INIT(4096);
    const char *const headers[] = {i->header, NULL};
    const char *role;

    TRY(aws_uri_encode(i->role, false, &encoded, err));
    TRY(buf_cstr(&encoded, &role, err));
    CLEANUP_FREE char *url = str_printf("%s" ROLES "%s", i->base, role);
    struct aws_call q = instance_call("GET", url, headers);
    TRY(fetch_keys(&q, ret, err));
    ret->from = str_printf("instance metadata, role %s", i->role);
    return RC_OK;
}

enum rc aws_link_instance(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    CLEANUP(instance_done) struct instance i = {.base = instance_base(c)};

    if (aws_chain_env_is_true(c, "AWS_EC2_METADATA_DISABLED"))
        return aws_found_nothing(ret, "AWS_EC2_METADATA_DISABLED is set");
    TRY(instance_token(&i, ret, err));
    if (i.header)
        TRY(instance_role(&i, ret, err));
    return i.role ? instance_keys(&i, ret, err) : RC_OK;
}
