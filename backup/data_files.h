/*
 * Opens files of the data directory by their relative paths, following no link but those of
 * tablespaces, pg_tblspc/<oid>: what stands elsewhere may have been put there to have us read it.
 */
#ifndef PGPROOF_BACKUP_DATA_FILES_H
#define PGPROOF_BACKUP_DATA_FILES_H

/* Of one thread. The directory of the file before is kept open. */
struct data_files {
    int root;       /* the data directory; borrowed */
    char *dir_path; /* what dir_fd is open on; NULL: nothing */
    int dir_fd;     /* -1: nothing */
};

void data_files_init(struct data_files *f, int root);
void data_files_done(struct data_files *f);

/* A descriptor to read from, which the caller closes; -1 and errno on failure. */
int data_files_open(struct data_files *f, const char *path);

#endif
