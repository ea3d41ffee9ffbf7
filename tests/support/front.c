#include "support/front.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct front {
    struct front *next;
    struct arena *memory;
    char dir[32];
    const char *url;
    const char *accepted; /* the log's words for a new connection */
    unsigned port;
    pid_t pid;
};

static struct front *fronts;

static void must(enum rc rc, const struct error *e)
{
    if (rc != RC_OK)
        fail_msg("%s: %s", e->what, e->on);
}

/* ---- ports ---- */

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_in address(unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static unsigned free_port(void)
{
    struct sockaddr_in a = address(0);
    socklen_t len = sizeof(a);
    CLEANUP_FD int fd = open_socket();

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static bool can_connect(unsigned port)
{
    struct sockaddr_in a = address(port);
    CLEANUP_FD int fd = open_socket();

    return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

/* ---- birth and death ---- */

static struct front *new_front(const char *scheme, const char *accepted)
{
    struct front *f = mem_zalloc(sizeof(*f));

    f->memory = arena_new();
    f->port = free_port();
    f->accepted = accepted;
    f->url = arena_printf(f->memory, "%s://127.0.0.1:%u", scheme, f->port);
    strcpy(f->dir, "/tmp/pgproof-front-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->next = fronts;
    fronts = f;
    return f;
}

static const char *log_text(struct front *f, struct buf *b)
{
    const char *text = "";
    struct error e;

    if (file_read(front_file(f, "log"), b, &e) == RC_OK)
        must(buf_cstr(b, &text, &e), &e);
    return text;
}

static void start(struct front *f, const char *const *argv)
{
    struct proc_options o = {
        .argv = argv, .output_path = front_file(f, "output"), .die_with_parent = true};
    double deadline = clock_monotonic() + 30;
    struct error e;
    int status;

    must(proc_spawn(&o, &f->pid, &e), &e);
    while (!can_connect(f->port)) {
        if (proc_wait(f->pid, 20, &status, &e) != RC_BUSY || clock_monotonic() > deadline) {
            f->pid = 0;
            fail_msg("%s did not start; see %s", argv[0], f->dir);
        }
    }
    while (front_count(f, f->accepted) == 0) /* ours is in the log */
        clock_sleep_ms(5);
}

static void stop(struct front *f)
{
    struct error e;
    int status;

    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        (void)!proc_wait(f->pid, -1, &status, &e);
        (void)!file_remove_tree(f->dir, &e);
    }
    arena_free(f->memory);
    free(f);
}

int front_stop_all(void **state)
{
    (void)state;
    while (fronts) {
        struct front *f = fronts;

        fronts = f->next;
        stop(f);
    }
    return 0;
}

/* ---- TLS ---- */

/* $1: the names of the server's certificate; $2: for how many days it is good. */
static const char make_certificates[] =
    "authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    "  -keyout $1.key -out $1.crt -days 2 -subj \"/CN=test $1\""
    "  -addext keyUsage=critical,keyCertSign,cRLSign; }\n"
    "authority ca; authority other-ca\n"
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key"
    "  -out server.csr -subj /CN=server\n"
    "printf \"subjectAltName=$1\\nextendedKeyUsage=serverAuth\\n\" >names\n"
    "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days $2"
    "  -extfile names -out server.crt\n"
    "cat server.key server.crt >server.pem\n";

static void certify(struct front *f, enum front_certificate c)
{
    const char *names = c == FRONT_WRONG_NAME
                            ? "DNS:elsewhere.example"
                            : "DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost,IP:127.0.0.1,"
                              "IP:::1";
    const char *days = c == FRONT_EXPIRED ? "-1" : "2";
    const char *argv[] = {"sh", "-ec", make_certificates, "sh", names, days, NULL};
    CLEANUP_BUF struct buf output = BUF_INIT(65536);
    struct proc_options o = {.argv = argv, .cwd = f->dir};
    struct error e;
    int status;

    must(proc_run(&o, NULL, &output, &status, &e), &e);
    if (status != 0)
        fail_msg("openssl could not make certificates: %.*s", (int)output.len,
                 (const char *)output.data);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

struct front *front_tls(unsigned behind, enum front_certificate certificate)
{
    struct front *f = new_front("https", "accepted connection");
    const char *conf = front_file(f, "stunnel.conf");
    const char *argv[] = {"stunnel4", conf, NULL};

    certify(f, certificate);
    write_file(conf,
               arena_printf(f->memory,
                            "foreground = yes\nsyslog = no\ndebug = 5\noutput = %s\npid =\n"
                            "[s3]\naccept = 127.0.0.1:%u\nconnect = 127.0.0.1:%u\n"
                            "cert = %s\n",
                            front_file(f, "log"), f->port, behind, front_file(f, "server.pem")));
    start(f, argv);
    return f;
}

/* ---- a forward proxy ---- */

struct front *front_proxy(void)
{
    struct front *f = new_front("http", "Connect (file descriptor");
    const char *conf = front_file(f, "tinyproxy.conf");
    const char *argv[] = {"tinyproxy", "-d", "-c", conf, NULL};

    write_file(conf, arena_printf(f->memory,
                                  "Port %u\nListen 127.0.0.1\nAllow 127.0.0.1\nLogFile \"%s\"\n"
                                  "LogLevel Connect\n",
                                  f->port, front_file(f, "log")));
    start(f, argv);
    return f;
}

/* ---- facts ---- */

const char *front_url(const struct front *f)
{
    return f->url;
}

unsigned front_port(const struct front *f)
{
    return f->port;
}

const char *front_file(struct front *f, const char *name)
{
    return arena_printf(f->memory, "%s/%s", f->dir, name);
}

unsigned front_count(struct front *f, const char *text)
{
    CLEANUP_BUF struct buf b = BUF_INIT(16u << 20);
    unsigned lines = 0;

    for (const char *at = log_text(f, &b); (at = strstr(at, text)); at += strcspn(at, "\n"))
        lines++;
    return lines;
}

unsigned front_connections(struct front *f)
{
    return front_count(f, f->accepted) - 1;
}
