/* Objects of the S3 driver: put, get, head, lock. */
#include "store/store_s3_int.h"

#include "base/log.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_ANSWER (64u << 10)

static const char *const lock_modes[] = {"", "GOVERNANCE", "COMPLIANCE"};

char *s3_key(struct arena *memory, const struct s3_store *s, const char *name)
{
    return arena_printf(memory, "%s%s", s->shared->prefix, name);
}

/* The digest that the server stores and gives back, base64 as in the API. */
static void checksum_header(struct s3_call *c, const struct sha256 *sha256)
{
    unsigned char text[4 * ((SHA256_LEN + 2) / 3) + 1];

    EVP_EncodeBlock(text, sha256->bytes, SHA256_LEN);
    s3_call_header(c, "x-amz-checksum-sha256", "%s", (char *)text);
}

void s3_call_encryption(struct s3_call *c)
{
    const struct store_s3_options *o = &c->s->shared->o;

    if (o->sse == S3_SSE_S3)
        s3_call_header(c, "x-amz-server-side-encryption", "AES256");
    if (o->sse == S3_SSE_KMS) {
        s3_call_header(c, "x-amz-server-side-encryption", "aws:kms");
        if (o->sse_kms_key_id)
            s3_call_header(c, "x-amz-server-side-encryption-aws-kms-key-id", "%s",
                           o->sse_kms_key_id);
    }
    s3_call_sse_c(c);
}

static const char *lock_date(moment_us until, char to[static MOMENT_TEXT_MAX])
{
    return moment_iso((until + 999999) / 1000000 * 1000000, to); /* whole seconds, not earlier */
}

static enum rc lock_headers(struct s3_call *c, moment_us until, struct error *err)
{
    char date[MOMENT_TEXT_MAX];

    s3_call_header(c, "x-amz-object-lock-mode", "%s", lock_modes[c->s->shared->o.lock]);
    s3_call_header(c, "x-amz-object-lock-retain-until-date", "%s", lock_date(until, date));
    return s3_call_md5(c, err);
}

/* What servers call an invalid request is mostly a bucket that was made without locks; one that
 * knows no locks does not allow the method. */
static enum rc explain_lock(struct s3_call *c, struct error *err)
{
    if (c->status != 405 && !(c->status == 400 && str_eq(c->code, "InvalidRequest")))
        return err->rc;
    error_set(err, RC_STORAGE, "%s", err->what);
    s3_error_on(c->s, c->name, err);
    return error_now(err, "use a bucket that was made with object lock, or set object-lock = off");
}

/* radosgw does not say which argument it is. */
static enum rc explain_class(struct s3_call *c, const char *class, struct error *err)
{
    if (c->status != 400 || !str_eq(c->code, "InvalidArgument"))
        return err->rc;
    error_set(err, RC_STORAGE, "the storage may not know storage class %s: %s", class, err->what);
    s3_error_on(c->s, c->name, err);
    return error_now(err, "check 'storage-class' in the section of the tier");
}

static bool wants_lock(const struct s3_store *s, const struct store_put_how *how)
{
    return s->shared->o.lock != S3_LOCK_OFF && how->locked_until > clock_now();
}

static enum rc explain_put(struct s3_call *c, const struct store_put_how *how, struct error *err)
{
    if (wants_lock(c->s, how))
        explain_lock(c, err);
    if (how->storage_class)
        explain_class(c, how->storage_class, err);
    return err->rc;
}

/* Our own digest goes along as metadata too: not every server keeps the checksum. */
static enum rc put_headers(struct s3_call *c, const struct store_put_how *how, struct error *err)
{
    char hex[SHA256_HEX_SIZE];

    checksum_header(c, c->sha256);
    sha256_hex(c->sha256, hex);
    s3_call_header(c, S3_META_HASH, "%s", hex);
    s3_call_header(c, "content-type", "application/octet-stream");
    s3_call_encryption(c);
    if (how->storage_class)
        s3_call_header(c, "x-amz-storage-class", "%s", how->storage_class);
    if (wants_lock(c->s, how))
        TRY(lock_headers(c, how->locked_until, err));
    return RC_OK;
}

/* radosgw passes over SSE-S3 without a word; those who encrypt say so. */
static bool is_encrypted(const struct s3_call *c)
{
    static const char *const proofs[] = {
        [S3_SSE_S3] = "x-amz-server-side-encryption",
        [S3_SSE_KMS] = "x-amz-server-side-encryption",
        [S3_SSE_C] = "x-amz-server-side-encryption-customer-algorithm",
    };
    const char *proof = proofs[c->s->shared->o.sse];

    return !proof || http_header(c->s->http, proof);
}

