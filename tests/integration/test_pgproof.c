/* pgproof init, check, info, config, against a real server. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "repo/backup.h"
#include "repo/proof_summary.h"
#include "support/pg_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct pgfix *pg;

#define RUN(...) pgfix_tool(pg, __VA_ARGS__, NULL)

/* Run, expect the code and words in the output. */
#define EXPECT(code, text, ...)                                                                    \
    do {                                                                                           \
        struct pgfix_run r_ = RUN(__VA_ARGS__);                                                    \
        pgfix_expect(&r_, code);                                                                   \
        pgfix_expect_text(&r_, text);                                                              \
    } while (0)

static int setup(void **state)
{
    (void)state;
    pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(pg);
    pgfix_write_config(pg, NULL);
    return 0;
}

static json_t *json_of(const struct pgfix_run *r)
{
    struct error err = {0};
    json_t *o = NULL;

    if (json_parse_object(r->out, strlen(r->out), &o, &err) != RC_OK)
        fail_msg("no JSON object (%s): %s", err.what, r->out);
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    return o;
}

static void test_init(void **state)
{
    (void)state;
    EXPECT(1, "pgproof init", "pgproof", "check"); /* no repository yet */
    EXPECT(0, "Nothing was changed", "pgproof", "init", "--dry-run");
    assert_false(file_exists(pgfix_repository(pg)));
    EXPECT(0, "created", "pgproof", "init");
    struct stat st;
    assert_int_equal(stat(pgfix_repository(pg), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(st.st_uid, pgfix_uid(pg));
    EXPECT(0, "registered already", "pgproof", "init");
    EXPECT(0, "not ready", "pgproof", "init"); /* archive_command is `true` */
    EXPECT(0, "none yet", "pgproof", "info");
}

static void test_init_refuses(void **state)
{
    (void)state;
    const char *dir = pgfix_make_dir(pg, "full");
    const char *file = pgfix_path(pg, "full/something");
    struct error err = {0};
    assert_int_equal(file_replace(file, "x", 1, 0600, &err), RC_OK);
    pgfix_give(pg, file);
    char *option = str_printf("--repository-path=%s", dir);
    EXPECT(1, "holds no repository", "pgproof", "init", option);
    EXPECT(1, "the data directory is not usable", "pgproof", "init", "--cluster-data-directory",
           dir);
    free(option);
}

/* The same name, another initdb. */
static void test_init_refuses_another_system(void **state)
{
    struct pgfix *other = pgfix_new(NULL);
    char *connection, *data;

    (void)state;
    pgfix_start(other);
    connection = str_printf("--cluster-connection=%s", pgfix_conninfo(other));
    data = str_printf("--cluster-data-directory=%s", pgfix_data(other));
    EXPECT(1, "--new-system", "pgproof", "init", connection, data);
    EXPECT(2, "belongs to another cluster", "pgproof", "check", connection, data);
    EXPECT(2, "system identifier", "pgproof", "init", connection); /* two halves that don't fit */
    EXPECT(0, "registered", "pgproof", "init", connection, data, "--cluster=main", "--new-system",
           "--dry-run");
    free(connection);
    free(data);
    pgfix_free(other);
}

static void test_init_refuses_full_page_writes_off(void **state)
{
    (void)state;
    pgfix_configure(pg, "full_page_writes = off");
    pgfix_reload(pg);
    EXPECT(1, "full_page_writes", "pgproof", "init");
    pgfix_configure(pg, "full_page_writes = on");
    pgfix_reload(pg);
}

static void test_check_finds_an_archive_that_does_not_work(void **state)
{
    (void)state;
    pgfix_configure_archiving(pg, "true"); /* says that it archives, and does not */
    EXPECT(1, "did not arrive in the repository within", "pgproof", "check", "--timeout=1s");
    pgfix_configure_archiving(pg, "false");
    EXPECT(1, "archive_command failed for", "pgproof", "check", "--timeout=60s");
}

static void test_check_sees_a_segment_arrive(void **state)
{
    (void)state;
    pgfix_archive_with_pgproof(pg);
    EXPECT(0, "Archiving works", "pgproof", "check");
    EXPECT(0, "Archiving works", "pgproof", "check"); /* also on an idle server */
    struct pgfix_run r = RUN("pgproof", "check", "--json");
    pgfix_expect(&r, 0);
    CLEANUP_JSON json_t *o = json_of(&r);
    assert_string_equal(json_string_value(json_object_get(o, "result")), "ok");
    assert_null(json_object_get(o, "error"));
    json_t *steps = json_object_get(o, "steps");
    assert_int_equal(json_array_size(steps), 9);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const char *status = json_string_value(json_object_get(json_array_get(steps, i), "status"));
        assert_true(str_eq(status, "ok") || str_eq(status, "warning"));
    }
}

static void test_check_on_a_standby_is_not_green(void **state)
{
    struct pgfix *standby = pgfix_standby(pg);

    (void)state;
    char *connection = str_printf("--cluster-connection=%s", pgfix_conninfo(standby));
    char *data = str_printf("--cluster-data-directory=%s", pgfix_data(standby));
    EXPECT(1, "on the primary", "pgproof", "check", connection, data);
    EXPECT(0, "a standby", "pgproof", "init", connection, data);
    free(connection);
    free(data);
    pgfix_free(standby);
}

/* Remove the object of a segment from the repository; gives its path there. */
static void remove_segment(const char *segment)
{
    char *command = str_printf("f=$(find '%s' -name %s) && test -n \"$f\" && rm \"$f\"",
                               pgfix_repository(pg), segment);
    struct pgfix_run r = RUN("/bin/sh", "-c", command);

    pgfix_expect(&r, 0);
    free(command);
}

static json_t *info_json(int code)
{
    struct pgfix_run r = RUN("pgproof", "info", "--json");

    pgfix_expect(&r, code);
    return json_of(&r);
}

static void test_info_names_holes(void **state)
{
    (void)state;
    struct pgfix_run r = RUN("pgproof", "backup", "--tier=daily");
    pgfix_expect(&r, 0);
    EXPECT(0, "full, daily", "pgproof", "info");
    EXPECT(0, "not proven yet", "pgproof", "info");
    const char *first = pgfix_switch_wal(pg);
    const char *second = pgfix_switch_wal(pg);
    pgfix_wait_archived(pg, second);
    {
        CLEANUP_JSON json_t *o = info_json(0);
        json_t *system = json_array_get(json_object_get(o, "systems"), 0);
        json_t *windows = json_object_get(system, "recovery_windows");
        assert_int_equal(json_array_size(windows), 1);
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(windows, 0), "last_segment")), second);
    }
    remove_segment(first);
    CLEANUP_JSON json_t *o = info_json(2);
    json_t *window = json_array_get(
        json_object_get(json_array_get(json_object_get(o, "systems"), 0), "recovery_windows"), 0);
    json_t *hole = json_object_get(window, "hole");
    assert_string_equal(json_string_value(json_object_get(hole, "first")), first);
    assert_string_equal(json_string_value(json_object_get(hole, "last")), first);
    EXPECT(2, "HOLE", "pgproof", "info");
}

