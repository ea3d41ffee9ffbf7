/* What a request says is changed on its way: here its signature is made to fit again. */
#include "base/mem.h"
#include "base/str.h"
#include "store/aws_sign.h"
#include "support/fault_proxy_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIGNED 40

/* What the old signature was over (AWS, "Create a signed AWS API request"). */
struct signature {
    char key_id[200], region[64];
    char names[1500]; /* "host;x-amz-date" */
    char date[32];
    char hash[80];
    char method[12], target[4096];
};

static bool read_signature(const struct proxy_head *h, struct signature *s)
{
    char text[4000];

    return proxy_head_value(h, "Authorization", text, sizeof(text)) &&
           sscanf(text,
                  "AWS4-HMAC-SHA256 Credential=%199[^/]/%*[^/]/%63[^/]/s3/aws4_request, "
                  "SignedHeaders=%1499[^,]",
                  s->key_id, s->region, s->names) == 3 &&
           proxy_head_value(h, "x-amz-date", s->date, sizeof(s->date)) &&
           proxy_head_value(h, "x-amz-content-sha256", s->hash, sizeof(s->hash)) &&
           sscanf(h->text, "%11s %4095s", s->method, s->target) == 2;
}

/* "name: value" of those that are there; NULL-terminated. */
static void signed_lines(const struct proxy_head *h, char *names, struct arena *memory,
                         const char **lines)
{
    size_t n = 0;
    char *next = NULL;

    for (char *name = strtok_r(names, ";", &next); name; name = strtok_r(NULL, ";", &next)) {
        char value[4000];

        BUG_IF(n == MAX_SIGNED);
        if (proxy_head_value(h, name, value, sizeof(value)))
            lines[n++] = arena_printf(memory, "%s: %s", name, value);
    }
    lines[n] = NULL;
}

static void authorize(struct proxy_head *h, struct signature *s, const char *secret,
                      const char *const *lines)
{
    CLEANUP_BUF struct buf value = BUF_INIT(4000);
    const struct aws_keys keys = {.access_key_id = s->key_id, .secret_access_key = (char *)secret};
    char *query = strchr(s->target, '?');
    struct error err = {0};
    moment_us at;
    const char *text;

    if (query)
        *query++ = '\0';
    BUG_IF(moment_parse(s->date, &at, &err) != RC_OK);
    const struct aws_request request = {
        .method = s->method,
        .path = s->target,
        .query = query ? query : "",
        .headers = lines,
        .payload_sha256 = s->hash,
        .region = s->region,
        .service = "s3",
        .at = at,
    };
    BUG_IF(aws_authorize(&keys, &request, &value, &err) != RC_OK);
    BUG_IF(buf_cstr(&value, &text, &err) != RC_OK);
    proxy_head_remove(h, "Authorization");
    proxy_head_add(h, "Authorization: %s\r\n", text);
}

void proxy_head_sign(struct proxy_head *h, const char *secret)
{
    struct signature s;
    struct arena *memory = arena_new();
    const char *lines[MAX_SIGNED + 1];

    if (read_signature(h, &s)) {
        signed_lines(h, s.names, memory, lines);
        authorize(h, &s, secret, lines);
    }
    arena_free(memory);
}
