#include "backup/preflight.h"

#include "app/app_open.h"
#include "backup/start_stop.h"
#include "base/cancel.h"
#include "base/log.h"
#include "base/str.h"

#include <string.h>

#define STALE_SECONDS (24 * 3600)
#define ID_WAIT_TRIES 5

void preflight_done(struct preflight *p)
{
    lease_release(p->lease);
    session_close(p->session);
    repo_close(p->repo);
}

enum rc preflight_check(struct preflight *p, struct error *err)
{
    const struct config *c = p->app->config;
    TRY(config_need(c, "cluster", "data-directory", err));
    TRY(app_open_repo(p->app, &p->repo, err));
    TRY(app_open_session(p->app, NULL, &p->session, err));
    TRY(session_facts(p->session, &p->facts, err));
    TRY(backup_refuse_unfit(&p->facts, err));
    TRY(backup_check_directory(&p->facts, c->data_directory, &p->control, err));
    TRY(app_check_system(p->app, p->repo, p->facts.system_identifier, &p->system, err));
    p->wal = (struct wait_wal){
        .repo = p->repo,
        .session = p->session,
        .cluster = c->cluster,
        .system_identifier = p->facts.system_identifier,
        .segment_bytes = p->facts.wal_segment_bytes,
        .timeout_seconds = c->archive_timeout_seconds,
    };
    return RC_OK;
}

static enum rc sweep(struct preflight *p, struct error *err)
{
    unsigned removed = 0;
    TRY(store_sweep(p->repo->store, clock_now() - (moment_us)STALE_SECONDS * 1000000, &removed,
                    err));
    if (removed > 0)
        log_info("removed %u temporary files that killed writers left in the repository", removed);
    return RC_OK;
}

static enum rc id_is_taken(struct preflight *p, const char *id, bool *ret, struct error *err)
{
    static const char *const parts[] = {"backup.json", "manifest", "packs"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct store_info info;
        enum rc rc = store_head(
            p->repo->store, name_backup(p->app->config->cluster, id, parts[i]).text, &info, err);
        if (rc != RC_OK && rc != RC_NOT_FOUND)
            return rc;
        if (rc == RC_OK) {
            *ret = true;
            return RC_OK;
        }
    }
    *ret = false;
    return RC_OK;
}

/* The id is the server's time in seconds; one that is taken (also by a run that died while it
 * wrote its manifest) makes us wait for the next second. */
static enum rc choose_id(struct preflight *p, struct backup_info *b, struct error *err)
{
    for (int i = 0; i < ID_WAIT_TRIES; i++) {
        moment_us now;
        bool taken = false;
        TRY(backup_server_clock(p->session, &now, err));
        backup_id_from(now, b->id);
        TRY(id_is_taken(p, b->id, &taken, err));
        if (!taken)
            return RC_OK;
        clock_sleep_ms(1000);
        TRY(cancel_check(err));
    }
    error_set(err, RC_REFUSED, "the backup id %s is taken", b->id);
    return error_now(err, "check the server's clock: it seems to stand still");
}

/* Each backup names the one before, so that a missing one shows. One that is damaged for good must
 * not stop new backups; where asking again may help, passing it over would lose the link. */
static enum rc note_previous(struct preflight *p, struct backup_info *b, struct error *err)
{
    CLEANUP(cleanup_catalog) struct catalog *catalog = NULL;
    TRY(catalog_load(p->repo, p->app->config->cluster, &catalog, err));
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *e = &catalog->entries[i];
        if (!e->info && e->problem.transient) {
            *err = e->problem;
            return error_prefix(err, "could not read backup %s, which this one must name", e->id);
        }
        if (!e->info) {
            log_warning("backup %s can't be read: %s", e->id, e->problem.what);
            continue;
        }
        str_copy(b->previous_id, sizeof b->previous_id, e->id);
        b->previous_digest = e->info->digest;
        if (strcmp(e->id, b->id) >= 0)
            log_warning("backup %s lies in the future of the server's clock", e->id);
    }
    return RC_OK;
}

enum rc preflight_begin(struct preflight *p, struct backup_info *b, struct error *err)
{
    TRY(backup_lock(p->session, err));
    TRY(lease_take(p->repo, p->app->config->cluster, "backup", &p->lease, err));
    TRY(sweep(p, err));
    TRY(choose_id(p, b, err));
    TRY(note_previous(p, b, err));
    app_say(p->app, "checking that WAL arrives in the repository");
    return wait_wal_prove(&p->wal, err);
}
