#include "support/wal_fixture.h"

#include "base/file.h"
#include "base/str.h"
#include "repo/names.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGV_MAX 16
#define FILE_MAX (64u << 20)

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

/* ---- files ---- */

void walfix_write(struct walfix *w, const char *path, const void *data, size_t len)
{
    struct error err;

    must(file_replace(path, data, len, 0600, &err), &err);
    pgfix_give(w->pg, path);
}

void walfix_write_text(struct walfix *w, const char *path, const char *text)
{
    walfix_write(w, path, text, strlen(text));
}

bool walfix_read(const char *path, struct buf *to)
{
    struct error err;

    buf_clear(to);
    enum rc rc = file_read(path, to, &err);
    if (rc != RC_NOT_FOUND)
        must(rc, &err);
    return rc == RC_OK;
}

const char *walfix_copy(struct walfix *w, const char *file, const char *to_dir, const char *to)
{
    CLEANUP_FREE char *from = path_join(w->dir, file);
    CLEANUP_BUF struct buf content = BUF_INIT(FILE_MAX);
    const char *path = pgfix_path(w->pg, "%s/%s", to_dir, to);

    assert_true(walfix_read(from, &content));
    if (access(pgfix_path(w->pg, "%s", to_dir), X_OK) != 0)
        pgfix_make_dir(w->pg, to_dir);
    walfix_write(w, path, content.data, content.len);
    return path;
}

const char *walfix_data_directory(struct walfix *w, const char *name)
{
    CLEANUP_BUF struct buf control = BUF_INIT(2 * CONTROL_FILE_BYTES);
    const char *path = pgfix_path(w->pg, "%s", name);
    struct error err;

    must(file_remove_tree(path, &err), &err);
    pgfix_make_dir(w->pg, name);
    CLEANUP_FREE char *global = str_printf("%s/global", name);
    CLEANUP_FREE char *pg_wal = str_printf("%s/pg_wal", name);
    pgfix_make_dir(w->pg, global);
    pgfix_make_dir(w->pg, pg_wal);
    CLEANUP_FREE char *from = path_join(pgfix_data(w->pg), CONTROL_PATH);
    CLEANUP_FREE char *to = path_join(path, CONTROL_PATH);
    assert_true(walfix_read(from, &control));
    walfix_write(w, to, control.data, control.len);
    return path;
}

/* ---- the cluster ---- */

static void write_wal(struct walfix *w)
{
    const char *last = NULL;

    for (int i = 0; i < WALFIX_COUNT; i++) {
        struct wal_name name;
        pgfix_sql(w->pg, "CREATE TABLE made_%d AS SELECT n FROM generate_series(1, 1000) n", i);
        last = pgfix_switch_wal(w->pg);
        assert_true(wal_name_parse(last, w->control.wal_segment_bytes, &name));
        if (i == 0)
            w->first = name.number;
        assert_int_equal(name.number, w->first + (unsigned)i);
    }
    pgfix_wait_archived(w->pg, last);
}

struct walfix walfix_new(unsigned segment_mb)
{
    static const char *const settings[] = {"autovacuum = off", NULL};
    struct pgfix_options o = {.wal_segment_mb = segment_mb, .settings = settings};
    struct walfix w = {.pg = pgfix_new(&o)};
    struct error err;

    w.dir = pgfix_make_dir(w.pg, "wal");
    pgfix_start(w.pg);
    must(control_read(pgfix_data(w.pg), &w.control, NULL, &err), &err);
    CLEANUP_FREE char *command = str_printf("cp \"%%p\" '%s/%%f'", w.dir);
    pgfix_configure_archiving(w.pg, command);
    write_wal(&w);
    pgfix_stop(w.pg, PGFIX_FAST);
    pgfix_write_config(w.pg, NULL);
    walfix_fresh(&w);
    return w;
}

const char *walfix_name(struct walfix *w, uint32_t timeline, unsigned i)
{
    char name[WAL_NAME_MAX];

    wal_name_segment(timeline, w->first + i, w->control.wal_segment_bytes, name);
    return strrchr(pgfix_path(w->pg, "%s", name), '/') + 1;
}

uint64_t walfix_lsn(const struct walfix *w, unsigned i, uint32_t offset)
{
    return (w->first + i) * w->control.wal_segment_bytes + offset;
}

/* ---- running ---- */

