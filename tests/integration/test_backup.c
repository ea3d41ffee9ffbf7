/* pgproof-backup against a real server: what it stores is the cluster, and what it refuses. */
#include "backup/start_stop.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/control.h"
#include "repo/backup.h"
#include "repo/document.h"
#include "support/pg_fixture.h"
#include "support/stored_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SETTINGS "[backup]\njobs = 2\ncompress-level = 1\n[wal]\narchive-timeout = 30s\n"
#define FILE_MAX (256u << 20)

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

/* A server whose WAL goes into the repository and, as it is, into <dir>/wal. */
static struct pgfix *server_with_repository(const struct pgfix_options *o)
{
    struct pgfix *f = pgfix_new(o);
    pgfix_start(f);
    const char *conf = pgfix_write_config(f, SETTINGS);
    struct pgfix_run r = pgfix_tool(f, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    const char *plain = pgfix_make_dir(f, "wal");
    CLEANUP_FREE char *command =
        str_printf("'%s/pgproof-wal-push' --config='%s' '%%p' && cp '%%p' '%s/%%f'", pgfix_bin(f),
                   conf, plain);
    pgfix_configure_archiving(f, command);
    return f;
}

static struct repo *open_repository(struct pgfix *f)
{
    struct error err;
    struct store *s = NULL;
    struct repo *r = NULL;
    const struct store_options o = {.type = STORE_POSIX, .path = pgfix_repository(f)};
    must(store_open(&o, &s, &err), &err);
    must(repo_open(s, &r, &err), &err);
    return r;
}

static struct catalog *load_catalog(struct repo *r)
{
    struct error err;
    struct catalog *c = NULL;
    must(catalog_load(r, "main", &c, &err), &err);
    return c;
}

static size_t count_backups(struct pgfix *f)
{
    struct repo *r = open_repository(f);
    struct catalog *c = load_catalog(r);
    size_t n = c->count;
    catalog_free(c);
    repo_close(r);
    return n;
}

static enum rc count_one(void *ctx, const char *name, const struct store_info *info,
                         struct error *err)
{
    (void)name;
    (void)info;
    (void)err;
    ++*(size_t *)ctx;
    return RC_OK;
}

static size_t count_objects(struct pgfix *f, const char *prefix)
{
    struct repo *r = open_repository(f);
    struct error err;
    size_t n = 0;
    must(store_list(r->store, prefix, count_one, &n, &err), &err);
    repo_close(r);
    return n;
}

/* The newest backup, opened. */
struct opened {
    struct repo *repo;
    struct catalog *catalog;
    const struct backup_info *info;
    struct manifest *manifest;
    struct stored_files *files;
};

static struct opened open_newest(struct pgfix *f)
{
    struct opened o = {.repo = open_repository(f)};
    struct error err;
    o.catalog = load_catalog(o.repo);
    assert_true(o.catalog->count > 0);
    o.info = o.catalog->entries[o.catalog->count - 1].info;
    assert_non_null(o.info);
    must(backup_load_manifest(o.repo, "main", o.info, &o.manifest, &err), &err);
    must(backup_check_packs(o.repo, "main", o.manifest, &err), &err);
    o.files = stored_files_open(o.repo, "main", o.manifest);
    return o;
}

static void close_opened(struct opened *o)
{
    stored_files_close(o->files);
    manifest_free(o->manifest);
    catalog_free(o->catalog);
    repo_close(o->repo);
}

static void write_file(const char *path, const struct buf *b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct error err;
    assert_true(fd >= 0);
    must(file_write_all(fd, b->data, b->len, path, &err), &err);
    assert_int_equal(close(fd), 0);
}

/* A data directory from the backup, tablespaces below `spaces`. tablespace_map is left out: it
 * would bring the links of the original back. */
static void unpack(const struct opened *o, const char *to, const char *spaces)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT(FILE_MAX);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_int_equal(mkdir(spaces, 0700), 0);
    for (size_t i = 0; i < o->manifest->file_count; i++) {
        const struct manifest_file *m = &o->manifest->files[i];
        CLEANUP_FREE char *path = path_join(to, m->path);
        if (m->kind == FILE_DIRECTORY) {
            assert_int_equal(mkdir(path, 0700), 0);
        } else if (m->kind == FILE_TABLESPACE_LINK) {
            CLEANUP_FREE char *space = path_join(spaces, strrchr(m->path, '/') + 1);
            assert_int_equal(mkdir(space, 0700), 0);
            assert_int_equal(symlink(space, path), 0);
        } else if (!str_eq(m->path, "tablespace_map")) {
            stored_file_read(o->files, m, &bytes);
            write_file(path, &bytes);
        }
    }
}

