#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/recovery.h"
#include "pg/server.h"
#include "pg/session.h"
#include "support/pg_fixture.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pgfix *pg; /* one for the group; tests that need another make it */

static int group_setup(void **state)
{
    (void)state;
    pg = pgfix_new(&(struct pgfix_options){.wal_segment_mb = 1});
    pgfix_start(pg);
    return 0;
}

static struct session *open_session(void)
{
    struct session *s;
    struct error err;
    if (session_open(pgfix_conninfo(pg), "test", NULL, &s, &err) != RC_OK)
        fail_msg("%s", err.what);
    return s;
}

/* ---- sessions ---- */

static void what_could_change_results_is_settled(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"search_path", "\"\""},     {"DateStyle", "ISO, YMD"},    {"TimeZone", "UTC"},
        {"extra_float_digits", "3"}, {"row_security", "off"},      {"statement_timeout", "0"},
        {"lock_timeout", "0"},       {"application_name", "test"}, {"client_encoding", "SQL_ASCII"},
    };
    struct error err;
    pgfix_sql(pg, "ALTER ROLE postgres SET statement_timeout = '1s'");
    pgfix_sql(pg, "ALTER DATABASE postgres SET DateStyle = 'German'");
    pgfix_sql(pg, "ALTER DATABASE postgres SET search_path = 'x'");
    assert_int_equal(setenv("PGOPTIONS", "-c extra_float_digits=0", 1), 0);
    CLEANUP_SESSION struct session *s = open_session();
    assert_int_equal(unsetenv("PGOPTIONS"), 0);
    pgfix_sql(pg, "ALTER ROLE postgres RESET ALL");
    pgfix_sql(pg, "ALTER DATABASE postgres RESET ALL");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP_FREE char *sql = str_printf("SHOW %s", cases[i][0]);
        CLEANUP_FREE char *value = NULL;
        assert_int_equal(session_value(s, sql, &value, &err), RC_OK);
        assert_string_equal(value, cases[i][1]);
    }
    assert_int_equal(session_version(s) / 10000, pgfix_major(pg));
}

static void queries_take_parameters_and_give_rows(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error err;
    const char *const params[] = {"it's", NULL, "7"};
    assert_int_equal(session_query(s,
                                   "SELECT $1::text, $2::text, $3::int + g"
                                   " FROM generate_series(1, 3) g",
                                   3, params, &rows, &err),
                     RC_OK);
    assert_int_equal(rows_count(rows), 3);
    assert_string_equal(rows_get(rows, 2, 0), "it's");
    assert_null(rows_get(rows, 0, 1));
    assert_string_equal(rows_get(rows, 2, 2), "10");

    uint64_t number = 0;
    assert_int_equal(session_value_u64(s, "SELECT 18446744073709551615", &number, &err), RC_OK);
    assert_true(number == UINT64_MAX);
    assert_int_equal(session_value_lsn(s, "SELECT '16/B374D848'::pg_lsn", &number, &err), RC_OK);
    assert_int_equal(number, 0x16B374D848);
    assert_int_equal(session_value_u64(s, "SELECT -1", &number, &err), RC_DATABASE);
    assert_int_equal(session_value_u64(s, "SELECT NULL", &number, &err), RC_DATABASE);
    assert_int_equal(session_value_u64(s, "SELECT 1, 2", &number, &err), RC_DATABASE);
    assert_int_equal(session_value_u64(s, "SELECT 1 WHERE false", &number, &err), RC_DATABASE);

    CLEANUP_FREE char *literal = sql_literal(s, "a'b\\c");
    CLEANUP_FREE char *identifier = sql_identifier(s, "we\"ird");
    CLEANUP_FREE char *sql = str_printf("SELECT %s AS %s", literal, identifier);
    CLEANUP_FREE char *value = NULL;
    assert_int_equal(session_value(s, sql, &value, &err), RC_OK);
    assert_string_equal(value, "a'b\\c");
}

