#include "support/s3_story.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "store/s3_xml.h"
#include "support/sweep.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER_SCRIPT   PGPROOF_SOURCE_DIR "/scripts/s3-server"
#define TEXT_MAX        (1u << 20)
#define SEGMENT_MAX     (64u << 20)
#define LOAD_CLIENTS    2
#define LOAD_RATE       100 /* transactions a second */
#define REFUSED_SECONDS 120
#define QUOTA_BYTES     "4096"
#define SETTINGS                                                                                   \
    "[backup]\njobs = 2\ncompress-level = 1\n"                                                     \
    "[wal]\narchive-timeout = 2m\n"

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

/* ---- the server ---- */

/* Runs as we are, and must succeed. Gives what it printed, for free(). */
static char *run(const char *const *argv, const char *const *env)
{
    CLEANUP_BUF struct buf out = BUF_INIT(TEXT_MAX), errout = BUF_INIT(TEXT_MAX);
    const struct proc_options o = {.argv = argv, .env = env};
    struct error err;
    const char *text, *problem;
    int status;

    must(proc_run(&o, &out, &errout, &status, &err), &err);
    must(buf_cstr(&out, &text, &err), &err);
    must(buf_cstr(&errout, &problem, &err), &err);
    if (status != 0) {
        fprintf(stderr, "%s%s\n", text, problem);
        fail_msg("%s exited with %d", argv[0], status);
    }
    return str_dup(text);
}

/* Lines NAME=value, into our environment. */
static void set_environment(char *lines)
{
    char *rest;

    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, '=');

        assert_non_null(value);
        *value++ = '\0';
        setenv(line, value, 1);
    }
}

static void start_server(struct s3_story *s)
{
    static const char script[] = "eval \"$(\"$0\" start \"$1\" \"$2\")\" || exit\n"
                                 "env | grep ^PGPROOF_TEST_S3_";
    CLEANUP_FREE char *owner = str_printf("PGPROOF_S3_OWNER=%d", (int)getpid());
    const char *const env[] = {owner, NULL};

    strcpy(s->server_dir, "/tmp/pgproof-story-XXXXXX");
    assert_non_null(mkdtemp(s->server_dir));
    const char *const argv[] = {"bash",        "-c", script, SERVER_SCRIPT, s3fix_setting("KIND"),
                                s->server_dir, NULL};
    CLEANUP_FREE char *lines = run(argv, env);
    set_environment(lines);
}

static void restart_server(struct s3_story *s)
{
    const char *const argv[] = {SERVER_SCRIPT, "restart", s->server_dir, NULL};

    free(run(argv, NULL));
}

static void radosgw_quota(const struct s3_story *s, bool full)
{
    CLEANUP_FREE char *conf = str_printf("%s/ceph.conf", s->server_dir);
    const char *const set[] = {"radosgw-admin",
                               "-n",
                               "client.rgw",
                               "-c",
                               conf,
                               "quota",
                               "set",
                               "--uid",
                               "pgproof",
                               "--quota-scope",
                               "user",
                               "--max-size=" QUOTA_BYTES,
                               NULL};
    const char *const turn[] = {"radosgw-admin",
                                "-n",
                                "client.rgw",
                                "-c",
                                conf,
                                "quota",
                                full ? "enable" : "disable",
                                "--uid",
                                "pgproof",
                                "--quota-scope",
                                "user",
                                NULL};

    free(run(set, NULL));
    free(run(turn, NULL));
}

/* MinIO's admin API; 0 is none. */
static void minio_quota(bool full)
{
    CLEANUP_FREE char *query = str_printf("bucket=%s", s3fix_setting("BUCKET"));
    CLEANUP_FREE char *body =
        str_printf("{\"quota\":%s,\"quotatype\":\"hard\"}", full ? QUOTA_BYTES : "0");

    s3fix_must(&(struct s3fix_call){.method = "PUT",
                                    .bucket = "minio",
                                    .key = "admin/v3/set-bucket-quota",
                                    .query = query,
                                    .body = body,
                                    .body_len = strlen(body)},
               NULL);
}

void s3_story_server_fill(struct s3_story *s, bool full)
{
    if (s3fix_is("radosgw"))
        radosgw_quota(s, full);
    else
        minio_quota(full);
}

