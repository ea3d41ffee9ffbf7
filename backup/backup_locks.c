#include "backup/backup_locks.h"

#include "pg/lsn.h"
#include "repo/lock_list.h"

static void add_wal(struct lock_list *l, const struct backup_needs *n)
{
    const struct backup_info *b = n->info;
    char file[WAL_NAME_MAX];
    for (uint64_t i = n->first_segment; i <= n->last_segment; i++) {
        wal_name_segment(b->timeline, i, b->wal_segment_bytes, file);
        lock_list_add(l, name_wal(n->cluster, b->system_identifier, file).text, LOCK_NEEDED);
    }
    if (b->timeline == 1)
        return;
    /* One from before archiving began never came into the repository. */
    wal_name_history(b->timeline, file);
    lock_list_add(l, name_wal(n->cluster, b->system_identifier, file).text, LOCK_IF_THERE);
}

enum rc backup_lock_needs(const struct backup_needs *n, struct repo *r, unsigned jobs,
                          struct error *err)
{
    if (r->locked_until == 0)
        return RC_OK;
    CLEANUP(cleanup_lock_list) struct lock_list *l = lock_list_new();
    lock_list_add(l, REPOSITORY_OBJECT, LOCK_NEEDED);
    lock_list_add(l, name_system(n->cluster, n->info->system_identifier).text, LOCK_NEEDED);
    add_wal(l, n);
    lock_list_add_packs(l, n->cluster, n->manifest);
    if (lock_list_extend(l, r, r->locked_until, jobs, err) == RC_OK)
        return RC_OK;
    return error_prefix(err, "could not lock all that the backup needs, so it is void");
}
