/*
 * What bad input gets from the tools themselves: a repository that is of another format, not there,
 * not readable or of another cluster; backups that lie with valid digests; damaged WAL in a real
 * recovery; full disks; a kill -9. Always an error of three parts, the right exit code, and nothing
 * lost or half-made.
 *
 * One cluster with one backup serves all tests; what a test spoils is a copy of the repository.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "repo/names.h"
#include "repo/wal_object.h"
#include "support/forge.h"
#include "support/pg_fixture.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DONE = 0, CANNOT = 1, BAD = 2, USAGE = 3, BUSY = 4, STOP_RECOVERY = 126 };

static struct pgfix *pg;
static const char *segment, *later_segment; /* both archived; the later one behind the backup */
static const char *wal_dir;                 /* of the segments, below the repository */
static uint64_t system_identifier;
static unsigned serial;

/* ---- helpers ---- */

static struct pgfix_run shell(const char *script, const char *argument)
{
    return pgfix_tool(pg, "/bin/sh", "-c", script, "sh", argument, NULL);
}

static const char *shell_out(const char *script, const char *argument)
{
    struct pgfix_run r = shell(script, argument);
    pgfix_expect(&r, 0);
    return r.out;
}

/* Every file and directory with size and mode. */
static const char *listing(const char *dir)
{
    return shell_out("cd \"$1\" && find . -printf '%p %s %m %T@\\n' | sort", dir);
}

/* Hard links: nobody changes an object in place, and what does so here makes its own. */
static const char *copy_repository(void)
{
    const char *to = pgfix_path(pg, "repository-%u", ++serial);
    struct pgfix_run r = pgfix_tool(pg, "/bin/cp", "-al", pgfix_repository(pg), to, NULL);
    pgfix_expect(&r, 0);
    return to;
}

static void use_repository(const char *path)
{
    CLEANUP_FREE char *env = str_printf("PGPROOF_REPOSITORY_PATH=%s", path);
    pgfix_tool_env(pg, env);
}

static void use_config(const char *path)
{
    CLEANUP_FREE char *env = str_printf("PGPROOF_CONFIG=%s", path);
    pgfix_tool_env(pg, env);
}

static int use_original(void **state)
{
    (void)state;
    use_config(pgfix_path(pg, "pgproof.conf"));
    use_repository(pgfix_repository(pg));
    pgfix_tool_env(pg, "PGPROOF_TEST_FAULT=");
    return 0;
}

/* A tool as the server runs it. */
static struct pgfix_run in_data_directory(const char *command)
{
    CLEANUP_FREE char *script =
        str_printf("cd '%s' && exec '%s'/%s", pgfix_data(pg), pgfix_bin(pg), command);
    return shell(script, "");
}

static struct pgfix_run push(const char *file)
{
    CLEANUP_FREE char *command = str_printf("pgproof-wal-push '%s'", file);
    return in_data_directory(command);
}

static struct pgfix_run fetch(const char *file, const char *to)
{
    CLEANUP_FREE char *command = str_printf("pgproof-wal-fetch '%s' '%s'", file, to);
    return in_data_directory(command);
}

struct place {
    const char *data;
    char *to, *tablespaces;
};

static struct place new_place(void)
{
    unsigned n = ++serial;
    const char *data = pgfix_path(pg, "in-%u/data", n);
    return (struct place){
        .data = data,
        .to = str_printf("--to=%s", data),
        .tablespaces = str_printf("--tablespace-root=%s", pgfix_path(pg, "in-%u/spaces", n))};
}

static void free_place(struct place *p)
{
    free(p->to);
    free(p->tablespaces);
}
#define CLEANUP_PLACE CLEANUP(free_place) struct place

static struct pgfix_run restore(const struct place *p)
{
    return pgfix_tool(pg, "pgproof-restore", p->to, p->tablespaces, NULL);
}

static bool can_start(const char *data)
{
    CLEANUP_FREE char *control = path_join(data, "global/pg_control");
    return file_exists(control);
}

/* ---- all tools in turn ---- */

