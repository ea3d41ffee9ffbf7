#include "backup/data_files.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void data_files_init(struct data_files *f, int root)
{
    *f = (struct data_files){.root = root, .dir_fd = -1};
}

void data_files_done(struct data_files *f)
{
    free(f->dir_path);
    cleanup_fd(&f->dir_fd);
}

/* Open a directory below the data directory, following no link but pg_tblspc/<oid>. -1 and errno
 * on failure. */
static int open_directory(int root, const char *path)
{
    CLEANUP_FD int fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool in_tablespaces = false;
    while (fd >= 0 && *path) {
        char name[NAME_MAX + 1];
        size_t len = strcspn(path, "/");
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        path += len + (path[len] == '/');
        int next =
            openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | (in_tablespaces ? 0 : O_NOFOLLOW));
        in_tablespaces = str_eq(name, "pg_tblspc") && !in_tablespaces;
        cleanup_fd(&fd);
        fd = next;
    }
    int result = fd;
    fd = -1;
    return result;
}

/* The directory of the file before is kept open: files of one directory come in a row. */
int data_files_open(struct data_files *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t dir_len = slash ? (size_t)(slash - path) : 0;
    if (!f->dir_path || strlen(f->dir_path) != dir_len || memcmp(f->dir_path, path, dir_len) != 0) {
        free(f->dir_path);
        cleanup_fd(&f->dir_fd);
        f->dir_path = str_printf("%.*s", (int)dir_len, path);
        f->dir_fd = open_directory(f->root, f->dir_path);
        if (f->dir_fd < 0) {
            free(f->dir_path);
            f->dir_path = NULL;
            return -1;
        }
    }
    return openat(f->dir_fd, slash ? slash + 1 : path,
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}
