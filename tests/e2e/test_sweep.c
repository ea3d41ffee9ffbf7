/*
 * The sweep over pgproof-wal-push and pgproof-backup: a storage fault at every operation, in every
 * mode. Whatever happened, what is listed is whole, what was acknowledged is there, and the next
 * run needs no help.
 *
 * One cluster with WAL segments of 1 MB. The push is swept whole each time. Of the backup a seeded
 * slice runs, every N of each kind of operation with PGPROOF_SOAK=1.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "repo/backup.h"
#include "repo/wal_object.h"
#include "support/pg_fixture.h"
#include "support/stored_file.h"
#include "support/sweep.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER         "main"
#define ONE_JOB         "[backup]\njobs = 1\ncompress-level = 1\n[wal]\narchive-timeout = 30s\n"
#define TWO_JOBS        "[backup]\njobs = 2\ncompress-level = 1\n[wal]\narchive-timeout = 30s\n"
#define SEGMENT_BYTES   (1u << 20)
#define NAMES_MAX       (16u << 20)
#define FILE_MAX        (256u << 20)
#define COMMIT_PUTS     3  /* the last ones of a backup: manifest, packs, backup.json */
#define TWO_JOBS_SLICE  3  /* cases */
#define TWO_JOBS_SOAK   60 /* cases */
#define RESTORES_SLICE  2
#define RESTORE_ONE_IN  12 /* of a soak's cases, besides those that failed and are listed */
#define SESSION_SECONDS 5

static struct pgfix *pg;

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

/* ---- the repository, as it is ---- */

static struct repo *open_repository(void)
{
    struct error err;
    struct store *s = NULL;
    struct repo *r = NULL;
    const struct store_options o = {.type = STORE_POSIX, .path = pgfix_repository(pg)};
    must(store_open(&o, &s, &err), &err);
    must(repo_open(s, &r, &err), &err);
    return r;
}

static bool is_wal(const char *name)
{
    return str_starts(name, "clusters/" CLUSTER "/wal/");
}

static enum rc add_name(void *ctx, const char *name, const struct store_info *info,
                        struct error *err)
{
    (void)info;
    return buf_printf(ctx, err, "%s\n", name);
}

/* Every object's name, each between line ends; for free(). */
static char *all_names(void)
{
    CLEANUP_REPO struct repo *r = open_repository();
    CLEANUP_BUF struct buf names = BUF_INIT(NAMES_MAX);
    struct error err;
    const char *text;
    must(buf_append(&names, "\n", 1, &err), &err);
    must(store_list(r->store, "", add_name, &names, &err), &err);
    must(buf_cstr(&names, &text, &err), &err);
    return str_dup(text);
}

static bool has_name(const char *names, const char *name)
{
    CLEANUP_FREE char *line = str_printf("\n%s\n", name);
    return strstr(names, line) != NULL;
}

static void remove_object(const char *name)
{
    CLEANUP_REPO struct repo *r = open_repository();
    struct error err;
    enum rc rc = store_remove(r->store, name, &err);
    if (rc != RC_NOT_FOUND)
        must(rc, &err);
}

/* ---- push ---- */

enum before {
    NEW,   /* the segment is not archived */
    SAME,  /* it is archived already: the answer to a push before was lost */
    OTHER, /* another content is archived under its name */
    BEFORE_COUNT
};

static const char *const before_names[BEFORE_COUNT] = {
    "push, a new segment", "push, one that is there", "push, other content there"};

/* A tool as the server calls it: in the data directory. */
struct command {
    char *script;
    const char *argv[4];
};

static void set_command(struct command *c, const char *tool, const char *path)
{
    c->script =
        str_printf("cd '%s' && exec '%s/%s' '%s'", pgfix_data(pg), pgfix_bin(pg), tool, path);
    c->argv[0] = "/bin/sh";
    c->argv[1] = "-c";
    c->argv[2] = c->script;
    c->argv[3] = NULL;
}

/* A finished segment that the server never archived. */
struct segment {
    const char *file;
    char *object; /* its name in the repository */
    struct buf content, other_content;
    struct command faulty, plain, plain_other;
};

