#include "store/aws_credentials_int.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define SECOND       1000000LL
#define RENEW_BEFORE (300 * SECOND) /* the end */
#define RENEW_AGAIN  (30 * SECOND)  /* after it failed while the old ones last */
#define SHARE_BELOW  (1 * SECOND)   /* a failure's age: for those who waited for that attempt */

extern char **environ;

static const struct {
    const char *name;
    aws_link *ask;
} links[] = {
    {"configuration", aws_link_configuration}, {"environment", aws_link_environment},
    {"web identity", aws_link_web_identity},   {"profile", aws_link_profile},
    {"container", aws_link_container},         {"instance metadata", aws_link_instance},
};
#define LINK_COUNT ((int)(sizeof(links) / sizeof(*links)))

static char *copy(const char *s)
{
    return s ? str_dup(s) : NULL;
}

static char **copy_environment(char *const *from)
{
    size_t count = 0;

    while (from[count])
        count++;
    char **to = mem_array(NULL, count + 1, sizeof(*to));
    for (size_t i = 0; i < count; i++)
        to[i] = str_dup(from[i]);
    to[count] = NULL;
    return to;
}

struct aws_credentials *aws_credentials_new(const struct aws_credentials_options *o)
{
    struct aws_credentials *c = mem_zalloc(sizeof(*c));

    c->references = 1;
    c->chain = (struct aws_chain){
        .access_key_id = copy(o->access_key_id),
        .secret_access_key = copy(o->secret_access_key),
        .session_token = copy(o->session_token),
        .profile = copy(o->profile),
        .region = copy(o->region),
        .ca_file = copy(o->ca_file),
        .environment = copy_environment(o->environment ? o->environment : environ),
    };
    c->now = clock_now;
    pthread_mutex_init(&c->lock, NULL);
    c->link = -1;
    c->found = AWS_FOUND_INIT;
    c->renew_at = c->failed_at = MOMENT_NONE;
    return c;
}

static void chain_done(struct aws_chain *c)
{
    free(c->access_key_id);
    aws_wipe(&c->secret_access_key);
    aws_wipe(&c->session_token);
    free(c->profile);
    free(c->region);
    free(c->ca_file);
    for (char **e = c->environment; *e; e++)
        aws_wipe(e);
    free(c->environment);
}

struct aws_credentials *aws_credentials_ref(struct aws_credentials *c)
{
    __atomic_add_fetch(&c->references, 1, __ATOMIC_RELAXED);
    return c;
}

