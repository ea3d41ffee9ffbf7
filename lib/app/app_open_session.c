#include "app/app_open.h"

enum rc app_open_session(const struct app *a, const char *database, struct session **ret,
                         struct error *err)
{
    const struct config *c = a->config;
    enum rc rc = session_open(c->connection, a->tool->name, database, ret, err);

    if (rc == RC_DATABASE)
        error_now(err,
                  "see that the server runs and that 'connection' in section [cluster:%s] "
                  "reaches it",
                  c->cluster);
    return rc;
}
