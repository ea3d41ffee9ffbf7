#include "verify/proof.h"

#include "base/str.h"
#include "pg/lsn.h"
#include "repo/proof_summary.h"
#include "verify/proof_claims.h"

#include <stdlib.h>

static const char *verdict_name(enum verdict v)
{
    return v == VERDICT_PASSED ? "passed" : v == VERDICT_FAILED ? "failed" : "not run";
}

static void set(json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, value) != 0)
        BUG("could not set member \"%s\"", key);
}

/* Strings from outside may be no UTF-8, which JSON can't hold. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    if (j)
        return j;
    CLEANUP_FREE char *printable = str_printable(s);
    j = json_string(printable);
    BUG_IF(!j);
    return j;
}

static json_t *moment(moment_us t)
{
    char buf[MOMENT_TEXT_MAX];
    return json_string(moment_iso(t, buf));
}

static json_t *lsn(uint64_t value)
{
    char buf[LSN_TEXT_MAX];
    return value ? json_string(lsn_text(value, buf)) : json_null();
}

/* Milliseconds are enough, and read better. */
static json_t *seconds(double value)
{
    return value < 0 ? json_null() : json_real((double)(int64_t)(value * 1000 + 0.5) / 1000);
}

static json_t *whole_seconds(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *texts(const char *const *items, size_t count)
{
    json_t *a = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(a, text(items[i]));
    return a;
}

static json_t *remarks_json(const struct remarks *r)
{
    json_t *a = texts(r->items, r->count);
    if (r->total > r->count) {
        CLEANUP_FREE char *more = str_printf("and %ju more", (uintmax_t)(r->total - r->count));
        json_array_append_new(a, text(more));
    }
    return a;
}

static json_t *checks_json(const struct proof *p)
{
    json_t *a = json_array();
    for (int i = 0; i < CHECK_COUNT; i++) {
        const struct check *c = &p->checks[i];
        json_t *o = json_object();
        set(o, "name", text(check_name((enum check_id)i)));
        set(o, "verdict", text(verdict_name(c->verdict)));
        set(o, "required", json_boolean(c->required));
        set(o, "detail", text(c->detail));
        set(o, "seconds", seconds(c->seconds));
        set(o, "findings", texts(c->findings, c->finding_count));
        set(o, "findings_total", json_integer((json_int_t)c->findings_total));
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *timings_json(const struct proof *p)
{
    json_t *o = json_object();
    set(o, "restore", seconds(p->seconds_restore));
    set(o, "recovery", seconds(p->seconds_recovery));
    set(o, "checks", seconds(p->seconds_checks));
    set(o, "total", seconds(p->seconds_total));
    return o;
}

static json_t *objectives_json(const struct proof *p)
{
    static const char *const verdicts[] = {
        [OBJECTIVE_NONE] = "not configured", [OBJECTIVE_NOT_MEASURED] = "not run",
        [OBJECTIVE_MET] = "passed",          [OBJECTIVE_MISSED_TARGET] = "warning",
        [OBJECTIVE_MISSED] = "failed",
    };
    json_t *rto = json_object();
    set(rto, "verdict", text(verdicts[proof_rto(p)]));
    set(rto, "measured_seconds", seconds(proof_recovery_seconds(p)));
    set(rto, "target_seconds", whole_seconds(p->rto_seconds));
    set(rto, "max_seconds", whole_seconds(p->rto_max_seconds));
    json_t *rpo = json_object();
    set(rpo, "verdict", text("not run"));
    set(rpo, "detail", text("a drill does not measure it yet"));
    json_t *o = json_object();
    set(o, "rto", rto);
    set(o, "rpo", rpo);
    return o;
}

static json_t *versions_json(const struct proof *p)
{
    json_t *o = json_object();
    set(o, "pgproof", text(p->tool_version));
    set(o, "postgresql", text(p->postgresql_version));
    set(o, "amcheck", *p->amcheck_version ? text(p->amcheck_version) : json_null());
    return o;
}

static void append_claim(void *ctx, const char *sentence)
{
    json_array_append_new(ctx, text(sentence));
}

static void set_claims(const struct proof *p, json_t *o)
{
    json_t *proven = json_array(), *not_proven = json_array();
    claims_proven(p, append_claim, proven);
    claims_not_proven(p, append_claim, not_proven);
    set(o, "what_this_proves", proven);
    set(o, "what_this_does_not_prove", not_proven);
}

static json_t *backup_ref(const char *id, const char *sha256)
{
    json_t *o = json_object();
    set(o, "id", text(id));
    set(o, "sha256", text(sha256));
    return o;
}

json_t *proof_json(const struct proof *p)
{
    json_t *o = json_object();
    set(o, "cluster", text(p->cluster));
    /* as text: 64 bits are too many for a number in many readers of JSON */
    CLEANUP_FREE char *system = str_printf("%ju", (uintmax_t)p->system_identifier);
    set(o, "system_identifier", text(system));
    set(o, PROOF_BACKUP_ID, text(p->backup_id));
    set(o, PROOF_BACKUP_SHA256, text(p->backup_sha256));
    set(o, "newest_backup", backup_ref(p->newest_backup_id, p->newest_backup_sha256));
    set(o, PROOF_RESULT, text(proof_result_name(proof_result(p))));
    set(o, "started", moment(p->started));
    set(o, PROOF_FINISHED, moment(p->finished));
    set(o, "host", text(p->host));
    set(o, "versions", versions_json(p));

    json_t *target = json_object();
    set(target, "kind", text(p->target_kind));
    set(target, "lsn", lsn(p->target_lsn));
    set(o, "target", target);
    json_t *reached = json_object();
    set(reached, "lsn", lsn(p->reached_lsn));
    set(reached, "timeline", p->reached_timeline ? json_integer(p->reached_timeline) : json_null());
    set(o, "reached", reached);

    set(o, "checks", checks_json(p));
    set(o, "timings", timings_json(p));
    set(o, "objectives", objectives_json(p));
    set(o, "warnings", remarks_json(&p->warnings));
    set(o, "not_covered", remarks_json(&p->not_covered));
    set(o, "not_loaded", remarks_json(&p->not_loaded));
    set_claims(p, o);
    return o;
}
