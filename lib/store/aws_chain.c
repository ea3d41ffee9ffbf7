/* The chain's surroundings, and the links that need nothing else. */
#include "store/aws_credentials_int.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *aws_chain_env(const struct aws_chain *c, const char *name)
{
    size_t n = strlen(name);

    for (char **e = c->environment; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return (*e)[n + 1] ? *e + n + 1 : NULL;
    return NULL;
}

bool aws_chain_env_is_true(const struct aws_chain *c, const char *name)
{
    const char *value = aws_chain_env(c, name);

    return value && strcasecmp(value, "true") == 0;
}

enum rc aws_link_configuration(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    if (!c->access_key_id)
        return aws_found_nothing(ret, "no keys are in it");
    if (!c->secret_access_key) {
        error_set(err, RC_CONFIG, "there is an access key id, but no secret access key");
        return error_now(err, "set both, or neither");
    }
    TRY(aws_found_keys(ret, c->access_key_id, c->secret_access_key, c->session_token, err));
    ret->from = str_dup("configuration");
    return RC_OK;
}

enum rc aws_link_environment(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    const char *id = aws_chain_env(c, "AWS_ACCESS_KEY_ID");
    const char *secret = aws_chain_env(c, "AWS_SECRET_ACCESS_KEY");

    if (!id && !secret)
        return aws_found_nothing(ret, "AWS_ACCESS_KEY_ID is not set");
    if (!id || !secret) {
        error_set(err, RC_CONFIG, "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
        return error_now(err, "set both, or neither");
    }
    TRY(aws_found_keys(ret, id, secret, aws_chain_env(c, "AWS_SESSION_TOKEN"), err));
    ret->from = str_dup("environment variable AWS_ACCESS_KEY_ID");
    return RC_OK;
}

enum rc aws_link_web_identity(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    const char *path = aws_chain_env(c, "AWS_WEB_IDENTITY_TOKEN_FILE");
    struct aws_role role = {
        .arn = aws_chain_env(c, "AWS_ROLE_ARN"),
        .session_name = aws_chain_env(c, "AWS_ROLE_SESSION_NAME"),
    };

    if (!path)
        return aws_found_nothing(ret, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (!role.arn) {
        error_set(err, RC_CONFIG, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
        return error_now(err, "set both, or neither");
    }
    TRY(aws_sts_web_identity(c, &role, path, ret, err));
    ret->from = str_printf("web identity token %s, role %s", path, role.arn);
    return RC_OK;
}