static void append(const char *dir, const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(dir, name);
    FILE *out = fopen(path, "a");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

/* Unpack the newest backup and let PostgreSQL replay all archived WAL over it. */
static struct pgfix *restore_newest(struct pgfix *f)
{
    const char *to = pgfix_path(f, "restored"), *spaces = pgfix_path(f, "restored_spaces");
    struct opened o = open_newest(f);
    unpack(&o, to, spaces);
    close_opened(&o);
    CLEANUP_FREE char *settings = str_printf("restore_command = 'cp \"%s/%%f\" \"%%p\"'\n"
                                             "archive_mode = off\n",
                                             pgfix_path(f, "wal"));
    append(to, "postgresql.auto.conf", settings);
    append(to, "recovery.signal", "");
    pgfix_give(f, to);
    pgfix_give(f, spaces);
    struct pgfix *copy = pgfix_adopt(f, to);
    pgfix_start(copy);
    pgfix_wait_promoted(copy);
    return copy;
}

static struct pgfix_run backup(struct pgfix *f, int code)
{
    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", NULL);
    pgfix_expect(&r, code);
    return r;
}

/* ---- the main job ---- */

static void test_a_backup_under_load_recovers(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_load_story(f, 1);
    pgfix_sql(f, "CREATE DATABASE second");
    pgfix_pgbench_init(f, 5);
    pgfix_pgbench_begin(f, 2, 200);
    struct pgfix_run r =
        pgfix_tool(f, "pgproof-backup", "--tier=weekly", "--label=first one", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "all checksums are good");
    pgfix_expect_text(&r, "drill");
    pgfix_change_story(f, 1);
    pgfix_pgbench_stop(f);
    const char *expected = pgfix_fingerprint(f);
    pgfix_wait_archived(f, pgfix_switch_wal(f));

    struct pgfix *copy = restore_newest(f);
    pgfix_compare_fingerprint(expected, copy);
    pgfix_free(copy);

    struct opened o = open_newest(f);
    assert_string_equal(o.info->tier, "weekly");
    assert_string_equal(o.info->label, "first one");
    assert_string_equal(o.info->type, "full");
    assert_true(o.info->data_checksums);
    assert_int_equal(o.info->corrupt_pages, 0);
    assert_true(o.info->start_lsn < o.info->stop_lsn);
    assert_true(o.info->checkpoint_lsn >= o.info->start_lsn);
    assert_int_equal(o.info->timeline, 1);
    assert_true(o.info->stop_time > o.info->start_time);
    assert_int_equal(o.info->tablespace_count, 1);
    assert_string_equal(o.info->tablespaces[0].location, pgfix_path(f, "tablespace"));
    close_opened(&o);
    pgfix_free(f);
}

/* ---- an idle server: byte for byte ---- */

static void make_odd_files(struct pgfix *f)
{
    static const char *const names[] = {"a b\n\\=\xff", "-x"};
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_FREE char *path = path_join(pgfix_data(f), names[i]);
        CLEANUP_BUF struct buf text = BUF_INIT(16);
        struct error err;
        must(buf_append(&text, "odd", 3, &err), &err);
        write_file(path, &text);
        pgfix_give(f, path);
    }
    append(pgfix_data(f), "backup_label.old", "old");
    append(pgfix_data(f), "current_logfiles.tmp", "x");
}

