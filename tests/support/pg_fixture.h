/*
 * pg_fixture: real PostgreSQL servers for tests. This header is its manual.
 *
 * THE SHORTEST USE
 *
 *     struct pgfix *pg = pgfix_new(NULL);          // initdb in a private directory, checksums on
 *     pgfix_start(pg);                             // accepts connections when this returns
 *     pgfix_load_story(pg, 1);                     // a shop: tables, foreign keys, jsonb, TOAST …
 *     pgfix_sql(pg, "DELETE FROM shop.orders WHERE id = %d", 7);
 *     assert_int_equal(pgfix_number(pg, "SELECT count(*) FROM shop.orders"), 999);
 *     pgfix_free(pg);                              // stops it, removes the directory
 *
 * THE MAIN JOB
 *
 *     const char *conf = pgfix_write_config(pg, NULL);             // posix repository beside it
 *     struct pgfix_run r = pgfix_tool(pg, "pgproof", "init", NULL);
 *     pgfix_archive_with_pgproof(pg);                              // archive_command = wal-push
 *     r = pgfix_tool(pg, "pgproof-backup", "--tier=daily", NULL);
 *     pgfix_expect(&r, 0);                                         // shows its output if not 0
 *     const char *before = pgfix_fingerprint(pg);
 *     …
 *     const char *to = pgfix_path(pg, "restored");
 *     r = pgfix_tool(pg, "pgproof-restore", …, NULL);
 *     struct pgfix *copy = pgfix_adopt(pg, to);                    // a second server on that
 *     pgfix_start(copy);                                           // … consistent when it returns
 *     pgfix_wait_paused(copy);
 *     pgfix_promote(copy);
 *     pgfix_compare(pg, copy);                                     // names the tables that differ
 *
 * HOW IT FAILS. No function returns an error: what goes wrong fails the running cmocka test, with
 * the reason, the server's words and the end of its log. So use it in tests and in (group) setup
 * functions only, and only from the thread that runs them.
 *
 * WHO OWNS WHAT. A struct pgfix belongs to whoever made it, until pgfix_free. All strings that the
 * functions return belong to the fixture and live as long as it does: never free them.
 *
 * WHAT IS LEFT BEHIND: nothing. pgfix_free stops the server and removes its directory. What a
 * failed test did not free goes when the process exits, in reverse order of birth (a teardown may
 * call pgfix_free_all instead). Servers and other children get a signal from the kernel when the
 * test is killed, and the next test process removes directories whose maker is gone.
 * PGPROOF_TEST_KEEP=1 stops the servers but leaves the directories, and prints their names.
 *
 * WHO RUNS IT. PostgreSQL refuses root. So under root everything — the server, the client
 * programs, the tools of pgproof — runs as user `postgres` (or $PGPROOF_TEST_USER), who also owns
 * the private directory; any other user runs it all as himself. The superuser *role* is always
 * "postgres".
 *
 * WHAT IT LISTENS ON: one unix socket in the private directory (mode 0700), port 5432. No TCP. So
 * tests can run side by side.
 *
 * HOW IT IS SET UP. Realistic, but small: fsync and full_page_writes on, shared_buffers 16 MB,
 * wal_level replica, archive_mode on with archive_command `true` until a test says otherwise,
 * log to <dir>/log, UTC, locale C.UTF-8, data checksums on, 16 MB WAL segments. Text that matters
 * to a test goes in as a setting.
 *
 * ENVIRONMENT
 *     PGPROOF_TEST_BIN      where pgproof's executables are (ctest sets it)
 *     PGPROOF_TEST_PGBIN    PostgreSQL's bin directory, instead of the newest under
 *                           /usr/lib/postgresql
 *     PGPROOF_TEST_USER     whom root becomes
 *     PGPROOF_TEST_TIMEOUT  seconds that any wait may last (60)
 *     PGPROOF_TEST_KEEP     leave the directories
 */
#ifndef PGPROOF_TESTS_SUPPORT_PG_FIXTURE_H
#define PGPROOF_TESTS_SUPPORT_PG_FIXTURE_H

#include "pg/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pgfix;

/* ---- birth and death ---- */

struct pgfix_options {
    const char *bindir;          /* NULL: see PGPROOF_TEST_PGBIN above */
    bool no_checksums;           /* initdb without data checksums */
    unsigned wal_segment_mb;     /* 1 to 1024; 0: 16. 1 keeps archives small and switches often */
    const char *const *settings; /* lines for postgresql.conf, the last ones, "name = value";
                                    NULL-terminated; may be NULL */
};

/* initdb and configure in a new private directory; not started. o may be NULL. */
struct pgfix *pgfix_new(const struct pgfix_options *o);

