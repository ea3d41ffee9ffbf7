/* The AWS tools' files: what counts, what is passed over, what is refused, and that nothing of a
 * line reaches a message. */
#include "base/file.h"
#include "base/str.h"
#include "store/aws_profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum rc parse_into(struct aws_profiles *p, enum aws_profile_file kind, const char *text,
                          struct error *err)
{
    return aws_profiles_parse(p, kind, kind == AWS_FILE_CONFIG ? "config" : "credentials", text,
                              strlen(text), err);
}

static struct aws_profiles *parsed(enum aws_profile_file kind, const char *text)
{
    struct aws_profiles *p = aws_profiles_new();
    struct error err = {0};

    if (parse_into(p, kind, text, &err) != RC_OK)
        fail_msg("%s (%s)", err.what, err.on);
    return p;
}

static const char *value_of(const struct aws_profiles *p, const char *profile, const char *key)
{
    const struct aws_setting *s = aws_profiles_find(p, profile, key);

    return s ? s->value : "nothing";
}

static void expect(const struct aws_profiles *p, const char *profile, const char *key,
                   const char *value)
{
    assert_string_equal(value_of(p, profile, key), value);
}

static void sections_belong_to_profiles(void **state)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *config =
        parsed(AWS_FILE_CONFIG, "[default]\nregion = a\n[profile one]\nregion = b\n"
                                "[ profile\t\"with blank\" ] # why\nregion = c\n"
                                "[two]\nregion = d\n[sso-session one]\nregion = e\n"
                                "[services one]\nregion = f\n[profilethree]\nregion = g\n"
                                "[profile empty]\n");
    CLEANUP_AWS_PROFILES struct aws_profiles *credentials =
        parsed(AWS_FILE_CREDENTIALS, "[one]\nregion = a\n[profile two]\nregion = b\n");

    (void)state;
    expect(config, "default", "region", "a");
    expect(config, "one", "region", "b");
    expect(config, "with blank", "region", "c");
    assert_false(aws_profiles_has(config, "two"));
    assert_false(aws_profiles_has(config, "three"));
    assert_false(aws_profiles_has(config, "profilethree"));
    assert_true(aws_profiles_has(config, "empty"));
    expect(credentials, "one", "region", "a");
    expect(credentials, "profile two", "region", "b");
    assert_false(aws_profiles_has(credentials, "two"));
}

static void values_are_taken_as_the_tools_do(void **state)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p =
        parsed(AWS_FILE_CREDENTIALS,
               "\xef\xbb\xbf# comment\r\n; another\r\n\r\n[x]\r\n"
               "  Region=a \r\n  key = b#c;d # e\r\n  other = =f= ;g\r\n   deeper = h\r\n"
               "twice = 1\r\ntwice = 2\r\nempty =\r\n"
               "s3 =\r\n  region = nested\r\n  junk\r\nlast = z");

    (void)state;
    expect(p, "x", "region", "a");
    expect(p, "x", "key", "b#c;d");
    expect(p, "x", "other", "=f=");
    expect(p, "x", "deeper", "nothing"); /* one of the group of the key above */
    expect(p, "x", "twice", "2");
    expect(p, "x", "empty", "nothing");
    expect(p, "x", "last", "z");
}

static void long_tokens_are_whole(void **state)
{
    char *token = malloc(20001), *text;

    (void)state;
    memset(token, 'T', 20000);
    token[20000] = '\0';
    text = str_printf("[x]\naws_session_token = %s\n", token);
    CLEANUP_AWS_PROFILES struct aws_profiles *p = parsed(AWS_FILE_CREDENTIALS, text);
    expect(p, "x", "aws_session_token", token);
    free(text);
    free(token);
}

static void ranks_decide(void **state)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
    struct error err = {0};

    (void)state;
    assert_int_equal(parse_into(p, AWS_FILE_CREDENTIALS, "[default]\na = credentials\n", &err),
                     RC_OK);
    assert_int_equal(parse_into(p, AWS_FILE_CONFIG,
                                "[profile default]\na = long\nb = long\nc = long\n"
                                "[default]\na = short\nb = short\nd = short\n",
                                &err),
                     RC_OK);
    expect(p, "default", "a", "credentials");
    expect(p, "default", "b", "long");
    expect(p, "default", "c", "long");
    expect(p, "default", "d", "short");
    assert_string_equal(aws_profiles_find(p, "default", "a")->path, "credentials");
    assert_string_equal(aws_profiles_find(p, "default", "d")->path, "config");
}

/* RC_CONFIG on that line; the text, in which "SECRET" stands, is not repeated. */
static void expect_bad(const char *text, unsigned line)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
    char *on = str_printf("credentials:%u", line);
    struct error err = {0};

    assert_int_equal(parse_into(p, AWS_FILE_CREDENTIALS, text, &err), RC_CONFIG);
    assert_string_equal(err.on, on);
    assert_null(strstr(err.what, "SECRET"));
    assert_null(strstr(err.now, "SECRET"));
    assert_true(err.now[0]);
    free(on);
}

static void bad_lines_are_named_not_quoted(void **state)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
    struct error err = {0};

    (void)state;
    expect_bad("[x]\nSECRET\n", 2);
    expect_bad("\n\n= SECRET\n", 3);
    expect_bad("key = SECRET\n", 1);
    expect_bad("[SECRET\n", 1);
    expect_bad("[x] SECRET\n", 1);
    assert_int_equal(aws_profiles_parse(p, AWS_FILE_CONFIG, "config", "[x]\na = b\0c\n", 13, &err),
                     RC_CONFIG);
    assert_string_equal(err.on, "config:2");
}

/* Every prefix of a file is read or refused. */
static void cut_files_do_no_harm(void **state)
{
    static const char whole[] =
        "\xef\xbb\xbf[profile \"a b\"] # c\r\nkey = value ; d\r\ns3 =\n  x = y\n"
        "[default]\naws_access_key_id = A\n";

    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
        char *exact = len ? malloc(len) : NULL; /* so that a sanitizer sees a byte too far */
        struct error err = {0};

        if (len)
            memcpy(exact, whole, len);
        enum rc rc = aws_profiles_parse(p, AWS_FILE_CONFIG, "config", exact, len, &err);
        assert_true(rc == RC_OK || rc == RC_CONFIG);
        free(exact);
    }
}

static void files_are_read(void **state)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();
    char path[] = "/tmp/pgproof-profile-XXXXXX";
    int fd = mkstemp(path);
    struct error err = {0};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, "[x]\na = b\n", 10, path, &err), RC_OK);
    assert_int_equal(aws_profiles_read(p, AWS_FILE_CREDENTIALS, path, &err), RC_OK);
    expect(p, "x", "a", "b");
    assert_string_equal(aws_profiles_find(p, "x", "a")->path, path);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    assert_int_equal(aws_profiles_read(p, AWS_FILE_CREDENTIALS, path, &err), RC_NOMEM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(aws_profiles_read(p, AWS_FILE_CREDENTIALS, path, &err), RC_NOT_FOUND);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_belong_to_profiles),
        cmocka_unit_test(values_are_taken_as_the_tools_do),
        cmocka_unit_test(long_tokens_are_whole),
        cmocka_unit_test(ranks_decide),
        cmocka_unit_test(bad_lines_are_named_not_quoted),
        cmocka_unit_test(cut_files_do_no_harm),
        cmocka_unit_test(files_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
