/*
 * A story for storage faults: a PostgreSQL that archives by pgproof-wal-push, and the tools, all
 * through a fault-injecting proxy (fault_proxy.h) into a real S3 server of the test's own, which
 * may be killed, filled and given other keys.
 *
 *     struct s3_story *s = s3_story_new();     // server, proxy, cluster, archiving, a first backup
 *     s3_story_load(s);                        // pgbench from now on
 *     fault_proxy_set(s->proxy, …);
 *     s3_story_begin(s, argv);                 // a tool, in the background
 *     s3_story_amid(s);                        // its first pack is on its way, and held
 *     fault_proxy_release(s->proxy);
 *     struct story_run r = s3_story_end(s);
 *     s3_story_settle(s);                      // no load, no rules, everything archived
 *     s3_story_check_archive(s);               // all that was acknowledged is there
 *     …
 *     s3_story_free(s);                        // prints the table of s3_story_note
 *
 * As pg_fixture: nothing here returns an error; what goes wrong fails the running test. All strings
 * live as long as the story.
 *
 * The server is of the kind that PGPROOF_TEST_S3_KIND names, started by scripts/s3-server beside
 * the one that the other tests share; s3_fixture.h's functions go to it from then on.
 */
#ifndef PGPROOF_SUPPORT_S3_STORY_H
#define PGPROOF_SUPPORT_S3_STORY_H

#include "support/fault_proxy.h"
#include "support/pg_fixture.h"
#include "support/s3_fixture.h"

#define STORY_STALL "2s" /* stall-timeout of the configuration */
#define STORY_RETRY "3m" /* retry-timeout; MinIO asks for pauses of 60 s while it starts */

struct story_run {
    int code;
    double seconds;
    const char *output; /* both streams */
};

struct s3_story {
    struct pgfix *pg;
    struct fault_proxy *proxy;
    const char *fingerprint; /* of what s3_story_settle left */
    /* the rest is its own */
    struct arena *memory;
    char server_dir[64];
    const char *archiver; /* the program behind archive_command */
    bool loaded;
    pid_t tool;
    const char *output_path;
    double tool_began;
    unsigned serial;
    size_t lines_before; /* of the archiver's diary */
    struct story_row *rows;
    size_t row_count, row_capacity;
};

struct s3_story *s3_story_new(void);
void s3_story_free(struct s3_story *s); /* takes NULL */

/* ---- the server ---- */

/* SIGKILL, and the same again. What is held goes to a server that is not there, or not yet. */
void s3_story_server_kill(struct s3_story *s);
/* Its bucket takes no more; or takes all again. */
void s3_story_server_fill(struct s3_story *s, bool full);

/* Keys of the same rights as the server's own, and new: MinIO's end after a while. */
struct story_keys {
    char access[128], secret[128], token[1024]; /* "" without */
};
void s3_story_new_keys(struct s3_story *s, struct story_keys *ret);

/* ---- the tools ---- */

/* Write the configuration again; without keys the tools look for them in their environment. */
void s3_story_configure(struct s3_story *s, bool keys);
/* Lines of shell for the archiver: "export NAME=value"; CLOCK, a command in front of the tool;
 * OPTIONS of the tool. */
void s3_story_archiver(struct s3_story *s, const char *lines);

void s3_story_begin(struct s3_story *s, const char *const *argv);
/* Hold the first request for a pack. Before s3_story_begin; rules of the test's own come behind it.
 */
void s3_story_hold(struct s3_story *s, const char *method);
void s3_story_amid(struct s3_story *s); /* wait until it is held */
struct story_run s3_story_end(struct s3_story *s);
struct story_run s3_story_tool(struct s3_story *s, const char *const *argv); /* begin and end */

/* ---- what holds ---- */

void s3_story_load(struct s3_story *s);
/* WAL segments for the archiver, now. */
void s3_story_push(struct s3_story *s, unsigned segments);
/* Wait until a push has failed, since the last row of the table. */
void s3_story_wait_refused(struct s3_story *s);
/* Ends the load, takes the rules away, notes the fingerprint, waits until all WAL is archived. */
void s3_story_settle(struct s3_story *s);

/* Each file that the archiver acknowledged since the last look can be fetched and is, byte for
 * byte, what it was. `all`: since the beginning. */
void s3_story_check_archive(struct s3_story *s, bool all);
/* How many backups are listed; all must be usable. The newest one's id. */
size_t s3_story_listed(struct s3_story *s, const char **ret_newest);
/* The whole cluster from this backup, with all WAL, is s->fingerprint. */
void s3_story_check_restores(struct s3_story *s, const char *id);
/* A restored directory, started: the same. It is removed. */
void s3_story_check_content(struct s3_story *s, const char *place);
/* A new place for a restore; and what is there goes. */
const char *s3_story_place(struct s3_story *s);
void s3_story_remove(const char *place);

/* ---- which faults ---- */

/* Those whose name has PGPROOF_TEST_ONLY in it; else all in a soak; else, besides those that are
 * wanted already, about so `many`, by the seed. After sweep_begin; needs no story. */
void s3_story_choose(const char *const *names, bool *wanted, size_t count, unsigned many);
/* The server checks neither signatures nor clocks, and has no quota. */
bool s3_story_is_simple(void);

/* ---- the table ---- */

/* A row: the run, how often the proxy met the rules, and how pushes fared since the last row. */
void s3_story_note(struct s3_story *s, const char *fault, const char *tool,
                   const struct story_run *r, unsigned met, const char *outcome);

#endif
