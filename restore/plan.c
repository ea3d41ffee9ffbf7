#include "restore/plan.h"

#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

char *plan_target_text(const struct recovery_target *t)
{
    const char *edge = t->exclusive ? ", stopping just before it" : "";
    char at[MOMENT_TEXT_MAX], lsn[LSN_TEXT_MAX];

    switch (t->kind) {
    case TARGET_LATEST:
        return str_dup("latest: the end of the archived WAL");
    case TARGET_IMMEDIATE:
        return str_dup("immediate: as soon as the backup is consistent");
    case TARGET_TIME:
        return str_printf("time %s%s", moment_text(t->time, at), edge);
    case TARGET_LSN:
        return str_printf("LSN %s%s", lsn_text(t->lsn, lsn), edge);
    case TARGET_XID:
        return str_printf("transaction %llu%s", (unsigned long long)t->xid, edge);
    case TARGET_NAME:
        return str_printf("restore point \"%s\"", t->name);
    }
    BUG("target kind %d", t->kind);
}

/* A 32-bit transaction id as people copy it from a log, widened to the epoch in which it makes
 * sense beside a 64-bit one. */
static uint64_t widen_xid(uint64_t xid, uint64_t reference)
{
    if (xid >> 32)
        return xid;
    uint64_t wide = (reference & ~UINT64_C(0xffffffff)) | xid;
    if (wide > reference + (UINT64_C(1) << 31) && wide >> 32)
        wide -= UINT64_C(1) << 32;
    return wide;
}

/* Is everything that the backup needs to become consistent on the way to the target? */
static bool backup_ends_before(const struct backup_info *b, const struct recovery_target *t)
{
    switch (t->kind) {
    case TARGET_TIME:
        return b->stop_time <= t->time;
    case TARGET_LSN:
        return b->stop_lsn <= t->lsn;
    case TARGET_XID:
        return b->next_xid <= widen_xid(t->xid, b->next_xid);
    case TARGET_LATEST:
    case TARGET_IMMEDIATE:
    case TARGET_NAME:
        return true;
    }
    return false;
}

static bool on_branch(const struct restore_plan *p, const struct backup_info *b)
{
    return b->system_identifier == p->system.system_identifier &&
           history_contains(&p->history, b->timeline, b->stop_lsn);
}

/* The oldest usable backup on the branch, for messages; NULL if there is none. */
static const struct backup_info *oldest_on_branch(const struct restore_plan *p)
{
    for (size_t i = 0; i < p->catalog->count; i++)
        if (p->catalog->entries[i].info && on_branch(p, p->catalog->entries[i].info))
            return p->catalog->entries[i].info;
    return NULL;
}

static bool is_of_system(const struct restore_plan *p, const struct catalog_entry *e)
{
    return e->info && e->info->system_identifier == p->system.system_identifier;
}

static bool has_own_backup(const struct restore_plan *p)
{
    for (size_t i = 0; i < p->catalog->count; i++)
        if (is_of_system(p, &p->catalog->entries[i]))
            return true;
    return false;
}

/* After pg_upgrade or a new initdb, before the first backup. Never another's data unasked. */
static enum rc only_others(const struct restore_plan *p, struct error *err)
{
    const struct catalog_entry *e = &p->catalog->entries[p->catalog->count - 1];

    error_set(err, RC_REFUSED,
              "all backups are of another system than the cluster's newest, which has system "
              "identifier %llu",
              (unsigned long long)p->system.system_identifier);
    error_on(err, "backup %s, system identifier %llu", e->id,
             (unsigned long long)e->info->system_identifier);
    return error_now(err, "name the backup to restore what the cluster was before: --backup=%s",
                     e->id);
}

static enum rc none_fits(const struct restore_plan *p, struct error *err)
{
    const struct backup_info *oldest = oldest_on_branch(p);
    char at[MOMENT_TEXT_MAX], lsn[LSN_TEXT_MAX];

    for (size_t i = 0; !oldest && i < p->catalog->count; i++)
        if (!p->catalog->entries[i].info) {
            *err = p->catalog->entries[i].problem;
            return error_prefix(err, "no backup can be used, and this one is damaged");
        }
    if (!oldest && !has_own_backup(p))
        return only_others(p, err);
    if (!oldest) {
        error_set(err, RC_REFUSED, "no usable backup lies on timeline %u", p->history.timeline);
        return error_now(err, "`pgproof info` lists the backups and their timelines; choose a "
                              "timeline with --target-timeline");
    }
    error_set(err, RC_REFUSED,
              "the target lies before the end of the first backup that could "
              "reach it");
    error_on(err, "target %s",
             p->target.kind == TARGET_TIME  ? moment_text(p->target.time, at)
             : p->target.kind == TARGET_LSN ? lsn_text(p->target.lsn, lsn)
                                            : "transaction");
    return error_now(
        err, "the earliest moment that can be restored is %s (LSN %s), the end of backup %s",
        moment_text(oldest->stop_time, at), lsn_text(oldest->stop_lsn, lsn), oldest->id);
}

