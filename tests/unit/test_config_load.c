/* The configuration: origins, errors with their places, secrets. */
#include "base/file.h"
#include "base/str.h"
#include "config/config_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    char *path;
    char *environment[8]; /* NULL-terminated */
    struct config *config;
    struct error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    snprintf(f->dir, sizeof(f->dir), "%.40s/pgproof-conf-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->path = path_join(f->dir, "pgproof.conf");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct error err;

    config_free(f->config);
    assert_int_equal(file_remove_tree(f->dir, &err), RC_OK);
    free(f->path);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const void *text, size_t len, mode_t mode)
{
    struct error err = {0};

    assert_int_equal(file_replace(f->path, text, len, mode, &err), RC_OK);
    assert_int_equal(chmod(f->path, mode), 0);
}

static enum rc load_table(struct fixture *f, const struct option *table, size_t count,
                          struct config_request *q)
{
    struct config_source source = {.table = table,
                                   .table_count = count,
                                   .environment = f->environment,
                                   .default_path = "/nowhere/pgproof.conf"};

    config_free(f->config);
    f->config = NULL;
    memset(&f->err, 0, sizeof(f->err));
    return config_load_from(&source, q, &f->config, &f->err);
}

static enum rc load(struct fixture *f, const char *text)
{
    struct config_request q = {.path = f->path};

    write_file(f, text, strlen(text), 0644);
    return load_table(f, config_options, config_option_count, &q);
}

static void expect_ok(struct fixture *f, const char *text)
{
    if (load(f, text) != RC_OK)
        fail_msg("%s (%s; %s)", f->err.what, f->err.on, f->err.now);
}

/* RC_CONFIG, with these words in the three parts; `line` 0: any place. */
static void expect_error(struct fixture *f, const char *text, unsigned line, const char *what,
                         const char *now)
{
    char *on = str_printf("%s:%u", f->path, line);

    assert_int_equal(load(f, text), RC_CONFIG);
    if (!strstr(f->err.what, what))
        fail_msg("\"%s\" is not in: %s", what, f->err.what);
    if (!strstr(f->err.now, now))
        fail_msg("\"%s\" is not in: %s", now, f->err.now);
    if (line)
        assert_string_equal(f->err.on, on);
    assert_null(f->config);
    free(on);
}

#define MINIMAL "[repository]\npath = /r\n[cluster:shop]\ndata-directory = /d\n"

static const struct setting *find(const struct config *c, const char *name, const char *key)
{
    for (size_t i = 0; i < c->setting_count; i++)
        if (str_eq(c->settings[i].option->key, key) && str_eq(c->settings[i].name, name))
            return &c->settings[i];
    fail_msg("no setting %s of '%s'", key, name);
    return NULL;
}

static void test_the_file_is_read(void **state)
{
    struct fixture *f = *state;

    expect_ok(f, "\xef\xbb\xbf; a comment\n# another\n\n[repository] ; inline\n"
                 "type = posix ; inline\n  path = /var/lib/r;x\r\n"
                 "[cluster:shop]\ndata-directory=/d\n"
                 "connection = host=/run dbname=postgres\n"
                 "[backup]\njobs = 3\ncompress-level = 7\nrow-counts = off\n"
                 "[wal]\narchive-timeout = 90s\nkeep = 2d\n"
                 "[tier:hourly]\nkeep = 6h\n[tier:daily]\nkeep = 3d\n"
                 "[objectives]\nrto = 30m\nrto-max = 2h\n[verify]\nscratch-directory = /s");
    const struct config *c = f->config;
    assert_string_equal(c->cluster, "shop");
    assert_string_equal(c->repository_path, "/var/lib/r;x");
    assert_string_equal(c->data_directory, "/d");
    assert_string_equal(c->connection, "host=/run dbname=postgres");
    assert_int_equal(c->jobs, 3);
    assert_int_equal(c->zstd_level, 7);
    assert_false(c->row_counts);
    assert_int_equal(c->archive_timeout_seconds, 90);
    assert_int_equal(c->wal_keep_seconds, 2 * 86400);
    assert_int_equal(c->tier_count, 4);
    assert_string_equal(c->tiers[0].name, "daily");
    assert_int_equal(c->tiers[0].keep_seconds, 3 * 86400);
    assert_string_equal(c->tiers[1].type, "full");
    assert_int_equal(c->tiers[2].keep_seconds, INT64_C(365) * 86400);
    assert_string_equal(c->tiers[3].name, "hourly");
    assert_int_equal(c->tiers[3].keep_seconds, 6 * 3600);
    assert_string_equal(c->tiers[3].type, "auto");
    assert_int_equal(c->rto_seconds, 1800);
    assert_int_equal(c->rpo_seconds, -1);
    assert_string_equal(c->scratch_directory, "/s");
    assert_string_equal(c->path, f->path);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;

    expect_ok(f, MINIMAL);
    assert_true(f->config->jobs >= 1);
    assert_true(f->config->row_counts);
    assert_null(f->config->pg_bindir);
    assert_int_equal(f->config->archive_timeout_seconds, 600);
    assert_string_equal(f->config->scratch_directory, "/var/tmp");
    assert_int_equal(find(f->config, "", "keep")->origin, ORIGIN_DEFAULT);
    assert_int_equal(f->config->setting_count, config_option_count + 3 * 2);
}