/* Files that no one wrote since they were listed must be the same, byte for byte. */
static size_t compare_with_live_files(const struct opened *o, const char *data)
{
    size_t compared = 0;
    CLEANUP_BUF struct buf live = BUF_INIT(FILE_MAX), stored = BUF_INIT(FILE_MAX);
    for (size_t i = 0; i < o->manifest->file_count; i++) {
        const struct manifest_file *m = &o->manifest->files[i];
        CLEANUP_FREE char *path = path_join(data, m->path);
        struct stat st;
        struct error err;
        if (m->kind != FILE_REGULAR || m->mtime_ns == 0 || stat(path, &st) != 0 ||
            (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != m->mtime_ns)
            continue;
        buf_clear(&live);
        must(file_read(path, &live, &err), &err);
        stored_file_read(o->files, m, &stored);
        assert_int_equal(live.len, stored.len);
        if (live.len > 0)
            assert_memory_equal(live.data, stored.data, live.len);
        compared++;
    }
    return compared;
}

static void assert_stored(const struct opened *o, const char *path, bool yes)
{
    if ((manifest_find(o->manifest, path) != NULL) != yes)
        fail_msg("%s is %sin the backup", path, yes ? "not " : "");
}

static void assert_label_files(const struct opened *o, const char *location)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1u << 20);
    struct error err;
    const char *s;
    stored_file_read(o->files, manifest_find(o->manifest, "backup_label"), &text);
    must(buf_cstr(&text, &s, &err), &err);
    assert_true(str_starts(s, "START WAL LOCATION: "));
    assert_non_null(strstr(s, "\nLABEL: pgproof 2"));
    stored_file_read(o->files, manifest_find(o->manifest, "tablespace_map"), &text);
    must(buf_cstr(&text, &s, &err), &err);
    assert_non_null(strstr(s, location));
    struct control control;
    stored_file_read(o->files, manifest_find(o->manifest, "global/pg_control"), &text);
    must(control_parse(text.data, text.len, &control, &err), &err);
    assert_int_equal(control.system_identifier, o->info->system_identifier);
}

static void assert_settings(const struct opened *o)
{
    size_t found = 0;
    for (size_t i = 0; i < o->info->setting_count; i++)
        found += str_eq(o->info->settings[i].name, "max_connections") ||
                 str_eq(o->info->settings[i].name, "wal_level") ||
                 str_eq(o->info->settings[i].name, "shared_preload_libraries");
    assert_int_equal(found, 3);
}

/* Rows in the document for one table; -1: it isn't there. */
static json_int_t noted_rows(const json_t *document, const char *database, const char *table)
{
    size_t i, k;
    json_t *d, *t;
    json_array_foreach(json_object_get(document, "databases"), i, d)
    {
        if (!str_eq(json_string_value(json_object_get(d, "name")), database))
            continue;
        json_array_foreach(json_object_get(d, "tables"), k, t)
        {
            if (str_eq(json_string_value(json_object_get(t, "name")), table))
                return json_integer_value(json_object_get(t, "rows"));
        }
    }
    return -1;
}

static json_t *load_row_counts(const struct opened *o)
{
    json_t *document = NULL;
    struct error err;
    assert_true(o->info->witness[0]);
    must(document_get(o->repo->store, o->info->witness, "row-counts", 1, &document, NULL, &err),
         &err);
    assert_string_equal(json_string_value(json_object_get(document, "backup_id")), o->info->id);
    return document;
}