static void *restart(void *ctx)
{
    restart_server(ctx);
    return NULL;
}

static bool refuses(unsigned port)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0;
}

void s3_story_server_kill(struct s3_story *s)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, restart, s), 0);
    while (!refuses(s3fix_port()))
        clock_sleep_ms(1);
    fault_proxy_release(s->proxy);
    pthread_join(thread, NULL);
}

static void radosgw_keys(const struct s3_story *s, struct story_keys *ret)
{
    static unsigned count;
    CLEANUP_FREE char *conf = str_printf("%s/ceph.conf", s->server_dir);

    *ret = (struct story_keys){0};
    snprintf(ret->access, sizeof(ret->access), "pgproof-story-%u", ++count);
    snprintf(ret->secret, sizeof(ret->secret), "secret-of-story-%u", count);
    const char *const argv[] = {
        "radosgw-admin", "-n",        "client.rgw",   "-c",        conf,
        "key",           "create",    "--uid",        "pgproof",   "--key-type=s3",
        "--access-key",  ret->access, "--secret-key", ret->secret, NULL};
    free(run(argv, NULL));
}

static void element(const char *xml, const char *name, char *to, size_t to_size)
{
    struct error err;

    must(s3_xml_text(xml, strlen(xml), name, to, to_size, &err), &err);
}

/* AssumeRole, asked by curl. */
static void minio_keys(struct story_keys *ret)
{
    CLEANUP_FREE char *service = str_printf("aws:amz:%s:sts", s3fix_setting("REGION"));
    CLEANUP_FREE char *user =
        str_printf("%s:%s", s3fix_setting("ACCESS_KEY"), s3fix_setting("SECRET_KEY"));
    const char *const argv[] = {"curl",
                                "-sf",
                                "--noproxy",
                                "*",
                                "--aws-sigv4",
                                service,
                                "--user",
                                user,
                                "-d",
                                "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900",
                                s3fix_setting("ENDPOINT"),
                                NULL};
    CLEANUP_FREE char *xml = run(argv, NULL);

    element(xml, "AccessKeyId", ret->access, sizeof(ret->access));
    element(xml, "SecretAccessKey", ret->secret, sizeof(ret->secret));
    element(xml, "SessionToken", ret->token, sizeof(ret->token));
}

void s3_story_new_keys(struct s3_story *s, struct story_keys *ret)
{
    if (s3fix_is("radosgw"))
        radosgw_keys(s, ret);
    else
        minio_keys(ret);
}

/* ---- the cluster ---- */

static void write_file(struct s3_story *s, const char *path, const char *text, unsigned mode)
{
    struct error err;

    must(file_replace(path, text, strlen(text), mode, &err), &err);
    pgfix_give(s->pg, path);
}

void s3_story_configure(struct s3_story *s, bool keys)
{
    CLEANUP_FREE char *secret =
        keys ? str_printf("access-key-id = %s\nsecret-access-key = %s\n",
                          s3fix_setting("ACCESS_KEY"), s3fix_setting("SECRET_KEY"))
             : str_dup("");
    CLEANUP_FREE char *repository = str_printf(
        "type = s3\nendpoint = %s\nregion = %s\nbucket = %s\nprefix = fleet/story\n"
        "connect-timeout = 3s\nstall-timeout = " STORY_STALL "\n"
        "retry-timeout = " STORY_RETRY "\n%s",
        fault_proxy_url(s->proxy), s3fix_setting("REGION"), s3fix_setting("BUCKET"), secret);

    pgfix_write_config_with(s->pg, repository, SETTINGS);
}

void s3_story_archiver(struct s3_story *s, const char *lines)
{
    write_file(s, pgfix_path(s->pg, "archiver.env"), lines, 0600);
}

/* Acknowledged is what the server hears 0 for, so what is kept is at least that. Each run leaves a
 * line "SEGMENT EXITCODE" in the diary. Restored servers have the same archive_command, and no part
 * in this. */
