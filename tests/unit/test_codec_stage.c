#include "codec/stage.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define MANY (300u << 10)

struct fixture {
    struct stage *encoder;
    struct stage *decoder;
    uint8_t *plain; /* MANY bytes that compress well, with some noise */
    struct buf packed;
    struct buf again;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    assert_int_equal(stage_zstd_encoder(ZSTD_LEVEL_DEFAULT, &f->encoder, &f->err), RC_OK);
    assert_int_equal(stage_zstd_decoder(&f->decoder, &f->err), RC_OK);
    f->plain = mem_alloc(MANY);
    for (size_t i = 0; i < MANY; i++)
        f->plain[i] = (uint8_t)(i % 97 ? i >> 8 : i * 2654435761u >> 13);
    f->packed = BUF_INIT(1 << 20);
    f->again = BUF_INIT(1 << 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    stage_free(f->encoder);
    stage_free(f->decoder);
    buf_done(&f->packed);
    buf_done(&f->again);
    free(f->plain);
    free(f);
    return 0;
}

static void pack(struct fixture *f, size_t len)
{
    buf_clear(&f->packed);
    assert_int_equal(stage_encode_buf(f->encoder, f->plain, len, &f->packed, &f->err), RC_OK);
}

static enum rc unpack(struct fixture *f, size_t out_len)
{
    buf_clear(&f->again);
    return stage_decode_buf(f->decoder, f->packed.data, f->packed.len, out_len, &f->again, &f->err);
}

static void blocks_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 100, 8192, 128 << 10, MANY};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t claimed = 0;

        pack(f, sizes[i]);
        assert_true(f->packed.len <= stage_bound(f->encoder, sizes[i]));
        assert_int_equal(
            zstd_content_size(f->packed.data, f->packed.len, sizes[i], &claimed, &f->err), RC_OK);
        assert_int_equal(claimed, sizes[i]);
        assert_int_equal(unpack(f, sizes[i]), RC_OK);
        assert_int_equal(f->again.len, sizes[i]);
        if (sizes[i])
            assert_memory_equal(f->again.data, f->plain, sizes[i]);
    }
}

static void buffers_are_appended_to(void **state)
{
    struct fixture *f = *state;
    size_t first;

    assert_int_equal(buf_append(&f->packed, "head", 4, &f->err), RC_OK);
    assert_int_equal(stage_encode_buf(f->encoder, f->plain, 5000, &f->packed, &f->err), RC_OK);
    first = f->packed.len;
    assert_int_equal(stage_encode_buf(f->encoder, f->plain + 7, 300, &f->packed, &f->err), RC_OK);
    assert_int_equal(
        stage_decode_buf(f->decoder, f->packed.data + 4, first - 4, 5000, &f->again, &f->err),
        RC_OK);
    assert_int_equal(stage_decode_buf(f->decoder, f->packed.data + first, f->packed.len - first,
                                      300, &f->again, &f->err),
                     RC_OK);
    assert_int_equal(f->again.len, 5300);
    assert_memory_equal(f->again.data, f->plain, 5000);
    assert_memory_equal(f->again.data + 5000, f->plain + 7, 300);
}

static void a_result_that_fits_needs_no_room_for_the_bound(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf exact = BUF_INIT(0);
    CLEANUP_BUF struct buf small = BUF_INIT(0);

    pack(f, MANY);
    assert_true(f->packed.len + 1000 < stage_bound(f->encoder, MANY));
    exact.max = f->packed.len + 1000;
    small.max = f->packed.len / 2;
    assert_int_equal(stage_encode_buf(f->encoder, f->plain, MANY, &exact, &f->err), RC_OK);
    assert_int_equal(stage_encode_buf(f->encoder, f->plain, MANY, &small, &f->err), RC_NOMEM);
    assert_int_equal(small.len, 0);
}

static void every_truncation_is_damage(void **state)
{
    struct fixture *f = *state;
    size_t whole;

    pack(f, 3000);
    whole = f->packed.len;
    for (size_t len = 0; len < whole; len++) {
        f->packed.len = len;
        assert_int_equal(unpack(f, 3000), RC_INTEGRITY);
        assert_int_equal(f->again.len, 0);
    }
}

static void what_stands_behind_the_frame_is_damage(void **state)
{
    struct fixture *f = *state;
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};

    pack(f, 3000);
    assert_int_equal(buf_append(&f->packed, "", 1, &f->err), RC_OK);
    assert_int_equal(unpack(f, 3000), RC_INTEGRITY);

    pack(f, 3000); /* a second frame */
    assert_int_equal(stage_encode_buf(f->encoder, f->plain, 0, &f->packed, &f->err), RC_OK);
    assert_int_equal(unpack(f, 3000), RC_INTEGRITY);

    buf_clear(&f->packed); /* a frame that a decoder would pass over */
    assert_int_equal(buf_append(&f->packed, skippable, sizeof(skippable), &f->err), RC_OK);
    assert_int_equal(unpack(f, 0), RC_INTEGRITY);
}

static void another_length_than_expected_is_damage(void **state)
{
    struct fixture *f = *state;
    uint64_t claimed = 77;

    pack(f, 3000);
    assert_int_equal(unpack(f, 2999), RC_INTEGRITY);
    assert_int_equal(unpack(f, 3001), RC_INTEGRITY);
    assert_int_equal(f->again.len, 0);
    assert_int_equal(zstd_content_size(f->packed.data, f->packed.len, 2999, &claimed, &f->err),
                     RC_INTEGRITY);
    assert_int_equal(claimed, 77);
}

/* Made by zstd's streaming interface without saying the size before. */
static void a_frame_without_its_size_is_damage(void **state)
{
    struct fixture *f = *state;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    uint8_t room[200];
    ZSTD_outBuffer out = {.dst = room, .size = sizeof(room)};
    ZSTD_inBuffer in = {.src = "abc", .size = 3};
    uint64_t claimed = 77;

    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    assert_int_equal(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(context);
    assert_int_equal(buf_append(&f->packed, room, out.pos, &f->err), RC_OK);
    assert_int_equal(unpack(f, 3), RC_INTEGRITY);
    assert_int_equal(
        zstd_content_size(f->packed.data, f->packed.len, UINT64_MAX, &claimed, &f->err),
        RC_INTEGRITY);
    assert_int_equal(claimed, 77);
}

/* Whatever a damaged frame decodes to, it stays within its room (the sanitizer watches), and a
 * decoder that met damage still decodes the next frame. */
static void damage_stays_within_bounds(void **state)
{
    struct fixture *f = *state;

    for (unsigned seed = 0; seed < 4000; seed++) {
        unsigned mixed = seed * 2654435761u;

        pack(f, 2000);
        f->packed.data[mixed % f->packed.len] ^= (uint8_t)(1u << (mixed >> 29));
        enum rc rc = unpack(f, 2000);

        assert_true(rc == RC_OK || rc == RC_INTEGRITY);
    }
    pack(f, 2000);
    assert_int_equal(unpack(f, 2000), RC_OK);
    assert_memory_equal(f->again.data, f->plain, 2000);
}

static void a_level_that_zstd_lacks_is_refused(void **state)
{
    struct fixture *f = *state;
    struct stage *none = NULL;

    assert_int_equal(stage_zstd_encoder(100, &none, &f->err), RC_REFUSED);
    assert_null(none);
    stage_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buffers_are_appended_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_result_that_fits_needs_no_room_for_the_bound, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_truncation_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_stands_behind_the_frame_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_length_than_expected_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_without_its_size_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_stays_within_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_level_that_zstd_lacks_is_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
