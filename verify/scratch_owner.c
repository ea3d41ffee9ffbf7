#include "verify/scratch_owner.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_MAX   4096
#define OWNER_KIND  "pgproof drill"
#define BOOT_ID     "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64

bool process_start_ticks(pid_t pid, uint64_t *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CLEANUP_FILE FILE *f = fopen(path, "re");
    char line[1024];
    if (!f || !fgets(line, sizeof line, f))
        return false;
    /* the command's name may hold spaces and brackets: count the fields behind its last ')' */
    char *p = strrchr(line, ')');
    if (!p)
        return false;
    char *save = NULL;
    char *field = strtok_r(p + 1, " ", &save); /* field 3: the state */
    for (int n = 3; field && n < 22; n++)
        field = strtok_r(NULL, " ", &save);
    return field && parse_u64(field, ret);
}

static void boot_id(char to[static BOOT_ID_MAX])
{
    to[0] = '\0';
    CLEANUP_FILE FILE *f = fopen(BOOT_ID, "re");
    if (f && fgets(to, BOOT_ID_MAX, f))
        to[strcspn(to, "\n")] = '\0';
}

enum rc owner_write(int fd, const char *root, const char *socket_dir, bool kept, struct error *err)
{
    char boot[BOOT_ID_MAX];
    uint64_t ticks = 0;
    boot_id(boot);
    if (!process_start_ticks(getpid(), &ticks))
        ticks = 0;
    CLEANUP_JSON json_t *o =
        json_pack("{s:s, s:I, s:I, s:s, s:s, s:b}", "kind", OWNER_KIND, "pid", (json_int_t)getpid(),
                  "start_ticks", (json_int_t)ticks, "boot_id", boot, "socket_directory", socket_dir,
                  "kept", kept);
    CLEANUP_FREE char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
    BUG_IF(!text);
    if (ftruncate(fd, 0) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not write the owner file");
        return error_on(err, "%s/%s", root, OWNER_FILE);
    }
    return file_pwrite_all(fd, text, strlen(text), 0, root, err);
}

enum rc owner_begin(const char *root, const char *socket_dir, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *path = path_join(root, OWNER_FILE);
    CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        error_set_errno(err, RC_SYSTEM, errno, "could not create and lock the owner file");
        return error_on(err, "%s", path);
    }
    TRY(owner_write(fd, root, socket_dir, false, err));
    *ret_fd = fd;
    fd = -1;
    return RC_OK;
}

/* Where flock does not work (some network file systems), the process itself is looked for. */
static bool process_lives(const json_t *o)
{
    struct error ignored;
    uint64_t pid, noted, ticks;
    const char *noted_boot;
    char boot[BOOT_ID_MAX];
    if (json_get_u64(o, "pid", &pid, &ignored) != RC_OK || pid == 0 || pid > INT32_MAX ||
        json_get_u64(o, "start_ticks", &noted, &ignored) != RC_OK ||
        json_get_str(o, "boot_id", &noted_boot, &ignored) != RC_OK)
        return false;
    boot_id(boot);
    if (!str_eq(boot, noted_boot) || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))
        return false;
    return !process_start_ticks((pid_t)pid, &ticks) || ticks == noted;
}

static enum owner_state state_of(const void *text, size_t len, struct owner *to)
{
    struct error ignored;
    CLEANUP_JSON json_t *o = NULL;
    const char *kind, *socket_dir;
    bool kept;
    if (json_parse_object(text, len, &o, &ignored) != RC_OK ||
        json_get_str(o, "kind", &kind, &ignored) != RC_OK || !str_eq(kind, OWNER_KIND) ||
        json_get_str(o, "socket_directory", &socket_dir, &ignored) != RC_OK ||
        json_get_flag(o, "kept", true, &kept, &ignored) != RC_OK ||
        !str_copy(to->socket_dir, sizeof to->socket_dir, socket_dir))
        return OWNER_NONE;
    if (kept)
        return OWNER_KEPT;
    return process_lives(o) ? OWNER_AT_WORK : OWNER_GONE;
}

/* Anybody may put a directory with a drill's name into /var/tmp. */
static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

enum rc owner_look(const char *root, struct owner *ret, struct error *err)
{
    struct owner found = {.state = OWNER_NONE, .fd = -1};
    CLEANUP_FREE char *path = path_join(root, OWNER_FILE);
    CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT && errno != EACCES) {
        error_set_errno(err, RC_SYSTEM, errno, "could not open the owner file");
        return error_on(err, "%s", path);
    }
    if (fd < 0 || !is_ours(fd)) {
        *ret = found;
        return RC_OK;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        found.state = OWNER_AT_WORK;
    } else {
        char text[OWNER_MAX];
        size_t len;
        TRY(file_pread(fd, text, sizeof text, 0, &len, path, err));
        found.state = state_of(text, len, &found);
    }
    if (found.state == OWNER_GONE) {
        found.fd = fd;
        fd = -1;
    }
    *ret = found;
    return RC_OK;
}

enum rc owner_remove_root(const char *root, struct error *err)
{
    CLEANUP_DIR DIR *dir = opendir(root);
    if (!dir) {
        error_set_errno(err, RC_SYSTEM, errno, "could not open the scratch directory");
        return error_on(err, "%s", root);
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || str_eq(e->d_name, OWNER_FILE))
            continue;
        CLEANUP_FREE char *path = path_join(root, e->d_name);
        TRY(file_remove_tree(path, err));
    }
    return file_remove_tree(root, err);
}