/*
 * A server on a data directory that something else wrote: a restore, a copy. It uses the bindir
 * and user of `like`, has its own socket and log, and obeys the directory's own settings in all
 * else (recovery, archiving …). The directory must belong to the fixture's user, as what
 * pgfix_tool writes does; it is not removed with the fixture (but with `like`, if it lies in
 * there). Not started. Free it before `like`.
 */
struct pgfix *pgfix_adopt(struct pgfix *like, const char *data_directory);

/* A streaming standby of a running primary, by pg_basebackup; started. Tablespaces are copied into
 * its own directory. Free it before the primary. */
struct pgfix *pgfix_standby(struct pgfix *primary);

void pgfix_free(struct pgfix *f); /* stop, remove, free; takes NULL */
/* All that are left. As a cmocka (group) teardown: cmocka_run_group_tests(tests, setup,
 * pgfix_free_all). Always 0. */
int pgfix_free_all(void **state);
/* Remove the directories of test processes that were killed. The first fixture of a process does it
 * by itself. */
void pgfix_remove_orphans(void);

/* ---- facts ---- */

const char *pgfix_dir(const struct pgfix *f);    /* the private directory */
const char *pgfix_data(const struct pgfix *f);   /* the data directory */
const char *pgfix_bindir(const struct pgfix *f); /* PostgreSQL's executables */
const char *pgfix_log(const struct pgfix *f);    /* the server's log */
/* For session_open, pgproof's configuration and libpq programs; database "postgres". */
const char *pgfix_conninfo(const struct pgfix *f);
uint32_t pgfix_major(const struct pgfix *f); /* 15 */
uid_t pgfix_uid(const struct pgfix *f);
gid_t pgfix_gid(const struct pgfix *f);
pid_t pgfix_pid(const struct pgfix *f); /* the postmaster; 0 while it is down */

