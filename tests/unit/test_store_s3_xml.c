/*
 * S3's XML: what real servers answer (tests/data/s3), what they could answer within the rules, and
 * what nobody should send.
 */
#include "store/s3_xml.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/xml_walk.h"
#include "support/test_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XML_HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static struct error err;

/* --- a listing in a few words ----------------------------------------------------------------- */

/* Each entry as "key|size|version[!*]\n": '!' a delete marker, '*' the latest. */
static enum rc note_entry(void *ctx, const struct s3_entry *e, struct error *fail)
{
    return buf_printf(ctx, fail, "%s|%llu|%s%s%s\n", e->key, (unsigned long long)e->size_bytes,
                      e->version_id, e->delete_marker ? "!" : "", e->latest ? "*" : "");
}

static enum rc list(const void *xml, size_t len, char to[static 4096], struct s3_page *page)
{
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    const char *text;
    enum rc rc = s3_xml_list(xml, len, note_entry, &b, page, &err);

    assert_int_equal(buf_cstr(&b, &text, &err), RC_OK);
    assert_true(str_copy(to, 4096, text));
    return rc;
}

static void assert_list(const char *xml, const char *entries)
{
    struct s3_page page;
    char is[4096];

    assert_int_equal(list(xml, strlen(xml), is, &page), RC_OK);
    assert_string_equal(is, entries);
}

/* And no entry is handed out. */
static void assert_no_list_of(const void *xml, size_t len, const char *what)
{
    struct s3_page page;
    char is[4096];

    assert_int_equal(list(xml, len, is, &page), RC_STORAGE);
    if (!strstr(err.what, what))
        print_error("%s\n", err.what);
    assert_non_null(strstr(err.what, what));
    assert_string_equal(is, "");
}

static void assert_no_list(const char *xml, const char *what)
{
    assert_no_list_of(xml, strlen(xml), what);
}

/* tests/data/s3/<name> */
static void read_answer(const char *name, struct buf *to)
{
    test_data_read(to, "s3/%s", name);
}

static void assert_answer(const char *name, const char *entries, struct s3_page *ret)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    char is[4096];

    read_answer(name, &xml);
    assert_int_equal(list(xml.data, xml.len, is, ret), RC_OK);
    assert_string_equal(is, entries);
}

static char *listing_of(const char *entries)
{
    return str_printf("<ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>",
                      entries);
}

/* --- real answers ----------------------------------------------------------------------------- */

static void listings_of_real_servers(void **state)
{
    struct s3_page p;

    (void)state;
    assert_answer("aws-list.xml", "ExampleObject.txt|857|\n", &p);
    assert_false(p.truncated);
    assert_int_equal(p.entries, 1);
    assert_string_equal(p.last_key, "ExampleObject.txt");

    assert_answer("minio-list.xml",
                  "a\x01"
                  "b|1|\na\nb|1|\na b|1|\n",
                  &p);
    assert_true(p.truncated);
    assert_string_equal(p.token, "YSBiW21pbmlvX2NhY2hlOnYyLHJldHVybjpd");
    assert_string_equal(p.last_key, "a b");

    assert_answer("radosgw-list.xml",
                  "a\x01"
                  "b|1|\na\nb|1|\na b|1|\n",
                  &p);
    assert_string_equal(p.token, "a b");
    assert_int_equal(p.entries, 3);

    assert_answer("s3rver-list.xml", "a+b|1|\na<b&c>|1|\n", &p);
    assert_string_equal(p.token, "1wh5MinhaArKtwf87EowB9lJ1ACxsM9UyoLJ+4gMJrk=");
}