/* A proof that passed, of a backup.json that had the same id and other bytes. */
static void test_info_does_not_believe_a_proof_of_another_backup(void **state)
{
    const struct store_options o = {.type = STORE_POSIX, .path = pgfix_repository(pg)};
    struct object_name name;
    struct store *store;
    struct repo *repo;
    struct catalog *catalog;
    struct error err = {0};

    (void)state;
    assert_int_equal(store_open(&o, &store, &err), RC_OK);
    assert_int_equal(repo_open(store, &repo, &err), RC_OK);
    assert_int_equal(catalog_load(repo, "main", &catalog, &err), RC_OK);
    assert_true(catalog->count > 0);
    const struct backup_info *b = catalog->entries[catalog->count - 1].info;
    for (int same = 0; same <= 1; same++) {
        struct sha256 digest = same ? b->digest : sha256_of("other", 5);
        char hex[SHA256_HEX_SIZE];
        sha256_hex(&digest, hex);
        CLEANUP_JSON json_t *body =
            json_pack("{s:s, s:s, s:s, s:s}", PROOF_BACKUP_ID, b->id, PROOF_BACKUP_SHA256, hex,
                      PROOF_RESULT, PROOF_PASSED, PROOF_FINISHED, "2026-11-21T03:00:00Z");
        name = name_proof("main", clock_now(), b->id);
        assert_int_equal(proof_put(repo, name.text, body, &err), RC_OK);
        struct pgfix_run r = RUN("pgproof", "info");
        assert_int_equal(strstr(r.out, "of another backup.json") == NULL, same);
        assert_int_equal(strstr(r.out, "proven: it passed") != NULL, same);
        assert_int_equal(store_remove(repo->store, name.text, &err), RC_OK);
    }
    catalog_free(catalog);
    repo_close(repo);
}

