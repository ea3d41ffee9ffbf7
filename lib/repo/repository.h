/* The repository itself: its identity, and the systems (initdb's) registered under each cluster. */
#ifndef PGPROOF_REPO_REPOSITORY_H
#define PGPROOF_REPO_REPOSITORY_H

#include "base/clock.h"
#include "store/store.h"

#include <stdint.h>

#define REPOSITORY_FORMAT 1

struct repo {
    struct store *store; /* owned */
    char id[33];         /* 16 random bytes in hex, drawn at init */
    uint64_t hash_seed;  /* for every XXH3-128 in this repository */
    char sealing[16];    /* "none" */
    moment_us created;

    /* How objects are put through this handle; zero after repo_open, and a duplicate's too. */
    moment_us locked_until; /* object lock, where the store has that; 0: none. Leases never */
    const char *data_class; /* storage class of packs of data, NULL: the usual one; borrowed */
};

/* Write repository.json. RC_EXISTS if there is one. */
MUST_CHECK enum rc repo_create(struct store *s, struct error *err);

/*
 * Takes the store over, also on failure. Reads repository.json: RC_STORAGE with "not a repository,
 * or not mounted" where it isn't there, RC_CONFIG for another format version, RC_INTEGRITY when
 * damaged.
 */
MUST_CHECK enum rc repo_open(struct store *s, struct repo **ret, struct error *err);
MUST_CHECK enum rc repo_dup(struct repo *r, struct repo **ret, struct error *err);
void repo_close(struct repo *r); /* takes NULL */

/* As store_put, with the handle's lock. */
MUST_CHECK enum rc repo_put(struct repo *r, const char *name, const void *data, size_t len,
                            struct error *err);
DEFINE_CLEANUP(cleanup_repo, struct repo *, repo_close)
#define CLEANUP_REPO CLEANUP(cleanup_repo)

/* What is known of one system under a cluster. */
struct cluster_system {
    uint64_t system_identifier;
    uint32_t pg_major;
    uint32_t wal_segment_bytes;
    uint32_t page_bytes;
    uint32_t relation_segment_pages; /* pages per relation segment file */
    moment_us registered;
};

/* Register; the same system with the same facts again is RC_OK, with other facts RC_INTEGRITY. */
MUST_CHECK enum rc repo_register_system(struct repo *r, const char *cluster,
                                        const struct cluster_system *sys, struct error *err);
/* RC_NOT_FOUND if this system is not registered under this cluster. */
MUST_CHECK enum rc repo_load_system(struct repo *r, const char *cluster, uint64_t system_identifier,
                                    struct cluster_system *ret, struct error *err);
/* The one registered last. RC_NOT_FOUND if the cluster has none. */
MUST_CHECK enum rc repo_current_system(struct repo *r, const char *cluster,
                                       struct cluster_system *ret, struct error *err);
/* Clusters that have a registered system: a NULL-terminated array; free each and the array. */
MUST_CHECK enum rc repo_list_clusters(struct repo *r, char ***ret, struct error *err);

/*
 * A lease says who is at work; it informs people, nothing is kept or deleted because of it.
 * A killed process leaves its lease; info shows its age. Release it before closing the repository.
 */
struct lease;
MUST_CHECK enum rc lease_take(struct repo *r, const char *cluster, const char *kind,
                              struct lease **ret, struct error *err);
void lease_release(struct lease *l); /* removes the object, best effort; takes NULL */
DEFINE_CLEANUP(cleanup_lease, struct lease *, lease_release)

#endif
