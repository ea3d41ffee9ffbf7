#include "backup/wal_push.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/recovery.h"
#include "repo/names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUTO_CONF     "postgresql.auto.conf"
#define AUTO_CONF_MAX (16u << 20)
/* History and backup label files: a line per timeline, or ten lines. */
#define TEXT_MAX (1u << 20)

/* ---- whose it is ---- */

/* A copy that was restored beside its original has the original's archive_command, too. */
static enum rc refuse_copy(const char *data_directory, struct error *err)
{
    CLEANUP_FREE char *path = path_join(data_directory, AUTO_CONF);
    CLEANUP_BUF struct buf text = BUF_INIT(AUTO_CONF_MAX);
    enum rc rc = file_read(path, &text, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    TRY(rc);
    CLEANUP_FREE char *role = conf_value((const char *)text.data, text.len, "pgproof.role");
    if (!str_eq(role, "copy"))
        return RC_OK;
    CLEANUP_FREE char *absolute = path_absolute(path);
    error_set(err, RC_REFUSED,
              "this data directory is a copy restored by pgproof; it must not archive into the "
              "original's repository");
    error_on(err, "%s: pgproof.role = 'copy'", absolute);
    return error_now(err, "set archive_mode = off here; or, if it takes the original's place for "
                          "good, restore with --as=replacement or remove that line");
}

enum rc wal_push_identify(const char *data_directory, struct control *ret, struct error *err)
{
    struct control c;
    enum rc rc = control_read(data_directory, &c, NULL, err);

    if (rc == RC_NOT_FOUND) {
        CLEANUP_FREE char *absolute = path_absolute(data_directory);
        error_set(err, RC_SYSTEM,
                  "could not tell whose WAL this is: there is no " CONTROL_PATH " here");
        error_on(err, "%s", absolute);
        return error_now(err, "run pgproof-wal-push in the data directory, as archive_command "
                              "does, or configure data-directory");
    }
    TRY(rc);
    TRY(refuse_copy(data_directory, err));
    *ret = c;
    return RC_OK;
}

enum rc wal_push_check_system(const struct control *c, const struct cluster_system *registered,
                              struct error *err)
{
    if (c->wal_segment_bytes == registered->wal_segment_bytes)
        return RC_OK;
    error_set(err, RC_REFUSED,
              "the WAL segments of this cluster have %" PRIu32 " bytes now, and %" PRIu32
              " when it was registered",
              c->wal_segment_bytes, registered->wal_segment_bytes);
    error_on(err, "system identifier %" PRIu64, c->system_identifier);
    return error_now(err, "register it under a new name with 'pgproof init --cluster=NAME' and "
                          "take a full backup there");
}

/* ---- the file ---- */

static bool has_header(const struct wal_name *n)
{
    return n->kind == WAL_SEGMENT || n->kind == WAL_PARTIAL;
}

static enum rc check_name(const char *path, const struct control *c, struct wal_name *ret,
                          struct error *err)
{
    if (wal_name_parse(name_base(path), c->wal_segment_bytes, ret))
        return RC_OK;
    error_set(err, RC_USAGE, "this is not the name of a WAL file");
    error_on(err, "%s", path);
    return error_now(err, "give the path of a file in pg_wal, as archive_command's %%p does");
}

/* A short segment is the remains of a full disk or of a copy that was cut off. */
static enum rc check_length(const struct wal_name *n, uint64_t len, const struct control *c,
                            struct error *err)
{
    if (has_header(n) ? len == c->wal_segment_bytes : len > 0 && len <= TEXT_MAX)
        return RC_OK;
    if (has_header(n))
        error_set(err, RC_INTEGRITY,
                  "the WAL segment has %" PRIu64 " bytes where segments of this cluster have "
                  "%" PRIu32,
                  len, c->wal_segment_bytes);
    else
        error_set(err, RC_INTEGRITY, "no such WAL file has %" PRIu64 " bytes", len);
    return error_now(err, "nothing was archived; find out what wrote it, and look for a full disk");
}

static enum rc failed(int sys_errno, const char *what, struct error *err)
{
    error_set_errno(err, RC_SYSTEM, sys_errno, "could not %s the WAL file", what);
    if (sys_errno == ENOENT)
        error_now(err, "a path that is not absolute begins in the working directory, which is the "
                       "data directory when PostgreSQL calls");
    return RC_SYSTEM;
}

static enum rc read_file(const char *path, const struct wal_name *n, const struct control *c,
                         struct buf *to, struct error *err)
{
    /* Not blocking: what has the name might be a FIFO. */
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    size_t len;

    if (fd < 0 || fstat(fd, &st) != 0)
        return failed(errno, "open", err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, RC_SYSTEM, "this is not a plain file");
    TRY(check_length(n, (uint64_t)st.st_size, c, err));
    TRY(buf_reserve(to, (size_t)st.st_size, err));
    TRY(file_pread(fd, to->data + to->len, (size_t)st.st_size, 0, &len, path, err));
    TRY(check_length(n, len, c, err)); /* it may have been cut while it was read */
    to->len += len;
    return RC_OK;
}

/* A history file that can't be read would leave a later recovery without its way. */
static enum rc check_history(const struct wal_name *n, const struct buf *content, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX + 1);
    const char *cstr;
    struct history h;

    TRY(buf_append(&text, content->data, content->len, err));
    TRY(buf_cstr(&text, &cstr, err));
    TRY(history_parse(n->timeline, cstr, &h, err));
    history_done(&h);
    return RC_OK;
}

static enum rc check_content(const char *file, const struct wal_name *n, const struct control *c,
                             const struct buf *content, struct error *err)
{
    enum rc rc = RC_OK;

    if (has_header(n))
        rc = wal_header_check(content->data, content->len, file, c->system_identifier,
                              c->wal_segment_bytes, err);
    else if (n->kind == WAL_HISTORY)
        rc = check_history(n, content, err);
    if (rc == RC_INTEGRITY)
        error_now(err, "nothing was archived; don't remove the file before you know where it came "
                       "from");
    return rc;
}

enum rc wal_push_read(const char *path, const struct control *c, struct wal_info *ret,
                      struct buf *to, struct error *err)
{
    struct wal_name name;

    TRY(check_name(path, c, &name, err));
    const char *file = name_base(path);
    enum rc rc = read_file(path, &name, c, to, err);
    if (rc == RC_OK)
        rc = check_content(file, &name, c, to, err);
    if (rc != RC_OK) {
        error_on(err, "%s", path);
        return rc;
    }
    *ret = (struct wal_info){.system_identifier = c->system_identifier,
                             .segment_bytes = c->wal_segment_bytes};
    str_copy(ret->file, sizeof ret->file, file);
    return RC_OK;
}