void aws_credentials_unref(struct aws_credentials *c)
{
    if (!c || __atomic_sub_fetch(&c->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    chain_done(&c->chain);
    aws_found_done(&c->found);
    free(c->region);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* A profile named in the configuration leaves no other link. */
static bool is_asked(const struct aws_chain *c, int link)
{
    bool only_profile = c->profile && !c->access_key_id;

    return !only_profile || links[link].ask == aws_link_profile;
}

static enum rc no_link_has_keys(const struct aws_chain *c, const struct buf *asked,
                                struct error *err)
{
    error_set(err, RC_CONFIG, "there are no credentials for S3");
    error_on(err, "%.*s", (int)asked->len, (const char *)asked->data);
    if (c->profile)
        return error_now(err, "give the profile keys, a role_arn or a credential_process");
    return error_now(err, "set access-key-id and secret-access-key in [repository], or "
                          "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or one "
                          "of the others");
}

/* Through the chain until one gives keys. */
static enum rc ask_all(const struct aws_chain *c, int *ret_link, struct aws_found *ret,
                       struct error *err)
{
    CLEANUP_BUF struct buf asked = BUF_INIT(16384);

    for (int i = 0; i < LINK_COUNT; i++) {
        if (!is_asked(c, i))
            continue;
        TRY(links[i].ask(c, ret, err));
        if (ret->keys.access_key_id) {
            *ret_link = i;
            return RC_OK;
        }
        TRY(buf_printf(&asked, err, "%s%s: %s", asked.len ? "; " : "", links[i].name, ret->from));
        aws_found_done(ret);
    }
    return no_link_has_keys(c, &asked, err);
}

/* Which link gives the keys is decided once. */
static enum rc ask_again(const struct aws_credentials *c, struct aws_found *ret, struct error *err)
{
    TRY(links[c->link].ask(&c->chain, ret, err));
    if (!ret->keys.access_key_id) {
        error_set(err, RC_STORAGE, "it gave credentials before, and has none now: %s", ret->from);
        err->transient = true;
        return error_on(err, "%s", c->found.from);
    }
    if (!c->refused || !str_eq(ret->keys.access_key_id, c->found.keys.access_key_id) ||
        !str_eq(ret->keys.session_token, c->found.keys.session_token))
        return RC_OK;
    error_set(err, RC_STORAGE,
              "the server calls the credentials expired, and the same ones were "
              "given again");
    err->transient = true;
    return error_on(err, "%s", c->found.from);
}

/* Five minutes before the end, or after half of what is left where that is later. What has ended
 * already may be so by our clock only: the server decides, and it is asked again soon. */
static moment_us time_to_renew(moment_us now, moment_us expires)
{
    moment_us left;

    if (expires == MOMENT_NONE)
        return MOMENT_NONE;
    left = expires - now;
    if (left < 2 * RENEW_AGAIN)
        return now + RENEW_AGAIN;
    return now + (left - RENEW_BEFORE > left / 2 ? left - RENEW_BEFORE : left / 2);
}

static void adopt(struct aws_credentials *c, struct aws_found *fresh)
{
    fresh->keys.generation = c->found.keys.generation + 1;
    aws_found_done(&c->found);
    c->found = *fresh;
    *fresh = AWS_FOUND_INIT;
    c->renew_at = time_to_renew(c->now(), c->found.expires);
    c->failed_at = MOMENT_NONE;
    c->refused = c->warned = false;
    log_debug("S3 credentials: %s", c->found.from);
}

/* The old ones will do while they last. */
static bool can_wait(struct aws_credentials *c, enum rc rc, const struct error *e)
{
    moment_us now = c->now();

    if (c->link < 0 || c->refused || rc == RC_CANCELLED || now >= c->found.expires)
        return false;
    c->renew_at = now + RENEW_AGAIN;
    if (!c->warned)
        log_warning("could not renew the S3 credentials, the old ones go on until they end: %s "
                    "(%s)",
                    e->what, e->on);
    c->warned = true;
    return true;
}

static bool is_due(const struct aws_credentials *c)
{
    return c->link < 0 || c->refused || (c->renew_at != MOMENT_NONE && c->now() >= c->renew_at);
}

static bool has_just_failed(const struct aws_credentials *c)
{
    moment_us now = c->now(); /* which may have been set back */

    return c->failed_at != MOMENT_NONE && now >= c->failed_at && now - c->failed_at < SHARE_BELOW;
}

static enum rc fetch(struct aws_credentials *c, struct error *err)
{
    CLEANUP_AWS_FOUND struct aws_found fresh = AWS_FOUND_INIT;
    int link = c->link;

    TRY(link < 0 ? ask_all(&c->chain, &link, &fresh, err) : ask_again(c, &fresh, err));
    c->link = link;
    adopt(c, &fresh);
    return RC_OK;
}

/* With the lock held. */
static enum rc refresh(struct aws_credentials *c, struct error *err)
{
    struct error e = {0};

    if (!is_due(c))
        return RC_OK;
    if (has_just_failed(c)) {
        *err = c->failure;
        return err->rc;
    }
    enum rc rc = fetch(c, &e);
    if (rc == RC_OK || can_wait(c, rc, &e))
        return RC_OK;
    if (rc != RC_CANCELLED) {
        c->failed_at = c->now();
        c->failure = e;
    }
    *err = e;
    return rc;
}

static void copy_keys(const struct aws_keys *from, struct aws_keys *to)
{
    to->access_key_id = str_dup(from->access_key_id);
    to->secret_access_key = str_dup(from->secret_access_key);
    to->session_token = copy(from->session_token);
    to->generation = from->generation;
}

enum rc aws_credentials_get(struct aws_credentials *c, struct aws_keys *ret, struct error *err)
{
    pthread_mutex_lock(&c->lock);
    enum rc rc = refresh(c, err);
    if (rc == RC_OK)
        copy_keys(&c->found.keys, ret);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

bool aws_credentials_expired(struct aws_credentials *c, unsigned generation)
{
    pthread_mutex_lock(&c->lock);
    bool renewable = c->found.renewable;
    if (renewable && generation == c->found.keys.generation)
        c->refused = true;
    pthread_mutex_unlock(&c->lock);
    return renewable;
}

const char *aws_credentials_region(struct aws_credentials *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->region_known)
        c->region = aws_chain_region(&c->chain);
    c->region_known = true;
    const char *region = c->region;
    pthread_mutex_unlock(&c->lock);
    return region;
}

enum rc aws_credentials_describe(struct aws_credentials *c, char **ret, struct error *err)
{
    char until[MOMENT_TEXT_MAX];

    pthread_mutex_lock(&c->lock);
    enum rc rc = refresh(c, err);
    if (rc == RC_OK)
        *ret = c->found.expires == MOMENT_NONE ? str_dup(c->found.from)
                                               : str_printf("%s, until %s", c->found.from,
                                                            moment_text(c->found.expires, until));
    pthread_mutex_unlock(&c->lock);
    return rc;
}