static void test_an_idle_server_byte_for_byte(void **state)
{
    (void)state;
    static const char *const settings[] = {"autovacuum = off", NULL};
    struct pgfix *f = server_with_repository(&(struct pgfix_options){.settings = settings});
    pgfix_load_story(f, 1);
    make_odd_files(f);
    pgfix_sql(f, "CREATE UNLOGGED TABLE public.u AS SELECT generate_series(1, 10000) AS x");
    pgfix_sql(f, "CREATE TEMPORARY TABLE t AS SELECT generate_series(1, 10000) AS x");
    pgfix_sql(f, "CREATE TABLE public.\"odd \"\" name\" (x int)");
    pgfix_sql(f, "INSERT INTO public.\"odd \"\" name\" VALUES (1), (2)");
    pgfix_sql(f, "CHECKPOINT");
    const char *unlogged = pgfix_value(f, "SELECT pg_relation_filepath('public.u')");
    const char *temporary = pgfix_value(f, "SELECT pg_relation_filepath('pg_temp.t')");
    const int64_t orders = pgfix_number(f, "SELECT count(*) FROM shop.orders");
    backup(f, 0);

    struct opened o = open_newest(f);
    CLEANUP_FREE char *init = str_printf("%s_init", unlogged);
    assert_stored(&o, init, true);
    assert_stored(&o, unlogged, false);
    assert_stored(&o, temporary, false);
    assert_stored(&o, "postmaster.pid", false);
    assert_stored(&o, "backup_label.old", true);
    assert_stored(&o, "current_logfiles.tmp", false);
    assert_stored(&o, "a b\n\\=\xff", true);
    assert_stored(&o, "-x", true);
    assert_stored(&o, "pg_wal/archive_status", true);
    assert_true(compare_with_live_files(&o, pgfix_data(f)) > 900);
    assert_label_files(&o, pgfix_path(f, "tablespace"));
    assert_settings(&o);
    json_t *document = load_row_counts(&o);
    assert_true(json_is_true(json_object_get(document, "exact")));
    assert_int_equal(noted_rows(document, "postgres", "orders"), orders);
    assert_int_equal(noted_rows(document, "postgres", "odd \" name"), 2);
    assert_int_equal(noted_rows(document, "postgres", "u"), -1);
    assert_int_equal(noted_rows(document, "postgres", "t"), -1);
    assert_int_equal(json_array_size(json_object_get(document, "not_counted")), 0);
    json_decref(document);
    char first[BACKUP_ID_SIZE];
    strcpy(first, o.info->id);
    assert_string_equal(o.info->previous_id, "");
    close_opened(&o);

    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", "--json", "--paranoid", NULL);
    pgfix_expect(&r, 0);
    json_t *report = json_loads(r.out, 0, NULL);
    assert_non_null(report);
    o = open_newest(f);
    assert_string_equal(o.info->previous_id, first);
    assert_string_equal(json_string_value(json_object_get(report, "backup_id")), o.info->id);
    assert_int_equal(json_integer_value(json_object_get(report, "pages_damaged")), 0);
    json_decref(report);
    close_opened(&o);
    assert_int_equal(count_objects(f, "clusters/main/leases/"), 0);
    pgfix_free(f);
}

static void test_a_locked_table_is_named_as_not_counted(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_sql(f, "CREATE TABLE public.free AS SELECT 1 AS x");
    pgfix_sql(f, "CREATE TABLE public.locked AS SELECT 1 AS x");
    pgfix_sql(f, "BEGIN");
    pgfix_sql(f, "LOCK TABLE public.locked");
    struct pgfix_run r = backup(f, 0);
    pgfix_sql(f, "ROLLBACK");
    pgfix_expect_text(&r, "not counted");
    struct opened o = open_newest(f);
    json_t *document = load_row_counts(&o);
    const json_t *missed = json_object_get(document, "not_counted");
    assert_int_equal(json_array_size(missed), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(missed, 0), "name")),
                        "locked");
    assert_int_equal(noted_rows(document, "postgres", "locked"), -1);
    assert_int_equal(noted_rows(document, "postgres", "free"), 1);
    json_decref(document);
    close_opened(&o);
    pgfix_free(f);
}

static void test_open_transactions_make_row_counts_inexact(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_sql(f, "CREATE TABLE public.busy (x int)");
    pgfix_sql(f, "BEGIN");
    pgfix_sql(f, "INSERT INTO public.busy VALUES (1)");
    struct pgfix_run r = backup(f, 0);
    pgfix_expect_text(&r, "not exact");
    pgfix_sql(f, "COMMIT");
    struct opened o = open_newest(f);
    json_t *document = load_row_counts(&o);
    assert_true(json_is_false(json_object_get(document, "exact")));
    assert_int_equal(noted_rows(document, "postgres", "busy"), 0);
    json_decref(document);
    close_opened(&o);

    r = pgfix_tool(f, "pgproof-backup", "--no-row-counts", NULL);
    pgfix_expect(&r, 0);
    o = open_newest(f);
    assert_string_equal(o.info->witness, "");
    close_opened(&o);
    pgfix_free(f);
}

