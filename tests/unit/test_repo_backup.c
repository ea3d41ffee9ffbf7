/* Committing a backup, and what loading refuses. */
#include "repo_fixture.h"

#include "base/crc32c.h"
#include "repo/backup.h"
#include "repo/document.h"

#include <unistd.h>

#define ID "20261121T020000Z"

static struct backup_info *sample_info(const char *id)
{
    static struct backup_tablespace tablespaces[] = {{16384, "fast\xff", "/mnt/fast"},
                                                     {16385, "inplace", ""}};
    static struct name_value settings[] = {{"max_connections", "100"}};
    static struct backup_config_file files[] = {
        {"config_file", "/etc/postgresql/15/main/postgresql.conf", "# caf\xe9\nport = 5432\n"}};
    struct backup_info *b = backup_info_new();
    str_copy(b->id, sizeof b->id, id);
    b->label = "before \"it\"";
    b->tier = "daily";
    b->type = "full";
    b->tool_version = "0.1.0";
    b->host = "db1";
    b->pg_version_num = 150020;
    b->system_identifier = SYSTEM_ID;
    b->timeline = 10;
    b->start_lsn = UINT64_C(0x1A300000028);
    b->stop_lsn = UINT64_C(0x1A300000130);
    b->checkpoint_lsn = UINT64_C(0x1A300000060);
    b->start_time = 1795226400000001;
    b->stop_time = 1795226460000000;
    b->next_xid = UINT64_C(1) << 63;
    b->wal_segment_bytes = 16u << 20;
    b->page_bytes = 8192;
    b->data_checksums = true;
    b->corrupt_pages = 3;
    b->file_count = 1;
    b->size_bytes = 5;
    b->seconds_copy = 0.1;
    b->seconds_total = 60.25;
    b->tablespaces = tablespaces;
    b->tablespace_count = 2;
    b->settings = settings;
    b->setting_count = 1;
    b->config_files = files;
    b->config_file_count = 1;
    return b;
}

/* A manifest of one file in one real pack. */
static struct manifest *sample_manifest(struct repo_fixture *f)
{
    CLEANUP_STAGE struct stage *s = NULL;
    struct manifest *m = manifest_new();
    struct pack_writer *w;
    struct frame frame;
    struct sha256 id;
    uint64_t bytes;
    struct xxh128 hash = xxh128_of(f->repo->hash_seed, "hello", 5);
    assert_rc(f, RC_OK, stage_zstd_encoder(3, &s, &f->err));
    assert_rc(f, RC_OK,
              pack_writer_new(f->repo, "main", SYSTEM_ID, PACK_DATA, s, false, &w, &f->err));
    assert_rc(f, RC_OK,
              pack_writer_add(w, "PG_VERSION", 0, "hello", 5, &hash, crc32c(0, "hello", 5), &frame,
                              &f->err));
    assert_rc(f, RC_OK, pack_writer_finish(w, &id, &bytes, &f->err));
    pack_writer_free(w);
    struct manifest_file *file = manifest_add(m, "PG_VERSION");
    file->size_bytes = 5;
    file->crc32c = frame.crc32c;
    file->chunk_bytes = CHUNK_BYTES;
    file->chunk_count = 1;
    file->only = (struct chunk){.pack = pack_table_add(m->packs, &id, bytes),
                                .offset = frame.offset,
                                .stored_len = frame.stored_len,
                                .crc32c = frame.crc32c,
                                .flags = frame.flags,
                                .hash = frame.hash};
    pack_table_count_live(m->packs, 0, frame.stored_len);
    return m;
}

static void commit(struct repo_fixture *f, const char *id)
{
    struct backup_info *b = sample_info(id);
    struct manifest *m = sample_manifest(f);
    assert_rc(f, RC_OK, backup_commit(f->repo, "main", b, m, &f->err));
    manifest_free(m);
    backup_info_free(b);
}

