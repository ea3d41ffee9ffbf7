/* pg_control, whose CRC is computed here where it is a known version's, and WAL segment headers. */
#include "fuzz/fuzz.h"

#include "base/crc32c.h"
#include "pg/control.h"
#include "pg/lsn.h"

#include <string.h>

#define AT_CONTROL_VERSION 8
#define CONTROL_NEEDED     296

static void control(const uint8_t *data, size_t len)
{
    uint8_t copy[CONTROL_FILE_BYTES];
    struct control c;
    struct error err;

    if (len > sizeof(copy))
        len = sizeof(copy);
    memcpy(copy, data, len);
    if (len >= CONTROL_NEEDED) {
        size_t at_crc = get_le32(copy + AT_CONTROL_VERSION) >= 1800 ? 292 : 288;
        put_le32(copy + at_crc, crc32c(0, copy, at_crc));
    }
    enum rc rc = control_parse(copy, len, &c, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY && rc != RC_REFUSED);
    if (rc != RC_OK)
        return;
    BUG_IF(c.pg_major < 13 || c.pg_major > 18 || !wal_segment_size_valid(c.wal_segment_bytes));
    BUG_IF(control_require_label(copy, len, &err) != RC_OK);
    BUG_IF(control_parse(copy, len, &c, &err) != RC_OK);
}

static void wal_header(const uint8_t *data, size_t len)
{
    struct wal_header h;
    struct error err;
    enum rc rc = wal_header_read(data, len, &h, &err);

    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY);
    rc = wal_header_check(data, len, "000000010000000000000001", 1, 16u << 20, &err);
    BUG_IF(rc != RC_OK && rc != RC_INTEGRITY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    control(data, len);
    wal_header(data, len);
    return 0;
}