static void write_archiver(struct s3_story *s)
{
    const char *dir = pgfix_dir(s->pg);
    CLEANUP_FREE char *text =
        str_printf("#!/bin/sh\n"
                   "[ \"$PWD\" = '%s' ] || exit 1\n"
                   "HOME='%s'\n"
                   ". '%s/archiver.env'\n"
                   "$CLOCK '%s/pgproof-wal-push' --config='%s/pgproof.conf' "
                   "$OPTIONS \"$1\" 2>>'%s/push.log'\n"
                   "code=$?\n"
                   "echo \"$2 $code\" >>'%s/diary'\n"
                   "[ $code = 0 ] && cp \"$1\" '%s/kept/.new' &&\n"
                   "  mv '%s/kept/.new' '%s/kept/'\"$2\"\n",
                   pgfix_data(s->pg), dir, dir, pgfix_bin(s->pg), dir, dir, dir, dir, dir, dir);

    s->archiver = pgfix_path(s->pg, "archiver");
    write_file(s, s->archiver, text, 0700);
    s3_story_archiver(s, "");
    pgfix_make_dir(s->pg, "kept");
    pgfix_make_dir(s->pg, "seen");
}

static void start_archiving(struct s3_story *s)
{
    CLEANUP_FREE char *command = str_printf("'%s' '%%p' '%%f'", s->archiver);

    pgfix_configure_archiving(s->pg, command);
}

/* No files of the AWS tools. And sanitizers want to be first in the process; faketime is. */
static void set_tool_environment(struct s3_story *s)
{
    CLEANUP_FREE char *home = str_printf("HOME=%s", pgfix_dir(s->pg));
    const char *old = getenv("ASAN_OPTIONS");
    CLEANUP_FREE char *options =
        str_printf("ASAN_OPTIONS=verify_asan_link_order=0%s%s", old ? ":" : "", old ? old : "");

    pgfix_tool_env(s->pg, home);
    pgfix_tool_env(s->pg, options);
    setenv("ASAN_OPTIONS", strchr(options, '=') + 1, 1); /* for the server, and its archiver */
}

struct s3_story *s3_story_new(void)
{
    static const char *const backup[] = {"pgproof-backup", NULL};
    struct s3_story *s = mem_zalloc(sizeof(*s));

    s->memory = arena_new();
    start_server(s);
    s->proxy = fault_proxy_start(s3fix_setting("ENDPOINT"));
    s->pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    set_tool_environment(s);
    pgfix_start(s->pg);
    pgfix_pgbench_init(s->pg, 1);
    s3_story_configure(s, true);
    write_archiver(s);
    struct pgfix_run r = pgfix_tool(s->pg, "pgproof", "init", NULL);
    pgfix_expect(&r, 0);
    start_archiving(s);
    struct story_run first = s3_story_tool(s, backup);
    if (first.code != 0)
        fail_msg("the first backup: %s", first.output);
    return s;
}

/* ---- the tools ---- */

void s3_story_begin(struct s3_story *s, const char *const *argv)
{
    s->output_path = pgfix_path(s->pg, "output-%u", s->serial++);
    s->tool_began = clock_monotonic();
    s->tool = pgfix_tool_begin(s->pg, argv, s->output_path);
}

void s3_story_hold(struct s3_story *s, const char *method)
{
    const struct proxy_rule hold = {
        .method = method, .path = "/packs/", .times = 1, .act = PROXY_HOLD};

    fault_proxy_add(s->proxy, hold);
}

void s3_story_amid(struct s3_story *s)
{
    if (!fault_proxy_wait_held(s->proxy, 1))
        fail_msg("the tool asked for no pack");
}

static const char *read_text(struct s3_story *s, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
    struct error err;
    enum rc rc = file_read(path, &text, &err);

    if (rc != RC_NOT_FOUND)
        must(rc, &err);
    return arena_strndup(s->memory, text.data ? (const char *)text.data : "", text.len);
}

struct story_run s3_story_end(struct s3_story *s)
{
    struct story_run r = {.code = pgfix_tool_wait(s->pg, s->tool)};

    r.seconds = clock_monotonic() - s->tool_began;
    r.output = read_text(s, s->output_path);
    return r;
}

struct story_run s3_story_tool(struct s3_story *s, const char *const *argv)
{
    s3_story_begin(s, argv);
    return s3_story_end(s);
}

/* ---- what holds ---- */

struct diary {
    unsigned pushed, refused;
    size_t lines; /* in all */
};

