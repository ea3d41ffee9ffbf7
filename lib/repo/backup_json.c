#include "repo/backup_int.h"

#include "base/mem.h"
#include "base/str.h"
#include "repo/fields_int.h"

static void put_part_one(json_t *o, const struct backup_info *b)
{
    field_set_str(o, "id", b->id);
    json_set_bytes(o, "label", b->label);
    json_set_bytes(o, "tier", b->tier);
    json_set_bytes(o, "type", b->type);
    json_set_bytes(o, "tool_version", b->tool_version);
    json_set_bytes(o, "host", b->host);
    field_set_u64(o, "pg_version_num", b->pg_version_num);
    field_set_decimal(o, "system_identifier", b->system_identifier);
    field_set_u64(o, "timeline", b->timeline);
    field_set_lsn(o, "start_lsn", b->start_lsn);
    field_set_lsn(o, "stop_lsn", b->stop_lsn);
    field_set_lsn(o, "checkpoint_lsn", b->checkpoint_lsn);
    field_set_moment(o, "start_time", b->start_time);
    field_set_moment(o, "stop_time", b->stop_time);
    field_set_decimal(o, "next_xid", b->next_xid);
    field_set_u64(o, "wal_segment_bytes", b->wal_segment_bytes);
    field_set_u64(o, "page_bytes", b->page_bytes);
    field_set(o, "data_checksums", json_boolean(b->data_checksums));
}

static void put_figures(json_t *o, const struct backup_info *b)
{
    field_set_u64(o, "corrupt_pages", b->corrupt_pages);
    field_set_u64(o, "file_count", b->file_count);
    field_set_u64(o, "size_bytes", b->size_bytes);
    field_set_u64(o, "stored_bytes", b->stored_bytes);
    field_set_u64(o, "pack_count", b->pack_count);
    json_t *seconds = json_object();
    field_set(seconds, "copy", json_real(b->seconds_copy));
    field_set(seconds, "wal", json_real(b->seconds_wal));
    field_set(seconds, "total", json_real(b->seconds_total));
    field_set(o, "seconds", seconds);
}

static void put_links(json_t *o, const struct backup_info *b)
{
    json_t *manifest = json_object();
    field_set_hex(manifest, "sha256", b->manifest_digest.bytes, SHA256_LEN);
    field_set_u64(manifest, "bytes", b->manifest_bytes);
    field_set(o, "manifest", manifest);
    if (b->previous_id[0]) {
        json_t *previous = json_object();
        field_set_str(previous, "id", b->previous_id);
        field_set_hex(previous, "sha256", b->previous_digest.bytes, SHA256_LEN);
        field_set(o, "previous", previous);
    }
    field_set_str(o, "witness", b->witness);
}

static json_t *tablespaces_to_json(const struct backup_info *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < b->tablespace_count; i++) {
        json_t *t = json_object();
        field_set_u64(t, "oid", b->tablespaces[i].oid);
        json_set_bytes(t, "name", b->tablespaces[i].name);
        json_set_bytes(t, "location", b->tablespaces[i].location);
        json_array_append_new(list, t);
    }
    return list;
}

static json_t *settings_to_json(const struct backup_info *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < b->setting_count; i++) {
        json_t *s = json_object();
        json_set_bytes(s, "name", b->settings[i].name);
        json_set_bytes(s, "value", b->settings[i].value);
        json_array_append_new(list, s);
    }
    return list;
}

static json_t *config_files_to_json(const struct backup_info *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < b->config_file_count; i++) {
        json_t *f = json_object();
        json_set_bytes(f, "role", b->config_files[i].role);
        json_set_bytes(f, "path", b->config_files[i].path);
        json_set_bytes(f, "text", b->config_files[i].text);
        json_array_append_new(list, f);
    }
    return list;
}

json_t *backup_to_json(const struct backup_info *b)
{
    json_t *o = json_object(), *details = json_object();
    put_part_one(o, b);
    put_figures(o, b);
    put_links(o, b);
    field_set(details, "tablespaces", tablespaces_to_json(b));
    field_set(details, "settings", settings_to_json(b));
    field_set(details, "config_files", config_files_to_json(b));
    field_set(o, "details", details);
    return o;
}

static enum rc get_names(const json_t *o, struct backup_info *b, struct error *err)
{
    const char *id;
    TRY(json_get_str(o, "id", &id, err));
    if (!backup_id_valid(id))
        return error_set(err, RC_INTEGRITY, "\"%.20s\" is not the id of a backup", id);
    str_copy(b->id, sizeof b->id, id);
    TRY(field_get_text(o, "label", b->arena, &b->label, err));
    TRY(field_get_text(o, "tier", b->arena, &b->tier, err));
    TRY(field_get_text(o, "type", b->arena, &b->type, err));
    TRY(field_get_text(o, "tool_version", b->arena, &b->tool_version, err));
    return field_get_text(o, "host", b->arena, &b->host, err);
}

