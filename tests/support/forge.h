/*
 * Backups that were changed on purpose and carry valid digests all the same: what a reader meets
 * whose only guard is a checksum. Works on the repository's directory; use a copy. Objects are
 * removed and put anew, so a copy of hard links will do. Fails the running cmocka test.
 *
 *     struct forge *f = forge_open(repository, "main", NULL);
 *     json_object_set_new(forge_file(f, "PG_VERSION"), "path", json_string("../PG_VERSION"));
 *     forge_commit(f);
 */
#ifndef PGPROOF_TESTS_SUPPORT_FORGE_H
#define PGPROOF_TESTS_SUPPORT_FORGE_H

#include "base/json.h"

#include <stddef.h>

struct forge;

/* backup_id NULL: the newest. */
struct forge *forge_open(const char *repository, const char *cluster, const char *backup_id);
/* All that was changed gets its digests: manifest, then backup.json. Frees it. */
void forge_commit(struct forge *f);

/* To be changed in place; they belong to the forge. */
json_t *forge_summary(struct forge *f);                /* backup.json */
json_t *forge_header(struct forge *f);                 /* the manifest's first line */
json_t *forge_files(struct forge *f);                  /* its lines of files: an array */
json_t *forge_file(struct forge *f, const char *path); /* one of them */
size_t forge_index(struct forge *f, const char *path); /* its place in the array */

/* One byte of a file's first chunk, or of its first map, is changed; the pack gets its new name, so
 * that its SHA-256 is right and only the frame's own hash can tell. */
void forge_flip_chunk(struct forge *f, const char *path); /* a file of one chunk */
void forge_flip_map(struct forge *f, const char *path);   /* a file of several */

/* Put a document in another's place, with these members set to other values. */
void forge_document(const char *repository, const char *name, const char *kind, const char *member,
                    json_t *value);

#endif
