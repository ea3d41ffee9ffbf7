/*
 * The proof: what a drill found, check by check.
 *
 * Every check begins as "not run: an earlier step did not succeed", so that a step which is skipped
 * for whatever reason can't look green. The result follows from the checks that are required: one
 * that failed makes it "failed", else one that did not run makes it "not proven"; only if all
 * passed it is "passed".
 */
#ifndef PGPROOF_VERIFY_PROOF_H
#define PGPROOF_VERIFY_PROOF_H

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum verdict { VERDICT_NOT_RUN, VERDICT_PASSED, VERDICT_FAILED };

enum check_id {
    CHECK_ARCHIVE,    /* the WAL from the backup's start to the target is in the repository */
    CHECK_RESTORE,    /* pgproof-restore wrote every file */
    CHECK_RECOVERY,   /* PostgreSQL replays the WAL and answers queries */
    CHECK_TARGET,     /* recovery paused exactly where it was told to */
    CHECK_ROWS,       /* the row counts noted at the backup */
    CHECK_PROMOTION,  /* the instance becomes a writable server */
    CHECK_INDEXES,    /* amcheck of every B-tree index, heapallindexed */
    CHECK_HEAPS,      /* amcheck of every table's heap */
    CHECK_TABLES,     /* every table read from end to end */
    CHECK_COLLATIONS, /* collation versions of this host and of the database */
    CHECK_COUNT
};

/* At most this many findings of a check are kept; all are counted. */
#define FINDINGS_MAX 100

struct check {
    enum verdict verdict;
    bool required;      /* the result depends on it */
    const char *detail; /* one sentence */
    double seconds;
    const char **findings; /* what exactly is wrong, or differs */
    size_t finding_count, finding_capacity;
    uint64_t findings_total;
};

/* A list of sentences. */
struct remarks {
    const char **items;
    size_t count, capacity;
    uint64_t total; /* more than `count` where there were too many to keep */
};

struct proof {
    struct arena *arena; /* owns all strings and arrays */

    const char *cluster, *backup_id, *backup_sha256, *host;
    const char *newest_backup_id, *newest_backup_sha256; /* the newest that this drill saw */
    uint64_t system_identifier;
    moment_us started, finished;
    const char *tool_version, *postgresql_version, *amcheck_version;

    const char *target_kind;          /* "lsn" or "immediate" */
    uint64_t target_lsn, reached_lsn; /* reached: 0 if nothing was */
    uint32_t reached_timeline;

    double seconds_restore, seconds_recovery, seconds_checks, seconds_total; /* -1: not measured */
    int64_t rto_seconds, rto_max_seconds;                                    /* -1: no objective */

    struct check checks[CHECK_COUNT];
    struct remarks warnings;    /* what somebody should look at, though it fails nothing */
    struct remarks not_covered; /* what no check looked at */
    struct remarks not_loaded;  /* preload libraries that the scratch instance left out */

    const char *stored_as; /* the object's name; "" while it isn't stored */
    const char *kept_in;   /* the scratch directory with --keep, else "" */
};

struct proof *proof_new(void);
void proof_free(struct proof *p); /* takes NULL */
DEFINE_CLEANUP(cleanup_proof, struct proof *, proof_free)
#define CLEANUP_PROOF CLEANUP(cleanup_proof)

/* A copy that lives as long as the proof, fit to print (str_printable). */
const char *proof_text(struct proof *p, const char *s);

/* Give a verdict. A failure is final: nothing replaces it but another failure's sentence. */
void check_passed(struct proof *p, enum check_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);
void check_failed(struct proof *p, enum check_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);
void check_not_run(struct proof *p, enum check_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* One thing that is wrong; changes no verdict. */
void check_finding(struct proof *p, enum check_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Each line of a program's output as a finding. */
void check_finding_lines(struct proof *p, enum check_id id, const char *output);
/* Say that the result does not depend on this check here. */
void check_optional(struct proof *p, enum check_id id);
const char *check_name(enum check_id id);

void remark(struct proof *p, struct remarks *to, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The recovery time that counts against the objective: restore and recovery; -1: not measured. */
double proof_recovery_seconds(const struct proof *p);
enum objective {
    OBJECTIVE_NONE,
    OBJECTIVE_NOT_MEASURED,
    OBJECTIVE_MET,
    OBJECTIVE_MISSED_TARGET,
    OBJECTIVE_MISSED
};
enum objective proof_rto(const struct proof *p);

enum verdict proof_result(const struct proof *p); /* NOT_RUN stands for "not proven" */
const char *proof_result_name(enum verdict result);

/* The body of the stored document. A new reference. */
json_t *proof_json(const struct proof *p);

/* For people. The last line begins with PROVEN, FAILED or NOT PROVEN. */
void proof_print(const struct proof *p, FILE *to, bool colour);

#endif
