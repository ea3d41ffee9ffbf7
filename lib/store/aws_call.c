#include "store/aws_credentials_int.h"

#include "base/str.h"
#include "store/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Services that are nearby answer at once, or are not there. */
#define NEARBY_CONNECT_SECONDS 1
#define NEARBY_TOTAL_SECONDS   5
#define TOTAL_SECONDS          30

int aws_server_len(const char *url)
{
    const char *slashes = strstr(url, "://");

    return slashes ? (int)(slashes + 3 - url + (ptrdiff_t)strcspn(slashes + 3, "/?#")) : 0;
}

enum rc aws_call(const struct aws_call *q, struct buf *to, struct http_answer *a, struct error *err)
{
    struct http_options o = {
        .ca_file = q->ca_file,
        .connect_seconds = q->nearby ? NEARBY_CONNECT_SECONDS : 0,
        .no_proxy = q->nearby,
    };
    struct http_request request = {
        .method = q->method,
        .url = q->url,
        .headers = q->headers,
        .body = q->body,
        .body_len = q->body ? strlen(q->body) : 0,
        .total_seconds = q->nearby ? NEARBY_TOTAL_SECONDS : TOTAL_SECONDS,
    };
    CLEANUP_HTTP struct http *http = NULL;

    TRY(buf_reserve(to, to->max, err)); /* growing would leave copies of secrets */
    TRY(http_open(&o, &http, err));
    enum rc rc = http_exchange(http, &request, to, a, err);
    if (rc == RC_OK || rc == RC_CANCELLED)
        return rc;
    err->transient = a->end == HTTP_UNREACHABLE || a->end == HTTP_STALLED || a->end == HTTP_BROKEN;
    return error_prefix(err, "could not ask the %s for credentials", q->service);
}

/* Services quote what they were sent: a signature that does not fit comes with all headers. */
static bool quotes_secret(const struct aws_call *q, const struct buf *text)
{
    for (size_t i = 0; i < sizeof(q->secrets) / sizeof(*q->secrets); i++) {
        const char *secret = q->secrets[i];

        if (secret && memmem(text->data, text->len, secret, strlen(secret)))
            return true;
    }
    return false;
}

/* The code and message of an XML answer, else how the answer begins; malloc'ed. */
static char *words_of(const struct aws_call *q, const struct buf *text)
{
    char code[128], message[256];
    struct error none;

    if (text->len == 0 || quotes_secret(q, text))
        return str_dup("");
    if (s3_xml_text(text->data, text->len, "Code", code, sizeof(code), &none) == RC_OK &&
        s3_xml_text(text->data, text->len, "Message", message, sizeof(message), &none) == RC_OK)
        return str_printf("%s: %s", code, message);
    return str_printf("%.*s", (int)(text->len < 200 ? text->len : 200), (const char *)text->data);
}

static bool is_passing(const struct http_answer *a, const char *words)
{
    return a->status >= 500 || a->status == 429 || a->status == 408 ||
           str_starts(words, "Throttling") || str_starts(words, "IDPCommunicationError");
}

enum rc aws_call_refused(const struct aws_call *q, const struct http_answer *a, struct error *err)
{
    CLEANUP_FREE char *words = words_of(q, &a->problem);
    CLEANUP_FREE char *shown = str_printable(words);

    error_set(err, RC_STORAGE, "the %s gave no credentials: HTTP status %d%s%s", q->service,
              a->status, shown[0] ? ": " : "", shown);
    err->transient = is_passing(a, words);
    return error_on(err, "%.*s", aws_server_len(q->url), q->url);
}
