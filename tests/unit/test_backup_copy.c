/* Copying a data directory into packs: what comes back is what was read, also where files change
 * between listing and reading. */
#include "backup/copy.h"

#include "backup/scan.h"
#include "base/cancel.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/page.h"
#include "support/stored_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CLUSTER     "main"
#define PAGE        8192u
#define PIECE       ((uint64_t)MAP_FRAME_CHUNKS * CHUNK_BYTES)
#define SMALL_PIECE (CHUNK_BYTES * 3 + 100)

struct fixture {
    char dir[256];
    char *data;
    struct repo *repo;
    struct manifest *m;
    struct scan_result scan;
    struct copy_options options;
    struct copy_result result;
    struct progress progress;
    struct error err;
};

static void must(enum rc rc, const struct error *err)
{
    if (rc != RC_OK)
        fail_msg("%s (%s)", err->what, err->on);
}

static void make_dir(struct fixture *f, const char *name)
{
    char *path = path_join(f->data, name);
    must(file_make_dirs(path, 0700, &f->err), &f->err);
    free(path);
}

static int open_at(struct fixture *f, const char *name, int flags)
{
    char *path = path_join(f->data, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    free(path);
    return fd;
}

static void write_at(struct fixture *f, const char *name, uint64_t offset, const void *data,
                     size_t len)
{
    int fd = open_at(f, name, O_WRONLY | O_CREAT);
    must(file_pwrite_all(fd, data, len, offset, name, &f->err), &f->err);
    assert_int_equal(close(fd), 0);
}

static void set_length(struct fixture *f, const char *name, uint64_t len)
{
    int fd = open_at(f, name, O_WRONLY | O_CREAT);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    assert_int_equal(close(fd), 0);
}

/* Bytes that compress a little and differ by seed. */
static void fill(uint8_t *to, size_t len, unsigned seed)
{
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        to[i] = (uint8_t)(x >> 24 & (i & 64 ? 0x0f : 0xff));
    }
}

static void write_random(struct fixture *f, const char *name, size_t len, unsigned seed)
{
    uint8_t *bytes = mem_alloc(len + 1);
    fill(bytes, len, seed);
    write_at(f, name, 0, bytes, len);
    free(bytes);
}

/* A relation's page with a good checksum. */
static void make_page(uint8_t page[static PAGE], uint32_t block)
{
    fill(page, PAGE, block + 7);
    put_le16(page + 8, page_checksum(page, PAGE, block));
}

static void write_pages(struct fixture *f, const char *name, uint32_t first_block, uint32_t count)
{
    uint8_t page[PAGE];
    for (uint32_t i = 0; i < count; i++) {
        make_page(page, first_block + i);
        write_at(f, name, (uint64_t)i * PAGE, page, PAGE);
    }
}

static void spoil_page(struct fixture *f, const char *name, uint32_t index)
{
    write_at(f, name, (uint64_t)index * PAGE + 4000, "damage", 6);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/pgproof-copy-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->data = path_join(f->dir, "data");
    make_dir(f, "base/5");
    make_dir(f, "global");
    make_dir(f, "pg_tblspc");
    char *repository = path_join(f->dir, "repository");
    struct store *store = NULL;
    const struct store_options so = {.type = STORE_POSIX, .path = repository, .create = true};
    must(store_open(&so, &store, &f->err), &f->err);
    must(repo_create(store, &f->err), &f->err);
    must(repo_open(store, &f->repo, &f->err), &f->err);
    free(repository);
    f->m = manifest_new();
    strcpy(f->m->backup_id, "20261121T020000Z");
    f->m->system_identifier = 42;
    f->options = (struct copy_options){
        .repo = f->repo,
        .cluster = CLUSTER,
        .data_directory = f->data,
        .system_identifier = 42,
        .page_bytes = PAGE,
        .relation_segment_pages = 131072,
        .data_checksums = true,
        .jobs = 2,
        .zstd_level = 1,
        .paranoid = true,
        .progress = &f->progress,
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct error err;
    manifest_free(f->m);
    repo_close(f->repo);
    if (file_remove_tree(f->dir, &err) != RC_OK)
        print_error("%s: %s\n", f->dir, err.what);
    free(f->data);
    free(f);
    return 0;
}

static void list(struct fixture *f)
{
    const struct scan_options o = {f->data, 15, 202209061};
    must(scan_data_directory(&o, f->m, &f->scan, &f->err), &f->err);
}

/* Read the manifest as a later run would. */
static void reload(struct fixture *f)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64u << 20);
    struct manifest *again = NULL;
    must(manifest_encode(f->m, &text, &f->err), &f->err);
    must(manifest_decode(text.data, text.len, &again, &f->err), &f->err);
    manifest_free(f->m);
    f->m = again;
}

