/* The repository's identity, the systems under it, leases. */
#include "repo_fixture.h"

#include "repo/document.h"

#include <unistd.h>

static const struct cluster_system fifteen = {
    .system_identifier = SYSTEM_ID,
    .pg_major = 15,
    .wal_segment_bytes = 16u << 20,
    .page_bytes = 8192,
    .relation_segment_pages = 131072,
    .registered = 1000000,
};

static void created_once(void **state)
{
    struct repo_fixture *f = *state;
    assert_int_equal(strlen(f->repo->id), 32);
    assert_true(f->repo->hash_seed != 0);
    assert_string_equal(f->repo->sealing, "none");
    assert_rc(f, RC_EXISTS, repo_create(f->repo->store, &f->err));
    struct repo *again = fixture_open(f);
    assert_string_equal(again->id, f->repo->id);
    assert_true(again->hash_seed == f->repo->hash_seed && again->created == f->repo->created);
    struct repo *dup;
    assert_rc(f, RC_OK, repo_dup(again, &dup, &f->err));
    assert_string_equal(dup->id, f->repo->id);
    repo_close(dup);
    repo_close(again);
}

static void replace_repository(struct repo_fixture *f, const char *member, json_t *value)
{
    CLEANUP_JSON json_t *o = NULL, *body = json_object();
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    const char *key;
    json_t *v;
    assert_rc(f, RC_OK,
              document_get(f->repo->store, REPOSITORY_OBJECT, "repository", 1, &o, NULL, &f->err));
    json_object_foreach(o, key, v)
    {
        if (!str_eq(key, "kind") && !str_eq(key, "version") && !str_eq(key, "sha256"))
            json_object_set(body, key, v);
    }
    if (value)
        json_object_set_new(body, member, value);
    else
        json_object_del(body, member);
    assert_rc(f, RC_OK, document_encode("repository", 1, body, &b, &f->err));
    overwrite_object(f, REPOSITORY_OBJECT, b.data, b.len);
}

static void refused_open(struct repo_fixture *f, enum rc expected)
{
    struct repo *r = NULL;
    assert_rc(f, expected, repo_open(fixture_store(f), &r, &f->err));
    assert_null(r);
    assert_true(f->err.what[0] && f->err.on[0]);
}

static void what_is_no_repository(void **state)
{
    struct repo_fixture *f = *state;
    replace_repository(f, "sealing", json_string("aes-256-gcm"));
    refused_open(f, RC_CONFIG);
    replace_repository(f, "sealing", json_string("none"));
    replace_repository(f, "format", json_integer(2));
    refused_open(f, RC_CONFIG);
    replace_repository(f, "format", json_integer(1));
    replace_repository(f, "hash_seed", json_string("12"));
    refused_open(f, RC_INTEGRITY);
    replace_repository(f, "hash_seed", NULL);
    refused_open(f, RC_INTEGRITY);
    flip_object(f, REPOSITORY_OBJECT, 30);
    refused_open(f, RC_INTEGRITY);
    char *path = object_path(f, REPOSITORY_OBJECT);
    unlink(path);
    free(path);
    refused_open(f, RC_STORAGE); /* never "not found": it may just not be mounted */
    assert_non_null(strstr(f->err.what, "not mounted"));
}

static void systems(void **state)
{
    struct repo_fixture *f = *state;
    struct cluster_system sys = fifteen, got;
    assert_rc(f, RC_NOT_FOUND, repo_current_system(f->repo, "main", &got, &f->err));
    assert_rc(f, RC_OK, repo_register_system(f->repo, "main", &sys, &f->err));
    sys.registered++;
    assert_rc(f, RC_OK, repo_register_system(f->repo, "main", &sys, &f->err));
    sys.wal_segment_bytes = 64u << 20;
    assert_rc(f, RC_INTEGRITY, repo_register_system(f->repo, "main", &sys, &f->err));
    assert_non_null(strstr(f->err.what, "16777216"));

    assert_rc(f, RC_OK, repo_load_system(f->repo, "main", SYSTEM_ID, &got, &f->err));
    assert_memory_equal(&got, &fifteen, sizeof got);
    assert_rc(f, RC_NOT_FOUND, repo_load_system(f->repo, "main", 1, &got, &f->err));
    assert_rc(f, RC_NOT_FOUND, repo_load_system(f->repo, "mai", SYSTEM_ID, &got, &f->err));
}

