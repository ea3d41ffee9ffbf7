/*
 * The credential chain: what each link gives, their order, renewal, and what they say when they
 * fail. Every secret in here contains "HUSH"; no error and no line of the log may.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/aws_credentials_int.h"
#include "support/http_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ROLE      "arn:aws:iam::123456789012:role/db-backup"
#define VARIABLES 24
#define NOON      INT64_C(1795262400000000) /* 2026-11-21 12:00:00 UTC */
#define SECOND    INT64_C(1000000)
#define MINUTE    (60 * SECOND)

struct fixture {
    char dir[64];                     /* the home directory */
    char *environment[VARIABLES + 1]; /* owned */
    struct http_fake *fake;
    struct aws_credentials_options options;
    struct aws_credentials *c;
    struct error err;
};

static struct {
    char text[8192];
    unsigned lines;
} logged;

static void write_log(void *ctx, enum log_level level, const char *message)
{
    (void)ctx;
    (void)level;
    logged.lines++;
    strncat(logged.text, message, sizeof(logged.text) - strlen(logged.text) - 1);
}

static moment_us the_time;

static moment_us test_time(void)
{
    return the_time;
}

static void set_variable(struct fixture *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void set_variable(struct fixture *f, const char *fmt, ...)
{
    char text[4096];
    va_list va;
    size_t i = 0, name;

    va_start(va, fmt);
    vsnprintf(text, sizeof(text), fmt, va);
    va_end(va);
    name = strcspn(text, "=") + 1;
    while (f->environment[i] && strncmp(f->environment[i], text, name) != 0)
        i++;
    assert_true(i < VARIABLES);
    free(f->environment[i]);
    f->environment[i] = str_dup(text);
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    snprintf(f->dir, sizeof(f->dir), "%.30s/pgproof-cred-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->fake = http_fake_start("127.0.0.1");
    f->options.environment = f->environment;
    set_variable(f, "HOME=%s", f->dir);
    set_variable(f, "AWS_EC2_METADATA_DISABLED=true");
    memset(&logged, 0, sizeof(logged));
    log_set_sink(write_log, NULL, LOG_LEVEL_DEBUG);
    the_time = NOON;
    *state = f;
    return 0;
}

static void expect_no_secret(const char *text)
{
    if (strstr(text, "HUSH"))
        fail_msg("a secret is in: %s", text);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    expect_no_secret(f->err.what);
    expect_no_secret(f->err.on);
    expect_no_secret(f->err.now);
    expect_no_secret(logged.text);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    aws_credentials_unref(f->c);
    http_fake_stop(f->fake);
    log_set_sink(NULL, NULL, LOG_LEVEL_DEBUG);
    for (char **e = f->environment; *e; e++)
        free(*e);
    assert_int_equal(file_remove_tree(f->dir, &f->err), RC_OK);
    free(f);
    return 0;
}

/* A chain of the options and the environment as they are now. */
static void renew_chain(struct fixture *f)
{
    aws_credentials_unref(f->c);
    f->c = aws_credentials_new(&f->options);
    f->c->now = test_time;
}

static enum rc get(struct fixture *f, struct aws_keys *keys)
{
    memset(&f->err, 0, sizeof(f->err));
    aws_keys_done(keys);
    return aws_credentials_get(f->c, keys, &f->err);
}

static void expect_id(struct fixture *f, const char *id)
{
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};

    if (get(f, &keys) != RC_OK)
        fail_msg("%s (%s; %s)", f->err.what, f->err.on, f->err.now);
    assert_string_equal(keys.access_key_id, id);
}

static void expect_keys(struct fixture *f, const char *id, const char *secret, const char *token,
                        const char *description)
{
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};
    CLEANUP_FREE char *text = NULL;

    if (get(f, &keys) != RC_OK)
        fail_msg("%s (%s; %s)", f->err.what, f->err.on, f->err.now);
    assert_string_equal(keys.access_key_id, id);
    assert_string_equal(keys.secret_access_key, secret);
    assert_true(str_eq(keys.session_token, token));
    assert_int_equal(aws_credentials_describe(f->c, &text, &f->err), RC_OK);
    assert_string_equal(text, description);
    expect_no_secret(text);
}

/* The code, and words of the three parts together. */
static void expect_error(struct fixture *f, enum rc rc, const char *words)
{
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};
    char all[4096];

    the_time += 2 * SECOND; /* a failure is shared for one second */
    assert_int_equal(get(f, &keys), rc);
    snprintf(all, sizeof(all), "%s | %s | %s", f->err.what, f->err.on, f->err.now);
    if (!strstr(all, words))
        fail_msg("\"%s\" is not in: %s", words, all);
    expect_no_secret(all);
    assert_null(keys.access_key_id);
    the_time += 2 * SECOND;
}

static void expect_chain_error(struct fixture *f, enum rc rc, const char *words)
{
    renew_chain(f);
    expect_error(f, rc, words);
}

static void write_home(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(f->dir, name);
    CLEANUP_FREE char *aws = path_join(f->dir, ".aws");

    assert_int_equal(file_make_dirs(aws, 0700, &f->err), RC_OK);
    assert_int_equal(file_replace(path, text, strlen(text), 0600, &f->err), RC_OK);
}

/* Keys as a service gives them. */
#define JSON(id, until)                                                                            \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"HUSH-" id              \
    "\",\"Token\":\"HUSH-token-" id "\",\"Expiration\":\"" until "\"}"
#define XML(id, until)                                                                             \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"      \
    "<AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>system:serviceaccount:a:b"      \
    "</SubjectFromWebIdentityToken><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/a/b</Arn>"    \
    "</AssumedRoleUser><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>HUSH-" id    \
    "</SecretAccessKey><SessionToken>HUSH-token-" id "</SessionToken><Expiration>" until           \
    "</Expiration></Credentials>"                                                                  \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"