static void segment_done(struct segment *s)
{
    free(s->object);
    free(s->faulty.script);
    free(s->plain.script);
    free(s->plain_other.script);
    buf_done(&s->content);
    buf_done(&s->other_content);
}

/* The same but for the last byte, in a directory of its own: what two servers may archive. */
static const char *write_other(const struct segment *s)
{
    struct error err;
    const char *path = pgfix_path(pg, "other/%s", s->file);
    must(file_replace(path, s->other_content.data, s->other_content.len, 0600, &err), &err);
    pgfix_give(pg, path);
    return path;
}

static uint64_t system_identifier(void)
{
    return (uint64_t)pgfix_number(pg, "SELECT system_identifier FROM pg_control_system()");
}

static void segment_init(struct segment *s)
{
    struct error err;
    *s = (struct segment){.content = BUF_INIT(WAL_PLAIN_MAX),
                          .other_content = BUF_INIT(WAL_PLAIN_MAX)};
    s->file = pgfix_switch_wal(pg);
    CLEANUP_FREE char *path = str_printf("pg_wal/%s", s->file);
    CLEANUP_FREE char *whole = path_join(pgfix_data(pg), path);
    must(file_read(whole, &s->content, &err), &err);
    assert_int_equal(s->content.len, SEGMENT_BYTES);
    must(buf_append(&s->other_content, s->content.data, s->content.len, &err), &err);
    s->other_content.data[SEGMENT_BYTES - 1] ^= 1;
    s->object = str_dup(name_wal(CLUSTER, system_identifier(), s->file).text);
    set_command(&s->faulty, "faulty/pgproof-wal-push", path);
    set_command(&s->plain, "pgproof-wal-push", path);
    set_command(&s->plain_other, "pgproof-wal-push", write_other(s));
}

static void plain_push(const struct command *c, int code)
{
    struct pgfix_run r = pgfix_tool_argv(pg, c->argv);
    pgfix_expect(&r, code);
}

/* True: fetched, and it is `expected`. False: proven absent. Anything else fails. */
static bool fetch(const struct segment *s, const struct buf *expected)
{
    struct error err;
    const char *to = pgfix_path(pg, "fetched");
    (void)unlink(to);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-wal-fetch", s->file, to, NULL);
    if (r.code == 1) {
        assert_false(file_exists(to));
        return false;
    }
    pgfix_expect(&r, 0);
    CLEANUP_BUF struct buf is = BUF_INIT(WAL_PLAIN_MAX);
    must(file_read(to, &is, &err), &err);
    assert_int_equal(is.len, expected->len);
    assert_memory_equal(is.data, expected->data, is.len);
    return true;
}

/* Nothing but the segment was added, and nothing is gone. */
static void check_names(const char *base, const struct segment *s, bool archived)
{
    CLEANUP_FREE char *names = all_names();
    size_t added = archived ? strlen(s->object) + 1 : 0;
    assert_int_equal(has_name(names, s->object), archived);
    assert_int_equal(strlen(names), strlen(base) + added);
}

static void make_before(const struct segment *s, enum before before)
{
    remove_object(s->object);
    if (before == SAME)
        plain_push(&s->plain, 0);
    if (before == OTHER)
        plain_push(&s->plain_other, 0);
}

/* False: the run had no Nth operation. */
static bool push_case(struct segment *s, const char *base, enum before before, enum fault_mode mode,
                      unsigned long n)
{
    const struct buf *expected = before == OTHER ? &s->other_content : &s->content;
    int code = before == OTHER ? 2 : 0;
    make_before(s, before);

    struct sweep_run r = sweep_faulty(pg, s->faulty.argv, "any", n, mode, code);
    bool archived = fetch(s, expected);
    if (r.run.code == 0 && !archived)
        fail_msg("%s: acknowledged, and not there", r.fault);
    if (before != NEW && !archived)
        fail_msg("%s: it was there, and is gone", r.fault);
    check_names(base, s, archived);

    plain_push(&s->plain, code);
    assert_true(fetch(s, expected));
    check_names(base, s, true);
    sweep_note(sweep_row(before_names[before], sweep_mode_names[mode]), n, &r, archived);
    return r.met;
}

