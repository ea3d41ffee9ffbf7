#include "pgproof/report.h"

#include "archive/branch.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add_problem(struct report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_problem(struct report *r, const char *fmt, ...)
{
    char text[2600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->problems = mem_grow(r->problems, r->problem_count, &r->problem_capacity, sizeof(char *));
    r->problems[r->problem_count++] = str_dup(text);
}

/* ---- systems and their WAL ---- */

static struct system_report *find_system(struct report *r, uint64_t system_identifier)
{
    for (size_t i = 0; i < r->system_count; i++)
        if (r->systems[i].system.system_identifier == system_identifier)
            return &r->systems[i];
    return NULL;
}

static enum rc add_system(struct report *r, uint64_t system_identifier, struct error *err)
{
    struct cluster_system system;

    if (find_system(r, system_identifier))
        return RC_OK;
    enum rc rc = repo_load_system(r->repo, r->cluster, system_identifier, &system, err);
    if (rc == RC_NOT_FOUND) {
        add_problem(r, "there are backups of system %ju, which is not registered",
                    (uintmax_t)system_identifier);
        return RC_OK;
    }
    TRY(rc);
    r->systems = mem_array(r->systems, r->system_count + 1, sizeof(*r->systems));
    r->systems[r->system_count++] = (struct system_report){.system = system};
    return RC_OK;
}

/* Those that have backups, then the current one. */
static enum rc load_systems(struct report *r, struct error *err)
{
    struct cluster_system current;
    enum rc rc = repo_current_system(r->repo, r->cluster, &current, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    r->registered = true;
    for (size_t i = 0; i < r->catalog->count; i++) {
        const struct backup_info *b = r->catalog->entries[i].info;
        if (b && b->system_identifier != current.system_identifier)
            TRY(add_system(r, b->system_identifier, err));
    }
    TRY(add_system(r, current.system_identifier, err));
    r->systems[r->system_count - 1].current = true;
    return RC_OK;
}

/* Without the file the branch is taken to begin with this timeline. */
static enum rc load_history(struct report *r, struct system_report *s, struct error *err)
{
    uint32_t newest = newest_timeline(s->wal), timeline = newest ? newest : 1;
    char file[WAL_NAME_MAX];
    enum rc rc =
        history_load(r->repo, r->cluster, s->system.system_identifier, timeline, &s->history, err);

    if (rc != RC_NOT_FOUND && rc != RC_INTEGRITY)
        return rc;
    wal_name_history(timeline, file);
    if (rc == RC_NOT_FOUND)
        add_problem(r, "timeline history %s is missing: where timeline %u began is not known", file,
                    timeline);
    else
        add_problem(r, "timeline history %s is damaged: %s", file, err->what);
    return history_parse(timeline, "", &s->history, err);
}

static void forget_wal(struct system_report *s)
{
    wal_list_free(s->wal);
    history_done(&s->history);
    free(s->runs);
    free(s->windows);
    s->wal = NULL;
    s->runs = NULL;
    s->windows = NULL;
}

/* True where something seems to be missing. */
static bool has_holes(const struct report *r, const struct system_report *s)
{
    for (size_t i = 0; i < s->window_count; i++)
        if (s->windows[i].hole)
            return true;
    for (size_t i = 0; i < r->catalog->count; i++)
        if (r->standing[i].state == BACKUP_WAL_MISSING)
            return true;
    return false;
}

static enum rc load_wal_once(struct report *r, struct system_report *s,
                             struct backup_standing *standing, struct error *err)
{
    const struct cluster_system *sys = &s->system;

    TRY(wal_list_load(r->repo, r->cluster, sys->system_identifier, sys->wal_segment_bytes, &s->wal,
                      err));
    TRY(load_history(r, s, err));
    s->runs = wal_runs(s->wal, &s->run_count);
    windows_find(r->catalog, sys->system_identifier, sys->wal_segment_bytes, s->wal, &s->history,
                 standing, &s->windows, &s->window_count);
    return RC_OK;
}

static void take_standing(struct report *r, const struct backup_standing *standing)
{
    for (size_t i = 0; i < r->catalog->count; i++)
        if (standing[i].state != BACKUP_OTHER)
            r->standing[i] = standing[i];
}

/*
 * A listing is no snapshot: a segment may be archived behind its back, and a later one in front of
 * it. A hole counts only if it is there a second time.
 */
static enum rc load_wal(struct report *r, struct system_report *s, struct error *err)
{
    CLEANUP_FREE struct backup_standing *standing =
        mem_zalloc((r->catalog->count + 1) * sizeof(*standing));
    size_t problems = r->problem_count;

    TRY(load_wal_once(r, s, standing, err));
    take_standing(r, standing);
    if (!has_holes(r, s))
        return RC_OK;
    forget_wal(s);
    while (r->problem_count > problems)
        free(r->problems[--r->problem_count]);
    TRY(load_wal_once(r, s, standing, err));
    take_standing(r, standing);
    return RC_OK;
}

static void name_holes(struct report *r, const struct system_report *s)
{
    for (size_t i = 0; i < s->window_count; i++) {
        const struct window *w = &s->windows[i];
        char first[WAL_NAME_MAX], last[WAL_NAME_MAX];
        uint32_t bytes = s->system.wal_segment_bytes;

        if (!w->hole)
            continue;
        wal_name_segment(w->timeline, w->last + 1, bytes, first);
        wal_name_segment(w->timeline, w->hole_last, bytes, last);
        if (w->hole_last == w->last + 1)
            add_problem(r, "WAL segment %s is missing: moments behind it can't be reached", first);
        else
            add_problem(r,
                        "WAL segments %s to %s are missing: moments behind them can't be reached",
                        first, last);
    }
}

static void name_backup_problems(struct report *r)
{
    for (size_t i = 0; i < r->catalog->count; i++) {
        const struct catalog_entry *e = &r->catalog->entries[i];

        if (!e->info)
            add_problem(r, "backup %s can't be used: %s", e->id, e->problem.what);
        else if (r->standing[i].state == BACKUP_WAL_MISSING)
            add_problem(r,
                        "backup %s can't become consistent: WAL segment %s, which it needs, is "
                        "missing",
                        e->id, r->standing[i].missing);
    }
}

/* ---- proofs and leases ---- */

struct proof_names {
    struct proof_note *notes;
    size_t count, capacity;
};

/* Listed by name, which begins with the time: the last one of a backup is its newest. */
static enum rc take_proof_name(void *ctx, const char *name, const struct store_info *info,
                               struct error *err)
{
    struct proof_names *p = ctx;
    char id[BACKUP_ID_SIZE];

    (void)info;
    (void)err;
    if (!name_proof_backup(name, id))
        return RC_OK;
    size_t i = 0;
    while (i < p->count && !str_eq(p->notes[i].summary.backup_id, id))
        i++;
    if (i == p->count) {
        p->notes = mem_grow(p->notes, p->count, &p->capacity, sizeof(*p->notes));
        p->notes[p->count++] = (struct proof_note){.summary.finished = MOMENT_NONE};
    }
    struct proof_note *n = &p->notes[i];
    str_copy(n->summary.backup_id, sizeof(n->summary.backup_id), id);
    str_copy(n->name.text, sizeof(n->name.text), name);
    return RC_OK;
}

/* A proof speaks of one backup.json, not of whatever stands under its id now. */
static void check_subject(struct report *r, struct proof_note *n)
{
    for (size_t i = 0; i < r->catalog->count; i++) {
        const struct backup_info *b = r->catalog->entries[i].info;
        if (!b || !str_eq(b->id, n->summary.backup_id) ||
            sha256_equal(&b->digest, &n->summary.backup_digest))
            continue;
        add_problem(r, "proof %s is of another backup.json than the one that is there",
                    n->name.text);
        n->summary.backup_id[0] = '\0';
    }
}

static enum rc load_proof(struct report *r, struct proof_note *n, struct error *err)
{
    struct proof_summary *s = &n->summary;
    enum rc rc = proof_summary_load(r->repo, n->name.text, s->backup_id, s, err);

    if (rc == RC_OK)
        check_subject(r, n);
    if (rc != RC_INTEGRITY && rc != RC_NOT_FOUND)
        return rc;
    add_problem(r, "proof %s can't be used: %s", n->name.text, err->what);
    return RC_OK;
}

static enum rc load_proofs(struct report *r, struct error *err)
{
    struct proof_names p = {0};
    enum rc rc =
        store_list(r->repo->store, name_proofs_prefix(r->cluster).text, take_proof_name, &p, err);

    r->proofs = p.notes;
    r->proof_count = p.count;
    for (size_t i = 0; rc == RC_OK && i < p.count; i++)
        rc = load_proof(r, &p.notes[i], err);
    return rc;
}

const struct proof_note *report_proof(const struct report *r, const char *backup_id)
{
    for (size_t i = 0; i < r->proof_count; i++)
        if (str_eq(r->proofs[i].summary.backup_id, backup_id))
            return &r->proofs[i];
    return NULL;
}

/* A lease informs; one that vanishes or can't be read is no finding. */
static enum rc take_lease(void *ctx, const char *name, const struct store_info *info,
                          struct error *err)
{
    struct report *r = ctx;
    struct error ignored = {0};
    CLEANUP_JSON json_t *o = NULL;
    struct lease_note n = {.since = info->modified};
    const char *kind = name + strlen(name_leases_prefix(r->cluster).text);

    (void)err;
    CLEANUP_FREE char *kind_text = str_printf("%.*s", (int)strcspn(kind, "/"), kind);
    str_copy(n.kind, sizeof(n.kind), kind_text);
    if (document_get(r->repo->store, name, "lease", 1, &o, NULL, &ignored) == RC_NOT_FOUND)
        return RC_OK;
    if (o && (json_get_bytes(o, "host", &n.host, &ignored) != RC_OK ||
              json_get_u64(o, "pid", &n.pid, &ignored) != RC_OK))
        n.pid = 0;
    r->leases = mem_array(r->leases, r->lease_count + 1, sizeof(*r->leases));
    r->leases[r->lease_count++] = n;
    return RC_OK;
}

static enum rc load_all(struct report *r, struct error *err)
{
    TRY(repo_list_clusters(r->repo, &r->clusters, err));
    TRY(catalog_load(r->repo, r->cluster, &r->catalog, err));
    r->standing = mem_zalloc((r->catalog->count + 1) * sizeof(*r->standing));
    for (size_t i = 0; i < r->catalog->count; i++)
        r->standing[i].state = r->catalog->entries[i].info ? BACKUP_OTHER : BACKUP_BROKEN;
    TRY(load_systems(r, err));
    for (size_t i = 0; i < r->system_count; i++)
        TRY(load_wal(r, &r->systems[i], err));
    name_backup_problems(r);
    for (size_t i = 0; i < r->system_count; i++)
        name_holes(r, &r->systems[i]);
    TRY(load_proofs(r, err));
    return store_list(r->repo->store, name_leases_prefix(r->cluster).text, take_lease, r, err);
}

enum rc report_load(struct repo *repo, const char *cluster, struct report *ret, struct error *err)
{
    struct report r = {.repo = repo, .cluster = cluster};
    enum rc rc = load_all(&r, err);

    if (rc != RC_OK) {
        report_done(&r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

void report_done(struct report *r)
{
    for (size_t i = 0; r->clusters && r->clusters[i]; i++)
        free(r->clusters[i]);
    for (size_t i = 0; i < r->system_count; i++)
        forget_wal(&r->systems[i]);
    for (size_t i = 0; i < r->lease_count; i++)
        free(r->leases[i].host);
    for (size_t i = 0; i < r->problem_count; i++)
        free(r->problems[i]);
    catalog_free(r->catalog);
    free(r->clusters);
    free(r->systems);
    free(r->standing);
    free(r->proofs);
    free(r->leases);
    free(r->problems);
}
