/* CRC-32C against its published check value, hardware against tables, combination against the
 * whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"

#include <string.h>

static void fill(uint8_t *p, size_t len)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
}

static void known_values(void **state)
{
    uint8_t zeroes[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283); /* the usual check string */
    assert_int_equal(crc32c(0, zeroes, 32), 0x8A9136AA);     /* RFC 3720, B.4 */
    assert_int_equal(crc32c(0, "", 0), 0);
}

static void hardware_is_tables(void **state)
{
    uint8_t data[300];

    (void)state;
    fill(data, sizeof(data));
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len <= sizeof(data) - from; len++)
            assert_int_equal(crc32c(7, data + from, len), crc32c_portable(7, data + from, len));
}

static void combined_is_whole(void **state)
{
    uint8_t data[1000];

    (void)state;
    fill(data, sizeof(data));
    uint32_t whole = crc32c(0, data, sizeof(data));
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        uint32_t a = crc32c(0, data, cut), b = crc32c(0, data + cut, sizeof(data) - cut);
        assert_int_equal(crc32c_combine(a, b, sizeof(data) - cut), whole);
        assert_int_equal(crc32c(a, data + cut, sizeof(data) - cut), whole);
    }
}

/* Lengths far beyond what can be read here: two steps of 2^39 bytes are one of 2^40. */
static void long_lengths_combine(void **state)
{
    uint8_t zero = 0;
    uint32_t half = crc32c(0, &zero, 1), a = crc32c(0, "a", 1);

    (void)state;
    for (int bit = 0; bit < 39; bit++)
        half = crc32c_combine(half, half, UINT64_C(1) << bit);
    uint32_t whole = crc32c_combine(half, half, UINT64_C(1) << 39);
    uint32_t steps =
        crc32c_combine(crc32c_combine(a, half, UINT64_C(1) << 39), half, UINT64_C(1) << 39);
    assert_int_equal(crc32c_combine(a, whole, UINT64_C(1) << 40), steps);
}

static void megabytes_combine(void **state)
{
    static uint8_t data[3 << 20];

    (void)state;
    fill(data, sizeof(data));
    uint32_t a = crc32c(0, data, 1 << 20), b = crc32c(0, data + (1 << 20), 2 << 20);
    assert_int_equal(crc32c_combine(a, b, 2 << 20), crc32c_portable(0, data, sizeof(data)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),      cmocka_unit_test(hardware_is_tables),
        cmocka_unit_test(combined_is_whole), cmocka_unit_test(long_lengths_combine),
        cmocka_unit_test(megabytes_combine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
