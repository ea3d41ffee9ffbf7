#include "verify/drill_choose.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <inttypes.h>

void drill_subject_done(struct drill_subject *s)
{
    catalog_free(s->catalog);
    row_counts_free(s->counts);
    *s = (struct drill_subject){0};
}

static enum rc no_backup(struct repo *r, const char *cluster, struct error *err)
{
    error_set(err, RC_NOT_FOUND,
              "the repository holds no backup of this cluster: nothing was "
              "checked");
    error_on(err, "cluster %s in %s", cluster, r->store->where);
    return error_now(err, "take one with pgproof-backup");
}

static enum rc find_backup(struct repo *r, const char *cluster, const struct catalog *c,
                           const char *backup, const struct catalog_entry **ret, struct error *err)
{
    if (c->count == 0)
        return no_backup(r, cluster, err);
    *ret = NULL;
    if (str_eq(backup, "latest"))
        *ret = &c->entries[c->count - 1];
    for (size_t i = 0; !*ret && i < c->count; i++)
        if (str_eq(c->entries[i].id, backup))
            *ret = &c->entries[i];
    if (*ret)
        return RC_OK;
    error_set(err, RC_NOT_FOUND, "there is no such backup");
    error_on(err, "%s", backup);
    return error_now(err, "see which there are: pgproof info");
}

static const char *hex_of(struct proof *p, const struct sha256 *digest)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(digest, hex);
    return arena_strdup(p->arena, hex);
}

static const char *version_text(struct proof *p, uint32_t version_num)
{
    return arena_printf(p->arena, "%" PRIu32 ".%" PRIu32, version_num / 10000, version_num % 10000);
}

static void describe(struct proof *p, const char *cluster, const struct drill_subject *s)
{
    const struct backup_info *b = s->info;
    const struct catalog_entry *newest = &s->catalog->entries[s->catalog->count - 1];
    p->cluster = proof_text(p, cluster);
    p->backup_id = proof_text(p, b->id);
    p->backup_sha256 = hex_of(p, &b->digest);
    p->newest_backup_id = proof_text(p, newest->id);
    p->newest_backup_sha256 = newest->info ? hex_of(p, &newest->info->digest) : "";
    p->system_identifier = b->system_identifier;
    p->postgresql_version = version_text(p, b->pg_version_num);
    p->target_kind = s->counts ? "lsn" : "immediate";
    p->target_lsn = s->target_lsn;
    if (b->corrupt_pages > 0)
        remark(p, &p->warnings,
               "%" PRIu64 " damaged pages were in the cluster when the backup was taken",
               b->corrupt_pages);
    for (size_t i = 0; i < s->catalog->count; i++)
        if (!s->catalog->entries[i].info)
            remark(p, &p->warnings, "backup %s can't be used: %s", s->catalog->entries[i].id,
                   s->catalog->entries[i].problem.what);
}

/* Without counts the drill goes on: what else it finds is worth knowing. */
static enum rc load_counts(struct repo *r, struct drill_subject *s, struct proof *p,
                           struct error *err)
{
    struct error why;
    struct row_counts *counts;
    if (!*s->info->witness) {
        check_not_run(p, CHECK_ROWS, "no row counts were noted with this backup");
        return RC_OK;
    }
    enum rc rc = row_counts_load(r, s->info->witness, s->info->id, &counts, &why);
    if (rc == RC_NOT_FOUND || rc == RC_INTEGRITY) {
        check_failed(p, CHECK_ROWS, "the row counts noted with this backup are %s: %s (%s)",
                     rc == RC_NOT_FOUND ? "gone" : "damaged", why.what, s->info->witness);
        return RC_OK;
    }
    if (rc != RC_OK) {
        *err = why;
        return rc;
    }
    if (counts->lsn < s->info->stop_lsn) {
        row_counts_free(counts);
        check_not_run(p, CHECK_ROWS, "the rows were counted before the backup was consistent");
        return RC_OK;
    }
    s->counts = counts;
    s->target_lsn = counts->lsn;
    return RC_OK;
}

static enum rc choose(struct repo *r, const char *cluster, const char *backup,
                      struct drill_subject *s, struct proof *p, struct error *err)
{
    const struct catalog_entry *entry;
    TRY(catalog_load(r, cluster, &s->catalog, err));
    TRY(find_backup(r, cluster, s->catalog, backup, &entry, err));
    if (!entry->info) {
        *err = entry->problem;
        error_now(err, "drill another one with --backup=ID; pgproof info lists them");
        return err->rc;
    }
    s->info = entry->info;
    s->target_lsn = s->info->stop_lsn;
    TRY(load_counts(r, s, p, err));
    describe(p, cluster, s);
    return RC_OK;
}

enum rc drill_choose(struct repo *r, const char *cluster, const char *backup,
                     struct drill_subject *ret, struct proof *p, struct error *err)
{
    struct drill_subject s = {0};
    enum rc rc = choose(r, cluster, backup, &s, p, err);
    if (rc != RC_OK) {
        drill_subject_done(&s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

static enum rc look_for_segment(struct repo *r, const char *cluster, const struct backup_info *b,
                                uint64_t number, struct proof *p, struct error *err)
{
    char file[WAL_NAME_MAX];
    struct store_info info;
    struct error why;
    wal_name_segment(b->timeline, number, b->wal_segment_bytes, file);
    struct object_name name = name_wal(cluster, b->system_identifier, file);
    enum rc rc = store_head(r->store, name.text, &info, &why);
    if (rc == RC_NOT_FOUND)
        check_finding(p, CHECK_ARCHIVE, "%s is missing", file);
    else if (rc != RC_OK)
        *err = why;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc drill_check_archive(struct repo *r, const char *cluster, const struct drill_subject *s,
                            struct proof *p, struct error *err)
{
    const struct backup_info *b = s->info;
    struct check *c = &p->checks[CHECK_ARCHIVE];
    double began = clock_monotonic();
    uint64_t first = lsn_segment(b->start_lsn, b->wal_segment_bytes);
    /* to stop before a record, recovery must see where it begins */
    uint64_t last = s->counts ? lsn_segment(s->target_lsn, b->wal_segment_bytes)
                              : lsn_segment_before(s->target_lsn, b->wal_segment_bytes);
    for (uint64_t n = first; n <= last; n++) {
        TRY(cancel_check(err));
        TRY(look_for_segment(r, cluster, b, n, p, err));
    }
    c->seconds = clock_monotonic() - began;
    if (c->findings_total)
        check_failed(p, CHECK_ARCHIVE,
                     "%" PRIu64 " of %" PRIu64 " WAL segments that this backup needs are missing",
                     c->findings_total, last - first + 1);
    else
        check_passed(p, CHECK_ARCHIVE, "all %" PRIu64 " WAL segments from its start to the target",
                     last - first + 1);
    return RC_OK;
}
