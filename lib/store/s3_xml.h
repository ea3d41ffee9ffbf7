/*
 * The XML documents of S3's and STS's answers (docs.aws.amazon.com, S3 API reference), walked
 * through within the bounds of xml_walk.h. Names of elements are compared without their namespace,
 * and unknown elements are skipped.
 *
 * What is no well-formed document, or lacks what it must have, is RC_STORAGE: an answer that can't
 * be understood proves nothing.
 */
#ifndef PGPROOF_STORE_S3_XML_H
#define PGPROOF_STORE_S3_XML_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The text of the first element of that name, at any depth, trimmed; e.g. "Code" of an error,
 * "Status" of a versioning configuration. RC_NOT_FOUND where a well-formed document has none. Cut
 * to to_size - 1 bytes.
 */
MUST_CHECK enum rc s3_xml_text(const void *xml, size_t len, const char *element, char *to,
                               size_t to_size, struct error *err);

/* The name of the document's root element ("Error", "ListBucketResult"), as s3_xml_text. */
MUST_CHECK enum rc s3_xml_root(const void *xml, size_t len, char *to, size_t to_size,
                               struct error *err);

/* One line of a listing, valid during the call. */
struct s3_entry {
    const char *key; /* decoded where the answer was url-encoded */
    uint64_t size_bytes;
    moment_us modified;
    const char *storage_class; /* "" where the server does not say */
    const char *version_id;    /* "" outside a listing of versions */
    bool delete_marker;
    bool latest; /* versions: the one that a plain GET gives */
};
typedef enum rc s3_entry_fn(void *ctx, const struct s3_entry *e, struct error *err);

#define S3_TOKEN_SIZE 2048

/* How a listing goes on. */
struct s3_page {
    bool truncated;
    char token[S3_TOKEN_SIZE];      /* NextContinuationToken of ListObjectsV2 */
    char key_marker[S3_TOKEN_SIZE]; /* NextKeyMarker, NextVersionIdMarker of versions; decoded */
    char version_marker[S3_TOKEN_SIZE]; /* as in the answer */
    char last_key[S3_TOKEN_SIZE];       /* of this page; "" where it is empty */
    size_t entries;
};

/*
 * ListObjectsV2 (ListBucketResult) or ListObjectVersions (ListVersionsResult). Ask for
 * encoding-type=url: without it MinIO and radosgw write control bytes of a key as no XML allows,
 * and one such key makes the whole page RC_STORAGE. Keys are decoded where the document says
 * <EncodingType>url</EncodingType>, wherever in it that stands; a key with a NUL byte, or longer
 * than 1024 bytes, is RC_STORAGE, and so is an entry without a key, a size, a moment, or (versions)
 * a version id. The document is proven well-formed before fn hears of the first entry; anything but
 * RC_OK from fn ends it and is returned. Truncated without a way to go on: RC_STORAGE.
 */
MUST_CHECK enum rc s3_xml_list(const void *xml, size_t len, s3_entry_fn *fn, void *ctx,
                               struct s3_page *ret, struct error *err);

/* One key that DeleteObjects did not delete; valid during the call. */
struct s3_delete_error {
    const char *key, *version_id, *code, *message;
};
typedef void s3_delete_error_fn(void *ctx, const struct s3_delete_error *e);

/* DeleteResult: every <Error>, and how many <Deleted> there are. fn hears only of a document that
 * is valid as a whole; an <Error> without a key or a code is RC_STORAGE. */
MUST_CHECK enum rc s3_xml_delete_result(const void *xml, size_t len, s3_delete_error_fn *fn,
                                        void *ctx, size_t *ret_deleted, struct error *err);

/* The body of DeleteObjects; version_ids may be NULL, or hold NULLs. RC_REFUSED: a key has control
 * bytes, which XML can't carry. Appends to `to`. */
MUST_CHECK enum rc s3_xml_delete_request(const char *const *keys, const char *const *version_ids,
                                         size_t count, struct buf *to, struct error *err);

/* "2026-11-21T14:30:00.000Z" as S3 and the credential services write it. */
bool s3_time_parse(const char *text, moment_us *ret);

#endif