/* What, on what (indented), what now (after an arrow or in a line of its own): at least two lines
 * behind the tool's name. */
static void expect_three_parts(const struct pgfix_run *r)
{
    unsigned lines = 0;
    for (const char *p = r->err; *p; p++)
        lines += *p == '\n';
    if (lines < 3)
        fail_msg("%s: no error of three parts: %s", r->command, r->err);
}

static void expect_error(struct pgfix_run r, int code, const char *text)
{
    pgfix_expect(&r, code);
    pgfix_expect_text(&r, text);
    expect_three_parts(&r);
}

/* Each tool that reads the repository refuses, for this reason. `with_init`: so does init. */
static void all_refuse(int code, const char *text, bool with_init)
{
    CLEANUP_PLACE p = new_place();
    const char *fetched = pgfix_path(pg, "fetched");
    CLEANUP_FREE char *path = str_printf("pg_wal/%s", segment);

    if (with_init)
        expect_error(pgfix_tool(pg, "pgproof", "init", NULL), code, text);
    expect_error(pgfix_tool(pg, "pgproof", "info", NULL), code, text);
    expect_error(pgfix_tool(pg, "pgproof", "check", NULL), code, text);
    expect_error(pgfix_tool(pg, "pgproof-backup", NULL), code, text);
    expect_error(pgfix_tool(pg, "pgproof-verify", "drill", NULL), code, text);
    expect_error(restore(&p), code, text);
    assert_false(file_exists(p.data));
    expect_error(push(path), code, text);
    expect_error(fetch(segment, fetched), STOP_RECOVERY, text);
    assert_false(file_exists(fetched));
}

/* ---- the repository ---- */

static void another_format(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    forge_document(repository, REPOSITORY_OBJECT, "repository", "format", json_integer(2));
    const char *before = listing(repository);
    use_repository(repository);
    all_refuse(USAGE, "the repository has format 2, and this program knows format 1", true);
    assert_string_equal(listing(repository), before);
}

static void another_sealing(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    forge_document(repository, REPOSITORY_OBJECT, "repository", "sealing", json_string("aes"));
    use_repository(repository);
    all_refuse(USAGE, "sealed with \"aes\"", true);
}

static void not_there(void **state)
{
    (void)state;
    const char *repository = pgfix_path(pg, "nowhere");
    use_repository(repository);
    all_refuse(CANNOT, repository, false);
    assert_false(file_exists(repository));
}

/* An empty mount point must not become a repository, nor be taken for an empty one. */
static void not_mounted(void **state)
{
    (void)state;
    const char *repository = pgfix_make_dir(pg, "mount-point");
    use_repository(repository);
    all_refuse(CANNOT, "or it is not mounted", false);
    bool empty;
    struct error err;
    assert_int_equal(file_dir_is_empty(repository, &empty, &err), RC_OK);
    assert_true(empty);
}

static void denied(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    use_repository(repository);
    assert_int_equal(chmod(repository, 0), 0);
    all_refuse(CANNOT, "Permission denied", true);
    assert_int_equal(chmod(repository, 0700), 0);
}

static void damaged_identity(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    shell_out(
        "cd \"$1\" && sed 's/\"hash_seed\": \"./\"hash_seed\": \"x/' repository.json > new && "
        "rm repository.json && mv new repository.json",
        repository);
    use_repository(repository);
    all_refuse(BAD, REPOSITORY_OBJECT, true);
}

/* ---- configuration ---- */

static void write_text(const char *path, const char *text)
{
    struct error err;
    assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), RC_OK);
    pgfix_give(pg, path);
}

static void wrong_configuration(void **state)
{
    (void)state;
    const char *conf = pgfix_path(pg, "wrong.conf");
    use_config(conf);
    all_refuse(USAGE, conf, true); /* there is no such file */
    write_text(conf, "[repository]\npaht = /nowhere\n");
    all_refuse(USAGE, "did you mean 'path'?", true);
    write_text(conf, "[repository]\npath = relative\n");
    all_refuse(USAGE, "wrong.conf", true);
    assert_int_equal(chmod(conf, 0), 0);
    all_refuse(USAGE, "Permission denied", true);
}

