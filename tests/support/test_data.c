#include "support/test_data.h"

#include "base/file.h"

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

void test_data_read(struct buf *to, const char *fmt, ...)
{
    /* The build passes absolute paths to the compiler: ours is tests/support/test_data.c. */
    static const char self[] = __FILE__, tail[] = "support/test_data.c";
    char path[4096], name[512];
    struct error err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    snprintf(path, sizeof path, "%.*sdata/%s", (int)(sizeof self - sizeof tail), self, name);
    if (file_read(path, to, &err) != RC_OK)
        fail_msg("%s: %s", path, err.what);
}
