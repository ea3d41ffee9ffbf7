#include "store/http.h"

#include "base/cancel.h"
#include "base/mem.h"
#include "base/str.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 10
#define STALL_SECONDS   60
#define DATE_MAX        253402300799 /* the last second of the year 9999 */
#define ASK_FROM        (1u << 20)
#define WIRE_BUFFER     (512L * 1024) /* of libcurl, for each direction */

struct http {
    CURL *curl;
    char problem[CURL_ERROR_SIZE]; /* libcurl's own words */
};

/* One exchange under way: what the callbacks need. */
struct exchange {
    struct http *http;
    const struct http_request *request;
    size_t sent; /* bytes of the body that libcurl has taken */
    struct buf *to;
    struct http_answer *answer;
    unsigned sends; /* how often libcurl began to send the request */
    bool too_big;
    struct error *err;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_state;

static void global_init(void)
{
    global_state = curl_global_init(CURL_GLOBAL_DEFAULT);
}

void http_answer_done(struct http_answer *a)
{
    buf_done(&a->problem);
}

static void answer_clear(struct http_answer *a)
{
    a->end = HTTP_BROKEN;
    a->status = 0;
    a->resent = false;
    a->date = MOMENT_NONE;
    buf_clear(&a->problem);
}

static size_t on_read(char *to, size_t size, size_t count, void *ctx)
{
    struct exchange *x = ctx;
    size_t left = x->request->body_len - x->sent;
    size_t n = size * count < left ? size * count : left;

    if (n > 0)
        memcpy(to, (const char *)x->request->body + x->sent, n);
    x->sent += n;
    return n;
}

/* libcurl goes back where a kept connection turned out to be closed before it was used again. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct exchange *x = ctx;

    if (origin != SEEK_SET || offset < 0 || (size_t)offset > x->request->body_len)
        return CURL_SEEKFUNC_FAIL;
    x->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static bool is_success(struct http *h)
{
    long status = 0;

    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

/* The whole body's room at once, where its length is told; what is told may be a lie, so no more
 * than `to` takes. */
static enum rc reserve_body(struct exchange *x, size_t arrived)
{
    curl_off_t told = -1;

    curl_easy_getinfo(x->http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &told);
    if (told > 0 && (uint64_t)told <= x->to->max - x->to->len && (uint64_t)told >= arrived)
        return buf_reserve(x->to, (size_t)told, x->err);
    return RC_OK;
}

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    struct exchange *x = ctx;
    size_t len = size * count;
    struct buf *problem = &x->answer->problem;
    bool first = x->to && x->to->capacity - x->to->len < len;

    if (!is_success(x->http)) {
        size_t room = problem->max - problem->len;

        if (buf_append(problem, data, len < room ? len : room, x->err) != RC_OK)
            return 0;
        return len;
    }
    if (!x->to)
        return len;
    if ((first && reserve_body(x, len) != RC_OK) || buf_append(x->to, data, len, x->err) != RC_OK) {
        x->too_big = true;
        return 0;
    }
    if (x->request->sum)
        sha256_sum_add(x->request->sum, data, len);
    return len;
}

static int on_progress(void *ctx, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total,
                       curl_off_t ul_now)
{
    (void)ctx;
    (void)dl_total;
    (void)dl_now;
    (void)ul_total;
    (void)ul_now;
    return cancel_signal() != 0;
}

/* Before each sending, also those that libcurl does by itself. */
static int on_request(void *ctx, char *server_ip, char *own_ip, int server_port, int own_port)
{
    struct exchange *x = ctx;

    (void)server_ip;
    (void)own_ip;
    (void)server_port;
    (void)own_port;
    x->sends++;
    return CURL_PREREQFUNC_OK;
}

static long seconds_or(unsigned seconds, long fallback)
{
    return seconds > 0 ? (long)seconds : fallback;
}

static void set_options(struct http *h, const struct http_options *o)
{
    CURL *c = h->curl;

    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->problem);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* as it was signed */
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, WIRE_BUFFER);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, WIRE_BUFFER);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "pgproof/" PGPROOF_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, seconds_or(o->connect_seconds, CONNECT_SECONDS));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, seconds_or(o->stall_seconds, STALL_SECONDS));
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_write);
    if (o->ca_file) {
        curl_easy_setopt(c, CURLOPT_CAINFO, o->ca_file);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (o->no_proxy)
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
}

enum rc http_open(const struct http_options *o, struct http **ret, struct error *err)
{
    struct http *h;

    pthread_once(&once, global_init);
    if (global_state != CURLE_OK)
        return error_set(err, RC_SYSTEM, "could not start libcurl: %s",
                         curl_easy_strerror(global_state));
    h = mem_zalloc(sizeof(*h));
    h->curl = curl_easy_init();
    if (!h->curl) {
        free(h);
        return error_set(err, RC_NOMEM, "could not make a handle of libcurl");
    }
    set_options(h, o);
    *ret = h;
    return RC_OK;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    free(h);
}