/* ---- another cluster ---- */

/* Backups of one cluster that were put below another's name. */
static void another_clusters_backups(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    CLEANUP_FREE char *script = str_printf(
        "cd \"$1\"/clusters && mkdir other && mv main/backups main/packs main/maps other/ && "
        "cp -a main/systems other/ && cd other/systems && mv *.json 1.json");
    shell_out(script, repository);
    CLEANUP_FREE char *name = str_dup(name_system("other", 1).text);
    forge_document(repository, name, "system", "system_identifier", json_string("1"));
    const char *conf = pgfix_path(pg, "other.conf");
    CLEANUP_FREE char *text = str_printf("[repository]\npath = %s\n[cluster:other]\n", repository);
    write_text(conf, text);
    use_repository(repository);
    use_config(conf);

    CLEANUP_PLACE p = new_place();
    expect_error(pgfix_tool(pg, "pgproof-restore", "--cluster=other", p.to, p.tablespaces, NULL),
                 CANNOT, "all backups are of another system");
    expect_error(pgfix_tool(pg, "pgproof-restore", "--cluster=other", p.to, p.tablespaces,
                            "--backup=latest", NULL),
                 BAD, "it does not belong here");
    assert_false(file_exists(p.data));
}

/* After pg_upgrade or a new initdb the backups from before stay within reach. */
static void what_the_cluster_was_before(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    CLEANUP_FREE char *name = str_dup(name_system("main", 1).text);
    shell_out("cd \"$1\"/clusters/main/systems && cp -p *.json 1.json", repository);
    forge_document(repository, name, "system", "system_identifier", json_string("1"));
    forge_document(repository, name, "system", "registered",
                   json_string("2099-01-01T00:00:00.000000Z"));
    use_repository(repository);
    CLEANUP_PLACE p = new_place();
    expect_error(restore(&p), CANNOT, "name the backup");
    assert_false(file_exists(p.data));
    struct pgfix_run r =
        pgfix_tool(pg, "pgproof-restore", p.to, p.tablespaces, "--backup=latest", NULL);
    pgfix_expect(&r, 0);
    assert_true(can_start(p.data));
}

/* ---- manifests and backup.json that lie ---- */

static json_t *like(struct forge *f, const char *of, const char *path, const char *kind)
{
    json_t *o = json_deep_copy(forge_file(f, of));
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "kind", json_string(kind));
    return o;
}

static void insert_behind(struct forge *f, const char *before, json_t *o)
{
    assert_int_equal(json_array_insert_new(forge_files(f), forge_index(f, before) + 1, o), 0);
}

static void up_and_out(struct forge *f)
{
    json_array_insert_new(forge_files(f), 0, like(f, "PG_VERSION", "../../escaped", "file"));
}

static void up_from_within(struct forge *f)
{
    insert_behind(f, "base/1/PG_VERSION",
                  like(f, "PG_VERSION", "base/1/PG_VERSION/../../../../../escaped", "file"));
}

static void absolute(struct forge *f)
{
    json_array_insert_new(forge_files(f), 0,
                          like(f, "PG_VERSION", pgfix_path(pg, "escaped"), "file"));
}

static json_t *link_to(struct forge *f, const char *path, const char *target)
{
    json_t *o = like(f, "base", path, "link");
    json_object_set_new(o, "target", json_string(target));
    return o;
}

static void a_linked_parent(struct forge *f)
{
    json_array_set_new(forge_files(f), forge_index(f, "base"), link_to(f, "base", pgfix_dir(pg)));
}

static void a_tablespace_that_is_none(struct forge *f)
{
    insert_behind(f, "pg_tblspc", link_to(f, "pg_tblspc/1", pgfix_dir(pg)));
    insert_behind(f, "pg_tblspc/1", like(f, "PG_VERSION", "pg_tblspc/1/escaped", "file"));
}

