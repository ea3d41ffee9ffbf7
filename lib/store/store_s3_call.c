/* One call of the S3 API: built, signed, sent, and tried again. */
#include "store/store_s3_int.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/str.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define URL_MAX          16384
#define FIRST_PAUSE      0.2 /* seconds; doubled each time */
#define LONGEST_PAUSE    20.0
#define FIRST_CONTACT    15.0 /* a server that never answered is given up sooner: a wrong endpoint */
#define WARN_AFTER       10.0
#define DAMAGED_ATTEMPTS 4
#define KEYS_ATTEMPTS    3
#define RACE_ATTEMPTS    5

void s3_call_begin(struct s3_call *c, struct s3_store *s, const char *method, const char *key,
                   const char *name)
{
    *c = (struct s3_call){
        .s = s,
        .memory = arena_new(),
        .method = method,
        .key = key,
        .name = name,
        .body = "",
        .deadline = clock_monotonic() + s->shared->o.retry_seconds,
        .answer = HTTP_ANSWER_INIT,
    };
}

void s3_call_done(struct s3_call *c)
{
    http_answer_done(&c->answer);
    arena_free(c->memory);
}

void s3_call_query(struct s3_call *c, const char *name, const char *value)
{
    BUG_IF(c->query_count == S3_QUERY_MAX);
    c->query[c->query_count].name = arena_strdup(c->memory, name);
    c->query[c->query_count].value = arena_strdup(c->memory, value);
    c->query_count++;
}

void s3_call_header(struct s3_call *c, const char *name, const char *fmt, ...)
{
    char value[2048];
    va_list ap;

    BUG_IF(c->header_count == S3_HEADER_MAX);
    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    c->headers[c->header_count++] = arena_printf(c->memory, "%s: %s", name, value);
}

void s3_call_body(struct s3_call *c, const void *body, size_t len, const struct sha256 *sha256)
{
    struct sha256 *own = arena_alloc(c->memory, sizeof(*own));

    *own = sha256 ? *sha256 : sha256_of(body, len);
    c->sha256 = own;
    c->body = len > 0 ? body : "";
    c->body_len = len;
}

static void base64(const void *data, int len, char *to) /* room for 4/3 of it and a NUL */
{
    EVP_EncodeBlock((unsigned char *)to, data, len);
}

static enum rc md5_base64(const void *data, size_t len, char to[static 25], struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;

    if (EVP_Digest(data, len, digest, &digest_len, EVP_md5(), NULL) != 1 || digest_len != 16)
        return error_set(err, RC_SYSTEM, "could not compute the MD5 that S3 asks for");
    base64(digest, 16, to);
    return RC_OK;
}

enum rc s3_call_md5(struct s3_call *c, struct error *err)
{
    char text[25];

    TRY(md5_base64(c->body, c->body_len, text, err));
    s3_call_header(c, "content-md5", "%s", text);
    return RC_OK;
}