static void versions_of_real_servers(void **state)
{
    struct s3_page p;

    (void)state;
    assert_answer("aws-versions.xml",
                  "my-image.jpg|434234|3/L4kqtJl40Nr8X8gdRQBpUMLUo*\n"
                  "my-second-image.jpg|0|03jpff543dhffds434rfdsFDN943fdsFkdmqnh892!*\n"
                  "my-second-image.jpg|166434|QUpfdndhfd8438MNFDN93jdnJFkdmqnh893\n",
                  &p);
    assert_false(p.truncated);

    assert_answer("minio-versions.xml",
                  "a b|1|b78b56a4-9b43-4900-9a25-944ffa04f9b3*\n"
                  "a%b|0|6bb99562-c63a-4ce3-84b4-14128813a693!*\n",
                  &p);
    assert_string_equal(p.key_marker, "a%b[minio_cache:v2,return:]");
    assert_string_equal(p.version_marker, "6bb99562-c63a-4ce3-84b4-14128813a693");

    assert_answer("radosgw-versions.xml",
                  "a b|1|uicmaut5uTUUbopEy4sJmV-150CzS7Y*\n"
                  "a%b|0|2GaOckGbhZwOhrCb.2YI0o6c7Rtctec!*\n",
                  &p);
    assert_string_equal(p.key_marker, "a%b");
}

static void a_control_byte_without_url_encoding(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);

    (void)state;
    read_answer("minio-list-plain.xml", &xml);
    assert_no_list_of(xml.data, xml.len, "invalid character number");
}

static enum rc keep_entry(void *ctx, const struct s3_entry *e, struct error *fail)
{
    (void)fail;
    *(struct s3_entry *)ctx = *e;
    assert_string_equal(e->storage_class, "REDUCED_REDUNDANCY");
    return RC_OK;
}

static void moment_and_class(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    struct s3_entry e;
    struct s3_page p;
    moment_us at;

    (void)state;
    read_answer("aws-list.xml", &xml);
    assert_int_equal(s3_xml_list(xml.data, xml.len, keep_entry, &e, &p, &err), RC_OK);
    assert_true(e.modified == 1379441273000000);
    assert_true(s3_time_parse("2026-11-21T14:30:00.250Z", &at));
    assert_true(at == 1795271400250000);
    assert_true(s3_time_parse("2014-10-24T23:00:23Z", &at));
    assert_false(s3_time_parse("2014-10-24T23:00:23", &at));
    assert_false(s3_time_parse("Fri, 24 Oct 2014 23:00:23 GMT", &at));
    assert_false(s3_time_parse("", &at));
}

/* --- what the rules allow --------------------------------------------------------------------- */

#define REST_OF_ENTRY "<Size>1</Size><LastModified>2026-11-21T12:47:10Z</LastModified></Contents>"

static void assert_key(const char *key_in_xml, const char *key)
{
    CLEANUP_FREE char *entry = str_printf("<Contents><Key>%s</Key>" REST_OF_ENTRY, key_in_xml);
    CLEANUP_FREE char *xml = listing_of(entry);
    CLEANUP_FREE char *line = str_printf("%s|1|\n", key);

    assert_list(xml, line);
}

static void keys_in_xml(void **state)
{
    (void)state;
    assert_key("a+b%20c", "a+b%20c"); /* nobody said that it is url-encoded */
    assert_key("a&amp;b&lt;&gt;&quot;&apos;", "a&b<>\"'");
    assert_key("&#x61;&#98;&#xE4;", "ab\xc3\xa4");
    assert_key("\xf0\x9f\x90\x98", "\xf0\x9f\x90\x98");
    assert_key("<![CDATA[a&amp;<b>]]>c", "a&amp;<b>c");
    assert_key(" a ", " a ");
    assert_key("a<!-- no part of it -->b", "ab");
}

static void assert_url_key(const char *encoded, const char *key)
{
    CLEANUP_FREE char *entry = str_printf("<Contents><Key>%s</Key>" REST_OF_ENTRY, encoded);
    CLEANUP_FREE char *before = str_printf("<EncodingType>url</EncodingType>%s", entry);
    CLEANUP_FREE char *behind = str_printf("%s<EncodingType>url</EncodingType>", entry);
    CLEANUP_FREE char *xml_before = listing_of(before);
    CLEANUP_FREE char *xml_behind = listing_of(behind);
    CLEANUP_FREE char *line = str_printf("%s|1|\n", key ? key : "");

    if (key) {
        assert_list(xml_before, line);
        assert_list(xml_behind, line);
    } else {
        assert_no_list(xml_before, "url-encoded");
        assert_no_list(xml_behind, "url-encoded");
    }
}

