/*
 * What every fuzz_<parser>.c is: one entry that feeds bytes from outside to a parser and calls
 * BUG_IF where a promise of its header does not hold. libFuzzer calls it (scripts/fuzz), and
 * replay.c does with the kept corpus.
 */
#ifndef PGPROOF_FUZZ_FUZZ_H
#define PGPROOF_FUZZ_FUZZ_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* always 0 */

#endif
