/* What pgproof-backup says when it is done: text for people, or JSON. */
#ifndef PGPROOF_BACKUP_BACKUP_REPORT_H
#define PGPROOF_BACKUP_BACKUP_REPORT_H

#include "app/app.h"
#include "backup/copy.h"
#include "backup/row_counter.h"
#include "repo/backup.h"

struct backup_report {
    const struct app *app;
    const struct backup_info *info;
    const struct manifest *manifest;
    const struct copy_result *copy;
    const struct row_counter_result *rows; /* NULL: not asked for, or it failed */
    const char *rows_problem;              /* why it failed; NULL if it didn't */
    uint64_t first_segment, last_segment;  /* that a restore needs at least */
    moment_us locked_until;                /* 0: not locked */
};

MUST_CHECK enum rc backup_report_print(const struct backup_report *r, struct error *err);

#endif