static void test_config_files_outside_the_data_directory(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    const char *etc = pgfix_make_dir(f, "etc");
    CLEANUP_FREE char *hba = path_join(etc, "pg_hba.conf");
    CLEANUP_FREE char *extra = path_join(etc, "extra.conf");
    append(etc, "pg_hba.conf", "local all all trust\n");
    append(etc, "extra.conf", "work_mem = 5MB\n");
    pgfix_give(f, etc);
    pgfix_configure(f, "hba_file = '%s'\ninclude = '%s'", hba, extra);
    pgfix_restart(f);
    backup(f, 0);
    struct opened o = open_newest(f);
    assert_int_equal(o.info->config_file_count, 2);
    assert_string_equal(o.info->config_files[0].role, "hba_file");
    assert_string_equal(o.info->config_files[0].path, hba);
    assert_string_equal(o.info->config_files[0].text, "local all all trust\n");
    assert_string_equal(o.info->config_files[1].role, "include");
    assert_string_equal(o.info->config_files[1].text, "work_mem = 5MB\n");
    close_opened(&o);
    pgfix_free(f);
}

/* ---- damage ---- */

static void test_a_damaged_page_is_named_and_the_backup_kept(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_sql(f, "CREATE TABLE public.victim AS SELECT generate_series(1, 100000) AS x");
    const char *path = pgfix_value(f, "SELECT pg_relation_filepath('public.victim')");
    pgfix_stop(f, PGFIX_FAST);
    CLEANUP_FREE char *file = path_join(pgfix_data(f), path);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "damage", 6, 7 * 8192 + 5000), 6);
    assert_int_equal(close(fd), 0);
    pgfix_start(f);
    struct pgfix_run r = backup(f, 2);
    pgfix_expect_text(&r, path);
    pgfix_expect_text(&r, "block 7");
    pgfix_expect_text(&r, "1 DAMAGED");

    struct opened o = open_newest(f);
    const struct manifest_file *m = manifest_find(o.manifest, path);
    assert_int_equal(o.info->corrupt_pages, 1);
    assert_int_equal(m->pages, PAGES_BAD);
    assert_int_equal(m->bad_block_count, 1);
    assert_int_equal(m->bad_blocks[0], 7);
    close_opened(&o);
    pgfix_free(f);
}

static void test_without_checksums_nothing_is_called_good(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(&(struct pgfix_options){.no_checksums = true});
    struct pgfix_run r = backup(f, 0);
    pgfix_expect_text(&r, "not checked");
    struct opened o = open_newest(f);
    assert_false(o.info->data_checksums);
    for (size_t i = 0; i < o.manifest->file_count; i++)
        assert_int_equal(o.manifest->files[i].pages, PAGES_NOT_CHECKED);
    close_opened(&o);
    pgfix_free(f);
}

/* ---- refusals ---- */

static void expect_refusal(struct pgfix *f, int code, const char *text)
{
    struct pgfix_run r = backup(f, code);
    pgfix_expect_text(&r, text);
    assert_int_equal(count_backups(f), 0);
    assert_int_equal(count_objects(f, "clusters/main/packs/"), 0);
    assert_int_equal(count_objects(f, "clusters/main/leases/"), 0);
}

static void test_refuses_unfit_servers(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_configure(f, "full_page_writes = off");
    pgfix_reload(f);
    while (!str_eq(pgfix_value(f, "SHOW full_page_writes"), "off"))
        usleep(10000);
    expect_refusal(f, 1, "full_page_writes is off");
    pgfix_configure(f, "full_page_writes = on\narchive_mode = off");
    pgfix_restart(f);
    expect_refusal(f, 1, "archive_mode is off");
    pgfix_configure(f, "wal_level = minimal\nmax_wal_senders = 0");
    pgfix_restart(f);
    expect_refusal(f, 1, "wal_level is minimal");
    pgfix_free(f);
}

