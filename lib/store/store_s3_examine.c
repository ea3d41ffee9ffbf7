/* What an S3 service does, and what these credentials may do there: for 'pgproof doctor'. */
#include "store/examine.h"
#include "store/store_s3_int.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (1u << 20)
#define PAGE_KEYS  "4"                     /* so few in a page that a listing has several */
#define LEFT_US    (24 * 3600 * 1000000LL) /* older than that: of an examination that was killed */
#define LOCK_US    (4 * 1000000LL)
#define PAGES_MAX  50

enum right { NOT_TRIED, ALLOWED, DENIED };

struct s3_examination {
    struct examination e;
    struct s3_store *s;
    enum right may_put, may_get, may_list, may_delete, may_delete_version, may_see_versioning,
        may_see_lock, may_see_retention, may_retain;
    enum { VERSIONS_UNKNOWN, VERSIONS_OFF, VERSIONS_ON, VERSIONS_SUSPENDED } versions;
    bool bucket_locks;      /* object lock is on in the bucket */
    char retention[64];     /* the bucket's default: "GOVERNANCE, 30 days"; "" without */
    moment_us server_ahead; /* its clock before ours */
    moment_us locked_until; /* by the server's clock: an object of ours is; 0: none */
};

/* One question, asked once: what there is to say about it is in the call, also after an error. */
static enum right ask(struct s3_call *c, struct error *err)
{
    c->deadline = clock_monotonic();
    if (s3_call_run(c, err) == RC_OK)
        return c->status == 403 ? DENIED : ALLOWED;
    return c->status == 403 ? DENIED : NOT_TRIED;
}

/* base: of an object of this examination; NULL: of the bucket. */
static void begin(struct s3_call *c, struct s3_examination *x, const char *method, const char *base)
{
    s3_call_begin(c, x->s, method, NULL, base ? base : "");
    if (base)
        c->key = arena_printf(c->memory, "%s%s%s", x->s->shared->prefix, x->e.place, base);
}

/* ---- server ---- */

static void tell_server(struct s3_examination *x)
{
    const char *server = http_header(x->s->http, "Server");
    const struct s3_shared *h = x->s->shared;
    CLEANUP_FREE char *shown = str_printable(server ? server : "");

    x->e.group = "server";
    examine_tell(&x->e, "server", STORE_FACT, "%s, region %s",
                 server ? shown : "does not name itself", h->region);
    if (str_starts(h->base, "https:"))
        examine_tell(&x->e, "transport", STORE_HOLDS,
                     "%s: TLS 1.2 or later, its certificate is checked", h->base);
    else
        examine_tell(&x->e, "transport", STORE_WARNING,
                     "%s: plain http: nobody else may be on the network", h->base);
}

static void tell_credentials(struct s3_examination *x)
{
    CLEANUP_FREE char *from = NULL;
    struct error err;

    if (aws_credentials_describe(x->s->shared->credentials, &from, &err) == RC_OK)
        examine_tell(&x->e, "credentials", STORE_FACT, "%s", from);
    else
        examine_tell(&x->e, "credentials", STORE_UNKNOWN, "%s", err.what);
}

/* The Date header has whole seconds, cut off. */
static void tell_clock(struct s3_examination *x, const struct s3_call *c, moment_us asked)
{
    moment_us middle = asked + (clock_now() - asked) / 2;

    if (c->answer.date == MOMENT_NONE) {
        examine_promise(&x->e, "clock", STORE_UNKNOWN, "the server does not say what time it is");
        return;
    }
    x->server_ahead = c->answer.date + 500000 - middle;
    examine_clock(&x->e, (double)x->server_ahead / 1e6);
}

/* The first request of all: a listing of nothing much. An error where the service can't be spoken
 * with at all; that we may not list is none. */
static enum rc contact(struct s3_examination *x, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(ANSWER_MAX);
    moment_us asked = clock_now();
    CLEANUP_CALL struct s3_call c;
    enum rc rc;

    s3_call_begin(&c, x->s, "GET", NULL, "");
    s3_call_query(&c, "list-type", "2");
    s3_call_query(&c, "max-keys", "1");
    s3_call_query(&c, "encoding-type", "url");
    s3_call_query(&c, "prefix", x->s->shared->prefix);
    c.to = &answer;
    c.root = "ListBucketResult";
    rc = s3_call_run(&c, err);
    if (c.status == 0)
        return rc;
    tell_server(x);
    tell_clock(x, &c, asked);
    if (rc == RC_OK && c.status != 200)
        rc = s3_call_failed(&c, err);
    if (rc != RC_OK && !str_eq(c.code, "AccessDenied"))
        return rc;
    x->may_list = rc == RC_OK ? ALLOWED : DENIED;
    tell_credentials(x);
    return RC_OK;
}