static void copy(struct fixture *f)
{
    must(copy_files(&f->options, f->m, &f->result, &f->err), &f->err);
    reload(f);
}

static void read_back(struct fixture *f, const char *name, struct buf *to)
{
    const struct manifest_file *file = manifest_find(f->m, name);
    if (!file)
        fail_msg("%s is not in the manifest", name);
    struct stored_files *s = stored_files_open(f->repo, CLUSTER, f->m);
    stored_file_read(s, file, to);
    stored_files_close(s);
}

/* The first len bytes of the file on disk are what the backup has, and all that it has. */
static void assert_has(struct fixture *f, const char *name, uint64_t len)
{
    CLEANUP_BUF struct buf live = BUF_INIT(512u << 20), stored = BUF_INIT(512u << 20);
    char *path = path_join(f->data, name);
    must(file_read(path, &live, &f->err), &f->err);
    free(path);
    read_back(f, name, &stored);
    assert_int_equal(stored.len, len);
    assert_true(live.len >= len);
    if (len > 0)
        assert_memory_equal(stored.data, live.data, len);
}

static void test_sizes_around_the_chunk(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {
        0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, SMALL_PIECE, 9 * CHUNK_BYTES + 17};
    char name[32];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(name, sizeof name, "file%zu", i);
        write_random(f, name, sizes[i], (unsigned)i);
    }
    list(f);
    copy(f);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(name, sizeof name, "file%zu", i);
        assert_has(f, name, sizes[i]);
    }
    assert_int_equal(f->result.vanished, 0);
    assert_true(f->result.stored_bytes > 0);
    assert_int_equal(f->progress.files_done, sizeof sizes / sizeof *sizes);
}

static void test_a_file_of_several_packs_and_pieces(void **state)
{
    struct fixture *f = *state;
    write_random(f, "large", PIECE + 5 * CHUNK_BYTES + 3, 1);
    list(f);
    copy(f);
    const struct manifest_file *m = manifest_find(f->m, "large");
    assert_int_equal(m->map_count, 2);
    assert_true(pack_table_count(f->m->packs) > 2);
    assert_has(f, "large", PIECE + 5 * CHUNK_BYTES + 3);
}

static void test_zeroes_are_stored_nowhere(void **state)
{
    struct fixture *f = *state;
    set_length(f, "zero", 3 * PIECE);
    list(f);
    copy(f);
    assert_int_equal(pack_table_count(f->m->packs), 0);
    assert_has(f, "zero", 3 * PIECE);
}

static void test_many_small_files(void **state)
{
    struct fixture *f = *state;
    char name[32];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "base/5/x%u", i);
        write_random(f, name, i * 7, i);
    }
    list(f);
    copy(f);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "base/5/x%u", i);
        assert_has(f, name, i * 7);
    }
}

static void test_a_file_vanishes(void **state)
{
    struct fixture *f = *state;
    write_random(f, "base/5/a", 100, 1);
    write_random(f, "base/5/b", 100, 2);
    write_random(f, "base/5/c", 100, 3);
    list(f);
    char *path = path_join(f->data, "base/5/b");
    assert_int_equal(unlink(path), 0);
    free(path);
    copy(f);
    assert_int_equal(f->result.vanished, 1);
    assert_null(manifest_find(f->m, "base/5/b"));
    assert_has(f, "base/5/a", 100);
    assert_has(f, "base/5/c", 100);
}

static void test_a_whole_directory_vanishes(void **state)
{
    struct fixture *f = *state;
    make_dir(f, "base/6");
    write_random(f, "base/6/a", 100, 1);
    write_random(f, "base/6/b", 100, 2);
    write_random(f, "base/5/c", 100, 3);
    list(f);
    char *path = path_join(f->data, "base/6");
    must(file_remove_tree(path, &f->err), &f->err);
    free(path);
    copy(f);
    assert_int_equal(f->result.vanished, 2);
    assert_has(f, "base/5/c", 100);
}

static void test_a_small_file_is_taken_as_it_is_when_opened(void **state)
{
    struct fixture *f = *state;
    write_random(f, "grows", 100, 1);
    write_random(f, "shrinks", 2 * CHUNK_BYTES, 2);
    write_random(f, "empties", 10, 3);
    list(f);
    write_random(f, "grows", CHUNK_BYTES + 5, 4);
    set_length(f, "shrinks", CHUNK_BYTES);
    set_length(f, "empties", 0);
    copy(f);
    assert_has(f, "grows", CHUNK_BYTES + 5);
    assert_has(f, "shrinks", CHUNK_BYTES);
    assert_has(f, "empties", 0);
}

