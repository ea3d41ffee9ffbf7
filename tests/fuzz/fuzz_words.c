/* The small things that are parsed out of names, headers and documents. */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "repo/names.h"
#include "store/aws_sign.h"
#include "store/s3_xml.h"

#include <stdlib.h>
#include <string.h>

static void numbers(const char *text)
{
    uint64_t u;
    int64_t i;
    bool b;

    (void)parse_u64(text, &u);
    (void)parse_i64(text, &i);
    (void)parse_bool(text, &b);
    (void)parse_size(text, &u);
    (void)parse_duration(text, &i);
    (void)lsn_parse(text, &u);
}

static void moments(const char *text)
{
    char iso[MOMENT_TEXT_MAX];
    moment_us is, again;
    struct error err;

    if (!s3_time_parse(text, &is))
        return;
    BUG_IF(moment_parse(moment_iso(is, iso), &again, &err) != RC_OK || again != is);
}

static void names(const char *text)
{
    char id[BACKUP_ID_SIZE];
    struct wal_name name;

    (void)path_is_contained(text);
    (void)cluster_name_valid(text);
    (void)backup_id_valid(text);
    (void)name_proof_backup(text, id);
    (void)store_name_valid(text);
    if (wal_name_parse(text, 16u << 20, &name))
        BUG_IF(!wal_name_kind(text, &name));
}

/* What is encoded has nothing in it that a URL or a server could read otherwise. */
static void encoding(const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    struct aws_param p[] = {{text, text}, {"a", text}};
    struct error err;
    const char *query;

    BUG_IF(aws_query(p, 2, &b, &err) != RC_OK || buf_cstr(&b, &query, &err) != RC_OK);
    BUG_IF(strspn(query, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%&=") !=
           b.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP_FREE char *text = strndup((const char *)data, len);

    if (!text)
        return 0;
    numbers(text);
    moments(text);
    names(text);
    encoding(text);
    free(str_printable(text));
    free(str_shell_word(text));
    return 0;
}