void s3_call_sse_c(struct s3_call *c)
{
    const struct store_s3_options *o = &c->s->shared->o;
    struct error ignored;
    char key[45], md5[25];

    if (o->sse != S3_SSE_C || md5_base64(o->sse_c_key, 32, md5, &ignored) != RC_OK)
        return; /* then the server refuses, and says why */
    base64(o->sse_c_key, 32, key);
    s3_call_header(c, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    s3_call_header(c, "x-amz-server-side-encryption-customer-key", "%s", key);
    s3_call_header(c, "x-amz-server-side-encryption-customer-key-md5", "%s", md5);
    explicit_bzero(key, sizeof(key));
}

/* The target as it is signed and as it is sent. */
static enum rc build_target(struct s3_call *c, struct buf *path, struct buf *query,
                            struct error *err)
{
    const struct s3_shared *h = c->s->shared;

    TRY(buf_append(path, h->path, strlen(h->path), err));
    if (c->key)
        TRY(aws_uri_encode(c->key, true, path, err));
    TRY(aws_query(c->query, c->query_count, query, err));
    return RC_OK;
}

/* The call's headers and those of every call, as lines on the arena. */
static void build_headers(struct s3_call *c, const struct aws_keys *keys, moment_us now,
                          const char *hash, const char **lines)
{
    char date[AWS_DATE_SIZE];
    size_t n = 0;

    lines[n++] = arena_printf(c->memory, "host: %s", c->s->shared->host);
    lines[n++] = arena_printf(c->memory, "x-amz-date: %s", aws_date(now, date));
    lines[n++] = arena_printf(c->memory, "x-amz-content-sha256: %s", hash);
    if (keys->session_token)
        lines[n++] = arena_printf(c->memory, "x-amz-security-token: %s", keys->session_token);
    for (size_t i = 0; i < c->header_count; i++)
        lines[n++] = c->headers[i];
    lines[n] = NULL;
}

static enum rc attempt(struct s3_call *c, const struct aws_keys *keys, struct error *err)
{
    const char *lines[S3_HEADER_MAX + 8];
    CLEANUP_BUF struct buf path = BUF_INIT(URL_MAX), query = BUF_INIT(URL_MAX);
    CLEANUP_BUF struct buf url = BUF_INIT(URL_MAX), authorization = BUF_INIT(URL_MAX);
    const char *path_text, *query_text, *url_text, *authorization_text;
    char hash[SHA256_HEX_SIZE];
    moment_us now = clock_now();

    sha256_hex(c->sha256, hash);
    TRY(build_target(c, &path, &query, err));
    TRY(buf_cstr(&path, &path_text, err));
    TRY(buf_cstr(&query, &query_text, err));
    build_headers(c, keys, now, hash, lines);
    struct aws_request signing = {
        .method = c->method,
        .path = path_text,
        .query = query_text,
        .headers = lines,
        .payload_sha256 = hash,
        .region = c->s->shared->region,
        .service = "s3",
        .at = now,
    };
    TRY(buf_printf(&authorization, err, "authorization: "));
    TRY(aws_authorize(keys, &signing, &authorization, err));
    TRY(buf_cstr(&authorization, &authorization_text, err));
    for (size_t i = 0;; i++)
        if (!lines[i]) {
            lines[i] = authorization_text;
            lines[i + 1] = NULL;
            break;
        }
    TRY(buf_printf(&url, err, "%s%s%s%s", c->s->shared->base, path_text, query.len > 0 ? "?" : "",
                   query_text));
    TRY(buf_cstr(&url, &url_text, err));
    struct http_request q = {
        .method = c->method,
        .url = url_text,
        .headers = lines,
        .body = c->body,
        .body_len = c->body_len,
        .total_seconds = c->total_seconds,
        .sum = c->sum,
    };
    return http_exchange(c->s->http, &q, c->to, &c->answer, err);
}

/* S3's word for what went wrong. A 2xx may carry it as well: work that began and failed. */
static void read_code(struct s3_call *c, const struct buf *document)
{
    struct error ignored;
    char root[32];

    c->code[0] = '\0';
    if (s3_xml_root(document->data, document->len, root, sizeof(root), &ignored) != RC_OK ||
        !str_eq(root, "Error"))
        return;
    if (s3_xml_text(document->data, document->len, "Code", c->code, sizeof(c->code), &ignored) !=
        RC_OK)
        str_copy(c->code, sizeof(c->code), "Error");
}

/* A 2xx that should be a document, or have no body, and carries an error, or a proxy's page. */
static enum rc check_document(struct s3_call *c, size_t len_before, struct error *err)
{
    struct buf document = {.len = c->to->len - len_before};
    struct error ignored;
    char root[64] = "";

    if (document.len)
        document.data = c->to->data + len_before;
    read_code(c, &document);
    if (c->code[0])
        return error_set(err, RC_STORAGE, "the storage answered %d, but with the error %s",
                         c->status, c->code);
    if (!c->root && document.len > 0)
        return error_set(err, RC_STORAGE,
                         "the storage answered %d, but with something that does not belong to it",
                         c->status);
    if (c->proof && !http_header(c->s->http, c->proof))
        return error_set(err, RC_STORAGE, "the storage answered %d, but without %s", c->status,
                         c->proof);
    if (!c->root ||
        (s3_xml_root(document.data, document.len, root, sizeof(root), &ignored) == RC_OK &&
         str_eq(root, c->root)))
        return RC_OK;
    return error_set(err, RC_STORAGE, "the storage answered %d without the %s that belongs to it",
                     c->status, c->root);
}

enum outcome { GIVE_UP, FOR_THE_CALLER, RETRY, RETRY_DAMAGED, RETRY_KEYS, RETRY_RACE };

static enum outcome judge_success(struct s3_call *c, size_t len_before, struct error *err)
{
    enum rc rc = RC_OK;

    if (!c->check && c->to)
        rc = check_document(c, len_before, err);
    else if (c->check)
        rc = c->check(c, err);
    if (rc == RC_OK)
        return FOR_THE_CALLER;
    s3_error_on(c->s, c->name, err);
    error_now(err, "look into the storage's own log, and at what stands between here and there");
    err->transient = true;
    c->uncertain = true;
    return rc == RC_INTEGRITY ? RETRY_DAMAGED : RETRY;
}

static bool keys_have_ended(const struct s3_call *c)
{
    return str_eq(c->code, "ExpiredToken") || str_eq(c->code, "ExpiredTokenException") ||
           str_eq(c->code, "TokenRefreshRequired");
}

/* MinIO on a file system denies a put where a removal beside it has just taken the directory. */
static bool may_be_race(const struct s3_call *c)
{
    const char *server = http_header(c->s->http, "Server");

    return c->status == 403 && str_eq(c->method, "PUT") && str_eq(c->code, "AccessDenied") &&
           server && str_starts(server, "MinIO");
}

static enum outcome judge_answer(struct s3_call *c, unsigned generation, size_t len_before,
                                 struct error *err)
{
    int status = c->answer.status;

    c->status = status;
    c->code[0] = '\0';
    c->uncertain |= c->answer.resent;
    if (status >= 200 && status < 300)
        return judge_success(c, len_before, err);
    read_code(c, &c->answer.problem);
    if (s3_may_pass(status, c->code)) {
        s3_call_failed(c, err);
        /* Below 500 it was refused; above, part or all of it may have been done. */
        c->uncertain |= status >= 500 || status == 408;
        return RETRY;
    }
    if (keys_have_ended(c) && aws_credentials_expired(c->s->shared->credentials, generation)) {
        s3_call_failed(c, err);
        return RETRY_KEYS;
    }
    if (str_eq(c->method, "HEAD") || status == 304 || status == 404 || status == 412 ||
        status == 416 || status == 501)
        return FOR_THE_CALLER;
    s3_call_failed(c, err);
    return may_be_race(c) ? RETRY_RACE : GIVE_UP;
}

static enum outcome judge_failure(struct s3_call *c, struct error *err)
{
    s3_error_on(c->s, c->name, err);
    c->status = 0;
    switch (c->answer.end) {
    case HTTP_STALLED:
    case HTTP_BROKEN:
        c->uncertain = true;
        return RETRY;
    case HTTP_UNREACHABLE:
        return err->transient ? RETRY : GIVE_UP;
    default:
        return GIVE_UP;
    }
}

static double pause_for(unsigned tries)
{
    double pause = FIRST_PAUSE * (1u << (tries < 10 ? tries : 10));
    uint32_t random = 0;

    if (pause > LONGEST_PAUSE)
        pause = LONGEST_PAUSE;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = UINT32_MAX / 2;
    return pause * (0.5 + 0.5 * random / UINT32_MAX);
}

/* Retry-After: seconds or a date (RFC 9110, 10.2.3). */
static double asked_pause(struct s3_call *c)
{
    const char *text = c->answer.status > 0 ? http_header(c->s->http, "Retry-After") : NULL;
    uint64_t seconds;
    moment_us then;

    if (!text)
        return 0;
    if (parse_u64(text, &seconds))
        return (double)seconds;
    if (!http_date_parse(text, &then) || c->answer.date == MOMENT_NONE || then < c->answer.date)
        return 0;
    return (double)(then - c->answer.date) / 1e6;
}

static void set_reached(struct s3_shared *h)
{
    pthread_mutex_lock(&h->mutex);
    h->reached = true;
    pthread_mutex_unlock(&h->mutex);
}

static bool was_reached(struct s3_shared *h)
{
    pthread_mutex_lock(&h->mutex);
    bool reached = h->reached;
    pthread_mutex_unlock(&h->mutex);
    return reached;
}

static enum rc sleep_for(double seconds, struct error *err)
{
    double end = clock_monotonic() + seconds;

    for (;;) {
        double left = end - clock_monotonic();
        struct error cancelled;

        if (cancel_check(&cancelled) != RC_OK) {
            *err = cancelled;
            return RC_CANCELLED;
        }
        if (left <= 0)
            return RC_OK;
        clock_sleep_ms(left < 0.2 ? (unsigned)(left * 1000) + 1 : 200);
    }
}

struct trial {
    double begin;
    double deadline;
    unsigned tries;
    unsigned of[RETRY_RACE + 1]; /* by outcome */
    bool warned;
};

static bool may_go_on(const struct trial *t, enum outcome outcome)
{
    static const unsigned limits[] = {[RETRY] = UINT_MAX,
                                      [RETRY_DAMAGED] = DAMAGED_ATTEMPTS,
                                      [RETRY_KEYS] = KEYS_ATTEMPTS,
                                      [RETRY_RACE] = RACE_ATTEMPTS};

    return t->of[outcome] < limits[outcome];
}

/* `asked`: how long the storage asks to wait, where that is longer than we may; else 0. */
static enum rc give_up(const struct trial *t, double asked, struct error *err)
{
    char text[32];

    if (asked > 0) {
        err->now[0] = '\0'; /* this is the better advice */
        error_now(err,
                  "the storage asks to wait %.0f s, and 'retry-timeout' leaves less: raise it, or "
                  "try again then",
                  asked);
    }
    if (t->tries > 1)
        error_prefix(err, "tried %u times in %s", t->tries,
                     format_duration(clock_monotonic() - t->begin, text));
    return err->rc;
}

/* RC_OK: try again. */
static enum rc wait_for_next(struct s3_call *c, struct trial *t, enum outcome outcome,
                             struct error *err)
{
    double now = clock_monotonic();
    double pause = outcome == RETRY_KEYS ? 0 : pause_for(t->tries - 1);
    double asked = asked_pause(c);
    double deadline = t->deadline;

    if (!was_reached(c->s->shared) && deadline > t->begin + FIRST_CONTACT)
        deadline = t->begin + FIRST_CONTACT;
    if (pause < asked)
        pause = asked;
    if (!may_go_on(t, outcome) || now + pause > deadline)
        return give_up(t, now + asked > deadline ? asked : 0, err);
    log_debug("%s %s: %s; again in %.1f s", c->method, c->name, err->what, pause);
    if (!t->warned && now - t->begin > WARN_AFTER) {
        t->warned = true;
        log_warning("%s: %s; trying again for up to %.0f s more", c->s->store.where, err->what,
                    deadline - now);
    }
    return sleep_for(pause, err);
}

static enum outcome try_once(struct s3_call *c, struct error *err)
{
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};
    size_t len_before = c->to ? c->to->len : 0;
    enum outcome outcome;

    if (aws_credentials_get(c->s->shared->credentials, &keys, err) != RC_OK)
        return err->transient ? RETRY : GIVE_UP;
    outcome = attempt(c, &keys, err) == RC_OK ? judge_answer(c, keys.generation, len_before, err)
                                              : judge_failure(c, err);
    if (c->answer.status > 0)
        set_reached(c->s->shared);
    if (outcome != FOR_THE_CALLER && c->to)
        c->to->len = len_before;
    return outcome;
}

enum rc s3_call_run(struct s3_call *c, struct error *err)
{
    struct trial t = {.begin = clock_monotonic(), .deadline = c->deadline};
    struct error why = {0};

    if (!c->sha256)
        s3_call_body(c, "", 0, NULL);
    for (;;) {
        enum outcome outcome = try_once(c, &why);

        if (outcome == FOR_THE_CALLER)
            return RC_OK;
        t.tries++;
        t.of[outcome]++;
        if (wait_for_next(c, &t, outcome, &why) != RC_OK) {
            *err = why;
            return err->rc;
        }
    }
}
