/* The JSON of services and programs that give credentials. */
#include "fuzz/fuzz.h"

#include "store/aws_credentials_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int form = AWS_JSON_SERVICE; form <= AWS_JSON_PROCESS; form++) {
        CLEANUP_AWS_FOUND struct aws_found found = AWS_FOUND_INIT;
        struct error err;
        enum rc rc = aws_found_parse(&found, (enum aws_json)form, data, len, &err);

        BUG_IF((rc == RC_OK) != (found.keys.access_key_id != NULL));
        BUG_IF(rc != RC_OK && rc != RC_STORAGE);
    }
    return 0;
}