static void round_trip(void **state)
{
    struct repo_fixture *f = *state;
    struct backup_info *b = sample_info(ID), *got;
    struct manifest *m = sample_manifest(f), *again;
    str_copy(b->previous_id, sizeof b->previous_id, "20261120T020000Z");
    b->previous_digest = sha256_of("x", 1);
    assert_rc(f, RC_OK, backup_commit(f->repo, "main", b, m, &f->err));
    assert_rc(f, RC_OK, backup_load(f->repo, "main", ID, &got, &f->err));
    assert_true(sha256_equal(&b->digest, &got->digest));
    assert_true(sha256_equal(&b->previous_digest, &got->previous_digest));
    assert_string_equal(got->previous_id, b->previous_id);
    assert_string_equal(got->label, b->label);
    assert_true(got->start_lsn == b->start_lsn && got->stop_lsn == b->stop_lsn);
    assert_true(got->checkpoint_lsn == b->checkpoint_lsn && got->next_xid == b->next_xid);
    assert_true(got->start_time == b->start_time && got->stop_time == b->stop_time);
    assert_true(got->data_checksums && got->seconds_copy == 0.1 && got->seconds_total == 60.25);
    assert_int_equal(got->corrupt_pages, 3);
    assert_int_equal(got->timeline, 10);
    assert_string_equal(got->tablespaces[0].name, "fast\xff");
    assert_string_equal(got->tablespaces[1].location, "");
    assert_string_equal(got->settings[0].value, "100");
    assert_string_equal(got->config_files[0].text, b->config_files[0].text);
    assert_rc(f, RC_OK, backup_load_manifest(f->repo, "main", got, &again, &f->err));
    assert_string_equal(again->backup_id, ID);
    assert_rc(f, RC_OK, backup_check_packs(f->repo, "main", again, &f->err));
    manifest_free(again);
    manifest_free(m);
    backup_info_free(b);
    backup_info_free(got);
}

static void no_such_backup(void **state)
{
    struct repo_fixture *f = *state;
    struct backup_info *b;
    assert_rc(f, RC_NOT_FOUND, backup_load(f->repo, "main", ID, &b, &f->err));
    assert_rc(f, RC_USAGE, backup_load(f->repo, "main", "../x", &b, &f->err));
    commit(f, ID);
    assert_rc(f, RC_NOT_FOUND, backup_load(f->repo, "other", ID, &b, &f->err));
}

static void an_id_is_used_once(void **state)
{
    struct repo_fixture *f = *state;
    struct backup_info *b = sample_info(ID);
    struct manifest *m = sample_manifest(f);
    commit(f, ID);
    m->files[0].mtime_ns = 7;
    assert_rc(f, RC_EXISTS, backup_commit(f->repo, "main", b, m, &f->err));
    manifest_free(m);
    backup_info_free(b);
}

/* The answer to a put is lost: it is tried once more, and what is there is seen to be ours. */
static void a_lost_answer(void **state)
{
    struct repo_fixture *f = *state;
    struct backup_info *b = sample_info(ID);
    struct manifest *m = sample_manifest(f);
    f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = 3, .mode = FAULT_FAIL_AFTER};
    assert_rc(f, RC_OK, backup_commit(f->repo, "main", b, m, &f->err));
    assert_int_equal(f->plan.count, 4);
    manifest_free(m);
    backup_info_free(b);
}

/* Whatever put fails, and however: no backup.json, no backup; then the same commit goes through. */
static void written_last(void **state)
{
    struct repo_fixture *f = *state;
    struct object_name summary = name_backup("main", ID, "backup.json");
    struct backup_info *b = sample_info(ID);
    struct manifest *m = sample_manifest(f);
    for (unsigned long n = 1; n <= 3; n++) {
        struct catalog *c;
        f->plan = (struct fault_plan){.operation = FAULT_PUT, .at = n, .mode = FAULT_OUTAGE};
        assert_rc(f, RC_STORAGE, backup_commit(f->repo, "main", b, m, &f->err));
        assert_false(object_exists(f, summary.text));
        f->plan = (struct fault_plan){0};
        assert_rc(f, RC_OK, catalog_load(f->repo, "main", &c, &f->err));
        assert_int_equal(c->count, 0);
        catalog_free(c);
    }
    assert_rc(f, RC_OK, backup_commit(f->repo, "main", b, m, &f->err));
    assert_true(object_exists(f, summary.text));
    manifest_free(m);
    backup_info_free(b);
}

