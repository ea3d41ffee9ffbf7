/* Buffers with a maximum, cursors that stop at the end, arenas and arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void buffers_keep_their_maximum(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(10);
    struct error e = {0};
    const char *s;

    (void)state;
    assert_int_equal(buf_append(&b, "12345", 5, &e), RC_OK);
    assert_int_equal(buf_append(&b, "123456", 6, &e), RC_NOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &e), RC_NOMEM);
    assert_int_equal(b.len, 5);
    assert_int_equal(buf_append(&b, "67890", 5, &e), RC_OK);
    assert_int_equal(buf_cstr(&b, &s, &e), RC_OK);
    assert_string_equal(s, "1234567890");
}

static void cursors_stop_at_the_end(void **state)
{
    struct cursor c = cursor_over("\x01\x02\x03\x04\x05", 5);

    (void)state;
    assert_int_equal(cursor_le32(&c), 0x04030201);
    assert_int_equal(cursor_le16(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* stays failed, though a byte is left */
    assert_null(cursor_take(&c, SIZE_MAX));
}

static void buffers_grow_and_are_used_again(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
    struct error e;
    const char *s;

    (void)state;
    assert_int_equal(buf_cstr(&b, &s, &e), RC_OK);
    assert_string_equal(s, "");
    assert_int_equal(buf_append(&b, NULL, 0, &e), RC_OK);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_append(&b, &i, sizeof(i), &e), RC_OK);
    assert_int_equal(b.len, 10000 * sizeof(int));
    for (int i = 0; i < 10000; i++)
        assert_memory_equal(b.data + (size_t)i * sizeof(i), &i, sizeof(i));
    buf_clear(&b);
    assert_non_null(b.data);
    buf_done(&b);
    assert_null(b.data);
    assert_int_equal(buf_append(&b, "x", 1, &e), RC_OK);
}

static void printed_whole_or_not(void **state)
{
    CLEANUP_BUF struct buf b = BUF_INIT(1003);
    struct error e;
    const char *s;

    (void)state;
    assert_int_equal(buf_printf(&b, &e, "%d-", 42), RC_OK);
    assert_int_equal(buf_printf(&b, &e, "%01000d", 7), RC_OK); /* longer than the array inside */
    assert_int_equal(b.len, 1003);
    assert_int_equal(buf_printf(&b, &e, "."), RC_NOMEM);
    assert_int_equal(buf_cstr(&b, &s, &e), RC_OK);
    assert_int_equal(strlen(s), 1003);
    assert_memory_equal(s, "42-00", 5);
    assert_int_equal(s[1002], '7');
}

static void numbers_are_little_endian(void **state)
{
    uint8_t p[14];
    struct cursor c;

    (void)state;
    put_le16(p, 0xfedc);
    put_le32(p + 2, 0x89abcdef);
    put_le64(p + 6, UINT64_C(0x8123456789abcdef));
    assert_memory_equal(p, "\xdc\xfe\xef\xcd\xab\x89\xef\xcd\xab\x89\x67\x45\x23\x81", 14);
    c = cursor_over(p, sizeof(p));
    assert_int_equal(cursor_le16(&c), 0xfedc);
    assert_int_equal(cursor_le32(&c), 0x89abcdef);
    assert_true(cursor_le64(&c) == UINT64_C(0x8123456789abcdef));
    assert_int_equal(cursor_left(&c), 0);
    assert_non_null(cursor_take(&c, 0)); /* nothing is always there */
    assert_false(c.failed);
    assert_true(cursor_le64(&c) == 0);
    assert_true(c.failed);
}

static void arenas_hold_what_they_gave(void **state)
{
    struct arena *a = arena_new();
    char *words[2000];

    (void)state;
    for (int i = 0; i < 2000; i++)
        words[i] = arena_printf(a, "%0100d", i);
    unsigned char *large = arena_alloc(a, 1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(large[i], 0);
    memset(large, 1, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(atoi(words[i]), i);
        assert_int_equal((uintptr_t)words[i] % _Alignof(max_align_t), 0);
    }
    assert_string_equal(arena_strndup(a, "abc", 2), "ab");
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_null(arena_strdup(a, NULL));
    arena_free(a);
    arena_free(NULL);
}

static void arrays_grow(void **state)
{
    CLEANUP_FREE int *numbers = NULL;
    size_t capacity = 0;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        numbers = mem_grow(numbers, i, &capacity, sizeof(*numbers));
        assert_true(capacity > i);
        numbers[i] = (int)i;
    }
    assert_int_equal(numbers[999], 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_keep_their_maximum),
        cmocka_unit_test(cursors_stop_at_the_end),
        cmocka_unit_test(buffers_grow_and_are_used_again),
        cmocka_unit_test(printed_whole_or_not),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(arenas_hold_what_they_gave),
        cmocka_unit_test(arrays_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
