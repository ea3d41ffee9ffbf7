#include "app/app_keep.h"

#include "base/str.h"

#define USUAL_TIER "daily"
/* A lock can't be taken back, and a date with five digits in its year can't be written. */
#define LONGEST_LOCK_SECONDS (INT64_C(100) * 365 * 24 * 3600)

static const struct tier *find_tier(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->tier_count; i++)
        if (str_eq(c->tiers[i].name, name))
            return &c->tiers[i];
    return NULL;
}

int64_t app_keep_seconds(const struct app *a, const char *tier)
{
    const struct tier *t = find_tier(a->config, tier);

    if (!t)
        t = find_tier(a->config, USUAL_TIER);
    BUG_IF(!t);
    return t->keep_seconds;
}

const char *app_storage_class(const struct app *a, const char *tier)
{
    const struct tier *t = find_tier(a->config, tier);

    return t ? t->storage_class : NULL;
}

int64_t app_keep_longest_seconds(const struct app *a)
{
    int64_t longest = a->config->wal_keep_seconds;

    for (size_t i = 0; i < a->config->tier_count; i++)
        if (a->config->tiers[i].keep_seconds > longest)
            longest = a->config->tiers[i].keep_seconds;
    return longest;
}

moment_us app_locked_until(const struct app *a, moment_us from, int64_t keep_seconds)
{
    const struct config *c = a->config;

    if (!str_eq(c->repository_type, "s3") || str_eq(c->s3.object_lock, "off"))
        return 0;
    if (keep_seconds > LONGEST_LOCK_SECONDS)
        keep_seconds = LONGEST_LOCK_SECONDS;
    return from + keep_seconds * 1000000;
}

enum rc app_need_present(const struct app *a, const char *work, struct error *err)
{
    char moment[MOMENT_TEXT_MAX];

    if (!a->config->repository_as_of)
        return RC_OK;
    error_set(err, RC_REFUSED,
              "the repository is read as it was at %s, and %s would have to write into it",
              moment_text(a->config->repository_as_of, moment), work);
    error_on(err, "as-of in section [repository], or --repository-as-of");
    return error_now(err, "leave it out here; it is for 'pgproof info' and pgproof-restore");
}
