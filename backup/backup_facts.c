#include "backup/backup_facts.h"

#include "base/mem.h"
#include "base/str.h"

#include <unistd.h>

enum rc note_tablespaces(struct session *s, const struct scan_result *scan, struct backup_info *b,
                         struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(s, "SELECT oid, spcname FROM pg_catalog.pg_tablespace", 0, NULL, &rows, err));
    b->tablespaces = arena_alloc(b->arena, (scan->tablespace_count + 1) * sizeof *b->tablespaces);
    for (size_t i = 0; i < scan->tablespace_count; i++) {
        const struct scan_tablespace *from = &scan->tablespaces[i];
        struct backup_tablespace *to = &b->tablespaces[b->tablespace_count++];
        to->oid = from->oid;
        to->location = arena_strdup(b->arena, from->location);
        to->name = ""; /* stays so if it was dropped meanwhile */
        for (int k = 0; k < rows_count(rows); k++) {
            uint64_t oid;
            if (parse_u64(rows_get(rows, k, 0), &oid) && oid == from->oid)
                to->name = arena_strdup(b->arena, rows_get(rows, k, 1));
        }
    }
    return RC_OK;
}

void note_server(const struct preflight *p, struct backup_info *b)
{
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    b->type = "full";
    b->tool_version = PGPROOF_VERSION;
    b->host = arena_strdup(b->arena, host);
    b->witness = "";
    b->pg_version_num = p->facts.version_num;
    b->system_identifier = p->facts.system_identifier;
    b->wal_segment_bytes = p->facts.wal_segment_bytes;
    b->page_bytes = p->control.page_bytes;
    b->data_checksums = p->control.data_checksum_version != 0;
}

void note_sizes(const struct manifest *m, const struct copy_result *copy, struct backup_info *b)
{
    for (size_t i = 0; i < m->file_count; i++) {
        if (m->files[i].kind == FILE_REGULAR) {
            b->file_count++;
            b->size_bytes += m->files[i].size_bytes;
        }
    }
    b->stored_bytes = copy->stored_bytes;
    b->pack_count = pack_table_count(m->packs) + pack_table_count(m->map_packs);
    b->corrupt_pages = copy->pages_bad;
}