static void a_link_in_the_tablespace(struct forge *f)
{
    insert_behind(f, "pg_tblspc", link_to(f, "pg_tblspc/../base", pgfix_dir(pg)));
}

static void twice(struct forge *f)
{
    insert_behind(f, "PG_VERSION", like(f, "PG_VERSION", "PG_VERSION", "file"));
}

static void a_file_as_parent(struct forge *f)
{
    insert_behind(f, "PG_VERSION", like(f, "PG_VERSION", "PG_VERSION/escaped", "file"));
}

static void without(struct forge *f, const char *path)
{
    json_array_remove(forge_files(f), forge_index(f, path));
}

static void without_label(struct forge *f)
{
    without(f, "backup_label");
}

static void without_control(struct forge *f)
{
    without(f, "global/pg_control");
}

static void config_file_outside(struct forge *f)
{
    json_t *files = json_object_get(json_object_get(forge_summary(f), "details"), "config_files");
    json_array_append_new(files, json_pack("{s:s,s:s,s:s}", "role", "include", "path",
                                           "/etc/escaped/..", "text", "x"));
}

static void another_id(struct forge *f)
{
    json_object_set_new(forge_header(f), "backup", json_string("20200101T000000Z"));
}

static void another_systems_manifest(struct forge *f)
{
    json_object_set_new(forge_header(f), "system_identifier", json_string("1"));
}

static void flipped_chunk(struct forge *f)
{
    forge_flip_chunk(f, "PG_VERSION");
}

static const char *file_of_many_chunks(struct forge *f)
{
    size_t i;
    json_t *o;
    json_array_foreach(forge_files(f), i, o)
    {
        if (json_object_get(o, "maps"))
            return json_string_value(json_object_get(o, "path"));
    }
    fail_msg("no file has a chunk map");
    return NULL;
}

static void flipped_map(struct forge *f)
{
    forge_flip_map(f, file_of_many_chunks(f));
}

static const struct lie {
    const char *what;
    void (*tell)(struct forge *f);
    const char *text;
} lies[] = {
    {"up and out", up_and_out, "manifest"},
    {"up from within", up_from_within, "manifest"},
    {"absolute", absolute, "manifest"},
    {"a linked parent", a_linked_parent, "a link is allowed only for a tablespace"},
    {"a tablespace that is none", a_tablespace_that_is_none, "tablespace 1\n"},
    {"a link in the tablespace", a_link_in_the_tablespace, "manifest"},
    {"twice", twice, "manifest"},
    {"a file as parent", a_file_as_parent, "manifest"},
    {"without backup_label", without_label, "lacks backup_label"},
    {"without pg_control", without_control, "lacks global/pg_control"},
    {"a configuration file outside", config_file_outside, "no usable name"},
    {"another backup's id", another_id, "manifest"},
    {"another system's manifest", another_systems_manifest, "manifest"},
    {"a flipped chunk", flipped_chunk, "PG_VERSION: the frame"},
    {"a flipped chunk map", flipped_map, "could not read the chunk map"},
};

static void check_lie(const struct lie *lie)
{
    const char *repository = copy_repository();
    struct forge *f = forge_open(repository, "main", NULL);
    CLEANUP_PLACE p = new_place();
    lie->tell(f);
    forge_commit(f);
    use_repository(repository);
    const char *before = listing(repository);
    struct pgfix_run r = restore(&p);
    if (r.code != BAD || !strstr(r.err, lie->text) || can_start(p.data))
        fail_msg("%s: code %d, %s: %s", lie->what, r.code, can_start(p.data) ? "can start" : "",
                 r.err);
    expect_three_parts(&r);
    assert_string_equal(listing(repository), before);
    const char *found = shell_out("find \"$1\" -name '*escaped*'", pgfix_dir(pg));
    if (*found)
        fail_msg("%s: wrote %s", lie->what, found);
}

static void lies_with_valid_digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        check_lie(&lies[i]);
}

