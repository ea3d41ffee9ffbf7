/*
 * Drills on real servers: a good backup is proven, and each planted fault is found for what it is.
 * One server and one good backup serve all tests; what a test breaks is a copy of the repository,
 * or comes into a later backup.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "repo/document.h"
#include "support/pg_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), RC_OK)
#define WAIT_MS  60000

static struct pgfix *pg;
static const char *scratch; /* the configured scratch directory */

/* ---- helpers ---- */

static struct pgfix_run shell(const char *script, const char *argument)
{
    return pgfix_tool(pg, "/bin/sh", "-c", script, "sh", argument, NULL);
}

/* What a drill must not touch: every object but proofs and leases, with its size and time. */
static const char *repository_listing(void)
{
    struct pgfix_run r =
        shell("cd \"$1\" && find . -type f ! -path '*/proofs/*' ! -path '*/leases/*' "
              "-printf '%p %s %T@\\n' | sort",
              pgfix_repository(pg));
    pgfix_expect(&r, 0);
    return r.out;
}

static void assert_scratch_is_empty(void)
{
    struct pgfix_run r =
        shell("ls -A \"$1\"; ls -d /tmp/pgproof-drill-* 2>/dev/null; true", scratch);
    pgfix_expect(&r, 0);
    assert_string_equal(r.out, "");
}

static const char *last_line(const char *text)
{
    size_t len = strlen(text);
    while (len > 1 && text[len - 2] != '\n')
        len--;
    return text + (len ? len - 1 : 0);
}

static void take_backup(void)
{
    struct pgfix_run r = pgfix_tool(pg, "pgproof-backup", NULL);
    pgfix_expect(&r, 0);
}

static json_t *drill_json(int code)
{
    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "drill", "--json", NULL);
    json_t *doc = NULL;
    struct error err;
    pgfix_expect(&r, code);
    OK(document_decode("proof", 1, r.out, strlen(r.out), &doc, &err));
    return doc;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    assert_non_null(s);
    return s;
}

static const json_t *check_of(const json_t *doc, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(doc, "checks"), i, c)
    {
        if (str_eq(text_of(c, "name"), name))
            return c;
    }
    fail_msg("no check \"%s\"", name);
    return NULL;
}

static void assert_verdict(const json_t *doc, const char *check, const char *verdict)
{
    const json_t *c = check_of(doc, check);
    if (!str_eq(text_of(c, "verdict"), verdict))
        fail_msg("%s: %s, expected %s: %s", check, text_of(c, "verdict"), verdict,
                 text_of(c, "detail"));
}

/* Does any sentence in this array hold the text? */
static bool mentions(const json_t *array, const char *text)
{
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)array, i, s)
    {
        if (strstr(json_string_value(s), text))
            return true;
    }
    return false;
}

/* From now on the tools work on a copy of the repository, for a test to spoil. */
static const char *use_copy(const char *name)
{
    const char *to = pgfix_path(pg, "%s", name);
    struct pgfix_run r = pgfix_tool(pg, "/bin/cp", "-a", pgfix_repository(pg), to, NULL);
    pgfix_expect(&r, 0);
    CLEANUP_FREE char *env = str_printf("PGPROOF_REPOSITORY_PATH=%s", to);
    pgfix_tool_env(pg, env);
    return to;
}

static int use_original(void **state)
{
    (void)state;
    CLEANUP_FREE char *env = str_printf("PGPROOF_REPOSITORY_PATH=%s", pgfix_repository(pg));
    pgfix_tool_env(pg, env);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    scratch = pgfix_make_dir(pg, "scratch");
    CLEANUP_FREE char *extra = str_printf("[verify]\nscratch-directory = %s\n", scratch);
    pgfix_write_config(pg, extra);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    return 0;
}

/* ---- before there is a backup ---- */

static void nothing_to_check_is_not_green(void **state)
{
    (void)state;
    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "holds no backup");
    assert_scratch_is_empty();
}