static void test_refuses_another_cluster(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL), *other = pgfix_new(NULL);
    pgfix_start(other);
    CLEANUP_FREE char *data = str_printf("--cluster-data-directory=%s", pgfix_data(other));
    CLEANUP_FREE char *connection = str_printf("--cluster-connection=%s", pgfix_conninfo(other));
    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", data, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "not the one that the server runs on");
    r = pgfix_tool(f, "pgproof-backup", data, connection, NULL);
    assert_int_not_equal(r.code, 0);
    pgfix_expect_text(&r, "another cluster");
    assert_int_equal(count_objects(f, "clusters/main/packs/"), 0);
    pgfix_free(other);
    pgfix_free(f);
}

static void test_refuses_a_standby(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL), *standby = pgfix_standby(f);
    CLEANUP_FREE char *data = str_printf("--cluster-data-directory=%s", pgfix_data(standby));
    CLEANUP_FREE char *connection = str_printf("--cluster-connection=%s", pgfix_conninfo(standby));
    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", data, connection, NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "standby");
    pgfix_free(standby);
    pgfix_free(f);
}

static void test_wrong_usage(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    static const char *const wrong[][2] = {
        {"--tier=weakly", "weekly"},
        {"--type=incr", "only full"},
        {"--checkpoint=slow", "spread"},
        {"--label=two\nlines", "one line"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pgfix_run r = pgfix_tool(f, "pgproof-backup", wrong[i][0], NULL);
        pgfix_expect(&r, 3);
        pgfix_expect_text(&r, wrong[i][1]);
    }
    pgfix_free(f);
}

static void test_broken_archiving_fails_before_copying(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_configure_archiving(f, "false");
    double began = clock_monotonic();
    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", "--wal-archive-timeout=4s", NULL);
    pgfix_expect(&r, 1);
    assert_true(clock_monotonic() - began < 30);
    pgfix_expect_text(&r, "archiving does not work");
    pgfix_expect_text(&r, "archive_command has failed");
    assert_int_equal(count_objects(f, "clusters/main/packs/"), 0);
    assert_int_equal(count_backups(f), 0);
    pgfix_free(f);
}

static void test_a_question_without_answer_voids_nothing(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_tool_env(f, "PGPROOF_TEST_FAULT=head:4:fail"); /* the first that asks for a segment */
    struct pgfix_run r = pgfix_tool(f, "faulty/pgproof-backup", NULL);
    pgfix_expect(&r, 0);
    pgfix_tool_env(f, "PGPROOF_TEST_FAULT=head:3:fail"); /* any other is an error */
    r = pgfix_tool(f, "faulty/pgproof-backup", NULL);
    pgfix_expect(&r, 1);
    pgfix_free(f);
}

static void test_two_at_once(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_sql(f, "SELECT pg_advisory_lock(%d, %d)", BACKUP_LOCK_CLASS, BACKUP_LOCK_KEY);
    expect_refusal(f, 4, "another backup");
    pgfix_sql(f, "SELECT pg_advisory_unlock_all()");
    backup(f, 0);
    pgfix_free(f);
}

static void test_dry_run_writes_nothing(void **state)
{
    (void)state;
    struct pgfix *f = server_with_repository(NULL);
    pgfix_wait_archived(f, pgfix_switch_wal(f));
    size_t before = count_objects(f, "");
    const char *lsn = pgfix_value(f, "SELECT pg_current_wal_insert_lsn()");
    struct pgfix_run r = pgfix_tool(f, "pgproof-backup", "--dry-run", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "nothing was written");
    assert_int_equal(count_objects(f, ""), before);
    assert_string_equal(pgfix_value(f, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"),
                        pgfix_value(f, "SELECT pg_walfile_name('%s')", lsn));
    pgfix_free(f);
}

/* ---- ended half-way ---- */

/* Begin a backup and wait until its first pack is in the repository. */
static pid_t begin_backup(struct pgfix *f)
{
    CLEANUP_FREE char *tool = path_join(pgfix_bin(f), "pgproof-backup");
    const char *const argv[] = {tool, "--backup-jobs=1", "--backup-compress-level=15", NULL};
    pid_t pid = pgfix_tool_begin(f, argv, pgfix_path(f, "backup.out"));
    for (int i = 0; count_objects(f, "clusters/main/packs/") == 0; i++) {
        assert_true(i < 18000);
        usleep(10000);
    }
    return pid;
}

static struct pgfix *server_with_some_data(void)
{
    struct pgfix *f = server_with_repository(NULL);
    pgfix_sql(f, "CREATE TABLE public.big AS SELECT md5(i::text) || md5((i + 1)::text) AS x "
                 "FROM generate_series(1, 2000000) i");
    return f;
}

static void test_killed_half_way_then_again(void **state)
{
    (void)state;
    struct pgfix *f = server_with_some_data();
    pid_t pid = begin_backup(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(pgfix_tool_wait(f, pid), 128 + SIGKILL);
    assert_int_equal(count_backups(f), 0);
    assert_int_equal(count_objects(f, "clusters/main/backups/"), 0);
    for (int i = 0; i < 100; i++) { /* the server notices that its client is gone */
        struct pgfix_run r = pgfix_tool(f, "pgproof-backup", NULL);
        if (r.code != 4) {
            pgfix_expect(&r, 0);
            break;
        }
        usleep(100000);
    }
    assert_int_equal(count_backups(f), 1);
    struct opened o = open_newest(f);
    assert_true(compare_with_live_files(&o, pgfix_data(f)) > 500);
    close_opened(&o);
    pgfix_free(f);
}

static void test_a_signal_ends_it_cleanly(void **state)
{
    (void)state;
    struct pgfix *f = server_with_some_data();
    pid_t pid = begin_backup(f);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(pgfix_tool_wait(f, pid), 128 + SIGTERM);
    assert_int_equal(count_objects(f, "clusters/main/backups/"), 0);
    assert_int_equal(count_objects(f, "clusters/main/leases/"), 0);
    pgfix_free(f);
}

static void test_a_lost_session_voids_the_backup(void **state)
{
    (void)state;
    struct pgfix *f = server_with_some_data();
    pid_t pid = begin_backup(f);
    assert_int_equal(pgfix_number(f,
                                  "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                  "WHERE application_name = 'pgproof-backup'"),
                     1);
    assert_int_equal(pgfix_tool_wait(f, pid), 1);
    assert_int_equal(count_objects(f, "clusters/main/backups/"), 0);
    backup(f, 0);
    pgfix_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backup_under_load_recovers),
        cmocka_unit_test(test_an_idle_server_byte_for_byte),
        cmocka_unit_test(test_a_locked_table_is_named_as_not_counted),
        cmocka_unit_test(test_open_transactions_make_row_counts_inexact),
        cmocka_unit_test(test_config_files_outside_the_data_directory),
        cmocka_unit_test(test_a_damaged_page_is_named_and_the_backup_kept),
        cmocka_unit_test(test_without_checksums_nothing_is_called_good),
        cmocka_unit_test(test_refuses_unfit_servers),
        cmocka_unit_test(test_refuses_another_cluster),
        cmocka_unit_test(test_refuses_a_standby),
        cmocka_unit_test(test_wrong_usage),
        cmocka_unit_test(test_broken_archiving_fails_before_copying),
        cmocka_unit_test(test_a_question_without_answer_voids_nothing),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_dry_run_writes_nothing),
        cmocka_unit_test(test_killed_half_way_then_again),
        cmocka_unit_test(test_a_signal_ends_it_cleanly),
        cmocka_unit_test(test_a_lost_session_voids_the_backup),
    };
    return cmocka_run_group_tests(tests, NULL, pgfix_free_all);
}