/* What is there in the clear must not stay: the next attempt would find it and be content. */
static enum rc take_back(struct s3_call *c, struct error *err)
{
    const char *told = http_header(c->s->http, "x-amz-version-id");
    char version_id[256] = "";
    struct error ignored;

    if (told && !str_copy(version_id, sizeof(version_id), told))
        version_id[0] = '\0';
    if (s3_delete_key(c->s, c->key, version_id, c->name, &ignored) != RC_OK)
        log_warning("%s/%s is in the storage without encryption: %s", c->s->store.where, c->name,
                    ignored.what);
    error_set(err, RC_REFUSED, "the storage took an object, but did not encrypt it as asked");
    s3_error_on(c->s, c->name, err);
    return error_now(err, "change 'sse' in section [repository]; 'pgproof doctor' shows what this "
                          "storage does");
}

static enum rc taken(const struct s3_store *s, const char *name, struct error *err)
{
    error_set(err, RC_EXISTS, "there is an object of this name already");
    return s3_error_on(s, name, err);
}

/* A 412 in S3's own words, or in those of anything on the way: then the object itself is proof. */
static enum rc find_taken(struct s3_call *c, struct error *err)
{
    struct s3_head head;

    if (!str_eq(c->code, "PreconditionFailed"))
        TRY(s3_head_key(c->s, c->key, "", c->name, &head, err));
    return taken(c->s, c->name, err);
}

/* What an attempt whose answer was lost left behind decides: it is ours if the bytes are. */
static enum rc judge_taken(struct s3_call *c, struct error *err)
{
    enum rc rc = c->uncertain ? s3_same(c->s, c->key, c->name, c->body, c->body_len, err)
                              : find_taken(c, err);

    if (rc != RC_NOT_FOUND)
        return rc;
    error_set(err, RC_STORAGE, "the storage says that the name is taken, and has no such object");
    err->transient = true;
    s3_error_on(c->s, c->name, err);
    return error_now(err, "try again");
}

static enum s3_condition condition_of(int status)
{
    switch (status) {
    case 412:
        return S3_CONDITION_FAILED;
    case 501:
        return S3_CONDITION_UNKNOWN;
    default:
        return S3_CONDITION_MET;
    }
}

enum rc s3_put_key(struct s3_store *s, const char *key, const char *name, const void *data,
                   size_t len, const struct store_put_how *how, bool header, double deadline,
                   enum s3_condition *ret_condition, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(SMALL_ANSWER);
    CLEANUP_CALL struct s3_call c;

    s3_call_begin(&c, s, "PUT", key, name);
    if (deadline > 0) {
        c.total_seconds = (unsigned)(deadline - clock_monotonic()) + 1;
        c.deadline = deadline < c.deadline ? deadline : c.deadline;
    }
    s3_call_body(&c, data, len, how->sha256);
    c.to = &answer;
    c.proof = "ETag"; /* an empty 200 may come from anything on the way */
    TRY(put_headers(&c, how, err));
    if (header)
        s3_call_header(&c, "if-none-match", "*");
    if (s3_call_run(&c, err) != RC_OK)
        return explain_put(&c, how, err);
    if (ret_condition)
        *ret_condition = condition_of(c.status);
    if (c.status >= 200 && c.status < 300)
        return is_encrypted(&c) ? RC_OK : take_back(&c, err);
    if (c.status == 412)
        return judge_taken(&c, err);
    return ret_condition && c.status == 501 ? RC_OK : s3_call_failed(&c, err);
}

enum rc s3_same(struct s3_store *s, const char *key, const char *name, const void *data, size_t len,
                struct error *err)
{
    CLEANUP_BUF struct buf there = BUF_INIT(len);
    enum rc rc = s3_get_key(s, key, "", name, 0, STORE_WHOLE, &there, err);

    if (rc == RC_INTEGRITY ||
        (rc == RC_OK && (there.len != len || (len > 0 && memcmp(there.data, data, len) != 0))))
        return taken(s, name, err);
    return rc;
}

enum rc s3_refuse_writing(const struct s3_store *s, const char *name, struct error *err)
{
    error_set(err, RC_REFUSED, "the repository is read as it was at an earlier moment");
    s3_error_on(s, name, err);
    return error_now(err, "leave --repository-as-of out for what writes");
}