static void other_words_are_usage_errors(void **state)
{
    (void)state;
    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "objects", NULL);
    pgfix_expect(&r, 3);
    pgfix_expect_text(&r, "pgproof-verify drill");
    r = pgfix_tool(pg, "pgproof-verify", NULL);
    pgfix_expect(&r, 3);
    r = pgfix_tool(pg, "pgproof-verify", "drill", "--timeout=soon", NULL);
    pgfix_expect(&r, 3);
}

/* ---- a good backup ---- */

/*
 * The source is set up so that an instance which is not cut off shows it: commands that recovery
 * would run, a trigger that refuses all DDL, a database that is read-only by default. Then it goes
 * on changing after the backup.
 */
static void set_traps(void)
{
    pgfix_sql(pg, "ALTER SYSTEM SET recovery_end_command = 'touch %s/escaped'", pgfix_dir(pg));
    pgfix_sql(pg, "ALTER SYSTEM SET archive_cleanup_command = 'touch %s/escaped'", pgfix_dir(pg));
    pgfix_sql(pg, "ALTER SYSTEM SET listen_addresses = '127.0.0.1'");
    pgfix_sql(pg, "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'");
    pgfix_sql(pg, "CREATE DATABASE traps");
    pgfix_use(pg, "traps");
    pgfix_sql(pg, "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN RAISE 'no DDL here'; END $$");
    pgfix_sql(pg, "CREATE TABLE marbles AS SELECT generate_series(1, 100) AS n");
    pgfix_sql(pg, "CREATE INDEX ON marbles (n)");
    pgfix_sql(pg, "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()");
    pgfix_use(pg, "postgres");
    pgfix_sql(pg, "ALTER DATABASE traps SET default_transaction_read_only = on");
}

static void a_good_backup_is_proven(void **state)
{
    (void)state;
    set_traps();
    pgfix_archive_with_pgproof(pg);
    take_backup();
    pgfix_change_story(pg, 1);
    pgfix_sql(pg, "CREATE TABLE shop.later AS SELECT 1 AS n");
    pgfix_sql(pg, "ALTER SYSTEM RESET shared_preload_libraries");
    pgfix_sql(pg, "ALTER SYSTEM RESET listen_addresses");
    pgfix_stop(pg, PGFIX_FAST); /* a drill needs no source, and nothing else archives now */
    const char *before = repository_listing();

    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 0);
    assert_true(str_starts(last_line(r.out), "PROVEN backup "));
    pgfix_expect_text(&r, "clusters/main/proofs/");
    assert_null(strchr(r.out, '\033'));

    assert_string_equal(repository_listing(), before);
    assert_scratch_is_empty();
    assert_false(file_exists(pgfix_path(pg, "escaped")));
    pgfix_start(pg);
}

static void its_json_is_the_stored_proof(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *doc = drill_json(0);
    assert_string_equal(text_of(doc, "result"), "passed");
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(doc, "checks"), i, c)
    {
        if (pgfix_major(pg) >= 14 || !str_eq(text_of(c, "name"), "heaps")) /* 13 can't */
            assert_verdict(doc, text_of(c, "name"), "passed");
    }
    const json_t *not_covered = json_object_get(doc, "not_covered");
    assert_true(mentions(not_covered, "shop.customers_place"));
    assert_true(mentions(not_covered, "shop.documents_order"));
    assert_true(mentions(not_covered, "shop.events_at"));
    assert_true(mentions(not_covered, "template0"));
    assert_string_equal(text_of(json_object_get(doc, "target"), "kind"), "lsn");
    assert_string_equal(
        text_of(json_object_get(json_object_get(doc, "objectives"), "rto"), "verdict"),
        "not configured");
    struct pgfix_run r =
        shell("cat \"$1\"/clusters/main/proofs/* | grep -c '\"result\": *\"passed\"'",
              pgfix_repository(pg));
    pgfix_expect(&r, 0);
    assert_int_equal(atoi(r.out), 2);
}

