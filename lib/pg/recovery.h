/* Recovery settings and signal files, as PostgreSQL 12 and later want them. */
#ifndef PGPROOF_PG_RECOVERY_H
#define PGPROOF_PG_RECOVERY_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdint.h>

enum target_kind {
    TARGET_LATEST,    /* all WAL there is */
    TARGET_IMMEDIATE, /* as soon as the backup is consistent */
    TARGET_TIME,
    TARGET_LSN,
    TARGET_XID,
    TARGET_NAME,
};
enum target_action { ACTION_PAUSE, ACTION_PROMOTE, ACTION_SHUTDOWN };

struct recovery_target {
    enum target_kind kind;
    moment_us time;
    uint64_t lsn;
    uint64_t xid; /* 64-bit where known; the low half goes into the setting */
    char name[64];
    bool exclusive;
    uint32_t timeline; /* the one to end on; always a number */
    enum target_action action;
};

/*
 * The lines for postgresql.auto.conf: restore_command, every recovery_target* set to '' but the
 * chosen one, the timeline as a number, the action. Appended to `to`.
 */
MUST_CHECK enum rc recovery_settings(const struct recovery_target *t, const char *restore_command,
                                     struct buf *to, struct error *err);

/* The text of postgresql.auto.conf without lines that set one of our names; the rest byte for byte.
 */
MUST_CHECK enum rc conf_without(const char *text, size_t len, const char *const *names,
                                struct buf *to, struct error *err);
/* The value of a setting in such a file (the last one counts), malloc'ed; NULL where it isn't set.
 */
char *conf_value(const char *text, size_t len, const char *name);
/* Quoted as a value in a configuration file; malloc'ed. */
char *conf_quote(const char *value);
/* Every name that recovery_settings writes. NULL-terminated. */
extern const char *const recovery_setting_names[];

/* backup_label as pg_backup_stop returned it. */
struct backup_label {
    uint64_t start_lsn;
    uint64_t checkpoint_lsn;
    uint32_t timeline; /* START TIMELINE; 0 if the line is missing */
};
MUST_CHECK enum rc backup_label_parse(const char *text, struct backup_label *ret,
                                      struct error *err);

#endif
