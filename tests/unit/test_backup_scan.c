/* What a backup lists of a data directory, on directories made up for it. */
#include "backup/scan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define VERSION_DIR "PG_15_202209061"

struct fixture {
    char dir[256];
    char *data;
    struct manifest *m;
    struct scan_result result;
    struct error err;
    char warnings[4096];
};

static void keep_warnings(void *ctx, enum log_level level, const char *message)
{
    struct fixture *f = ctx;
    size_t len = strlen(f->warnings);
    if (level == LOG_LEVEL_WARNING)
        snprintf(f->warnings + len, sizeof f->warnings - len, "%s\n", message);
}

static void make_dir(struct fixture *f, const char *name)
{
    char *path = path_join(f->data, name);
    struct error err;
    if (file_make_dirs(path, 0700, &err) != RC_OK)
        fail_msg("%s: %s", path, err.what);
    free(path);
}

static void make_file(struct fixture *f, const char *name, const char *text)
{
    char *path = path_join(f->data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    free(path);
}

static void make_link(struct fixture *f, const char *target, const char *name)
{
    char *path = path_join(f->data, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/pgproof-scan-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->data = path_join(f->dir, "data");
    static const char *const dirs[] = {
        "base/1",    "base/5",      "global",       "pg_tblspc",   "pg_wal/archive_status",
        "pg_xact",   "pg_stat_tmp", "pg_stat",      "pg_replslot", "pg_dynshmem",
        "pg_notify", "pg_serial",   "pg_snapshots", "pg_subtrans",
    };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        make_dir(f, dirs[i]);
    make_file(f, "PG_VERSION", "15\n");
    make_file(f, "global/pg_control", "control");
    f->m = manifest_new();
    log_set_sink(keep_warnings, f, LOG_LEVEL_WARNING);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct error err;
    if (file_remove_tree(f->dir, &err) != RC_OK)
        print_error("%s: %s\n", f->dir, err.what);
    manifest_free(f->m);
    free(f->data);
    free(f);
    return 0;
}

static struct scan_options options_of(const struct fixture *f)
{
    return (struct scan_options){
        .data_directory = f->data, .pg_major = 15, .catalog_version = 202209061};
}

static enum rc scan(struct fixture *f)
{
    struct scan_options o = options_of(f);
    return scan_data_directory(&o, f->m, &f->result, &f->err);
}

static void scan_ok(struct fixture *f)
{
    if (scan(f) != RC_OK)
        fail_msg("%s (%s)", f->err.what, f->err.on);
}

static const struct manifest_file *find(const struct fixture *f, const char *path)
{
    for (size_t i = 0; i < f->m->file_count; i++)
        if (str_eq(f->m->files[i].path, path))
            return &f->m->files[i];
    return NULL;
}

static void assert_listed(const struct fixture *f, const char *path, enum file_kind kind)
{
    const struct manifest_file *m = find(f, path);
    if (!m)
        fail_msg("%s is not listed", path);
    else
        assert_int_equal(m->kind, kind);
}

static void assert_not_listed(const struct fixture *f, const char *path)
{
    if (find(f, path))
        fail_msg("%s is listed", path);
}

static void test_lists_files_with_their_facts(void **state)
{
    struct fixture *f = *state;
    make_file(f, "base/5/1259", "12345");
    scan_ok(f);
    const struct manifest_file *m = find(f, "base/5/1259");
    assert_non_null(m);
    assert_int_equal(m->size_bytes, 5);
    assert_int_equal(m->mode, 0600);
    assert_true(m->inode != 0 && m->mtime_ns > 0 && m->ctime_ns > 0);
    assert_non_null(m->owner);
    assert_non_null(m->group);
    assert_listed(f, "base/5", FILE_DIRECTORY);
    assert_int_equal(f->result.file_count, 2); /* and PG_VERSION */
    assert_int_equal(f->result.size_bytes, 5 + 3);
    assert_int_equal(f->result.file_mode, 0600);
}

static void test_pg_control_is_for_the_end(void **state)
{
    struct fixture *f = *state;
    scan_ok(f);
    assert_not_listed(f, "global/pg_control");
    assert_listed(f, "global", FILE_DIRECTORY);
}

static void test_leaves_out_the_servers_own_files(void **state)
{
    struct fixture *f = *state;
    static const char *const out[] = {
        "postmaster.pid",
        "postmaster.opts",
        "postgresql.auto.conf.tmp",
        "current_logfiles.tmp",
        "backup_label",
        "tablespace_map",
        "backup_manifest",
        ".DS_Store",
        "base/5/pg_internal.init",
        "base/5/pg_internal.init.4711",
        "global/pg_internal.init",
        "base/5/.DS_Store",
    };
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        make_file(f, out[i], "x");
    make_dir(f, "base/pgsql_tmp");
    make_file(f, "base/pgsql_tmp/pgsql_tmp17.0", "x");
    make_file(f, "postgresql.auto.conf", "x");
    make_file(f, "backup_label.old", "x");
    scan_ok(f);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        assert_not_listed(f, out[i]);
    assert_not_listed(f, "base/pgsql_tmp");
    assert_not_listed(f, "base/pgsql_tmp/pgsql_tmp17.0");
    assert_listed(f, "postgresql.auto.conf", FILE_REGULAR);
    assert_listed(f, "backup_label.old", FILE_REGULAR);
}

static void test_keeps_some_directories_empty(void **state)
{
    struct fixture *f = *state;
    static const char *const dirs[] = {"pg_dynshmem",  "pg_notify",   "pg_replslot", "pg_serial",
                                       "pg_snapshots", "pg_stat_tmp", "pg_subtrans"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *file = path_join(dirs[i], "0000");
        make_file(f, file, "x");
        free(file);
    }
    make_file(f, "pg_wal/000000010000000000000001", "x");
    make_file(f, "pg_wal/archive_status/000000010000000000000001.ready", "");
    make_file(f, "pg_stat/pgstat.stat", "x");
    scan_ok(f);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *file = path_join(dirs[i], "0000");
        assert_listed(f, dirs[i], FILE_DIRECTORY);
        assert_not_listed(f, file);
        free(file);
    }
    assert_listed(f, "pg_wal", FILE_DIRECTORY);
    assert_listed(f, "pg_wal/archive_status", FILE_DIRECTORY);
    assert_not_listed(f, "pg_wal/000000010000000000000001");
    assert_not_listed(f, "pg_wal/archive_status/000000010000000000000001.ready");
    assert_not_listed(f, "pg_wal/summaries");
    assert_listed(f, "pg_stat/pgstat.stat", FILE_REGULAR);
}

static void test_emptied_directories_may_be_links(void **state)
{
    struct fixture *f = *state;
    char *old = path_join(f->data, "pg_wal"), *new = path_join(f->dir, "wal");
    assert_int_equal(rename(old, new), 0);
    make_link(f, new, "pg_wal");
    make_file(f, "pg_wal/000000010000000000000001", "x");
    scan_ok(f);
    assert_listed(f, "pg_wal", FILE_DIRECTORY);
    assert_listed(f, "pg_wal/archive_status", FILE_DIRECTORY);
    assert_not_listed(f, "pg_wal/000000010000000000000001");
    assert_string_equal(f->warnings, "");
    free(old);
    free(new);
}

static void test_temporary_relations(void **state)
{
    struct fixture *f = *state;
    make_file(f, "base/5/t3_16384", "x");
    make_file(f, "base/5/t3_16384_fsm", "x");
    make_file(f, "base/5/t3_16384.1", "x");
    make_file(f, "base/5/t3", "x");
    make_file(f, "pg_xact/t3_16384", "x"); /* not in a database: some file */
    scan_ok(f);
    assert_not_listed(f, "base/5/t3_16384");
    assert_not_listed(f, "base/5/t3_16384_fsm");
    assert_not_listed(f, "base/5/t3_16384.1");
    assert_listed(f, "base/5/t3", FILE_REGULAR);
    assert_listed(f, "pg_xact/t3_16384", FILE_REGULAR);
}

static void test_unlogged_relations_keep_their_init_fork(void **state)
{
    struct fixture *f = *state;
    static const char *const unlogged[] = {"base/5/16400", "base/5/16400_fsm", "base/5/16400_vm",
                                           "base/5/16400.1", "base/5/16400_fsm.1"};
    for (size_t i = 0; i < sizeof unlogged / sizeof *unlogged; i++)
        make_file(f, unlogged[i], "x");
    make_file(f, "base/5/16400_init", "x");
    make_file(f, "base/5/164001", "x");
    make_file(f, "base/1/16400", "x"); /* of another database: not the same relation */
    scan_ok(f);
    for (size_t i = 0; i < sizeof unlogged / sizeof *unlogged; i++)
        assert_not_listed(f, unlogged[i]);
    assert_listed(f, "base/5/16400_init", FILE_REGULAR);
    assert_listed(f, "base/5/164001", FILE_REGULAR);
    assert_listed(f, "base/1/16400", FILE_REGULAR);
}

/* A tablespace directory with one database and one file, and some other version's files. */
static void make_tablespace(struct fixture *f, const char *relative)
{
    char *db = str_printf("%s/" VERSION_DIR "/5", relative);
    char *other = str_printf("%s/PG_14_202107181/5", relative);
    char *file = str_printf("%s/16500", db), *other_file = str_printf("%s/16500", other);
    char *temp = str_printf("%s/t1_16501", db);
    make_dir(f, db);
    make_dir(f, other);
    make_file(f, file, "tablespace");
    make_file(f, other_file, "x");
    make_file(f, temp, "x");
    free(db);
    free(other);
    free(file);
    free(other_file);
    free(temp);
}

static void assert_tablespace(const struct fixture *f, const char *location)
{
    assert_listed(f, "pg_tblspc/16390/" VERSION_DIR, FILE_DIRECTORY);
    assert_listed(f, "pg_tblspc/16390/" VERSION_DIR "/5", FILE_DIRECTORY);
    assert_listed(f, "pg_tblspc/16390/" VERSION_DIR "/5/16500", FILE_REGULAR);
    assert_not_listed(f, "pg_tblspc/16390/" VERSION_DIR "/5/t1_16501");
    assert_not_listed(f, "pg_tblspc/16390/PG_14_202107181");
    assert_int_equal(f->result.tablespace_count, 1);
    assert_int_equal(f->result.tablespaces[0].oid, 16390);
    assert_string_equal(f->result.tablespaces[0].location, location);
}

static void test_follows_a_tablespace(void **state)
{
    struct fixture *f = *state;
    make_tablespace(f, "../space");
    char *location = path_join(f->dir, "space");
    make_link(f, location, "pg_tblspc/16390");
    scan_ok(f);
    assert_listed(f, "pg_tblspc/16390", FILE_TABLESPACE_LINK);
    assert_string_equal(find(f, "pg_tblspc/16390")->link_target, location);
    assert_tablespace(f, location);
    free(location);
}

static void test_follows_links_to_links_and_relative_ones(void **state)
{
    struct fixture *f = *state;
    make_tablespace(f, "../space");
    make_link(f, "space", "../second");
    make_link(f, "../../second", "pg_tblspc/16390");
    scan_ok(f);
    assert_listed(f, "pg_tblspc/16390", FILE_TABLESPACE_LINK);
    assert_tablespace(f, "../../second");
}

static void test_tablespace_in_place(void **state)
{
    struct fixture *f = *state;
    make_tablespace(f, "pg_tblspc/16390");
    scan_ok(f);
    assert_listed(f, "pg_tblspc/16390", FILE_DIRECTORY);
    assert_tablespace(f, "");
}

static void test_tablespace_inside_the_data_directory_is_listed_once(void **state)
{
    struct fixture *f = *state;
    make_tablespace(f, "inside");
    char *location = path_join(f->data, "inside");
    make_link(f, location, "pg_tblspc/16390");
    scan_ok(f);
    assert_tablespace(f, location);
    assert_listed(f, "inside", FILE_DIRECTORY);
    assert_not_listed(f, "inside/" VERSION_DIR);
    free(location);
}

static void test_a_tablespace_that_is_not_there_fails(void **state)
{
    struct fixture *f = *state;
    make_link(f, "/nonexistent/space", "pg_tblspc/16390");
    assert_int_equal(scan(f), RC_SYSTEM);
    assert_non_null(strstr(f->err.what, "/nonexistent/space"));
    assert_non_null(strstr(f->err.on, "pg_tblspc/16390"));
}

static void test_a_tablespace_without_this_versions_directory_fails(void **state)
{
    struct fixture *f = *state;
    make_dir(f, "../space");
    make_link(f, "../../space", "pg_tblspc/16390");
    assert_int_equal(scan(f), RC_SYSTEM);
}

static void test_notices_a_tablespace_that_went_away(void **state)
{
    struct fixture *f = *state;
    struct scan_options o = options_of(f);
    make_tablespace(f, "../space");
    make_link(f, "../../space", "pg_tblspc/16390");
    scan_ok(f);
    assert_int_equal(scan_check_tablespaces(&o, &f->result, &f->err), RC_OK);
    char *space = path_join(f->dir, "space"), *away = path_join(f->dir, "away");
    char *link = path_join(f->data, "pg_tblspc/16390");
    assert_int_equal(rename(space, away), 0);
    assert_int_equal(scan_check_tablespaces(&o, &f->result, &f->err), RC_SYSTEM);
    assert_int_equal(unlink(link), 0); /* dropped by the server: all is well */
    assert_int_equal(scan_check_tablespaces(&o, &f->result, &f->err), RC_OK);
    free(space);
    free(away);
    free(link);
}

static void test_other_links_are_named_and_left_out(void **state)
{
    struct fixture *f = *state;
    make_dir(f, "../log");
    make_file(f, "../log/today", "x");
    make_link(f, "../log", "log");
    make_link(f, "/etc/hostname", "server.key");
    scan_ok(f);
    assert_not_listed(f, "log");
    assert_not_listed(f, "log/today");
    assert_not_listed(f, "server.key");
    assert_non_null(strstr(f->warnings, "log is a symbolic link"));
    assert_non_null(strstr(f->warnings, "server.key is a symbolic link"));
}

static void test_refuses_links_where_data_is(void **state)
{
    static const char *const links[] = {"base/5/16384", "base/7", "global/1262", "pg_xact/0000"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        make_link(f, "/etc", links[i]);
        assert_int_equal(scan(f), RC_REFUSED);
        assert_true(str_starts(f->err.on, links[i]));
        char *path = path_join(f->data, links[i]);
        assert_int_equal(unlink(path), 0);
        free(path);
    }
}

static void test_names_of_any_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a b",   "a\nb", "a\\b", "a=b", "\xff\xfe", "-rf",
                                        "\"q\"", "'",    "...",  "*",   "\xc3\xa4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        make_file(f, names[i], "x");
    scan_ok(f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_listed(f, names[i], FILE_REGULAR);
}

static void test_sockets_and_pipes_are_left_out(void **state)
{
    struct fixture *f = *state;
    char *path = path_join(f->data, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    scan_ok(f);
    assert_not_listed(f, "pipe");
    free(path);
}

static void test_what_cant_be_read_fails(void **state)
{
    struct fixture *f = *state;
    if (geteuid() == 0) {
        assert_int_equal(seteuid(65534), 0); /* root reads everything */
    }
    enum rc rc = scan(f); /* 0700 and not ours; or ours, closed below */
    if (rc == RC_OK) {
        char *path = path_join(f->data, "pg_stat");
        assert_int_equal(chmod(path, 0), 0);
        rc = scan(f);
        assert_int_equal(chmod(path, 0700), 0);
        free(path);
    }
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, RC_SYSTEM);
}

static void test_depth_is_bounded(void **state)
{
    struct fixture *f = *state;
    char path[512] = "deep";
    for (int i = 0; i < 60; i++)
        strcat(path, "/d");
    make_dir(f, path);
    assert_int_equal(scan(f), RC_REFUSED);
}

static void test_group_access_shows_in_the_mode(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->data, 0750), 0);
    scan_ok(f);
    assert_int_equal(f->result.file_mode, 0640);
}