/* ---- rights ---- */

static void base64_digest(const struct sha256 *sha256, char to[static 48])
{
    EVP_EncodeBlock((unsigned char *)to, sha256->bytes, SHA256_LEN);
}

/* A PUT by hand, with one of its digests wrong. */
enum put_kind { PUT_RIGHT, PUT_WRONG_HASH, PUT_WRONG_CHECKSUM };
static enum right raw_put(struct s3_examination *x, const char *base, enum put_kind kind,
                          struct s3_call *c, struct error *err)
{
    static const char text[] = "what pgproof doctor puts\n";
    struct sha256 right = sha256_of(text, strlen(text)), wrong = sha256_of("", 0);
    char checksum[48];

    examine_name(&x->e, base);
    begin(c, x, "PUT", base);
    s3_call_body(c, text, strlen(text), kind == PUT_WRONG_HASH ? &wrong : &right);
    base64_digest(kind == PUT_WRONG_CHECKSUM ? &wrong : &right, checksum);
    if (kind != PUT_WRONG_HASH)
        s3_call_header(c, "x-amz-checksum-sha256", "%s", checksum);
    s3_call_header(c, "if-none-match", "*");
    s3_call_encryption(c);
    return ask(c, err);
}

/* A request whose answer's body means nothing to us, on an object or (NULL) the bucket. */
static enum right simple(struct s3_examination *x, const char *method, const char *base,
                         const char *query, const char *value)
{
    CLEANUP_CALL struct s3_call c;
    struct error err;

    begin(&c, x, method, base);
    s3_call_sse_c(&c);
    if (query)
        s3_call_query(&c, query, value);
    return ask(&c, &err);
}

/* On an object that isn't there: what is allowed ends in 404, and nothing is locked. */
static enum right try_retention(struct s3_examination *x)
{
    CLEANUP_FREE char *body = NULL;
    CLEANUP_CALL struct s3_call c;
    char date[MOMENT_TEXT_MAX];
    struct error err;

    moment_iso((clock_now() / 1000000 + 3600) * 1000000, date);
    body = str_printf("<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                      "<Mode>GOVERNANCE</Mode><RetainUntilDate>%s</RetainUntilDate></Retention>",
                      date);
    begin(&c, x, "PUT", "absent");
    s3_call_query(&c, "retention", "");
    s3_call_body(&c, body, strlen(body), NULL);
    return s3_call_md5(&c, &err) == RC_OK ? ask(&c, &err) : NOT_TRIED;
}

/* Where nothing can be put, objects that aren't there have to do. */
static void try_rights(struct s3_examination *x)
{
    char version_id[256] = "";
    CLEANUP_CALL struct s3_call c;
    struct error err;

    x->may_put = raw_put(x, "rights", PUT_RIGHT, &c, &err);
    const char *told = http_header(x->s->http, "x-amz-version-id");
    if (told && x->may_put == ALLOWED && str_copy(version_id, sizeof(version_id), told) &&
        x->versions == VERSIONS_UNKNOWN)
        x->versions = VERSIONS_ON;
    x->may_get = simple(x, "GET", "rights", NULL, NULL);
    x->may_delete = simple(x, "DELETE", "rights", NULL, NULL);
    if (version_id[0])
        x->may_delete_version = simple(x, "DELETE", "rights", "versionId", version_id);
    if (x->bucket_locks) {
        x->may_see_retention = simple(x, "GET", "absent", "retention", "");
        x->may_retain = try_retention(x);
    }
}

static void tell_those(struct s3_examination *x, enum right which, const char *what)
{
    const struct {
        enum right right;
        const char *name;
    } all[] = {
        {x->may_put, "put"},
        {x->may_get, "get"},
        {x->may_list, "list"},
        {x->may_delete, "delete"},
        {x->may_delete_version, "delete versions"},
        {x->may_see_versioning, "see versioning"},
        {x->may_see_lock, "see object lock"},
        {x->may_see_retention, "see retention"},
        {x->may_retain, "extend retention"},
    };
    char text[256] = "";

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].right == which)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", text[0] ? ", " : "",
                     all[i].name);
    if (text[0])
        examine_tell(&x->e, what, STORE_FACT, "%s", text);
}