enum rc s3_put(struct store *store, const char *name, const void *data, size_t len,
               const struct store_put_how *how, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);

    if (s->shared->as_of)
        return s3_refuse_writing(s, name, err);
    TRY(s3_learn_put(s, err));
    if (s->shared->put == S3_PUT_CLAIM)
        return s3_put_claimed(s, key, name, data, len, how, err);
    return s3_put_key(s, key, name, data, len, how, true, 0, NULL, err);
}

/* What a get asks for, for the check of its answer. */
struct get {
    struct s3_call call; /* first member */
    uint64_t offset;
    size_t len;
    size_t len_before;
};

static enum rc bad_answer(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static enum rc bad_answer(struct error *err, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return error_set(err, RC_STORAGE, "the storage's answer is no object: %s", text);
}

/* "bytes 0-9/10" (RFC 9110, 14.4). */
static bool parse_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *size)
{
    char rest;

    return text && sscanf(text, "bytes %lu-%lu/%lu%c", first, last, size, &rest) == 3 &&
           *first <= *last && *last < *size;
}

static enum rc too_short(uint64_t size, uint64_t offset, size_t len, struct error *err)
{
    return error_set(err, RC_INTEGRITY,
                     "the object has %llu bytes, and %zu from offset %llu were asked for",
                     (unsigned long long)size, len, (unsigned long long)offset);
}

static enum rc check_range(struct get *g, struct error *err)
{
    const char *text = http_header(g->call.s->http, "Content-Range");
    size_t got = g->call.to->len - g->len_before;
    uint64_t first, last, size;

    if (g->call.status != 206 || !parse_content_range(text, &first, &last, &size))
        return bad_answer(err, "it does not say which range of the object it is");
    if (first != g->offset || last - first + 1 != got)
        return bad_answer(err, "it is another range than the one asked for");
    if (got != g->len && last + 1 != size)
        return bad_answer(err, "it is shorter than the range asked for");
    return RC_OK;
}

/* The digest that went with the object when it was put says whether these are its bytes. */
static enum rc check_whole(struct get *g, struct error *err)
{
    const char *told = http_header(g->call.s->http, S3_META_HASH);
    struct sha256 expected, found;
    char hex[SHA256_HEX_SIZE];

    if (g->call.status != 200)
        return bad_answer(err, "its status is %d", g->call.status);
    if (!told || !sha256_parse(told, &expected))
        return RC_OK; /* a copy that lost it: the reader's own digests have to do */
    found = sha256_sum_end(g->call.sum);
    if (sha256_equal(&expected, &found))
        return RC_OK;
    sha256_hex(&found, hex);
    return error_set(err, RC_INTEGRITY,
                     "the bytes of the object are not those that were put: their SHA-256 is %s, "
                     "not %.64s",
                     hex, told);
}

static enum rc check_get(struct s3_call *c, struct error *err)
{
    struct get *g = (struct get *)c;

    if (!http_header(c->s->http, "ETag") && !http_header(c->s->http, "Last-Modified"))
        return bad_answer(err, "it has neither ETag nor Last-Modified");
    if (!http_header(c->s->http, "Content-Length"))
        return bad_answer(err, "it does not say how long the object is");
    return g->len == STORE_WHOLE ? check_whole(g, err) : check_range(g, err);
}

static void begin_get(struct get *g, struct s3_store *s, const char *key, const char *version_id,
                      const char *name, struct buf *to)
{
    s3_call_begin(&g->call, s, "GET", key, name);
    g->call.to = to;
    g->call.check = check_get;
    g->len_before = to->len;
    if (g->len == STORE_WHOLE)
        g->call.sum = sha256_sum_new();
    s3_call_sse_c(&g->call);
    if (version_id[0])
        s3_call_query(&g->call, "versionId", version_id);
}

static void get_done(struct get *g)
{
    sha256_sum_free(g->call.sum);
    s3_call_done(&g->call);
}

/* Another SSE-C key than the object was put with, or none: servers have many words for that. */
static enum rc explain_key(struct s3_call *c, struct error *err)
{
    bool invalid = c->status == 400 &&
                   (str_eq(c->code, "InvalidArgument") || str_eq(c->code, "InvalidRequest"));