static void keys_url_encoded(void **state)
{
    (void)state;
    assert_url_key("a+b", "a b");
    assert_url_key("a%2Bb%2bc", "a+b+c");
    assert_url_key("dir/%C3%A4%25", "dir/\xc3\xa4%");
    assert_url_key("a&amp;b", "a&b");
    assert_url_key("%FF%01", "\xff\x01");
    assert_url_key("a%", NULL);
    assert_url_key("a%2", NULL);
    assert_url_key("a%2g", NULL);
    assert_url_key("a%-1", NULL);
    assert_url_key("a%00b", NULL);
}

static void namespaces_and_what_is_unknown(void **state)
{
    (void)state;
    assert_list(XML_HEAD
                "<s3:ListBucketResult xmlns:s3=\"urn:x\" s3:more=\"1\"><?pi x?><s3:New><s3:Key>no"
                "</s3:Key><IsTruncated>true</IsTruncated></s3:New><s3:IsTruncated>false"
                "</s3:IsTruncated><s3:Contents><Owner><Key>no</Key><Size>7</Size></Owner>"
                "<s3:Key>a</s3:Key><s3:Size>1</s3:Size><s3:LastModified>2026-11-21T12:47:10Z"
                "</s3:LastModified></s3:Contents><CommonPrefixes><Prefix>b/</Prefix>"
                "</CommonPrefixes><New><IsTruncated>true</IsTruncated></New></s3:ListBucketResult>",
                "a|1|\n");
}

static void entries_keep_nothing_of_those_before(void **state)
{
    struct s3_page p;
    char is[4096];
    const char *xml = "<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>a</Key>"
                      "<VersionId>v</VersionId><IsLatest>true</IsLatest>" REST_OF_ENTRY;
    CLEANUP_FREE char *whole =
        str_printf("%.*sVersion><Contents><Key>b</Key>" REST_OF_ENTRY "</ListVersionsResult>",
                   (int)(strlen(xml) - strlen("Contents>")), xml);

    (void)state;
    assert_int_equal(list(whole, strlen(whole), is, &p), RC_OK);
    assert_string_equal(is, "a|1|v*\nb|1|\n");
}

static enum rc count_entry(void *ctx, const struct s3_entry *e, struct error *fail)
{
    size_t *count = ctx;
    char key[32];

    (void)fail;
    snprintf(key, sizeof(key), "k%05zu", (*count)++);
    assert_string_equal(e->key, key);
    return RC_OK;
}

static void ten_thousand_entries(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(16 << 20);
    struct s3_page p;
    size_t count = 0;

    (void)state;
    assert_int_equal(buf_printf(&xml, &err, "<ListBucketResult><IsTruncated>true</IsTruncated>"),
                     RC_OK);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_printf(&xml, &err, "<Contents><Key>k%05d</Key>" REST_OF_ENTRY, i),
                         RC_OK);
    assert_int_equal(buf_printf(&xml, &err,
                                "<NextContinuationToken>t</NextContinuationToken>"
                                "</ListBucketResult>"),
                     RC_OK);
    assert_int_equal(s3_xml_list(xml.data, xml.len, count_entry, &count, &p, &err), RC_OK);
    assert_int_equal(count, 10000);
    assert_int_equal(p.entries, 10000);
    assert_string_equal(p.last_key, "k09999");
}

static enum rc stop_at_second(void *ctx, const struct s3_entry *e, struct error *fail)
{
    int *seen = ctx;

    (void)e;
    return ++*seen == 2 ? error_set(fail, RC_CANCELLED, "enough") : RC_OK;
}

static void the_callback_ends_it(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    struct s3_page p = {.entries = 77};
    int seen = 0;

    (void)state;
    read_answer("minio-list.xml", &xml);
    assert_int_equal(s3_xml_list(xml.data, xml.len, stop_at_second, &seen, &p, &err), RC_CANCELLED);
    assert_int_equal(seen, 2);
    assert_string_equal(err.what, "enough");
    assert_int_equal(p.entries, 77); /* untouched */
}

