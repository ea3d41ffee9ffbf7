#include "store/aws_credentials_int.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX_BYTES 65536

void aws_wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void aws_buf_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    buf_done(b);
}

enum rc aws_file_read(const char *path, struct buf *to, struct error *err)
{
    TRY(buf_reserve(to, to->max, err));
    return file_read(path, to, err);
}

bool aws_is_word(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

/* What stands between the blanks at both ends of a text; malloc'ed, or NULL where it is no word. */
static char *word_within(const struct buf *text)
{
    const char *p = (const char *)text->data, *end = p + text->len;

    while (p < end && strchr(" \t\r\n", *p) && *p)
        p++;
    while (end > p && strchr(" \t\r\n", end[-1]) && end[-1])
        end--;
    char *word = mem_zalloc((size_t)(end - p) + 1);
    if (end > p)
        memcpy(word, p, (size_t)(end - p));
    if (!aws_is_word(word) || strlen(word) != (size_t)(end - p))
        aws_wipe(&word);
    return word;
}

enum rc aws_token_read(const char *path, char **ret, struct error *err)
{
    CLEANUP_SECRET_BUF struct buf text = BUF_INIT(TOKEN_MAX_BYTES);
    enum rc rc = aws_file_read(path, &text, err);

    if (rc == RC_NOT_FOUND)
        rc = error_reclass(err, RC_CONFIG);
    if (rc != RC_OK)
        return error_prefix(err, "could not read the token");
    char *word = word_within(&text);
    if (!word) {
        error_set(err, RC_CONFIG, "the file does not hold one token");
        return error_on(err, "%s", path);
    }
    *ret = word;
    return RC_OK;
}

void aws_found_done(struct aws_found *f)
{
    aws_keys_done(&f->keys);
    free(f->from);
    *f = AWS_FOUND_INIT;
}

enum rc aws_found_nothing(struct aws_found *ret, const char *fmt, ...)
{
    char text[512];
    va_list va;

    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    ret->from = str_dup(text);
    return RC_OK;
}

enum rc aws_found_keys(struct aws_found *ret, const char *id, const char *secret, const char *token,
                       struct error *err)
{
    const char *bad = !aws_is_word(id)               ? "access key id"
                      : !aws_is_word(secret)         ? "secret access key"
                      : token && !aws_is_word(token) ? "session token"
                                                     : NULL;

    if (bad) {
        error_set(err, RC_CONFIG, "the %s is empty, or holds a blank or a control character", bad);
        return error_now(err, "look for a line end or a quote that was copied along with it");
    }
    ret->keys.access_key_id = str_dup(id);
    ret->keys.secret_access_key = str_dup(secret);
    ret->keys.session_token = token ? str_dup(token) : NULL;
    return RC_OK;
}

static enum rc bad_answer(struct error *err, const char *what)
{
    return error_set(err, RC_STORAGE, "the answer is not understood: %s", what);
}

/* Jansson's own message would quote what stands there. */
static enum rc parse(const void *text, size_t len, json_t **ret, struct error *err)
{
    struct error quoting;

    if (json_parse_object(text, len, ret, &quoting) != RC_OK)
        return bad_answer(err, "it is no JSON object");
    return RC_OK;
}

/* What the service says of its own success; others than instance metadata say nothing. */
static enum rc check_code(const json_t *o, struct error *err)
{
    const char *code = json_string_value(json_object_get(o, "Code"));

    if (!code || str_eq(code, "Success"))
        return RC_OK;
    if (strlen(code) > 64 || !aws_is_word(code))
        return bad_answer(err, "it reports a failure without a plain code");
    return error_set(err, RC_STORAGE, "no credentials were given: %s", code);
}

static enum rc check_version(const json_t *o, struct error *err)
{
    if (json_integer_value(json_object_get(o, "Version")) == 1)
        return RC_OK;
    return bad_answer(err, "the member \"Version\" is not 1");
}

static enum rc parse_end(const json_t *o, moment_us *ret, struct error *err)
{
    const char *text = json_string_value(json_object_get(o, "Expiration"));
    struct error quoting;

    if (!json_object_get(o, "Expiration"))
        return RC_OK;
    if (!text || moment_parse(text, ret, &quoting) != RC_OK)
        return bad_answer(err, "the member \"Expiration\" is no time");
    return RC_OK;
}

static enum rc parse_keys(const json_t *o, const char *token_member, struct aws_found *ret,
                          struct error *err)
{
    const char *id, *secret, *token;

    if (json_get_str(o, "AccessKeyId", &id, err) != RC_OK ||
        json_get_str(o, "SecretAccessKey", &secret, err) != RC_OK ||
        json_get_str_or(o, token_member, NULL, &token, err) != RC_OK ||
        aws_found_keys(ret, id, secret, token, err) != RC_OK) {
        error_prefix(err, "the answer is not understood");
        err->now[0] = '\0';
        return error_reclass(err, RC_STORAGE);
    }
    return RC_OK;
}

/* Jansson frees strings as they are. */
static void wipe_member(json_t *o, const char *name)
{
    json_t *v = json_object_get(o, name);

    if (json_is_string(v))
        explicit_bzero((char *)(uintptr_t)json_string_value(v), json_string_length(v));
}

enum rc aws_found_parse(struct aws_found *ret, enum aws_json form, const void *text, size_t len,
                        struct error *err)
{
    const char *token_member = form == AWS_JSON_PROCESS ? "SessionToken" : "Token";
    CLEANUP_JSON json_t *o = NULL;
    moment_us expires = MOMENT_NONE;

    TRY(parse(text, len, &o, err));
    enum rc rc = form == AWS_JSON_PROCESS ? check_version(o, err) : check_code(o, err);
    if (rc == RC_OK)
        rc = parse_end(o, &expires, err);
    if (rc == RC_OK)
        rc = parse_keys(o, token_member, ret, err);
    wipe_member(o, "SecretAccessKey");
    wipe_member(o, token_member);
    if (rc != RC_OK)
        return rc;
    ret->expires = expires;
    ret->renewable = form == AWS_JSON_SERVICE || expires != MOMENT_NONE;
    return RC_OK;
}