/* <private directory>/<name>, printf-like. The file need not exist. */
const char *pgfix_path(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* <private directory>/<name>, made as a directory of the fixture's user, mode 0700. */
const char *pgfix_make_dir(struct pgfix *f, const char *name);
/* Give a file or a whole tree that the test wrote as root to the fixture's user. */
void pgfix_give(struct pgfix *f, const char *path);

/* ---- running ---- */

/* Start and wait until it accepts connections; in recovery: until it is consistent. */
void pgfix_start(struct pgfix *f);
/* Start where the server is expected to end by itself (recovery that can't succeed, a target with
 * action shutdown); waits for that. Gives its exit code; read pgfix_log_tail for the reason. */
int pgfix_start_until_end(struct pgfix *f);

enum pgfix_stop {
    PGFIX_FAST,      /* disconnects clients, writes a checkpoint */
    PGFIX_IMMEDIATE, /* like a crash: recovery at the next start */
    PGFIX_KILL,      /* SIGKILL: also leaves a stale postmaster.pid */
};
void pgfix_stop(struct pgfix *f, enum pgfix_stop how); /* fine if it is down already */
void pgfix_restart(struct pgfix *f);                   /* fast */
const char *pgfix_log_tail(struct pgfix *f, unsigned lines);

/* Lines for postgresql.conf, in force from the next start or reload. */
void pgfix_configure(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pgfix_reload(struct pgfix *f);

/* ---- SQL ---- */

/* Commands, in database "postgres", or the one that pgfix_use named last. printf-like: a literal %
 * is %%. */
void pgfix_sql(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One value; NULL for SQL NULL. */
const char *pgfix_value(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
int64_t pgfix_number(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint64_t pgfix_lsn(struct pgfix *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
void pgfix_use(struct pgfix *f, const char *database);
/* The session behind these; it belongs to the fixture and ends with pgfix_stop or pgfix_use. */
struct session *pgfix_session(struct pgfix *f);

/* ---- data and load ---- */

/*
 * The story: a shop in schema `shop` with customers, products, orders and order_items (foreign
 * keys), documents (text of 2 to 40 kB that TOAST stores out of line, and jsonb), prices
 * (partitioned by year), an index of every common kind, a sequence of its own, a view, a
 * materialized view, an unlogged table, and events in a tablespace at <dir>/tablespace. Everything
 * follows from row numbers, so two loads of the same scale give the same rows. Scale 1: 1000
 * orders, about 10 MB; it grows in proportion.
 */
void pgfix_load_story(struct pgfix *f, unsigned scale);
/* Something that changes all over the story, the same for the same n: inserts, updates, deletes. */
void pgfix_change_story(struct pgfix *f, unsigned n);

/* pgbench's own tables, 15 MB per unit of scale. */
void pgfix_pgbench_init(struct pgfix *f, unsigned scale);
/* Its standard transactions for some seconds. Needs pgfix_pgbench_init. */
void pgfix_pgbench(struct pgfix *f, unsigned seconds, unsigned clients);
/* The same in the background until pgfix_pgbench_stop, which pgfix_stop and pgfix_free call too.
 * rate: transactions per second for all clients together, 0 for as many as possible. */
void pgfix_pgbench_begin(struct pgfix *f, unsigned clients, unsigned rate);
void pgfix_pgbench_stop(struct pgfix *f);

/* ---- comparing ---- */

/*
 * A line per user table of every database, sorted: "<database>.<schema>.<table> <rows> <hash>". The
 * hash is the sum of hashtextextended over all rows as text: equal tables have equal lines, in
 * whatever order the rows lie. Not in it: unlogged and temporary tables (they don't survive
 * recovery) and partitioned parents (their leaves are). Note one to compare with later.
 */
const char *pgfix_fingerprint(struct pgfix *f);
/* Fails, naming each table that differs. */
void pgfix_compare(struct pgfix *expected, struct pgfix *actual);
void pgfix_compare_fingerprint(const char *expected, struct pgfix *actual);

/* ---- WAL and archiving ---- */

/* Sets archive_command and reloads. "" stops archiving without losing anything. */
void pgfix_configure_archiving(struct pgfix *f, const char *command);
/* … to pgproof-wal-push with the configuration of pgfix_write_config. */
void pgfix_archive_with_pgproof(struct pgfix *f);
/* End the current segment and start another, even on an idle server. Gives the name of the one
 * ended. */
const char *pgfix_switch_wal(struct pgfix *f);
/* Wait until that segment is archived, and all before it. */
void pgfix_wait_archived(struct pgfix *f, const char *segment);

/* ---- recovery, standbys ---- */

void pgfix_wait_paused(struct pgfix *f);   /* recovery stands at its target, paused */
void pgfix_wait_promoted(struct pgfix *f); /* recovery is over, writes are accepted */
void pgfix_promote(struct pgfix *f);       /* ask for it, and wait */
/* Wait until the standby has replayed all that the primary has written by now. */
void pgfix_wait_caught_up(struct pgfix *standby, struct pgfix *primary);

/* ---- pgproof's tools ---- */

/*
 * <dir>/pgproof.conf with a posix repository at <dir>/repository and [cluster:main] on this
 * server. `extra` (may be NULL) is put behind that, so lines before its first section belong to
 * [cluster:main]. Written again by each call. Gives its path.
 */
const char *pgfix_write_config(struct pgfix *f, const char *extra);
/* The same with other lines in section [repository], each with its end. */
const char *pgfix_write_config_with(struct pgfix *f, const char *repository, const char *extra);
const char *pgfix_repository(struct pgfix *f); /* <dir>/repository; not made here */
/*
 * The directory with pgproof's executables: $PGPROOF_TEST_BIN; a copy in the private directory
 * where the fixture's user can't reach that (a build below /root).
 */
const char *pgfix_bin(struct pgfix *f);

struct pgfix_run {
    int code;            /* exit code, or 128 + n after signal n */
    const char *command; /* for messages */
    const char *out;     /* stdout, NUL-terminated, up to 16 MB */
    const char *err;     /* stderr */
};
/*
 * Run an executable as the fixture's user and wait for it. A name without '/' is one of pgproof's;
 * "faulty/pgproof-backup" is the one with the store that fails on request; another path with '/'
 * is run as it is. Then the arguments, all const char *, and a NULL. PGPROOF_CONFIG names the
 * configuration of pgfix_write_config, if there is one; the current directory is the private one.
 */
struct pgfix_run pgfix_tool(struct pgfix *f, const char *tool, ...) __attribute__((sentinel));
struct pgfix_run pgfix_tool_argv(struct pgfix *f, const char *const *argv);
/* Set for all runs of tools from now on: "NAME=value". The last one of a name counts. */
void pgfix_tool_env(struct pgfix *f, const char *assignment);
/* In the background, output to the files; kill(2) it as you like, then wait. Dies with the test. */
pid_t pgfix_tool_begin(struct pgfix *f, const char *const *argv, const char *output_path);
int pgfix_tool_wait(struct pgfix *f, pid_t pid); /* its code, as above */

/* Fails, with the command and all its output, if the code is not this one. */
void pgfix_expect(const struct pgfix_run *r, int code);
/* … if `text` is not in its output (either stream). */
void pgfix_expect_text(const struct pgfix_run *r, const char *text);

#endif