static void test_info_names_a_broken_backup(void **state)
{
    char *command = str_printf("f=$(find '%s' -name backup.json | head -1) && chmod u+w \"$f\" && "
                               "truncate -s 100 \"$f\"",
                               pgfix_repository(pg));

    (void)state;
    struct pgfix_run r = RUN("/bin/sh", "-c", command);
    pgfix_expect(&r, 0);
    EXPECT(2, "BROKEN", "pgproof", "info");
    CLEANUP_JSON json_t *o = info_json(2);
    json_t *backup = json_array_get(json_object_get(o, "backups"), 0);
    assert_string_equal(json_string_value(json_object_get(backup, "state")), "broken");
    free(command);
}

static void test_a_wrong_cluster_name(void **state)
{
    (void)state;
    EXPECT(3, "there is no cluster 'mian'", "pgproof", "info", "--cluster=mian");
}

static void test_the_front_command(void **state)
{
    (void)state;
    EXPECT(0, "pgproof 0.1.0", "pgproof", "--version");
    EXPECT(0, "pgproof-backup 0.1.0", "pgproof", "backup", "--version");
    EXPECT(3, "did you mean 'pgproof backup'", "pgproof", "bakcup");
    EXPECT(3, "no such command", "pgproof", "../backup");
    EXPECT(3, "Commands:", "pgproof");
    EXPECT(0, "Usage: pgproof-backup", "pgproof", "help", "backup");
    char *option = str_printf("%s/pgproof.conf", pgfix_dir(pg));
    EXPECT(0, "--wal-keep", "pgproof", "--config", option, "config", "--wal-keep=3d");
    EXPECT(3, "/nowhere.conf", "pgproof", "--config=/nowhere.conf", "info");
    free(option);
}

static void test_config_masks_passwords(void **state)
{
    (void)state;
    pgfix_tool_env(pg, "PGPROOF_CLUSTER_CONNECTION=host=h password=hushhush");
    struct pgfix_run r = RUN("pgproof", "config");
    pgfix_expect(&r, 0);
    assert_null(strstr(r.out, "hushhush"));
    assert_non_null(strstr(r.out, "connection = ********"));
    assert_non_null(strstr(r.out, "; PGPROOF_CLUSTER_CONNECTION"));
    char *option = str_printf("--cluster-connection=%s", pgfix_conninfo(pg));
    r = RUN("pgproof", "config", "--json", option);
    pgfix_expect(&r, 0);
    assert_non_null(strstr(r.out, "\"--cluster-connection\""));
    json_decref(json_of(&r));
    free(option);
}

static void test_a_signal_ends_it_with_its_number(void **state)
{
    (void)state;
    char *tool = str_printf("%s/pgproof", pgfix_bin(pg));
    char *option = str_printf("--cluster-connection=%s", pgfix_conninfo(pg));
    const char *argv[] = {tool, "check", "--timeout=60s", option, NULL};

    pgfix_configure_archiving(pg, "sleep 5; false");
    pid_t pid = pgfix_tool_begin(pg, argv, pgfix_path(pg, "check.out"));
    clock_sleep_ms(1500);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(pgfix_tool_wait(pg, pid), 128 + SIGTERM);
    free(tool);
    free(option);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_init_refuses),
        cmocka_unit_test(test_init_refuses_another_system),
        cmocka_unit_test(test_init_refuses_full_page_writes_off),
        cmocka_unit_test(test_check_finds_an_archive_that_does_not_work),
        cmocka_unit_test(test_check_sees_a_segment_arrive),
        cmocka_unit_test(test_check_on_a_standby_is_not_green),
        cmocka_unit_test(test_info_names_holes),
        cmocka_unit_test(test_info_does_not_believe_a_proof_of_another_backup),
        cmocka_unit_test(test_info_names_a_broken_backup),
        cmocka_unit_test(test_a_wrong_cluster_name),
        cmocka_unit_test(test_the_front_command),
        cmocka_unit_test(test_config_masks_passwords),
        cmocka_unit_test(test_a_signal_ends_it_with_its_number),
    };
    return cmocka_run_group_tests(tests, setup, pgfix_free_all);
}