static void tell_rights(struct s3_examination *x)
{
    x->e.group = "rights of these credentials";
    tell_those(x, ALLOWED, "allowed");
    tell_those(x, DENIED, "denied");
}

/* ---- promises ---- */

static void tell_header(struct s3_examination *x)
{
    if (x->s->shared->put == S3_PUT_HEADER)
        examine_tell(&x->e, "If-None-Match", STORE_HOLDS, "honoured");
    else if (x->s->shared->put == S3_PUT_CLAIM)
        examine_tell(&x->e, "If-None-Match", STORE_WARNING,
                     "ignored: claims stand in for it, at three more requests for each put");
}

/* The small objects are listed in several pages. */
struct pages {
    struct s3_examination *x;
    size_t seen;
    bool as_expected;
    struct s3_page page;
};

static enum rc see_small(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct pages *p = ctx;
    char base[32];
    CLEANUP_FREE char *expected = str_printf("%s%s%s", p->x->s->shared->prefix, p->x->e.place,
                                             examine_small(p->seen++, base));

    (void)err;
    p->as_expected &= str_eq(e->key, expected);
    return RC_OK;
}

static enum rc list_page(struct pages *p, bool first, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(ANSWER_MAX);
    CLEANUP_FREE char *prefix = str_printf("%s%ssmall", p->x->s->shared->prefix, p->x->e.place);
    CLEANUP_CALL struct s3_call c;

    s3_call_begin(&c, p->x->s, "GET", NULL, "");
    s3_call_query(&c, "list-type", "2");
    s3_call_query(&c, "max-keys", PAGE_KEYS);
    s3_call_query(&c, "encoding-type", "url");
    s3_call_query(&c, "prefix", prefix);
    if (!first)
        s3_call_query(&c, "continuation-token", p->page.token);
    c.to = &answer;
    c.root = "ListBucketResult";
    TRY(s3_call_run(&c, err));
    if (c.status != 200)
        return s3_call_failed(&c, err);
    return s3_xml_list(answer.data, answer.len, see_small, p, &p->page, err);
}

static enum rc list_small(struct s3_examination *x, size_t expected, size_t *ret_pages,
                          struct error *err)
{
    CLEANUP_FREE struct pages *p = mem_zalloc(sizeof(*p));
    size_t pages = 0;

    p->x = x;
    p->as_expected = true;
    do
        TRY(list_page(p, pages == 0, err));
    while (++pages < PAGES_MAX && p->page.truncated);
    if (!p->as_expected || p->seen != expected)
        return error_set(err, RC_INTEGRITY,
                         "what was just put is not listed once each, in order: %zu objects for %zu",
                         p->seen, expected);
    *ret_pages = pages;
    return RC_OK;
}

static void try_listing(struct s3_examination *x)
{
    struct error err;
    size_t pages;

    if (x->e.timed == 0)
        examine_promise(&x->e, "list after write", STORE_UNKNOWN, "nothing could be put");
    else if (list_small(x, x->e.timed, &pages, &err) != RC_OK)
        examine_failed(&x->e, "list after write", &err);
    else
        examine_promise(&x->e, "list after write", STORE_HOLDS,
                        "%zu objects at once, sorted, each once (%zu pages)", x->e.timed, pages);
}

static enum rc delete_small(struct s3_examination *x, struct error *err)
{
    CLEANUP_BUF struct buf request = BUF_INIT(ANSWER_MAX), answer = BUF_INIT(ANSWER_MAX);
    const char *keys[EXAMINE_SMALL];
    CLEANUP_CALL struct s3_call c;
    char base[32];

    begin(&c, x, "POST", NULL);
    for (size_t i = 0; i < EXAMINE_SMALL; i++)
        keys[i] = arena_printf(c.memory, "%s%s%s", x->s->shared->prefix, x->e.place,
                               examine_small(i, base));
    TRY(s3_xml_delete_request(keys, NULL, EXAMINE_SMALL, &request, err));
    s3_call_query(&c, "delete", "");
    s3_call_body(&c, request.data, request.len, NULL);
    c.to = &answer;
    c.root = "DeleteResult";
    TRY(s3_call_md5(&c, err));
    TRY(s3_call_run(&c, err));
    return c.status == 200 ? RC_OK : s3_call_failed(&c, err);
}

