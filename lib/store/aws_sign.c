#include "store/aws_sign.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define CANONICAL_MAX 262144 /* path, query and headers; servers take less */

static void wipe_and_free(char **s)
{
    if (*s)
        OPENSSL_cleanse(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void aws_keys_done(struct aws_keys *k)
{
    wipe_and_free(&k->access_key_id);
    wipe_and_free(&k->secret_access_key);
    wipe_and_free(&k->session_token);
    *k = (struct aws_keys){0};
}

/* Whatever the locale says of letters. */
static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

enum rc aws_uri_encode(const char *text, bool keep_slash, struct buf *to, struct error *err)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (is_unreserved(*p) || (*p == '/' && keep_slash))
            TRY(buf_append(to, p, 1, err));
        else
            TRY(buf_printf(to, err, "%%%02X", *p));
    }
    return RC_OK;
}

/* How a byte stands in an encoded text; 0 at its end. */
static unsigned char encoded_as(unsigned char c)
{
    return is_unreserved(c) || c == '\0' ? c : '%';
}

/* Order of the encoded texts: the hex digits behind a '%' are in the order of the bytes. */
static int compare_encoded(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
    int order = encoded_as(x) - encoded_as(y);
    return order ? order : x - y;
}

static int compare_params(const void *a, const void *b)
{
    const struct aws_param *x = a, *y = b;
    int order = compare_encoded(x->name, y->name);

    return order ? order : compare_encoded(x->value, y->value);
}

enum rc aws_query(const struct aws_param *params, size_t count, struct buf *to, struct error *err)
{
    if (count == 0)
        return RC_OK;
    CLEANUP_FREE struct aws_param *sorted = mem_array(NULL, count, sizeof(*sorted));
    memcpy(sorted, params, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_params);
    for (size_t i = 0; i < count; i++) {
        if (i)
            TRY(buf_append(to, "&", 1, err));
        TRY(aws_uri_encode(sorted[i].name, false, to, err));
        TRY(buf_append(to, "=", 1, err));
        TRY(aws_uri_encode(sorted[i].value, false, to, err));
    }
    return RC_OK;
}

const char *aws_date(moment_us at, char to[static AWS_DATE_SIZE])
{
    char name[MOMENT_TEXT_MAX];

    str_copy(to, AWS_DATE_SIZE, moment_name(at, name));
    return to;
}

static size_t name_length(const char *header)
{
    size_t len = strcspn(header, ":");

    BUG_IF(header[len] != ':');
    return len;
}

static int compare_names(const char *a, const char *b)
{
    size_t x = name_length(a), y = name_length(b);
    int order = strncasecmp(a, b, x < y ? x : y);

    return order ? order : (x > y) - (x < y);
}

/* By name; headers of one name stay in their order. NULL-terminated; free() it. */
static const char **sorted_headers(const char *const *headers)
{
    size_t count = 0;

    while (headers[count])
        count++;
    const char **sorted = mem_array(NULL, count + 1, sizeof(*sorted));
    sorted[count] = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && compare_names(sorted[at - 1], headers[i]) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = headers[i];
    }
    return sorted;
}

static enum rc append_name(const char *header, struct buf *to, struct error *err)
{
    for (size_t i = 0, len = name_length(header); i < len; i++) {
        char c = header[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        TRY(buf_append(to, &c, 1, err));
    }
    return RC_OK;
}

/* Without blanks at its ends, and with one blank where several stand. */
static enum rc append_value(const char *header, struct buf *to, struct error *err)
{
    static const char blanks[] = " \t";
    const char *p = header + name_length(header) + 1;

    p += strspn(p, blanks);
    while (*p) {
        size_t word = strcspn(p, blanks);
        TRY(buf_append(to, p, word, err));
        p += word;
        p += strspn(p, blanks);
        if (*p)
            TRY(buf_append(to, " ", 1, err));
    }
    return RC_OK;
}

/* "name:value\n" for each name; several headers of one name become one, with commas. */
static enum rc append_headers(const char *const *sorted, struct buf *to, struct error *err)
{
    for (const char *const *h = sorted; *h; h++) {
        bool again = h > sorted && compare_names(h[-1], *h) == 0;
        if (!again)
            TRY(append_name(*h, to, err));
        TRY(buf_append(to, again ? "," : ":", 1, err));
        TRY(append_value(*h, to, err));
        if (!h[1] || compare_names(*h, h[1]) != 0)
            TRY(buf_append(to, "\n", 1, err));
    }
    return RC_OK;
}

/* "host;x-amz-date" */
static enum rc append_signed(const char *const *sorted, struct buf *to, struct error *err)
{
    for (const char *const *h = sorted; *h; h++) {
        if (h > sorted && compare_names(h[-1], *h) == 0)
            continue;
        if (h > sorted)
            TRY(buf_append(to, ";", 1, err));
        TRY(append_name(*h, to, err));
    }
    return RC_OK;
}

static enum rc hash_request(const struct aws_request *r, const char *const *sorted,
                            char to[static SHA256_HEX_SIZE], struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(CANONICAL_MAX);

    TRY(buf_printf(&text, err, "%s\n%s\n%s\n", r->method, r->path, r->query));
    TRY(append_headers(sorted, &text, err));
    TRY(buf_append(&text, "\n", 1, err));
    TRY(append_signed(sorted, &text, err));
    TRY(buf_printf(&text, err, "\n%s", r->payload_sha256));
    struct sha256 h = sha256_of(text.data, text.len);
    sha256_hex(&h, to);
    return RC_OK;
}

static struct sha256 hmac(const void *key, size_t key_len, const char *text)
{
    struct sha256 h;

    if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), h.bytes,
              NULL))
        BUG("OpenSSL refused to compute HMAC-SHA256");
    return h;
}

/* Of `text`, in hex, with the key made of the secret, the day, the region and the service. */
static void sign(const char *secret, const char *day, const struct aws_request *r, const char *text,
                 char to[static SHA256_HEX_SIZE])
{
    char *first = str_printf("AWS4%s", secret);
    struct sha256 h = hmac(first, strlen(first), day);

    wipe_and_free(&first);
    h = hmac(h.bytes, SHA256_LEN, r->region);
    h = hmac(h.bytes, SHA256_LEN, r->service);
    h = hmac(h.bytes, SHA256_LEN, "aws4_request");
    h = hmac(h.bytes, SHA256_LEN, text);
    sha256_hex(&h, to);
}

enum rc aws_authorize(const struct aws_keys *k, const struct aws_request *r, struct buf *to,
                      struct error *err)
{
    char date[AWS_DATE_SIZE], day[9], request[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];
    CLEANUP_FREE const char **sorted = sorted_headers(r->headers);

    aws_date(r->at, date);
    str_copy(day, sizeof(day), date);
    CLEANUP_FREE char *scope = str_printf("%s/%s/%s/aws4_request", day, r->region, r->service);
    TRY(hash_request(r, sorted, request, err));
    CLEANUP_FREE char *text = str_printf(ALGORITHM "\n%s\n%s\n%s", date, scope, request);
    sign(k->secret_access_key, day, r, text, signature);
    TRY(buf_printf(to, err, ALGORITHM " Credential=%s/%s, SignedHeaders=", k->access_key_id,
                   scope));
    TRY(append_signed(sorted, to, err));
    return buf_printf(to, err, ", Signature=%s", signature);
}
