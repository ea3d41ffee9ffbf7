#include "store/s3_xml_int.h"

#include "base/str.h"
#include "store/xml_walk.h"

#include <string.h>

enum rc s3_xml_lacks(const char *element, const char *what, struct error *err)
{
    return error_set(err, RC_STORAGE, "<%s> has no valid <%s>", element, what);
}

enum rc s3_xml_keep(const char *element, const char *text, char *to, size_t to_size,
                    struct error *err)
{
    if (str_copy(to, to_size, text))
        return RC_OK;
    return error_set(err, RC_STORAGE, "<%.64s> has more than %zu bytes", element, to_size - 1);
}

enum rc s3_xml_expect_root(const char *name, const char *const *known, struct error *err)
{
    for (const char *const *k = known; *k; k++)
        if (str_eq(name, *k))
            return RC_OK;
    return error_set(err, RC_STORAGE, "the document is a <%.64s>, where a <%s> was expected", name,
                     known[0]);
}

bool s3_time_parse(const char *text, moment_us *ret)
{
    struct error err;

    return moment_parse(text, ret, &err) == RC_OK;
}

struct search {
    const char *element; /* NULL: the root's name is wanted, not a text */
    bool found;
    char *to;
    size_t to_size;
};

static enum rc search_open(void *ctx, unsigned depth, const char *name, struct error *err)
{
    struct search *s = ctx;

    (void)err;
    if (!s->element && depth == 1)
        (void)str_copy(s->to, s->to_size, name);
    return RC_OK;
}

static enum rc search_close(void *ctx, unsigned depth, const char *name, const char *text,
                            struct error *err)
{
    static const char blanks[] = " \t\r\n";
    struct search *s = ctx;

    (void)depth, (void)err;
    if (s->found || !s->element || !str_eq(name, s->element))
        return RC_OK;
    s->found = true;
    text += strspn(text, blanks);
    size_t len = strlen(text);
    while (len && strchr(blanks, text[len - 1]))
        len--;
    if (len > s->to_size - 1)
        len = s->to_size - 1;
    memcpy(s->to, text, len);
    s->to[len] = '\0';
    return RC_OK;
}

enum rc s3_xml_text(const void *xml, size_t len, const char *element, char *to, size_t to_size,
                    struct error *err)
{
    static const struct xml_events events = {.open = search_open, .close = search_close};
    CLEANUP_BUF struct buf text = BUF_INIT(to_size);

    TRY(buf_reserve(&text, to_size, err));
    struct search s = {.element = element, .to = (char *)text.data, .to_size = to_size};
    TRY(xml_walk(xml, len, &events, &s, err));
    if (element && !s.found)
        return error_set(err, RC_NOT_FOUND, "the document has no <%s>", element);
    memcpy(to, s.to, strlen(s.to) + 1);
    return RC_OK;
}

enum rc s3_xml_root(const void *xml, size_t len, char *to, size_t to_size, struct error *err)
{
    return s3_xml_text(xml, len, NULL, to, to_size, err);
}
