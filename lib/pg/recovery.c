#include "pg/recovery.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *const recovery_setting_names[] = {
    "restore_command",           "recovery_target",
    "recovery_target_time",      "recovery_target_lsn",
    "recovery_target_xid",       "recovery_target_name",
    "recovery_target_inclusive", "recovery_target_timeline",
    "recovery_target_action",    NULL,
};

/* ---- writing ---- */

static char *put_escaped(char *to, char c)
{
    switch (c) {
    case '\'':
        *to++ = '\'';
        *to++ = '\'';
        break;
    case '\\':
        *to++ = '\\';
        *to++ = '\\';
        break;
    case '\n': /* a line can't be continued in such a file */
        *to++ = '\\';
        *to++ = 'n';
        break;
    default:
        *to++ = c;
    }
    return to;
}

char *conf_quote(const char *value)
{
    char *quoted = mem_array(NULL, strlen(value) + 2, 2);
    char *to = quoted;
    *to++ = '\'';
    for (; *value; value++)
        to = put_escaped(to, *value);
    *to++ = '\'';
    *to = '\0';
    return quoted;
}

static enum rc put_setting(struct buf *to, const char *name, const char *value, struct error *err)
{
    CLEANUP_FREE char *quoted = conf_quote(value);
    return buf_printf(to, err, "%s = %s\n", name, quoted);
}

static const char *target_setting(enum target_kind kind)
{
    switch (kind) {
    case TARGET_LATEST:
        return NULL;
    case TARGET_IMMEDIATE:
        return "recovery_target";
    case TARGET_TIME:
        return "recovery_target_time";
    case TARGET_LSN:
        return "recovery_target_lsn";
    case TARGET_XID:
        return "recovery_target_xid";
    case TARGET_NAME:
        return "recovery_target_name";
    }
    BUG("unknown kind of target %d", (int)kind);
}

/* With its offset, so that the server's own time zone plays no part. */
static void time_value(moment_us t, char *to, size_t size)
{
    int64_t us = t % 1000000;
    time_t seconds = (time_t)(t / 1000000);
    if (us < 0) {
        us += 1000000;
        seconds--;
    }
    struct tm tm;
    char day[40];
    if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        BUG("a moment of %" PRId64 " us has no date", t);
    snprintf(to, size, "%s.%06" PRId64 "+00", day, us);
}

static void target_value(const struct recovery_target *t, char *to, size_t size)
{
    char lsn[LSN_TEXT_MAX];
    switch (t->kind) {
    case TARGET_LATEST:
        BUG("the latest target has no value");
    case TARGET_IMMEDIATE:
        str_copy(to, size, "immediate");
        return;
    case TARGET_TIME:
        time_value(t->time, to, size);
        return;
    case TARGET_LSN:
        str_copy(to, size, lsn_text(t->lsn, lsn));
        return;
    case TARGET_XID:
        /* Commit records hold 32 bits, and servers before 14 accept no more. */
        snprintf(to, size, "%" PRIu32, (uint32_t)t->xid);
        return;
    case TARGET_NAME:
        str_copy(to, size, t->name);
        return;
    }
}

static const char *action_text(enum target_action action)
{
    switch (action) {
    case ACTION_PAUSE:
        return "pause";
    case ACTION_PROMOTE:
        return "promote";
    case ACTION_SHUTDOWN:
        return "shutdown";
    }
    BUG("unknown target action %d", (int)action);
}

/* A server refuses two targets, wherever they were set; so all others are emptied first. */
static enum rc clear_other_targets(const char *chosen, struct buf *to, struct error *err)
{
    for (enum target_kind kind = TARGET_IMMEDIATE; kind <= TARGET_NAME; kind++) {
        const char *name = target_setting(kind);
        if (!str_eq(name, chosen))
            TRY(put_setting(to, name, "", err));
    }
    return RC_OK;
}

enum rc recovery_settings(const struct recovery_target *t, const char *restore_command,
                          struct buf *to, struct error *err)
{
    BUG_IF(t->timeline == 0);
    if (t->kind == TARGET_NAME && t->name[0] == '\0')
        return error_set(err, RC_USAGE, "the name of a recovery target can't be empty");
    const char *chosen = target_setting(t->kind);
    if (to->len > 0 && to->data[to->len - 1] != '\n')
        TRY(buf_append(to, "\n", 1, err)); /* the file before us ended within a line */
    TRY(put_setting(to, "restore_command", restore_command, err));
    TRY(clear_other_targets(chosen, to, err));
    TRY(buf_printf(to, err, "recovery_target_inclusive = '%s'\n", t->exclusive ? "off" : "on"));
    TRY(buf_printf(to, err, "recovery_target_timeline = '%" PRIu32 "'\n", t->timeline));
    TRY(buf_printf(to, err, "recovery_target_action = '%s'\n", action_text(t->action)));
    if (!chosen)
        return RC_OK;
    char value[sizeof t->name];
    target_value(t, value, sizeof value);
    return put_setting(to, chosen, value, err);
}

