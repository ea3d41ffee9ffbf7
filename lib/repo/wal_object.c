#include "repo/wal_object.h"

#include "base/str.h"
#include "repo/names.h"
#include "repo/sections.h"

#include <string.h>
#include <unistd.h>

#define WAL_MAGIC "pgpWAL_1"

/* Payload of SECTION_WAL: this, then the file's and the host's names (u16 length, bytes). */
#define WAL_AT_REPO    0
#define WAL_AT_SYSTEM  16
#define WAL_AT_SEGMENT 24
#define WAL_AT_FLAGS   28 /* none yet */
#define WAL_AT_LEN     32
#define WAL_AT_HASH    40
#define WAL_AT_PUSHED  56
#define WAL_FIXED_LEN  64

#define WAL_SECTION_MAX 512

static enum rc add_name(struct buf *b, const char *name, struct error *err)
{
    uint8_t len[2];
    put_le16(len, (uint16_t)strlen(name));
    TRY(buf_append(b, len, sizeof len, err));
    return buf_append(b, name, strlen(name), err);
}

static enum rc add_wal_section(const struct repo *r, const struct wal_info *info, struct buf *to,
                               struct error *err)
{
    CLEANUP_BUF struct buf section = BUF_INIT(WAL_SECTION_MAX);
    uint8_t fixed[WAL_FIXED_LEN] = {0};
    if (!hex_decode(r->id, 32, fixed + WAL_AT_REPO))
        BUG("repository id \"%s\"", r->id);
    put_le64(fixed + WAL_AT_SYSTEM, info->system_identifier);
    put_le32(fixed + WAL_AT_SEGMENT, info->segment_bytes);
    put_le64(fixed + WAL_AT_LEN, info->plain_len);
    memcpy(fixed + WAL_AT_HASH, info->plain_hash.bytes, XXH128_LEN);
    put_le64(fixed + WAL_AT_PUSHED, (uint64_t)info->pushed);
    TRY(buf_append(&section, fixed, sizeof fixed, err));
    TRY(add_name(&section, info->file, err));
    TRY(add_name(&section, info->pushed_by, err));
    return header_add(to, SECTION_WAL, 0, section.data, (uint32_t)section.len, err);
}

enum rc wal_encode(const struct repo *r, const struct wal_info *info, const void *plain,
                   struct stage *encoder, struct buf *to, struct error *err)
{
    CLEANUP_BUF struct buf object = BUF_INIT(to->max);
    TRY(header_begin(&object, WAL_MAGIC, err));
    TRY(add_wal_section(r, info, &object, err));
    TRY(header_end(&object, err));
    TRY(stage_encode_buf(encoder, plain, info->plain_len, &object, err));
    struct sha256 digest = sha256_of(object.data, object.len);
    TRY(buf_append(&object, digest.bytes, SHA256_LEN, err));
    return buf_append(to, object.data, object.len, err);
}

struct wal_header_parts {
    struct wal_info info;
    char repository[33];
    bool have;
};

static bool take_name(struct cursor *c, char *to, size_t to_size)
{
    uint16_t len = cursor_le16(c);
    const uint8_t *bytes = cursor_take(c, len);
    if (!bytes || len >= to_size || memchr(bytes, 0, len))
        return false;
    memcpy(to, bytes, len);
    to[len] = '\0';
    return true;
}

static enum rc take_section(void *ctx, const struct section *s, bool *ret_known, struct error *err)
{
    struct wal_header_parts *h = ctx;
    if (s->type != SECTION_WAL)
        return RC_OK;
    struct cursor c = cursor_over(s->payload, s->len);
    const uint8_t *fixed = cursor_take(&c, WAL_FIXED_LEN);
    if (h->have || !fixed || !take_name(&c, h->info.file, sizeof h->info.file) ||
        !take_name(&c, h->info.pushed_by, sizeof h->info.pushed_by))
        return error_set(err, RC_INTEGRITY, "its header is damaged");
    hex_encode(fixed + WAL_AT_REPO, 16, h->repository);
    h->info.system_identifier = get_le64(fixed + WAL_AT_SYSTEM);
    h->info.segment_bytes = get_le32(fixed + WAL_AT_SEGMENT);
    h->info.plain_len = get_le64(fixed + WAL_AT_LEN);
    memcpy(h->info.plain_hash.bytes, fixed + WAL_AT_HASH, XXH128_LEN);
    h->info.pushed = (moment_us)get_le64(fixed + WAL_AT_PUSHED);
    h->have = true;
    *ret_known = true;
    return RC_OK;
}

