#include "repo/repository.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "repo/document.h"
#include "repo/fields_int.h"
#include "repo/names.h"
#include "repo/random_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lease {
    struct store *store; /* borrowed from the repository */
    struct object_name name;
};

static json_t *lease_body(const char *kind)
{
    char host[256] = "";
    json_t *o = json_object();
    gethostname(host, sizeof host - 1);
    field_set_str(o, "work", kind);
    json_set_bytes(o, "host", host);
    field_set_u64(o, "pid", (uint64_t)getpid());
    field_set_moment(o, "taken", clock_now());
    return o;
}

enum rc lease_take(struct repo *r, const char *cluster, const char *kind, struct lease **ret,
                   struct error *err)
{
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    TRY(random_bytes(random, sizeof random, err));
    hex_encode(random, sizeof random, hex);

    struct object_name name = name_lease(cluster, kind, hex, 0);
    CLEANUP_JSON json_t *o = lease_body(kind);
    TRY(document_put(r->store, name.text, "lease", 1, o, NULL, err));
    struct lease *l = mem_alloc(sizeof *l);
    l->store = r->store;
    l->name = name;
    *ret = l;
    return RC_OK;
}

void lease_release(struct lease *l)
{
    struct error err;
    if (!l)
        return;
    if (store_remove(l->store, l->name.text, &err) != RC_OK)
        log_warning("could not remove the lease %s: %s", l->name.text, err.what);
    free(l);
}