static void an_objective_that_is_missed_fails(void **state)
{
    (void)state;
    /* a restore and a recovery take longer than nothing, but a second can be enough for them */
    CLEANUP_FREE char *extra = str_printf("[verify]\nscratch-directory = %s\n"
                                          "[objectives]\nrto = 1s\nrto-max = 1000s\n",
                                          scratch);
    pgfix_write_config(pg, extra);
    CLEANUP_JSON json_t *doc = drill_json(0);
    const json_t *rto = json_object_get(json_object_get(doc, "objectives"), "rto");
    double measured = json_real_value(json_object_get(rto, "measured_seconds"));
    assert_true(measured > 0);
    assert_string_equal(text_of(rto, "verdict"), measured > 1 ? "warning" : "passed");
}

static void an_unknown_backup_is_not_green(void **state)
{
    (void)state;
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-verify", "drill", "--backup=20010101T000000Z", NULL);
    pgfix_expect(&r, 1);
    pgfix_expect_text(&r, "there is no such backup");
}

static void kept_files_stay(void **state)
{
    (void)state;
    struct pgfix_run r = pgfix_tool(pg, "pgproof-verify", "drill", "--keep", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "remove it yourself");
    r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 0);
    r = shell("ls -d \"$1\"/pgproof-drill-*/data/base && rm -r \"$1\"/pgproof-drill-*", scratch);
    pgfix_expect(&r, 0);
    assert_scratch_is_empty();
}

/* ---- planted faults: in the repository ---- */

static void missing_wal_fails(void **state)
{
    (void)state;
    const char *copy = use_copy("without-wal");
    /* the newest segment that a backup label file names is one that the backup needs */
    struct pgfix_run r = shell("cd \"$1\"/clusters/main/wal && label=$(find . -name '*.backup') && "
                               "rm \"${label%.*.backup}\"",
                               copy);
    pgfix_expect(&r, 0);
    r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 2);
    assert_true(str_starts(last_line(r.out), "FAILED backup "));
    pgfix_expect_text(&r, ": archived WAL\n");
    pgfix_expect_text(&r, "is missing");
    assert_scratch_is_empty();
}

static void flipped_pack_byte_fails(void **state)
{
    (void)state;
    const char *copy = use_copy("flipped");
    struct pgfix_run r =
        shell("pack=$(find \"$1\"/clusters/main/packs -type f -printf '%s %p\\n' | sort -n | "
              "tail -1 | cut -d' ' -f2-) && chmod u+w \"$pack\" && "
              "printf 'damage' | dd of=\"$pack\" bs=1 seek=20000 conv=notrunc status=none",
              copy);
    pgfix_expect(&r, 0);
    CLEANUP_JSON json_t *doc = drill_json(2);
    assert_verdict(doc, "restore", "failed");
    assert_verdict(doc, "row counts", "not run");
    assert_scratch_is_empty();
}

static void damaged_wal_fails(void **state)
{
    (void)state;
    const char *copy = use_copy("wal-flipped");
    struct pgfix_run r = shell("cd \"$1\"/clusters/main/wal && label=$(find . -name '*.backup') && "
                               "f=${label%.*.backup} && chmod u+w \"$f\" && "
                               "printf 'damage' | dd of=\"$f\" bs=1 seek=300 conv=notrunc "
                               "status=none",
                               copy);
    pgfix_expect(&r, 0);
    CLEANUP_JSON json_t *doc = drill_json(2);
    assert_verdict(doc, "recovery", "failed");
    assert_scratch_is_empty();
}

static enum rc first_name(void *ctx, const char *name, const struct store_info *info,
                          struct error *err)
{
    (void)info;
    (void)err;
    if (!*(char **)ctx)
        *(char **)ctx = str_dup(name);
    return RC_OK;
}

