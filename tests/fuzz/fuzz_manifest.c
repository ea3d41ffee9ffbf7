/*
 * A manifest. The input is its lines, which are compressed here, behind one byte, or (that byte is
 * odd) the stored bytes.
 */
#include "fuzz/fuzz.h"

#include "base/file.h"
#include "codec/zlines.h"
#include "repo/manifest.h"

#include <string.h>

static enum rc compress_lines(const uint8_t *data, size_t len, struct buf *to, struct error *err)
{
    CLEANUP(cleanup_zlines_writer) struct zlines_writer *w = NULL;

    TRY(zlines_writer_new(to, 1, &w, err));
    while (len) {
        const uint8_t *newline = memchr(data, '\n', len);
        size_t line = newline ? (size_t)(newline - data) : len;
        TRY(zlines_add(w, (const char *)data, line, err));
        data += line + (newline != NULL);
        len -= line + (newline != NULL);
    }
    return zlines_commit(w, err);
}

/* Safe to act on, as the header promises. */
static void check(const struct manifest *m)
{
    for (size_t i = 0; i < m->file_count; i++) {
        const struct manifest_file *f = &m->files[i];
        BUG_IF(!path_is_contained(f->path));
        BUG_IF(i && strcmp(m->files[i - 1].path, f->path) >= 0);
        BUG_IF(f->kind == FILE_TABLESPACE_LINK && strncmp(f->path, "pg_tblspc/", 10) != 0);
        BUG_IF(manifest_find(m, f->path) != f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_BUF struct buf stored = BUF_INIT(16 << 20);
    CLEANUP(cleanup_manifest) struct manifest *m = NULL;
    struct error err;
    enum rc rc;

    if (len == 0)
        return 0;
    if (data[0] % 2 || memchr(data + 1, '\0', len - 1)) /* no line has a NUL */
        rc = buf_append(&stored, data + 1, len - 1, &err);
    else
        rc = compress_lines(data + 1, len - 1, &stored, &err);
    if (rc == RC_OK)
        rc = manifest_decode(stored.data, stored.len, &m, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG);
    if (rc == RC_OK)
        check(m);
    return 0;
}
