/* Object names: what they look like, and what is no name. */
#include "repo_fixture.h"

static void ids(void **state)
{
    (void)state;
    char id[BACKUP_ID_SIZE];
    moment_us t;
    struct error err;
    assert_int_equal(moment_parse("2026-11-21 02:00:00 UTC", &t, &err), RC_OK);
    backup_id_from(t, id);
    assert_string_equal(id, "20261121T020000Z");
    assert_true(backup_id_valid(id));
    assert_false(backup_id_valid("20261121T020000"));
    assert_false(backup_id_valid("20261121T0200000"));
    assert_false(backup_id_valid("../../1T020000Z"));
    assert_false(backup_id_valid(""));
    assert_false(backup_id_valid(NULL));
}

static void cluster_names(void **state)
{
    (void)state;
    assert_true(cluster_name_valid("main"));
    assert_true(cluster_name_valid("0a_b-c"));
    assert_false(cluster_name_valid(""));
    assert_false(cluster_name_valid("-x"));
    assert_false(cluster_name_valid(".."));
    assert_false(cluster_name_valid("Main"));
    assert_false(cluster_name_valid("a/b"));
    char name[65];
    memset(name, 'a', 64);
    name[64] = '\0';
    assert_false(cluster_name_valid(name));
    name[63] = '\0';
    assert_true(cluster_name_valid(name));
}

static void wal_kinds(void **state)
{
    (void)state;
    assert_int_equal(wal_file_kind("00000001000000A70000003C"), WAL_FILE_SEGMENT);
    assert_int_equal(wal_file_kind("00000001000000A70000003C.partial"), WAL_FILE_PARTIAL);
    assert_int_equal(wal_file_kind("00000001000000A70000003C.00000028.backup"),
                     WAL_FILE_BACKUP_LABEL);
    assert_int_equal(wal_file_kind("0000000A.history"), WAL_FILE_HISTORY);
    static const char *const none[] = {"",
                                       "0000000a.history",
                                       "00000001000000a70000003c",
                                       "00000001000000A70000003",
                                       "00000001000000A70000003C0",
                                       "00000001000000A70000003C.backup",
                                       "00000001000000A70000003C.partial.x",
                                       "../../../../repository.json",
                                       "RECOVERYXLOG",
                                       "0000000A.history/"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(wal_file_kind(none[i]), WAL_FILE_NONE);
}

static void object_names(void **state)
{
    (void)state;
    struct sha256 id;
    memset(id.bytes, 0xab, sizeof id.bytes);
    assert_string_equal(name_system("main", SYSTEM_ID).text,
                        "clusters/main/systems/7301234567890123456.json");
    assert_string_equal(name_pack("main", PACK_MAPS, &id).text,
                        "clusters/main/maps/ab/"
                        "abababababababababababababababababababababababababababababababab");
    assert_string_equal(name_backup("main", "20261121T020000Z", "manifest").text,
                        "clusters/main/backups/20261121T020000Z/manifest");
    assert_string_equal(name_wal("main", SYSTEM_ID, "0000000A000000A70000003C").text,
                        "clusters/main/wal/7301234567890123456/0000000A/000000A7/"
                        "0000000A000000A70000003C");
    assert_string_equal(name_wal("main", SYSTEM_ID, "0000000A.history").text,
                        "clusters/main/wal/7301234567890123456/0000000A.history");
    assert_string_equal(name_wal_timeline_prefix("main", SYSTEM_ID, 10).text,
                        "clusters/main/wal/7301234567890123456/0000000A/");
    assert_string_equal(name_witness("main", 0, UINT64_C(0x1A3000028)).text,
                        "clusters/main/witness/19700101T000000Z-00000001A3000028.json");
    assert_string_equal(name_base("a/b/c"), "c");
    assert_true(store_name_valid(name_proof("main", 0, "20261121T020000Z").text));
    assert_true(store_name_valid(name_lease("main", "backup", "00ff", 3).text));
}

static void proofs_name_their_backup(void **state)
{
    (void)state;
    static const char *const none[] = {
        "clusters/main/proofs/",
        "20261121T030000Z-20261121T020000Z",
        "20261121T030000Z_20261121T020000Z.json",
        "20261121T030000Z-20261121T020000Z.json.",
        "20261121T030000Z-20261121T02000/Z.json",
        "20261121T030000Z-20261121T0200000.json",
    };
    char id[BACKUP_ID_SIZE] = "untouched";
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(name_proof_backup(none[i], id));
    assert_string_equal(id, "untouched");
    assert_true(name_proof_backup(name_proof("main", 0, "20261121T020000Z").text, id));
    assert_string_equal(id, "20261121T020000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),
        cmocka_unit_test(cluster_names),
        cmocka_unit_test(wal_kinds),
        cmocka_unit_test(object_names),
        cmocka_unit_test(proofs_name_their_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
