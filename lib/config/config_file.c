/*
 * The configuration file. libinih takes lines apart; what it leaves to chance is settled here: its
 * line length (200 bytes in Debian's build, longer lines would be cut in two), continuation lines
 * (an indented key would become part of the value above), section names over 49 bytes, sections
 * without keys, NUL bytes, and line numbers.
 */
#include "config/config_int.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
    struct draft *draft;
    FILE *file;
    unsigned line;
    char section[256]; /* of the current header */
    char name[256];
    bool in_section;
    enum rc rc; /* the first error */
    struct error *err;
};

static enum rc on_line(struct reading *r)
{
    return error_on(r->err, "%s:%u", r->draft->path, r->line);
}

static char *fail(struct reading *r, enum rc rc)
{
    r->rc = rc;
    on_line(r);
    return NULL;
}

/* One line without its end and leading blanks. NULL: end of the file, or an error in r->rc. */
static char *read_line(struct reading *r, char *to, size_t size)
{
    size_t len = 0;
    bool leading = true;
    int c;

    r->line++;
    while ((c = getc_unlocked(r->file)) != EOF && c != '\n') {
        if (leading && (c == ' ' || c == '\t'))
            continue;
        leading = false;
        if (c == '\0')
            return fail(r, error_set(r->err, RC_CONFIG, "there is a NUL byte in the line"));
        if (len + 2 >= size) {
            error_set(r->err, RC_CONFIG, "the line is longer than %zu bytes", size - 2);
            error_now(r->err, "give a long value by its environment variable, or shorten it (libpq "
                              "takes service=NAME in place of a long connection string)");
            return fail(r, RC_CONFIG);
        }
        to[len++] = (char)c;
    }
    if (ferror(r->file))
        return fail(r, error_set_errno(r->err, RC_CONFIG, errno, "could not read the file"));
    if (c == EOF && len == 0)
        return NULL;
    to[len] = '\0';
    return to;
}

/* "[tier:daily]" */
static enum rc take_header(struct reading *r, const char *line)
{
    const char *end = strchr(line, ']');
    const char *rest = end ? end + 1 + strspn(end + 1, " \t\r") : NULL;
    char text[256];

    if (!end || (rest[0] && rest[0] != ';' && rest[0] != '#')) {
        error_set(r->err, RC_CONFIG, "this is no section header");
        return error_now(r->err, "write [SECTION] or [SECTION:NAME] on a line of its own");
    }
    snprintf(text, sizeof(text), "%.*s", (int)(end - line - 1), line + 1);
    char *colon = strchr(text, ':');
    str_copy(r->name, sizeof(r->name), colon ? colon + 1 : "");
    if (colon)
        *colon = '\0';
    str_copy(r->section, sizeof(r->section), text);
    r->in_section = true;
    return draft_declare(r->draft, r->section, r->name, r->err);
}

static char *next_line(char *to, int size, void *stream)
{
    struct reading *r = stream;
    char *line = read_line(r, to, (size_t)size);

    if (!line)
        return NULL;
    const char *text = r->line == 1 && str_starts(line, "\xef\xbb\xbf") ? line + 3 : line;
    if (text[0] == '[') {
        enum rc rc = take_header(r, text);
        if (rc != RC_OK)
            return fail(r, rc);
        return strcpy(to, "[known]\n"); /* the real one is in r */
    }
    return strcat(line, "\n");
}

static int take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    CLEANUP_FREE char *where = str_printf("%s:%u", r->draft->path, r->line);

    (void)section;
    if (r->rc != RC_OK)
        return 0;
    if (!r->in_section) {
        error_set(r->err, RC_CONFIG, "a key stands in front of the first section");
        error_now(r->err, "put it into a section, such as [repository]");
        r->rc = on_line(r);
    } else {
        r->rc = draft_give_by_key(r->draft, r->section, r->name, key, value, where, r->err);
    }
    return r->rc == RC_OK;
}

static enum rc parse(struct draft *d, FILE *file, struct error *err)
{
    struct reading r = {.draft = d, .file = file, .err = err};
    int bad_line = ini_parse_stream(next_line, &r, take_value, &r);

    if (r.rc != RC_OK)
        return r.rc;
    if (bad_line == 0)
        return RC_OK;
    error_set(err, RC_CONFIG, "the line is neither 'key = value', nor [section], nor a comment");
    error_on(err, "%s:%d", d->path, bad_line);
    return error_now(err, "correct it; comments begin with ; or #");
}

/* Others on this machine must not read secrets. */
static enum rc check_mode(const struct draft *d, FILE *file, struct error *err)
{
    struct stat st;
    bool secret = false;

    for (size_t i = 0; i < d->given_count; i++)
        secret |= setting_is_secret(&d->given[i]);
    if (!secret)
        return RC_OK;
    if (fstat(fileno(file), &st))
        return error_set_errno(err, RC_CONFIG, errno, "could not look at the file's mode");
    if (!(st.st_mode & 077))
        return RC_OK;
    error_set(err, RC_CONFIG, "the file holds a secret, but its mode %04o lets others read it",
              (unsigned)st.st_mode & 07777);
    error_on(err, "%s", d->path);
    return error_now(err, "chmod 600 %s", d->path);
}

enum rc config_file_read(struct draft *d, struct error *err)
{
    CLEANUP_FILE FILE *file = fopen(d->path, "re");

    if (!file) {
        error_set_errno(err, RC_CONFIG, errno, "could not open the configuration file");
        error_on(err, "%s", d->path);
        return error_now(err, "give the right one with --config=FILE or PGPROOF_CONFIG; "
                              "docs/configuration.md has one to begin with");
    }
    TRY(parse(d, file, err));
    return check_mode(d, file, err);
}
