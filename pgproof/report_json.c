/* The report for programs; docs/configuration.md describes it under "JSON". */
#include "base/json.h"
#include "base/str.h"
#include "pgproof/report.h"

#include <inttypes.h>

static json_t *moment(moment_us t)
{
    char text[MOMENT_TEXT_MAX];

    return t == MOMENT_NONE ? json_null() : json_string(moment_iso(t, text));
}

static json_t *lsn(uint64_t value)
{
    char text[LSN_TEXT_MAX];

    return json_string(lsn_text(value, text));
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* 64 bits are too many for a number in many readers. */
static json_t *identifier(uint64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    return json_string(text);
}

static json_t *segment(uint32_t timeline, uint64_t n, uint32_t bytes)
{
    char text[WAL_NAME_MAX];

    wal_name_segment(timeline, n, bytes, text);
    return json_string(text);
}

static json_t *proof_json(const struct proof_note *n)
{
    if (!n)
        return json_null();
    const struct proof_summary *s = &n->summary;
    return json_pack("{s:s, s:o, s:s}", "result", s->result[0] ? s->result : "unreadable",
                     "finished", moment(s->finished), "object", n->name.text);
}

static void set_facts(json_t *o, const struct backup_info *b)
{
    json_object_set_new(o, "type", json_string(b->type));
    json_set_bytes(o, "tier", b->tier);
    json_set_bytes(o, "label", b->label);
    json_object_set_new(o, "system_identifier", identifier(b->system_identifier));
    json_object_set_new(o, "pg_version_num", json_integer(b->pg_version_num));
    json_object_set_new(o, "timeline", json_integer(b->timeline));
    json_object_set_new(o, "start_lsn", lsn(b->start_lsn));
    json_object_set_new(o, "stop_lsn", lsn(b->stop_lsn));
    json_object_set_new(o, "start_time", moment(b->start_time));
    json_object_set_new(o, "stop_time", moment(b->stop_time));
    json_object_set_new(o, "files", number(b->file_count));
    json_object_set_new(o, "size_bytes", number(b->size_bytes));
    json_object_set_new(o, "stored_bytes", number(b->stored_bytes));
    json_object_set_new(o, "corrupt_pages", number(b->corrupt_pages));
}

static json_t *backup_json(const struct report *r, size_t i)
{
    static const char *const states[] = {
        [BACKUP_USABLE] = "usable",
        [BACKUP_WAL_MISSING] = "wal missing",
        [BACKUP_BROKEN] = "broken",
        [BACKUP_OTHER] = "unknown",
    };
    const struct catalog_entry *e = &r->catalog->entries[i];
    const struct backup_standing *s = &r->standing[i];
    json_t *o = json_pack("{s:s, s:s}", "id", e->id, "state", states[s->state]);

    if (!e->info)
        json_set_bytes(o, "problem", e->problem.what);
    else
        set_facts(o, e->info);
    if (s->state == BACKUP_WAL_MISSING)
        json_object_set_new(o, "missing_segment", json_string(s->missing));
    json_object_set_new(o, "on_newest_timeline", json_boolean(!s->beside));
    json_object_set_new(o, "proof", proof_json(report_proof(r, e->id)));
    return o;
}

static json_t *run_json(const struct system_report *s, const struct wal_run *run)
{
    uint32_t bytes = s->system.wal_segment_bytes;

    return json_pack("{s:i, s:o, s:o, s:o, s:o}", "timeline", (int)run->timeline, "first",
                     segment(run->timeline, run->first, bytes), "last",
                     segment(run->timeline, run->last, bytes), "segments",
                     number(run->last - run->first + 1), "newest_stored", moment(run->newest));
}

static json_t *window_json(const struct system_report *s, const struct window *w)
{
    uint32_t bytes = s->system.wal_segment_bytes;
    json_t *o = json_pack("{s:o, s:o, s:o, s:i, s:s, s:s, s:b}", "from", moment(w->from), "to",
                          moment(w->to), "from_lsn", lsn(w->from_lsn), "timeline", (int)w->timeline,
                          "first_backup", w->first_backup, "last_backup", w->last_backup,
                          "on_newest_timeline", !w->beside);

    json_object_set_new(o, "last_segment", segment(w->timeline, w->last, bytes));
    if (w->hole)
        json_object_set_new(o, "hole",
                            json_pack("{s:o, s:o}", "first",
                                      segment(w->timeline, w->last + 1, bytes), "last",
                                      segment(w->timeline, w->hole_last, bytes)));
    return o;
}

static json_t *system_json(const struct system_report *s)
{
    json_t *runs = json_array(), *windows = json_array();

    for (size_t i = 0; i < s->run_count; i++)
        json_array_append_new(runs, run_json(s, &s->runs[i]));
    for (size_t i = 0; i < s->window_count; i++)
        json_array_append_new(windows, window_json(s, &s->windows[i]));
    return json_pack("{s:o, s:i, s:o, s:b, s:o, s:o, s:o}", "system_identifier",
                     identifier(s->system.system_identifier), "pg_major", (int)s->system.pg_major,
                     "wal_segment_bytes", number(s->system.wal_segment_bytes), "current",
                     s->current, "wal_stored_bytes", number(s->wal->stored_bytes), "wal", runs,
                     "recovery_windows", windows);
}

static json_t *lease_json(const struct lease_note *n)
{
    json_t *o = json_pack("{s:s, s:o, s:o}", "kind", n->kind, "pid", number(n->pid), "since",
                          moment(n->since));

    if (n->host)
        json_set_bytes(o, "host", n->host);
    return o;
}

static json_t *text(const char *s)
{
    CLEANUP_FREE char *shown = str_printable(s);

    return json_string(shown);
}

void report_print_json(const struct report *r, int exit_code)
{
    json_t *clusters = json_array(), *backups = json_array(), *systems = json_array(),
           *leases = json_array(), *problems = json_array();

    for (size_t i = 0; r->clusters[i]; i++)
        json_array_append_new(clusters, json_string(r->clusters[i]));
    for (size_t i = 0; i < r->catalog->count; i++)
        json_array_append_new(backups, backup_json(r, i));
    for (size_t i = 0; i < r->system_count; i++)
        json_array_append_new(systems, system_json(&r->systems[i]));
    for (size_t i = 0; i < r->lease_count; i++)
        json_array_append_new(leases, lease_json(&r->leases[i]));
    for (size_t i = 0; i < r->problem_count; i++)
        json_array_append_new(problems, text(r->problems[i]));
    CLEANUP_JSON json_t *o =
        json_pack("{s:i, s:{s:o, s:s, s:o, s:o}, s:s, s:b, s:o, s:o, s:o, s:o, s:i}", "version", 1,
                  "repository", "where", text(r->repo->store->where), "id", r->repo->id, "created",
                  moment(r->repo->created), "clusters", clusters, "cluster", r->cluster,
                  "registered", r->registered, "systems", systems, "backups", backups, "leases",
                  leases, "problems", problems, "exit_code", exit_code);
    BUG_IF(!o);
    json_dumpf(o, stdout, JSON_INDENT(2));
    printf("\n");
}
