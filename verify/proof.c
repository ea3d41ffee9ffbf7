#include "verify/proof.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/proof_summary.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const check_names[CHECK_COUNT] = {
    [CHECK_ARCHIVE] = "archived WAL", [CHECK_RESTORE] = "restore",
    [CHECK_RECOVERY] = "recovery",    [CHECK_TARGET] = "recovery target",
    [CHECK_ROWS] = "row counts",      [CHECK_PROMOTION] = "promotion",
    [CHECK_INDEXES] = "indexes",      [CHECK_HEAPS] = "heaps",
    [CHECK_TABLES] = "tables read",   [CHECK_COLLATIONS] = "collations",
};

const char *check_name(enum check_id id)
{
    return check_names[id];
}

struct proof *proof_new(void)
{
    struct proof *p = mem_zalloc(sizeof *p);
    p->arena = arena_new();
    p->cluster = p->backup_id = p->backup_sha256 = p->host = "";
    p->newest_backup_id = p->newest_backup_sha256 = "";
    p->tool_version = p->postgresql_version = p->amcheck_version = "";
    p->target_kind = "";
    p->stored_as = p->kept_in = "";
    p->seconds_restore = p->seconds_recovery = p->seconds_checks = p->seconds_total = -1;
    p->rto_seconds = p->rto_max_seconds = -1;
    for (int i = 0; i < CHECK_COUNT; i++) {
        p->checks[i].required = i != CHECK_COLLATIONS;
        p->checks[i].detail = "an earlier step did not succeed";
    }
    return p;
}

void proof_free(struct proof *p)
{
    if (!p)
        return;
    for (int i = 0; i < CHECK_COUNT; i++)
        free(p->checks[i].findings);
    free(p->warnings.items);
    free(p->not_covered.items);
    free(p->not_loaded.items);
    arena_free(p->arena);
    free(p);
}

const char *proof_text(struct proof *p, const char *s)
{
    CLEANUP_FREE char *printable = str_printable(s);
    return arena_strdup(p->arena, printable);
}

static const char *format_text(struct proof *p, const char *fmt, va_list args)
{
    char *raw;
    if (vasprintf(&raw, fmt, args) < 0)
        BUG("could not format \"%s\"", fmt);
    const char *text = proof_text(p, raw);
    free(raw);
    return text;
}

/* What failed stays failed; only another failure may replace its detail. */
static void set_verdict(struct proof *p, enum check_id id, enum verdict verdict, const char *fmt,
                        va_list args)
{
    struct check *c = &p->checks[id];
    if (c->verdict == VERDICT_FAILED && verdict != VERDICT_FAILED)
        return;
    c->detail = format_text(p, fmt, args);
    c->verdict = verdict;
}

void check_passed(struct proof *p, enum check_id id, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_verdict(p, id, VERDICT_PASSED, fmt, args);
    va_end(args);
}

void check_failed(struct proof *p, enum check_id id, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_verdict(p, id, VERDICT_FAILED, fmt, args);
    va_end(args);
}

void check_not_run(struct proof *p, enum check_id id, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_verdict(p, id, VERDICT_NOT_RUN, fmt, args);
    va_end(args);
}

void check_finding(struct proof *p, enum check_id id, const char *fmt, ...)
{
    struct check *c = &p->checks[id];
    c->findings_total++;
    if (c->finding_count == FINDINGS_MAX)
        return;
    c->findings =
        mem_grow(c->findings, c->finding_count, &c->finding_capacity, sizeof *c->findings);
    va_list args;
    va_start(args, fmt);
    c->findings[c->finding_count++] = format_text(p, fmt, args);
    va_end(args);
}

void check_finding_lines(struct proof *p, enum check_id id, const char *output)
{
    while (*output) {
        output += strspn(output, " \t\n");
        size_t len = strcspn(output, "\n");
        if (len > 0)
            check_finding(p, id, "%.*s", (int)len, output);
        output += len;
    }
}

void check_optional(struct proof *p, enum check_id id)
{
    p->checks[id].required = false;
}

void remark(struct proof *p, struct remarks *to, const char *fmt, ...)
{
    to->total++;
    if (to->count == FINDINGS_MAX)
        return;
    to->items = mem_grow(to->items, to->count, &to->capacity, sizeof *to->items);
    va_list args;
    va_start(args, fmt);
    to->items[to->count++] = format_text(p, fmt, args);
    va_end(args);
}

double proof_recovery_seconds(const struct proof *p)
{
    if (p->seconds_restore < 0 || p->seconds_recovery < 0)
        return -1;
    return p->seconds_restore + p->seconds_recovery;
}

enum objective proof_rto(const struct proof *p)
{
    double measured = proof_recovery_seconds(p);
    if (p->rto_seconds < 0 && p->rto_max_seconds < 0)
        return OBJECTIVE_NONE;
    if (measured < 0)
        return OBJECTIVE_NOT_MEASURED;
    if (p->rto_max_seconds >= 0 && measured > (double)p->rto_max_seconds)
        return OBJECTIVE_MISSED;
    if (p->rto_seconds >= 0 && measured > (double)p->rto_seconds)
        return OBJECTIVE_MISSED_TARGET;
    return OBJECTIVE_MET;
}

enum verdict proof_result(const struct proof *p)
{
    enum verdict result = VERDICT_PASSED;
    if (proof_rto(p) == OBJECTIVE_MISSED)
        return VERDICT_FAILED;
    for (int i = 0; i < CHECK_COUNT; i++) {
        const struct check *c = &p->checks[i];
        if (!c->required)
            continue;
        if (c->verdict == VERDICT_FAILED)
            return VERDICT_FAILED;
        if (c->verdict == VERDICT_NOT_RUN)
            result = VERDICT_NOT_RUN;
    }
    return result;
}

const char *proof_result_name(enum verdict result)
{
    return result == VERDICT_PASSED   ? PROOF_PASSED
           : result == VERDICT_FAILED ? PROOF_FAILED
                                      : PROOF_NOT_PROVEN;
}