/* radosgw writes the key as it is; others encode it. */
static void markers(void **state)
{
    static const struct {
        const char *encoding, *last_key, *marker, *means;
    } cases[] = {
        {"url", "a%2Bb", "a+b", "a+b"},   {"url", "a+b", "a+b", "a b"},
        {"url", "a%2Bb", "a%2Bb", "a+b"}, {"url", "a%25b", "a%b", "a%b"},
        {"url", "a", "b+c", "b c"},       {"none", "a+b", "a+b", "a+b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_page p;
        char is[4096];
        CLEANUP_FREE char *xml = str_printf(
            "<ListVersionsResult><IsTruncated>true</IsTruncated><EncodingType>%s</EncodingType>"
            "<NextKeyMarker>%s</NextKeyMarker><Contents><Key>%s</Key>" REST_OF_ENTRY
            "</ListVersionsResult>",
            cases[i].encoding, cases[i].marker, cases[i].last_key);
        assert_int_equal(list(xml, strlen(xml), is, &p), RC_OK);
        assert_string_equal(p.key_marker, cases[i].means);
    }
}

/* --- what proves nothing ---------------------------------------------------------------------- */

static void lists_that_lack_something(void **state)
{
    (void)state;
    assert_no_list("<ListBucketResult/>", "does not say whether it goes on");
    assert_no_list("<ListBucketResult><IsTruncated>yes</IsTruncated></ListBucketResult>",
                   "neither true nor false");
    assert_no_list("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                   "does not say where");
    assert_no_list("<ListVersionsResult><IsTruncated>true</IsTruncated><NextVersionIdMarker>v"
                   "</NextVersionIdMarker></ListVersionsResult>",
                   "does not say where");
    assert_no_list("<Error><Code>SlowDown</Code></Error>", "is a <Error>");
    assert_no_list("<VersioningConfiguration/>", "is a <VersioningConfiguration>");
    assert_no_list("", "no element found");
    assert_no_list("  \n", "no element found");
    assert_no_list("<html><body>It works!</body></html>", "is a <html>");
    assert_no_list("{\"error\": \"no\"}", "not well-formed");
    assert_no_list("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>x",
                   "junk after document element");
}

static void assert_bad_entry(const char *entry, const char *what)
{
    CLEANUP_FREE char *xml = listing_of(entry);

    assert_no_list(xml, what);
}

static void entries_that_lack_something(void **state)
{
    const char *when = "<LastModified>2026-11-21T12:47:10Z</LastModified>";
    CLEANUP_FREE char *no_key = str_printf("<Contents><Size>1</Size>%s</Contents>", when);
    CLEANUP_FREE char *empty_key = str_printf("<Contents><Key/><Size>1</Size>%s</Contents>", when);
    CLEANUP_FREE char *no_size = str_printf("<Contents><Key>a</Key>%s</Contents>", when);
    CLEANUP_FREE char *minus =
        str_printf("<Contents><Key>a</Key><Size>-1</Size>%s</Contents>", when);
    CLEANUP_FREE char *large =
        str_printf("<Contents><Key>a</Key><Size>18446744073709551616</Size>%s</Contents>", when);
    CLEANUP_FREE char *no_version =
        str_printf("<Version><Key>a</Key><Size>1</Size>%s</Version>", when);
    CLEANUP_FREE char *marker = str_printf("<DeleteMarker><Key>a</Key>%s</DeleteMarker>", when);

    (void)state;
    assert_bad_entry(no_key, "no valid <Key>");
    assert_bad_entry(empty_key, "no valid <Key>");
    assert_bad_entry(no_size, "no valid <Size>");
    assert_bad_entry(minus, "no valid <Size>");
    assert_bad_entry(large, "no valid <Size>");
    assert_bad_entry("<Contents><Key>a</Key><Size>1</Size></Contents>", "no valid <LastModified>");
    assert_bad_entry("<Contents><Key>a</Key><Size>1</Size><LastModified>yesterday</LastModified>"
                     "</Contents>",
                     "no valid <LastModified>");
    assert_bad_entry(no_version, "no valid <VersionId>");
    assert_bad_entry(marker, "no valid <VersionId>");
}

static char *repeat(char c, size_t times)
{
    char *s = mem_alloc(times + 1);

    memset(s, c, times);
    s[times] = '\0';
    return s;
}

static void sizes_over_their_bounds(void **state)
{
    CLEANUP_FREE char *longest = repeat('k', 1024);
    CLEANUP_FREE char *longer = repeat('k', 1025);
    CLEANUP_FREE char *entry = str_printf("<Contents><Key>%s</Key>" REST_OF_ENTRY, longer);
    CLEANUP_FREE char *url = str_printf("<EncodingType>url</EncodingType>%s", entry);
    CLEANUP_FREE char *token = repeat('t', S3_TOKEN_SIZE);
    CLEANUP_FREE char *tokens =
        str_printf("<NextContinuationToken>%s</NextContinuationToken>", token);
    CLEANUP_FREE char *text = repeat('x', XML_TEXT_MAX + 1);
    CLEANUP_FREE char *texts = str_printf("<Name>%s</Name>", text);

    (void)state;
    assert_key(longest, longest);
    assert_url_key(longest, longest);
    assert_bad_entry(entry, "more than");
    assert_bad_entry(url, "more than");
    assert_bad_entry(tokens, "more than 2047 bytes");
    assert_bad_entry(texts, "more than 65536 bytes of text");
}

static char *nested(unsigned depth)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    const char *text;

    for (unsigned i = 0; i < depth; i++)
        assert_int_equal(buf_printf(&b, &err, "<a>"), RC_OK);
    for (unsigned i = 0; i < depth; i++)
        assert_int_equal(buf_printf(&b, &err, "</a>"), RC_OK);
    assert_int_equal(buf_cstr(&b, &text, &err), RC_OK);
    return str_dup(text);
}

static void depth_is_bounded(void **state)
{
    CLEANUP_FREE char *deepest = nested(XML_DEPTH_MAX);
    CLEANUP_FREE char *deeper = nested(XML_DEPTH_MAX + 1);
    CLEANUP_FREE char *abyss = nested(100000);
    char to[64] = "as it was";

    (void)state;
    assert_int_equal(s3_xml_text(deepest, strlen(deepest), "b", to, sizeof(to), &err),
                     RC_NOT_FOUND);
    assert_int_equal(s3_xml_text(deeper, strlen(deeper), "b", to, sizeof(to), &err), RC_STORAGE);
    assert_int_equal(s3_xml_text(abyss, strlen(abyss), "b", to, sizeof(to), &err), RC_STORAGE);
    assert_string_equal(to, "as it was");
}

static void declarations_are_refused(void **state)
{
    (void)state;
    assert_no_list("<!DOCTYPE ListBucketResult [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">"
                   "<!ENTITY c \"&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;\">]>"
                   "<ListBucketResult><IsTruncated>false</IsTruncated><Name>&d;</Name>"
                   "</ListBucketResult>",
                   "declares a document type");
    assert_no_list("<!DOCTYPE ListBucketResult SYSTEM \"file:///etc/passwd\">"
                   "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
                   "declares a document type");
    assert_no_list("<!DOCTYPE ListBucketResult><ListBucketResult><IsTruncated>false</IsTruncated>"
                   "</ListBucketResult>",
                   "declares a document type");
    assert_no_list("<ListBucketResult><IsTruncated>false</IsTruncated><Name>&nbsp;</Name>"
                   "</ListBucketResult>",
                   "undefined entity");
}

static const char *const lists[] = {"aws-list.xml",         "aws-versions.xml",
                                    "minio-list.xml",       "minio-versions.xml",
                                    "radosgw-versions.xml", "s3rver-list.xml"};
#define LISTS (sizeof(lists) / sizeof(lists[0]))

/* However much of it came: without its end, no entry. */
static void no_part_of_an_answer_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < LISTS; i++) {
        CLEANUP_BUF struct buf xml = BUF_INIT(65536);

        read_answer(lists[i], &xml);
        while (xml.len && xml.data[xml.len - 1] == '\n')
            xml.len--;
        for (size_t len = 0; len < xml.len; len++)
            assert_no_list_of(xml.data, len, "not well-formed XML");
    }
}

