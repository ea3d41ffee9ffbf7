/*
 * Error paths without labels: a variable declared with CLEANUP(f) is handed to f when it goes out
 * of scope. A cleanup closes silently, so a success path calls the commit or close that reports
 * errors and lets the cleanup find nothing left to do.
 */
#ifndef PGPROOF_BASE_CLEANUP_H
#define PGPROOF_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>

#define CLEANUP(f) __attribute__((cleanup(f)))

/* For locals: CLEANUP_FREE char *s; CLEANUP_FD int fd = -1; CLEANUP_FILE FILE *f; */
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_FD   CLEANUP(cleanup_fd)
#define CLEANUP_FILE CLEANUP(cleanup_file)
#define CLEANUP_DIR  CLEANUP(cleanup_dir)

void cleanup_free(void *pointer_to_pointer);
void cleanup_fd(int *fd); /* keeps errno; sets *fd to -1 */
void cleanup_file(FILE **file);
void cleanup_dir(DIR **dir);

/* Defines name(T *p) for a pointer type T, which calls f(*p) where it isn't NULL. */
#define DEFINE_CLEANUP(name, T, f)                                                                 \
    static inline void name(T *p)                                                                  \
    {                                                                                              \
        if (*p)                                                                                    \
            f(*p);                                                                                 \
    }

#endif