/* The forge alone spoils nothing: what it commits unchanged restores. */
static void an_honest_forgery_restores(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    forge_commit(forge_open(repository, "main", NULL));
    use_repository(repository);
    CLEANUP_PLACE p = new_place();
    struct pgfix_run r = restore(&p);
    pgfix_expect(&r, 0);
}

/* ---- recovery ---- */

static const char *file_in(const char *dir, const char *name)
{
    const char *in = dir + strlen(pgfix_dir(pg)) + 1;
    return pgfix_path(pg, "%s/%s", in, name);
}

/* Ended, and nothing says that it ever was more than a copy in recovery. */
static void expect_not_promoted(struct pgfix *copy, const char *reason)
{
    CLEANUP_FREE char *controldata = path_join(pgfix_bindir(pg), "pg_controldata");
    assert_int_not_equal(pgfix_start_until_end(copy), 0);
    const char *log = pgfix_log_tail(copy, 60);
    if (!strstr(log, reason))
        fail_msg("not for this reason (%s): %s", reason, log);
    assert_false(file_exists(file_in(pgfix_data(copy), "pg_wal/00000002.history")));
    struct pgfix_run r = pgfix_tool(pg, controldata, pgfix_data(copy), NULL);
    pgfix_expect(&r, 0);
    assert_non_null(strstr(r.out, "Latest checkpoint's TimeLineID:       1\n"));
}

/* A 1 would be the end of the WAL to PostgreSQL: it would open the database with rows missing. */
static void damaged_wal_in_recovery(void **state)
{
    (void)state;
    const char *repository = copy_repository();
    CLEANUP_FREE char *option = str_printf("--repository-path=%s", repository);
    CLEANUP_FREE char *script = str_printf(
        "cd \"$1\"/%s && cp -p %s new && "
        "printf damage | dd of=new bs=1 seek=300 conv=notrunc status=none && mv -f new %s",
        wal_dir, later_segment, later_segment);
    CLEANUP_PLACE p = new_place();
    shell_out(script, repository);
    struct pgfix_run r = pgfix_tool(pg, "pgproof-restore", option, p.to, p.tablespaces, NULL);
    pgfix_expect(&r, 0);
    struct pgfix *copy = pgfix_adopt(pg, p.data);
    expect_not_promoted(copy, later_segment);
    pgfix_free(copy);
}

/* What the archive has, as somebody would put it there who saved pg_wal of the old server. */
static void put_wal_into(const char *data)
{
    CLEANUP_FREE char *script = str_printf(
        "cd '%s'/%s && for f in *[0-9A-F]; do '%s'/pgproof-wal-fetch $f \"$1\"/pg_wal/$f "
        "|| exit 1; done",
        pgfix_repository(pg), wal_dir, pgfix_bin(pg));
    shell_out(script, data);
}

/* What PostgreSQL alone starts with where it finds the WAL, and is corrupt. */
static void no_start_without_backup_label(void **state)
{
    (void)state;
    CLEANUP_PLACE p = new_place();
    struct pgfix_run r = restore(&p);
    pgfix_expect(&r, 0);
    assert_int_equal(unlink(file_in(p.data, "backup_label")), 0);
    put_wal_into(p.data);
    struct pgfix *copy = pgfix_adopt(pg, p.data);
    expect_not_promoted(copy, "checkpoint record");
    assert_int_equal(unlink(file_in(p.data, "recovery.signal")), 0); /* nor by crash recovery */
    expect_not_promoted(copy, "checkpoint record");
    pgfix_free(copy);
}