static void test_relation_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool relation, init, temporary;
    } cases[] = {
        {"16384", true, false, false},
        {"16384.1", true, false, false},
        {"16384_fsm", true, false, false},
        {"16384_vm.2", true, false, false},
        {"16384_init", true, true, false},
        {"16384_other", false, false, false},
        {"16384.", false, false, false},
        {"16384.x", false, false, false},
        {"16384_", false, false, false},
        {"_init", false, false, false},
        {"", false, false, false},
        {"4294967296", false, false, false},
        {"16384_fsm_vm", false, false, false},
        {"t1_16384", false, false, true},
        {"t1_16384_vm", false, false, true},
        {"t1_16384.7", false, false, true},
        {"t1_", false, false, false},
        {"t_16384", false, false, false},
        {"t1", false, false, false},
        {"tx_1", false, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t number = 0;
        bool init = false;
        print_message("%s\n", cases[i].name);
        assert_int_equal(scan_relation_name(cases[i].name, &number, &init), cases[i].relation);
        assert_int_equal(init, cases[i].init);
        assert_int_equal(scan_temp_relation_name(cases[i].name), cases[i].temporary);
        if (cases[i].relation)
            assert_int_equal(number, 16384);
    }
}

#define WITH_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_lists_files_with_their_facts),
        WITH_DIRECTORY(test_pg_control_is_for_the_end),
        WITH_DIRECTORY(test_leaves_out_the_servers_own_files),
        WITH_DIRECTORY(test_keeps_some_directories_empty),
        WITH_DIRECTORY(test_emptied_directories_may_be_links),
        WITH_DIRECTORY(test_temporary_relations),
        WITH_DIRECTORY(test_unlogged_relations_keep_their_init_fork),
        WITH_DIRECTORY(test_follows_a_tablespace),
        WITH_DIRECTORY(test_follows_links_to_links_and_relative_ones),
        WITH_DIRECTORY(test_tablespace_in_place),
        WITH_DIRECTORY(test_tablespace_inside_the_data_directory_is_listed_once),
        WITH_DIRECTORY(test_a_tablespace_that_is_not_there_fails),
        WITH_DIRECTORY(test_a_tablespace_without_this_versions_directory_fails),
        WITH_DIRECTORY(test_notices_a_tablespace_that_went_away),
        WITH_DIRECTORY(test_other_links_are_named_and_left_out),
        WITH_DIRECTORY(test_refuses_links_where_data_is),
        WITH_DIRECTORY(test_names_of_any_bytes),
        WITH_DIRECTORY(test_sockets_and_pipes_are_left_out),
        WITH_DIRECTORY(test_what_cant_be_read_fails),
        WITH_DIRECTORY(test_depth_is_bounded),
        WITH_DIRECTORY(test_group_access_shows_in_the_mode),
        cmocka_unit_test(test_relation_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