static void errors_are_in_the_servers_own_words(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    struct error err;
    assert_int_equal(
        session_exec(s,
                     "DO $$ BEGIN RAISE EXCEPTION 'the words' USING DETAIL = 'the detail',"
                     " HINT = 'the hint'; END $$",
                     &err),
        RC_DATABASE);
    assert_non_null(strstr(err.what, "the words"));
    assert_non_null(strstr(err.what, "the detail"));
    assert_non_null(strstr(err.what, "P0001"));
    assert_string_equal(err.now, "the hint");
    assert_false(err.transient);
    assert_int_equal(session_exec(s, "COPY (SELECT 1) TO STDOUT", &err), RC_USAGE);
}

static void several_commands_stop_at_the_first_error(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    struct error err;
    assert_int_equal(session_exec(s, "SELECT 1; SELECT 1/0; SELECT 2", &err), RC_DATABASE);
    assert_non_null(strstr(err.what, "division by zero"));
    assert_true(session_alive(s));
    assert_int_equal(session_exec(s, "SELECT 1; SELECT 2", &err), RC_OK);
}

static void a_password_in_a_connection_string_is_never_shown(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "host=/nowhere password=S3cret",
        "password=my S3cret",
        "password='S3cret",
        "postgresql://u:S3cret@/db?host=/nowhere",
        "postgresql://u:p%S3cret@x/db",
        "password=x S3cret=1",
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        struct session *s;
        struct error err;
        enum rc rc = session_open(strings[i], "test", NULL, &s, &err);
        assert_true(rc == RC_CONFIG || rc == RC_DATABASE);
        assert_null(strstr(err.what, "S3cret"));
        assert_null(strstr(err.on, "S3cret"));
        assert_null(strstr(err.now, "S3cret"));
        assert_true(err.now[0] != '\0');
    }
}

static void another_database_can_be_named(void **state)
{
    (void)state;
    struct error err;
    CLEANUP_SESSION struct session *s = NULL;
    CLEANUP_FREE char *name = NULL;
    assert_int_equal(session_open(pgfix_conninfo(pg), "test", "template1", &s, &err), RC_OK);
    assert_int_equal(session_value(s, "SELECT current_database()", &name, &err), RC_OK);
    assert_string_equal(name, "template1");
}