/* A name says nothing of where it lies, so the search begins at the oldest backup. */
static enum rc choose_backup(struct restore_plan *p, struct error *err)
{
    bool newest = p->target.kind != TARGET_NAME;

    for (size_t n = 0; n < p->catalog->count; n++) {
        size_t i = newest ? p->catalog->count - 1 - n : n;
        const struct backup_info *b = p->catalog->entries[i].info;
        if (!b)
            log_warning("backup %s can't be used: %s", p->catalog->entries[i].id,
                        p->catalog->entries[i].problem.what);
        if (!b || !on_branch(p, b) || !backup_ends_before(b, &p->target))
            continue;
        p->backup = b;
        p->why = !newest ? "the oldest, because a name does not tell where it lies; --backup "
                           "chooses another"
                 : p->target.kind == TARGET_LATEST || p->target.kind == TARGET_IMMEDIATE
                     ? "the newest"
                     : "the newest that ends before the target";
        return RC_OK;
    }
    return none_fits(p, err);
}

static const struct catalog_entry *find_named(const struct catalog *c, const char *id)
{
    if (str_eq(id, "oldest"))
        return &c->entries[0];
    if (str_eq(id, "latest"))
        return &c->entries[c->count - 1];
    for (size_t i = 0; i < c->count; i++)
        if (str_eq(c->entries[i].id, id))
            return &c->entries[i];
    return NULL;
}

/* A backup that is named may be of what the cluster was before: then its WAL is meant, too. */
static enum rc take_its_system(struct restore_plan *p, struct repo *r, const char *cluster,
                               const char *id, struct error *err)
{
    const struct catalog_entry *e = find_named(p->catalog, id);

    if (!e || !e->info || e->info->system_identifier == p->system.system_identifier)
        return RC_OK;
    enum rc rc = repo_load_system(r, cluster, e->info->system_identifier, &p->system, err);
    if (rc != RC_NOT_FOUND)
        return rc;
    error_set(err, RC_INTEGRITY,
              "the backup is of a system that was never registered under this cluster: it does "
              "not belong here");
    error_on(err, "backup %s, system identifier %llu, cluster %s", e->id,
             (unsigned long long)e->info->system_identifier, cluster);
    return error_now(err, "find out who put it there; `pgproof info` lists the other backups");
}

static enum rc take_named_backup(struct restore_plan *p, const char *id, struct error *err)
{
    const struct catalog_entry *e = find_named(p->catalog, id);

    if (!e) {
        error_set(err, RC_NOT_FOUND, "there is no such backup");
        error_on(err, "%s", id);
        return error_now(err, "`pgproof info` lists the backups");
    }
    if (!e->info) {
        *err = e->problem;
        return err->rc;
    }
    p->backup = e->info;
    p->why = "chosen by --backup";
    if (!on_branch(p, e->info)) {
        error_set(err, RC_REFUSED, "backup %s does not lie on the way to timeline %u", e->id,
                  p->history.timeline);
        error_on(err, "timeline %u", e->info->timeline);
        return error_now(err, "restore it with --target-timeline=%u", e->info->timeline);
    }
    return backup_ends_before(e->info, &p->target) ? RC_OK : none_fits(p, err);
}

static enum rc refuse_missing(const struct restore_plan *p, uint64_t number, struct error *err)
{
    char name[WAL_NAME_MAX], at[MOMENT_TEXT_MAX];
    const struct wal_segment *before =
        number > p->first_segment ? branch_segment(&p->branch, number - 1) : NULL;

    uint64_t later;
    bool hole = branch_next(&p->branch, number, &later);

    branch_segment_name(&p->branch, number, name);
    if (hole)
        error_set(err, RC_REFUSED,
                  "a WAL segment on the way to the target is missing from the "
                  "archive, later ones are there");
    else
        error_set(err, RC_REFUSED, "the target lies after the last WAL in the archive");
    error_on(err, "%s", name);
    if (!before)
        return error_now(err, "this backup can't be made consistent; choose another with --backup");
    return error_now(err,
                     hole ? "the WAL in front of the hole was archived until %s: choose a moment "
                            "before it, or a later backup with --backup"
                          : "the newest WAL was archived at %s. If the server still runs, 'pgproof "
                            "check' makes it archive what it has: then try again. Else choose an "
                            "earlier moment, or --target=latest for all there is",
                     moment_text(before->stored, at));
}

