/*
 * The S3 driver against a server that answers every request with the input: the first byte says
 * which operation, the rest goes over the wire as it is, and then the connection ends.
 */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "store/store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536

static struct {
    pthread_once_t once;
    int listener;
    char endpoint[64];
    pthread_mutex_t lock; /* around the answer */
    const uint8_t *answer;
    size_t answer_len;
} server = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Head and body, as far as the head says how long that is. */
static void read_request(int fd)
{
    char request[REQUEST_MAX];
    size_t len = 0, want = sizeof(request) - 1;

    while (len < want) {
        ssize_t got = read(fd, request + len, sizeof(request) - 1 - len);
        if (got <= 0)
            return;
        len += (size_t)got;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "\r\nContent-Length:");
        if (end)
            want = (size_t)(end + 4 - request) + (length ? strtoul(length + 17, NULL, 10) : 0);
    }
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        CLEANUP_FD int fd = accept(server.listener, NULL, NULL);
        if (fd < 0)
            continue;
        read_request(fd);
        pthread_mutex_lock(&server.lock);
        ssize_t sent = send(fd, server.answer, server.answer_len, MSG_NOSIGNAL);
        pthread_mutex_unlock(&server.lock);
        (void)sent; /* the driver may have gone away */
    }
    return NULL;
}

static void start_server(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    pthread_t thread;

    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_IF(bind(server.listener, (struct sockaddr *)&a, len) || listen(server.listener, 64) ||
           getsockname(server.listener, (struct sockaddr *)&a, &len));
    snprintf(server.endpoint, sizeof(server.endpoint), "http://127.0.0.1:%d", ntohs(a.sin_port));
    setenv("no_proxy", "*", 1);
    BUG_IF(pthread_create(&thread, NULL, serve, NULL));
}

static struct store *open_store(void)
{
    struct store_options o = {.type = STORE_S3,
                              .s3 = {.endpoint = server.endpoint,
                                     .region = "us-east-1",
                                     .bucket = "bucket",
                                     .access_key_id = "id",
                                     .secret_access_key = "secret",
                                     .connect_seconds = 5,
                                     .stall_seconds = 5}};
    struct store *s = NULL;
    struct error err;

    BUG_IF(store_open(&o, &s, &err) != RC_OK);
    return s;
}

/* Absent is what S3 said in its own words, nothing else. */
static void check_code(enum rc rc, const struct error *err)
{
    BUG_IF(rc == RC_NOT_FOUND && (!memmem(server.answer, server.answer_len, "404", 3) ||
                                  !memmem(server.answer, server.answer_len, "NoSuchKey", 9)));
    BUG_IF(rc == RC_BUG || rc == RC_USAGE || rc == RC_CANCELLED || rc == RC_EXISTS);
    BUG_IF(rc != RC_OK && (err->rc != rc || !err->what[0]));
}

static void get(struct store *s, bool range)
{
    CLEANUP_BUF struct buf to = BUF_INIT(1 << 20);
    struct error err = {0};
    enum rc rc =
        range ? store_get_range(s, "a/b", 2, 5, &to, &err) : store_get(s, "a/b", &to, &err);

    check_code(rc, &err);
    BUG_IF(rc != RC_OK && to.len != 0);
    BUG_IF(rc == RC_OK && range && to.len != 5);
}

static void head(struct store *s)
{
    struct store_info info;
    struct error err = {0};

    check_code(store_head(s, "a/b", &info, &err), &err);
}

static enum rc take(void *ctx, const char *name, const struct store_info *info, struct error *err)
{
    (void)info, (void)err;
    BUG_IF(!store_name_valid(name) || !str_starts(name, "a"));
    ++*(size_t *)ctx;
    return RC_OK;
}

static void list(struct store *s)
{
    struct error err = {0};
    size_t count = 0;
    enum rc rc = store_list(s, "a", take, &count, &err);

    BUG_IF(rc == RC_NOT_FOUND || (rc != RC_OK && count != 0));
    check_code(rc, &err);
}

static void remove_two(struct store *s)
{
    const char *const names[] = {"a/b", "a/c"};
    struct error err = {0};
    enum rc rc = store_remove_many(s, names, 2, NULL, NULL, &err);

    BUG_IF(rc == RC_NOT_FOUND);
    check_code(rc, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    pthread_once(&server.once, start_server);
    pthread_mutex_lock(&server.lock);
    server.answer = data + 1;
    server.answer_len = len - 1;
    pthread_mutex_unlock(&server.lock);
    struct store *s = open_store();
    switch (data[0] % 5) {
    case 0:
    case 1:
        get(s, data[0] % 5);
        break;
    case 2:
        head(s);
        break;
    case 3:
        list(s);
        break;
    default:
        remove_two(s);
    }
    store_close(s);
    pthread_mutex_lock(&server.lock); /* the input goes away */
    server.answer_len = 0;
    pthread_mutex_unlock(&server.lock);
    return 0;
}
