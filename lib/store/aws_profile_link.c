/*
 * The profile link of the credential chain. Within a profile a role comes before keys, and keys
 * before a credential_process; a profile that another one names as its source gives its keys first
 * (AWS SDKs and Tools Reference Guide, "Assume role credential provider").
 */
#include "store/aws_credentials_int.h"

#include "base/file.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "store/aws_profile.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCES_MAX      8 /* profiles in a row, each taking the role of the one before */
#define PROCESS_SECONDS  "60"
#define OUTPUT_MAX_BYTES (64u << 10)

struct walk {
    const struct aws_chain *chain;
    struct aws_profiles *profiles;
    unsigned depth; /* how many source profiles led here */
};

/* The home directory as the user has it, or NULL. */
static char *home(const struct aws_chain *c)
{
    const char *named = aws_chain_env(c, "HOME");
    struct passwd entry, *found = NULL;
    char text[4096];

    if (named)
        return str_dup(named);
    if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) != 0 || !found)
        return NULL;
    return str_dup(found->pw_dir);
}

/* Where a file is: named by a variable, else at its usual place below the home directory. */
static char *path_of(const struct aws_chain *c, const char *variable, const char *usual)
{
    const char *named = aws_chain_env(c, variable);
    CLEANUP_FREE char *dir = home(c);

    if (named && !str_starts(named, "~/"))
        return str_dup(named);
    return dir ? path_join(dir, named ? named + 2 : usual) : NULL;
}

static enum rc read_one(const struct aws_chain *c, enum aws_profile_file kind, const char *variable,
                        const char *usual, struct aws_profiles *to, struct error *err)
{
    CLEANUP_FREE char *path = path_of(c, variable, usual);

    if (!path)
        return RC_OK;
    enum rc rc = aws_profiles_read(to, kind, path, err);
    if (rc == RC_NOT_FOUND && !aws_chain_env(c, variable))
        return RC_OK;
    if (rc == RC_OK || rc == RC_CONFIG)
        return rc;
    if (rc == RC_NOT_FOUND)
        error_reclass(err, RC_CONFIG);
    error_prefix(err, "could not read the profiles");
    return error_now(err, "correct or unset %s; without it, HOME says where the file is", variable);
}

static enum rc read_profiles(const struct aws_chain *c, struct aws_profiles **ret,
                             struct error *err)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = aws_profiles_new();

    TRY(read_one(c, AWS_FILE_CREDENTIALS, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", p,
                 err));
    TRY(read_one(c, AWS_FILE_CONFIG, "AWS_CONFIG_FILE", ".aws/config", p, err));
    *ret = p;
    p = NULL;
    return RC_OK;
}

/* The profile that somebody asked for, or NULL. */
static const char *named_profile(const struct aws_chain *c)
{
    return c->profile ? c->profile : aws_chain_env(c, "AWS_PROFILE");
}

static const char *profile_name(const struct aws_chain *c)
{
    return named_profile(c) ? named_profile(c) : "default";
}

char *aws_chain_region(const struct aws_chain *c)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = NULL;
    const struct aws_setting *s = NULL;
    const char *named = c->region ? c->region : aws_chain_env(c, "AWS_REGION");
    struct error ignored; /* who needs the profile hears of it from its link */

    if (!named)
        named = aws_chain_env(c, "AWS_DEFAULT_REGION");
    if (!named && read_profiles(c, &p, &ignored) == RC_OK)
        s = aws_profiles_find(p, profile_name(c), "region");
    if (s)
        named = s->value;
    return named ? str_dup(named) : NULL;
}

static const struct aws_setting *find(const struct walk *w, const char *name, const char *key)
{
    return aws_profiles_find(w->profiles, name, key);
}

static const char *value_of(const struct aws_setting *s)
{
    return s ? s->value : NULL;
}

static enum rc on_profile(const char *name, struct error *err)
{
    return error_on(err, "profile %s", name);
}

/* The AWS tools don't mind, and the file is theirs: so it is said, not refused. */
static void warn_of_readers(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & 07))
        log_warning("%s holds a secret, but its mode %04o lets everybody read it (chmod 600 %s)",
                    path, (unsigned)st.st_mode & 07777, path);
}

/* Keys that stand in one file together; those of the other file belong to another pair. */
static enum rc from_keys(struct walk *w, const char *name, struct aws_found *ret, struct error *err)
{
    const struct aws_setting *id = find(w, name, "aws_access_key_id");
    const struct aws_setting *secret = find(w, name, "aws_secret_access_key");
    const struct aws_setting *token = find(w, name, "aws_session_token");

    if (!id || !secret || id->path != secret->path) {
        error_set(err, RC_CONFIG,
                  "the profile has only one of aws_access_key_id and "
                  "aws_secret_access_key in one file");
        return error_now(err, "put both into %s", id ? id->path : secret->path);
    }
    warn_of_readers(id->path);
    token = token && token->path == id->path ? token : NULL;
    TRY(aws_found_keys(ret, id->value, secret->value, value_of(token), err));
    ret->renewable = token; /* something outside writes new ones into the file */
    ret->from = str_printf("profile %s in %s", name, id->path);
    return RC_OK;
}

/* The shell is what the AWS tools give the command to; a minute is more than any should take. */
static enum rc from_process(struct walk *w, const char *name, struct aws_found *ret,
                            struct error *err)
{
    const struct aws_setting *command = find(w, name, "credential_process");
    const char *const argv[] = {"timeout", PROCESS_SECONDS, "/bin/sh", "-c", command->value, NULL};
    struct proc_options o = {
        .argv = argv,
        .env = (const char *const *)w->chain->environment,
        .die_with_parent = true,
    };
    CLEANUP_SECRET_BUF struct buf out = BUF_INIT(OUTPUT_MAX_BYTES);
    int status = 0;

