#include "verify/scratch.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "verify/scratch_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What PostgreSQL appends to the socket directory, with room for any port. */
#define SOCKET_FILE_MAX sizeof("/.s.PGSQL.65535.lock")

static enum rc make_dir(const char *path, struct error *err)
{
    if (mkdir(path, 0700) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not make the directory");
        return error_on(err, "%s", path);
    }
    return RC_OK;
}

static enum rc give(const char *path, uid_t uid, gid_t gid, struct error *err)
{
    if (geteuid() != 0 || lchown(path, uid, gid) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not give the directory to user %u", uid);
    return error_on(err, "%s", path);
}

static struct scratch *scratch_named(const char *parent, const char *name)
{
    struct scratch *s = mem_zalloc(sizeof *s);
    s->owner_fd = -1;
    s->root = path_join(parent, name);
    s->data = path_join(s->root, "data");
    s->tablespaces = path_join(s->root, "tablespaces");
    s->conf = path_join(s->root, "conf");
    s->restore_log = path_join(s->root, "restore.log");
    s->server_log = path_join(s->root, "server.log");
    s->socket = path_join(s->root, "socket");
    if (strlen(s->socket) + SOCKET_FILE_MAX > sizeof(((struct sockaddr_un *)0)->sun_path)) {
        free(s->socket);
        s->socket = path_join("/tmp", name);
        s->socket_outside = true;
    }
    return s;
}

static enum rc random_name(char to[static sizeof(SCRATCH_PREFIX) + 16], struct error *err)
{
    uint8_t bytes[8];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set_errno(err, RC_SYSTEM, errno, "could not draw a random name");
    memcpy(to, SCRATCH_PREFIX, sizeof(SCRATCH_PREFIX) - 1);
    hex_encode(bytes, sizeof bytes, to + sizeof(SCRATCH_PREFIX) - 1);
    return RC_OK;
}

static enum rc give_all(const struct scratch *s, uid_t uid, gid_t gid, struct error *err)
{
    TRY(give(s->conf, uid, gid, err));
    TRY(give(s->socket, uid, gid, err));
    TRY(give(s->tablespaces, uid, gid, err));
    return give(s->root, uid, gid, err);
}

static enum rc fill(struct scratch *s, uid_t uid, gid_t gid, struct error *err)
{
    TRY(owner_begin(s->root, s->socket_outside ? s->socket : "", &s->owner_fd, err));
    TRY(make_dir(s->conf, err));
    TRY(make_dir(s->socket, err));
    TRY(make_dir(s->tablespaces, err)); /* its parts are restored one by one */
    return give_all(s, uid, gid, err);
}

enum rc scratch_make(const char *parent, uid_t uid, gid_t gid, struct scratch **ret,
                     struct error *err)
{
    char name[sizeof(SCRATCH_PREFIX) + 16];
    TRY(random_name(name, err));
    CLEANUP_FREE char *absolute = path_absolute(parent);
    if (!file_exists(absolute)) {
        TRY(file_make_dirs(absolute, 0700, err));
        TRY(give(absolute, uid, gid, err));
    }
    CLEANUP_SCRATCH struct scratch *s = scratch_named(absolute, name);
    enum rc rc = make_dir(s->root, err);
    if (rc != RC_OK)
        return error_now(err, "set scratch-directory in [verify] to a directory that may be "
                              "written and has room for a whole restore");
    rc = fill(s, uid, gid, err);
    if (rc != RC_OK) {
        struct error ignored; /* the first error is the one to report */
        if (scratch_remove(s, &ignored) != RC_OK)
            error_now(err, "remove %s by hand", s->root);
        return rc;
    }
    *ret = s;
    s = NULL;
    return RC_OK;
}

enum rc scratch_keep(struct scratch *s, struct error *err)
{
    return owner_write(s->owner_fd, s->root, s->socket_outside ? s->socket : "", true, err);
}

enum rc scratch_remove(struct scratch *s, struct error *err)
{
    if (s->socket_outside)
        TRY(file_remove_tree(s->socket, err));
    return owner_remove_root(s->root, err);
}

void scratch_free(struct scratch *s)
{
    if (!s)
        return;
    cleanup_fd(&s->owner_fd);
    free(s->root);
    free(s->data);
    free(s->tablespaces);
    free(s->conf);
    free(s->socket);
    free(s->restore_log);
    free(s->server_log);
    free(s);
}