/* Since the last row of the table. Nothing but 0 and 1 may be there. */
static struct diary read_diary(struct s3_story *s)
{
    CLEANUP_FREE char *text = str_dup(read_text(s, pgfix_path(s->pg, "diary")));
    struct diary d = {0};
    char *rest;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (d.lines++ < s->lines_before)
            continue;
        if (str_ends(line, " 0"))
            d.pushed++;
        else if (str_ends(line, " 1"))
            d.refused++;
        else
            fail_msg("pgproof-wal-push exited with: %s", line);
    }
    return d;
}

void s3_story_wait_refused(struct s3_story *s)
{
    double until = clock_monotonic() + REFUSED_SECONDS;

    while (read_diary(s).refused == 0) {
        if (clock_monotonic() > until)
            fail_msg("no push has failed");
        clock_sleep_ms(100);
    }
}

void s3_story_load(struct s3_story *s)
{
    pgfix_pgbench_begin(s->pg, LOAD_CLIENTS, LOAD_RATE);
    s->loaded = true;
}

void s3_story_push(struct s3_story *s, unsigned segments)
{
    for (unsigned i = 0; i < segments; i++)
        pgfix_switch_wal(s->pg);
}

void s3_story_settle(struct s3_story *s)
{
    fault_proxy_clear(s->proxy);
    fault_proxy_release(s->proxy);
    if (s->loaded)
        pgfix_pgbench_stop(s->pg);
    s->loaded = false;
    s->fingerprint = pgfix_fingerprint(s->pg);
    pgfix_wait_archived(s->pg, pgfix_switch_wal(s->pg));
}

static bool same_files(const char *a, const char *b)
{
    CLEANUP_BUF struct buf x = BUF_INIT(SEGMENT_MAX), y = BUF_INIT(SEGMENT_MAX);
    struct error err;

    must(file_read(a, &x, &err), &err);
    must(file_read(b, &y, &err), &err);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

static void check_file(struct s3_story *s, const char *directory, const char *name)
{
    const char *kept = pgfix_path(s->pg, "%s/%s", directory, name);
    const char *fetched = pgfix_path(s->pg, "fetched");

    (void)unlink(fetched);
    struct pgfix_run r = pgfix_tool(s->pg, "pgproof-wal-fetch", name, fetched, NULL);
    pgfix_expect(&r, 0);
    if (!same_files(kept, fetched))
        fail_msg("%s was acknowledged, and is another in the repository", name);
    if (rename(kept, pgfix_path(s->pg, "seen/%s", name)) != 0)
        fail_msg("could not rename %s", kept);
}

/* Returns how many. */
static unsigned check_files(struct s3_story *s, const char *directory)
{
    const char *path = pgfix_path(s->pg, "%s", directory);
    CLEANUP_DIR DIR *dir = opendir(path);
    const struct dirent *e;
    unsigned count = 0;

    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.') {
            check_file(s, directory, e->d_name);
            count++;
        }
    return count;
}

static bool has_kept(struct s3_story *s, const char *name)
{
    return file_exists(pgfix_path(s->pg, "kept/%s", name)) ||
           file_exists(pgfix_path(s->pg, "seen/%s", name));
}

/* What the server believes to be archived is what was kept. */
static void check_marks(struct s3_story *s)
{
    CLEANUP_FREE char *path = str_printf("%s/pg_wal/archive_status", pgfix_data(s->pg));
    CLEANUP_DIR DIR *dir = opendir(path);
    const struct dirent *e;

    assert_non_null(dir);
    while ((e = readdir(dir))) {
        CLEANUP_FREE char *name = str_dup(e->d_name);

        if (!str_ends(name, ".done"))
            continue;
        name[strlen(name) - strlen(".done")] = '\0';
        if (!has_kept(s, name))
            fail_msg("%s is said to be archived, and its push did not succeed", name);
    }
}

void s3_story_check_archive(struct s3_story *s, bool all)
{
    unsigned count = check_files(s, "kept");

    assert_true(count > 0);
    if (all)
        count = check_files(s, "seen");
    check_marks(s);
}

static const char *check_usable(struct s3_story *s, json_t *backup)
{
    struct error err;
    const char *id, *state;

    must(json_get_str(backup, "id", &id, &err), &err);
    must(json_get_str(backup, "state", &state, &err), &err);
    if (!str_eq(state, "usable"))
        fail_msg("backup %s is listed and %s", id, state);
    return arena_strdup(s->memory, id);
}