/* The first segment that was archived after the moment holds all WAL up to it. */
static uint64_t last_segment_for_time(const struct restore_plan *p, uint64_t run_end)
{
    for (uint64_t n = p->first_segment; n <= run_end; n++)
        if (branch_segment(&p->branch, n)->stored >= p->target.time)
            return n;
    return run_end + 1;
}

static enum rc plan_wal(struct restore_plan *p, struct error *err)
{
    uint32_t bytes = p->branch.segment_bytes;
    uint64_t needed = lsn_segment_before(p->backup->stop_lsn, bytes);
    uint64_t later;

    p->first_segment = lsn_segment(p->backup->start_lsn, bytes);
    uint64_t end = branch_run_end(&p->branch, p->first_segment);
    if (end < needed || end + 1 == p->first_segment)
        return refuse_missing(p, end + 1, err);
    switch (p->target.kind) {
    case TARGET_IMMEDIATE:
        break;
    case TARGET_LSN:
        needed = lsn_segment(p->target.lsn, bytes);
        break;
    case TARGET_TIME:
        needed = last_segment_for_time(p, end);
        break;
    case TARGET_LATEST: /* a hole is not the end */
        needed = branch_next(&p->branch, end, &later) ? end + 1 : end;
        break;
    case TARGET_XID:
    case TARGET_NAME:
        needed = end;
        break;
    }
    if (needed > end)
        return refuse_missing(p, end + 1, err);
    p->last_segment = needed;
    return RC_OK;
}

/* The branch that leads to the timeline asked for (0: the newest that is archived). `fallback`: the
 * backup's own, where nothing is archived yet. */
static enum rc load_branch(struct restore_plan *p, struct repo *r, const char *cluster,
                           uint32_t timeline, uint32_t fallback, struct error *err)
{
    const struct cluster_system *sys = &p->system;

    TRY(wal_list_load(r, cluster, sys->system_identifier, sys->wal_segment_bytes, &p->wal, err));
    if (timeline && timeline != fallback && !timeline_is_archived(p->wal, timeline)) {
        error_set(err, RC_REFUSED, "timeline %u is not in the archive", timeline);
        error_on(err, "cluster %s", cluster);
        return error_now(err, "`pgproof info` lists the timelines that are there");
    }
    if (!timeline)
        timeline = newest_timeline(p->wal);
    if (!timeline)
        timeline = fallback;
    enum rc rc = history_load(r, cluster, sys->system_identifier, timeline, &p->history, err);
    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_REFUSED,
                  "the history file of timeline %u is not in the archive, so nobody "
                  "can know where it began",
                  timeline);
        error_on(err, "cluster %s", cluster);
        return error_now(err, "choose another timeline with --target-timeline");
    }
    p->branch = (struct branch){
        .history = &p->history, .wal = p->wal, .segment_bytes = sys->wal_segment_bytes};
    return rc;
}

static enum rc plan_steps(struct restore_plan *p, struct repo *r, const char *cluster,
                          const struct restore_request *q, struct error *err)
{
    TRY(repo_current_system(r, cluster, &p->system, err));
    TRY(catalog_load(r, cluster, &p->catalog, err));
    if (!p->catalog->count) {
        error_set(err, RC_NOT_FOUND, "the repository holds no backup of this cluster");
        error_on(err, "cluster %s in %s", cluster, r->store->where);
        return error_now(err,
                         "check --cluster and the [repository] settings with `pgproof config`");
    }
    if (q->backup)
        TRY(take_its_system(p, r, cluster, q->backup, err));
    const struct backup_info *oldest = NULL;
    for (size_t i = 0; !oldest && i < p->catalog->count; i++)
        if (is_of_system(p, &p->catalog->entries[i]))
            oldest = p->catalog->entries[i].info;
    TRY(load_branch(p, r, cluster, q->timeline, oldest ? oldest->timeline : 1, err));
    p->target = q->target;
    p->target.timeline = p->history.timeline;
    if (q->backup)
        TRY(take_named_backup(p, q->backup, err));
    else
        TRY(choose_backup(p, err));
    return plan_wal(p, err);
}

enum rc plan_make(struct repo *r, const char *cluster, const struct restore_request *q,
                  struct restore_plan *ret, struct error *err)
{
    struct restore_plan p = {0};
    enum rc rc = plan_steps(&p, r, cluster, q, err);

    if (rc == RC_NOT_FOUND)
        rc = error_reclass(err, RC_REFUSED);
    if (rc != RC_OK) {
        plan_done(&p);
        return rc;
    }
    *ret = p;
    ret->branch.history = &ret->history;
    return RC_OK;
}

void plan_done(struct restore_plan *p)
{
    catalog_free(p->catalog);
    p->catalog = NULL;
    wal_list_free(p->wal);
    p->wal = NULL;
    history_done(&p->history);
}
