#include "codec/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* FIPS 180-4's examples, and what sha256sum says of nothing. */
static const struct {
    const char *text;
    const char *hex;
} sha256_cases[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

#define SHA256_CASES (sizeof(sha256_cases) / sizeof(sha256_cases[0]))

static void sha256_is_the_standard_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHA256_CASES; i++) {
        struct sha256 h = sha256_of(sha256_cases[i].text, strlen(sha256_cases[i].text));
        char hex[SHA256_HEX_SIZE];

        sha256_hex(&h, hex);
        assert_string_equal(hex, sha256_cases[i].hex);
    }
}

static void sha256_of_parts_is_that_of_the_whole(void **state)
{
    struct sha256_sum *sum = sha256_sum_new();

    (void)state;
    for (size_t i = 0; i < SHA256_CASES; i++) {
        size_t len = strlen(sha256_cases[i].text);
        struct sha256 whole = sha256_of(sha256_cases[i].text, len), parts;

        sha256_sum_begin(sum);
        sha256_sum_add(sum, "given up", 8); /* what is begun anew forgets it */
        sha256_sum_begin(sum);
        for (size_t at = 0; at < len; at++)
            sha256_sum_add(sum, sha256_cases[i].text + at, 1);
        parts = sha256_sum_end(sum);
        assert_true(sha256_equal(&parts, &whole));
    }
    sha256_sum_free(sum);
}

static void sha256_parses_its_own_hex_and_nothing_else(void **state)
{
    static const char *const bad[] = {
        "",
        "ba78",
        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015adb",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
    };
    struct sha256 abc = sha256_of("abc", 3), parsed;

    (void)state;
    assert_true(sha256_parse(sha256_cases[1].hex, &parsed));
    assert_true(sha256_equal(&abc, &parsed));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sha256_parse(bad[i], &parsed));
    assert_true(sha256_equal(&abc, &parsed));
    parsed.bytes[31] ^= 1;
    assert_false(sha256_equal(&abc, &parsed));
}

/* XXH3-128 of nothing with seed 0, as `xxhsum -H2` prints it: the canonical form. */
static void xxh128_is_canonical(void **state)
{
    static const uint8_t of_nothing[XXH128_LEN] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                                   0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    struct xxh128 h = xxh128_of(0, "", 0);

    (void)state;
    assert_memory_equal(h.bytes, of_nothing, XXH128_LEN);
}

static void xxh128_depends_on_seed_and_bytes(void **state)
{
    struct xxh128 a = xxh128_of(1, "some bytes", 10);
    struct xxh128 same = xxh128_of(1, "some bytes", 10);
    struct xxh128 other_seed = xxh128_of(2, "some bytes", 10);
    struct xxh128 other_bytes = xxh128_of(1, "some bytez", 10);

    (void)state;
    assert_true(xxh128_equal(&a, &same));
    assert_false(xxh128_equal(&a, &other_seed));
    assert_false(xxh128_equal(&a, &other_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_the_standard_one),
        cmocka_unit_test(sha256_of_parts_is_that_of_the_whole),
        cmocka_unit_test(sha256_parses_its_own_hex_and_nothing_else),
        cmocka_unit_test(xxh128_is_canonical),
        cmocka_unit_test(xxh128_depends_on_seed_and_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