size_t s3_story_listed(struct s3_story *s, const char **ret_newest)
{
    struct pgfix_run r = pgfix_tool(s->pg, "pgproof", "info", "--json", NULL);
    CLEANUP_JSON json_t *o = NULL;
    struct error err;
    json_t *backups;

    pgfix_expect(&r, 0);
    must(json_parse_object(r.out, strlen(r.out), &o, &err), &err);
    must(json_get_array(o, "backups", &backups, &err), &err);
    for (size_t i = 0; i < json_array_size(backups); i++)
        *ret_newest = check_usable(s, json_array_get(backups, i));
    return json_array_size(backups);
}

const char *s3_story_place(struct s3_story *s)
{
    return pgfix_path(s->pg, "restored-%u", s->serial++);
}

void s3_story_remove(const char *place)
{
    struct error err;

    must(file_remove_tree(place, &err), &err);
}

void s3_story_check_content(struct s3_story *s, const char *place)
{
    struct pgfix *copy = pgfix_adopt(s->pg, place);

    pgfix_start(copy);
    pgfix_wait_promoted(copy);
    pgfix_compare_fingerprint(s->fingerprint, copy);
    pgfix_free(copy);
    s3_story_remove(place);
}

void s3_story_check_restores(struct s3_story *s, const char *id)
{
    const char *place = s3_story_place(s);
    CLEANUP_FREE char *to = str_printf("--to=%s", place);
    CLEANUP_FREE char *backup = str_printf("--backup=%s", id);
    struct pgfix_run r = pgfix_tool(s->pg, "pgproof-restore", to, backup, NULL);

    pgfix_expect(&r, 0);
    s3_story_check_content(s, place);
}

/* ---- which faults ---- */

void s3_story_choose(const char *const *names, bool *wanted, size_t count, unsigned many)
{
    const char *only = getenv("PGPROOF_TEST_ONLY");

    for (unsigned i = 0; i < many; i++)
        wanted[sweep_random(count)] = true;
    for (size_t i = 0; i < count; i++)
        if (only)
            wanted[i] = strstr(names[i], only) != NULL;
        else
            wanted[i] |= sweep_is_soak();
}

bool s3_story_is_simple(void)
{
    return s3fix_setting_or("KIND") && s3fix_is("s3rver");
}

/* ---- the table ---- */

struct story_row {
    const char *fault, *tool, *outcome, *words;
    struct story_run run;
    struct diary pushes;
    unsigned met;
};

/* The error's first line, without the tool's name. */
static const char *words_of(struct s3_story *s, const struct story_run *r)
{
    const char *error = strstr(r->output, ": error: ");

    if (!error)
        return "";
    error += strlen(": error: ");
    return arena_strndup(s->memory, error, strcspn(error, "\n"));
}

void s3_story_note(struct s3_story *s, const char *fault, const char *tool,
                   const struct story_run *r, unsigned met, const char *outcome)
{
    struct story_row row = {.fault = fault,
                            .tool = tool,
                            .run = *r,
                            .met = met,
                            .outcome = outcome,
                            .words = words_of(s, r),
                            .pushes = read_diary(s)};

    s->lines_before = row.pushes.lines;
    s->rows = mem_grow(s->rows, s->row_count, &s->row_capacity, sizeof(*s->rows));
    s->rows[s->row_count++] = row;
}

/* Not print_message, which cuts. */
static void print_table(const struct s3_story *s)
{
    printf("%-44s %-8s %4s %7s %4s %8s  %s\n", "fault", "tool", "exit", "seconds", "met", "pushes",
           "outcome; what it said");
    for (size_t i = 0; i < s->row_count; i++) {
        const struct story_row *r = &s->rows[i];

        printf("%-44s %-8s %4d %7.1f %4u %4u-%-3u  %s%s%s\n", r->fault, r->tool, r->run.code,
               r->run.seconds, r->met, r->pushes.pushed, r->pushes.refused, r->outcome,
               *r->words ? "; " : "", r->words);
    }
    fflush(stdout);
}

void s3_story_free(struct s3_story *s)
{
    if (!s)
        return;
    print_table(s);
    pgfix_free(s->pg);
    fault_proxy_stop(s->proxy);
    free(s->rows);
    arena_free(s->memory);
    free(s);
}