static enum rc get_place(const json_t *o, struct backup_info *b, struct error *err)
{
    TRY(json_get_u32(o, "pg_version_num", &b->pg_version_num, err));
    TRY(field_get_decimal(o, "system_identifier", &b->system_identifier, err));
    TRY(json_get_u32(o, "timeline", &b->timeline, err));
    TRY(field_get_lsn(o, "start_lsn", &b->start_lsn, err));
    TRY(field_get_lsn(o, "stop_lsn", &b->stop_lsn, err));
    TRY(field_get_lsn(o, "checkpoint_lsn", &b->checkpoint_lsn, err));
    TRY(field_get_moment(o, "start_time", &b->start_time, err));
    TRY(field_get_moment(o, "stop_time", &b->stop_time, err));
    TRY(field_get_decimal(o, "next_xid", &b->next_xid, err));
    TRY(json_get_u32(o, "wal_segment_bytes", &b->wal_segment_bytes, err));
    TRY(json_get_u32(o, "page_bytes", &b->page_bytes, err));
    return json_get_flag(o, "data_checksums", false, &b->data_checksums, err);
}

static enum rc get_figures(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *seconds;
    TRY(json_get_u64(o, "corrupt_pages", &b->corrupt_pages, err));
    TRY(json_get_u64(o, "file_count", &b->file_count, err));
    TRY(json_get_u64(o, "size_bytes", &b->size_bytes, err));
    TRY(json_get_u64(o, "stored_bytes", &b->stored_bytes, err));
    TRY(json_get_u64(o, "pack_count", &b->pack_count, err));
    TRY(json_get_obj(o, "seconds", &seconds, err));
    TRY(field_get_seconds(seconds, "copy", &b->seconds_copy, err));
    TRY(field_get_seconds(seconds, "wal", &b->seconds_wal, err));
    return field_get_seconds(seconds, "total", &b->seconds_total, err);
}

static enum rc get_links(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *manifest, *previous;
    const char *id;
    TRY(json_get_obj(o, "manifest", &manifest, err));
    TRY(json_get_hex(manifest, "sha256", b->manifest_digest.bytes, SHA256_LEN, err));
    TRY(json_get_u64(manifest, "bytes", &b->manifest_bytes, err));
    TRY(field_get_text(o, "witness", b->arena, &b->witness, err));
    if (!json_object_get(o, "previous"))
        return RC_OK;
    TRY(json_get_obj(o, "previous", &previous, err));
    TRY(json_get_str(previous, "id", &id, err));
    if (!backup_id_valid(id))
        return error_set(err, RC_INTEGRITY, "\"%.20s\" is not the id of a backup", id);
    str_copy(b->previous_id, sizeof b->previous_id, id);
    return json_get_hex(previous, "sha256", b->previous_digest.bytes, SHA256_LEN, err);
}

static enum rc get_tablespaces(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *list, *t;
    size_t i;
    TRY(json_get_array(o, "tablespaces", &list, err));
    b->tablespaces = arena_alloc(b->arena, json_array_size(list) * sizeof *b->tablespaces);
    json_array_foreach(list, i, t)
    {
        struct backup_tablespace *to = &b->tablespaces[i];
        TRY(json_get_u32(t, "oid", &to->oid, err));
        TRY(field_get_text(t, "name", b->arena, &to->name, err));
        TRY(field_get_text(t, "location", b->arena, &to->location, err));
    }
    b->tablespace_count = json_array_size(list);
    return RC_OK;
}

static enum rc get_settings(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *list, *s;
    size_t i;
    TRY(json_get_array(o, "settings", &list, err));
    b->settings = arena_alloc(b->arena, json_array_size(list) * sizeof *b->settings);
    json_array_foreach(list, i, s)
    {
        TRY(field_get_text(s, "name", b->arena, &b->settings[i].name, err));
        TRY(field_get_text(s, "value", b->arena, &b->settings[i].value, err));
    }
    b->setting_count = json_array_size(list);
    return RC_OK;
}

static enum rc get_config_files(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *list, *f;
    size_t i;
    TRY(json_get_array(o, "config_files", &list, err));
    b->config_files = arena_alloc(b->arena, json_array_size(list) * sizeof *b->config_files);
    json_array_foreach(list, i, f)
    {
        struct backup_config_file *to = &b->config_files[i];
        TRY(field_get_text(f, "role", b->arena, &to->role, err));
        TRY(field_get_text(f, "path", b->arena, &to->path, err));
        TRY(field_get_text(f, "text", b->arena, &to->text, err));
    }
    b->config_file_count = json_array_size(list);
    return RC_OK;
}

static enum rc check_sense(const struct backup_info *b, struct error *err)
{
    uint32_t segment = b->wal_segment_bytes;
    if (segment < 1u << 20 || segment > 1u << 30 || (segment & (segment - 1)) != 0)
        return error_set(err, RC_INTEGRITY, "no WAL segment is %u bytes long", segment);
    if (b->timeline == 0)
        return error_set(err, RC_INTEGRITY, "there is no timeline 0");
    if (b->start_lsn == 0 || b->stop_lsn < b->start_lsn)
        return error_set(err, RC_INTEGRITY, "the backup stops before it starts");
    return RC_OK;
}

enum rc backup_from_json(const json_t *o, struct backup_info *b, struct error *err)
{
    json_t *details;
    TRY(get_names(o, b, err));
    TRY(get_place(o, b, err));
    TRY(get_figures(o, b, err));
    TRY(get_links(o, b, err));
    TRY(json_get_obj(o, "details", &details, err));
    TRY(get_tablespaces(details, b, err));
    TRY(get_settings(details, b, err));
    TRY(get_config_files(details, b, err));
    return check_sense(b, err);
}
