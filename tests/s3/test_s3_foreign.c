/*
 * Clients of other people read what the driver wrote, and the driver reads what they wrote: a
 * repository can be copied by them, and saved without pgproof.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "support/s3_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define BIG (7u << 20)

struct foreign {
    char dir[32];
    struct store *store;
    const char *bucket;
    uint8_t *big;
};

static const char *const names[] = {"repository.json", "clusters/main/packs/3f/a+b=c.d_e-f",
                                    "empty", "big"};

static void put(struct foreign *f, const char *name, const void *data, size_t len)
{
    struct error e;

    if (store_put(f->store, name, data, len, &e) != RC_OK)
        fail_msg("could not put %s: %s", name, e.what);
}

static int set_up(void **state)
{
    struct foreign *f = mem_zalloc(sizeof(*f));
    struct store_options o;
    struct error e;

    *state = f;
    strcpy(f->dir, "/tmp/pgproof-foreign-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->bucket = s3fix_bucket(S3FIX_PLAIN);
    o = s3fix_options(f->bucket);
    assert_int_equal(store_open(&o, &f->store, &e), RC_OK);
    f->big = mem_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        f->big[i] = (uint8_t)(i * 31 + (i >> 13));
    put(f, names[0], "{\"a\": 1}", 8);
    put(f, names[1], "frames", 6);
    put(f, names[2], NULL, 0);
    put(f, names[3], f->big, BIG);
    return 0;
}

static int tear_down(void **state)
{
    struct foreign *f = *state;
    struct error e;

    store_close(f->store);
    (void)!file_remove_tree(f->dir, &e);
    free(f->big);
    free(f);
    return 0;
}

static void run(const struct foreign *f, const char *const *argv, const char *const *env)
{
    CLEANUP_BUF struct buf output = BUF_INIT(1u << 20);
    struct proc_options o = {.argv = argv, .env = env, .cwd = f->dir, .die_with_parent = true};
    struct error e;
    int status;

    if (proc_run(&o, NULL, &output, &status, &e) != RC_OK)
        fail_msg("%s: %s", argv[0], e.what);
    if (status != 0)
        fail_msg("%s ended with %d: %.*s", argv[0], status, (int)output.len,
                 (const char *)output.data);
}

static void assert_file(const struct foreign *f, const char *name, const void *data, size_t len)
{
    CLEANUP_FREE char *path = str_printf("%s/copy/%s", f->dir, name);
    CLEANUP_BUF struct buf b = BUF_INIT(BIG);
    struct error e;

    if (file_read(path, &b, &e) != RC_OK)
        fail_msg("%s: %s", path, e.what);
    assert_int_equal(b.len, len);
    assert_true(len == 0 || memcmp(b.data, data, len) == 0);
}

static void assert_copied(const struct foreign *f)
{
    assert_file(f, names[0], "{\"a\": 1}", 8);
    assert_file(f, names[1], "frames", 6);
    assert_file(f, names[2], "", 0);
    assert_file(f, names[3], f->big, BIG);
}

/* What a client put is an object like any other, whatever it says of it besides. */
static void assert_read_back(struct foreign *f, const char *name)
{
    CLEANUP_BUF struct buf b = BUF_INIT(BIG);
    struct error e;

    if (store_get(f->store, name, &b, &e) != RC_OK)
        fail_msg("%s: %s", name, e.what);
    assert_int_equal(b.len, BIG);
    assert_true(memcmp(b.data, f->big, BIG) == 0);
    assert_int_equal(store_put(f->store, name, "x", 1, &e), RC_EXISTS);
}

static void s3cmd_reads_and_writes(void **state)
{
    struct foreign *f = *state;
    CLEANUP_FREE char *all = str_printf("s3://%s/" S3FIX_PREFIX "/", f->bucket);
    CLEANUP_FREE char *other = str_printf("%sfrom/s3cmd", all);
    CLEANUP_FREE char *host = str_printf("--host=127.0.0.1:%u", s3fix_port());
    CLEANUP_FREE char *bucket_host = str_printf("--host-bucket=127.0.0.1:%u", s3fix_port());
    CLEANUP_FREE char *access = str_printf("--access_key=%s", s3fix_setting("ACCESS_KEY"));
    CLEANUP_FREE char *secret = str_printf("--secret_key=%s", s3fix_setting("SECRET_KEY"));
    CLEANUP_FREE char *region = str_printf("--region=%s", s3fix_setting("REGION"));
#define S3CMD "s3cmd", "--config=/dev/null", "--no-ssl", host, bucket_host, access, secret, region
    const char *get[] = {S3CMD, "sync", all, "copy/", NULL};
    const char *put_big[] = {S3CMD, "--disable-multipart", "put", "copy/big", other, NULL};

    run(f, get, NULL);
    assert_copied(f);
    run(f, put_big, NULL);
    assert_read_back(f, "from/s3cmd");
}

/* As its remote "there", configured by the environment; in parts of 5 MiB, which pgproof itself
 * never makes. Debian's 1.60 can't start where AWS_CA_BUNDLE is set; s3rver
 * lists folders wrongly, so the listing is flat. */
static void rclone_reads_and_writes(void **state)
{
    struct foreign *f = *state;
    CLEANUP_FREE char *all = str_printf("there:%s/" S3FIX_PREFIX, f->bucket);
    CLEANUP_FREE char *other = str_printf("%s/from/rclone", all);
    CLEANUP_FREE char *endpoint =
        str_printf("RCLONE_CONFIG_THERE_ENDPOINT=%s", s3fix_setting("ENDPOINT"));
    CLEANUP_FREE char *access =
        str_printf("RCLONE_CONFIG_THERE_ACCESS_KEY_ID=%s", s3fix_setting("ACCESS_KEY"));
    CLEANUP_FREE char *secret =
        str_printf("RCLONE_CONFIG_THERE_SECRET_ACCESS_KEY=%s", s3fix_setting("SECRET_KEY"));
    const char *env[] = {"RCLONE_CONFIG_THERE_TYPE=s3",
                         "RCLONE_CONFIG_THERE_PROVIDER=Other",
                         "RCLONE_CONFIG=",
                         endpoint,
                         access,
                         secret,
                         NULL};
#define RCLONE "env", "-u", "AWS_CA_BUNDLE", "rclone", "--fast-list"
    const char *get[] = {RCLONE, "copy", all, "copy", NULL};
    const char *check[] = {RCLONE, "check", "--download", all, "copy", NULL};
    const char *put_big[] = {
        RCLONE, "copyto", "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", "copy/big", other, NULL};

    run(f, get, env);
    assert_copied(f);
    run(f, check, env);
    run(f, put_big, env);
    assert_read_back(f, "from/rclone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(s3cmd_reads_and_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rclone_reads_and_writes, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
