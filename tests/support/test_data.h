/* Files under tests/data/, for tests in tests/<suite>/. */
#ifndef PGPROOF_TESTS_SUPPORT_TEST_DATA_H
#define PGPROOF_TESTS_SUPPORT_TEST_DATA_H

#include "base/buf.h"

/* Append tests/data/<name> to `to`; fails the running test if it can't be read. printf-like. */
void test_data_read(struct buf *to, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