/* The last operation of a restore that can fail is in front of pg_control. */
static void no_start_of_half_a_restore(void **state)
{
    (void)state;
    CLEANUP_PLACE p = new_place();
    CLEANUP_FREE char *postgres = path_join(pgfix_bindir(pg), "postgres");
    for (unsigned n = 40; n > 0 && !file_exists(p.data); n--) {
        CLEANUP_FREE char *fault = str_printf("PGPROOF_TEST_FAULT=get:%u:kill", n);
        pgfix_tool_env(pg, fault);
        struct pgfix_run r = pgfix_tool(pg, "faulty/pgproof-restore", p.to, p.tablespaces, NULL);
        struct error err;
        if (r.code == 0) { /* fewer operations than that */
            assert_int_equal(file_remove_tree(file_in(p.data, ".."), &err), RC_OK);
            continue;
        }
        assert_int_equal(r.code, 128 + SIGKILL);
    }
    pgfix_tool_env(pg, "PGPROOF_TEST_FAULT=");
    assert_true(file_exists(p.data));
    struct pgfix_run r = pgfix_tool(pg, postgres, "-D", p.data, NULL);
    assert_int_not_equal(r.code, 0);
    r = restore(&p);
    pgfix_expect(&r, 0);
    assert_true(can_start(p.data));
}

/* ---- kill -9 in init ---- */

static void init_killed_and_again(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        const char *repository = pgfix_path(pg, "killed-%u", n);
        CLEANUP_FREE char *fault = str_printf("PGPROOF_TEST_FAULT=any:%u:kill", n);
        use_repository(repository);
        pgfix_tool_env(pg, fault);
        struct pgfix_run r = pgfix_tool(pg, "faulty/pgproof", "init", NULL);
        pgfix_tool_env(pg, "PGPROOF_TEST_FAULT=");
        int code = r.code;
        r = pgfix_tool(pg, "pgproof", "init", NULL);
        pgfix_expect(&r, 0);
        r = pgfix_tool(pg, "pgproof", "info", NULL);
        pgfix_expect(&r, 0);
        pgfix_expect_text(&r, "none yet");
        if (code == 0) {
            assert_true(n > 2); /* it met faults before */
            break;
        }
        assert_int_equal(code, 128 + SIGKILL);
    }
}

/* ---- disk full ---- */

/* A file system of so many KiB for the fixture's user; skips the test without root. */
static const char *mount_small(unsigned kib)
{
    const char *at = pgfix_path(pg, "small");
    CLEANUP_FREE char *options = str_printf("size=%uk,uid=%u,gid=%u,mode=700", kib,
                                            (unsigned)pgfix_uid(pg), (unsigned)pgfix_gid(pg));
    if (mount("tmpfs", at, "tmpfs", 0, options) != 0) {
        print_message("a small file system can't be mounted without root\n");
        skip();
    }
    return at;
}

static int unmount(void **state)
{
    umount2(pgfix_path(pg, "small"), MNT_DETACH);
    return use_original(state);
}

static void fill(const char *at)
{
    shell("dd if=/dev/zero of=\"$1\"/filler bs=4096 status=none 2>&1", at);
}

static void push_onto_a_full_disk(void **state)
{
    (void)state;
    const char *at = mount_small(4096);
    CLEANUP_FREE char *path = str_printf("pg_wal/%s", pgfix_switch_wal(pg));
    use_repository(at);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    const char *before = listing(at);
    fill(at);
    expect_error(push(path), CANNOT, "No space left");
    shell_out("rm \"$1\"/filler", at);
    const char *files = "cd \"$1\" && find . -type f | sort";
    CLEANUP_FREE char *after = str_dup(shell_out(files, at));
    for (const char *line = after; *line; line += strcspn(line, "\n") + 1) {
        CLEANUP_FREE char *name = str_printf("%.*s ", (int)strcspn(line, "\n"), line);
        if (!strstr(before, name))
            fail_msg("left behind: %s", name);
    }
    r = push(path);
    pgfix_expect(&r, 0);
}

static void backup_onto_a_full_disk(void **state)
{
    (void)state;
    const char *at = mount_small(2048);
    CLEANUP_FREE char *options = str_printf("size=200m,uid=%u,gid=%u,mode=700",
                                            (unsigned)pgfix_uid(pg), (unsigned)pgfix_gid(pg));
    CLEANUP_FREE char *command =
        str_printf("'%s/pgproof-wal-push' --config='%s' --repository-path='%s' '%%p'",
                   pgfix_bin(pg), pgfix_path(pg, "pgproof.conf"), at);
    use_repository(at);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_configure_archiving(pg, command);
    expect_error(pgfix_tool(pg, "pgproof-backup", NULL), CANNOT, "No space left");
    r = pgfix_tool(pg, "pgproof", "info", NULL);
    pgfix_expect(&r, 0);
    pgfix_expect_text(&r, "none yet");
    assert_string_equal(shell_out("cd \"$1\" && find . -path '*leases*' -type f", at), "");
    assert_int_equal(mount("tmpfs", at, "tmpfs", MS_REMOUNT, options), 0);
    r = pgfix_tool(pg, "pgproof-backup", NULL);
    pgfix_expect(&r, 0);
}

