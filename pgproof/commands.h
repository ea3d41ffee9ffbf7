/* The commands that live in `pgproof` itself. */
#ifndef PGPROOF_PGPROOF_COMMANDS_H
#define PGPROOF_PGPROOF_COMMANDS_H

#include "app/app.h"

extern const struct app_tool init_tool, info_tool, check_tool, config_tool, doctor_tool;

#endif
