/*
 * What a foreign client does to a bucket and sees in it, for tests of versions, locks and
 * encryption. As s3_fixture.h: nothing here is code under test, and what goes wrong fails the test.
 */
#ifndef PGPROOF_SUPPORT_S3_FOREIGN_H
#define PGPROOF_SUPPORT_S3_FOREIGN_H

#include "support/s3_fixture.h"

/* Names are an object's in the repository: S3FIX_PREFIX is put in front of them. */

/* How many versions the bucket has of it, and how many delete markers. */
struct foreign_count {
    unsigned versions, markers;
};
struct foreign_count foreign_count(const char *bucket, const char *name);

void foreign_put(const char *bucket, const char *name, const char *text); /* replaces it */
void foreign_delete(const char *bucket, const char *name);                /* plainly */
/* The body of PUT <bucket>?versioning: "Suspended", "Enabled". */
void foreign_set_versioning(const char *bucket, const char *status);
void foreign_set_legal_hold(const char *bucket, const char *name, bool on);

/* A header of HEAD's answer into `to`; "" where it has none. */
const char *foreign_header(const char *bucket, const char *name, const char *wanted, char *to,
                           size_t to_size);

/* What a GET of it answers; the body goes to `to`, which may be NULL. */
int foreign_get(const char *bucket, const char *name, struct buf *to);

#endif
