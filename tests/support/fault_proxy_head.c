#include "support/fault_proxy_int.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Of the `n` bytes that wait behind what is already there, those that belong to the head. */
static size_t head_part(const struct proxy_head *h, size_t n, bool *ret_whole)
{
    size_t from = h->len > 3 ? h->len - 3 : 0;
    const char *end = memmem(h->text + from, h->len + n - from, "\r\n\r\n", 4);

    *ret_whole = end != NULL;
    return end ? (size_t)(end + 4 - h->text) - h->len : n;
}

bool proxy_head_read(int fd, struct proxy_head *h)
{
    bool whole = false;

    h->len = 0;
    while (!whole && h->len < PROXY_HEAD_MAX) {
        char *to = h->text + h->len;
        ssize_t n = recv(fd, to, PROXY_HEAD_MAX - h->len, MSG_PEEK);
        size_t take;

        if (n <= 0)
            return false;
        take = head_part(h, (size_t)n, &whole);
        if (recv(fd, to, take, 0) != (ssize_t)take)
            return false;
        h->len += take;
    }
    h->text[h->len] = '\0';
    return whole && strlen(h->text) == h->len;
}

/* The beginning of the header's line, or NULL. */
static const char *find(const struct proxy_head *h, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(h->text, "\r\n") + 2; *line != '\r';
         line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line;
    return NULL;
}

bool proxy_head_value(const struct proxy_head *h, const char *name, char *to, size_t to_size)
{
    const char *line = find(h, name);
    const char *value;

    if (!line)
        return false;
    value = line + strlen(name) + 1;
    value += strspn(value, " \t");
    snprintf(to, to_size, "%.*s", (int)strcspn(value, "\r"), value);
    return true;
}

bool proxy_head_has(const struct proxy_head *h, const char *name, const char *value)
{
    char text[100];

    return proxy_head_value(h, name, text, sizeof(text)) && strcasecmp(text, value) == 0;
}

void proxy_head_remove(struct proxy_head *h, const char *name)
{
    const char *line;

    while ((line = find(h, name))) {
        const char *next = strstr(line, "\r\n") + 2;
        size_t at = (size_t)(line - h->text);

        memmove(h->text + at, next, strlen(next) + 1);
        h->len -= (size_t)(next - line);
    }
}

void proxy_head_add(struct proxy_head *h, const char *fmt, ...)
{
    char lines[4000];
    va_list args;

    va_start(args, fmt);
    vsnprintf(lines, sizeof(lines), fmt, args);
    va_end(args);
    BUG_IF(h->len + strlen(lines) >= sizeof(h->text));
    h->len -= 2;
    h->len += (size_t)sprintf(h->text + h->len, "%s\r\n", lines);
}

int proxy_head_status(const struct proxy_head *h)
{
    const char *blank = strchr(h->text, ' ');

    return blank ? atoi(blank) : 0;
}

uint64_t proxy_head_length(const struct proxy_head *h)
{
    char text[32];
    uint64_t n;

    return proxy_head_value(h, "Content-Length", text, sizeof(text)) && parse_u64(text, &n)
               ? n
               : UINT64_MAX;
}

bool proxy_send_all(int fd, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}