static void test_every_mistake_names_its_line(void **state)
{
    struct fixture *f = *state;

    expect_error(f, "[wal]\n\nkep = 7d\n", 3, "unknown key 'kep' in section [wal]", "'keep'");
    expect_error(f, "[wall]\n", 1, "unknown section [wall]", "'wal'");
    expect_error(f, "[zzzzzzzz]\n", 1, "unknown section", "known sections: repository, cluster");
    expect_error(f, "[wal]\nqqqqqqqq = 1\n", 2, "unknown key", "known keys: keep");
    expect_error(f, "keep = 7d\n", 1, "in front of the first section", "");
    expect_error(f, "[wal]\nnonsense\n", 2, "neither", "");
    expect_error(f, "[wal\n", 1, "no section header", "");
    expect_error(f, "[wal] keep = 1d\n", 1, "no section header", "");
    expect_error(f, "[wal:x]\n", 1, "takes no name", "[wal]");
    expect_error(f, "[cluster]\n", 1, "needs a name", "[cluster:NAME]");
    expect_error(f, "[cluster:Big]\n", 1, "'Big' can't be", "");
    expect_error(f, "[tier:a_b]\nkeep=1d\n", 1, "'a_b' can't be", "");
    expect_error(f, "[wal]\nkeep = 7d\nkeep = 8d\n", 3, "given twice, first at", "remove");
    expect_error(f, "[repository]\ntype = ftp\n", 2, "must be one of: posix, s3", "");
    expect_error(f, "[repository]\npath = r\n", 2, "absolute path", "");
    expect_error(f, "[repository]\npath =\n", 2, "has no value", "");
    expect_error(f, "[wal]\nkeep = 7 parsecs\n", 2, "a duration such as", "");
    expect_error(f, "[wal]\narchive-timeout = 0s\n", 2, "at least a second", "");
    expect_error(f, "[backup]\ncompress-level = 20\n", 2, "a number from 1 to 19", "");
    expect_error(f, "[backup]\nrow-counts = perhaps\n", 2, "on or off", "");
    expect_error(f, "[tier:mine]\ntype = full\n", 0, "'mine' does not say", "keep = 30d");
    expect_error(f, "[objectives]\nrto = 2h\nrto-max = 1h\n", 2, "longer than its maximum", "");
}

static void test_long_lines_and_nul_bytes(void **state)
{
    struct fixture *f = *state;
    static const char nul[] = "[wal]\nke\0ep = 7d\n";
    struct config_request q = {.path = f->path};
    char text[300] = "[repository]\npath = /";

    memset(text + strlen(text), 'x', 198 - strlen("path = /"));
    expect_ok(f, text);
    assert_int_equal(strlen(f->config->repository_path), 191);
    strcat(text, "x");
    expect_error(f, text, 2, "longer than 198 bytes", "environment variable");
    write_file(f, nul, sizeof(nul) - 1, 0644);
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
    assert_non_null(strstr(f->err.what, "NUL"));
}

static void test_long_section_names_are_not_cut(void **state)
{
    struct fixture *f = *state;
    char name[64], text[200];

    memset(name, 'c', 63);
    name[63] = '\0';
    snprintf(text, sizeof(text), "[cluster:%s]\ndata-directory = /d\n", name);
    expect_ok(f, text);
    assert_string_equal(f->config->cluster, name);
    assert_string_equal(f->config->data_directory, "/d");
}

static void test_the_command_line_wins_over_the_environment_over_the_file(void **state)
{
    struct fixture *f = *state;
    char name[SECTION_NAME_SIZE];
    const struct option *keep = option_by_long_name("wal-keep", name);
    struct config_override over = {keep, "", "1d", "--wal-keep"};
    struct config_request q = {.path = f->path, .overrides = &over, .override_count = 1};

    f->environment[0] = (char *)"PGPROOF_WAL_KEEP=5d";
    f->environment[1] = (char *)"PGPROOF_TIER_DAILY_KEEP=2d";
    f->environment[2] = (char *)"PGPROOF_CLUSTER_DATA_DIRECTORY=/from/env";
    expect_ok(f, MINIMAL "[wal]\nkeep = 9d\n");
    assert_int_equal(f->config->wal_keep_seconds, 5 * 86400);
    assert_int_equal(f->config->tiers[0].keep_seconds, 2 * 86400);
    assert_string_equal(f->config->data_directory, "/from/env");
    assert_string_equal(find(f->config, "", "keep")->origin_where, "PGPROOF_WAL_KEEP");
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_OK);
    assert_int_equal(f->config->wal_keep_seconds, 86400);
    assert_string_equal(find(f->config, "", "keep")->origin_where, "--wal-keep");
    char *where = str_printf("%s:2", f->path);
    assert_string_equal(find(f->config, "", "path")->origin_where, where);
    free(where);
}