static enum rc sane_entry(void *ctx, const struct s3_entry *e, struct error *fail)
{
    (void)ctx, (void)fail;
    assert_in_range(strlen(e->key), 1, 1024);
    assert_true(strlen(e->version_id) <= 1024);
    assert_true(e->modified != MOMENT_NONE);
    return RC_OK;
}

/* Every bit of every answer turned once: a clean answer, whatever it is. */
static void flipped_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < LISTS; i++) {
        CLEANUP_BUF struct buf xml = BUF_INIT(65536);

        read_answer(lists[i], &xml);
        for (size_t bit = 0; bit < 8 * xml.len; bit++) {
            struct s3_page p;

            xml.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            enum rc rc = s3_xml_list(xml.data, xml.len, sane_entry, NULL, &p, &err);
            assert_true(rc == RC_OK || rc == RC_STORAGE);
            xml.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* --- texts ------------------------------------------------------------------------------------ */

static void assert_text(const char *name, const char *element, const char *should)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    char to[128];

    read_answer(name, &xml);
    assert_int_equal(s3_xml_text(xml.data, xml.len, element, to, sizeof(to), &err), RC_OK);
    assert_string_equal(to, should);
}

static void texts_of_real_answers(void **state)
{
    (void)state;
    assert_text("aws-error.xml", "Code", "NoSuchKey");
    assert_text("minio-error.xml", "Code", "NoSuchKey");
    assert_text("radosgw-error.xml", "Code", "NoSuchKey");
    assert_text("radosgw-error.xml", "Message", "");
    assert_text("radosgw-versioning.xml", "Status", "Enabled");
    assert_text("aws-sts.xml", "AccessKeyId", "ASgeIAIOSFODNN7EXAMPLE");
    assert_text("aws-sts.xml", "Expiration", "2014-10-24T23:00:23Z");
}

static enum rc text(const char *xml, const char *element, char to[static 8])
{
    return s3_xml_text(xml, strlen(xml), element, to, 8, &err);
}

static void texts(void **state)
{
    char to[8] = "before";

    (void)state;
    assert_int_equal(text("<a><b/></a>", "c", to), RC_NOT_FOUND);
    assert_int_equal(text("<a><b>x</b>", "b", to), RC_STORAGE); /* found, but not whole */
    assert_int_equal(text("<a><b>x</b><c>", "d", to), RC_STORAGE);
    assert_string_equal(to, "before");
    assert_int_equal(text("<a><b> \n 1 2 \t</b><b>3</b></a>", "b", to), RC_OK);
    assert_string_equal(to, "1 2");
    assert_int_equal(text("<a><n:b>12345678</n:b></a>", "b", to), RC_OK);
    assert_string_equal(to, "1234567");
    assert_int_equal(text("<a>alone</a>", "a", to), RC_OK);
    assert_string_equal(to, "alone");
    assert_int_equal(text("<a>x<b>y</b>z</a>", "a", to), RC_OK);
    assert_string_equal(to, "z"); /* what stands behind its last child */
}

static void roots(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    char to[16] = "before";

    (void)state;
    read_answer("minio-error.xml", &xml);
    assert_int_equal(s3_xml_root(xml.data, xml.len, to, sizeof(to), &err), RC_OK);
    assert_string_equal(to, "Error");
    assert_int_equal(s3_xml_root("<x:Root.But.Longer/>", 20, to, sizeof(to), &err), RC_OK);
    assert_string_equal(to, "Root.But.Longer");
    assert_int_equal(s3_xml_root("<R>", 3, to, sizeof(to), &err), RC_STORAGE);
    assert_string_equal(to, "Root.But.Longer");
}

/* --- batch deletion --------------------------------------------------------------------------- */

static void note_delete_error(void *ctx, const struct s3_delete_error *e)
{
    assert_int_equal(
        buf_printf(ctx, &err, "%s|%s|%s|%s\n", e->key, e->version_id, e->code, e->message), RC_OK);
}

static enum rc deleted(const void *xml, size_t len, char to[static 4096], size_t *ret_deleted)
{
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    const char *lines;
    enum rc rc = s3_xml_delete_result(xml, len, note_delete_error, &b, ret_deleted, &err);

    assert_int_equal(buf_cstr(&b, &lines, &err), RC_OK);
    assert_true(str_copy(to, 4096, lines));
    return rc;
}

static void assert_deleted(const char *name, size_t count, const char *errors)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    char is[4096];
    size_t n = 0;

    read_answer(name, &xml);
    assert_int_equal(deleted(xml.data, xml.len, is, &n), RC_OK);
    assert_int_equal(n, count);
    assert_string_equal(is, errors);
}

