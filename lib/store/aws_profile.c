#include "store/aws_profile.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/aws_credentials_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1u << 20)

struct aws_profiles {
    struct aws_setting *settings;
    size_t count, capacity;
    char *paths[2]; /* by enum aws_profile_file */
};

/* A piece of the text. */
struct piece {
    const char *p;
    size_t len;
};

struct reading {
    struct aws_profiles *to;
    enum aws_profile_file kind;
    const char *path;
    unsigned line;
    char *profile; /* of the section; NULL: none, or one that is passed over */
    unsigned rank;
    bool in_section;
    bool has_key;  /* the section has one already, */
    size_t indent; /* with so many blanks before it */
};

struct aws_profiles *aws_profiles_new(void)
{
    return mem_zalloc(sizeof(struct aws_profiles));
}

void aws_profiles_free(struct aws_profiles *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++) {
        free(p->settings[i].profile);
        free(p->settings[i].key);
        aws_wipe(&p->settings[i].value);
    }
    free(p->settings);
    free(p->paths[AWS_FILE_CONFIG]);
    free(p->paths[AWS_FILE_CREDENTIALS]);
    free(p);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct piece trimmed(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    while (p < end && is_blank(end[-1]))
        end--;
    return (struct piece){p, (size_t)(end - p)};
}

static char *text_of(struct piece t)
{
    char *s = mem_alloc(t.len + 1);

    memcpy(s, t.p, t.len);
    s[t.len] = '\0';
    return s;
}

static void add(struct reading *r, char *key, char *value)
{
    struct aws_profiles *p = r->to;

    p->settings = mem_grow(p->settings, p->count, &p->capacity, sizeof(*p->settings));
    p->settings[p->count++] = (struct aws_setting){
        .profile = str_dup(r->profile),
        .key = key,
        .value = value,
        .path = p->paths[r->kind],
        .rank = r->rank,
    };
}

static enum rc bad_line(const struct reading *r, const char *what, struct error *err)
{
    error_set(err, RC_CONFIG, "%s", what);
    error_on(err, "%s:%u", r->path, r->line);
    return error_now(err, "correct it; the file consists of [section], key = value, and comments "
                          "that begin with #");
}

/* "profile NAME" without its first word, or nothing. */
static struct piece behind_profile(struct piece t)
{
    static const char word[] = "profile";
    size_t n = sizeof(word) - 1;

    if (t.len <= n || memcmp(t.p, word, n) != 0 || !is_blank(t.p[n]))
        return (struct piece){t.p, 0};
    return trimmed(t.p + n, t.p + t.len);
}

/* Which profile a section belongs to, and what it weighs; an empty piece where it is another's. */
static struct piece profile_of(struct piece t, enum aws_profile_file kind, unsigned *ret_rank)
{
    *ret_rank = 2;
    if (kind == AWS_FILE_CREDENTIALS)
        return t;
    *ret_rank = 0;
    if (t.len == strlen("default") && memcmp(t.p, "default", t.len) == 0)
        return t;
    *ret_rank = 1;
    t = behind_profile(t);
    if (t.len >= 2 && (t.p[0] == '"' || t.p[0] == '\'') && t.p[t.len - 1] == t.p[0])
        return (struct piece){t.p + 1, t.len - 2};
    return t;
}

static enum rc take_header(struct reading *r, struct piece line, struct error *err)
{
    const char *end = memchr(line.p, ']', line.len);
    const char *line_end = line.p + line.len;
    struct piece rest = end ? trimmed(end + 1, line_end) : line;

    if (!end || (rest.len && rest.p[0] != '#' && rest.p[0] != ';'))
        return bad_line(r, "the line begins with '[', but is no section header", err);
    struct piece name = profile_of(trimmed(line.p + 1, end), r->kind, &r->rank);
    free(r->profile);
    r->profile = name.len ? text_of(name) : NULL;
    r->in_section = true;
    r->has_key = false;
    if (r->profile)
        add(r, str_dup(""), str_dup(""));
    return RC_OK;
}

/* A comment behind a value has a blank before it. */
static const char *end_of_value(const char *p, const char *end)
{
    for (const char *c = p; c < end; c++)
        if ((*c == '#' || *c == ';') && c > p && is_blank(c[-1]))
            return c;
    return end;
}

static enum rc take_setting(struct reading *r, struct piece line, struct error *err)
{
    const char *end = line.p + line.len;
    const char *equals = memchr(line.p, '=', line.len);

    if (!equals || equals == line.p)
        return bad_line(r, "the line is neither a section header, nor key = value, nor a comment",
                        err);
    if (!r->in_section)
        return bad_line(r, "a key stands in front of the first section", err);
    if (!r->profile)
        return RC_OK;
    char *key = text_of(trimmed(line.p, equals));
    for (char *c = key; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    add(r, key, text_of(trimmed(equals + 1, end_of_value(equals + 1, end))));
    return RC_OK;
}

static enum rc take_line(struct reading *r, const char *p, const char *end, struct error *err)
{
    struct piece line = trimmed(p, end);
    size_t indent = (size_t)(line.p - p);

    r->line++;
    if (memchr(p, '\0', (size_t)(end - p)))
        return bad_line(r, "there is a NUL byte in the line", err);
    if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
        return RC_OK;
    if (line.p[0] == '[')
        return take_header(r, line, err);
    if (r->has_key && indent > r->indent)
        return RC_OK; /* one of a group, as of "s3 =" */
    r->has_key = true;
    r->indent = indent;
    return take_setting(r, line, err);
}

enum rc aws_profiles_parse(struct aws_profiles *p, enum aws_profile_file kind, const char *path,
                           const void *text, size_t len, struct error *err)
{
    const char *at = len ? text : "", *end = at + len;
    struct reading r = {.to = p, .kind = kind, .path = path};
    enum rc rc = RC_OK;

    if (!p->paths[kind])
        p->paths[kind] = str_dup(path);
    if (len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (rc == RC_OK && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end;
        rc = take_line(&r, at, line_end, err);
        at = newline ? newline + 1 : end;
    }
    free(r.profile);
    return rc;
}

enum rc aws_profiles_read(struct aws_profiles *p, enum aws_profile_file kind, const char *path,
                          struct error *err)
{
    CLEANUP_SECRET_BUF struct buf text = BUF_INIT(FILE_MAX_BYTES);

    TRY(aws_file_read(path, &text, err));
    return aws_profiles_parse(p, kind, path, text.data, text.len, err);
}

bool aws_profiles_has(const struct aws_profiles *p, const char *profile)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->settings[i].profile, profile))
            return true;
    return false;
}

const struct aws_setting *aws_profiles_find(const struct aws_profiles *p, const char *profile,
                                            const char *key)
{
    const struct aws_setting *best = NULL;

    for (size_t i = 0; i < p->count; i++) {
        const struct aws_setting *s = &p->settings[i];
        if (str_eq(s->profile, profile) && str_eq(s->key, key) && s->value[0] &&
            (!best || s->rank >= best->rank))
            best = s;
    }
    return best;
}