/* A count that the restored cluster doesn't have: as if a row had been lost. */
static void forge_row_counts(const char *repository)
{
    struct error err;
    struct store_options o = {.type = STORE_POSIX, .path = repository};
    CLEANUP_STORE struct store *s = NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_JSON json_t *doc = NULL;
    OK(store_open(&o, &s, &err));
    OK(store_list(s, "clusters/main/witness/", first_name, &name, &err));
    assert_non_null(name);
    OK(document_get(s, name, "row-counts", 1, &doc, NULL, &err));
    size_t i, n;
    json_t *database, *table;
    json_array_foreach(json_object_get(doc, "databases"), i, database)
    {
        json_array_foreach(json_object_get(database, "tables"), n, table)
        {
            if (str_eq(text_of(table, "name"), "orders"))
                json_object_set_new(table, "rows", json_integer(1001));
        }
    }
    OK(store_remove(s, name, &err));
    json_object_del(doc, "kind");
    json_object_del(doc, "version");
    json_object_del(doc, "sha256");
    OK(document_put(s, name, "row-counts", 1, doc, NULL, &err));
    pgfix_give(pg, repository);
}

static void a_missing_row_fails(void **state)
{
    (void)state;
    forge_row_counts(use_copy("missing-row"));
    CLEANUP_JSON json_t *doc = drill_json(2);
    assert_verdict(doc, "row counts", "failed");
    assert_verdict(doc, "indexes", "passed");
    assert_true(mentions(json_object_get(check_of(doc, "row counts"), "findings"),
                         "postgres: shop.orders has 1000 rows; 1001 were counted"));
}

/* ---- signals ---- */

static pid_t begin_drill(void)
{
    const char *const argv[] = {"pgproof-verify", "drill", NULL};
    return pgfix_tool_begin(pg, argv, pgfix_path(pg, "drill.out"));
}

/* The scratch server's process, as soon as there is one. */
static pid_t wait_for_server(void)
{
    for (int waited = 0; waited < WAIT_MS; waited += 20) {
        struct pgfix_run r =
            shell("head -qn1 \"$1\"/pgproof-drill-*/data/postmaster.pid 2>/dev/null", scratch);
        if (r.code == 0 && atoi(r.out) > 0)
            return (pid_t)atoi(r.out);
        clock_sleep_ms(20);
    }
    fail_msg("no scratch server came up");
    return 0;
}

static void assert_process_ends(pid_t pid)
{
    for (int waited = 0; waited < WAIT_MS; waited += 20) {
        if (kill(pid, 0) != 0)
            return;
        clock_sleep_ms(20);
    }
    fail_msg("process %d is still there", (int)pid);
}

/* Is this socket in a table of TCP sockets that listen (state 0A)? */
static bool listens(const char *table, const char *inode)
{
    CLEANUP_FILE FILE *f = fopen(table, "re");
    char line[512], state[8], found[32];
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, " %*s %*s %*s %7s %*s %*s %*s %*s %*s %31s", state, found) == 2 &&
            str_eq(state, "0A") && str_eq(found, inode))
            return true;
    return false;
}

static void assert_no_tcp(pid_t pid)
{
    CLEANUP_FREE char *path = str_printf("/proc/%d/fd", (int)pid);
    CLEANUP_DIR DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP_FREE char *fd = path_join(path, e->d_name);
        char link[256], inode[32];
        ssize_t len = readlink(fd, link, sizeof link - 1);
        if (len < 0)
            continue;
        link[len] = '\0';
        if (sscanf(link, "socket:[%31[0-9]", inode) == 1)
            assert_false(listens("/proc/net/tcp", inode) || listens("/proc/net/tcp6", inode));
    }
}

