/* Turn configuration into open things. Each in its own source file, so that a tool links only what
 * it uses (pgproof-wal-push starts in a millisecond because libpq is not there). */
#ifndef PGPROOF_APP_APP_OPEN_H
#define PGPROOF_APP_APP_OPEN_H

#include "app/app.h"
#include "pg/session.h"
#include "repo/repository.h"

/* The configured repository's store; create: make the directory where it can. */
MUST_CHECK enum rc app_open_store(const struct app *a, bool create, struct store **ret,
                                  struct error *err);
/* RC_CONFIG where [repository] lacks what its type needs. */
MUST_CHECK enum rc app_need_repository(const struct app *a, struct error *err);
/* Where that is, for people: "/var/lib/pgproof", "s3://bucket/prefix". malloc'ed. */
char *app_repository_where(const struct app *a);
MUST_CHECK enum rc app_open_repo(const struct app *a, struct repo **ret, struct error *err);
/* database: NULL for the configured one. */
MUST_CHECK enum rc app_open_session(const struct app *a, const char *database, struct session **ret,
                                    struct error *err);
/*
 * The system that a data directory or a server says it is must be registered under the configured
 * cluster: RC_INTEGRITY with both identifiers otherwise ("belongs to another cluster").
 */
MUST_CHECK enum rc app_check_system(const struct app *a, struct repo *r, uint64_t system_identifier,
                                    struct cluster_system *ret, struct error *err);

#endif
