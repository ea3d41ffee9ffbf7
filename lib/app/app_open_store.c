#include "app/app_open.h"

#include "base/str.h"

enum rc app_open_store(const struct app *a, bool create, struct store **ret, struct error *err)
{
    const struct config *c = a->config;
    struct store_options o = {.type = STORE_POSIX, .path = c->repository_path, .create = create};

    if (!str_eq(c->repository_type, "posix"))
        BUG("the option table let a repository of type %s through", c->repository_type);
    TRY(config_need(c, "repository", "path", err));
    return store_open(&o, ret, err);
}