const char *http_header(struct http *h, const char *name)
{
    struct curl_header *header;

    return curl_easy_header(h->curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : NULL;
}

/* "https://host:port" of a URL: what may stand in a message. */
static void error_on_server(const char *url, struct error *err)
{
    const char *host = strstr(url, "://");
    size_t len = host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?") : strlen(url);

    error_on(err, "%.*s", (int)len, url);
}

struct failure {
    enum http_end end;
    bool transient;
};

/* libcurl's one code for a URL that it can't speak and for bytes that are no answer. */
static bool no_http_came(struct http *h, CURLcode code)
{
    long sent = 0;

    curl_easy_getinfo(h->curl, CURLINFO_REQUEST_SIZE, &sent);
    return code == CURLE_UNSUPPORTED_PROTOCOL && sent > 0;
}

static struct failure judge(struct http *h, CURLcode code)
{
    if (no_http_came(h, code))
        return (struct failure){HTTP_BROKEN, true};
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return (struct failure){HTTP_UNREACHABLE, true};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return (struct failure){HTTP_UNTRUSTED, false};
    case CURLE_OPERATION_TIMEDOUT:
        return (struct failure){HTTP_STALLED, true};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY:
        return (struct failure){HTTP_UNREACHABLE, false};
    default:
        return (struct failure){HTTP_BROKEN, true};
    }
}

static const char *remedy(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "check the host name of the endpoint, and this machine's DNS";
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "check the host name in http_proxy or https_proxy";
    case CURLE_COULDNT_CONNECT:
        return "check the endpoint's host and port, that the service runs, and the firewall";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return "set 'ca-file' in section [repository] to the authority that signed the server's "
               "certificate, and check the name and dates of the certificate";
    case CURLE_SSL_CACERT_BADFILE:
        return "check that 'ca-file' in section [repository] is a PEM file that can be read";
    case CURLE_SSL_CONNECT_ERROR:
        return "check that the endpoint's port speaks TLS 1.2 or later";
    case CURLE_OPERATION_TIMEDOUT:
        return "check the service and the network to it";
    default:
        return "check the network to the service and the service's own log";
    }
}

static enum rc failed(const struct exchange *x, CURLcode code, struct error *err)
{
    const char *words = x->http->problem[0] ? x->http->problem : curl_easy_strerror(code);
    struct failure f = judge(x->http, code);

    x->answer->end = f.end;
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        x->answer->end = HTTP_STOPPED;
        return cancel_check(err);
    }
    if (x->too_big) {
        x->answer->end = HTTP_TOO_BIG;
        return error_set(err, RC_STORAGE, "the answer is longer than the %zu bytes that it may be",
                         x->to->max);
    }
    error_set(err, code == CURLE_SSL_CACERT_BADFILE ? RC_CONFIG : RC_STORAGE, "%s", words);
    err->transient = f.transient;
    error_now(err, "%s", remedy(code));
    return err->rc;
}

static bool add_header(struct curl_slist **list, const char *line, struct error *err)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (!longer) {
        curl_slist_free_all(*list);
        error_set(err, RC_NOMEM, "no memory for the headers of a request");
        return false;
    }
    *list = longer;
    return true;
}

/* libcurl asks with every upload whether it may send the body, and waits up to a second for the
 * answer; that pays for large ones only. NULL: no memory. */
static struct curl_slist *header_list(const struct http_request *q, struct error *err)
{
    struct curl_slist *list = NULL;

    if (!add_header(&list, q->body_len < ASK_FROM ? "Expect:" : "Expect: 100-continue", err))
        return NULL;
    for (const char *const *h = q->headers; h && *h; h++)
        if (!add_header(&list, *h, err))
            return NULL;
    return list;
}

static bool has_body(const struct http_request *q)
{
    return q->body_len > 0 || str_eq(q->method, "PUT") || str_eq(q->method, "POST");
}

static void prepare(struct exchange *x, struct curl_slist *headers)
{
    const struct http_request *q = x->request;
    CURL *c = x->http->curl;

    /* The method's kind first: each of these sets CURLOPT_CUSTOMREQUEST's default anew. */
    curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
    if (has_body(q)) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_len);
    } else if (str_eq(q->method, "HEAD")) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    curl_easy_setopt(c, CURLOPT_URL, q->url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)q->total_seconds);
    curl_easy_setopt(c, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(c, CURLOPT_READDATA, x);
    curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    x->http->problem[0] = '\0';
}

bool http_date_parse(const char *text, moment_us *ret)
{
    time_t seconds = curl_getdate(text, NULL);

    if (seconds < 0 || seconds > DATE_MAX)
        return false;
    *ret = (moment_us)seconds * 1000000;
    return true;
}

static void read_answer(struct exchange *x)
{
    const char *date = http_header(x->http, "Date");
    long status = 0;

    curl_easy_getinfo(x->http->curl, CURLINFO_RESPONSE_CODE, &status);
    x->answer->status = (int)status;
    x->answer->resent = x->sends > 1;
    if (!date || !http_date_parse(date, &x->answer->date))
        x->answer->date = MOMENT_NONE;
}

enum rc http_exchange(struct http *h, const struct http_request *q, struct buf *to,
                      struct http_answer *a, struct error *err)
{
    struct exchange x = {.http = h, .request = q, .to = to, .answer = a, .err = err};
    size_t len_before = to ? to->len : 0;
    struct curl_slist *headers;
    CURLcode code;
    enum rc rc = RC_OK;

    answer_clear(a);
    if (q->sum)
        sha256_sum_begin(q->sum);
    TRY(cancel_check(err));
    headers = header_list(q, err);
    if (!headers)
        return RC_NOMEM;
    prepare(&x, headers);
    code = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    read_answer(&x);
    if (code == CURLE_OK && a->status > 0) {
        a->end = HTTP_ANSWERED;
        return RC_OK;
    }
    rc = failed(&x, code, err);
    if (to)
        to->len = len_before;
    error_on_server(q->url, err);
    return rc;
}
