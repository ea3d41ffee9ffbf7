/*
 * What may stand between a client and an S3 server: TLS, by stunnel, and a forward proxy, by
 * tinyproxy. Real programs on 127.0.0.1, each in a private directory, ended with the test.
 *
 *     struct front *f = front_tls(s3fix_port(), FRONT_TRUSTED);
 *     o.s3.endpoint = front_url(f);
 *     o.s3.ca_file = front_file(f, "ca.crt");
 *
 * What goes wrong fails the running cmocka test. front_stop_all is a teardown.
 */
#ifndef PGPROOF_SUPPORT_FRONT_H
#define PGPROOF_SUPPORT_FRONT_H

/* The server's certificate. Each is signed by ca.crt; other-ca.crt signed none. */
enum front_certificate {
    FRONT_TRUSTED,    /* for 127.0.0.1, [::1], localhost, s3.localhost and the names below it */
    FRONT_WRONG_NAME, /* for elsewhere.example alone */
    FRONT_EXPIRED,    /* as FRONT_TRUSTED, but ended yesterday */
};

struct front;
/* "https://127.0.0.1:PORT" in front of the port `behind` of 127.0.0.1. */
struct front *front_tls(unsigned behind, enum front_certificate certificate);
/* A proxy for http_proxy and https_proxy: "http://127.0.0.1:PORT". */
struct front *front_proxy(void);
int front_stop_all(void **state); /* always 0 */

const char *front_url(const struct front *f);
unsigned front_port(const struct front *f);
/* A file in its directory; the path lives as long as the front. */
const char *front_file(struct front *f, const char *name);
/* How many lines of its log have this text. */
unsigned front_count(struct front *f, const char *text);
/* How many connections clients have made, but for the one that saw that it is there. */
unsigned front_connections(struct front *f);

#endif
