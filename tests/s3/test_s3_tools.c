/*
 * The tools with a repository in a real S3 server: what they lock and until when, into which class
 * they put what, encryption by the server, and a restore of what there was before an attacker
 * deleted and replaced everything. Each test has a bucket of its own for the same cluster.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "repo/names.h"
#include "support/pg_fixture.h"
#include "support/s3_foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY    (INT64_C(24) * 3600 * 1000000)
#define SECOND INT64_C(1000000)

static struct pgfix *pg;
static const char *bucket, *scratch;
static unsigned serial;

static int begin(void **state)
{
    (void)state;
    pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    scratch = pgfix_make_dir(pg, "scratch");
    return 0;
}

/* Another bucket, with these lines in [repository] and this text behind all. */
static void configure(unsigned how, const char *repository, const char *extra)
{
    CLEANUP_FREE char *rest = str_printf("[verify]\nscratch-directory = %s\n%s", scratch, extra);

    bucket = s3fix_bucket(how);
    CLEANUP_FREE char *lines =
        str_printf("type = s3\nendpoint = %s\nregion = %s\nbucket = %s\nprefix = " S3FIX_PREFIX
                   "\nretry-timeout = 10s\naccess-key-id = %s\nsecret-access-key = %s\n%s",
                   s3fix_setting("ENDPOINT"), s3fix_setting("REGION"), bucket,
                   s3fix_setting("ACCESS_KEY"), s3fix_setting("SECRET_KEY"), repository);

    pgfix_configure_archiving(pg, ""); /* until there is a repository */
    pgfix_write_config_with(pg, lines, rest);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_archive_with_pgproof(pg);
}

static void archive_all(void)
{
    pgfix_wait_archived(pg, pgfix_switch_wal(pg));
}

/* ---- what a backup says of itself ---- */

struct taken {
    char id[BACKUP_ID_SIZE];
    char first_wal[32], last_wal[32];
    moment_us start, locked_until; /* 0: not locked */
};

static void member(const json_t *o, const char *key, char *to, size_t to_size)
{
    const char *text = json_string_value(json_object_get(o, key));

    assert_non_null(text);
    assert_true(str_copy(to, to_size, text));
}

static void moment_of(const json_t *o, const char *key, moment_us *ret)
{
    const char *text = json_string_value(json_object_get(o, key));
    struct error err;

    *ret = 0;
    if (text)
        assert_int_equal(moment_parse(text, ret, &err), RC_OK);
}

static struct taken back_up(const char *tier)
{
    struct pgfix_run r = pgfix_tool(pg, "pgproof-backup", "--json", tier, NULL);
    CLEANUP_JSON json_t *o = NULL;
    struct taken t;
    struct error err;

    pgfix_expect(&r, 0);
    assert_int_equal(json_parse_object(r.out, strlen(r.out), &o, &err), RC_OK);
    member(o, "backup_id", t.id, sizeof(t.id));
    member(o, "wal_first", t.first_wal, sizeof(t.first_wal));
    member(o, "wal_last", t.last_wal, sizeof(t.last_wal));
    moment_of(o, "start_time", &t.start);
    moment_of(o, "locked_until", &t.locked_until);
    return t;
}

/* ---- what is in the bucket ---- */

static enum rc keep_name(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    char ***end = ctx;

    (void)info;
    (void)err;
    *(*end)++ = str_dup(name);
    return RC_OK;
}

#define NAMES_MAX 1000

/* The names of all objects; NULL-terminated; free each. */
static void list_all(char *names[NAMES_MAX])
{
    struct store_options o = s3fix_options(bucket);
    CLEANUP_STORE struct store *s = NULL;
    char **end = names;
    struct error err;

    memset(names, 0, NAMES_MAX * sizeof(*names));
    assert_int_equal(store_open(&o, &s, &err), RC_OK);
    assert_int_equal(store_list(s, "", keep_name, &end, &err), RC_OK);
    assert_true(end > names && end - names < NAMES_MAX);
}

static void free_all(char *names[NAMES_MAX])
{
    for (size_t i = 0; names[i]; i++)
        free(names[i]);
}

static moment_us lock_of(const char *name)
{
    char text[64];
    struct error err;
    moment_us until;

    foreign_header(bucket, name, "x-amz-object-lock-retain-until-date", text, sizeof(text));
    if (!text[0])
        return 0;
    assert_int_equal(moment_parse(text, &until, &err), RC_OK);
    return until;
}