static void newest_among(struct repo_fixture *f, const char *cluster, uint64_t upgraded_id)
{
    struct cluster_system old = fifteen, upgraded = fifteen, got;
    upgraded.system_identifier = upgraded_id;
    upgraded.pg_major = 17;
    upgraded.registered += 5000000;
    assert_rc(f, RC_OK, repo_register_system(f->repo, cluster, &upgraded, &f->err));
    assert_rc(f, RC_OK, repo_register_system(f->repo, cluster, &old, &f->err));
    assert_rc(f, RC_OK, repo_current_system(f->repo, cluster, &got, &f->err));
    assert_int_equal(got.pg_major, 17);
}

static void the_newest_system_is_current(void **state)
{
    newest_among(*state, "a", 5); /* its name sorts before the other's */
    newest_among(*state, "b", 9); /* and behind */
}

static void largest_identifier(void **state)
{
    struct repo_fixture *f = *state;
    struct cluster_system sys = fifteen, got;
    sys.system_identifier = UINT64_MAX; /* more than JSON's integers hold */
    assert_rc(f, RC_OK, repo_register_system(f->repo, "main", &sys, &f->err));
    assert_rc(f, RC_OK, repo_load_system(f->repo, "main", UINT64_MAX, &got, &f->err));
    assert_true(got.system_identifier == UINT64_MAX);
}

static void swapped_and_impossible_systems(void **state)
{
    struct repo_fixture *f = *state;
    struct cluster_system sys = fifteen, got;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    assert_rc(f, RC_OK, repo_register_system(f->repo, "main", &sys, &f->err));
    read_object(f, name_system("main", SYSTEM_ID).text, &b);
    assert_rc(f, RC_OK,
              store_put(f->repo->store, name_system("main", 42).text, b.data, b.len, &f->err));
    assert_rc(f, RC_INTEGRITY, repo_load_system(f->repo, "main", 42, &got, &f->err));
    sys.system_identifier = 43;
    sys.wal_segment_bytes = 3;
    assert_rc(f, RC_OK, repo_register_system(f->repo, "main", &sys, &f->err));
    assert_rc(f, RC_INTEGRITY, repo_load_system(f->repo, "main", 43, &got, &f->err));
}

static void clusters(void **state)
{
    struct repo_fixture *f = *state;
    struct cluster_system other = fifteen;
    char **names;
    other.system_identifier++;
    assert_rc(f, RC_OK, repo_register_system(f->repo, "b", &fifteen, &f->err));
    assert_rc(f, RC_OK, repo_register_system(f->repo, "a", &fifteen, &f->err));
    assert_rc(f, RC_OK, repo_register_system(f->repo, "a", &other, &f->err));
    assert_rc(f, RC_OK, store_put(f->repo->store, "clusters/c/backups/x", "x", 1, &f->err));
    assert_rc(f, RC_OK, repo_list_clusters(f->repo, &names, &f->err));
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "b");
    assert_null(names[2]);
    free(names[0]);
    free(names[1]);
    free(names);
}

static enum rc count_object(void *ctx, const char *name, const struct store_info *info,
                            struct error *err)
{
    (void)name;
    (void)info;
    (void)err;
    ++*(int *)ctx;
    return RC_OK;
}

static void leases(void **state)
{
    struct repo_fixture *f = *state;
    struct lease *a, *b;
    int count = 0;
    struct object_name prefix = name_leases_prefix("main");
    assert_rc(f, RC_OK, lease_take(f->repo, "main", "backup", &a, &f->err));
    assert_rc(f, RC_OK, lease_take(f->repo, "main", "backup", &b, &f->err));
    assert_rc(f, RC_OK, store_list(f->repo->store, prefix.text, count_object, &count, &f->err));
    assert_int_equal(count, 2);
    lease_release(a);
    lease_release(b);
    lease_release(NULL);
    count = 0;
    assert_rc(f, RC_OK, store_list(f->repo->store, prefix.text, count_object, &count, &f->err));
    assert_int_equal(count, 0);
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(created_once),
        CASE(what_is_no_repository),
        CASE(systems),
        CASE(the_newest_system_is_current),
        CASE(largest_identifier),
        CASE(swapped_and_impossible_systems),
        CASE(clusters),
        CASE(leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