static void test_unknown_variables(void **state)
{
    struct fixture *f = *state;

    f->environment[0] = (char *)"PGPROOF_WAL_KEP=5d";
    assert_int_equal(load(f, MINIMAL), RC_CONFIG);
    assert_string_equal(f->err.on, "PGPROOF_WAL_KEP");
    assert_non_null(strstr(f->err.now, "PGPROOF_WAL_KEEP"));
    f->environment[0] = (char *)"PGPROOF_TEST_BIN=/b";
    f->environment[1] = (char *)"PGPROOF_SOAK=1";
    expect_ok(f, MINIMAL);
    f->environment[0] = (char *)"PGPROOF_WAL_KEEP=xyz";
    assert_int_equal(load(f, MINIMAL), RC_CONFIG);
    assert_string_equal(f->err.on, "PGPROOF_WAL_KEEP");
}

static void test_choosing_a_cluster(void **state)
{
    struct fixture *f = *state;
    const char *two = "[cluster:a]\ndata-directory = /a\n[cluster:b]\ndata-directory = /b\n";
    struct config_request q = {.path = f->path, .cluster = "b"};

    expect_error(f, two, 0, "which cluster?", "--cluster");
    assert_non_null(strstr(f->err.what, "a, b"));
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_OK);
    assert_string_equal(f->config->data_directory, "/b");
    q.cluster = "c";
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
    f->environment[0] = (char *)"PGPROOF_CLUSTER=a";
    expect_ok(f, two);
    assert_string_equal(f->config->data_directory, "/a");
    f->environment[0] = NULL;
    expect_ok(f, "[wal]\n");
    assert_string_equal(f->config->cluster, "main");
    q.cluster = "../x";
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
}

static void test_a_missing_file(void **state)
{
    struct fixture *f = *state;
    struct config_request q = {.path = "/nowhere/at/all"};

    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
    assert_string_equal(f->err.on, "/nowhere/at/all");
    q.path = f->dir;
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
    q.path = NULL; /* the default one need not be there */
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_OK);
    assert_null(f->config->path);
    assert_int_equal(config_need(f->config, "repository", "path", &f->err), RC_CONFIG);
    assert_non_null(strstr(f->err.now, "--repository-path"));
    f->environment[0] = (char *)"PGPROOF_CONFIG=/nowhere/else";
    assert_int_equal(load_table(f, config_options, config_option_count, &q), RC_CONFIG);
    assert_string_equal(f->err.on, "/nowhere/else");
}

static const struct option secret_table[] = {
    {.section = "repository", .key = "secret-key", .type = OPT_TEXT, .flags = OPT_SECRET},
    {.section = "cluster", .key = "connection", .type = OPT_TEXT},
    {.section = "tier", .key = "keep", .type = OPT_DURATION},
    {.section = "tier", .key = "type", .type = OPT_TEXT, .default_value = "auto"},
};

static enum rc load_secret(struct fixture *f, const char *text, mode_t mode)
{
    struct config_request q = {.path = f->path};

    write_file(f, text, strlen(text), mode);
    return load_table(f, secret_table, 4, &q);
}

static void test_secrets_need_a_private_file(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load_secret(f, "[repository]\nsecret-key = x\n", 0640), RC_CONFIG);
    assert_non_null(strstr(f->err.now, "chmod 600"));
    assert_null(strstr(f->err.what, "x\n"));
    assert_int_equal(load_secret(f, "[repository]\nsecret-key = x\n", 0600), RC_OK);
    assert_int_equal(load_secret(f, "[cluster:a]\nconnection = password = x\n", 0604), RC_CONFIG);
    assert_int_equal(load_secret(f, "[cluster:a]\nconnection = postgres://u:x@h/d\n", 0644),
                     RC_CONFIG);
    assert_int_equal(load_secret(f, "[cluster:a]\nconnection = postgres://u@h/d\n", 0644), RC_OK);
    assert_false(setting_is_secret(find(f->config, "a", "connection")));
}

static void test_secrets_never_on_the_command_line(void **state)
{
    struct fixture *f = *state;
    struct config_override over = {&secret_table[0], "", "hush", "--repository-secret-key"};
    struct config_request q = {.overrides = &over, .override_count = 1};

    assert_int_equal(load_table(f, secret_table, 4, &q), RC_CONFIG);
    assert_string_equal(f->err.on, "--repository-secret-key");
    assert_null(strstr(f->err.what, "hush"));
    f->environment[0] = (char *)"PGPROOF_REPOSITORY_SECRET_KEY=hush";
    q.override_count = 0;
    assert_int_equal(load_table(f, secret_table, 4, &q), RC_OK);
    assert_true(setting_is_secret(find(f->config, "", "secret-key")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_the_file_is_read),
        T(test_defaults),
        T(test_every_mistake_names_its_line),
        T(test_long_lines_and_nul_bytes),
        T(test_long_section_names_are_not_cut),
        T(test_the_command_line_wins_over_the_environment_over_the_file),
        T(test_unknown_variables),
        T(test_choosing_a_cluster),
        T(test_a_missing_file),
        T(test_secrets_need_a_private_file),
        T(test_secrets_never_on_the_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
