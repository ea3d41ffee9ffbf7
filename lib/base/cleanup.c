#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void cleanup_fd(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

void cleanup_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

void cleanup_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}