static void refuse(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    struct backup_info *b = NULL;
    overwrite_object(f, name_backup("main", ID, "backup.json").text, data, len);
    if (backup_load(f->repo, "main", ID, &b, &f->err) != RC_INTEGRITY)
        fail_msg("accepted: %s", what);
    assert_null(b);
}

static void damaged_summary(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
    commit(f, ID);
    read_object(f, name_backup("main", ID, "backup.json").text, &b);
    for (size_t i = 0; i < b.len; i += 37) {
        try_mutation(refuse, f, b.data, i, i, 0, "cut");
        try_mutation(refuse, f, b.data, b.len, i, 1, "flipped");
    }
}

/* Every member of backup.json taken out, or made something else, with a right digest. */
static void senseless_summary(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *o = NULL;
    struct object_name name = name_backup("main", ID, "backup.json");
    const char *key;
    json_t *value;
    commit(f, ID);
    assert_rc(f, RC_OK, document_get(f->repo->store, name.text, "backup", 1, &o, NULL, &f->err));
    json_object_del(o, "kind");
    json_object_del(o, "version");
    json_object_del(o, "sha256");
    json_object_foreach(o, key, value)
    {
        for (int without = 0; without < 2; without++) {
            CLEANUP_JSON json_t *copy = json_copy(o);
            CLEANUP_BUF struct buf b = BUF_INIT(1u << 20);
            struct backup_info *info = NULL;
            if (without)
                json_object_del(copy, key);
            else
                json_object_set_new(copy, key, json_pack("[i]", -1));
            assert_rc(f, RC_OK, document_encode("backup", 1, copy, &b, &f->err));
            overwrite_object(f, name.text, b.data, b.len);
            enum rc rc = backup_load(f->repo, "main", ID, &info, &f->err);
            if (rc != RC_INTEGRITY && !(without && str_eq(key, "data_checksums")))
                fail_msg("%s: %s", key, rc_name(rc));
            backup_info_free(info);
        }
    }
}

static struct backup_info *load(struct repo_fixture *f, const char *id)
{
    struct backup_info *b;
    assert_rc(f, RC_OK, backup_load(f->repo, "main", id, &b, &f->err));
    return b;
}

static void damaged_manifest(void **state)
{
    struct repo_fixture *f = *state;
    struct object_name name = name_backup("main", ID, "manifest");
    struct manifest *m = NULL;
    CLEANUP_BUF struct buf other = BUF_INIT(1u << 20);
    commit(f, ID);
    commit(f, "20261122T020000Z");
    struct backup_info *b = load(f, ID);
    flip_object(f, name.text, 20);
    assert_rc(f, RC_INTEGRITY, backup_load_manifest(f->repo, "main", b, &m, &f->err));
    assert_string_equal(f->err.on, name.text);
    read_object(f, name_backup("main", "20261122T020000Z", "manifest").text, &other);
    overwrite_object(f, name.text, other.data, other.len); /* swapped */
    assert_rc(f, RC_INTEGRITY, backup_load_manifest(f->repo, "main", b, &m, &f->err));
    /* ... even where the digest is that of the swapped one */
    b->manifest_digest = sha256_of(other.data, other.len);
    b->manifest_bytes = other.len;
    assert_rc(f, RC_INTEGRITY, backup_load_manifest(f->repo, "main", b, &m, &f->err));
    assert_non_null(strstr(f->err.what, "another backup"));
    backup_info_free(b);
    char *path = object_path(f, name.text);
    unlink(path);
    free(path);
    b = load(f, ID);
    assert_rc(f, RC_INTEGRITY, backup_load_manifest(f->repo, "main", b, &m, &f->err));
    assert_null(m);
    backup_info_free(b);
}