static int archive_again(void **state)
{
    pgfix_archive_with_pgproof(pg);
    return unmount(state);
}

static void fetch_onto_a_full_disk(void **state)
{
    (void)state;
    const char *at = mount_small(512);
    CLEANUP_FREE char *to = path_join(at, "RECOVERYXLOG");
    expect_error(fetch(segment, to), STOP_RECOVERY, "No space left");
    assert_string_equal(shell_out("ls -A \"$1\"", at), "");
}

/* ---- two at once ---- */

/* The first waits for WAL that does not come before the second was refused. */
static void two_backups_at_once(void **state)
{
    (void)state;
    const char *const argv[] = {"pgproof-backup", NULL};
    pgfix_configure_archiving(pg, "");
    pid_t first = pgfix_tool_begin(pg, argv, pgfix_path(pg, "first.out"));
    for (int i = 0; i < 600; i++) {
        if (pgfix_number(pg, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
            break;
        clock_sleep_ms(50);
    }
    expect_error(pgfix_tool(pg, "pgproof-backup", NULL), BUSY, "another backup");
    pgfix_archive_with_pgproof(pg);
    assert_int_equal(pgfix_tool_wait(pg, first), 0);
}

/* ---- all ---- */

static int build_cluster(void **state)
{
    (void)state;
    pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(pg);
    pgfix_load_story(pg, 1);
    pgfix_write_config(pg, NULL);
    struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    pgfix_archive_with_pgproof(pg);
    r = pgfix_tool(pg, "pgproof-backup", NULL);
    pgfix_expect(&r, 0);
    pgfix_make_dir(pg, "small");
    system_identifier =
        (uint64_t)pgfix_number(pg, "SELECT system_identifier FROM pg_control_system()");
    segment = pgfix_switch_wal(pg);
    pgfix_change_story(pg, 1);
    later_segment = pgfix_switch_wal(pg);
    pgfix_wait_archived(pg, later_segment);
    CLEANUP_FREE char *object = str_dup(name_wal("main", system_identifier, later_segment).text);
    wal_dir = pgfix_path(pg, "%.*s", (int)(strrchr(object, '/') - object), object);
    wal_dir += strlen(pgfix_dir(pg)) + 1;
    return 0;
}

int main(void)
{
#define SPOILS(f) cmocka_unit_test_teardown(f, use_original)
    const struct CMUnitTest tests[] = {
        SPOILS(another_format),
        SPOILS(another_sealing),
        SPOILS(not_there),
        SPOILS(not_mounted),
        SPOILS(denied),
        SPOILS(damaged_identity),
        SPOILS(wrong_configuration),
        SPOILS(another_clusters_backups),
        SPOILS(what_the_cluster_was_before),
        SPOILS(an_honest_forgery_restores),
        SPOILS(lies_with_valid_digests),
        SPOILS(damaged_wal_in_recovery),
        SPOILS(no_start_without_backup_label),
        SPOILS(no_start_of_half_a_restore),
        SPOILS(init_killed_and_again),
        cmocka_unit_test_teardown(push_onto_a_full_disk, unmount),
        cmocka_unit_test_teardown(backup_onto_a_full_disk, archive_again),
        cmocka_unit_test_teardown(fetch_onto_a_full_disk, unmount),
        cmocka_unit_test(two_backups_at_once),
    };
    return cmocka_run_group_tests_name("bad input", tests, build_cluster, pgfix_free_all);
}
