#include "repo/names.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PRINTF_LIKE(1, 2) static struct object_name name_format(const char *fmt, ...)
{
    struct object_name name;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(name.text, sizeof name.text, fmt, args);
    va_end(args);
    BUG_IF(len < 0 || (size_t)len >= sizeof name.text);
    return name;
}

static bool digits(const char *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

bool backup_id_valid(const char *id)
{
    return id && strlen(id) == BACKUP_ID_LEN && digits(id, 8) && id[8] == 'T' &&
           digits(id + 9, 6) && id[15] == 'Z';
}

void backup_id_from(moment_us start, char to[static BACKUP_ID_SIZE])
{
    char text[MOMENT_TEXT_MAX];
    moment_name(start, text);
    BUG_IF(!backup_id_valid(text));
    str_copy(to, BACKUP_ID_SIZE, text);
}

bool cluster_name_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len < 1 || len > 63 || name[0] == '_' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

struct object_name name_system(const char *cluster, uint64_t system_identifier)
{
    return name_format("clusters/%s/systems/%" PRIu64 ".json", cluster, system_identifier);
}

struct object_name name_systems_prefix(const char *cluster)
{
    return name_format("clusters/%s/systems/", cluster);
}

static const char *pack_folder(enum pack_kind kind)
{
    return kind == PACK_MAPS ? "maps" : "packs";
}

struct object_name name_pack(const char *cluster, enum pack_kind kind, const struct sha256 *id)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(id, hex);
    return name_format("clusters/%s/%s/%.2s/%s", cluster, pack_folder(kind), hex, hex);
}

struct object_name name_packs_prefix(const char *cluster, enum pack_kind kind)
{
    return name_format("clusters/%s/%s/", cluster, pack_folder(kind));
}

struct object_name name_backup(const char *cluster, const char *backup_id, const char *part)
{
    return name_format("clusters/%s/backups/%s/%s", cluster, backup_id, part);
}

struct object_name name_backups_prefix(const char *cluster)
{
    return name_format("clusters/%s/backups/", cluster);
}

static bool upper_hex(const char *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'F')))
            return false;
    return true;
}

enum wal_file_kind wal_file_kind(const char *file)
{
    if (upper_hex(file, 8) && str_eq(file + 8, ".history"))
        return WAL_FILE_HISTORY;
    if (!upper_hex(file, 24))
        return WAL_FILE_NONE;
    const char *rest = file + 24;
    if (*rest == '\0')
        return WAL_FILE_SEGMENT;
    if (str_eq(rest, ".partial"))
        return WAL_FILE_PARTIAL;
    if (*rest == '.' && upper_hex(rest + 1, 8) && str_eq(rest + 9, ".backup"))
        return WAL_FILE_BACKUP_LABEL;
    return WAL_FILE_NONE;
}

struct object_name name_wal(const char *cluster, uint64_t system_identifier, const char *wal_file)
{
    enum wal_file_kind kind = wal_file_kind(wal_file);
    if (kind == WAL_FILE_NONE)
        BUG("\"%s\" is no name of a WAL file", wal_file);
    if (kind == WAL_FILE_HISTORY)
        return name_format("clusters/%s/wal/%" PRIu64 "/%s", cluster, system_identifier, wal_file);
    return name_format("clusters/%s/wal/%" PRIu64 "/%.8s/%.8s/%s", cluster, system_identifier,
                       wal_file, wal_file + 8, wal_file);
}

struct object_name name_wal_prefix(const char *cluster, uint64_t system_identifier)
{
    return name_format("clusters/%s/wal/%" PRIu64 "/", cluster, system_identifier);
}

struct object_name name_wal_timeline_prefix(const char *cluster, uint64_t system_identifier,
                                            uint32_t timeline)
{
    return name_format("clusters/%s/wal/%" PRIu64 "/%08" PRIX32 "/", cluster, system_identifier,
                       timeline);
}

struct object_name name_witness(const char *cluster, moment_us at, uint64_t lsn)
{
    char time[MOMENT_TEXT_MAX];
    return name_format("clusters/%s/witness/%s-%016" PRIX64 ".json", cluster, moment_name(at, time),
                       lsn);
}

struct object_name name_proof(const char *cluster, moment_us at, const char *backup_id)
{
    char time[MOMENT_TEXT_MAX];
    return name_format("clusters/%s/proofs/%s-%s.json", cluster, moment_name(at, time), backup_id);
}

struct object_name name_proofs_prefix(const char *cluster)
{
    return name_format("clusters/%s/proofs/", cluster);
}

bool name_proof_backup(const char *name, char ret_id[static BACKUP_ID_SIZE])
{
    const char *base = name_base(name);
    char id[BACKUP_ID_SIZE];
    if (strlen(base) != 2 * BACKUP_ID_LEN + strlen("-.json") || base[BACKUP_ID_LEN] != '-' ||
        !str_ends(base, ".json"))
        return false;
    str_copy(id, sizeof id, base + BACKUP_ID_LEN + 1);
    if (!backup_id_valid(id))
        return false;
    memcpy(ret_id, id, sizeof id);
    return true;
}

struct object_name name_lease(const char *cluster, const char *kind, const char *random_hex,
                              unsigned n)
{
    return name_format("clusters/%s/leases/%s/%s-%u", cluster, kind, random_hex, n);
}

struct object_name name_leases_prefix(const char *cluster)
{
    return name_format("clusters/%s/leases/", cluster);
}

const char *name_base(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}
