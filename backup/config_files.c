#include "backup/config_files.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_MAX (4u << 20)

enum rc note_settings(struct session *s, struct backup_info *b, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    TRY(session_query(
        s,
        "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE name IN ("
        "'archive_mode', 'autovacuum', 'block_size', 'cluster_name', 'data_checksums', "
        "'default_text_search_config', 'full_page_writes', 'lc_collate', 'lc_ctype', "
        "'lc_messages', 'max_connections', 'max_locks_per_transaction', "
        "'max_prepared_transactions', 'max_wal_senders', 'max_worker_processes', "
        "'segment_size', 'server_encoding', 'server_version', 'shared_preload_libraries', "
        "'ssl', 'timezone_abbreviations', 'track_commit_timestamp', 'wal_level', 'wal_log_hints', "
        "'wal_segment_size') ORDER BY 1",
        0, NULL, &rows, err));
    int count = rows_count(rows);
    b->settings = arena_alloc(b->arena, (size_t)(count + 1) * sizeof *b->settings);
    for (int i = 0; i < count; i++)
        b->settings[b->setting_count++] = (struct name_value){
            .name = arena_strdup(b->arena, rows_get(rows, i, 0)),
            .value = arena_strdup(b->arena, rows_get(rows, i, 1)),
        };
    return RC_OK;
}

static bool lies_in(const char *directory, const char *path)
{
    size_t len = strlen(directory);
    return strncmp(directory, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void note_file(struct backup_info *b, const char *data_directory, const char *role,
                      const char *path)
{
    CLEANUP_FREE char *target = realpath(path, NULL);
    if (target && lies_in(data_directory, target))
        return; /* the backup has it already */
    CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    struct error why;
    enum rc rc = file_read(path, &text, &why);
    if (rc == RC_OK && memchr(text.data ? text.data : (const uint8_t *)"", '\0', text.len))
        rc = error_set(&why, RC_INTEGRITY, "it holds bytes that are no text");
    if (rc != RC_OK) {
        log_warning("the backup goes without configuration file %s: %s", path, why.what);
        return;
    }
    b->config_files[b->config_file_count++] = (struct backup_config_file){
        .role = role,
        .path = arena_strdup(b->arena, path),
        .text = arena_strndup(b->arena, text.data ? (const char *)text.data : "", text.len),
    };
}

enum rc note_config_files(struct session *s, const char *data_directory, struct backup_info *b,
                          struct error *err)
{
    static const char *const roles[] = {"config_file", "hba_file", "ident_file", "include"};
    CLEANUP_ROWS struct rows *rows = NULL;
    /* postgresql.auto.conf lies in the data directory. Reading pg_file_settings is for superusers,
     * so without that right there are only the three main files. */
    uint64_t may_list;
    TRY(session_value_u64(s,
                          "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', "
                          "'SELECT')::int",
                          &may_list, err));
    CLEANUP_FREE char *sql = str_printf(
        "SELECT 0, setting FROM pg_catalog.pg_settings WHERE name = 'config_file' UNION ALL "
        "SELECT 1, setting FROM pg_catalog.pg_settings WHERE name = 'hba_file' UNION ALL "
        "SELECT 2, setting FROM pg_catalog.pg_settings WHERE name = 'ident_file' %s ORDER BY 1, 2",
        may_list ? "UNION ALL (SELECT DISTINCT 3, sourcefile FROM pg_catalog.pg_file_settings "
                   "WHERE sourcefile <> pg_catalog.current_setting('config_file'))"
                 : "");
    TRY(session_query(s, sql, 0, NULL, &rows, err));

    CLEANUP_FREE char *root = realpath(data_directory, NULL);
    int count = rows_count(rows);
    b->config_files = arena_alloc(b->arena, (size_t)(count + 1) * sizeof *b->config_files);
    for (int i = 0; i < count; i++) {
        const char *path = rows_get(rows, i, 1);
        if (path && *path)
            note_file(b, root ? root : data_directory, roles[atoi(rows_get(rows, i, 0)) & 3], path);
    }
    return RC_OK;
}