/* A good manifest of this very backup, only not the one that backup.json names. */
static void edited_manifest(void **state)
{
    struct repo_fixture *f = *state;
    struct manifest *m, *none = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT(1u << 20);
    commit(f, ID);
    struct backup_info *b = load(f, ID);
    assert_rc(f, RC_OK, backup_load_manifest(f->repo, "main", b, &m, &f->err));
    m->files[0].mode = 04777;
    assert_rc(f, RC_OK, manifest_encode(m, &text, &f->err));
    overwrite_object(f, name_backup("main", ID, "manifest").text, text.data, text.len);
    assert_rc(f, RC_INTEGRITY, backup_load_manifest(f->repo, "main", b, &none, &f->err));
    assert_non_null(strstr(f->err.what, "digest"));
    manifest_free(m);
    backup_info_free(b);
}

static void packs_that_are_not_there(void **state)
{
    struct repo_fixture *f = *state;
    struct manifest *m = sample_manifest(f);
    struct pack_ref ref = pack_table_get(m->packs, 0);
    struct object_name name = name_pack("main", PACK_DATA, &ref.id);
    assert_rc(f, RC_OK, backup_check_packs(f->repo, "main", m, &f->err));
    overwrite_object(f, name.text, "short", 5);
    assert_rc(f, RC_INTEGRITY, backup_check_packs(f->repo, "main", m, &f->err));
    char *path = object_path(f, name.text);
    unlink(path);
    free(path);
    assert_rc(f, RC_INTEGRITY, backup_check_packs(f->repo, "main", m, &f->err));
    assert_string_equal(f->err.on, name.text);
    manifest_free(m);
}

static void the_packs_document(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_JSON json_t *o = NULL;
    struct object_name name = name_backup("main", ID, "packs");
    commit(f, ID);
    assert_rc(f, RC_OK, document_get(f->repo->store, name.text, "packs", 1, &o, NULL, &f->err));
    assert_string_equal(json_string_value(json_object_get(o, "backup")), ID);
    json_t *data = json_object_get(o, "data");
    assert_int_equal(json_array_size(data), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(data, 0), "live_bytes")), 5);
    assert_int_equal(json_array_size(json_object_get(o, "maps")), 0);
}

static void catalog(void **state)
{
    struct repo_fixture *f = *state;
    struct catalog *c;
    CLEANUP_BUF struct buf other = BUF_INIT(1u << 20);
    commit(f, "20261122T020000Z");
    commit(f, "20261121T020000Z");
    commit(f, "20261123T020000Z");
    flip_object(f, name_backup("main", "20261122T020000Z", "backup.json").text, 99);
    read_object(f, name_backup("main", "20261121T020000Z", "backup.json").text, &other);
    assert_rc(f, RC_OK,
              store_put(f->repo->store, name_backup("main", "20261124T020000Z", "backup.json").text,
                        other.data, other.len, &f->err)); /* a copy under another id */
    assert_rc(f, RC_OK,
              store_put(f->repo->store, name_backup("main", "20261125T020000Z", "manifest").text,
                        "x", 1, &f->err)); /* killed before its end */
    assert_rc(
        f, RC_OK,
        store_put(f->repo->store, name_backup("main", "odd", "backup.json").text, "x", 1, &f->err));
    assert_rc(f, RC_OK, catalog_load(f->repo, "main", &c, &f->err));
    assert_int_equal(c->count, 5);
    assert_string_equal(c->entries[0].id, "20261121T020000Z");
    assert_non_null(c->entries[0].info);
    assert_null(c->entries[1].info);
    assert_int_equal(c->entries[1].problem.rc, RC_INTEGRITY);
    assert_string_equal(c->entries[1].id, "20261122T020000Z");
    assert_non_null(c->entries[2].info);
    assert_null(c->entries[3].info);
    assert_string_equal(c->entries[4].id, "odd");
    assert_int_equal(c->entries[4].problem.rc, RC_INTEGRITY);
    catalog_free(c);
    f->plan = (struct fault_plan){.operation = FAULT_LIST, .at = 1, .mode = FAULT_FAIL};
    assert_rc(f, RC_STORAGE, catalog_load(f->repo, "main", &c, &f->err));
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(round_trip),         CASE(no_such_backup),
        CASE(an_id_is_used_once), CASE(written_last),
        CASE(a_lost_answer),      CASE(damaged_summary),
        CASE(senseless_summary),  CASE(damaged_manifest),
        CASE(edited_manifest),    CASE(packs_that_are_not_there),
        CASE(the_packs_document), CASE(catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