/* Only when the small objects are no longer needed. */
static void try_batch(struct s3_examination *x)
{
    struct error err;
    size_t ignored;

    if (delete_small(x, &err) != RC_OK)
        examine_tell(&x->e, "batch delete", STORE_LACKS, "%s", err.what);
    else if (list_small(x, 0, &ignored, &err) != RC_OK)
        examine_tell(&x->e, "batch delete", STORE_WARNING, "%s", err.what);
    else
        examine_tell(&x->e, "batch delete", STORE_HOLDS, "%d objects with one request",
                     EXAMINE_SMALL);
}

/* Is an upload that does not match its digest refused? NOT_TRIED: can't tell. */
static enum right takes_damaged(struct s3_examination *x, const char *base, enum put_kind kind)
{
    CLEANUP_CALL struct s3_call c;
    struct error err;
    enum right taken = raw_put(x, base, kind, &c, &err);

    if (c.status == 0 || c.status >= 500)
        return NOT_TRIED;
    return taken == ALLOWED && c.status < 300 ? ALLOWED : DENIED;
}

/* By what is put from the beginning of the body on: without it damage is only found by a reader. */
static void try_damage(struct s3_examination *x)
{
    enum right taken = takes_damaged(x, "damaged", PUT_WRONG_HASH);

    if (taken == DENIED)
        examine_tell(&x->e, "damaged upload", STORE_HOLDS,
                     "refused: the server compares each body with its SHA-256");
    else if (taken == ALLOWED)
        examine_tell(&x->e, "damaged upload", STORE_WARNING,
                     "taken: the server does not look at the SHA-256; only reading finds it");
    else
        examine_tell(&x->e, "damaged upload", STORE_UNKNOWN, "the server gives no clear answer");
}

static bool gives_checksum_back(struct s3_examination *x)
{
    CLEANUP_CALL struct s3_call c;
    struct error err;

    begin(&c, x, "HEAD", "twice");
    s3_call_header(&c, "x-amz-checksum-mode", "ENABLED");
    s3_call_sse_c(&c);
    return ask(&c, &err) == ALLOWED && c.status == 200 &&
           http_header(x->s->http, "x-amz-checksum-sha256");
}

static void try_checksum(struct s3_examination *x)
{
    enum right taken = takes_damaged(x, "checksum", PUT_WRONG_CHECKSUM);
    bool given = gives_checksum_back(x);

    if (taken == DENIED && given)
        examine_tell(&x->e, "stored checksum", STORE_HOLDS, "checked, kept and given back");
    else
        examine_tell(
            &x->e, "stored checksum", STORE_LACKS, "%s, %s: pgproof's own goes with each object",
            taken == DENIED ? "checked" : "not looked at", given ? "kept" : "not given back");
}

static void try_promises(struct s3_examination *x)
{
    x->e.group = "promises";
    if (x->may_put != ALLOWED) {
        examine_promise(&x->e, "put and read", STORE_UNKNOWN,
                        "can't be tried: these credentials may not put");
        examine_absence(&x->e);
        return;
    }
    examine_put_twice(&x->e);
    tell_header(x);
    if (x->s->shared->put == S3_PUT_CLAIM)
        x->e.rounds = 1;
    examine_at_once(&x->e);
    examine_read_back(&x->e);
    try_listing(x);
    examine_range(&x->e);
    examine_absence(&x->e);
    examine_removal(&x->e);
    try_batch(x);
    try_damage(x);
    try_checksum(x);
}

/* ---- protection ---- */

/* A document about the bucket; none where the server says that it has no such thing. */
static enum right read_setting(struct s3_examination *x, const char *query, const char *root,
                               struct buf *to)
{
    CLEANUP_CALL struct s3_call c;
    struct error err;

    begin(&c, x, "GET", NULL);
    s3_call_query(&c, query, "");
    c.to = to;
    c.root = root;
    return ask(&c, &err);
}

static bool setting(const struct buf *document, const char *element, char *to, size_t to_size)
{
    struct error ignored;

    return s3_xml_text(document->data, document->len, element, to, to_size, &ignored) == RC_OK &&
           to[0];
}

