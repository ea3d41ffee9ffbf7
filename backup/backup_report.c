#include "backup/backup_report.h"

#include "base/json.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCKS_SHOWN 16

static uint64_t damaged_files(const struct manifest *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->file_count; i++)
        n += m->files[i].pages == PAGES_BAD;
    return n;
}

static void print_blocks(const struct manifest_file *f)
{
    CLEANUP_FREE char *path = str_printable(f->path);
    printf("    %s: %s", path, f->bad_block_count == 1 ? "block" : "blocks");
    for (uint32_t i = 0; i < f->bad_block_count && i < BLOCKS_SHOWN; i++)
        printf("%s %u", i ? "," : "", f->bad_blocks[i]);
    if (f->bad_block_count > BLOCKS_SHOWN)
        printf(" and %u more", f->bad_block_count - BLOCKS_SHOWN);
    printf("\n");
}

static void print_pages(const struct backup_report *r)
{
    if (!r->info->data_checksums) {
        printf("  pages       not checked: this cluster has no data checksums\n");
        return;
    }
    printf("  pages       %llu checked, ", (unsigned long long)r->copy->pages_checked);
    if (r->copy->pages_bad == 0) {
        printf("all checksums are good\n");
        return;
    }
    printf("%llu DAMAGED in %llu files:\n", (unsigned long long)r->copy->pages_bad,
           (unsigned long long)damaged_files(r->manifest));
    for (size_t i = 0; i < r->manifest->file_count; i++)
        if (r->manifest->files[i].pages == PAGES_BAD)
            print_blocks(&r->manifest->files[i]);
}

static void print_rows(const struct backup_report *r)
{
    if (r->rows_problem) {
        printf("  row counts  not noted: %s\n", r->rows_problem);
    } else if (!r->rows) {
        printf("  row counts  not noted, as configured\n");
    } else {
        char lsn[LSN_TEXT_MAX];
        printf("  row counts  of %llu tables noted, %s LSN %s",
               (unsigned long long)r->rows->table_count, r->rows->exact ? "exact at" : "near",
               lsn_text(r->rows->lsn, lsn));
        if (r->rows->missed_count > 0)
            printf("; %llu not counted", (unsigned long long)r->rows->missed_count);
        printf("%s\n", r->rows->exact ? "" : " (other transactions were at work: not exact)");
    }
}

static void print_next(const struct backup_report *r)
{
    CLEANUP_FREE char *verify = app_command_line(r->app, "pgproof-verify");
    if (r->copy->pages_bad > 0)
        printf("\nThe damage is in the live cluster, and this backup holds it as it is. Keep the "
               "older backups,\nsee PostgreSQL's log, and find out which tables these files "
               "belong to.\n");
    printf("\nProve that it restores:\n    %s drill\n", verify);
}

static void print_text(const struct backup_report *r)
{
    const struct backup_info *b = r->info;
    char size[32], stored[32], total[32], copying[32], waiting[32];
    char until[MOMENT_TEXT_MAX], start[LSN_TEXT_MAX], stop[LSN_TEXT_MAX], first[WAL_NAME_MAX],
        last[WAL_NAME_MAX];
    wal_name_segment(b->timeline, r->first_segment, b->wal_segment_bytes, first);
    wal_name_segment(b->timeline, r->last_segment, b->wal_segment_bytes, last);
    printf("backup %s of cluster %s is complete%s\n", b->id, r->app->config->cluster,
           r->copy->pages_bad > 0 ? ", but the cluster is damaged" : "");
    printf("  type        %s%s%s%s%s\n", b->type, b->tier[0] ? ", tier " : "", b->tier,
           b->label[0] ? ", label " : "", b->label);
    printf("  size        %s in %llu files, %s stored (%.1f to 1) in %llu packs\n",
           format_size(b->size_bytes, size), (unsigned long long)b->file_count,
           format_size(b->stored_bytes, stored),
           b->stored_bytes ? (double)b->size_bytes / (double)b->stored_bytes : 0.0,
           (unsigned long long)b->pack_count);
    printf("  took        %s: %s copying, %s waiting for WAL\n",
           format_duration(b->seconds_total, total), format_duration(b->seconds_copy, copying),
           format_duration(b->seconds_wal, waiting));
    printf("  LSN         %s to %s on timeline %u\n", lsn_text(b->start_lsn, start),
           lsn_text(b->stop_lsn, stop), b->timeline);
    printf("  WAL         %s to %s, all archived\n", first, last);
    if (r->locked_until)
        printf("  locked      until %s\n", moment_text(r->locked_until, until));
    if (r->copy->vanished > 0)
        printf("  vanished    %llu files were removed while the backup ran; WAL tells about them\n",
               (unsigned long long)r->copy->vanished);
    print_pages(r);
    print_rows(r);
    print_next(r);
}

