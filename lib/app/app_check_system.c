#include "app/app_open.h"

#include <inttypes.h>
#include <stdlib.h>

/* Under which other cluster is it registered? NULL if under none, or if that can't be seen; the
 * error that is being made does not depend on it. malloc'ed. */
static char *cluster_of(struct repo *r, uint64_t system_identifier)
{
    struct error ignored = {0};
    struct cluster_system sys;
    char **names = NULL, *found = NULL;

    if (repo_list_clusters(r, &names, &ignored) != RC_OK)
        return NULL;
    for (size_t i = 0; names[i]; i++) {
        if (!found && repo_load_system(r, names[i], system_identifier, &sys, &ignored) == RC_OK)
            found = names[i];
        else
            free(names[i]);
    }
    free(names);
    return found;
}

static enum rc other_cluster(const struct app *a, struct repo *r, uint64_t is, uint64_t registered,
                             struct error *err)
{
    CLEANUP_FREE char *elsewhere = cluster_of(r, is);
    const char *cluster = a->config->cluster;

    error_set(err, RC_INTEGRITY,
              "this belongs to another cluster: its system identifier is %" PRIu64
              ", that of cluster '%s' in the repository is %" PRIu64,
              is, cluster, registered);
    error_on(err, "%s, cluster %s", r->store->where, cluster);
    if (elsewhere)
        return error_now(err, "it is registered as cluster '%s': choose that with --cluster",
                         elsewhere);
    return error_now(err, "choose the right cluster, or register this one under a name of its own "
                          "with 'pgproof init --cluster=NAME'");
}

enum rc app_check_system(const struct app *a, struct repo *r, uint64_t system_identifier,
                         struct cluster_system *ret, struct error *err)
{
    const char *cluster = a->config->cluster;
    struct cluster_system current;
    enum rc rc = repo_load_system(r, cluster, system_identifier, ret, err);

    if (rc != RC_NOT_FOUND)
        return rc;
    rc = repo_current_system(r, cluster, &current, err);
    if (rc == RC_OK)
        return other_cluster(a, r, system_identifier, current.system_identifier, err);
    if (rc != RC_NOT_FOUND)
        return rc;
    error_set(err, RC_REFUSED, "the cluster is not registered in the repository");
    error_on(err, "%s, cluster %s", r->store->where, cluster);
    return error_now(err, "run 'pgproof init' on the database host");
}