/* ---- reading: one line at a time, with the rules of PostgreSQL's guc-file.l ---- */

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name_part(char c)
{
    return is_name_start(c) || isdigit((unsigned char)c) || c == '$' || c == '.';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct conf_line {
    const char *name, *value; /* within the text; name NULL where the line sets nothing */
    size_t name_len, value_len;
};

/* The length of a value as written: in quotes up to the closing one, else up to a blank or '#'. */
static size_t value_length(const char *p, const char *end)
{
    const char *start = p;
    if (p < end && *p == '\'') {
        for (p++; p < end; p++) {
            if (*p == '\\' && p + 1 < end)
                p++;
            else if (*p == '\'' && p + 1 < end && p[1] == '\'')
                p++;
            else if (*p == '\'')
                return (size_t)(p + 1 - start);
        }
    } else {
        while (p < end && !is_space(*p) && *p != '#')
            p++;
    }
    return (size_t)(p - start);
}

static struct conf_line split_line(const char *p, const char *end)
{
    struct conf_line line = {0};
    while (p < end && is_space(*p))
        p++;
    if (p == end || !is_name_start(*p))
        return line;
    line.name = p;
    while (p < end && is_name_part(*p))
        p++;
    line.name_len = (size_t)(p - line.name);
    while (p < end && is_space(*p))
        p++;
    if (p < end && *p == '=')
        p++;
    while (p < end && is_space(*p))
        p++;
    line.value = p;
    line.value_len = value_length(p, end);
    return line;
}

static bool line_sets(const struct conf_line *line, const char *name)
{
    return line->name && strlen(name) == line->name_len &&
           strncasecmp(line->name, name, line->name_len) == 0;
}

static bool line_sets_any(const struct conf_line *line, const char *const *names)
{
    for (; *names; names++)
        if (line_sets(line, *names))
            return true;
    return false;
}

static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline : end;
}

enum rc conf_without(const char *text, size_t len, const char *const *names, struct buf *to,
                     struct error *err)
{
    const char *end = text + len;
    while (text < end) {
        const char *stop = line_end(text, end);
        const char *next = stop < end ? stop + 1 : end;
        struct conf_line line = split_line(text, stop);
        if (!line_sets_any(&line, names))
            TRY(buf_append(to, text, (size_t)(next - text), err));
        text = next;
    }
    return RC_OK;
}

/* What stands behind a backslash: a letter with a meaning, up to three octal digits, or itself. */
static char take_escape(const char **s, const char *end)
{
    char c = *(*s)++;
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    }
    if (c < '0' || c > '7')
        return c;
    unsigned value = (unsigned)(c - '0');
    for (int i = 0; i < 2 && *s < end && **s >= '0' && **s <= '7'; i++)
        value = value * 8 + (unsigned)(*(*s)++ - '0');
    return (char)value;
}

static char *unquote(const char *s, size_t len)
{
    char *value = mem_alloc(len + 1);
    char *to = value;
    const char *end = s + len;
    if (len < 2 || *s != '\'') {
        memcpy(value, s, len);
        value[len] = '\0';
        return value;
    }
    s++;
    if (end[-1] == '\'')
        end--;
    while (s < end) {
        char c = *s++;
        if (c == '\\' && s < end)
            c = take_escape(&s, end);
        else if (c == '\'' && s < end && *s == '\'')
            s++;
        *to++ = c;
    }
    *to = '\0';
    return value;
}

char *conf_value(const char *text, size_t len, const char *name)
{
    const char *end = text + len;
    char *value = NULL;
    while (text < end) {
        const char *stop = line_end(text, end);
        struct conf_line line = split_line(text, stop);
        if (line_sets(&line, name)) {
            free(value);
            value = unquote(line.value, line.value_len);
        }
        text = stop < end ? stop + 1 : end;
    }
    return value;
}

/* ---- backup_label ---- */

/* The text behind "key: " in the first line that begins so; NULL if there is none. */
static const char *label_line(const char *text, const char *key)
{
    size_t key_len = strlen(key);
    while (text) {
        if (strncmp(text, key, key_len) == 0 && strncmp(text + key_len, ": ", 2) == 0)
            return text + key_len + 2;
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    return NULL;
}

static bool label_lsn(const char *text, const char *key, uint64_t *ret)
{
    const char *value = label_line(text, key);
    char word[LSN_TEXT_MAX];
    if (!value)
        return false;
    size_t len = strcspn(value, " \r\n");
    if (len >= sizeof word)
        return false;
    memcpy(word, value, len);
    word[len] = '\0';
    return lsn_parse(word, ret);
}

/* Stands behind LABEL, whose text the caller of pg_backup_start chose: the last one counts. */
static enum rc label_timeline(const char *text, uint32_t *ret, struct error *err)
{
    const char *last = NULL;
    for (const char *at = text; (at = label_line(at, "START TIMELINE")) != NULL;)
        last = at;
    *ret = 0;
    if (!last)
        return RC_OK;
    char word[16];
    size_t len = strcspn(last, "\r\n");
    uint64_t timeline = 0;
    if (len < sizeof word) {
        memcpy(word, last, len);
        word[len] = '\0';
        if (!parse_u64(word, &timeline))
            timeline = 0;
    }
    if (timeline == 0 || timeline > UINT32_MAX)
        return error_set(err, RC_INTEGRITY, "the backup_label's START TIMELINE is no timeline");
    *ret = (uint32_t)timeline;
    return RC_OK;
}

enum rc backup_label_parse(const char *text, struct backup_label *ret, struct error *err)
{
    struct backup_label label;
    if (!label_lsn(text, "START WAL LOCATION", &label.start_lsn))
        return error_set(err, RC_INTEGRITY, "the backup_label has no START WAL LOCATION");
    if (!label_lsn(text, "CHECKPOINT LOCATION", &label.checkpoint_lsn))
        return error_set(err, RC_INTEGRITY, "the backup_label has no CHECKPOINT LOCATION");
    TRY(label_timeline(text, &label.timeline, err));
    *ret = label;
    return RC_OK;
}
