/* The AWS tools' files of profiles. */
#include "fuzz/fuzz.h"

#include "store/aws_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const keys[] = {"aws_access_key_id", "region", "role_arn"};
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
    struct error err;

    for (int kind = AWS_FILE_CONFIG; kind <= AWS_FILE_CREDENTIALS; kind++) {
        enum rc rc = aws_profiles_parse(p, (enum aws_profile_file)kind, "file", data, len, &err);

        BUG_IF(rc != RC_OK && rc != RC_CONFIG);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const struct aws_setting *s = aws_profiles_find(p, "default", keys[i]);

        BUG_IF(s && (!s->value[0] || !aws_profiles_has(p, "default")));
    }
    return 0;
}
