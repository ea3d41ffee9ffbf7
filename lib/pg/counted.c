#include "pg/counted.h"

enum rc counted_databases(struct session *s, struct rows **ret, struct error *err)
{
    return session_query(s,
                         "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn "
                         "AND datname <> 'template0' AND datconnlimit <> -2 ORDER BY 1",
                         0, NULL, ret, err);
}

enum rc counted_tables(struct session *s, struct rows **ret, struct error *err)
{
    return session_query(
        s,
        "SELECT n.nspname, c.relname, c.oid, c.relfilenode "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN "
        "('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2",
        0, NULL, ret, err);
}
