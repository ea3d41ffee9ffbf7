/*
 * Real WAL without a running server, for the tests of pgproof-wal-push and pgproof-wal-fetch: a
 * cluster of 1 MB segments that wrote WALFIX_COUNT of them in a row on timeline 1 and was stopped,
 * and stand-ins for its data directory. Fails the running test where something goes wrong.
 */
#ifndef PGPROOF_TESTS_SUPPORT_WAL_FIXTURE_H
#define PGPROOF_TESTS_SUPPORT_WAL_FIXTURE_H

#include "pg/control.h"
#include "pg/lsn.h"
#include "repo/wal_object.h"
#include "support/pg_fixture.h"

#define WALFIX_COUNT 8

struct walfix {
    struct pgfix *pg; /* stopped; its configuration is written */
    struct control control;
    uint64_t first;  /* number of the first segment */
    const char *dir; /* the segments, under their own names */
};

/* segment_mb as in pgfix_options. Free with pgfix_free(w.pg). */
struct walfix walfix_new(unsigned segment_mb);

/* An empty repository in which the cluster is registered as "main". */
void walfix_fresh(struct walfix *w);

/* The name of segment first + i on a timeline; belongs to the fixture. */
const char *walfix_name(struct walfix *w, uint32_t timeline, unsigned i);
/* LSN of a byte of segment first + i. */
uint64_t walfix_lsn(const struct walfix *w, unsigned i, uint32_t offset);
/* A file of `dir` under another name, in a directory of its own; gives its path. */
const char *walfix_copy(struct walfix *w, const char *file, const char *to_dir, const char *to);
/* <dir of the fixture>/<name> with pg_control and an empty pg_wal: what the tools take for the
 * cluster's data directory. An old one of the name is removed first. */
const char *walfix_data_directory(struct walfix *w, const char *name);

/* A file with this content, owned by the fixture's user. */
void walfix_write(struct walfix *w, const char *path, const void *data, size_t len);
void walfix_write_text(struct walfix *w, const char *path, const char *text);
/* `to` is cleared first; false if there is no such file. */
bool walfix_read(const char *path, struct buf *to);

/* Run a tool in a directory. The arguments, then NULL. */
struct pgfix_run walfix_run(struct walfix *w, const char *in, const char *tool, ...)
    __attribute__((sentinel));
/* The same in the background, for pgfix_tool_wait. */
pid_t walfix_begin(struct walfix *w, const char *in, const char *tool, ...)
    __attribute__((sentinel));

/* Straight from and to the repository, without the tools. */
struct repo *walfix_repo(struct walfix *w); /* repo_close it */
bool walfix_archived(struct walfix *w, const char *file, struct buf *to);
void walfix_archive(struct walfix *w, const char *file, const void *data, size_t len);
/* Segment first + i of timeline 1, as it is or under the name that it has on another timeline. */
void walfix_archive_segment(struct walfix *w, uint32_t timeline, unsigned i);
/* The object's path in the repository's directory. */
const char *walfix_object(struct walfix *w, const char *file);
void walfix_remove_object(struct walfix *w, const char *file);

#endif
