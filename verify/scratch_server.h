/*
 * The scratch server: a server on restored files that can't reach, and can't be reached by,
 * anything outside its scratch directory.
 */
#ifndef PGPROOF_VERIFY_SCRATCH_SERVER_H
#define PGPROOF_VERIFY_SCRATCH_SERVER_H

#include "pg/control.h"
#include "pg/server.h"
#include "repo/backup.h"
#include "verify/scratch.h"

/* A NULL-terminated list of "name=value", all owned. */
struct setting_list {
    char **items;
    size_t count, capacity;
};
void setting_list_done(struct setting_list *l);

/*
 * Everything that the scratch server is told on its command line, where it beats both configuration
 * files and postgresql.auto.conf. Limits that recovery insists on are the larger of what the
 * backup noted and what pg_control says.
 */
void scratch_server_settings(const struct scratch *dir, const struct backup_info *b,
                             const struct control *c, struct setting_list *to);

/*
 * Settings that ALTER DATABASE and ALTER ROLE could bring back beat the command line, but not what
 * a client asks for. Sets PGOPTIONS of this process, so it counts for every later session.
 */
MUST_CHECK enum rc scratch_server_cut_off_sessions(uint32_t pg_major, struct error *err);

/* Write the configuration files and start; see server_start. user: a superuser role of the cluster;
 * NULL: "postgres". */
MUST_CHECK enum rc scratch_server_start(const struct scratch *dir, const struct backup_info *b,
                                        const char *bindir, const char *user, struct server **ret,
                                        struct error *err);

/* A setting that was noted with the backup, or NULL. */
const char *backup_setting(const struct backup_info *b, const char *name);

#endif
