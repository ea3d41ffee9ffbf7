/* For s3_xml*.c only: what the readers of S3's documents share. */
#ifndef PGPROOF_STORE_S3_XML_INT_H
#define PGPROOF_STORE_S3_XML_INT_H

#include "store/s3_xml.h"

#define S3_KEY_MAX        1024
#define S3_VERSION_ID_MAX 1024

/* The text of an element into a fixed array; RC_STORAGE if it does not fit. */
MUST_CHECK enum rc s3_xml_keep(const char *element, const char *text, char *to, size_t to_size,
                               struct error *err);

/* RC_STORAGE unless the root's name is one of `known` (NULL-terminated). */
MUST_CHECK enum rc s3_xml_expect_root(const char *name, const char *const *known,
                                      struct error *err);

/* "<element> has no valid <what>": RC_STORAGE. */
enum rc s3_xml_lacks(const char *element, const char *what, struct error *err);

#endif
