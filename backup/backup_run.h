/*
 * One backup, from the preflight to backup.json. The order of its steps is what makes a backup that
 * can be restored (docs/design.md): nothing is listed before backup.json is written, and that is
 * written last.
 */
#ifndef PGPROOF_BACKUP_BACKUP_RUN_H
#define PGPROOF_BACKUP_BACKUP_RUN_H

#include "backup/copy.h"
#include "backup/preflight.h"
#include "backup/row_counter.h"
#include "backup/scan.h"
#include "backup/start_stop.h"
#include "base/buf.h"

struct backup_request {
    const char *tier;  /* "" if none */
    const char *label; /* "" if none */
    bool fast, row_counts, paranoid, dry_run;
};

/* Everything of one run, in the order in which it comes to be. */
struct backup_run {
    const struct backup_request *request; /* borrowed */
    struct preflight at;
    struct backup_info *info;
    struct manifest *manifest;
    struct scan_options scan_options;
    struct scan_result scan;
    struct copy_options copy_options;
    struct copy_result copy;
    struct buf control_file;
    struct backup_stop stop;
    struct row_counter_result rows;
    bool have_rows;
    char rows_problem[1024];
    uint64_t first_segment, last_segment; /* that a restore needs at least */
    struct progress progress;
    double began;
};

void backup_run_init(struct backup_run *r, struct app *a, const struct backup_request *q);
void backup_run_done(struct backup_run *r);

/* List the data directory into the manifest. After preflight_check. */
MUST_CHECK enum rc backup_run_scan(struct backup_run *r, struct error *err);
/* All of the backup. After preflight_check. */
MUST_CHECK enum rc backup_run_take(struct backup_run *r, struct error *err);

#endif