static void sigterm_cleans_up(void **state)
{
    (void)state;
    pid_t drill = begin_drill();
    pid_t server = wait_for_server();
    assert_no_tcp(server);
    assert_int_equal(kill(drill, SIGTERM), 0);
    assert_int_equal(pgfix_tool_wait(pg, drill), 128 + SIGTERM);
    assert_process_ends(server);
    assert_scratch_is_empty();
}

static void the_next_drill_clears_up_after_sigkill(void **state)
{
    (void)state;
    pid_t drill = begin_drill();
    pid_t server = wait_for_server();
    assert_int_equal(kill(drill, SIGKILL), 0);
    assert_int_equal(pgfix_tool_wait(pg, drill), 128 + SIGKILL);
    assert_process_ends(server);
    struct pgfix_run r = shell("ls \"$1\" | grep -c pgproof-drill-", scratch);
    assert_int_equal(atoi(r.out), 1);
    r = pgfix_tool(pg, "pgproof-verify", "drill", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "removed what 1 killed drill had left");
    assert_scratch_is_empty();
}

/* ---- planted faults: in later backups ---- */

/* A transaction that never ends leaves no quiet moment to count in. */
static void counts_under_load_are_not_proof(void **state)
{
    (void)state;
    struct error err;
    CLEANUP_SESSION struct session *open = NULL;
    OK(session_open(pgfix_conninfo(pg), "busy", NULL, &open, &err));
    OK(session_exec(open, "BEGIN; SELECT pg_catalog.pg_current_xact_id()", &err));
    clock_sleep_ms(1100); /* backup ids are seconds */
    take_backup();
    CLEANUP_JSON json_t *doc = drill_json(1);
    assert_string_equal(text_of(doc, "result"), "not proven");
    assert_verdict(doc, "row counts", "not run");
    assert_verdict(doc, "indexes", "passed");
}

/* The index was built with another function than the one that is there now. */
static void a_wrong_index_fails(void **state)
{
    (void)state;
    pgfix_sql(pg, "CREATE FUNCTION public.key(int) RETURNS int IMMUTABLE LANGUAGE sql AS "
                  "'SELECT $1'");
    pgfix_sql(pg, "CREATE TABLE public.keyed AS SELECT generate_series(1, 100) AS n");
    pgfix_sql(pg, "CREATE INDEX keyed_key ON public.keyed (public.key(n))");
    pgfix_sql(pg, "CREATE OR REPLACE FUNCTION public.key(int) RETURNS int IMMUTABLE LANGUAGE sql "
                  "AS 'SELECT $1 + 1000'");
    clock_sleep_ms(1100);
    take_backup();
    CLEANUP_JSON json_t *doc = drill_json(2);
    assert_verdict(doc, "row counts", "passed");
    assert_verdict(doc, "tables read", "passed");
    assert_verdict(doc, "indexes", "failed");
    assert_true(
        mentions(json_object_get(check_of(doc, "indexes"), "findings"), "public.keyed_key"));
}

int main(void)
{
#define SPOILS(f) cmocka_unit_test_teardown(f, use_original)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_check_is_not_green),
        cmocka_unit_test(other_words_are_usage_errors),
        cmocka_unit_test(a_good_backup_is_proven),
        cmocka_unit_test(its_json_is_the_stored_proof),
        cmocka_unit_test(an_objective_that_is_missed_fails),
        cmocka_unit_test(an_unknown_backup_is_not_green),
        cmocka_unit_test(kept_files_stay),
        SPOILS(missing_wal_fails),
        SPOILS(flipped_pack_byte_fails),
        SPOILS(damaged_wal_fails),
        SPOILS(a_missing_row_fails),
        cmocka_unit_test(sigterm_cleans_up),
        cmocka_unit_test(the_next_drill_clears_up_after_sigkill),
        cmocka_unit_test(counts_under_load_are_not_proof),
        cmocka_unit_test(a_wrong_index_fails),
    };
    return cmocka_run_group_tests(tests, begin, pgfix_free_all);
}