static enum rc check_digest(const uint8_t *object, size_t len, struct error *err)
{
    if (len < HEADER_FIXED_LEN + SHA256_LEN || memcmp(object, WAL_MAGIC, 8) != 0)
        return error_set(err, RC_INTEGRITY, "it is not a WAL object");
    struct sha256 is = sha256_of(object, len - SHA256_LEN);
    if (memcmp(is.bytes, object + len - SHA256_LEN, SHA256_LEN) != 0)
        return error_set(err, RC_INTEGRITY, "the WAL object is damaged: its digest does not match");
    return RC_OK;
}

static enum rc read_header(const struct repo *r, const uint8_t *object, size_t len,
                           struct wal_info *ret, size_t *ret_header_len, struct error *err)
{
    struct wal_header_parts h = {0};
    TRY(header_read(object, len, WAL_MAGIC, take_section, &h, ret_header_len, err));
    if (!h.have || wal_file_kind(h.info.file) == WAL_FILE_NONE || h.info.plain_len > WAL_PLAIN_MAX)
        return error_set(err, RC_INTEGRITY, "its header does not say what WAL this is");
    if (!str_eq(h.repository, r->id))
        return error_set(err, RC_INTEGRITY, "the WAL object belongs to another repository, %s",
                         h.repository);
    *ret = h.info;
    return RC_OK;
}

static enum rc decode_body(const struct repo *r, const struct wal_info *info, const uint8_t *body,
                           size_t len, struct buf *to, struct error *err)
{
    CLEANUP_STAGE struct stage *decoder = NULL;
    uint64_t claims;
    TRY(zstd_content_size(body, len, WAL_PLAIN_MAX, &claims, err));
    if (claims != info->plain_len)
        return error_set(err, RC_INTEGRITY, "its header says another length than its content");
    TRY(stage_zstd_decoder(&decoder, err));
    TRY(stage_decode_buf(decoder, body, len, info->plain_len, to, err));
    struct xxh128 hash =
        xxh128_of(r->hash_seed, to->data + (to->len - info->plain_len), info->plain_len);
    if (!xxh128_equal(&hash, &info->plain_hash))
        return error_set(err, RC_INTEGRITY, "the WAL does not have the hash in its header");
    return RC_OK;
}

enum rc wal_decode(const struct repo *r, const void *object, size_t len, struct wal_info *ret,
                   struct buf *to, struct error *err)
{
    struct wal_info info;
    size_t header_len = 0;
    const uint8_t *bytes = object;
    TRY(check_digest(bytes, len, err));
    TRY(read_header(r, bytes, len - SHA256_LEN, &info, &header_len, err));
    if (to) {
        size_t before = to->len;
        enum rc rc =
            decode_body(r, &info, bytes + header_len, len - SHA256_LEN - header_len, to, err);
        if (rc != RC_OK) {
            to->len = before;
            return rc;
        }
    }
    *ret = info;
    return RC_OK;
}

static enum rc check_name(const struct wal_info *info, uint64_t system_identifier, const char *file,
                          struct error *err)
{
    if (str_eq(info->file, file) && info->system_identifier == system_identifier)
        return RC_OK;
    return error_set(err, RC_INTEGRITY, "it is %s of system %llu, which is not what its name says",
                     info->file, (unsigned long long)info->system_identifier);
}

static enum rc check_file_name(const char *file, struct error *err)
{
    if (wal_file_kind(file) != WAL_FILE_NONE)
        return RC_OK;
    error_set(err, RC_USAGE, "this is not the name of a WAL file");
    return error_on(err, "%.64s", file);
}

enum rc wal_get(struct repo *r, const char *cluster, uint64_t system_identifier, const char *file,
                struct wal_info *ret, struct buf *to, struct error *err)
{
    CLEANUP_BUF struct buf object = BUF_INIT(STORE_OBJECT_MAX);
    struct wal_info info;
    TRY(check_file_name(file, err));
    struct object_name name = name_wal(cluster, system_identifier, file);
    TRY(store_get(r->store, name.text, &object, err));
    size_t before = to->len;
    enum rc rc = wal_decode(r, object.data, object.len, &info, to, err);
    if (rc == RC_OK)
        rc = check_name(&info, system_identifier, file, err);
    if (rc != RC_OK) {
        to->len = before;
        return error_on(err, "%s", name.text);
    }
    *ret = info;
    return RC_OK;
}