static void a_lost_session_is_noticed(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    struct error err;
    uint64_t pid = 0;
    assert_true(session_alive(s));
    assert_int_equal(session_value_u64(s, "SELECT pg_backend_pid()", &pid, &err), RC_OK);
    pgfix_value(pg, "SELECT pg_terminate_backend(%d)", (int)pid);
    while (pgfix_number(pg, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", (int)pid) > 0)
        clock_sleep_ms(20);
    assert_int_equal(session_exec(s, "SELECT 1", &err), RC_DATABASE);
    assert_true(err.transient);
    assert_non_null(strstr(err.what, "terminating connection"));
    assert_false(session_alive(s));
}

static void *request_later(void *arg)
{
    (void)arg;
    usleep(300000);
    cancel_request(SIGTERM);
    return NULL;
}

/* In a child, since a request to stop can't be taken back. */
static void cancellation_reaches_the_server(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct session *s;
        struct error err;
        pthread_t thread;
        if (session_open(pgfix_conninfo(pg), "cancelled", NULL, &s, &err) != RC_OK ||
            pthread_create(&thread, NULL, request_later, NULL) != 0)
            _exit(1);
        double begun = clock_monotonic();
        enum rc rc = session_exec(s, "SELECT pg_sleep(60)", &err);
        _exit(rc == RC_CANCELLED && clock_monotonic() - begun < 10 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_non_null(strstr(pgfix_log_tail(pg, 20), "canceling statement due to user request"));
}

static void facts_agree_with_pg_control(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    struct server_facts f;
    struct control c;
    struct error err;
    assert_int_equal(session_facts(s, &f, &err), RC_OK);
    assert_int_equal(control_read(pgfix_data(pg), &c, NULL, &err), RC_OK);
    assert_int_equal(f.system_identifier, c.system_identifier);
    assert_int_equal(f.wal_segment_bytes, 1 << 20);
    assert_int_equal(c.wal_segment_bytes, 1 << 20);
    assert_int_equal(f.page_bytes, c.page_bytes);
    assert_int_equal(f.relation_segment_pages, c.relation_segment_pages);
    assert_int_equal(f.version_num / 10000, c.pg_major);
    assert_int_equal(c.state, CONTROL_IN_PRODUCTION);
    assert_false(f.in_recovery);
    assert_true(f.data_checksums);
    assert_true(f.full_page_writes);
    assert_string_equal(f.data_directory, pgfix_data(pg));
    assert_string_equal(f.wal_level, "replica");
    assert_string_equal(f.archive_mode, "on");
    assert_string_equal(f.archive_command, "true");
}

/* ---- servers ---- */

static void executables_are_found_by_their_own_version(void **state)
{
    (void)state;
    struct error err;
    char *dir = NULL;
    uint32_t major = pgfix_major(pg);
    assert_int_equal(server_find_bindir(pgfix_bindir(pg), major, &dir, &err), RC_OK);
    assert_string_equal(dir, pgfix_bindir(pg));
    free(dir);
    assert_int_equal(server_find_bindir(pgfix_bindir(pg), major + 1, &dir, &err), RC_CONFIG);
    assert_non_null(strstr(err.what, "needed is"));
    assert_int_equal(server_find_bindir("/nowhere", major, &dir, &err), RC_CONFIG);
    assert_int_equal(server_find_bindir(NULL, 99, &dir, &err), RC_CONFIG);
    assert_non_null(strstr(err.now, "postgresql-99"));
}

static void write_pid_file(struct pgfix *f, const char *text)
{
    struct error err;
    CLEANUP_FREE char *path = path_join(pgfix_data(f), "postmaster.pid");
    assert_int_equal(file_replace(path, text, strlen(text), 0600, &err), RC_OK);
    pgfix_give(f, path);
}

static void a_running_server_is_told_from_a_stale_file(void **state)
{
    (void)state;
    struct error err;
    bool running;
    pid_t pid = 0;
    assert_int_equal(server_is_running(pgfix_data(pg), &running, &pid, &err), RC_OK);
    assert_true(running);
    assert_int_equal(pid, pgfix_pid(pg));

    struct pgfix *other = pgfix_new(NULL);
    assert_int_equal(server_is_running(pgfix_data(other), &running, NULL, &err), RC_OK);
    assert_false(running);
    char text[64];
    const pid_t stale[] = {getpid(), 999999999,
                           pgfix_pid(pg)}; /* another's, nobody's, another server's */
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) {
        snprintf(text, sizeof text, "%d\n%s\n", (int)stale[i], pgfix_data(other));
        write_pid_file(other, text);
        assert_int_equal(server_is_running(pgfix_data(other), &running, NULL, &err), RC_OK);
        assert_false(running);
    }
    write_pid_file(other, "no number\n");
    assert_int_equal(server_is_running(pgfix_data(other), &running, NULL, &err), RC_OK);
    assert_false(running);
    pgfix_free(other);
}

struct scratch {
    struct pgfix *fixture; /* never started: its directory is what we start */
    struct server_options options;
};

static struct scratch make_scratch(void)
{
    struct pgfix *f = pgfix_new(NULL);
    return (struct scratch){.fixture = f,
                            .options = {.bindir = pgfix_bindir(f),
                                        .data_directory = pgfix_data(f),
                                        .log_path = pgfix_path(f, "scratch.log"),
                                        .socket_directory = pgfix_path(f, "scratch"),
                                        .die_with_parent = true}};
}

static enum server_state wait_for_state(struct server *s, struct error *err)
{
    enum server_state state = SERVER_STARTING;
    for (int i = 0; i < 600 && state == SERVER_STARTING; i++) {
        assert_int_equal(server_poll(s, &state, err), RC_OK);
        clock_sleep_ms(50);
    }
    return state;
}

/* A cluster as production has it: peer authentication, TLS, a log collector, a foreign pid file. */
static void a_server_starts_whatever_its_configuration_says(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err;
    CLEANUP_SERVER struct server *s = NULL;
    CLEANUP_FREE char *hba = path_join(pgfix_data(t.fixture), "pg_hba.conf");
    assert_int_equal(file_replace(hba, "local all all reject\n", 21, 0600, &err), RC_OK);
    pgfix_give(t.fixture, hba);
    pgfix_configure(t.fixture,
                    "listen_addresses = '*'\nport = 1\nssl = on\nlogging_collector = on\n"
                    "external_pid_file = '/var/run/nowhere/x.pid'\n"
                    "unix_socket_directories = '/nowhere'\nwork_mem = 5MB");
    static const char *const settings[] = {"work_mem=7MB", NULL};
    t.options.settings = settings;
    assert_int_equal(server_start(&t.options, &s, &err), RC_OK);
    if (wait_for_state(s, &err) != SERVER_ACCEPTING)
        fail_msg("%s", err.what);
    assert_int_equal(server_exit_code(s), -1);
    CLEANUP_SESSION struct session *session = NULL;
    CLEANUP_FREE char *value = NULL;
    assert_int_equal(session_open(server_conninfo(s), "test", NULL, &session, &err), RC_OK);
    assert_int_equal(session_value(session, "SHOW work_mem", &value, &err), RC_OK);
    assert_string_equal(value, "7MB");
    struct stat st;
    assert_int_equal(stat(t.options.socket_directory, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(st.st_uid, pgfix_uid(t.fixture));

    struct server *second = NULL;
    assert_int_equal(server_start(&t.options, &second, &err), RC_BUSY);
    bool running;
    pid_t pid;
    assert_int_equal(server_is_running(pgfix_data(t.fixture), &running, &pid, &err), RC_OK);
    assert_true(running && pid == server_pid(s));
    assert_int_equal(server_stop(s, 30, &err), RC_OK);
    s = NULL;
    assert_int_equal(server_is_running(pgfix_data(t.fixture), &running, NULL, &err), RC_OK);
    assert_false(running);
    pgfix_free(t.fixture);
}

/* Backups need no superuser, and may be taken with a role that the connection doesn't name. */
static void a_superuser_is_found(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err;
    static const char *const users[] = {"nobody", NULL, "nobody"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        CLEANUP_SERVER struct server *s = NULL;
        t.options.user = users[i];
        assert_int_equal(server_start(&t.options, &s, &err), RC_OK);
        if (wait_for_state(s, &err) != SERVER_ACCEPTING)
            fail_msg("%s", err.what);
        assert_string_equal(server_role(s), "postgres");
        CLEANUP_SESSION struct session *session = NULL;
        assert_int_equal(session_open(server_conninfo(s), "test", NULL, &session, &err), RC_OK);
        if (i == 0)
            assert_int_equal(session_exec(session, "CREATE ROLE nobody LOGIN", &err), RC_OK);
    }
    pgfix_free(t.fixture);
}

static void the_clusters_own_hba_can_be_kept(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err;
    CLEANUP_SERVER struct server *s = NULL;
    CLEANUP_FREE char *hba = path_join(pgfix_data(t.fixture), "pg_hba.conf");
    assert_int_equal(file_replace(hba, "local all all reject\n", 21, 0600, &err), RC_OK);
    pgfix_give(t.fixture, hba);
    t.options.keep_hba = true;
    assert_int_equal(server_start(&t.options, &s, &err), RC_OK);
    for (int i = 0; i < 40; i++) {
        enum server_state found;
        assert_int_equal(server_poll(s, &found, &err), RC_OK);
        assert_int_equal(found, SERVER_STARTING);
        clock_sleep_ms(25);
    }
    server_kill(s);
    s = NULL;
    pgfix_free(t.fixture);
}

static void a_server_that_ends_says_why(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err = {0};
    struct server *s = NULL;
    static const char *const settings[] = {"shared_preload_libraries=no_such_library", NULL};
    t.options.settings = settings;
    assert_int_equal(server_start(&t.options, &s, &err), RC_OK);
    assert_int_equal(wait_for_state(s, &err), SERVER_ENDED);
    assert_int_equal(err.rc, RC_DATABASE);
    assert_non_null(strstr(err.what, "no_such_library"));
    assert_int_equal(server_exit_code(s), 1);
    assert_int_equal(server_stop(s, 5, &err), RC_DATABASE);
    pgfix_free(t.fixture);
}

static void unsafe_socket_directories_are_refused(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err;
    struct server *s = NULL;
    assert_int_equal(mkdir(t.options.socket_directory, 0700), 0);
    assert_int_equal(chmod(t.options.socket_directory, 0755), 0);
    assert_int_equal(server_start(&t.options, &s, &err), RC_REFUSED);
    assert_non_null(strstr(err.what, "not private"));
    char long_name[120];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    t.options.socket_directory = pgfix_path(t.fixture, "%s", long_name);
    assert_int_equal(server_start(&t.options, &s, &err), RC_REFUSED);
    assert_non_null(strstr(err.what, "too long"));
    pgfix_free(t.fixture);
}

/* A shutdown that its clients hold up (smart and fast don't: a stopped process does). */
static void a_server_that_hangs_is_stopped_all_the_same(void **state)
{
    (void)state;
    struct scratch t = make_scratch();
    struct error err;
    struct server *s = NULL;
    assert_int_equal(server_start(&t.options, &s, &err), RC_OK);
    assert_int_equal(wait_for_state(s, &err), SERVER_ACCEPTING);
    pid_t pid = server_pid(s);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    double begun = clock_monotonic();
    assert_int_equal(server_stop(s, 1, &err), RC_DATABASE);
    assert_true(clock_monotonic() - begun < 25);
    assert_int_equal(kill(pid, 0), -1);
    pgfix_free(t.fixture);
}

/* ---- settings that a real server reads ---- */

static void the_server_reads_recovery_settings_as_they_were_meant(void **state)
{
    (void)state;
    static const struct recovery_target targets[] = {
        {.kind = TARGET_LATEST, .timeline = 1},
        {.kind = TARGET_IMMEDIATE, .timeline = 1},
        {.kind = TARGET_TIME, .time = 1795271400000001, .timeline = 1, .exclusive = true},
        {.kind = TARGET_LSN, .lsn = 0x16B374D848, .timeline = 1, .action = ACTION_PROMOTE},
        {.kind = TARGET_XID, .xid = (UINT64_C(1) << 32) + 700, .timeline = 1},
        {.kind = TARGET_NAME, .name = "it's \\ é", .timeline = 31, .action = ACTION_SHUTDOWN},
    };
    CLEANUP_FREE char *path = path_join(pgfix_data(pg), "settings.conf");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        CLEANUP_BUF struct buf b = BUF_INIT(65536);
        struct error err;
        /* Two targets before ours, as a careless hand leaves them, or one in postgresql.conf. */
        assert_int_equal(buf_printf(&b, &err, "recovery_target_lsn = '0/1'\n"), RC_OK);
        assert_int_equal(recovery_settings(&targets[i], "cp 'a b' \"%p\" \\", &b, &err), RC_OK);
        assert_int_equal(file_replace(path, b.data, b.len, 0600, &err), RC_OK);
        pgfix_give(pg, path);
        struct pgfix_run r = pgfix_tool(
            pg, "/bin/sh", "-c",
            "d=$(mktemp -d) && cp \"$0\" $d/postgresql.conf && cp \"$2/PG_VERSION\" $d &&"
            " for n in recovery_target_time recovery_target_lsn recovery_target_xid"
            " recovery_target_name recovery_target restore_command recovery_target_timeline"
            " recovery_target_action recovery_target_inclusive;"
            " do \"$1/postgres\" -D $d -C $n || exit 1; done; rm -r $d",
            path, pgfix_bindir(pg), pgfix_data(pg), NULL);
        pgfix_expect(&r, 0);
        static const char *const expected[] = {
            "\n\n\n\n\ncp 'a b' \"%p\" \\\n1\npause\non\n",
            "\n\n\n\nimmediate\ncp 'a b' \"%p\" \\\n1\npause\non\n",
            "2026-11-21 14:30:00.000001+00\n\n\n\n\ncp 'a b' \"%p\" \\\n1\npause\noff\n",
            "\n16/B374D848\n\n\n\ncp 'a b' \"%p\" \\\n1\npromote\non\n",
            "\n\n700\n\n\ncp 'a b' \"%p\" \\\n1\npause\non\n",
            "\n\n\nit's \\ é\n\ncp 'a b' \"%p\" \\\n31\nshutdown\non\n",
        };
        assert_string_equal(r.out, expected[i]);
    }
}

static void a_real_backup_label_is_read(void **state)
{
    (void)state;
    CLEANUP_SESSION struct session *s = open_session();
    struct error err;
    uint64_t start = 0;
    bool old = pgfix_major(pg) < 15;
    CLEANUP_FREE char *text = NULL;
    struct backup_label label;
    assert_int_equal(session_value_lsn(s,
                                       old ? "SELECT pg_start_backup('x', true, false)"
                                           : "SELECT pg_backup_start('x', true)",
                                       &start, &err),
                     RC_OK);
    assert_int_equal(session_value(s,
                                   old ? "SELECT labelfile FROM pg_stop_backup(false, false)"
                                       : "SELECT labelfile FROM pg_backup_stop(false)",
                                   &text, &err),
                     RC_OK);
    assert_int_equal(backup_label_parse(text, &label, &err), RC_OK);
    assert_int_equal(label.start_lsn, start);
    assert_true(label.checkpoint_lsn >= start);
    assert_int_equal(label.timeline, 1);
}

static void the_log_tail_is_whole_lines(void **state)
{
    (void)state;
    struct error err;
    const char *path = pgfix_path(pg, "some.log");
    static const struct {
        const char *text;
        unsigned lines;
        const char *tail;
    } cases[] = {{"", 3, ""},
                 {"one", 3, "one"},
                 {"one\n", 1, "one"},
                 {"a\nb\nc\n", 2, "b\nc"},
                 {"a\nb\nc", 2, "b\nc"},
                 {"a\nb\n\n\n", 1, "b"},
                 {"a\nb\n", 9, "a\nb"},
                 {"a\n", 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(file_replace(path, cases[i].text, strlen(cases[i].text), 0600, &err),
                         RC_OK);
        CLEANUP_FREE char *tail = server_log_tail(path, cases[i].lines);
        assert_string_equal(tail, cases[i].tail);
    }
    CLEANUP_FREE char *none = server_log_tail("/nowhere/log", 3);
    assert_string_equal(none, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_change_results_is_settled),
        cmocka_unit_test(queries_take_parameters_and_give_rows),
        cmocka_unit_test(errors_are_in_the_servers_own_words),
        cmocka_unit_test(several_commands_stop_at_the_first_error),
        cmocka_unit_test(a_password_in_a_connection_string_is_never_shown),
        cmocka_unit_test(another_database_can_be_named),
        cmocka_unit_test(a_lost_session_is_noticed),
        cmocka_unit_test(cancellation_reaches_the_server),
        cmocka_unit_test(facts_agree_with_pg_control),
        cmocka_unit_test(executables_are_found_by_their_own_version),
        cmocka_unit_test(a_running_server_is_told_from_a_stale_file),
        cmocka_unit_test(a_server_starts_whatever_its_configuration_says),
        cmocka_unit_test(a_superuser_is_found),
        cmocka_unit_test(the_clusters_own_hba_can_be_kept),
        cmocka_unit_test(a_server_that_ends_says_why),
        cmocka_unit_test(unsafe_socket_directories_are_refused),
        cmocka_unit_test(a_server_that_hangs_is_stopped_all_the_same),
        cmocka_unit_test(the_server_reads_recovery_settings_as_they_were_meant),
        cmocka_unit_test(a_real_backup_label_is_read),
        cmocka_unit_test(the_log_tail_is_whole_lines),
    };
    return cmocka_run_group_tests(tests, group_setup, pgfix_free_all);
}
