/* The configuration file. */
#include "fuzz/fuzz.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "config/config_int.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char *const no_environment[] = {NULL};
    CLEANUP_FD int fd = memfd_create("pgproof.conf", MFD_CLOEXEC);
    CLEANUP_FREE char *path = str_printf("/proc/self/fd/%d", fd);
    CLEANUP(cleanup_config) struct config *c = NULL;
    struct config_source source = {
        .table = config_options, .table_count = config_option_count, .environment = no_environment};
    struct config_request q = {.path = path};
    struct error err;

    BUG_IF(fd < 0 || fchmod(fd, 0600) != 0);
    BUG_IF(file_write_all(fd, data, len, path, &err) != RC_OK);
    enum rc rc = config_load_from(&source, &q, &c, &err);
    BUG_IF(rc != RC_OK && rc != RC_CONFIG && rc != RC_USAGE);
    BUG_IF(rc == RC_OK && !c->cluster);
    return 0;
}