/* "env -C DIR TOOL …": the directory that PostgreSQL would call it in. */
static void fill_argv(struct walfix *w, const char **argv, char *path, const char *in,
                      const char *tool, va_list ap)
{
    size_t n = 0;

    argv[n++] = "/usr/bin/env";
    argv[n++] = "-C";
    argv[n++] = in;
    snprintf(path, PATH_MAX, "%s/%s", pgfix_bin(w->pg), tool);
    argv[n++] = path;
    while ((argv[n] = va_arg(ap, const char *)) != NULL)
        assert_true(++n < ARGV_MAX);
}

struct pgfix_run walfix_run(struct walfix *w, const char *in, const char *tool, ...)
{
    const char *argv[ARGV_MAX + 1];
    char path[PATH_MAX];
    va_list ap;

    va_start(ap, tool);
    fill_argv(w, argv, path, in, tool, ap);
    va_end(ap);
    return pgfix_tool_argv(w->pg, argv);
}

pid_t walfix_begin(struct walfix *w, const char *in, const char *tool, ...)
{
    const char *argv[ARGV_MAX + 1];
    char path[PATH_MAX];
    va_list ap;

    va_start(ap, tool);
    fill_argv(w, argv, path, in, tool, ap);
    va_end(ap);
    return pgfix_tool_begin(w->pg, argv, pgfix_path(w->pg, "output"));
}

/* ---- the repository ---- */

static struct store *open_store(struct walfix *w, bool create)
{
    const struct store_options o = {
        .type = STORE_POSIX, .path = pgfix_repository(w->pg), .create = create};
    struct store *s = NULL;
    struct error err;

    must(store_open(&o, &s, &err), &err);
    return s;
}

struct repo *walfix_repo(struct walfix *w)
{
    struct repo *r = NULL;
    struct error err;

    must(repo_open(open_store(w, false), &r, &err), &err);
    return r;
}

void walfix_fresh(struct walfix *w)
{
    const struct cluster_system system = {
        .system_identifier = w->control.system_identifier,
        .pg_major = w->control.pg_major,
        .wal_segment_bytes = w->control.wal_segment_bytes,
        .page_bytes = w->control.page_bytes,
        .relation_segment_pages = w->control.relation_segment_pages,
        .registered = 1,
    };
    struct error err;

    must(file_remove_tree(pgfix_repository(w->pg), &err), &err);
    struct store *s = open_store(w, true);
    must(repo_create(s, &err), &err);
    store_close(s);
    struct repo *r = walfix_repo(w);
    must(repo_register_system(r, "main", &system, &err), &err);
    repo_close(r);
    pgfix_give(w->pg, pgfix_repository(w->pg));
}

bool walfix_archived(struct walfix *w, const char *file, struct buf *to)
{
    struct repo *r = walfix_repo(w);
    struct wal_info info;
    struct error err;

    buf_clear(to);
    enum rc rc = wal_get(r, "main", w->control.system_identifier, file, &info, to, &err);
    repo_close(r);
    if (rc != RC_NOT_FOUND)
        must(rc, &err);
    return rc == RC_OK;
}

void walfix_archive(struct walfix *w, const char *file, const void *data, size_t len)
{
    struct repo *r = walfix_repo(w);
    struct wal_info info = {.system_identifier = w->control.system_identifier,
                            .segment_bytes = w->control.wal_segment_bytes};
    struct error err;
    bool was_there;

    assert_true(str_copy(info.file, sizeof info.file, file));
    must(wal_put(r, "main", &info, data, len, 1, &was_there, &err), &err);
    repo_close(r);
    pgfix_give(w->pg, pgfix_repository(w->pg));
}

void walfix_archive_segment(struct walfix *w, uint32_t timeline, unsigned i)
{
    CLEANUP_FREE char *from = path_join(w->dir, walfix_name(w, 1, i));
    CLEANUP_BUF struct buf content = BUF_INIT(FILE_MAX);

    assert_true(walfix_read(from, &content));
    walfix_archive(w, walfix_name(w, timeline, i), content.data, content.len);
}

const char *walfix_object(struct walfix *w, const char *file)
{
    struct object_name name = name_wal("main", w->control.system_identifier, file);

    return pgfix_path(w->pg, "repository/%s", name.text);
}

void walfix_remove_object(struct walfix *w, const char *file)
{
    if (unlink(walfix_object(w, file)) != 0)
        fail_msg("could not remove the object of %s: %s", file, strerror(errno));
}