static json_t *json_damage(const struct manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->file_count; i++) {
        const struct manifest_file *f = &m->files[i];
        if (f->pages != PAGES_BAD)
            continue;
        json_t *entry = json_object(), *blocks = json_array();
        json_set_bytes(entry, "path", f->path);
        for (uint32_t k = 0; k < f->bad_block_count; k++)
            json_array_append_new(blocks, json_integer(f->bad_blocks[k]));
        json_object_set_new(entry, "blocks", blocks);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *json_rows(const struct backup_report *r)
{
    if (!r->rows && !r->rows_problem)
        return json_null();
    if (!r->rows)
        return json_pack("{s:s}", "problem", r->rows_problem);
    char lsn[LSN_TEXT_MAX];
    return json_pack("{s:s, s:I, s:I, s:b, s:s}", "object", r->rows->name.text, "tables",
                     (json_int_t)r->rows->table_count, "not_counted",
                     (json_int_t)r->rows->missed_count, "exact", r->rows->exact, "lsn",
                     lsn_text(r->rows->lsn, lsn));
}

static void set_text(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_string(value));
}

static void set_number(json_t *o, const char *key, uint64_t value)
{
    json_object_set_new(o, key, json_integer((json_int_t)value));
}

static json_t *json_report(const struct backup_report *r)
{
    const struct backup_info *b = r->info;
    char text[MOMENT_TEXT_MAX], wal[WAL_NAME_MAX];
    json_t *o = json_pack("{s:s, s:i}", "report", "backup", "version", 1);
    set_text(o, "cluster", r->app->config->cluster);
    set_text(o, "backup_id", b->id);
    set_text(o, "type", b->type);
    set_text(o, "tier", b->tier);
    json_set_bytes(o, "label", b->label);
    set_number(o, "timeline", b->timeline);
    set_text(o, "start_lsn", lsn_text(b->start_lsn, text));
    set_text(o, "stop_lsn", lsn_text(b->stop_lsn, text));
    set_text(o, "start_time", moment_iso(b->start_time, text));
    set_text(o, "stop_time", moment_iso(b->stop_time, text));
    wal_name_segment(b->timeline, r->first_segment, b->wal_segment_bytes, wal);
    set_text(o, "wal_first", wal);
    wal_name_segment(b->timeline, r->last_segment, b->wal_segment_bytes, wal);
    set_text(o, "wal_last", wal);
    set_number(o, "file_count", b->file_count);
    set_number(o, "size_bytes", b->size_bytes);
    set_number(o, "stored_bytes", b->stored_bytes);
    set_number(o, "pack_count", b->pack_count);
    json_object_set_new(o, "locked_until",
                        r->locked_until ? json_string(moment_iso(r->locked_until, text))
                                        : json_null());
    set_number(o, "vanished_files", r->copy->vanished);
    json_object_set_new(o, "pages_checked",
                        b->data_checksums ? json_integer((json_int_t)r->copy->pages_checked)
                                          : json_null());
    set_number(o, "pages_damaged", r->copy->pages_bad);
    json_object_set_new(o, "damage", json_damage(r->manifest));
    json_object_set_new(o, "row_counts", json_rows(r));
    json_object_set_new(o, "seconds_copy", json_real(b->seconds_copy));
    json_object_set_new(o, "seconds_wal", json_real(b->seconds_wal));
    json_object_set_new(o, "seconds_total", json_real(b->seconds_total));
    return o;
}

enum rc backup_report_print(const struct backup_report *r, struct error *err)
{
    if (r->app->json) {
        CLEANUP_JSON json_t *o = json_report(r);
        CLEANUP_FREE char *text = json_dumps(o, JSON_INDENT(2));
        printf("%s\n", text ? text : "{}");
    } else {
        print_text(r);
    }
    if (fflush(stdout) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not write the report");
        return error_now(err, "the backup is complete; pgproof info shows it");
    }
    return RC_OK;
}