#define SEGMENTS 3

static void push(void **state)
{
    struct segment segments[SEGMENTS];
    unsigned cases = 0;
    (void)state;
    pgfix_configure_archiving(pg, "");
    pgfix_make_dir(pg, "other");
    CLEANUP_FREE char *base = all_names();
    for (int i = 0; i < SEGMENTS; i++)
        segment_init(&segments[i]);
    for (enum before before = 0; before < BEFORE_COUNT; before++) {
        for (enum fault_mode mode = 0; mode < SWEEP_MODES; mode++) {
            struct segment *s = &segments[cases++ % SEGMENTS];
            for (unsigned long n = 1; push_case(s, base, before, mode, n); n++)
                ;
            remove_object(s->object);
        }
    }
    for (int i = 0; i < SEGMENTS; i++)
        segment_done(&segments[i]);
}

/* ---- backup ---- */

static struct {
    char *base; /* all names after the first backup */
    char first[BACKUP_ID_SIZE];
    unsigned case_number;
    unsigned restores;
} sweep;

static const char *const faulty_backup[] = {"faulty/pgproof-backup", "--json", NULL};
/* An outage is waited for as long as WAL is. */
static const char *const impatient_backup[] = {"faulty/pgproof-backup", "--json",
                                               "--wal-archive-timeout=6s", NULL};

static void check_wal(struct repo *r, const struct backup_info *b)
{
    struct error err;
    CLEANUP(cleanup_wal_list) struct wal_list *l = NULL;
    must(wal_list_load(r, CLUSTER, b->system_identifier, b->wal_segment_bytes, &l, &err), &err);
    uint64_t last = lsn_segment_before(b->stop_lsn, b->wal_segment_bytes);
    for (uint64_t n = lsn_segment(b->start_lsn, b->wal_segment_bytes); n <= last; n++)
        assert_non_null(wal_list_find(l, b->timeline, n));
}

/* Every byte of every file decodes to what the manifest says. */
static void check_content(struct repo *r, struct manifest *m)
{
    CLEANUP_BUF struct buf content = BUF_INIT(FILE_MAX);
    struct stored_files *files = stored_files_open(r, CLUSTER, m);
    for (size_t i = 0; i < m->file_count; i++)
        if (m->files[i].kind == FILE_REGULAR)
            stored_file_read(files, &m->files[i], &content);
    stored_files_close(files);
    assert_non_null(manifest_find(m, "backup_label"));
    assert_non_null(manifest_find(m, "global/pg_control"));
}

static void check_whole(struct repo *r, const struct catalog_entry *e)
{
    struct error err;
    struct store_info info;
    CLEANUP(cleanup_manifest) struct manifest *m = NULL;
    if (!e->info)
        fail_msg("backup %s is listed and can't be used: %s", e->id, e->problem.what);
    must(backup_load_manifest(r, CLUSTER, e->info, &m, &err), &err);
    must(backup_check_packs(r, CLUSTER, m, &err), &err);
    must(store_head(r->store, name_backup(CLUSTER, e->id, "packs").text, &info, &err), &err);
    if (*e->info->witness)
        must(store_head(r->store, e->info->witness, &info, &err), &err);
    check_content(r, m);
    check_wal(r, e->info);
}

/* Each names the one before it, the first is still the first, and all are whole. */
static size_t check_catalog(char ret_newest[static BACKUP_ID_SIZE])
{
    CLEANUP_REPO struct repo *r = open_repository();
    CLEANUP(cleanup_catalog) struct catalog *c = NULL;
    struct error err;
    must(catalog_load(r, CLUSTER, &c, &err), &err);
    assert_true(c->count > 0);
    for (size_t i = 0; i < c->count; i++) {
        const struct catalog_entry *e = &c->entries[i];
        check_whole(r, e);
        assert_string_equal(e->info->previous_id, i ? c->entries[i - 1].id : "");
        if (i > 0)
            assert_memory_equal(&e->info->previous_digest, &c->entries[i - 1].info->digest,
                                sizeof e->info->digest);
    }
    assert_string_equal(c->entries[0].id, sweep.first);
    memcpy(ret_newest, c->entries[c->count - 1].id, BACKUP_ID_SIZE);
    return c->count;
}