static void answer(struct fixture *f, const char *method, const char *path, int status,
                   const char *body)
{
    http_fake_set(f->fake, (struct fake_answer){
                               .method = method, .path = path, .status = status, .body = body});
}

#define ROLES_PATH "/latest/meta-data/iam/security-credentials/"
#define TOKEN_PATH "/latest/api/token"

static void play_instance(struct fixture *f, const char *keys)
{
    set_variable(f, "AWS_EC2_METADATA_DISABLED=");
    set_variable(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT=%s/", http_fake_url(f->fake));
    answer(f, "PUT", TOKEN_PATH, 200, "HUSH-imds==");
    answer(f, "GET", ROLES_PATH, 200, "db+backup\n");
    answer(f, "GET", ROLES_PATH "db%2Bbackup", 200, keys);
}

static void play_container(struct fixture *f, const char *keys)
{
    set_variable(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s/v1/credentials?id=HUSH-id",
                 http_fake_url(f->fake));
    answer(f, "GET", "/v1/credentials", 200, keys);
}

static void play_web_identity(struct fixture *f, const char *xml)
{
    write_home(f, "jwt", "HUSH.jwt.1\n");
    set_variable(f, "AWS_ROLE_ARN=" ROLE);
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=%s/jwt", f->dir);
    set_variable(f, "AWS_ENDPOINT_URL_STS=%s", http_fake_url(f->fake));
    answer(f, "POST", "/", 200, xml);
}

/* --- the links ------------------------------------------------------------------------------ */

static void configuration_gives_its_keys(void **state)
{
    struct fixture *f = *state;

    f->options.access_key_id = "AKIDCONF";
    f->options.secret_access_key = "HUSH-c";
    renew_chain(f);
    expect_keys(f, "AKIDCONF", "HUSH-c", NULL, "configuration");
    assert_false(aws_credentials_expired(f->c, 1));
    f->options.session_token = "HUSH-t";
    renew_chain(f);
    expect_keys(f, "AKIDCONF", "HUSH-c", "HUSH-t", "configuration");
    f->options.secret_access_key = NULL;
    expect_chain_error(f, RC_CONFIG, "no secret access key");
}

static void environment_gives_its_keys(void **state)
{
    struct fixture *f = *state;

    set_variable(f, "AWS_ACCESS_KEY_ID=AKIDENV");
    set_variable(f, "AWS_SECRET_ACCESS_KEY=HUSH-e");
    renew_chain(f);
    expect_keys(f, "AKIDENV", "HUSH-e", NULL, "environment variable AWS_ACCESS_KEY_ID");
    set_variable(f, "AWS_SESSION_TOKEN=HUSH-t");
    renew_chain(f);
    expect_keys(f, "AKIDENV", "HUSH-e", "HUSH-t", "environment variable AWS_ACCESS_KEY_ID");
    assert_false(aws_credentials_expired(f->c, 1));
    set_variable(f, "AWS_SECRET_ACCESS_KEY=HUSH-e\n");
    expect_chain_error(f, RC_CONFIG, "the secret access key is empty, or holds a blank");
    set_variable(f, "AWS_SECRET_ACCESS_KEY=");
    expect_chain_error(f, RC_CONFIG, "only one of AWS_ACCESS_KEY_ID");
}

static void web_identity_is_exchanged(void **state)
{
    struct fixture *f = *state;
    char type[64];

    play_web_identity(f, XML("ASIAWEB", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    CLEANUP_FREE char *expected = str_printf(
        "web identity token %s/jwt, role " ROLE ", until 2026-11-21 13:00:00 UTC", f->dir);
    expect_keys(f, "ASIAWEB", "HUSH-ASIAWEB", "HUSH-token-ASIAWEB", expected);
    const struct fake_request *q = http_fake_last(f->fake, "POST", "/");
    assert_string_equal(q->body, "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                                 "123456789012%3Arole%2Fdb-backup&RoleSessionName=pgproof&"
                                 "Version=2011-06-15&WebIdentityToken=HUSH.jwt.1");
    assert_string_equal(fake_header(q, "Content-Type", type, sizeof(type)),
                        "application/x-www-form-urlencoded");
    assert_string_equal(fake_header(q, "Authorization", type, sizeof(type)), "");
}

/* Kubernetes replaces the file. */
static void web_identity_token_is_read_again(void **state)
{
    struct fixture *f = *state;

    play_web_identity(f, XML("ASIAONE", "2026-11-21T13:00:00Z"));
    set_variable(f, "AWS_ROLE_SESSION_NAME=me@host");
    renew_chain(f);
    expect_id(f, "ASIAONE");
    write_home(f, "jwt", "HUSH.jwt.2");
    answer(f, "POST", "/", 200, XML("ASIATWO", "2026-11-21T14:00:00Z"));
    the_time = NOON + 56 * MINUTE;
    expect_id(f, "ASIATWO");
    const struct fake_request *q = http_fake_last(f->fake, "POST", "/");
    assert_non_null(strstr(q->body, "WebIdentityToken=HUSH.jwt.2"));
    assert_non_null(strstr(q->body, "RoleSessionName=me%40host"));
}

static void web_identity_failures_name_the_remedy(void **state)
{
    struct fixture *f = *state;

    play_web_identity(f, "");
    answer(f, "POST", "/", 403,
           "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform "
           "sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>");
    expect_chain_error(f, RC_STORAGE, "HTTP status 403: AccessDenied: Not authorized");
    assert_non_null(strstr(f->err.now, "trust policy"));
    assert_false(f->err.transient);
    answer(f, "POST", "/", 400,
           "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>HUSH.jwt.1 is bad"
           "</Message></Error></ErrorResponse>");
    expect_chain_error(f, RC_STORAGE, "HTTP status 400");
    answer(f, "POST", "/", 400,
           "<ErrorResponse><Error><Code>IDPCommunicationError</Code><Message>m</Message></Error>"
           "</ErrorResponse>");
    expect_chain_error(f, RC_STORAGE, "IDPCommunicationError");
    assert_true(f->err.transient);
    answer(f, "POST", "/", 503, "<html>\x1b[2J</html>");
    expect_chain_error(f, RC_STORAGE, "503: <html>\\x1b[2J");
    assert_true(f->err.transient);
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=%s/nowhere", f->dir);
    expect_chain_error(f, RC_CONFIG, "/nowhere");
    write_home(f, "jwt", " \n");
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=%s/jwt", f->dir);
    expect_chain_error(f, RC_CONFIG, "/jwt");
    set_variable(f, "AWS_ROLE_ARN=");
    expect_chain_error(f, RC_CONFIG, "AWS_ROLE_ARN is not");
}

static void token_service_answers_are_checked(void **state)
{
    static const char *const bad[] = {
        "",
        "no XML",
        "<a/>",
        "<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>HUSH</SecretAccessKey></a>",
        XML("ASIA", "tomorrow, HUSH"),
        XML("", "2026-11-21T13:00:00Z"),
        XML("AS IA", "2026-11-21T13:00:00Z"),
        "<a><AccessKeyId>A</AccessKeyId><SecretAccessKey>HUSH",
    };
    struct fixture *f = *state;

    play_web_identity(f, "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        answer(f, "POST", "/", 200, bad[i]);
        expect_chain_error(f, RC_STORAGE, http_fake_url(f->fake));
    }
    char *huge = malloc(100001);
    memset(huge, 'x', 100000);
    huge[100000] = '\0';
    answer(f, "POST", "/", 200, huge);
    expect_chain_error(f, RC_STORAGE, "longer than");
    free(huge);
}

static void region_decides_where_the_token_service_is(void **state)
{
    struct fixture *f = *state;

    play_web_identity(f, XML("ASIAWEB", "2026-11-21T13:00:00Z"));
    set_variable(f, "AWS_ENDPOINT_URL=%s/elsewhere", http_fake_url(f->fake));
    renew_chain(f);
    expect_id(f, "ASIAWEB");
    assert_string_equal(http_fake_last(f->fake, "POST", "/")->path, "/");
    set_variable(f, "AWS_ENDPOINT_URL_STS=");
    renew_chain(f);
    expect_id(f, "ASIAWEB");
    assert_string_equal(http_fake_last(f->fake, "POST", "/")->path, "/elsewhere/");
    set_variable(f, "AWS_ENDPOINT_URL=");
    set_variable(f, "AWS_REGION=evil.example/");
    expect_chain_error(f, RC_CONFIG, "evil.example/");
    set_variable(f, "AWS_ENDPOINT_URL_STS=ftp:/HUSH");
    expect_chain_error(f, RC_CONFIG, "AWS_ENDPOINT_URL_STS");
}

static void profile_gives_keys(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *expected = str_printf("profile default in %s/.aws/credentials", f->dir);
    CLEANUP_FREE char *other = str_printf("profile backup in %s/.aws/config", f->dir);

    write_home(f, ".aws/credentials",
               "[default]\naws_access_key_id=AKIDFILE\naws_secret_access_key=HUSH-f\n"
               "[half]\naws_access_key_id=AKIDHALF\n");
    write_home(f, ".aws/config",
               "[default]\naws_session_token=HUSH-of-another-pair\n"
               "[profile backup]\naws_access_key_id=AKIDBACK\naws_secret_access_key=HUSH-b\n"
               "aws_session_token=HUSH-t\n");
    renew_chain(f);
    expect_keys(f, "AKIDFILE", "HUSH-f", NULL, expected);
    assert_int_equal(logged.lines, 1); /* which link it was */
    set_variable(f, "AWS_PROFILE=backup");
    renew_chain(f);
    expect_keys(f, "AKIDBACK", "HUSH-b", "HUSH-t", other);
    set_variable(f, "AWS_PROFILE=half");
    expect_chain_error(f, RC_CONFIG, "only one of aws_access_key_id");
    set_variable(f, "AWS_PROFILE=nobody");
    expect_chain_error(f, RC_CONFIG, "profile nobody");
    set_variable(f, "AWS_PROFILE=");
    set_variable(f, "AWS_SHARED_CREDENTIALS_FILE=%s/nowhere", f->dir);
    expect_chain_error(f, RC_CONFIG, "AWS_SHARED_CREDENTIALS_FILE");
    set_variable(f, "AWS_SHARED_CREDENTIALS_FILE=~/.aws/credentials");
    renew_chain(f);
    expect_id(f, "AKIDFILE");
    write_home(f, ".aws/config", "[default]\nHUSH\n");
    expect_chain_error(f, RC_CONFIG, "/.aws/config:2");
}

static void readable_secrets_are_warned_of(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *path = str_printf("%s/.aws/credentials", f->dir);

    write_home(f, ".aws/credentials",
               "[default]\naws_access_key_id=AKIDFILE\naws_secret_access_key=HUSH-f\n");
    assert_int_equal(chmod(path, 0604), 0);
    renew_chain(f);
    expect_id(f, "AKIDFILE");
    assert_non_null(strstr(logged.text, "chmod 600"));
    assert_non_null(strstr(logged.text, path));
}

/* Something outside writes new keys into the file before the old ones end. */
static void profile_keys_with_an_end_are_read_again(void **state)
{
    struct fixture *f = *state;

    write_home(f, ".aws/credentials",
               "[default]\naws_access_key_id=ASIAOLD\naws_secret_access_key=HUSH-f\n"
               "aws_session_token=HUSH-t\n");
    renew_chain(f);
    expect_id(f, "ASIAOLD");
    assert_true(aws_credentials_expired(f->c, 1));
    expect_error(f, RC_STORAGE, "the same ones were given again");
    write_home(f, ".aws/credentials",
               "[default]\naws_access_key_id=ASIANEW\naws_secret_access_key=HUSH-g\n"
               "aws_session_token=HUSH-u\n");
    expect_id(f, "ASIANEW");
}

static void profile_takes_a_role_by_web_identity(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *config =
        str_printf("[profile p]\nrole_arn=" ROLE "\nweb_identity_token_file=%s/jwt\n"
                   "role_session_name=nightly\nduration_seconds=900\n",
                   f->dir);
    CLEANUP_FREE char *expected = str_printf(
        "profile p in %s/.aws/config, role " ROLE ", until 2026-11-21 13:00:00 UTC", f->dir);

    write_home(f, ".aws/config", config);
    play_web_identity(f, XML("ASIAWEB", "2026-11-21T13:00:00Z"));
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=");
    set_variable(f, "AWS_PROFILE=p");
    renew_chain(f);
    expect_keys(f, "ASIAWEB", "HUSH-ASIAWEB", "HUSH-token-ASIAWEB", expected);
    const struct fake_request *q = http_fake_last(f->fake, "POST", "/");
    assert_non_null(strstr(q->body, "RoleSessionName=nightly"));
    assert_non_null(strstr(q->body, "DurationSeconds=900"));
}

static void profile_takes_a_role_with_the_keys_of_another(void **state)
{
    struct fixture *f = *state;
    char text[512];

    write_home(f, ".aws/config",
               "[profile p]\nrole_arn=" ROLE "\nsource_profile=base\nexternal_id=42\n"
               "[profile base]\nrole_arn=arn:unused\nsource_profile=p\n"
               "aws_access_key_id=AKIDBASE\naws_secret_access_key=HUSH-b\n"
               "aws_session_token=HUSH-base-token\n");
    set_variable(f, "AWS_PROFILE=p");
    set_variable(f, "AWS_REGION=eu-central-1");
    set_variable(f, "AWS_ENDPOINT_URL_STS=%s/sts", http_fake_url(f->fake));
    answer(f, "POST", "/sts/", 200, XML("ASIAROLE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAROLE");
    const struct fake_request *q = http_fake_last(f->fake, "POST", "/sts/");
    assert_string_equal(q->body, "Action=AssumeRole&ExternalId=42&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                                 "123456789012%3Arole%2Fdb-backup&RoleSessionName=pgproof&"
                                 "Version=2011-06-15");
    fake_header(q, "Authorization", text, sizeof(text));
    assert_true(str_starts(text, "AWS4-HMAC-SHA256 Credential=AKIDBASE/"));
    assert_non_null(strstr(text, "/eu-central-1/sts/aws4_request"));
    assert_non_null(strstr(text, "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                                 "x-amz-security-token"));
    assert_string_equal(fake_header(q, "x-amz-security-token", text, sizeof(text)),
                        "HUSH-base-token");
    assert_true(str_ends(http_fake_url(f->fake), fake_header(q, "Host", text, sizeof(text))));
    answer(
        f, "POST", "/sts/", 403,
        "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The Canonical String "
        "should have been x-amz-security-token:HUSH-base-token</Message></Error></ErrorResponse>");
    expect_chain_error(f, RC_STORAGE, "HTTP status 403");
}

static void roles_in_a_circle_are_refused(void **state)
{
    struct fixture *f = *state;

    set_variable(f, "AWS_PROFILE=a");
    write_home(f, ".aws/config",
               "[profile a]\nrole_arn=x\nsource_profile=b\n[profile b]\nrole_arn=x\n"
               "source_profile=a\n");
    expect_chain_error(f, RC_CONFIG, "circle");
    write_home(f, ".aws/config", "[profile a]\nrole_arn=x\nsource_profile=a\n");
    expect_chain_error(f, RC_CONFIG, "circle");
    write_home(f, ".aws/config", "[profile a]\nrole_arn=x\nsource_profile=b\n[profile b]\n");
    expect_chain_error(f, RC_CONFIG, "profile b has no credentials");
    write_home(f, ".aws/config", "[profile a]\nrole_arn=x\n");
    expect_chain_error(f, RC_CONFIG, "source_profile");
    write_home(f, ".aws/config",
               "[profile a]\nrole_arn=x\ncredential_source=Environment\nmfa_serial=y\n");
    expect_chain_error(f, RC_CONFIG, "mfa_serial");
    write_home(f, ".aws/config", "[profile a]\nsso_session=x\n");
    expect_chain_error(f, RC_CONFIG, "browser");
}

/* Its own keys are the source. */
static void a_profile_may_be_its_own_source(void **state)
{
    struct fixture *f = *state;
    char text[512];

    write_home(f, ".aws/credentials",
               "[default]\nrole_arn=" ROLE "\nsource_profile=default\n"
               "aws_access_key_id=AKIDSELF\naws_secret_access_key=HUSH-s\n");
    set_variable(f, "AWS_ENDPOINT_URL_STS=%s", http_fake_url(f->fake));
    answer(f, "POST", "/", 200, XML("ASIAROLE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAROLE");
    fake_header(http_fake_last(f->fake, "POST", "/"), "Authorization", text, sizeof(text));
    assert_non_null(strstr(text, "Credential=AKIDSELF/"));
}

static void profile_takes_a_role_with_the_keys_of_a_service(void **state)
{
    struct fixture *f = *state;
    char text[512];

    write_home(f, ".aws/config", "[default]\nrole_arn=" ROLE "\ncredential_source=EcsContainer\n");
    play_container(f, JSON("ASIATASK", "2026-11-21T13:00:00Z"));
    set_variable(f, "AWS_ENDPOINT_URL_STS=%s", http_fake_url(f->fake));
    answer(f, "POST", "/", 200, XML("ASIAROLE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAROLE");
    fake_header(http_fake_last(f->fake, "POST", "/"), "Authorization", text, sizeof(text));
    assert_non_null(strstr(text, "Credential=ASIATASK/"));
}

/* Instance metadata that does not answer may be back soon; it was named, so it should be there. */
static void a_source_that_is_out_of_reach_may_come_back(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T13:00:00Z"));
    http_fake_set(f->fake, (struct fake_answer){.method = "PUT", .path = TOKEN_PATH, .drop = true});
    write_home(f, ".aws/config",
               "[default]\nrole_arn=" ROLE "\ncredential_source=Ec2InstanceMetadata\n");
    expect_chain_error(f, RC_STORAGE, "could not ask the instance metadata service");
    assert_true(f->err.transient);
    write_home(f, ".aws/config", "[default]\nrole_arn=" ROLE "\ncredential_source=Environment\n");
    expect_chain_error(f, RC_CONFIG, "AWS_ACCESS_KEY_ID is not set");
    assert_false(f->err.transient);
}

static void profile_runs_a_process(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *expected =
        str_printf("profile default in %s/.aws/config, credential_process, until 2026-11-21 "
                   "13:00:00 UTC",
                   f->dir);

    write_home(f, "keys",
               "{\"Version\":1,\"AccessKeyId\":\"ASIAPROC\",\"SecretAccessKey\":\"HUSH-p\","
               "\"SessionToken\":\"HUSH-t\",\"Expiration\":\"2026-11-21T13:00:00+00:00\"}");
    write_home(f, ".aws/config", "[default]\ncredential_process = cat \"$HOME/keys\"\n");
    renew_chain(f);
    expect_keys(f, "ASIAPROC", "HUSH-p", "HUSH-t", expected);
    write_home(f, "keys", "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HUSH-p\"}");
    expect_chain_error(f, RC_STORAGE, "\"Version\" is not 1");
    write_home(f, "keys", "HUSH no JSON");
    expect_chain_error(f, RC_STORAGE, "no JSON object");
    write_home(f, ".aws/config",
               "[default]\ncredential_process = echo HUSH; echo HUSH >&2; exit 7\n");
    expect_chain_error(f, RC_STORAGE, "status 7");
}

static void container_gives_keys(void **state)
{
    struct fixture *f = *state;
    char token[64];
    CLEANUP_FREE char *expected = str_printf(
        "container credentials from %s, until 2026-11-21 13:00:00 UTC", http_fake_url(f->fake));

    play_container(f, JSON("ASIATASK", "2026-11-21T13:00:00Z"));
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN=Basic HUSH");
    renew_chain(f);
    expect_keys(f, "ASIATASK", "HUSH-ASIATASK", "HUSH-token-ASIATASK", expected);
    const struct fake_request *q = http_fake_last(f->fake, "GET", "/v1");
    assert_string_equal(q->path, "/v1/credentials?id=HUSH-id");
    assert_string_equal(fake_header(q, "Authorization", token, sizeof(token)), "Basic HUSH");

    write_home(f, "pod-token", "HUSH-1\n");
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=%s/pod-token", f->dir);
    renew_chain(f);
    expect_id(f, "ASIATASK");
    q = http_fake_last(f->fake, "GET", "/v1");
    assert_string_equal(fake_header(q, "Authorization", token, sizeof(token)), "HUSH-1");
    write_home(f, "pod-token", "HUSH-2");
    the_time = NOON + 56 * MINUTE;
    expect_id(f, "ASIATASK");
    q = http_fake_last(f->fake, "GET", "/v1");
    assert_string_equal(fake_header(q, "Authorization", token, sizeof(token)), "HUSH-2");
}

static void container_failures_are_said(void **state)
{
    struct fixture *f = *state;

    play_container(f, "");
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN=HUSH-x");
    answer(f, "GET", "/v1", 401, "who is HUSH-x?");
    expect_chain_error(f, RC_STORAGE, "HTTP status 401");
    answer(f, "GET", "/v1", 404, "no association with this pod");
    expect_chain_error(f, RC_STORAGE, "404: no association with this pod");
    assert_non_null(strstr(f->err.on, http_fake_url(f->fake)));
    assert_false(f->err.transient);
    answer(f, "GET", "/v1", 500, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 500");
    assert_true(f->err.transient);
    answer(f, "GET", "/v1", 302, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 302");
    http_fake_set(f->fake, (struct fake_answer){.method = "GET", .path = "/v1", .drop = true});
    expect_chain_error(f, RC_STORAGE, "could not ask the container's credential service");
    assert_true(f->err.transient);
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/nowhere/token");
    expect_chain_error(f, RC_CONFIG, "/nowhere/token");
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=");
    set_variable(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN=HUSH\r\nX: y");
    expect_chain_error(f, RC_CONFIG, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
}

static void json_answers_are_checked(void **state)
{
    static const char *const bad[] = {
        "",
        "HUSH",
        "[]",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HUSH\"",
        "{\"AccessKeyId\":\"A\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":7}",
        "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"HUSH\"}",
        "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"HUSH\"}",
        "{\"AccessKeyId\":\"A\\u0000\",\"SecretAccessKey\":\"HUSH\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HUSH\",\"Token\":\"HUSH \"}",
        "{\"AccessKeyId\":\"A\",\"AccessKeyId\":\"B\",\"SecretAccessKey\":\"HUSH\"}",
        JSON("A", "HUSH"),
        "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}",
        "{\"Code\":\"HUSH in a code\"}",
    };
    struct fixture *f = *state;

    play_container(f, "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        answer(f, "GET", "/v1", 200, bad[i]);
        expect_chain_error(f, RC_STORAGE, "container's credential service");
    }
    answer(f, "GET", "/v1", 200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HUSH\"}");
    renew_chain(f);
    expect_id(f, "A");
}

/* In the clear only from this machine and the addresses of ECS and EKS. */
static void container_addresses_are_checked(void **state)
{
    static const char *const good[] = {
        "https://credentials.example/x", "http://127.0.0.1/x",     "http://127.9.9.9:80/x",
        "http://localhost:51679/x",      "http://[::1]:8080/x",    "http://169.254.170.2/x",
        "http://169.254.170.23/v1/x",    "http://[fd00:ec2::23]/", "http://localhost",
    };
    static const char *const bad[] = {
        "http://credentials.example/x",
        "http://169.254.170.3/x",
        "http://169.254.169.254/x",
        "http://127.0.0.1.example/x",
        "http://127.0.0.1@evil.example/x",
        "http://evil.example#@127.0.0.1/x",
        "http://127.0.0.1\\@evil.example/x",
        "http://[::1].evil.example/x",
        "http://[::1]evil.example/x",
        "http://[::1/x",
        "http://localhost:80\\.evil.example/x",
        "http://127.1/x",
        "http://2130706433/x",
        "https://HUSH:HUSH@host/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "127.0.0.1",
        "http://",
        "http://127.0.0.1/ x",
    };
    struct fixture *f = *state;
    struct aws_chain chain = {.environment = f->environment};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        CLEANUP_FREE char *url = NULL;
        set_variable(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s", good[i]);
        if (aws_container_url(&chain, &url, &f->err) != RC_OK || !str_eq(url, good[i]))
            fail_msg("%s: %s", good[i], f->err.what);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CLEANUP_FREE char *url = NULL;
        set_variable(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s", bad[i]);
        if (aws_container_url(&chain, &url, &f->err) != RC_CONFIG)
            fail_msg("%s is let through", bad[i]);
    }
}

static void container_path_is_below_the_ecs_address(void **state)
{
    struct fixture *f = *state;
    struct aws_chain chain = {.environment = f->environment};
    CLEANUP_FREE char *none = NULL, *url = NULL;

    assert_int_equal(aws_container_url(&chain, &none, &f->err), RC_OK);
    assert_null(none);
    set_variable(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1/");
    set_variable(f, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/x");
    assert_int_equal(aws_container_url(&chain, &url, &f->err), RC_OK);
    assert_string_equal(url, "http://169.254.170.2/v2/credentials/x");
    set_variable(f, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=.evil.example/");
    assert_int_equal(aws_container_url(&chain, &none, &f->err), RC_CONFIG);
}

static void instance_gives_keys_by_version_2(void **state)
{
    struct fixture *f = *state;
    char text[64];

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    renew_chain(f);
    expect_keys(f, "ASIAINST", "HUSH-ASIAINST", "HUSH-token-ASIAINST",
                "instance metadata, role db+backup, until 2026-11-21 18:00:00 UTC");
    const struct fake_request *q = http_fake_last(f->fake, "PUT", TOKEN_PATH);
    assert_string_equal(fake_header(q, "X-aws-ec2-metadata-token-ttl-seconds", text, sizeof(text)),
                        "300");
    q = http_fake_last(f->fake, "GET", ROLES_PATH "db%2Bbackup");
    assert_string_equal(fake_header(q, "X-aws-ec2-metadata-token", text, sizeof(text)),
                        "HUSH-imds==");
    q = http_fake_last(f->fake, "GET", ROLES_PATH);
    assert_string_equal(fake_header(q, "X-aws-ec2-metadata-token", text, sizeof(text)),
                        "HUSH-imds==");
}

static void instance_of_version_1_is_not_asked_for_keys(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    answer(f, "PUT", TOKEN_PATH, 405, "");
    expect_chain_error(f, RC_CONFIG, "offers no token of version 2 (HTTP status 405)");
    answer(f, "PUT", TOKEN_PATH, 200, "");
    expect_chain_error(f, RC_CONFIG, "offers no token of version 2");
    answer(f, "PUT", TOKEN_PATH, 200, "<html> HUSH");
    expect_chain_error(f, RC_CONFIG, "offers no token of version 2");
    assert_int_equal(http_fake_count(f->fake, "GET", "/"), 0);
}

static void instance_failures_are_said(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    answer(f, "GET", ROLES_PATH "db%2Bbackup", 200,
           "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"HUSH\"}");
    expect_chain_error(f, RC_STORAGE, "AssumeRoleUnauthorizedAccess");
    answer(f, "GET", ROLES_PATH, 404, "");
    expect_chain_error(f, RC_CONFIG, "this instance has no role");
    answer(f, "GET", ROLES_PATH, 500, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 500");
    assert_true(f->err.transient);
    answer(f, "PUT", TOKEN_PATH, 503, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 503");
    http_fake_set(f->fake, (struct fake_answer){.method = "PUT", .path = TOKEN_PATH, .drop = true});
    expect_chain_error(f, RC_CONFIG, "instance metadata: could not ask");
    assert_non_null(strstr(f->err.on, "profile: "));
    set_variable(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1");
    expect_chain_error(f, RC_CONFIG, "instance metadata: could not ask");
    set_variable(f, "AWS_EC2_METADATA_DISABLED=TRUE");
    expect_chain_error(f, RC_CONFIG, "AWS_EC2_METADATA_DISABLED is set");
}

/* A proxy of the environment must not see what is said to the link. */
static void no_proxy_stands_before_nearby_services(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("no_proxy", "none.example", 1), 0);
    renew_chain(f);
    expect_id(f, "ASIAINST");
}

static void services_are_reached_by_ipv6(void **state)
{
    struct fixture *f = *state;

    http_fake_stop(f->fake);
    f->fake = http_fake_start("::1");
    play_container(f, JSON("ASIASIX", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIASIX");
}

/* --- the chain ------------------------------------------------------------------------------ */

/* All links would give keys; one after another is taken away. */
static void the_first_link_decides(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    play_container(f, JSON("ASIATASK", "2026-11-21T18:00:00Z"));
    write_home(f, ".aws/credentials",
               "[default]\naws_access_key_id=AKIDFILE\naws_secret_access_key=HUSH-f\n");
    play_web_identity(f, XML("ASIAWEB", "2026-11-21T18:00:00Z"));
    set_variable(f, "AWS_ACCESS_KEY_ID=AKIDENV");
    set_variable(f, "AWS_SECRET_ACCESS_KEY=HUSH-e");
    f->options.access_key_id = "AKIDCONF";
    f->options.secret_access_key = "HUSH-c";
    renew_chain(f);
    expect_id(f, "AKIDCONF");
    f->options.access_key_id = f->options.secret_access_key = NULL;
    renew_chain(f);
    expect_id(f, "AKIDENV");
    set_variable(f, "AWS_ACCESS_KEY_ID=");
    set_variable(f, "AWS_SECRET_ACCESS_KEY=");
    renew_chain(f);
    expect_id(f, "ASIAWEB");
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=");
    renew_chain(f);
    expect_id(f, "AKIDFILE");
    write_home(f, ".aws/credentials", "[default]\nregion=eu-north-1\n");
    renew_chain(f);
    expect_id(f, "ASIATASK");
    set_variable(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI=");
    renew_chain(f);
    expect_id(f, "ASIAINST");
}

/* Whoever named a profile means that one. */
static void a_configured_profile_is_the_only_link(void **state)
{
    struct fixture *f = *state;

    set_variable(f, "AWS_ACCESS_KEY_ID=AKIDENV");
    set_variable(f, "AWS_SECRET_ACCESS_KEY=HUSH-e");
    set_variable(f, "AWS_PROFILE=other");
    write_home(f, ".aws/credentials",
               "[mine]\naws_access_key_id=AKIDMINE\naws_secret_access_key=HUSH-f\n[empty]\n");
    f->options.profile = "mine";
    renew_chain(f);
    expect_id(f, "AKIDMINE");
    f->options.profile = "empty";
    expect_chain_error(f, RC_CONFIG, "profile empty has no credentials");
    f->options.profile = "missing";
    expect_chain_error(f, RC_CONFIG, "profile missing");
}

static void a_failing_link_is_not_stood_in_for(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T18:00:00Z"));
    play_container(f, JSON("ASIATASK", "2026-11-21T18:00:00Z"));
    play_web_identity(f, "");
    answer(f, "POST", "/", 403, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 403");
    set_variable(f, "AWS_WEB_IDENTITY_TOKEN_FILE=");
    answer(f, "GET", "/v1", 404, "");
    expect_chain_error(f, RC_STORAGE, "HTTP status 404");
    assert_int_equal(http_fake_count(f->fake, "PUT", TOKEN_PATH), 0);
}

static void the_links_that_were_asked_are_listed(void **state)
{
    static const char *const parts[] = {"configuration: ", "environment: AWS_ACCESS_KEY_ID is not",
                                        "web identity: ",  "profile: the shared files have no",
                                        "container: ",     "instance metadata: AWS_EC2"};
    struct fixture *f = *state;

    expect_chain_error(f, RC_CONFIG, "there are no credentials for S3");
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!strstr(f->err.on, parts[i]))
            fail_msg("\"%s\" is not in: %s", parts[i], f->err.on);
    assert_non_null(strstr(f->err.now, "AWS_ACCESS_KEY_ID"));
}

static void region_comes_from_options_environment_profile(void **state)
{
    struct fixture *f = *state;

    renew_chain(f);
    assert_null(aws_credentials_region(f->c));
    write_home(f, ".aws/config", "[default]\nregion=from-file\n[profile p]\nregion=from-p\n");
    renew_chain(f);
    assert_string_equal(aws_credentials_region(f->c), "from-file");
    set_variable(f, "AWS_PROFILE=p");
    renew_chain(f);
    assert_string_equal(aws_credentials_region(f->c), "from-p");
    set_variable(f, "AWS_DEFAULT_REGION=from-default");
    renew_chain(f);
    assert_string_equal(aws_credentials_region(f->c), "from-default");
    set_variable(f, "AWS_REGION=from-environment");
    renew_chain(f);
    assert_string_equal(aws_credentials_region(f->c), "from-environment");
    f->options.region = "from-options";
    renew_chain(f);
    assert_string_equal(aws_credentials_region(f->c), "from-options");
}

/* --- time ----------------------------------------------------------------------------------- */

static size_t fetches(struct fixture *f)
{
    return http_fake_count(f->fake, "GET", "/v1");
}

static void keys_are_renewed_before_they_end(void **state)
{
    struct fixture *f = *state;
    CLEANUP_AWS_KEYS struct aws_keys old = {0}, new = {0};

    play_container(f, JSON("ASIAONE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    assert_int_equal(get(f, &old), RC_OK);
    the_time = NOON + 55 * MINUTE - 1;
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 1);
    answer(f, "GET", "/v1", 200, JSON("ASIATWO", "2026-11-21T14:00:00Z"));
    the_time = NOON + 55 * MINUTE;
    assert_int_equal(get(f, &new), RC_OK);
    assert_string_equal(new.access_key_id, "ASIATWO");
    assert_int_not_equal(new.generation, old.generation);
    expect_id(f, "ASIATWO");
    assert_int_equal(fetches(f), 2);
}

/* Those that last less than ten minutes: after half of it, not with every call. */
static void short_lived_keys_are_renewed_half_way(void **state)
{
    struct fixture *f = *state;

    play_container(f, JSON("ASIAONE", "2026-11-21T12:04:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAONE");
    the_time = NOON + 2 * MINUTE - 1;
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 1);
    the_time = NOON + 2 * MINUTE;
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 2);
    /* Ended already, says our clock: the server shall judge, and the service isn't flooded. */
    the_time = NOON + 10 * MINUTE;
    expect_id(f, "ASIAONE");
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 3);
}

static void old_keys_do_while_they_last(void **state)
{
    struct fixture *f = *state;

    play_container(f, JSON("ASIAONE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAONE");
    answer(f, "GET", "/v1", 500, "out of order");
    unsigned lines = logged.lines;
    the_time = NOON + 55 * MINUTE;
    expect_id(f, "ASIAONE");
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 2); /* not with every call */
    the_time += MINUTE;
    expect_id(f, "ASIAONE");
    assert_int_equal(fetches(f), 3);
    assert_int_equal(logged.lines, lines + 1); /* said once */
    assert_non_null(strstr(logged.text, "out of order"));
    the_time = NOON + 60 * MINUTE;
    expect_error(f, RC_STORAGE, "HTTP status 500");
    assert_true(f->err.transient);
    answer(f, "GET", "/v1", 200, JSON("ASIATWO", "2026-11-21T14:00:00Z"));
    expect_id(f, "ASIATWO");
}

static void keys_that_the_server_calls_expired_are_renewed(void **state)
{
    struct fixture *f = *state;
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};

    play_container(f, JSON("ASIAONE", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    assert_int_equal(get(f, &keys), RC_OK);
    unsigned first = keys.generation;
    assert_true(aws_credentials_expired(f->c, first));
    expect_error(f, RC_STORAGE, "the same ones were given again");
    answer(f, "GET", "/v1", 200, JSON("ASIATWO", "2026-11-21T14:00:00Z"));
    expect_id(f, "ASIATWO");
    size_t before = fetches(f);
    /* Another worker hears of the first set late: the second is already there. */
    assert_true(aws_credentials_expired(f->c, first));
    expect_id(f, "ASIATWO");
    assert_int_equal(fetches(f), before);
    /* The old ones do not go on once the server refuses them. */
    assert_int_equal(get(f, &keys), RC_OK);
    assert_true(aws_credentials_expired(f->c, keys.generation));
    answer(f, "GET", "/v1", 503, "");
    expect_error(f, RC_STORAGE, "HTTP status 503");
}

static void a_link_that_falls_silent_is_an_error(void **state)
{
    struct fixture *f = *state;

    play_instance(f, JSON("ASIAINST", "2026-11-21T13:00:00Z"));
    renew_chain(f);
    expect_id(f, "ASIAINST");
    answer(f, "GET", ROLES_PATH, 404, "");
    the_time = NOON + 61 * MINUTE;
    expect_error(f, RC_STORAGE, "has none now: this instance has no role");
    assert_true(f->err.transient);
}

#define THREADS 8

struct worker {
    struct aws_credentials *c; /* a reference of its own */
    enum rc rc;
    char id[32];
};

static void *get_in_thread(void *ctx)
{
    CLEANUP_AWS_KEYS struct aws_keys keys = {0};
    struct worker *w = ctx;
    struct error err;

    w->rc = aws_credentials_get(w->c, &keys, &err);
    str_copy(w->id, sizeof(w->id), w->rc == RC_OK ? keys.access_key_id : err.what);
    aws_credentials_unref(w->c);
    return NULL;
}

static void get_in_threads(struct fixture *f, enum rc rc, const char *id)
{
    pthread_t threads[THREADS];
    struct worker workers[THREADS];

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.c = aws_credentials_ref(f->c)};
        assert_int_equal(pthread_create(&threads[i], NULL, get_in_thread, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].rc, rc);
        assert_true(str_starts(workers[i].id, id));
    }
}

static void many_threads_fetch_once(void **state)
{
    struct fixture *f = *state;

    play_container(f, "");
    http_fake_set(f->fake, (struct fake_answer){.method = "GET",
                                                .path = "/v1",
                                                .delay_ms = 100,
                                                .body = JSON("ASIAMANY", "2026-11-21T13:00:00Z")});
    renew_chain(f);
    get_in_threads(f, RC_OK, "ASIAMANY");
    assert_int_equal(fetches(f), 1);
    the_time = NOON + 56 * MINUTE;
    get_in_threads(f, RC_OK, "ASIAMANY");
    assert_int_equal(fetches(f), 2);
}

static void many_threads_share_a_failure(void **state)
{
    struct fixture *f = *state;

    play_container(f, "");
    http_fake_set(f->fake, (struct fake_answer){
                               .method = "GET", .path = "/v1", .delay_ms = 100, .status = 500});
    renew_chain(f);
    get_in_threads(f, RC_STORAGE, "the container's credential");
    assert_int_equal(fetches(f), 1);
    the_time += SECOND;
    get_in_threads(f, RC_STORAGE, "the container's credential");
    assert_int_equal(fetches(f), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(configuration_gives_its_keys),
        T(environment_gives_its_keys),
        T(web_identity_is_exchanged),
        T(web_identity_token_is_read_again),
        T(web_identity_failures_name_the_remedy),
        T(token_service_answers_are_checked),
        T(region_decides_where_the_token_service_is),
        T(profile_gives_keys),
        T(readable_secrets_are_warned_of),
        T(profile_keys_with_an_end_are_read_again),
        T(profile_takes_a_role_by_web_identity),
        T(profile_takes_a_role_with_the_keys_of_another),
        T(roles_in_a_circle_are_refused),
        T(a_profile_may_be_its_own_source),
        T(profile_takes_a_role_with_the_keys_of_a_service),
        T(a_source_that_is_out_of_reach_may_come_back),
        T(profile_runs_a_process),
        T(container_gives_keys),
        T(container_failures_are_said),
        T(json_answers_are_checked),
        T(container_addresses_are_checked),
        T(container_path_is_below_the_ecs_address),
        T(instance_gives_keys_by_version_2),
        T(instance_of_version_1_is_not_asked_for_keys),
        T(instance_failures_are_said),
        T(no_proxy_stands_before_nearby_services),
        T(services_are_reached_by_ipv6),
        T(the_first_link_decides),
        T(a_configured_profile_is_the_only_link),
        T(a_failing_link_is_not_stood_in_for),
        T(the_links_that_were_asked_are_listed),
        T(region_comes_from_options_environment_profile),
        T(keys_are_renewed_before_they_end),
        T(short_lived_keys_are_renewed_half_way),
        T(old_keys_do_while_they_last),
        T(keys_that_the_server_calls_expired_are_renewed),
        T(a_link_that_falls_silent_is_an_error),
        T(many_threads_fetch_once),
        T(many_threads_share_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