static enum rc say_conflict(const struct wal_info *there, const struct wal_info *ours,
                            const char *name, struct error *err)
{
    char first[2 * XXH128_LEN + 1], second[2 * XXH128_LEN + 1], when[MOMENT_TEXT_MAX];
    hex_encode(there->plain_hash.bytes, XXH128_LEN, first);
    hex_encode(ours->plain_hash.bytes, XXH128_LEN, second);
    error_set(err, RC_INTEGRITY,
              "another content is archived under this name: XXH3 %s, written by %s at %s; "
              "this one has %s. The archived one was not touched",
              first, there->pushed_by, moment_text(there->pushed, when), second);
    error_on(err, "%s", name);
    return error_now(err, "two servers may archive as one cluster, or a restored copy archives "
                          "into its origin's repository: stop the wrong one");
}

static enum rc compare_with_archived(struct repo *r, const char *cluster,
                                     const struct wal_info *info, const void *plain, size_t len,
                                     struct error *err)
{
    CLEANUP_BUF struct buf there = BUF_INIT(WAL_PLAIN_MAX);
    struct wal_info first;
    struct object_name name = name_wal(cluster, info->system_identifier, info->file);
    enum rc rc = wal_get(r, cluster, info->system_identifier, info->file, &first, &there, err);
    if (rc == RC_NOT_FOUND) {
        error_set(err, RC_STORAGE, "the WAL file was archived and went away at the same moment");
        err->transient = true;
        return error_on(err, "%s", name.text);
    }
    if (rc == RC_INTEGRITY) {
        error_prefix(err, "what is archived under this name is damaged");
        return error_now(err, "move that object out of the repository by hand, and the next "
                              "attempt archives this file");
    }
    TRY(rc);
    if (there.len == len && (len == 0 || memcmp(there.data, plain, len) == 0))
        return RC_OK;
    return say_conflict(&first, info, name.text, err);
}

static enum rc encode_checked(const struct repo *r, const struct wal_info *info, const void *plain,
                              int zstd_level, struct buf *object, struct error *err)
{
    CLEANUP_STAGE struct stage *encoder = NULL;
    CLEANUP_BUF struct buf again = BUF_INIT(WAL_PLAIN_MAX);
    struct wal_info decoded;
    TRY(stage_zstd_encoder(zstd_level, &encoder, err));
    TRY(wal_encode(r, info, plain, encoder, object, err));
    if (wal_decode(r, object->data, object->len, &decoded, &again, err) == RC_OK &&
        again.len == info->plain_len && (again.len == 0 || !memcmp(again.data, plain, again.len)))
        return RC_OK;
    error_set(err, RC_INTEGRITY,
              "a WAL object that was just made does not decode to what went in: "
              "codec or memory fault; nothing was stored");
    error_on(err, "%s", info->file);
    return error_now(err, "check this machine's memory");
}

static void fill_info(const struct repo *r, struct wal_info *info, const void *plain, size_t len)
{
    info->plain_len = len;
    info->plain_hash = xxh128_of(r->hash_seed, plain, len);
    info->pushed = clock_now();
    memset(info->pushed_by, 0, sizeof info->pushed_by);
    gethostname(info->pushed_by, sizeof info->pushed_by - 1);
}

enum rc wal_put(struct repo *r, const char *cluster, struct wal_info *info, const void *plain,
                size_t len, int zstd_level, bool *ret_was_there, struct error *err)
{
    CLEANUP_BUF struct buf object = BUF_INIT(STORE_OBJECT_MAX);
    TRY(check_file_name(info->file, err));
    if (len > WAL_PLAIN_MAX)
        return error_set(err, RC_INTEGRITY, "no WAL file is %zu bytes long", len);
    fill_info(r, info, plain, len);
    TRY(encode_checked(r, info, plain, zstd_level, &object, err));

    struct object_name name = name_wal(cluster, info->system_identifier, info->file);
    enum rc rc = repo_put(r, name.text, object.data, object.len, err);
    if (rc == RC_STORAGE) /* it may have gone through, and then the second says so */
        rc = repo_put(r, name.text, object.data, object.len, err);
    if (rc != RC_OK && rc != RC_EXISTS)
        return rc;
    if (rc == RC_EXISTS)
        TRY(compare_with_archived(r, cluster, info, plain, len, err));
    *ret_was_there = rc == RC_EXISTS;
    return RC_OK;
}