/* What people are told is what the catalog has. */
static void check_info(size_t count)
{
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "info", "--json", NULL);
    struct error err;
    CLEANUP_JSON json_t *o = NULL;
    json_t *backups;
    pgfix_expect(&r, 0);
    must(json_parse_object(r.out, strlen(r.out), &o, &err), &err);
    must(json_get_array(o, "backups", &backups, &err), &err);
    assert_int_equal(json_array_size(backups), count);
}

/* A backup that is still begun on the server has its session there. */
static void check_server_is_free(void)
{
    double until = clock_monotonic() + SESSION_SECONDS;
    while (pgfix_number(pg, "SELECT count(*) FROM pg_stat_activity"
                            " WHERE application_name LIKE 'pgproof%%'") > 0) {
        if (clock_monotonic() > until)
            fail_msg("a session of a backup that ended is still there");
        clock_sleep_ms(20);
    }
}

/* Back to the first backup alone, so that each case begins alike. WAL stays. */
static enum rc remove_new(void *ctx, const char *name, const struct store_info *info,
                          struct error *err)
{
    struct store *s = ctx;
    (void)info;
    return is_wal(name) || has_name(sweep.base, name) ? RC_OK : store_remove(s, name, err);
}

static void clean_up(void)
{
    CLEANUP_REPO struct repo *r = open_repository();
    struct error err;
    unsigned removed;
    must(store_list(r->store, "", remove_new, r->store, &err), &err);
    must(store_sweep(r->store, clock_now() + 1000000, &removed, &err), &err);
}

/* The whole cluster from this backup, as a server shows it. */
static void check_restores(const char *id, const char *fingerprint)
{
    struct error err;
    const char *data = pgfix_path(pg, "restored"), *spaces = pgfix_path(pg, "restored-spaces");
    CLEANUP_FREE char *to = str_printf("--to=%s", data);
    CLEANUP_FREE char *root = str_printf("--tablespace-root=%s", spaces);
    CLEANUP_FREE char *backup = str_printf("--backup=%s", id);
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-restore", to, root, backup, "--target=immediate", NULL);
    pgfix_expect(&r, 0);
    struct pgfix *copy = pgfix_adopt(pg, data);
    pgfix_start(copy);
    pgfix_wait_paused(copy);
    pgfix_compare_fingerprint(fingerprint, copy);
    pgfix_free(copy);
    must(file_remove_tree(data, &err), &err);
    must(file_remove_tree(spaces, &err), &err);
    sweep.restores++;
}

/* Always where a run that did not say so has left a backup; else now and then. */
static bool is_sample(const struct sweep_run *r, bool listed)
{
    if (sweep_is_soak())
        return (listed && r->run.code != 0) || sweep_random(RESTORE_ONE_IN) == 0;
    return sweep.restores < RESTORES_SLICE && (listed || sweep.case_number > 8);
}

/* False: the run had no Nth operation. */
static bool backup_case(const char *what, const char *operation, unsigned long n,
                        enum fault_mode mode)
{
    char newest[BACKUP_ID_SIZE], after_that[BACKUP_ID_SIZE];
    pgfix_sql(pg, "INSERT INTO sweep_case VALUES (%u)", ++sweep.case_number);
    const char *fingerprint = pgfix_fingerprint(pg);

    print_message("%s: %s:%lu:%s\n", what, operation, n, sweep_mode_names[mode]);
    const char *const *argv = mode == FAULT_OUTAGE ? impatient_backup : faulty_backup;
    struct sweep_run r = sweep_faulty(pg, argv, operation, n, mode, 0);
    size_t count = check_catalog(newest);
    bool listed = count == 2;
    if (count > 2 || (r.run.code == 0 && !listed))
        fail_msg("%s: exit code %d, and %zu backups are listed", r.fault, r.run.code, count - 1);
    check_info(count);