static void test_a_large_file_grows(void **state)
{
    struct fixture *f = *state;
    set_length(f, "large", PIECE + 7);
    write_random(f, "large", 1000, 1);
    list(f);
    set_length(f, "large", 2 * PIECE);
    copy(f);
    assert_has(f, "large", PIECE + 7);
}

static void shrink_to(struct fixture *f, uint64_t len)
{
    set_length(f, "large", 2 * PIECE + 7);
    write_random(f, "large", 1000, 1);
    write_at(f, "large", PIECE + 5, "x", 1);
    list(f);
    set_length(f, "large", len);
    copy(f);
    assert_has(f, "large", len);
}

static void test_a_large_file_shrinks_into_its_last_piece(void **state)
{
    shrink_to(*state, 2 * PIECE + 1);
}

static void test_a_large_file_shrinks_to_whole_pieces(void **state)
{
    shrink_to(*state, PIECE);
}

static void test_a_large_file_shrinks_into_its_first_piece(void **state)
{
    shrink_to(*state, 5 * CHUNK_BYTES + 1);
}

static void test_a_large_file_shrinks_to_one_chunk(void **state)
{
    shrink_to(*state, 1000);
}

static void test_a_large_file_becomes_empty(void **state)
{
    shrink_to(*state, 0);
}

static void test_good_pages_of_a_later_segment(void **state)
{
    struct fixture *f = *state;
    f->options.relation_segment_pages = 16;
    write_pages(f, "base/5/16384", 0, 16);
    write_pages(f, "base/5/16384.2", 32, 10); /* block numbers go on */
    list(f);
    copy(f);
    assert_int_equal(f->result.pages_checked, 26);
    assert_int_equal(f->result.pages_bad, 0);
    assert_int_equal(manifest_find(f->m, "base/5/16384")->pages, PAGES_GOOD);
    assert_int_equal(manifest_find(f->m, "base/5/16384.2")->pages, PAGES_GOOD);
}

static void test_bad_pages_are_named_and_kept(void **state)
{
    struct fixture *f = *state;
    f->options.relation_segment_pages = 200;
    write_pages(f, "base/5/16384.1", 200, 150);
    spoil_page(f, "base/5/16384.1", 3);
    spoil_page(f, "base/5/16384.1", 140);
    set_length(f, "base/5/16384.1", 160 * PAGE); /* new pages are no damage */
    list(f);
    copy(f);
    const struct manifest_file *m = manifest_find(f->m, "base/5/16384.1");
    assert_int_equal(f->result.pages_bad, 2);
    assert_int_equal(m->pages, PAGES_BAD);
    assert_int_equal(m->bad_block_count, 2);
    assert_int_equal(m->bad_blocks[0], 203);
    assert_int_equal(m->bad_blocks[1], 340);
    assert_has(f, "base/5/16384.1", 160 * PAGE);
}

static void test_pages_are_not_checked_without_checksums(void **state)
{
    struct fixture *f = *state;
    f->options.data_checksums = false;
    write_pages(f, "base/5/16384", 0, 2);
    spoil_page(f, "base/5/16384", 0);
    list(f);
    copy(f);
    assert_int_equal(f->result.pages_checked, 0);
    assert_int_equal(manifest_find(f->m, "base/5/16384")->pages, PAGES_NOT_CHECKED);
}

static void test_a_file_damaged_all_over_takes_no_ages(void **state)
{
    struct fixture *f = *state;
    write_random(f, "base/5/16384", 2000 * PAGE, 6);
    list(f);
    double began = clock_monotonic();
    copy(f);
    assert_true(clock_monotonic() - began < 20);
    assert_int_equal(f->result.pages_bad, 2000);
    assert_int_equal(manifest_find(f->m, "base/5/16384")->bad_blocks[1999], 1999);
}

/* A page that is half written when it is first read, and whole soon after. */
static void test_a_torn_page_is_read_again(void **state)
{
    struct fixture *f = *state;
    uint8_t page[PAGE];
    write_pages(f, "base/5/16384", 0, 2);
    spoil_page(f, "base/5/16384", 1);
    list(f);
    pid_t writer = fork();
    if (writer == 0) { /* after the first look at the page, before the last */
        make_page(page, 1);
        usleep(120 * 1000);
        int fd = open_at(f, "base/5/16384", O_WRONLY);
        _exit(pwrite(fd, page, PAGE, PAGE) == PAGE ? 0 : 1);
    }
    copy(f);
    assert_int_equal(f->result.pages_bad, 0);
    assert_has(f, "base/5/16384", 2 * PAGE);
}

