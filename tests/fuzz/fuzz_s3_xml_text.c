/* One text, or the root, of any document. */
#include "fuzz/fuzz.h"

#include "store/s3_xml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[64] = "", small[2] = "", root[64] = "";
    struct error err;
    enum rc rc = s3_xml_text(data, len, "Code", text, sizeof(text), &err);
    enum rc rc_root = s3_xml_root(data, len, root, sizeof(root), &err);

    BUG_IF(rc != RC_OK && rc != RC_NOT_FOUND && rc != RC_STORAGE);
    BUG_IF(rc_root != (rc == RC_STORAGE ? RC_STORAGE : RC_OK));
    BUG_IF(s3_xml_text(data, len, "Code", small, sizeof(small), &err) != rc);
    BUG_IF(small[0] != text[0]);
    BUG_IF(text[0] == ' ' || text[0] == '\n');
    return 0;
}
