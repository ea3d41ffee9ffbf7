#include "base/mem.h"
#include "base/str.h"
#include "pg/lsn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A line has far less; the reason at its end is text that PostgreSQL writes for people. */
#define FIELDS_MAX 64

/* "<timeline> <LSN> [reason]": the first two, cut at white space. */
static bool parse_fields(const char *line, size_t len, struct history_entry *ret)
{
    char field[2][FIELDS_MAX];
    const char *end = line + len;
    for (int i = 0; i < 2; i++) {
        while (line < end && (*line == ' ' || *line == '\t'))
            line++;
        size_t n = 0;
        while (line + n < end && line[n] != ' ' && line[n] != '\t' && line[n] != '\r')
            n++;
        if (n == 0 || n >= FIELDS_MAX || memchr(line, '\0', n))
            return false;
        memcpy(field[i], line, n);
        field[i][n] = '\0';
        line += n;
    }
    uint64_t timeline;
    if (!parse_u64(field[0], &timeline) || timeline == 0 || timeline > UINT32_MAX)
        return false;
    ret->timeline = (uint32_t)timeline;
    return lsn_parse(field[1], &ret->end_lsn);
}

static bool is_blank_or_comment(const char *line, size_t len)
{
    while (len > 0 && (*line == ' ' || *line == '\t' || *line == '\r'))
        line++, len--;
    return len == 0 || *line == '#';
}

static enum rc check_order(const struct history *h, const struct history_entry *e, unsigned line,
                           struct error *err)
{
    if (e->timeline >= h->timeline)
        return error_set(err, RC_INTEGRITY,
                         "line %u of the history of timeline %" PRIu32 " names timeline %" PRIu32
                         ", which can't be its ancestor",
                         line, h->timeline, e->timeline);
    if (h->count == 0)
        return RC_OK;
    const struct history_entry *last = &h->entries[h->count - 1];
    if (e->timeline <= last->timeline || e->end_lsn < last->end_lsn)
        return error_set(err, RC_INTEGRITY,
                         "line %u of the history of timeline %" PRIu32
                         " is not after the line before it",
                         line, h->timeline);
    return RC_OK;
}

static enum rc parse_lines(const char *text, struct history *h, size_t *capacity, struct error *err)
{
    for (unsigned line = 1; *text; line++) {
        size_t len = strcspn(text, "\n");
        const char *next = text + len + (text[len] == '\n');
        if (!is_blank_or_comment(text, len)) {
            struct history_entry e;
            if (!parse_fields(text, len, &e))
                return error_set(err, RC_INTEGRITY,
                                 "line %u of the history of timeline %" PRIu32
                                 " is not a timeline and an LSN",
                                 line, h->timeline);
            TRY(check_order(h, &e, line, err));
            if (h->count == HISTORY_ENTRIES_MAX)
                return error_set(err, RC_INTEGRITY,
                                 "the history of timeline %" PRIu32 " has more than %d lines",
                                 h->timeline, HISTORY_ENTRIES_MAX);
            h->entries = mem_grow(h->entries, h->count, capacity, sizeof *h->entries);
            h->entries[h->count++] = e;
        }
        text = next;
    }
    return RC_OK;
}

enum rc history_parse(uint32_t timeline, const char *text, struct history *ret, struct error *err)
{
    struct history h = {.timeline = timeline};
    size_t capacity = 0;
    enum rc rc = parse_lines(text, &h, &capacity, err);
    if (rc != RC_OK) {
        history_done(&h);
        return rc;
    }
    *ret = h;
    return RC_OK;
}

void history_done(struct history *h)
{
    free(h->entries);
    h->entries = NULL;
    h->count = 0;
}

uint32_t history_timeline_at(const struct history *h, uint64_t lsn)
{
    for (unsigned i = 0; i < h->count; i++)
        if (lsn < h->entries[i].end_lsn)
            return h->entries[i].timeline;
    return h->timeline;
}

bool history_contains(const struct history *h, uint32_t timeline, uint64_t lsn)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->entries[i].timeline == timeline)
            return lsn <= h->entries[i].end_lsn;
    return timeline == h->timeline;
}
