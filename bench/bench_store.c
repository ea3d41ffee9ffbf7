/*
 * bench-store: objects put to, got from and removed from a repository's storage by several threads,
 * as a backup and a restore do it: each has a store handle and one buffer of its own. Prints time,
 * throughput, CPU time and memory of this process. Not shipped; bench/s3 sets it beside others.
 */
#include "app/app_open.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MiB            (1u << 20)
#define GROWTH_PERCENT 10

struct worker {
    struct store *store;
    struct buf put; /* what a file or the generator gave */
    struct buf got;
};

struct bench {
    const char *prefix; /* of the objects' names */
    const char *files;  /* a directory with FILES/0, FILES/1, …; NULL: memory */
    uint64_t threads, objects, size_bytes;
    enum rc (*work)(struct bench *b, struct worker *w, unsigned number, struct error *err);
    struct worker *workers;

    pthread_mutex_t mutex; /* guards what stands below: memory as the soak goes on */
    uint64_t done_bytes;
    uint64_t first_kb, last_kb;
};

static void object_name(const struct bench *b, unsigned number, char to[static STORE_NAME_MAX])
{
    snprintf(to, STORE_NAME_MAX, "%s/%u", b->prefix, number);
}

static char *file_name(const struct bench *b, unsigned number)
{
    return str_printf("%s/%u", b->files, number);
}

/* Incompressible, and different for each object: after the first, only the first bytes are new. */
static enum rc generate(const struct bench *b, struct worker *w, unsigned number, struct error *err)
{
    uint64_t random = (uint64_t)clock_now();

    TRY(buf_reserve(&w->put, b->size_bytes - w->put.len, err));
    for (; w->put.len < b->size_bytes; w->put.len++) {
        random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        w->put.data[w->put.len] = (uint8_t)(random >> 56);
    }
    memcpy(w->put.data, &number, b->size_bytes < sizeof(number) ? b->size_bytes : sizeof(number));
    return RC_OK;
}

static enum rc put(struct bench *b, struct worker *w, unsigned number, struct error *err)
{
    char name[STORE_NAME_MAX];
    CLEANUP_FREE char *path = b->files ? file_name(b, number) : NULL;

    object_name(b, number, name);
    if (path) {
        buf_clear(&w->put);
        TRY(file_read(path, &w->put, err));
    } else {
        TRY(generate(b, w, number, err));
    }
    return store_put(w->store, name, w->put.data, w->put.len, err);
}

/* Not durable: rclone and curl don't sync what they fetch either. */
static enum rc write_file(const char *path, const struct buf *data, struct error *err)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        error_set(err, RC_SYSTEM, "could not make the file");
        return error_on(err, "%s", path);
    }
    return file_write_all(fd, data->data, data->len, path, err);
}

static enum rc get(struct bench *b, struct worker *w, unsigned number, struct error *err)
{
    char name[STORE_NAME_MAX];
    CLEANUP_FREE char *path = b->files ? file_name(b, number) : NULL;

    object_name(b, number, name);
    buf_clear(&w->got);
    TRY(store_get(w->store, name, &w->got, err));
    return path ? write_file(path, &w->got, err) : RC_OK;
}

static enum rc remove_object(struct bench *b, struct worker *w, unsigned number, struct error *err)
{
    char name[STORE_NAME_MAX];

    object_name(b, number, name);
    return store_remove(w->store, name, err);
}

