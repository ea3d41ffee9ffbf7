/*
 * Objects whose object locks must last longer: what a backup needs and did not write itself.
 * Putting an object locks it by itself (struct repo).
 *
 *     lock_list_add(l, REPOSITORY_OBJECT, LOCK_NEEDED);
 *     lock_list_add_packs(l, cluster, manifest);
 *     TRY(lock_list_extend(l, repo, until, jobs, err));
 */
#ifndef PGPROOF_REPO_LOCK_LIST_H
#define PGPROOF_REPO_LOCK_LIST_H

#include "repo/manifest.h"

struct lock_list;
struct lock_list *lock_list_new(void);
void lock_list_free(struct lock_list *l); /* takes NULL */
DEFINE_CLEANUP(cleanup_lock_list, struct lock_list *, lock_list_free)

enum lock_need { LOCK_NEEDED, LOCK_IF_THERE };

void lock_list_add(struct lock_list *l, const char *name, enum lock_need need);
/* Every pack that the manifest refers to, whoever wrote it: one that is locked for long enough
 * costs a question, and the answer shows that it is. */
void lock_list_add_packs(struct lock_list *l, const char *cluster, const struct manifest *m);

/* Let each be locked until then at least, by `jobs` threads. Locks are never shortened. A needed
 * one that isn't there is RC_INTEGRITY. */
MUST_CHECK enum rc lock_list_extend(const struct lock_list *l, struct repo *r, moment_us until,
                                    unsigned jobs, struct error *err);

#endif