static void deletions_of_real_servers(void **state)
{
    (void)state;
    assert_deleted("aws-delete.xml", 1, "sample2.txt||AccessDenied|Access Denied\n");
    assert_deleted("minio-delete.xml", 1,
                   "held|0d3eb16a-028e-4974-9747-ebe895b9e04f|InvalidRequest|Object is WORM "
                   "protected and cannot be overwritten\n");
    assert_deleted("radosgw-delete.xml", 1,
                   "held|texgGHTuqSsB5OGDAAWIBrDDpU3QClW|AccessDenied|AccessDenied\n");
}

static void assert_not_deleted(const char *xml, size_t len, const char *what)
{
    char is[4096];
    size_t n = 77;

    assert_int_equal(deleted(xml, len, is, &n), RC_STORAGE);
    assert_string_equal(is, "");
    assert_non_null(strstr(err.what, what));
    assert_int_equal(n, 77);
}

static void deletions_that_prove_nothing(void **state)
{
    CLEANUP_BUF struct buf xml = BUF_INIT(65536);
    const char *no_key = "<DeleteResult><Error><Code>x</Code></Error></DeleteResult>";
    const char *no_code = "<DeleteResult><Error><Key>a</Key><Code>x</Code></Error>"
                          "<Error><Key>b</Key></Error></DeleteResult>";
    const char *error = "<Error><Code>MalformedXML</Code></Error>";

    (void)state;
    assert_not_deleted(no_key, strlen(no_key), "no valid <Key>");
    assert_not_deleted(no_code, strlen(no_code), "no valid <Code>");
    assert_not_deleted(error, strlen(error), "is a <Error>");
    read_answer("radosgw-delete.xml", &xml);
    for (size_t len = 0; len < xml.len; len++)
        assert_not_deleted((const char *)xml.data, len, "not well-formed XML");
}

