#include "store/store.h"

#include "store/store_int.h"

#include <string.h>

#define COMPONENT_MAX 255 /* what file systems take */

static bool component_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._=+-", c));
}

static bool component_valid(const char *component, size_t len)
{
    if (len == 0 || len > COMPONENT_MAX || component[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!component_char(component[i]))
            return false;
    return true;
}

bool store_name_valid(const char *name)
{
    if (strnlen(name, STORE_NAME_MAX + 1) > STORE_NAME_MAX)
        return false;
    for (;;) {
        size_t len = strcspn(name, "/");

        if (!component_valid(name, len))
            return false;
        if (name[len] == '\0')
            return true;
        name += len + 1;
    }
}

/* Can a name begin so? The last component may be cut anywhere. */
static bool prefix_possible(const char *prefix)
{
    const char *last = strrchr(prefix, '/');
    char name[STORE_NAME_MAX + 2];
    size_t len = strnlen(prefix, sizeof(name));

    if (len >= STORE_NAME_MAX + 1)
        return false;
    memcpy(name, prefix, len + 1);
    if (len == 0 || (last && last[1] == '\0'))
        strcpy(name + len, "x");
    return store_name_valid(name);
}

static enum rc check_name(const struct store *s, const char *name, struct error *err)
{
    if (store_name_valid(name))
        return RC_OK;
    error_set(err, RC_REFUSED, "not a name for an object in a repository: '%.200s'", name);
    return error_on(err, "%s", s->where);
}

enum rc store_open(const struct store_options *o, struct store **ret, struct error *err)
{
    switch (o->type) {
    case STORE_POSIX:
        return store_posix_open(o, ret, err);
    case STORE_S3:
        return store_s3_open(o, ret, err);
    }
    return error_set(err, RC_REFUSED, "there is no storage driver number %d", (int)o->type);
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

enum rc store_dup(struct store *s, struct store **ret, struct error *err)
{
    return s->ops->dup(s, ret, err);
}

enum rc store_put(struct store *s, const char *name, const void *data, size_t len,
                  struct error *err)
{
    return store_put_as(s, name, data, len, NULL, err);
}

enum rc store_put_as(struct store *s, const char *name, const void *data, size_t len,
                     const struct store_put_how *how, struct error *err)
{
    static const struct store_put_how plain = {0};

    TRY(check_name(s, name, err));
    if (len > STORE_OBJECT_MAX) {
        error_set(err, RC_REFUSED, "an object of %zu bytes is more than a repository takes (%u)",
                  len, STORE_OBJECT_MAX);
        return error_on(err, "%s/%s", s->where, name);
    }
    return s->ops->put(s, name, data, len, how ? how : &plain, err);
}

/* Whatever a driver appended before it failed is taken back. */
static enum rc get(struct store *s, const char *name, uint64_t offset, size_t len, struct buf *to,
                   struct error *err)
{
    size_t len_before = to->len;
    enum rc rc;

    TRY(check_name(s, name, err));
    rc = s->ops->get(s, name, offset, len, to, err);
    if (rc != RC_OK)
        to->len = len_before;
    return rc;
}

enum rc store_get(struct store *s, const char *name, struct buf *to, struct error *err)
{
    return get(s, name, 0, STORE_WHOLE, to, err);
}

enum rc store_get_range(struct store *s, const char *name, uint64_t offset, size_t len,
                        struct buf *to, struct error *err)
{
    if (len > STORE_OBJECT_MAX || offset > STORE_OBJECT_MAX - len) {
        error_set(err, RC_INTEGRITY, "no object is long enough for %zu bytes from offset %llu", len,
                  (unsigned long long)offset);
        return error_on(err, "%s/%s", s->where, name);
    }
    return get(s, name, offset, len, to, err);
}

enum rc store_head(struct store *s, const char *name, struct store_info *ret, struct error *err)
{
    TRY(check_name(s, name, err));
    return s->ops->head(s, name, ret, err);
}

enum rc store_list(struct store *s, const char *prefix, store_list_fn *fn, void *ctx,
                   struct error *err)
{
    if (!prefix_possible(prefix))
        return RC_OK;
    return s->ops->list(s, prefix, fn, ctx, err);
}

enum rc store_remove(struct store *s, const char *name, struct error *err)
{
    TRY(check_name(s, name, err));
    return s->ops->remove(s, name, err);
}

/* For a driver that has nothing better: one by one. */
enum rc store_remove_each(struct store *s, const char *const *names, size_t count,
                          store_removed_fn *fn, void *ctx, struct error *err)
{
    enum rc first = RC_OK;

    for (size_t i = 0; i < count; i++) {
        struct error one = {0};
        enum rc rc = s->ops->remove(s, names[i], &one);

        if (fn)
            fn(ctx, names[i], rc, rc == RC_OK ? NULL : &one);
        if (rc == RC_CANCELLED || (first == RC_OK && rc != RC_OK && rc != RC_NOT_FOUND)) {
            first = rc;
            *err = one;
        }
        if (rc == RC_CANCELLED)
            break;
    }
    return first;
}

enum rc store_remove_many(struct store *s, const char *const *names, size_t count,
                          store_removed_fn *fn, void *ctx, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        TRY(check_name(s, names[i], err));
    return s->ops->remove_many(s, names, count, fn, ctx, err);
}

enum rc store_lock(struct store *s, const char *name, moment_us until, struct error *err)
{
    TRY(check_name(s, name, err));
    return s->ops->lock ? s->ops->lock(s, name, until, err) : RC_OK;
}

enum rc store_credentials(struct store *s, char **ret, struct error *err)
{
    if (s->ops->credentials)
        return s->ops->credentials(s, ret, err);
    error_set(err, RC_NOT_FOUND, "this storage has no credentials");
    return error_on(err, "%s", s->where);
}

enum rc store_examine(struct store *s, store_finding_fn *fn, void *ctx, struct error *err)
{
    return s->ops->examine(s, fn, ctx, err);
}

enum rc store_sweep(struct store *s, moment_us before, unsigned *ret_removed, struct error *err)
{
    return s->ops->sweep(s, before, ret_removed, err);
}
