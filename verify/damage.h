/*
 * Why did the server refuse a query: because bytes are bad, or because the question could not be
 * asked? Only the first is proof of damage.
 */
#ifndef PGPROOF_VERIFY_DAMAGE_H
#define PGPROOF_VERIFY_DAMAGE_H

#include "pg/session.h"

enum damage {
    DAMAGE_UNKNOWN, /* an error that says nothing of the data */
    DAMAGE_PROVEN,  /* XX: corrupted data or index, an internal error; 58: a file could not be read
                     */
    DAMAGE_LOST,    /* the connection is gone */
};

/* Of the last query that failed in this session. */
enum damage damage_judge(const struct session *s);
/* The same from a SQLSTATE; "" stands for a lost connection. */
enum damage damage_of_sqlstate(const char *sqlstate);

#endif
