/* Typed headers: unknown sections are passed over, damage is refused. */
#include "repo_fixture.h"

#include "repo/sections.h"

#define MAGIC "testMAG1"

static void make(struct repo_fixture *f, uint16_t type, uint16_t flags, struct buf *b)
{
    assert_rc(f, RC_OK, header_begin(b, MAGIC, &f->err));
    assert_rc(f, RC_OK, header_add(b, type, flags, "abc", 3, &f->err));
    assert_rc(f, RC_OK, header_add(b, SECTION_WAL, 0, "wal", 3, &f->err));
    assert_rc(f, RC_OK, header_end(b, &f->err));
}

static enum rc know_wal(void *ctx, const struct section *s, bool *ret_known, struct error *err)
{
    (void)err;
    if (s->type == SECTION_WAL && s->len == 3 && memcmp(s->payload, "wal", 3) == 0) {
        ++*(int *)ctx;
        *ret_known = true;
    }
    return RC_OK;
}

static void read_back(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096), c = BUF_INIT(4096);
    size_t len = 0;
    int known = 0;
    make(f, 77, 0, &b);
    size_t header_len = b.len;
    assert_rc(f, RC_OK, buf_append(&b, "body", 4, &f->err));
    assert_rc(f, RC_OK, header_read(b.data, b.len, MAGIC, know_wal, &known, &len, &f->err));
    assert_int_equal(known, 1);
    assert_int_equal(len, header_len);
    make(f, 77, 0, &c);
    assert_memory_not_equal(b.data, c.data, header_len); /* 16 random bytes */
}

static void must_know(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    size_t len;
    int known = 0;
    make(f, SECTION_SEAL, SECTION_MUST_KNOW, &b);
    assert_rc(f, RC_CONFIG, header_read(b.data, b.len, MAGIC, know_wal, &known, &len, &f->err));
    put_le32(b.data + 8, 2);
    assert_rc(f, RC_CONFIG, header_read(b.data, b.len, MAGIC, know_wal, &known, &len, &f->err));
    assert_rc(f, RC_INTEGRITY,
              header_read(b.data, b.len, "otherMAG", know_wal, &known, &len, &f->err));
}

static void no_crash(void *ctx, const uint8_t *data, size_t len, const char *what)
{
    struct repo_fixture *f = ctx;
    size_t header_len = 0;
    int known = 0;
    enum rc rc = header_read(data, len, MAGIC, know_wal, &known, &header_len, &f->err);
    if (rc == RC_OK && header_len > len)
        fail_msg("a header longer than the object: %s", what);
    if (rc != RC_OK && rc != RC_INTEGRITY && rc != RC_CONFIG)
        fail_msg("%s: %s", what, rc_name(rc));
    if (rc == RC_OK && str_starts(what, "cut"))
        fail_msg("accepted: %s", what);
}

static void mutations(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    make(f, 77, 0, &b);
    each_mutation(b.data, b.len, no_crash, f);
}

static void the_end_is_the_end(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    size_t len;
    int known = 0;
    make(f, 77, 0, &b);
    assert_rc(f, RC_OK, buf_append(&b, "body", 4, &f->err));
    put_le32(b.data + 12, (uint32_t)b.len); /* the header says that it goes on */
    assert_rc(f, RC_INTEGRITY, header_read(b.data, b.len, MAGIC, know_wal, &known, &len, &f->err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),
        cmocka_unit_test(must_know),
        cmocka_unit_test(mutations),
        cmocka_unit_test(the_end_is_the_end),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
