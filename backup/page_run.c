#include "backup/page_run.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "pg/page.h"

#include <string.h>

static bool page_is_bad(const struct page_run *r, uint32_t i)
{
    return page_check(r->pages + (size_t)i * r->page_bytes, r->page_bytes, r->first_block + i) ==
           PAGE_BAD;
}

static uint32_t find_bad_pages(const struct page_run *r, uint32_t *to)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < r->count; i++)
        if (page_is_bad(r, i))
            to[bad++] = i;
    return bad;
}

/* Read a page that failed its checksum again. A page that the server was just writing has other
 * bytes now; *ret_changed says so. One that is gone was truncated, and WAL tells about that. */
static enum rc read_page_again(const struct page_run *r, uint32_t i, bool *ret_changed,
                               struct error *err)
{
    uint8_t again[32768];
    BUG_IF(r->page_bytes > sizeof again);
    size_t len;
    uint8_t *page = r->pages + (size_t)i * r->page_bytes;
    TRY(file_pread(r->fd, again, r->page_bytes, r->offset + (uint64_t)i * r->page_bytes, &len,
                   r->path, err));
    *ret_changed = len < r->page_bytes || memcmp(page, again, r->page_bytes) != 0;
    if (len == r->page_bytes)
        memcpy(page, again, len);
    return RC_OK;
}

/*
 * Keeps in bad[0..*count) those pages that are damaged: they fail their checksum and do not change
 * over all pauses. A page that changed and still fails is given new pauses, up to a limit.
 */
static enum rc recheck_pages(const struct page_run *r, uint32_t *bad, uint32_t *count, bool patient,
                             struct error *err)
{
    static const unsigned pauses_ms[] = {50, 200, 500};
    const unsigned steps = patient ? 3 : 1;
    unsigned unchanged_for = 0;
    for (unsigned tries = 0; *count > 0 && unchanged_for < steps && tries < 10; tries++) {
        clock_sleep_ms(patient ? pauses_ms[unchanged_for] : 20);
        TRY(cancel_check(err));
        uint32_t left = 0;
        bool any_changed = false;
        for (uint32_t k = 0; k < *count; k++) {
            bool changed = false;
            TRY(read_page_again(r, bad[k], &changed, err));
            any_changed |= changed;
            if (page_is_bad(r, bad[k]))
                bad[left++] = bad[k];
        }
        *count = left;
        unchanged_for = any_changed ? 0 : unchanged_for + 1;
    }
    return RC_OK;
}

enum rc page_run_check(const struct page_run *r, bool patient,
                       uint32_t ret_bad[static PAGE_RUN_MAX], uint32_t *ret_count,
                       struct error *err)
{
    BUG_IF(r->count > PAGE_RUN_MAX);
    uint32_t count = find_bad_pages(r, ret_bad);
    TRY(recheck_pages(r, ret_bad, &count, patient, err));
    *ret_count = count;
    return RC_OK;
}
