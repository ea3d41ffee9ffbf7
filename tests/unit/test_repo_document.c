/* Documents tell when they were damaged. */
#include "repo_fixture.h"

#include "repo/document.h"

static void make(struct repo_fixture *f, const char *kind, unsigned version, struct buf *to)
{
    CLEANUP_JSON json_t *body =
        json_pack("{s:s, s:i, s:[i,i]}", "name", "é\"\n", "n", 7, "list", 1, 2);
    assert_rc(f, RC_OK, document_encode(kind, version, body, to, &f->err));
}

static void round_trip(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    CLEANUP_JSON json_t *o = NULL;
    make(f, "thing", 2, &b);
    assert_rc(f, RC_OK, document_decode("thing", 2, b.data, b.len, &o, &f->err));
    assert_string_equal(json_string_value(json_object_get(o, "name")), "é\"\n");
    assert_int_equal(json_array_size(json_object_get(o, "list")), 2);
}

/* docs/format.md: the first members, and the digest over all but the last 81 bytes. */
static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    const char *text;
    char hex[SHA256_HEX_SIZE];
    make(f, "thing", 2, &b);
    assert_rc(f, RC_OK, buf_cstr(&b, &text, &f->err));
    assert_true(str_starts(text, "{\n  \"kind\": \"thing\",\n  \"version\": 2,\n  \"name\": "));
    struct sha256 digest = sha256_of(b.data, b.len - 81);
    sha256_hex(&digest, hex);
    assert_memory_equal(text + b.len - 68, hex, 64);
    assert_string_equal(text + b.len - 4, "\"\n}\n");
}

static void refuse(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    json_t *o = NULL;
    if (document_decode("thing", 2, data, len, &o, &f->err) != RC_INTEGRITY)
        fail_msg("accepted: %s", what);
    assert_null(o);
}

static void every_byte_counts(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    make(f, "thing", 2, &b);
    each_mutation(b.data, b.len, refuse, f);
}

static void kinds_and_versions(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    CLEANUP_JSON json_t *o = NULL;
    make(f, "thing", 2, &b);
    assert_rc(f, RC_INTEGRITY, document_decode("other", 2, b.data, b.len, &o, &f->err));
    assert_rc(f, RC_CONFIG, document_decode("thing", 1, b.data, b.len, &o, &f->err));
    assert_rc(f, RC_OK, document_decode("thing", 3, b.data, b.len, &o, &f->err));
}

static void in_a_store(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *body = json_pack("{s:i}", "n", 7), *o = NULL;
    struct store *s = f->repo->store;
    struct sha256 put, got;
    assert_rc(f, RC_OK, document_put(s, "x.json", "thing", 1, body, &put, &f->err));
    assert_rc(f, RC_EXISTS, document_put(s, "x.json", "thing", 1, body, NULL, &f->err));
    assert_rc(f, RC_OK, document_get(s, "x.json", "thing", 1, &o, &got, &f->err));
    assert_true(sha256_equal(&put, &got));
    assert_rc(f, RC_NOT_FOUND, document_get(s, "y.json", "thing", 1, &o, NULL, &f->err));
    flip_object(f, "x.json", 20);
    CLEANUP_JSON json_t *damaged = NULL;
    assert_rc(f, RC_INTEGRITY, document_get(s, "x.json", "thing", 1, &damaged, NULL, &f->err));
    assert_non_null(strstr(f->err.on, "x.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),        cmocka_unit_test(as_documented),
        cmocka_unit_test(every_byte_counts), cmocka_unit_test(kinds_and_versions),
        cmocka_unit_test(in_a_store),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
