/*
 * The bytes of one file of a backup, straight from its packs: what a restore would write, without
 * the restore. Fails the running cmocka test where a pack, map or frame is not what the manifest
 * says. `to` is cleared first.
 */
#ifndef PGPROOF_TESTS_SUPPORT_STORED_FILE_H
#define PGPROOF_TESTS_SUPPORT_STORED_FILE_H

#include "repo/manifest.h"

struct stored_files;
struct stored_files *stored_files_open(struct repo *r, const char *cluster, struct manifest *m);
void stored_file_read(struct stored_files *s, const struct manifest_file *f, struct buf *to);
void stored_files_close(struct stored_files *s); /* takes NULL */

#endif
