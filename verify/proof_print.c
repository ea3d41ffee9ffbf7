#include "verify/proof.h"

#include "base/str.h"
#include "pg/lsn.h"
#include "verify/proof_claims.h"

#include <inttypes.h>
#include <string.h>

#define GREEN  "\033[32m"
#define RED    "\033[31m"
#define YELLOW "\033[33m"
#define BOLD   "\033[1m"
#define PLAIN  "\033[0m"

/* A person reads this many findings; the JSON has more. */
#define FINDINGS_SHOWN 10

struct printer {
    FILE *to;
    bool colour;
    unsigned claims; /* printed so far */
};

static const char *paint(const struct printer *pr, const char *code)
{
    return pr->colour ? code : "";
}

static const char *verdict_colour(enum verdict v)
{
    return v == VERDICT_PASSED ? GREEN : v == VERDICT_FAILED ? RED : YELLOW;
}

static void print_duration(const struct printer *pr, const char *label, double seconds)
{
    char text[32];
    if (seconds >= 0)
        fprintf(pr->to, "  %-16s %s\n", label, format_duration(seconds, text));
}

static void print_head(const struct printer *pr, const struct proof *p)
{
    char when[MOMENT_TEXT_MAX], lsn[LSN_TEXT_MAX];
    fprintf(pr->to, "%sDrill of backup %s, cluster %s%s\n\n", paint(pr, BOLD), p->backup_id,
            p->cluster, paint(pr, PLAIN));
    moment_us second = p->started - p->started % 1000000;
    fprintf(pr->to, "  %-16s %s, on %s\n", "begun", moment_text(second, when), p->host);
    fprintf(pr->to, "  %-16s PostgreSQL %s, system %" PRIu64 "\n", "server", p->postgresql_version,
            p->system_identifier);
    if (p->target_lsn && str_eq(p->target_kind, "lsn"))
        fprintf(pr->to, "  %-16s LSN %s, where the rows were counted\n", "target",
                lsn_text(p->target_lsn, lsn));
    else
        fprintf(pr->to, "  %-16s the end of the backup, LSN %s\n", "target",
                lsn_text(p->target_lsn, lsn));
    if (p->reached_lsn)
        fprintf(pr->to, "  %-16s LSN %s on timeline %" PRIu32 "\n", "reached",
                lsn_text(p->reached_lsn, lsn), p->reached_timeline);
}

static void print_check(const struct printer *pr, const struct proof *p, enum check_id id)
{
    static const char *const words[] = {
        [VERDICT_NOT_RUN] = "not run", [VERDICT_PASSED] = "passed", [VERDICT_FAILED] = "FAILED"};
    const struct check *c = &p->checks[id];
    char text[32] = "-";
    if (c->seconds > 0)
        format_duration(c->seconds, text);
    fprintf(pr->to, "  %-16s %s%-8s%s %9s  %s%s\n", check_name(id),
            paint(pr, verdict_colour(c->verdict)), words[c->verdict], paint(pr, PLAIN), text,
            c->detail, c->required ? "" : " (does not decide)");
    size_t shown = c->finding_count < FINDINGS_SHOWN ? c->finding_count : FINDINGS_SHOWN;
    for (size_t i = 0; i < shown; i++)
        fprintf(pr->to, "  %-16s   - %s\n", "", c->findings[i]);
    if (c->findings_total > shown)
        fprintf(pr->to, "  %-16s   - and %ju more\n", "", (uintmax_t)(c->findings_total - shown));
}

static void print_checks(const struct printer *pr, const struct proof *p)
{
    fprintf(pr->to, "\n  %s%-16s %-8s %9s  %s%s\n", paint(pr, BOLD), "check", "verdict", "time",
            "detail", paint(pr, PLAIN));
    for (int i = 0; i < CHECK_COUNT; i++)
        print_check(pr, p, (enum check_id)i);
}

static void print_objectives(const struct printer *pr, const struct proof *p)
{
    char measured[32], target[32], maximum[32];
    double seconds = proof_recovery_seconds(p);
    format_duration(seconds < 0 ? 0 : seconds, measured);
    format_duration((double)p->rto_seconds, target);
    format_duration((double)p->rto_max_seconds, maximum);
    switch (proof_rto(p)) {
    case OBJECTIVE_NONE:
        if (seconds >= 0)
            fprintf(pr->to, "  %-16s %s measured; no objective is configured\n", "RTO", measured);
        break;
    case OBJECTIVE_NOT_MEASURED:
        fprintf(pr->to, "  %-16s %snot measured%s\n", "RTO", paint(pr, YELLOW), paint(pr, PLAIN));
        break;
    case OBJECTIVE_MET:
        fprintf(pr->to, "  %-16s %smet%s: %s\n", "RTO", paint(pr, GREEN), paint(pr, PLAIN),
                measured);
        break;
    case OBJECTIVE_MISSED_TARGET:
        fprintf(pr->to, "  %-16s %smissed%s: %s, wanted are %s\n", "RTO", paint(pr, YELLOW),
                paint(pr, PLAIN), measured, target);
        break;
    case OBJECTIVE_MISSED:
        fprintf(pr->to, "  %-16s %sMISSED%s: %s, at most %s are allowed\n", "RTO", paint(pr, RED),
                paint(pr, PLAIN), measured, maximum);
        break;
    }
    fprintf(pr->to, "  %-16s not measured: drills do not look at it yet\n", "RPO");
}

