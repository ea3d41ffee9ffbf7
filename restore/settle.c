#include "restore/settle.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/hash.h"
#include "pg/control.h"
#include "pg/lsn.h"
#include "restore/unpack.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AUTO_CONF       "postgresql.auto.conf"
#define TABLESPACE_MAP  "tablespace_map"
#define SMALL_FILE_MAX  (16u << 20)
#define PG_MANIFEST_MAX (2048u << 20)
#define FILE_MODE       0600

/* What we wrote in place of, or beside, the manifest's files. */
struct written {
    char *path;
    uint64_t size;
    uint32_t crc32c;
};

struct settling {
    const struct settle_options *o;
    struct written *written;
    size_t count, capacity;
};

static void note(struct settling *s, const char *path, const void *data, size_t len)
{
    s->written = mem_grow(s->written, s->count, &s->capacity, sizeof(*s->written));
    s->written[s->count++] =
        (struct written){.path = str_dup(path), .size = len, .crc32c = crc32c(0, data, len)};
}

static enum rc write_noted(struct settling *s, const char *path, const void *data, size_t len,
                           struct error *err)
{
    TRY(target_write(s->o->target, path, FILE_MODE, data, len, err));
    note(s, path, data, len);
    return RC_OK;
}

static enum rc read_restored(const struct settling *s, const char *name, struct buf *to,
                             struct error *err)
{
    CLEANUP_FREE char *path = path_join(s->o->target->path, name);
    enum rc rc = file_read(path, to, err);

    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* The server's own settings stay, recovery settings of the past go, ours come behind them. */
static enum rc write_auto_conf(struct settling *s, struct error *err)
{
    CLEANUP_BUF struct buf old = BUF_INIT(SMALL_FILE_MAX);
    CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE_MAX);
    static const char *const role[] = {"pgproof.role", NULL};
    CLEANUP_BUF struct buf kept = BUF_INIT(SMALL_FILE_MAX);

    TRY(read_restored(s, AUTO_CONF, &old, err));
    TRY(conf_without((const char *)old.data, old.len, recovery_setting_names, &kept, err));
    TRY(conf_without((const char *)kept.data, kept.len, role, &text, err));
    if (text.len && text.data[text.len - 1] != '\n')
        TRY(buf_printf(&text, err, "\n"));
    if (!s->o->replacement)
        TRY(buf_printf(&text, err,
                       "# This data directory is a copy: pgproof-wal-push refuses to archive from "
                       "it.\npgproof.role = 'copy'\n"));
    TRY(recovery_settings(s->o->recovery, s->o->restore_command, &text, err));
    return write_noted(s, AUTO_CONF, text.data, text.len, err);
}

/* PostgreSQL makes the links anew from this file, so it must name the places of today. A newline,
 * a carriage return or a backslash in a path has a backslash in front. */
static enum rc write_tablespace_map(struct settling *s, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(SMALL_FILE_MAX);

    for (size_t i = 0; i < s->o->target->tablespace_count; i++) {
        const struct target_tablespace *t = &s->o->target->tablespaces[i];
        TRY(buf_printf(&text, err, "%u ", t->oid));
        for (const char *p = t->location; *p; p++)
            TRY(buf_printf(&text, err, strchr("\n\r\\", *p) ? "\\%c" : "%c", *p));
        TRY(buf_printf(&text, err, "\n"));
    }
    if (!text.len)
        return RC_OK;
    return write_noted(s, TABLESPACE_MAP, text.data, text.len, err);
}

/* Where a configuration file goes: by its role, or by its place below the main file's directory. */
static char *config_name(const struct backup_config_file *f, const char *main_dir)
{
    const char *base = strrchr(f->path, '/') ? strrchr(f->path, '/') + 1 : f->path;
    size_t n = strlen(main_dir);

    if (str_eq(f->role, "config_file"))
        return str_dup("postgresql.conf");
    if (str_eq(f->role, "hba_file"))
        return str_dup("pg_hba.conf");
    if (str_eq(f->role, "ident_file"))
        return str_dup("pg_ident.conf");
    if (n && str_starts(f->path, main_dir) && f->path[n] == '/' &&
        path_is_contained(f->path + n + 1))
        return str_dup(f->path + n + 1);
    return str_dup(base);
}

static enum rc make_parents(const struct settling *s, const char *path, struct error *err)
{
    CLEANUP_FREE char *dir = str_dup(path);

    for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        TRY(target_make_dir(s->o->target, dir, 0700, err));
        *slash = '/';
    }
    return RC_OK;
}

static enum rc write_config_files(struct settling *s, struct error *err)
{
    const struct backup_info *b = s->o->backup;
    CLEANUP_FREE char *main_dir = str_dup("");

    for (size_t i = 0; i < b->config_file_count; i++)
        if (str_eq(b->config_files[i].role, "config_file")) {
            free(main_dir);
            main_dir = str_dup(b->config_files[i].path);
            if (strrchr(main_dir, '/'))
                *strrchr(main_dir, '/') = '\0';
        }
    for (size_t i = 0; i < b->config_file_count; i++) {
        CLEANUP_FREE char *name = config_name(&b->config_files[i], main_dir);
        CLEANUP_FREE char *path = path_join(SETTLE_CONFIG_DIR, name);
        if (!path_is_contained(path)) {
            error_set(err, RC_INTEGRITY, "a configuration file in the backup has no usable name");
            return error_on(err, "%s", b->config_files[i].path);
        }
        TRY(make_parents(s, path, err));
        TRY(write_noted(s, path, b->config_files[i].text, strlen(b->config_files[i].text), err));
    }
    if (!b->config_file_count)
        return RC_OK;
    return target_make_dir(s->o->target, SETTLE_CONFIG_DIR "/conf.d", 0700, err);
}