static void see_versioning(struct s3_examination *x)
{
    CLEANUP_BUF struct buf document = BUF_INIT(ANSWER_MAX);
    char status[32];

    x->may_see_versioning = read_setting(x, "versioning", "VersioningConfiguration", &document);
    if (x->may_see_versioning != ALLOWED || document.len == 0)
        return;
    if (!setting(&document, "Status", status, sizeof(status)))
        x->versions = VERSIONS_OFF;
    else
        x->versions = str_eq(status, "Enabled") ? VERSIONS_ON : VERSIONS_SUSPENDED;
}

static void see_lock(struct s3_examination *x)
{
    CLEANUP_BUF struct buf document = BUF_INIT(ANSWER_MAX);
    char mode[32], amount[16];

    x->may_see_lock = read_setting(x, "object-lock", "ObjectLockConfiguration", &document);
    x->bucket_locks = setting(&document, "ObjectLockEnabled", mode, sizeof(mode));
    if (!setting(&document, "Mode", mode, sizeof(mode)))
        return;
    if (setting(&document, "Days", amount, sizeof(amount)))
        snprintf(x->retention, sizeof(x->retention), "%s, %s days", mode, amount);
    else if (setting(&document, "Years", amount, sizeof(amount)))
        snprintf(x->retention, sizeof(x->retention), "%s, %s years", mode, amount);
}

static void tell_versioning(struct s3_examination *x)
{
    switch (x->versions) {
    case VERSIONS_ON:
        examine_tell(&x->e, "versioning", STORE_HOLDS,
                     "on: what somebody deletes can be read by --repository-as-of");
        break;
    case VERSIONS_SUSPENDED:
        examine_tell(&x->e, "versioning", STORE_WARNING,
                     "suspended: what is deleted from now on is gone");
        break;
    case VERSIONS_OFF:
        examine_tell(&x->e, "versioning", STORE_LACKS, "off: what somebody deletes is gone");
        break;
    case VERSIONS_UNKNOWN:
        examine_tell(&x->e, "versioning", STORE_UNKNOWN,
                     x->may_see_versioning == DENIED ? "these credentials may not see it"
                                                     : "the server does not say");
    }
}

/* An object that is locked for some seconds must outlast its removal. */
static void try_lock(struct s3_examination *x)
{
    struct store *s = &x->s->store;
    const char *name = examine_name(&x->e, "locked");
    struct store_put_how how = {.locked_until = clock_now() + x->server_ahead + LOCK_US};
    struct error err;
    enum rc rc;

    if (s->ops->put(s, name, "x", 1, &how, &err) != RC_OK) {
        examine_failed(&x->e, "object lock", &err);
        return;
    }
    x->locked_until = how.locked_until;
    rc = s->ops->remove(s, name, &err);
    if (rc == RC_REFUSED)
        examine_promise(&x->e, "object lock", STORE_HOLDS, "on: a locked object can't be removed");
    else if (rc == RC_OK)
        examine_promise(&x->e, "object lock", STORE_BROKEN, "a locked object could be removed");
    else
        examine_failed(&x->e, "object lock", &err);
}

static void tell_lock(struct s3_examination *x)
{
    bool wanted = x->s->shared->o.lock != S3_LOCK_OFF;

    if (wanted && x->may_see_lock == ALLOWED && !x->bucket_locks)
        examine_promise(&x->e, "object lock", STORE_BROKEN,
                        "'object-lock' is configured, and the bucket has none");
    else if (wanted && x->may_put == ALLOWED)
        try_lock(x);
    else if (x->bucket_locks)
        examine_tell(&x->e, "object lock", STORE_FACT, "on in the bucket; 'object-lock' is %s",
                     wanted ? "configured" : "off");
    else if (x->may_see_lock == ALLOWED)
        examine_tell(&x->e, "object lock", STORE_LACKS, "off");
    else
        examine_tell(&x->e, "object lock", STORE_UNKNOWN,
                     x->may_see_lock == DENIED ? "these credentials may not see it"
                                               : "the server does not say");
    if (x->retention[0])
        examine_tell(&x->e, "default lock", STORE_WARNING,
                     "%s: the bucket locks leases and all that is temporary, too", x->retention);
}