    if (!invalid && !(c->status == 403 && c->s->shared->o.sse == S3_SSE_C))
        return err->rc;
    error_set(err, RC_STORAGE, "it may be encrypted with another key than ours: %s", err->what);
    s3_error_on(c->s, c->name, err);
    return error_now(err,
                     "check 'sse' and 'sse-c-key-file' in section [repository], and what these "
                     "credentials may read");
}

static enum rc get_whole(struct get *g, struct error *err)
{
    enum rc rc = s3_call_run(&g->call, err);

    if (rc != RC_OK && g->call.answer.end == HTTP_TOO_BIG) {
        error_set(err, RC_INTEGRITY, "the object has more bytes than the %zu that it can have",
                  g->call.to->max - g->len_before);
        s3_error_on(g->call.s, g->call.name, err);
        return error_now(err, "run 'pgproof-verify data' to see which backups need this object");
    }
    if (rc != RC_OK)
        return explain_key(&g->call, err);
    return g->call.status == 200 ? RC_OK : s3_call_absent(&g->call, err);
}

static enum rc get_range(struct get *g, struct error *err)
{
    size_t got;

    s3_call_header(&g->call, "range", "bytes=%llu-%llu", (unsigned long long)g->offset,
                   (unsigned long long)(g->offset + g->len - 1));
    if (s3_call_run(&g->call, err) != RC_OK)
        return explain_key(&g->call, err);
    got = g->call.to->len - g->len_before;
    if (g->call.status == 206 && got == g->len)
        return RC_OK;
    if (g->call.status == 206)
        too_short(g->offset + got, g->offset, g->len, err);
    else if (g->call.status == 416)
        error_set(err, RC_INTEGRITY, "the object ends before offset %llu",
                  (unsigned long long)g->offset);
    else
        return s3_call_absent(&g->call, err);
    s3_error_on(g->call.s, g->call.name, err);
    return error_now(err, "run 'pgproof-verify data' to see which backups need this object");
}

/* No request can ask for no bytes. */
static enum rc get_nothing(struct s3_store *s, const char *key, const char *version_id,
                           const char *name, uint64_t offset, struct error *err)
{
    struct s3_head head;

    TRY(s3_head_key(s, key, version_id, name, &head, err));
    if (offset <= head.info.size_bytes)
        return RC_OK;
    too_short(head.info.size_bytes, offset, 0, err);
    return s3_error_on(s, name, err);
}

enum rc s3_get_key(struct s3_store *s, const char *key, const char *version_id, const char *name,
                   uint64_t offset, size_t len, struct buf *to, struct error *err)
{
    CLEANUP(get_done) struct get g = {.offset = offset, .len = len};

    begin_get(&g, s, key, version_id, name, to);
    if (len == STORE_WHOLE)
        return get_whole(&g, err);
    if (len == 0)
        return get_nothing(s, key, version_id, name, offset, err);
    TRY(buf_reserve(to, len, err));
    return get_range(&g, err);
}

/* The version to read: "" for what is there now. */
static enum rc version_to_read(struct s3_store *s, const char *key, const char *name,
                               char to[static 256], struct error *err)
{
    to[0] = '\0';
    return s->shared->as_of ? s3_version_then(s, key, name, to, err) : RC_OK;
}

enum rc s3_get(struct store *store, const char *name, uint64_t offset, size_t len, struct buf *to,
               struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    char version_id[256];

    TRY(version_to_read(s, key, name, version_id, err));
    return s3_get_key(s, key, version_id, name, offset, len, to, err);
}

static void copy_header(struct http *h, const char *header, char *to, size_t to_size)
{
    const char *value = http_header(h, header);

    if (!value || !str_copy(to, to_size, value))
        to[0] = '\0';
}

static enum rc read_head(struct s3_call *c, struct s3_head *ret, struct error *err)
{
    const char *length = http_header(c->s->http, "Content-Length");
    const char *modified = http_header(c->s->http, "Last-Modified");
    const char *until = http_header(c->s->http, "x-amz-object-lock-retain-until-date");
    const char *hold = http_header(c->s->http, "x-amz-object-lock-legal-hold");
    struct s3_head head = {0};

    if (!length || !parse_u64(length, &head.info.size_bytes) || !modified ||
        !http_date_parse(modified, &head.info.modified)) {
        bad_answer(err, "it has no Content-Length, or no Last-Modified");
        err->transient = true;
        s3_error_on(c->s, c->name, err);
        return error_now(err, "look at what stands between here and the storage");
    }
    copy_header(c->s->http, "x-amz-version-id", head.version_id, sizeof(head.version_id));
    copy_header(c->s->http, "x-amz-storage-class", head.storage_class, sizeof(head.storage_class));
    copy_header(c->s->http, "x-amz-object-lock-mode", head.lock_mode, sizeof(head.lock_mode));
    if (until && !s3_time_parse(until, &head.locked_until))
        head.locked_until = 0;
    head.legal_hold = hold && strcasecmp(hold, "ON") == 0;
    *ret = head;
    return RC_OK;
}