static void deletion_requests(void **state)
{
    const char *const keys[] = {"a/b-1.x", "a&b<c>\"d'", " \t\n\r", "\xc3\xa4"};
    const char *const versions[] = {NULL, "v&1", "null", NULL};
    const char *const control[] = {"a\x01"};
    CLEANUP_BUF struct buf b = BUF_INIT(4096), c = BUF_INIT(4096);
    const char *xml;

    (void)state;
    assert_int_equal(s3_xml_delete_request(keys, versions, 4, &b, &err), RC_OK);
    assert_int_equal(buf_cstr(&b, &xml, &err), RC_OK);
    assert_string_equal(
        xml,
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        "<Object><Key>a/b-1.x</Key></Object>"
        "<Object><Key>a&#38;b&#60;c&#62;&#34;d&#39;</Key><VersionId>v&#38;1</VersionId></Object>"
        "<Object><Key> &#9;&#10;&#13;</Key><VersionId>null</VersionId></Object>"
        "<Object><Key>\xc3\xa4</Key></Object></Delete>");
    assert_int_equal(s3_xml_delete_request(control, NULL, 1, &c, &err), RC_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings_of_real_servers),
        cmocka_unit_test(versions_of_real_servers),
        cmocka_unit_test(a_control_byte_without_url_encoding),
        cmocka_unit_test(moment_and_class),
        cmocka_unit_test(keys_in_xml),
        cmocka_unit_test(keys_url_encoded),
        cmocka_unit_test(namespaces_and_what_is_unknown),
        cmocka_unit_test(entries_keep_nothing_of_those_before),
        cmocka_unit_test(ten_thousand_entries),
        cmocka_unit_test(the_callback_ends_it),
        cmocka_unit_test(markers),
        cmocka_unit_test(lists_that_lack_something),
        cmocka_unit_test(entries_that_lack_something),
        cmocka_unit_test(sizes_over_their_bounds),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(declarations_are_refused),
        cmocka_unit_test(no_part_of_an_answer_is_taken),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(texts_of_real_answers),
        cmocka_unit_test(texts),
        cmocka_unit_test(roots),
        cmocka_unit_test(deletions_of_real_servers),
        cmocka_unit_test(deletions_that_prove_nothing),
        cmocka_unit_test(deletion_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