static uint64_t resident_kb(void)
{
    CLEANUP_FILE FILE *f = fopen("/proc/self/statm", "re");
    unsigned long all, resident;

    if (!f || fscanf(f, "%lu %lu", &all, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* What is resident whenever another GiB has gone there and back. */
static void note_memory(struct bench *b)
{
    uint64_t before = b->done_bytes >> 30;

    b->done_bytes += b->size_bytes;
    if (b->done_bytes >> 30 == before)
        return;
    b->last_kb = resident_kb();
    if (b->first_kb == 0)
        b->first_kb = b->last_kb;
    printf("%4llu GiB put and got: %llu kB resident\n", (unsigned long long)(b->done_bytes >> 30),
           (unsigned long long)b->last_kb);
    fflush(stdout);
}

static enum rc soak(struct bench *b, struct worker *w, unsigned number, struct error *err)
{
    TRY(put(b, w, number, err));
    TRY(get(b, w, number, err));
    if (w->got.len != w->put.len || memcmp(w->got.data, w->put.data, w->put.len) != 0)
        return error_set(err, RC_INTEGRITY, "what came back is not what was put");
    TRY(remove_object(b, w, number, err));
    pthread_mutex_lock(&b->mutex);
    note_memory(b);
    pthread_mutex_unlock(&b->mutex);
    return RC_OK;
}

static enum rc judge_memory(const struct bench *b, struct error *err)
{
    if (b->last_kb == b->first_kb && b->done_bytes < 2ull << 30)
        return error_set(err, RC_SYSTEM, "less than 2 GiB show no growth");
    if (b->last_kb * 100 <= b->first_kb * (100 + GROWTH_PERCENT))
        return RC_OK;
    return error_set(err, RC_SYSTEM, "memory grew by more than %d %%: from %llu kB to %llu kB",
                     GROWTH_PERCENT, (unsigned long long)b->first_kb,
                     (unsigned long long)b->last_kb);
}

static enum rc work(void *ctx, unsigned worker, void *item, struct error *err)
{
    struct bench *b = ctx;

    return item ? b->work(b, &b->workers[worker], (unsigned)(uintptr_t)item - 1, err) : RC_OK;
}

static enum rc run_pool(struct bench *b, struct error *err)
{
    struct pool *pool;

    TRY(pool_new((unsigned)b->threads, b->threads, work, b, &pool, err));
    for (uintptr_t i = 1; i <= b->objects; i++)
        if (pool_submit(pool, (void *)i, err) != RC_OK)
            break;
    return pool_finish(pool, err);
}

static enum rc open_workers(const struct app *a, struct bench *b, struct error *err)
{
    b->workers = mem_zalloc(b->threads * sizeof(*b->workers));
    TRY(app_open_store(a, true, &b->workers[0].store, err));
    for (unsigned i = 0; i < b->threads; i++) {
        struct worker *w = &b->workers[i];

        if (i > 0)
            TRY(store_dup(b->workers[0].store, &w->store, err));
        w->put = w->got = BUF_INIT(b->size_bytes);
        if (b->work != get && b->work != remove_object && !b->files)
            TRY(generate(b, w, 0, err));
    }
    return RC_OK;
}

static void close_workers(struct bench *b)
{
    for (unsigned i = 0; b->workers && i < b->threads; i++) {
        store_close(b->workers[i].store);
        buf_done(&b->workers[i].put);
        buf_done(&b->workers[i].got);
    }
    free(b->workers);
}

static double cpu_seconds(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

/* One line for people and for awk. */
static enum rc measure(struct bench *b, const char *what, struct error *err)
{
    struct rusage before, after;
    double begin = clock_monotonic(), seconds;

    getrusage(RUSAGE_SELF, &before);
    TRY(run_pool(b, err));
    seconds = clock_monotonic() - begin;
    getrusage(RUSAGE_SELF, &after);
    printf("%s: %.3f s, %.1f MiB/s, %.3f s CPU, %ld kB peak\n", what, seconds,
           (double)b->objects * (double)b->size_bytes / MiB / seconds,
           cpu_seconds(&after) - cpu_seconds(&before), after.ru_maxrss);
    return RC_OK;
}

static enum rc number_option(const struct app *a, const char *name, uint64_t max, uint64_t *to,
                             struct error *err)
{
    const char *text = app_value(a, name);

    if (!text || (parse_size(text, to) && *to > 0 && *to <= max))
        return RC_OK;
    error_set(err, RC_USAGE, "\"%s\" is not possible here", text);
    error_on(err, "--%s", name);
    return error_now(err, "give a number from 1 to %llu", (unsigned long long)max);
}

static enum rc read_command(const struct app *a, struct bench *b, struct error *err)
{
    static const struct {
        const char *name;
        enum rc (*work)(struct bench *, struct worker *, unsigned, struct error *);
    } commands[] = {{"put", put}, {"get", get}, {"remove", remove_object}, {"soak", soak}};

    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (str_eq(a->args[0], commands[i].name))
            b->work = commands[i].work;
    if (!b->work)
        return error_set(err, RC_USAGE, "there is put, get, remove and soak");
    b->prefix = a->args[1];
    b->files = app_value(a, "files");
    TRY(number_option(a, "threads", 256, &b->threads, err));
    TRY(number_option(a, "objects", 1u << 30, &b->objects, err));
    return number_option(a, "size", STORE_OBJECT_MAX, &b->size_bytes, err);
}

static enum rc run(struct app *a, int *exit_code, struct error *err)
{
    CLEANUP(close_workers)
    struct bench b = {
        .threads = 4, .objects = 24, .size_bytes = 32 * MiB, .mutex = PTHREAD_MUTEX_INITIALIZER};

    (void)exit_code;
    TRY(read_command(a, &b, err));
    TRY(open_workers(a, &b, err));
    TRY(measure(&b, a->args[0], err));
    return b.work == soak ? judge_memory(&b, err) : RC_OK;
}

static const struct app_option options[] = {
    {"threads", "NUMBER", "how many work at once, each with its own connection (4)"},
    {"objects", "NUMBER", "how many objects (24)"},
    {"size", "SIZE", "of an object (32MB)"},
    {"files", "DIRECTORY", "put its files 0, 1, … or get into them; else from and to memory"},
    {0},
};

static const struct app_tool tool = {
    .name = "bench-store",
    .summary = "measure a repository's storage",
    .usage = "put|get|remove|soak PREFIX [option ...]",
    .details = "Works on the objects PREFIX/0, PREFIX/1, …, which `put` makes. `soak` puts, gets, "
               "compares and removes one after the other, prints the memory in use after each GiB, "
               "and fails where the last is more than 10 % above the first.",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .needs_config = true,
    .run = run,
};

int main(int argc, char **argv)
{
    return app_main(&tool, argc, argv);
}
