/* PostgreSQL's small text files: history, backup_label, configuration. */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "pg/recovery.h"

#include <stdlib.h>
#include <string.h>

static void history(const char *text)
{
    struct history h = {0};
    struct error err;
    enum rc rc = history_parse(9, text, &h, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY);
    if (rc != RC_OK)
        return;
    for (unsigned i = 0; i < h.count; i++)
        BUG_IF(h.entries[i].timeline >= 9 ||
               (i && h.entries[i].timeline <= h.entries[i - 1].timeline));
    BUG_IF(history_timeline_at(&h, UINT64_MAX) != 9);
    history_done(&h);
}

static void label(const char *text)
{
    struct backup_label l;
    struct error err;
    enum rc rc = backup_label_parse(text, &l, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY);
}

/* What is taken out of a file is not in the result; what is left is the file's. */
static void configuration(const char *text, size_t len)
{
    static const char *const names[] = {"restore_command", "port", NULL};
    CLEANUP_BUF struct buf rest = BUF_INIT(1 << 20);
    struct error err;

    free(conf_value(text, len, "port"));
    if (conf_without(text, len, names, &rest, &err) != RC_OK || rest.len == 0)
        return;
    BUG_IF(rest.len > len + 1);
    CLEANUP_FREE char *left = conf_value((const char *)rest.data, rest.len, "port");
    BUG_IF(left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_FREE char *text = strndup((const char *)data, len);

    if (!text)
        return 0;
    history(text);
    label(text);
    configuration(text, strlen(text));
    free(conf_quote(text));
    return 0;
}
