#include "verify/damage.h"

#include "base/str.h"

enum damage damage_of_sqlstate(const char *sqlstate)
{
    if (!*sqlstate)
        return DAMAGE_LOST;
    if (str_starts(sqlstate, "XX") || str_starts(sqlstate, "58"))
        return DAMAGE_PROVEN;
    return DAMAGE_UNKNOWN;
}

enum damage damage_judge(const struct session *s)
{
    return damage_of_sqlstate(session_sqlstate(s));
}