    TRY(buf_reserve(&out, out.max, err));
    TRY(proc_run(&o, &out, NULL, &status, err));
    if (status != 0) {
        error_set(err, RC_STORAGE, "credential_process ended with status %d%s", status,
                  status == 124 ? ": it took more than " PROCESS_SECONDS " seconds" : "");
        err->transient = true;
        return error_now(err,
                         "run the command that %s has there, as this user, and see what it "
                         "says",
                         command->path);
    }
    if (aws_found_parse(ret, AWS_JSON_PROCESS, out.data, out.len, err) != RC_OK)
        return error_prefix(err, "credential_process");
    ret->from = str_printf("profile %s in %s, credential_process", name, command->path);
    return RC_OK;
}

static enum rc from_profile(struct walk *w, const char *name, struct aws_found *ret,
                            struct error *err);

/* The keys with which a role is taken. */
static enum rc from_source(struct walk *w, const char *name, struct aws_found *ret,
                           struct error *err)
{
    const char *profile = value_of(find(w, name, "source_profile"));
    const char *service = value_of(find(w, name, "credential_source"));

    if (profile)
        TRY(from_profile(w, profile, ret, err));
    else if (str_eq(service, "Environment"))
        TRY(aws_link_environment(w->chain, ret, err));
    else if (str_eq(service, "EcsContainer"))
        TRY(aws_link_container(w->chain, ret, err));
    else if (str_eq(service, "Ec2InstanceMetadata"))
        TRY(aws_link_instance(w->chain, ret, err));
    else
        return error_set(err, RC_CONFIG,
                         "the profile has a role_arn, but none of source_profile, "
                         "credential_source and web_identity_token_file that is known");
    if (ret->keys.access_key_id)
        return RC_OK;
    bool instance = str_eq(service, "Ec2InstanceMetadata"); /* is silent when it is out of reach */
    error_set(err, instance ? RC_STORAGE : RC_CONFIG,
              "the source of the role's credentials has none: %s", ret->from);
    err->transient = instance;
    return err->rc;
}

static enum rc from_role(struct walk *w, const char *name, struct aws_found *ret, struct error *err)
{
    const struct aws_setting *arn = find(w, name, "role_arn");
    const char *token_path = value_of(find(w, name, "web_identity_token_file"));
    struct aws_role role = {
        .arn = arn->value,
        .session_name = value_of(find(w, name, "role_session_name")),
        .external_id = value_of(find(w, name, "external_id")),
        .duration_seconds = value_of(find(w, name, "duration_seconds")),
    };
    CLEANUP_AWS_FOUND struct aws_found by = AWS_FOUND_INIT;

    if (find(w, name, "mfa_serial"))
        return error_set(err, RC_CONFIG,
                         "the role wants a code from a device (mfa_serial), which "
                         "nobody is there to type");
    if (!token_path)
        TRY(from_source(w, name, &by, err));
    TRY(token_path ? aws_sts_web_identity(w->chain, &role, token_path, ret, err)
                   : aws_sts_assume_role(w->chain, &role, &by.keys, ret, err));
    ret->from = str_printf("profile %s in %s, role %s", name, arn->path, role.arn);
    return RC_OK;
}

static enum rc no_sso(struct error *err)
{
    error_set(err, RC_CONFIG, "the profile signs in through a browser (sso), which pgproof can't");
    return error_now(err, "give it a role_arn, keys or a credential_process");
}

static enum rc from_settings(struct walk *w, const char *name, bool as_source,
                             struct aws_found *ret, struct error *err)
{
    bool keys = find(w, name, "aws_access_key_id") || find(w, name, "aws_secret_access_key");

    if (find(w, name, "role_arn") && !(as_source && keys))
        return from_role(w, name, ret, err);
    if (keys)
        return from_keys(w, name, ret, err);
    if (find(w, name, "credential_process"))
        return from_process(w, name, ret, err);
    if (find(w, name, "sso_session") || find(w, name, "sso_start_url"))
        return no_sso(err);
    return aws_found_nothing(ret, "profile %s has no credentials", name);
}

static enum rc from_profile(struct walk *w, const char *name, struct aws_found *ret,
                            struct error *err)
{
    if (!aws_profiles_has(w->profiles, name)) {
        error_set(err, RC_CONFIG, "there is no such profile in the shared files");
        error_now(err,
                  "in the config file its section is [profile %s], in the credentials file "
                  "[%s]",
                  name, name);
        return on_profile(name, err);
    }
    if (w->depth++ == SOURCES_MAX) {
        error_set(err, RC_CONFIG, "the source profiles go round in a circle, or are more than %d",
                  SOURCES_MAX);
        return on_profile(name, err);
    }
    if (from_settings(w, name, w->depth > 1, ret, err) == RC_OK)
        return RC_OK;
    return on_profile(name, err);
}

enum rc aws_link_profile(const struct aws_chain *c, struct aws_found *ret, struct error *err)
{
    CLEANUP_AWS_PROFILES struct aws_profiles *p = NULL;
    const char *name = profile_name(c);

    TRY(read_profiles(c, &p, err));
    struct walk w = {.chain = c, .profiles = p};
    if (!named_profile(c) && !aws_profiles_has(p, name))
        return aws_found_nothing(ret, "the shared files have no profile default");
    return from_profile(&w, name, ret, err);
}
