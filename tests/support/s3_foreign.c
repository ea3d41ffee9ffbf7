#include "support/s3_foreign.h"

#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u << 20)

static char *key_of(const char *name)
{
    return str_printf(S3FIX_PREFIX "/%s", name);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static char *versions_query(const char *name)
{
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    struct error e;
    const char *text;

    assert_int_equal(buf_printf(&b, &e, "prefix=fleet%%2Fone%%2F"), RC_OK);
    for (const char *p = name; *p; p++)
        assert_int_equal(buf_printf(&b, &e, *p == '/' ? "%%2F" : "%c", *p), RC_OK);
    assert_int_equal(buf_printf(&b, &e, "&versions="), RC_OK);
    assert_int_equal(buf_cstr(&b, &text, &e), RC_OK);
    return str_dup(text);
}

/* By the exact key: a listing with its prefix may have longer ones, so tests don't make such. */
struct foreign_count foreign_count(const char *bucket, const char *name)
{
    CLEANUP_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    CLEANUP_FREE char *query = versions_query(name);
    struct foreign_count n;
    struct error e;
    const char *text;

    s3fix_must(&(struct s3fix_call){.method = "GET", .bucket = bucket, .query = query}, &b);
    assert_int_equal(buf_cstr(&b, &text, &e), RC_OK);
    assert_non_null(strstr(text, "<IsTruncated>false"));
    n.versions = count_of(text, "<Version>");
    n.markers = count_of(text, "<DeleteMarker>");
    return n;
}

void foreign_put(const char *bucket, const char *name, const char *text)
{
    CLEANUP_FREE char *key = key_of(name);

    s3fix_put(bucket, key, text, strlen(text));
}

void foreign_delete(const char *bucket, const char *name)
{
    CLEANUP_FREE char *key = key_of(name);

    s3fix_must(&(struct s3fix_call){.method = "DELETE", .bucket = bucket, .key = key}, NULL);
}

void foreign_set_versioning(const char *bucket, const char *status)
{
    CLEANUP_FREE char *body =
        str_printf("<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                   "<Status>%s</Status></VersioningConfiguration>",
                   status);

    s3fix_must(&(struct s3fix_call){.method = "PUT",
                                    .bucket = bucket,
                                    .query = "versioning=",
                                    .body = body,
                                    .body_len = strlen(body)},
               NULL);
}

/* MinIO wants it. */
static char *md5_header(const char *body)
{
    unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
    unsigned len;

    assert_int_equal(EVP_Digest(body, strlen(body), digest, &len, EVP_md5(), NULL), 1);
    EVP_EncodeBlock(text, digest, (int)len);
    return str_printf("content-md5: %s", (char *)text);
}

void foreign_set_legal_hold(const char *bucket, const char *name, bool on)
{
    CLEANUP_FREE char *key = key_of(name);
    CLEANUP_FREE char *body =
        str_printf("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>%s"
                   "</Status></LegalHold>",
                   on ? "ON" : "OFF");

    CLEANUP_FREE char *md5 = md5_header(body);
    const char *const headers[] = {md5, NULL};
    s3fix_must(&(struct s3fix_call){.method = "PUT",
                                    .bucket = bucket,
                                    .key = key,
                                    .query = "legal-hold=",
                                    .headers = headers,
                                    .body = body,
                                    .body_len = strlen(body)},
               NULL);
}

static void find_header(const char *lines, const char *wanted, char *to, size_t to_size)
{
    CLEANUP_FREE char *begin = str_printf("\r\n%s: ", wanted);
    const char *found = strcasestr(lines, begin);

    to[0] = '\0';
    if (!found)
        return;
    found += strlen(begin);
    CLEANUP_FREE char *value = str_printf("%.*s", (int)strcspn(found, "\r"), found);
    assert_true(str_copy(to, to_size, value));
}

const char *foreign_header(const char *bucket, const char *name, const char *wanted, char *to,
                           size_t to_size)
{
    CLEANUP_BUF struct buf lines = BUF_INIT(ANSWER_MAX);
    CLEANUP_FREE char *key = key_of(name);
    struct s3fix_call c = {.method = "HEAD", .bucket = bucket, .key = key};
    struct error e;
    const char *text;

    assert_int_equal(s3fix_call(&c, NULL, &lines), 200);
    assert_int_equal(buf_cstr(&lines, &text, &e), RC_OK);
    find_header(text, wanted, to, to_size);
    return to;
}

int foreign_get(const char *bucket, const char *name, struct buf *to)
{
    CLEANUP_FREE char *key = key_of(name);
    struct s3fix_call c = {.method = "GET", .bucket = bucket, .key = key};

    return s3fix_call(&c, to, NULL);
}