    struct pgfix_run next = pgfix_tool(pg, "pgproof-backup", "--json", NULL);
    pgfix_expect(&next, 0);
    assert_int_equal(check_catalog(after_that), count + 1);
    pgfix_expect_text(&next, after_that);
    check_server_is_free();
    if (is_sample(&r, listed))
        check_restores(listed ? newest : after_that, fingerprint);
    sweep_note(sweep_row(what, sweep_mode_names[mode]), n, &r, listed);
    clean_up();
    return r.met;
}

static void first_backup(void)
{
    pgfix_archive_with_pgproof(pg);
    pgfix_sql(pg, "CREATE TABLE sweep_case (number int)");
    struct pgfix_run r = pgfix_tool(pg, "pgproof-backup", NULL);
    pgfix_expect(&r, 0);
    CLEANUP_REPO struct repo *repo = open_repository();
    CLEANUP(cleanup_catalog) struct catalog *c = NULL;
    struct error err;
    must(catalog_load(repo, CLUSTER, &c, &err), &err);
    assert_int_equal(c->count, 1);
    memcpy(sweep.first, c->entries[0].id, BACKUP_ID_SIZE);
    sweep.base = all_names();
}

static void every_n(const char *operation, enum fault_mode mode)
{
    CLEANUP_FREE char *what = str_printf("backup, 1 job, %s", operation);
    for (unsigned long n = 1; backup_case(what, operation, n, mode); n++)
        ;
}

/* By kind of operation: how often a backup asks whether WAL has come differs from run to run, so a
 * sweep over "any" would step over some puts and meet others twice. */
static void all_of_backup(void)
{
    static const char *const operations[] = {"put", "get", "list", "head", "remove"};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        for (enum fault_mode mode = 0; mode < SWEEP_MODES; mode++)
            every_n(operations[i], mode);
    every_n("any", FAULT_OUTAGE);
}

/* Every get, since what is read decides what is written; and of each mode one case in the commit,
 * and two anywhere. */
static void slice_of_backup(void)
{
    unsigned long all = sweep_count(pg, faulty_backup, "any", 0);
    unsigned long puts = sweep_count(pg, faulty_backup, "put", 0);
    clean_up();
    every_n("get", FAULT_FAIL);
    for (enum fault_mode mode = 0; mode < SWEEP_MODES; mode++) {
        backup_case("backup, 1 job, put", "put", puts - sweep_random(COMMIT_PUTS), mode);
        for (int i = 0; i < 2; i++)
            backup_case("backup, 1 job, any", "any", 1 + sweep_random(all), mode);
    }
}

static void backup(void **state)
{
    (void)state;
    first_backup();
    if (sweep_is_soak())
        all_of_backup();
    else
        slice_of_backup();
}

static void backup_with_two_jobs(void **state)
{
    (void)state;
    if (!sweep.base)
        fail_msg("this needs the first backup of the test before it");
    pgfix_write_config(pg, TWO_JOBS);
    unsigned long all = sweep_count(pg, faulty_backup, "any", 0);
    clean_up();
    for (int i = 0; i < (sweep_is_soak() ? TWO_JOBS_SOAK : TWO_JOBS_SLICE); i++)
        backup_case("backup, 2 jobs, any", "any", 1 + sweep_random(all),
                    (enum fault_mode)sweep_random(SWEEP_MODES));
}

/* ---- all ---- */

static int build_cluster(void **state)
{
    const struct pgfix_options small = {.wal_segment_mb = 1};
    (void)state;
    sweep_begin();
    pg = pgfix_new(&small);
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    pgfix_write_config(pg, ONE_JOB);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    return 0;
}

static int end(void **state)
{
    sweep_print_table();
    free(sweep.base);
    return pgfix_free_all(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push),
        cmocka_unit_test(backup),
        cmocka_unit_test(backup_with_two_jobs),
    };
    return cmocka_run_group_tests_name("sweep", tests, build_cluster, end);
}
