/* The report for people. */
#include "base/str.h"
#include "pgproof/report.h"

#include <inttypes.h>

static void print_head(const struct report *r)
{
    char t[MOMENT_TEXT_MAX];

    printf("Repository  %s, id %.8s…, created %s\n", r->repo->store->where, r->repo->id,
           moment_text(r->repo->created / 1000000 * 1000000, t));
    if (!r->registered)
        printf("Cluster     %s: nothing is registered under this name yet\n", r->cluster);
    for (size_t i = 0; r->clusters[i]; i++)
        if (!str_eq(r->clusters[i], r->cluster))
            printf("            also there: cluster %s\n", r->clusters[i]);
    for (size_t i = 0; i < r->system_count; i++) {
        const struct cluster_system *s = &r->systems[i].system;
        char size[32];
        printf("Cluster     %s: PostgreSQL %u, system identifier %" PRIu64
               ",\n            WAL segments of %s%s\n",
               r->cluster, s->pg_major, s->system_identifier,
               format_size(s->wal_segment_bytes, size),
               r->systems[i].current ? "" : " (before the present one)");
    }
}

static void print_proof(const struct report *r, const struct backup_info *b)
{
    const struct proof_note *n = report_proof(r, b->id);
    char t[MOMENT_TEXT_MAX];

    if (!n)
        printf("                    not proven yet\n");
    else if (!n->summary.result[0])
        printf("                    its newest proof can't be read\n");
    else
        printf("                    %s in the drill of %s\n",
               str_eq(n->summary.result, PROOF_PASSED)   ? "proven: it passed"
               : str_eq(n->summary.result, PROOF_FAILED) ? "FAILED"
                                                         : "not proven: checks could not run",
               moment_text(n->summary.finished / 1000000 * 1000000, t));
}

static void print_backup(const struct report *r, size_t i)
{
    const struct catalog_entry *e = &r->catalog->entries[i];
    const struct backup_info *b = e->info;
    char stop[MOMENT_TEXT_MAX], d[32], s1[32], s2[32], l1[LSN_TEXT_MAX], l2[LSN_TEXT_MAX];

    if (!b) {
        printf("  %s  BROKEN: %s\n", e->id, e->problem.what);
        return;
    }
    printf("  %s  %s%s%s, until %s (%s)%s%s\n", e->id, b->type, b->tier[0] ? ", " : "", b->tier,
           moment_text(b->stop_time / 1000000 * 1000000, stop),
           format_duration((double)(b->stop_time - b->start_time) / 1e6, d),
           b->label[0] ? ": " : "", b->label);
    printf("                    %s, %s stored; WAL %s to %s, timeline %u%s\n",
           format_size(b->size_bytes, s1), format_size(b->stored_bytes, s2),
           lsn_text(b->start_lsn, l1), lsn_text(b->stop_lsn, l2), b->timeline,
           r->standing[i].beside ? " (left since)" : "");
    if (b->corrupt_pages)
        printf("                    DAMAGE: %ju pages were damaged in the source\n",
               (uintmax_t)b->corrupt_pages);
    if (r->standing[i].state == BACKUP_WAL_MISSING)
        printf("                    NOT RESTORABLE: WAL segment %s is missing\n",
               r->standing[i].missing);
    print_proof(r, b);
}

static void print_backups(const struct report *r)
{
    printf("\nBackups\n");
    if (r->catalog->count == 0)
        printf("  none yet: take one with 'pgproof backup'\n");
    for (size_t i = 0; i < r->catalog->count; i++)
        print_backup(r, i);
}

static void print_run(const struct system_report *s, size_t i)
{
    const struct wal_run *run = &s->runs[i];
    uint32_t bytes = s->system.wal_segment_bytes;
    char first[WAL_NAME_MAX], last[WAL_NAME_MAX], t[MOMENT_TEXT_MAX];

    if (i > 0 && s->runs[i - 1].timeline == run->timeline) {
        uint64_t from = s->runs[i - 1].last + 1, to = run->first - 1;
        wal_name_segment(run->timeline, from, bytes, first);
        wal_name_segment(run->timeline, to, bytes, last);
        printf("               HOLE: %ju missing, %s to %s\n", (uintmax_t)(to - from + 1), first,
               last);
    }
    wal_name_segment(run->timeline, run->first, bytes, first);
    wal_name_segment(run->timeline, run->last, bytes, last);
    printf("  timeline %-3u %s to %s, %ju segments,\n"
           "               the last archived %s\n",
           run->timeline, first, last, (uintmax_t)(run->last - run->first + 1),
           moment_text(run->newest / 1000000 * 1000000, t));
}

static void print_wal(const struct system_report *s)
{
    char size[32];

    if (s->run_count == 0) {
        printf("\nWAL\n  none is archived yet: see 'pgproof check'\n");
        return;
    }
    printf("\nWAL, %s stored\n", format_size(s->wal->stored_bytes, size));
    for (size_t i = 0; i < s->run_count; i++)
        print_run(s, i);
}

static void print_window(const struct system_report *s, const struct window *w)
{
    char from[MOMENT_TEXT_MAX], to[MOMENT_TEXT_MAX], first[WAL_NAME_MAX], last[WAL_NAME_MAX];

    printf("  from %s (the end of backup %s)\n  to   %s, about, on timeline %u%s\n",
           moment_text(w->from, from), w->first_backup, moment_text(w->to / 1000000 * 1000000, to),
           w->timeline, w->beside ? " (left since: --target-timeline)" : "");
    if (!w->hole)
        return;
    wal_name_segment(w->timeline, w->last + 1, s->system.wal_segment_bytes, first);
    wal_name_segment(w->timeline, w->hole_last, s->system.wal_segment_bytes, last);
    printf("  HOLE behind it: %s to %s missing\n", first, last);
}

static void print_windows(const struct system_report *s)
{
    printf("\nRecovery window\n");
    if (s->window_count == 0) {
        printf("  none: nothing can be restored yet\n");
        return;
    }
    for (size_t i = 0; i < s->window_count; i++)
        print_window(s, &s->windows[i]);
    printf("  See what a restore would do, without changing anything:\n"
           "    pgproof restore --dry-run --to=DIR --target-time='YYYY-MM-DD HH:MM:SS UTC'\n");
}

static void print_leases(const struct report *r)
{
    char d[32];

    if (r->lease_count)
        printf("\nAt work (a killed process leaves its lease)\n");
    for (size_t i = 0; i < r->lease_count; i++) {
        const struct lease_note *n = &r->leases[i];
        double age = (double)(clock_now() - n->since) / 1e6;
        printf("  %s on %s, process %ju, for %s\n", n->kind, n->host ? n->host : "?",
               (uintmax_t)n->pid, format_duration(age < 0 ? 0 : age, d));
    }
}

void report_print(const struct report *r)
{
    print_head(r);
    print_backups(r);
    for (size_t i = 0; i < r->system_count; i++) {
        if (r->system_count > 1)
            printf("\nSystem %" PRIu64 "\n", r->systems[i].system.system_identifier);
        print_wal(&r->systems[i]);
        print_windows(&r->systems[i]);
    }
    print_leases(r);
    if (r->problem_count)
        printf("\nPROBLEMS\n");
    for (size_t i = 0; i < r->problem_count; i++) {
        CLEANUP_FREE char *shown = str_printable(r->problems[i]);
        printf("  %s\n", shown);
    }
}