static void test_a_file_becomes_a_link(void **state)
{
    struct fixture *f = *state;
    write_random(f, "base/5/a", 100, 1);
    list(f);
    char *path = path_join(f->data, "base/5/a");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    free(path);
    assert_int_equal(copy_files(&f->options, f->m, &f->result, &f->err), RC_SYSTEM);
    assert_non_null(strstr(f->err.on, "base/5/a"));
}

static void test_a_directory_becomes_a_link(void **state)
{
    struct fixture *f = *state;
    write_random(f, "base/5/a", 100, 1);
    make_dir(f, "../elsewhere");
    write_random(f, "../elsewhere/a", 100, 2);
    list(f);
    char *path = path_join(f->data, "base/5");
    must(file_remove_tree(path, &f->err), &f->err);
    assert_int_equal(symlink("../../elsewhere", path), 0);
    free(path);
    assert_int_equal(copy_files(&f->options, f->m, &f->result, &f->err), RC_SYSTEM);
}

static enum rc session_lost(void *ctx, struct error *err)
{
    (void)ctx;
    return error_set(err, RC_DATABASE, "lost");
}

static void test_a_lost_session_is_noticed_only_now_and_then(void **state)
{
    struct fixture *f = *state;
    f->options.poll = session_lost;
    write_random(f, "a", 100, 1);
    list(f);
    copy(f); /* over within the first interval */
}

static void test_files_from_memory(void **state)
{
    struct fixture *f = *state;
    static const char label[] = "START WAL LOCATION: 0/2000028\nLABEL: \xff\\\n";
    const struct copy_memory files[] = {
        {"backup_label", label, sizeof label - 1},
        {"global/pg_control", "control", 7},
        {"tablespace_map", "", 0},
    };
    const struct copy_owner owner = {0640, "postgres", "staff"};
    uint64_t stored = 0;
    list(f);
    must(copy_memory_files(&f->options, f->m, files, 3, &owner, &stored, &f->err), &f->err);
    assert_true(stored > 0);
    reload(f);
    CLEANUP_BUF struct buf text = BUF_INIT(1u << 20);
    read_back(f, "backup_label", &text);
    assert_int_equal(text.len, sizeof label - 1);
    assert_memory_equal(text.data, label, text.len);
    read_back(f, "tablespace_map", &text);
    assert_int_equal(text.len, 0);
    const struct manifest_file *m = manifest_find(f->m, "global/pg_control");
    assert_int_equal(m->mode, 0640);
    assert_string_equal(m->owner, "postgres");
    assert_int_equal(m->pages, PAGES_NOT_CHECKED);
}

#define WITH_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_sizes_around_the_chunk),
        WITH_DIRECTORY(test_a_file_of_several_packs_and_pieces),
        WITH_DIRECTORY(test_zeroes_are_stored_nowhere),
        WITH_DIRECTORY(test_many_small_files),
        WITH_DIRECTORY(test_a_file_vanishes),
        WITH_DIRECTORY(test_a_whole_directory_vanishes),
        WITH_DIRECTORY(test_a_small_file_is_taken_as_it_is_when_opened),
        WITH_DIRECTORY(test_a_large_file_grows),
        WITH_DIRECTORY(test_a_large_file_shrinks_into_its_last_piece),
        WITH_DIRECTORY(test_a_large_file_shrinks_to_whole_pieces),
        WITH_DIRECTORY(test_a_large_file_shrinks_into_its_first_piece),
        WITH_DIRECTORY(test_a_large_file_shrinks_to_one_chunk),
        WITH_DIRECTORY(test_a_large_file_becomes_empty),
        WITH_DIRECTORY(test_good_pages_of_a_later_segment),
        WITH_DIRECTORY(test_bad_pages_are_named_and_kept),
        WITH_DIRECTORY(test_pages_are_not_checked_without_checksums),
        WITH_DIRECTORY(test_a_file_damaged_all_over_takes_no_ages),
        WITH_DIRECTORY(test_a_torn_page_is_read_again),
        WITH_DIRECTORY(test_a_file_becomes_a_link),
        WITH_DIRECTORY(test_a_directory_becomes_a_link),
        WITH_DIRECTORY(test_a_lost_session_is_noticed_only_now_and_then),
        WITH_DIRECTORY(test_files_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
