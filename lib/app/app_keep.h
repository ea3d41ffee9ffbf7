/* How long what is written is kept, by the configuration. */
#ifndef PGPROOF_APP_APP_KEEP_H
#define PGPROOF_APP_APP_KEEP_H

#include "app/app.h"

/* Of the backups of a tier. One without a tier ("", or one that is not configured here) is kept as
 * long as a daily one. */
int64_t app_keep_seconds(const struct app *a, const char *tier);
/* Of history files: the longest of all, because every later restore may need them. */
int64_t app_keep_longest_seconds(const struct app *a);

/* Of the data of a tier's backups; NULL: the storage's usual one. */
const char *app_storage_class(const struct app *a, const char *tier);

/* Until when an object lock is to last; 0 where the configuration has none. */
moment_us app_locked_until(const struct app *a, moment_us from, int64_t keep_seconds);

/* RC_REFUSED where the repository is read as it was at an earlier moment. `work`: what can't be
 * done then ("a backup"). */
MUST_CHECK enum rc app_need_present(const struct app *a, const char *work, struct error *err);

#endif