static bool is_under(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

/* A segment that the backup needs. */
static bool is_needed_wal(const char *name, const struct taken *t)
{
    const char *file = name_base(name);

    return is_under(name, "/wal/") && strlen(file) == 24 && strcmp(file, t->first_wal) >= 0 &&
           strcmp(file, t->last_wal) <= 0;
}

static void assert_locked(const char *name, moment_us from, moment_us to)
{
    moment_us until = lock_of(name);
    char a[MOMENT_TEXT_MAX], b[MOMENT_TEXT_MAX], c[MOMENT_TEXT_MAX];

    if (until < from || until > to + SECOND) /* whole seconds, rounded up */
        fail_msg("%s is locked until %s instead of %s to %s", name,
                 until ? moment_text(until, a) : "never", moment_text(from, b), moment_text(to, c));
}

/* ---- locks ---- */

/* Each name's lock, by what it is; how many needed segments there were. */
static unsigned check_locks(char *names[NAMES_MAX], const struct taken *t)
{
    unsigned segments = 0;

    for (size_t i = 0; names[i]; i++) {
        if (is_needed_wal(names[i], t)) {
            assert_locked(names[i], t->locked_until, t->locked_until);
            segments++;
        } else if (is_under(names[i], "/wal/") && strcmp(name_base(names[i]), t->first_wal) < 0) {
            assert_locked(names[i], clock_now() + 3 * DAY - 600 * SECOND, clock_now() + 3 * DAY);
        } else if (!is_under(names[i], "/wal/")) {
            assert_locked(names[i], t->locked_until, t->locked_until);
        }
    }
    return segments;
}

static const char lock_lines[] = "object-lock = governance\n";
static const char keep_lines[] = "[wal]\nkeep = 3d\n[tier:weekly]\nkeep = 20d\n";

static void a_backup_is_locked_with_all_that_it_needs(void **state)
{
    char *names[NAMES_MAX];

    (void)state;
    configure(S3FIX_LOCK, lock_lines, keep_lines);
    archive_all();
    struct taken t = back_up("--tier=weekly");
    assert_int_equal(t.locked_until, t.start + 20 * DAY);
    list_all(names);
    assert_true(check_locks(names, &t) > 0);
    free_all(names);
}

static void later_backups_make_locks_longer(void **state)
{
    char *names[NAMES_MAX];
    unsigned own = 0;

    (void)state;
    configure(S3FIX_LOCK, lock_lines, keep_lines);
    struct taken none = back_up("--label=no tier"); /* as a daily one */
    assert_int_equal(none.locked_until, none.start + 7 * DAY);
    assert_locked("repository.json", none.locked_until, none.locked_until);
    struct taken weekly = back_up("--tier=weekly");
    assert_locked("repository.json", weekly.locked_until, weekly.locked_until);
    struct taken daily = back_up("--tier=daily");
    assert_locked("repository.json", weekly.locked_until, weekly.locked_until); /* not shorter */
    list_all(names);
    for (size_t i = 0; names[i]; i++) {
        if (!is_under(names[i], "/backups/") || !is_under(names[i], none.id))
            continue;
        assert_locked(names[i], none.locked_until, none.locked_until);
        own++;
    }
    assert_int_equal(own, 3);
    for (size_t i = 0; names[i]; i++)
        if (is_under(names[i], "/backups/") && is_under(names[i], daily.id))
            assert_locked(names[i], daily.locked_until, daily.locked_until);
    free_all(names);
}

static void histories_are_locked_the_longest(void **state)
{
    const char *path = pgfix_path(pg, "00000002.history");
    static const char text[] = "1\t0/3000000\tno recovery target\n";
    char *names[NAMES_MAX];
    unsigned found = 0;
    struct error err;

    (void)state;
    configure(S3FIX_LOCK, lock_lines, keep_lines);
    assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), RC_OK);
    pgfix_give(pg, path);
    CLEANUP_FREE char *data = str_printf("--cluster-data-directory=%s", pgfix_data(pg));
    struct pgfix_run r = pgfix_tool(pg, "pgproof-wal-push", data, path, NULL);
    pgfix_expect(&r, 0);
    archive_all();
    list_all(names);
    for (size_t i = 0; names[i]; i++)
        if (str_ends(names[i], ".history")) {
            assert_locked(names[i], clock_now() + 365 * DAY - 600 * SECOND,
                          clock_now() + 365 * DAY);
            found++;
        }
    assert_int_equal(found, 1);
    free_all(names);
}

static void a_proof_is_locked_as_its_backup(void **state)
{
    char *names[NAMES_MAX];
    unsigned found = 0;

    (void)state;
    configure(S3FIX_LOCK, lock_lines, keep_lines);
    struct taken t = back_up("--tier=weekly");
    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 0);
    list_all(names);
    for (size_t i = 0; names[i]; i++) {
        assert_false(is_under(names[i], "/leases/"));
        if (!is_under(names[i], "/proofs/"))
            continue;
        assert_locked(names[i], t.locked_until, t.locked_until);
        found++;
    }
    assert_int_equal(found, 1);
    free_all(names);
}

