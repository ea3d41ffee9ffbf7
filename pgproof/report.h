/* What `pgproof info` has found, before it is printed. */
#ifndef PGPROOF_PGPROOF_REPORT_H
#define PGPROOF_PGPROOF_REPORT_H

#include "app/app.h"
#include "pgproof/wal_window.h"
#include "repo/proof_summary.h"
#include "repo/repository.h"

/* The newest proof of a backup. */
struct proof_note {
    struct object_name name;
    struct proof_summary summary; /* result "", finished MOMENT_NONE: the proof can't be read */
};

struct lease_note {
    char kind[64];
    char *host; /* NULL: not known */
    uint64_t pid;
    moment_us since; /* by the store's clock */
};

/* One system of the cluster: more than one after pg_upgrade. */
struct system_report {
    struct cluster_system system;
    struct wal_list *wal;
    struct history history; /* of the newest timeline */
    struct wal_run *runs;
    size_t run_count;
    struct window *windows;
    size_t window_count;
    bool current;
};

struct report {
    struct repo *repo;
    const char *cluster;
    char **clusters; /* all in the repository, NULL-terminated */
    bool registered; /* this one is among them */
    struct catalog *catalog;
    struct backup_standing *standing; /* by catalog entry */
    struct system_report *systems;    /* the current one last */
    size_t system_count;
    struct proof_note *proofs;
    size_t proof_count;
    struct lease_note *leases;
    size_t lease_count;
    char **problems; /* what is proven bad: sentences */
    size_t problem_count, problem_capacity;
};

/* `repo` is borrowed and must outlive the report. */
MUST_CHECK enum rc report_load(struct repo *r, const char *cluster, struct report *ret,
                               struct error *err);
void report_done(struct report *r);
const struct proof_note *report_proof(const struct report *r, const char *backup_id);

void report_print(const struct report *r);
void report_print_json(const struct report *r, int exit_code);

#endif
