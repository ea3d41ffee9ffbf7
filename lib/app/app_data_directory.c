#include "app/app.h"

#include "base/file.h"
#include "pg/control.h"

const char *app_data_directory(const struct app *a)
{
    if (file_exists(CONTROL_PATH))
        return ".";
    return a->config ? a->config->data_directory : NULL;
}
