/*
 * Feeds every file of some directories to a fuzz entry: fuzz_<parser> DIRECTORY... Says which file
 * it is at, so that a crash has a name; a directory without files is a failure.
 */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define INPUT_MAX (1u << 20)

static enum rc replay_file(const char *path, struct error *err)
{
    CLEANUP_BUF struct buf input = BUF_INIT(INPUT_MAX);

    fprintf(stderr, "%s\n", path);
    TRY(file_read(path, &input, err));
    LLVMFuzzerTestOneInput(input.data, input.len);
    return RC_OK;
}

static enum rc replay_all(const char *directory, struct error *err)
{
    CLEANUP_DIR DIR *dir = opendir(directory);
    unsigned files = 0;

    for (struct dirent *d; dir && (d = readdir(dir));) {
        CLEANUP_FREE char *path = path_join(directory, d->d_name);
        if (d->d_name[0] == '.')
            continue;
        TRY(replay_file(path, err));
        files++;
    }
    if (files == 0)
        return error_set(err, RC_SYSTEM, "there is nothing to replay");
    return RC_OK;
}

int main(int argc, char **argv)
{
    struct error err;
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];

    if (argc < 2)
        return 3;
    for (int i = 1; i < argc; i++) {
        if (replay_all(argv[i], &err) == RC_OK)
            continue;
        fprintf(stderr, "%s: %s\n", argv[i], err.what);
        printf("[  FAILED  ] %s\n[  FAILED  ] %s\n", name, name); /* twice, as cmocka does */
        return 1;
    }
    printf("[       OK ] %s\n", name);
    return 0;
}