static void print_timings(const struct printer *pr, const struct proof *p)
{
    fprintf(pr->to, "\n");
    print_duration(pr, "restore took", p->seconds_restore);
    print_duration(pr, "recovery took", p->seconds_recovery);
    print_duration(pr, "checks took", p->seconds_checks);
    print_duration(pr, "all together", p->seconds_total);
    print_objectives(pr, p);
}

static void print_remarks(const struct printer *pr, const char *title, const struct remarks *r)
{
    if (r->total == 0)
        return;
    fprintf(pr->to, "\n  %s%s%s\n", paint(pr, BOLD), title, paint(pr, PLAIN));
    for (size_t i = 0; i < r->count; i++)
        fprintf(pr->to, "  - %s\n", r->items[i]);
    if (r->total > r->count)
        fprintf(pr->to, "  - and %ju more\n", (uintmax_t)(r->total - r->count));
}

static void print_claim(void *ctx, const char *sentence)
{
    struct printer *pr = ctx;
    pr->claims++;
    fprintf(pr->to, "  - %s\n", sentence);
}

static void print_claims(struct printer *pr, const struct proof *p)
{
    fprintf(pr->to, "\n  %swhat this proves%s\n", paint(pr, BOLD), paint(pr, PLAIN));
    claims_proven(p, print_claim, pr);
    if (pr->claims == 0)
        print_claim(pr, "Nothing.");
    fprintf(pr->to, "\n  %swhat this does not prove%s\n", paint(pr, BOLD), paint(pr, PLAIN));
    claims_not_proven(p, print_claim, pr);
}

static const char *next_step(const struct proof *p)
{
    switch (proof_result(p)) {
    case VERDICT_PASSED:
        return "pgproof info                              # backups and the recovery window";
    case VERDICT_FAILED:
        return "pgproof-verify drill --backup=ID --keep   # another backup, or a look at the files";
    case VERDICT_NOT_RUN:
        break;
    }
    return "pgproof-verify drill                      # when what kept a check from running is "
           "gone";
}

static void print_end(const struct printer *pr, const struct proof *p)
{
    fprintf(pr->to, "\n");
    if (*p->kept_in)
        fprintf(pr->to, "  %-16s %s (remove it yourself)\n", "kept", p->kept_in);
    fprintf(pr->to, "  %-16s %s\n", "proof", *p->stored_as ? p->stored_as : "not stored");
    fprintf(pr->to, "  %-16s %s\n\n", "type next", next_step(p));
}

/* What decided, for the last line. */
static const char *first_with(const struct proof *p, enum verdict verdict)
{
    for (int i = 0; i < CHECK_COUNT; i++)
        if (p->checks[i].required && p->checks[i].verdict == verdict)
            return check_name((enum check_id)i);
    return "recovery time objective";
}

static void print_last_line(const struct printer *pr, const struct proof *p)
{
    enum verdict result = proof_result(p);
    const char *on = paint(pr, verdict_colour(result)), *off = paint(pr, PLAIN);
    char lsn[LSN_TEXT_MAX];
    if (result == VERDICT_PASSED)
        fprintf(pr->to, "%sPROVEN%s backup %s restores, recovers to LSN %s and is sound\n", on, off,
                p->backup_id, lsn_text(p->reached_lsn, lsn));
    else if (result == VERDICT_FAILED)
        fprintf(pr->to, "%sFAILED%s backup %s: %s\n", on, off, p->backup_id,
                first_with(p, VERDICT_FAILED));
    else
        fprintf(pr->to, "%sNOT PROVEN%s backup %s: the check \"%s\" could not run\n", on, off,
                p->backup_id, first_with(p, VERDICT_NOT_RUN));
}

void proof_print(const struct proof *p, FILE *to, bool colour)
{
    struct printer pr = {.to = to, .colour = colour};
    print_head(&pr, p);
    print_checks(&pr, p);
    print_timings(&pr, p);
    print_remarks(&pr, "look at this", &p->warnings);
    print_remarks(&pr, "not covered by any check", &p->not_covered);
    print_remarks(&pr, "libraries that the scratch instance did not load", &p->not_loaded);
    print_claims(&pr, p);
    print_end(&pr, p);
    print_last_line(&pr, p);
}
