/* What readers of the repository take from a proof, and what they must refuse. */
#include "repo_fixture.h"

#include "repo/document.h"
#include "repo/proof_summary.h"

#define BACKUP "20261121T020000Z"
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OBJECT "clusters/main/proofs/20261121T030000Z-" BACKUP ".json"

static json_t *body(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", PROOF_BACKUP_ID, BACKUP, PROOF_BACKUP_SHA256, DIGEST,
                     PROOF_RESULT, PROOF_PASSED, PROOF_FINISHED, "2026-11-21T03:00:00Z");
}

static void round_trip(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *o = body();
    struct proof_summary s;
    assert_rc(f, RC_NOT_FOUND, proof_summary_load(f->repo, OBJECT, BACKUP, &s, &f->err));
    assert_rc(f, RC_OK, proof_put(f->repo, OBJECT, o, &f->err));
    assert_rc(f, RC_EXISTS, proof_put(f->repo, OBJECT, o, &f->err));
    assert_rc(f, RC_OK, proof_summary_load(f->repo, OBJECT, BACKUP, &s, &f->err));
    assert_string_equal(s.backup_id, BACKUP);
    assert_string_equal(s.result, "passed");
    assert_int_equal(s.finished, INT64_C(1795230000000000));
    assert_rc(f, RC_INTEGRITY,
              proof_summary_load(f->repo, OBJECT, "20250101T000000Z", &s, &f->err));
    flip_object(f, OBJECT, 100);
    assert_rc(f, RC_INTEGRITY, proof_summary_load(f->repo, OBJECT, BACKUP, &s, &f->err));
}

static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *o = body();
    CLEANUP_BUF struct buf b = BUF_INIT(4096), stored = BUF_INIT(4096);
    const char *text;
    assert_rc(f, RC_OK, proof_encode(o, &b, &f->err));
    assert_rc(f, RC_OK, buf_cstr(&b, &text, &f->err));
    assert_true(
        str_starts(text, "{\n  \"kind\": \"proof\",\n  \"version\": 1,\n  \"backup_id\": "));
    CLEANUP_JSON json_t *again = body();
    assert_rc(f, RC_OK, proof_put(f->repo, OBJECT, again, &f->err));
    read_object(f, OBJECT, &stored);
    assert_int_equal(stored.len, b.len);
    assert_memory_equal(stored.data, b.data, b.len);
}

static void hostile_members_are_refused(void **state)
{
    struct repo_fixture *f = *state;
    static const struct {
        const char *member, *value;
    } refused[] = {
        {PROOF_BACKUP_ID, NULL},
        {PROOF_BACKUP_ID, "[]"},
        {PROOF_BACKUP_ID, "\"\""},
        {PROOF_BACKUP_ID, "\"20250101T000000Z\""},
        {PROOF_BACKUP_SHA256, NULL},
        {PROOF_BACKUP_SHA256, "\"00\""},
        {PROOF_RESULT, NULL},
        {PROOF_RESULT, "true"},
        {PROOF_RESULT, "\"\""},
        {PROOF_RESULT, "\"passed\\u0000\""},
        {PROOF_FINISHED, NULL},
        {PROOF_FINISHED, "1795230000"},
        {PROOF_FINISHED, "\"never\""},
        {PROOF_FINISHED, "\"\""},
        {PROOF_RESULT, "\"passed, and so much more that it fills the room of a result\""},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CLEANUP_JSON json_t *o = body();
        struct proof_summary s = {.result = "untouched"};
        if (refused[i].value)
            json_object_set_new(
                o, refused[i].member,
                json_loads(refused[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
        else
            json_object_del(o, refused[i].member);
        if (proof_summary_parse(o, BACKUP, &s, &f->err) != RC_INTEGRITY)
            fail_msg("accepted: %s as %s", refused[i].member, refused[i].value);
        assert_string_equal(s.result, "untouched");
    }
}

/* A result of a later version is handed on as it is, and is not "passed". */
static void unknown_results(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *o = body();
    struct proof_summary s;
    json_object_set_new(o, PROOF_RESULT, json_string("half proven"));
    assert_rc(f, RC_OK, proof_summary_parse(o, BACKUP, &s, &f->err));
    assert_string_equal(s.result, "half proven");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(as_documented, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(hostile_members_are_refused, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(unknown_results, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