/*
 * One line of "Files" in PostgreSQL's backup_manifest (its documentation, "Backup Manifest
 * Format"). The digest is CRC-32C, in the byte order in which a little-endian server writes it.
 */
static enum rc add_manifest_line(struct buf *to, const char *path, uint64_t size, int64_t mtime_ns,
                                 uint32_t crc, bool first, struct error *err)
{
    CLEANUP_JSON json_t *o = json_object();
    CLEANUP_FREE char *line = NULL;
    char when[64], digest[9];
    uint8_t crc_bytes[4];
    time_t seconds = (time_t)(mtime_ns / 1000000000);
    struct tm tm;

    put_le32(crc_bytes, crc);
    hex_encode(crc_bytes, sizeof(crc_bytes), digest);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S GMT", gmtime_r(&seconds, &tm));
    json_t *text = json_string(path); /* NULL where it is no UTF-8 */
    if (text) {
        json_object_set_new(o, "Path", text);
    } else {
        CLEANUP_FREE char *hex = mem_alloc(2 * strlen(path) + 1);
        hex_encode(path, strlen(path), hex);
        json_object_set_new(o, "Encoded-Path", json_string(hex));
    }
    json_object_set_new(o, "Size", json_integer((json_int_t)size));
    json_object_set_new(o, "Last-Modified", json_string(when));
    json_object_set_new(o, "Checksum-Algorithm", json_string("CRC32C"));
    json_object_set_new(o, "Checksum", json_string(digest));
    line = json_dumps(o, JSON_COMPACT);
    if (!line)
        return error_set(err, RC_NOMEM, "could not write a line of backup_manifest");
    return buf_printf(to, err, "%s%s", first ? "" : ",\n", line);
}

static bool is_rewritten(const struct settling *s, const char *path)
{
    for (size_t i = 0; i < s->count; i++)
        if (str_eq(s->written[i].path, path))
            return true;
    return false;
}

static enum rc add_manifest_files(const struct settling *s, struct buf *to, struct error *err)
{
    bool first = true;

    for (size_t i = 0; i < s->o->manifest->file_count; i++) {
        const struct manifest_file *f = &s->o->manifest->files[i];
        if (f->kind != FILE_REGULAR || unpack_leaves_out(f->path) || is_rewritten(s, f->path))
            continue;
        TRY(add_manifest_line(to, f->path, f->size_bytes, f->mtime_ns, f->crc32c, first, err));
        first = false;
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct written *w = &s->written[i];
        TRY(add_manifest_line(to, w->path, w->size, clock_now() * 1000, w->crc32c, first, err));
        first = false;
    }
    return RC_OK;
}

static enum rc write_backup_manifest(const struct settling *s, struct error *err)
{
    const struct backup_info *b = s->o->backup;
    CLEANUP_BUF struct buf text = BUF_INIT(PG_MANIFEST_MAX);
    char start[LSN_TEXT_MAX], stop[LSN_TEXT_MAX], hex[SHA256_HEX_SIZE];
    bool v2 = b->pg_version_num >= 170000;

    TRY(buf_printf(&text, err, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n", v2 ? 2 : 1));
    if (v2)
        TRY(buf_printf(&text, err, "\"System-Identifier\": %llu,\n",
                       (unsigned long long)b->system_identifier));
    TRY(buf_printf(&text, err, "\"Files\": [\n"));
    TRY(add_manifest_files(s, &text, err));
    TRY(buf_printf(&text, err,
                   "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": %u, \"Start-LSN\": \"%s\", "
                   "\"End-LSN\": \"%s\" }\n],\n",
                   b->timeline, lsn_text(b->start_lsn, start), lsn_text(b->stop_lsn, stop)));
    struct sha256 digest = sha256_of(text.data, text.len);
    sha256_hex(&digest, hex);
    TRY(buf_printf(&text, err, "\"Manifest-Checksum\": \"%s\"}\n", hex));
    return target_write(s->o->target, "backup_manifest", FILE_MODE, text.data, text.len, err);
}

static enum rc settle_steps(struct settling *s, struct error *err)
{
    TRY(target_make_dir(s->o->target, "pg_wal", 0700, err));
    TRY(target_make_dir(s->o->target, "pg_wal/archive_status", 0700, err));
    TRY(write_auto_conf(s, err));
    TRY(write_tablespace_map(s, err));
    TRY(write_config_files(s, err));
    TRY(target_write(s->o->target, "recovery.signal", FILE_MODE, "", 0, err));
    note(s, CONTROL_PATH, s->o->control->data, s->o->control->len);
    return write_backup_manifest(s, err);
}

enum rc settle(const struct settle_options *o, struct error *err)
{
    struct settling s = {.o = o};
    enum rc rc = settle_steps(&s, err);

    for (size_t i = 0; i < s.count; i++)
        free(s.written[i].path);
    free(s.written);
    return rc;
}