static void a_bucket_without_locks_takes_no_locked_backup(void **state)
{
    (void)state;
    configure(S3FIX_PLAIN, "", "");
    archive_all();
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-backup", "--repository-object-lock=governance", NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "object lock");
    r = pgfix_tool(pg, "pgproof", "info", NULL);
    assert_null(strstr(r.out, "weekly"));
}

/* ---- classes ---- */

static const char class_lines[] = "[tier:weekly]\nkeep = 20d\nstorage-class = %s\n";

static void data_goes_into_the_tiers_class(void **state)
{
    const char *class = s3fix_is("minio") ? "REDUCED_REDUNDANCY" : "STANDARD";
    CLEANUP_FREE char *extra = str_printf(class_lines, class);
    char *names[NAMES_MAX], found[64];
    unsigned packs = 0;

    (void)state;
    configure(S3FIX_PLAIN, "", extra);
    struct taken t = back_up("--tier=weekly");
    assert_int_equal(t.locked_until, 0);
    list_all(names);
    for (size_t i = 0; names[i]; i++) {
        bool data = is_under(names[i], "/packs/");

        foreign_header(bucket, names[i], "x-amz-storage-class", found, sizeof(found));
        if (!s3fix_is("minio")) /* it tells the usual one of every object, or of none */
            assert_true(!found[0] || str_eq(found, class));
        else
            assert_string_equal(found, data ? class : "");
        packs += data;
    }
    assert_true(packs > 0);
    free_all(names);
}

static void an_unknown_class_fails_the_backup(void **state)
{
    CLEANUP_FREE char *extra = str_printf(class_lines, "CHEAP_AND_BRITTLE");

    (void)state;
    configure(S3FIX_PLAIN, "", extra);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-backup", "--tier=weekly", NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "storage-class");
    struct taken t = back_up("--tier=daily"); /* nothing is in its way */
    assert_true(t.id[0]);
}

static void a_dry_run_tells(void **state)
{
    CLEANUP_FREE char *extra = str_printf(class_lines, "STANDARD");

    (void)state;
    configure(S3FIX_LOCK, lock_lines, extra);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-backup", "--tier=weekly", "--dry-run", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "would be locked until about");
    pgfix_expect_text(&r, "storage class STANDARD");
    r = pgfix_tool(pg, "pgproof-backup", "--repository-object-lock=off", "--dry-run", NULL);
    pgfix_expect(&r, 0);
    assert_null(strstr(r.out, "locked"));
    assert_null(strstr(r.out, "class"));
}

/* ---- restores ---- */

/* From the newest backup with all WAL there is; extra may be NULL. */
static const char *restore(const char *extra)
{
    const char *place = pgfix_path(pg, "restored-%u", serial++);
    CLEANUP_FREE char *to = str_printf("--to=%s", place);
    CLEANUP_FREE char *root = str_printf("--tablespace-root=%s-tablespaces", place);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-restore", to, root, extra, NULL);

    pgfix_expect(&r, 0);
    return place;
}

static void assert_content(const char *place, const char *fingerprint)
{
    struct pgfix *copy = pgfix_adopt(pg, place);
    struct error err;

    pgfix_start(copy);
    pgfix_wait_promoted(copy);
    pgfix_compare_fingerprint(fingerprint, copy);
    pgfix_free(copy);
    assert_int_equal(file_remove_tree(place, &err), RC_OK);
}

/* ---- encryption ---- */

static void assert_all_encrypted(const char *header, const char *value)
{
    char *names[NAMES_MAX], found[64];

    list_all(names);
    for (size_t i = 0; names[i]; i++) {
        foreign_header(bucket, names[i], header, found, sizeof(found));
        assert_string_equal(found, value);
    }
    free_all(names);
}

static void back_up_and_restore(void)
{
    struct taken t = back_up(NULL);

    assert_true(t.id[0]);
    pgfix_change_story(pg, ++serial);
    archive_all();
    assert_content(restore(NULL), pgfix_fingerprint(pg));
}

static void with_keys_of_the_server(void **state)
{
    (void)state;
    configure(S3FIX_PLAIN, "sse = s3\n", "");
    back_up_and_restore();
    assert_all_encrypted("x-amz-server-side-encryption", "AES256");
}

static void with_keys_of_a_kms(void **state)
{
    (void)state;
    configure(S3FIX_PLAIN, "sse = kms\nsse-kms-key-id = pgproof-test\n", "");
    back_up_and_restore();
    assert_all_encrypted("x-amz-server-side-encryption", "aws:kms");
}

static void write_key(const char *path, const char *key)
{
    struct error err;

    assert_int_equal(file_replace(path, key, 32, 0600, &err), RC_OK);
    pgfix_give(pg, path);
}

