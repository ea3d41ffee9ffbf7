/* What a proof may say in words, from the verdicts of its checks. */
#ifndef PGPROOF_VERIFY_PROOF_CLAIMS_H
#define PGPROOF_VERIFY_PROOF_CLAIMS_H

#include "verify/proof.h"

/* Calls fn with each sentence that the passed checks allow. */
typedef void claim_fn(void *ctx, const char *sentence);
void claims_proven(const struct proof *p, claim_fn *fn, void *ctx);
/* And with each that nobody may read into it. */
void claims_not_proven(const struct proof *p, claim_fn *fn, void *ctx);

#endif