/* A HEAD that found nothing has no document that says what is missing, and one that was refused
 * none that says why: a GET of the first byte has. *ret_there: that found the object. */
static enum rc ask_why(struct s3_store *s, const char *key, const char *version_id,
                       const char *name, bool *ret_there, struct error *err)
{
    CLEANUP_BUF struct buf first = BUF_INIT(SMALL_ANSWER);
    enum rc rc = s3_get_key(s, key, version_id, name, 0, 1, &first, err);

    if (rc != RC_OK && rc != RC_INTEGRITY)
        return rc;
    *ret_there = true;
    error_set(err, RC_STORAGE, "the storage gives the object, but does not tell about it (HEAD)");
    err->transient = true;
    s3_error_on(s, name, err);
    return error_now(err, "try again");
}

static enum rc head_once(struct s3_store *s, const char *key, const char *version_id,
                         const char *name, struct s3_head *ret, bool *ret_there, struct error *err)
{
    CLEANUP_CALL struct s3_call c;

    s3_call_begin(&c, s, "HEAD", key, name);
    s3_call_sse_c(&c);
    if (version_id[0])
        s3_call_query(&c, "versionId", version_id);
    TRY(s3_call_run(&c, err));
    if (c.status == 200)
        return read_head(&c, ret, err);
    return ask_why(s, key, version_id, name, ret_there, err);
}

/* An object may be put between the HEAD and the GET that asks why it is not there. */
enum rc s3_head_key(struct s3_store *s, const char *key, const char *version_id, const char *name,
                    struct s3_head *ret, struct error *err)
{
    bool there = false;
    enum rc rc = head_once(s, key, version_id, name, ret, &there, err);

    return there ? head_once(s, key, version_id, name, ret, &there, err) : rc;
}

enum rc s3_head(struct store *store, const char *name, struct store_info *ret, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    char version_id[256];
    struct s3_head head;

    TRY(version_to_read(s, key, name, version_id, err));
    TRY(s3_head_key(s, key, version_id, name, &head, err));
    *ret = head.info;
    return RC_OK;
}

/* PutObjectRetention. A lock stays in its mode: radosgw lets nobody change that, not even of one
 * that has ended. */
static enum rc extend_lock(struct s3_store *s, const char *key, const char *name,
                           const struct s3_head *head, moment_us until, struct error *err)
{
    const char *mode = head->lock_mode[0] ? head->lock_mode : lock_modes[s->shared->o.lock];
    CLEANUP_BUF struct buf answer = BUF_INIT(SMALL_ANSWER);
    char date[MOMENT_TEXT_MAX];
    CLEANUP_FREE char *body =
        str_printf("<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>%s</Mode>"
                   "<RetainUntilDate>%s</RetainUntilDate></Retention>",
                   mode, lock_date(until, date));
    CLEANUP_CALL struct s3_call c;

    s3_call_begin(&c, s, "PUT", key, name);
    s3_call_query(&c, "retention", "");
    if (head->version_id[0])
        s3_call_query(&c, "versionId", head->version_id);
    s3_call_body(&c, body, strlen(body), NULL);
    c.to = &answer;
    TRY(s3_call_md5(&c, err));
    if (s3_call_run(&c, err) != RC_OK)
        return explain_lock(&c, err);
    return c.status >= 200 && c.status < 300 ? RC_OK : s3_call_absent(&c, err);
}

enum rc s3_lock(struct store *store, const char *name, moment_us until, struct error *err)
{
    struct s3_store *s = s3_store_of(store);
    CLEANUP_FREE char *key = str_printf("%s%s", s->shared->prefix, name);
    struct s3_head head;

    if (s->shared->o.lock == S3_LOCK_OFF || until <= clock_now())
        return RC_OK; /* a lock in the past would be an error */
    if (s->shared->as_of)
        return s3_refuse_writing(s, name, err);
    TRY(s3_head_key(s, key, "", name, &head, err));
    if (head.locked_until >= until)
        return RC_OK;
    return extend_lock(s, key, name, &head, until, err);
}