static void with_a_key_of_ours(void **state)
{
    const char *path = pgfix_path(pg, "sse.key"), *other = pgfix_path(pg, "other.key");
    CLEANUP_FREE char *lines = str_printf("sse = c\nsse-c-key-file = %s\n", path);
    CLEANUP_FREE char *wrong = str_printf("--repository-sse-c-key-file=%s", other);
    char *names[NAMES_MAX];

    (void)state;
    write_key(path, "0123456789abcdef0123456789abcdef");
    write_key(other, "fedcba9876543210fedcba9876543210");
    configure(S3FIX_PLAIN, lines, "");
    back_up_and_restore();
    list_all(names);
    for (size_t i = 0; names[i]; i++)
        assert_int_equal(foreign_get(bucket, names[i], NULL), 400);
    free_all(names);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "info", wrong, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "sse-c-key-file");
    r = pgfix_tool(pg, "pgproof", "info", "--repository-sse=none", NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "sse-c-key-file");
}

/* ---- an earlier moment ---- */

/* All that is shown is deleted, as by somebody with the writer's keys and no more; and what would
 * make the repository another one is put in its place. */
static void attack(void)
{
    char *names[NAMES_MAX];

    list_all(names);
    for (size_t i = 0; names[i]; i++)
        foreign_delete(bucket, names[i]);
    free_all(names);
    foreign_put(bucket, "repository.json", "{\"ransom\": \"pay\"}");
}

static void refuses(const char *tool, const char *argument, const char *as_of)
{
    struct pgfix_run r =
        argument ? pgfix_tool(pg, tool, argument, as_of, NULL) : pgfix_tool(pg, tool, as_of, NULL);

    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "read as it was at");
    pgfix_expect_text(&r, "would have to write");
}

static void what_was_deleted_is_restored(void **state)
{
    char moment[MOMENT_TEXT_MAX];

    (void)state;
    configure(S3FIX_VERSIONED, "", "");
    struct taken t = back_up("--tier=daily");
    pgfix_change_story(pg, ++serial);
    archive_all();
    const char *before = pgfix_fingerprint(pg);
    pgfix_configure_archiving(pg, "");
    clock_sleep_ms(2100); /* Last-Modified may be in whole seconds */
    CLEANUP_FREE char *as_of =
        str_printf("--repository-as-of=%s", moment_text(clock_now(), moment));
    clock_sleep_ms(2100);
    attack();

    struct pgfix_run r = pgfix_tool(pg, "pgproof", "info", NULL);
    assert_int_not_equal(r.code, 0);
    assert_null(strstr(r.out, t.id));
    r = pgfix_tool(pg, "pgproof", "info", as_of, NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, t.id);

    refuses("pgproof-backup", NULL, as_of);
    refuses("pgproof-backup", "--dry-run", as_of);
    refuses("pgproof-verify", "drill", as_of);
    refuses("pgproof", "init", as_of);
    refuses("pgproof", "check", as_of);
    CLEANUP_FREE char *wal = str_printf("%s/pg_wal/%s", pgfix_data(pg), t.last_wal);
    refuses("pgproof-wal-push", wal, as_of);
    assert_content(restore(as_of), before); /* WAL as well: restore_command looks there, too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_is_locked_with_all_that_it_needs),
        cmocka_unit_test(later_backups_make_locks_longer),
        cmocka_unit_test(histories_are_locked_the_longest),
        cmocka_unit_test(a_proof_is_locked_as_its_backup),
        cmocka_unit_test(a_bucket_without_locks_takes_no_locked_backup),
        cmocka_unit_test(data_goes_into_the_tiers_class),
        cmocka_unit_test(an_unknown_class_fails_the_backup),
        cmocka_unit_test(a_dry_run_tells),
        cmocka_unit_test(what_was_deleted_is_restored),
    };
    const struct CMUnitTest on_minio[] = {
        cmocka_unit_test(with_keys_of_the_server),
        cmocka_unit_test(with_keys_of_a_kms),
    };
    const struct CMUnitTest on_radosgw[] = {
        cmocka_unit_test(with_a_key_of_ours), /* MinIO wants TLS for that */
    };
    const struct CMUnitTest on_s3rver[] = {
        cmocka_unit_test(a_bucket_without_locks_takes_no_locked_backup),
    };
    const char *kind = s3fix_setting_or("KIND");
    int failed;

    if (str_eq(kind, "s3rver")) /* it has none of all this */
        return cmocka_run_group_tests(on_s3rver, begin, pgfix_free_all);
    failed = cmocka_run_group_tests(tests, begin, pgfix_free_all);
    failed += str_eq(kind, "minio") ? cmocka_run_group_tests(on_minio, begin, pgfix_free_all)
                                    : cmocka_run_group_tests(on_radosgw, begin, pgfix_free_all);
    return failed;
}
