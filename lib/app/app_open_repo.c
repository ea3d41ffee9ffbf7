#include "app/app_open.h"

enum rc app_open_repo(const struct app *a, struct repo **ret, struct error *err)
{
    struct store *store;
    enum rc rc = app_open_store(a, false, &store, err);

    if (rc == RC_OK)
        rc = repo_open(store, ret, err);
    if (rc == RC_STORAGE || rc == RC_NOT_FOUND)
        error_now(err, "see that [repository] names the right place and that it is mounted; "
                       "'pgproof init' makes a new one");
    return rc;
}
