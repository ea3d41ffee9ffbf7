#include "pgproof/owner.h"

#include "base/file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rc find_owner(const char *data_directory, struct stat *ret, struct error *err)
{
    if (stat(data_directory, ret) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not look at the data directory");
    error_on(err, "%s", data_directory);
    return error_now(err, "correct 'data-directory' of the cluster in the configuration");
}

enum rc owner_become(const char *data_directory, struct error *err)
{
    struct stat st;

    if (geteuid() != 0 || !data_directory)
        return RC_OK;
    TRY(find_owner(data_directory, &st, err));
    if (st.st_uid == 0)
        return RC_OK;
    if (setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not become the owner of the data directory");
    return error_on(err, "%s, user %u", data_directory, (unsigned)st.st_uid);
}

static enum rc make_and_give(const char *path, const struct stat *owner, struct error *err)
{
    bool empty;

    if (mkdir(path, 0700) && errno != EEXIST) {
        error_set_errno(err, RC_SYSTEM, errno, "could not make the repository's directory");
        error_on(err, "%s", path);
        return error_now(err, "see that the directory above it is there");
    }
    TRY(file_dir_is_empty(path, &empty, err));
    if (!empty)
        return RC_OK;
    if (chown(path, owner->st_uid, owner->st_gid) == 0)
        return RC_OK;
    error_set_errno(err, RC_SYSTEM, errno, "could not give the directory to user %u",
                    (unsigned)owner->st_uid);
    return error_on(err, "%s", path);
}

enum rc owner_make_directory(const char *data_directory, const char *path, struct error *err)
{
    struct stat owner;
    struct error again;

    if (getuid() != 0 || !data_directory)
        return RC_OK;
    if (seteuid(0) || setegid(0))
        return error_set_errno(err, RC_SYSTEM, errno, "could not become root again");
    TRY(find_owner(data_directory, &owner, err));
    enum rc rc = make_and_give(path, &owner, err);
    enum rc back = owner_become(data_directory, rc == RC_OK ? err : &again);
    return rc == RC_OK ? back : rc;
}