/* What HEAD says about how an object is encrypted: "AES256", "aws:kms", or "". */
static bool see_encryption(struct s3_examination *x, char *to, size_t to_size)
{
    CLEANUP_CALL struct s3_call c;
    const char *by_server, *by_us;
    struct error err;

    begin(&c, x, "HEAD", "twice");
    s3_call_sse_c(&c);
    if (ask(&c, &err) != ALLOWED || c.status != 200)
        return false;
    by_server = http_header(x->s->http, "x-amz-server-side-encryption");
    by_us = http_header(x->s->http, "x-amz-server-side-encryption-customer-algorithm");
    return str_copy(to, to_size, by_us ? "customer" : by_server ? by_server : "");
}

static void tell_encryption(struct s3_examination *x)
{
    static const char *const expected[] = {"", "AES256", "aws:kms", "customer"};
    static const char *const names[] = {"none", "s3", "kms", "c"};
    unsigned kind = x->s->shared->o.sse;
    char found[32];

    if (!see_encryption(x, found, sizeof(found)))
        examine_tell(&x->e, "encryption", STORE_UNKNOWN, "no object of ours to look at");
    else if (kind == S3_SSE_NONE)
        examine_tell(&x->e, "encryption", STORE_FACT, "not configured%s%s",
                     found[0] ? "; the storage does it by itself: " : "", found);
    else if (str_eq(found, expected[kind]))
        examine_promise(&x->e, "encryption", STORE_HOLDS, "sse = %s, as configured", names[kind]);
    else
        examine_promise(&x->e, "encryption", STORE_BROKEN,
                        "sse = %s is configured, and objects are stored with %s", names[kind],
                        found[0] ? found : "none");
}

static void tell_protection(struct s3_examination *x)
{
    x->e.group = "protection";
    tell_versioning(x);
    tell_lock(x);
    tell_encryption(x);
}

/* ---- cleaning ---- */

struct cleaning {
    struct s3_store *s;
    moment_us before;
};

static enum rc clean_one(void *ctx, const struct s3_entry *e, struct error *err)
{
    struct cleaning *c = ctx;
    struct error ignored;

    (void)err;
    if (e->modified < c->before &&
        s3_delete_key(c->s, e->key, e->version_id, "", &ignored) == RC_CANCELLED)
        return RC_CANCELLED;
    return RC_OK;
}

/* All below a place, with its versions where there may be some, as far as we may. */
static void clean(struct s3_examination *x, const char *place, moment_us before)
{
    CLEANUP_FREE char *key = str_printf("%s%s", x->s->shared->prefix, place);
    struct cleaning c = {.s = x->s, .before = before};
    struct error ignored;

    if (x->versions != VERSIONS_OFF && s3_each_version(x->s, key, clean_one, &c, &ignored) == RC_OK)
        return;
    if (s3_each_object(x->s, key, clean_one, &c, &ignored) != RC_OK)
        log_debug("%s: could not clean up: %s", key, ignored.what);
}

static void wait_for_lock(struct s3_examination *x)
{
    while (x->locked_until > clock_now() + x->server_ahead - 1500000 && !cancel_signal())
        clock_sleep_ms(100);
}

static void finish(struct s3_examination *x)
{
    bool reached = x->may_list != NOT_TRIED;

    wait_for_lock(x);
    x->e.group = "afterwards";
    if (reached && (x->may_delete != DENIED || x->may_delete_version != DENIED)) {
        clean(x, x->e.place, INT64_MAX);
        clean(x, EXAMINE_ROOT "/", clock_now() + x->server_ahead - LEFT_US);
    }
    examination_end(&x->e);
}

static enum rc examine(struct s3_examination *x, struct error *err)
{
    TRY(contact(x, err));
    see_versioning(x);
    see_lock(x);
    try_rights(x);
    TRY(cancel_check(err));
    try_promises(x);
    TRY(cancel_check(err));
    tell_protection(x);
    tell_rights(x);
    TRY(cancel_check(err));
    x->e.group = "speed";
    if (x->may_put == ALLOWED) {
        examine_latency(&x->e);
        examine_throughput(&x->e);
    }
    return cancel_check(err);
}

enum rc s3_examine(struct store *store, store_finding_fn *fn, void *ctx, struct error *err)
{
    struct s3_examination x = {.s = s3_store_of(store)};
    enum rc rc;

    if (x.s->shared->as_of) {
        error_set(err, RC_CONFIG, "what is read as of an earlier moment can't be tried out");
        error_on(err, "%s", store->where);
        return error_now(err, "leave --repository-as-of out");
    }
    TRY(examination_begin(&x.e, store, fn, ctx, err));
    rc = examine(&x, err);
    finish(&x);
    return rc;
}
