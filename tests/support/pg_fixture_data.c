#include "base/cleanup.h"
#include "base/str.h"
#include "support/pg_fixture_int.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h> /* cmocka.h wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- the story ---- */

static const char tables_sql[] =
    "CREATE SCHEMA shop;"
    "CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent', 'returned');"
    "CREATE TABLE shop.customers (id bigint PRIMARY KEY, name text NOT NULL,"
    "  email text NOT NULL UNIQUE, address jsonb NOT NULL, born date, balance numeric(12,2),"
    "  tags text[], place point);"
    "CREATE TABLE shop.products (id bigint PRIMARY KEY, code uuid NOT NULL UNIQUE,"
    "  name text NOT NULL, price numeric(10,2) NOT NULL CHECK (price > 0),"
    "  attributes jsonb NOT NULL, weight real, picture bytea);"
    "CREATE TABLE shop.orders (id bigint PRIMARY KEY,"
    "  customer_id bigint NOT NULL REFERENCES shop.customers, placed_at timestamptz NOT NULL,"
    "  state shop.state NOT NULL, note text);"
    "CREATE TABLE shop.order_items (order_id bigint NOT NULL REFERENCES shop.orders,"
    "  line int NOT NULL, product_id bigint NOT NULL REFERENCES shop.products,"
    "  quantity int NOT NULL, price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line));"
    "CREATE TABLE shop.documents (id bigint PRIMARY KEY,"
    "  order_id bigint NOT NULL REFERENCES shop.orders, body text NOT NULL, meta jsonb NOT NULL);"
    "ALTER TABLE shop.documents ALTER body SET STORAGE EXTERNAL;"
    "CREATE TABLE shop.prices (product_id bigint NOT NULL REFERENCES shop.products,"
    "  day date NOT NULL, price numeric(10,2) NOT NULL, PRIMARY KEY (product_id, day))"
    "  PARTITION BY RANGE (day);"
    "CREATE TABLE shop.prices_2024 PARTITION OF shop.prices"
    "  FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
    "CREATE TABLE shop.prices_2025 PARTITION OF shop.prices"
    "  FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
    "CREATE TABLE shop.prices_2026 PARTITION OF shop.prices"
    "  FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
    "CREATE TABLE shop.events (id bigint PRIMARY KEY USING INDEX TABLESPACE story,"
    "  at timestamptz NOT NULL, kind text NOT NULL, payload jsonb) TABLESPACE story;"
    "CREATE UNLOGGED TABLE shop.carts (id bigint PRIMARY KEY, content jsonb);"
    "CREATE SEQUENCE shop.invoice_numbers START 100000 CACHE 1;";

/* Each takes one number, the scale; g is the row's number. */
static const char *const rows_sql[] = {
    "INSERT INTO shop.customers SELECT g,"
    " (ARRAY['Ada','Émile','Jürgen','Søren','Zoë','雪','Ольга','Bob'])[g % 8 + 1] || ' ' || g,"
    " 'customer' || g || '@example.org',"
    " jsonb_build_object('street', 'Straße ' || g % 97, 'zip', lpad((g * 37 % 99999)::text, 5, "
    "'0'),"
    "   'floors', jsonb_build_array(g % 5, g % 7, null)),"
    " date '1950-01-01' + (g * 131 % 18000), (g * 7919 % 100000) / 100.0,"
    " CASE WHEN g % 3 = 0 THEN ARRAY['vip', 't' || g % 11] END, point(g % 180, g * 7 % 90)"
    " FROM generate_series(1, 200 * %u) g",
    "INSERT INTO shop.products SELECT g, md5('product' || g)::uuid, 'Product № ' || g,"
    " (g * 613 % 90000 + 1) / 100.0,"
    " jsonb_build_object('colour', (ARRAY['red','green','blue'])[g % 3 + 1], 'size', g % 50,"
    "   'tags', jsonb_build_array('a' || g % 5, 'b' || g % 13)),"
    " CASE WHEN g % 10 <> 0 THEN g / 7.0 END, decode(repeat(md5(g::text), 64), 'hex')"
    " FROM generate_series(1, 100 * %u) g",
    "INSERT INTO shop.orders SELECT g, g * 31 % (200 * %u) + 1,"
    " timestamptz '2026-01-01 00:00:00+00' + g * interval '17 minutes 3.25 seconds',"
    " (enum_range(NULL::shop.state))[g % 4 + 1],"
    " CASE WHEN g % 5 = 0 THEN 'ring twice; tab\there, quote ''x'', back\\slash ' || g END"
    " FROM generate_series(1, 1000 * %u) g",
    "INSERT INTO shop.order_items SELECT o, l, (o * 17 + l * 5) % (100 * %u) + 1, l * 2 - 1,"
    " (o * 3 + l) % 5000 / 100.0 + 1"
    " FROM generate_series(1, 1000 * %u) o, generate_series(1, 3) l",
    /* md5 digits don't compress; every fifth document has 40 kB */
    "INSERT INTO shop.documents SELECT g, g * 7 % (1000 * %u) + 1,"
    " (SELECT string_agg(md5(g || ':' || n), '' ORDER BY n)"
    "    FROM generate_series(1, CASE WHEN g % 5 = 0 THEN 1250 ELSE 64 END) n),"
    " jsonb_build_object('pages', g % 40, 'lang', (ARRAY['de','en','fr'])[g % 3 + 1], 'nested',"
    "   jsonb_build_object('n', g, 'list', to_jsonb(ARRAY[g, g * 2, g * 3])))"
    " FROM generate_series(1, 100 * %u) g",
    "INSERT INTO shop.prices SELECT p, date '2024-01-01' + d * 36, (p * 11 + d * 7) % 900 / 10.0 + "
    "1"
    " FROM generate_series(1, 100 * %u) p, generate_series(0, 29) d",
    "INSERT INTO shop.events SELECT g, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 min',"
    " (ARRAY['login','view','buy','leave'])[g % 4 + 1],"
    " jsonb_build_object('session', md5((g / 10)::text), 'n', g)"
    " FROM generate_series(1, 5000 * %u) g",
    "INSERT INTO shop.carts SELECT g, jsonb_build_object('items', g % 9)"
    " FROM generate_series(1, 50 * %u) g",
};

static const char rest_sql[] =
    "CREATE INDEX customers_name ON shop.customers (lower(name));"
    "CREATE INDEX customers_place ON shop.customers USING gist (place);"
    "CREATE INDEX products_attributes ON shop.products USING gin (attributes);"
    "CREATE INDEX orders_customer ON shop.orders (customer_id, placed_at DESC);"
    "CREATE INDEX orders_open ON shop.orders (placed_at) WHERE state = 'new';"
    "CREATE INDEX documents_meta ON shop.documents USING gin (meta jsonb_path_ops);"
    "CREATE INDEX documents_order ON shop.documents USING hash (order_id);"
    "CREATE INDEX events_at ON shop.events USING brin (at) TABLESPACE story;"
    "CREATE VIEW shop.revenue AS SELECT o.customer_id, sum(i.quantity * i.price) AS total"
    "  FROM shop.orders o JOIN shop.order_items i ON i.order_id = o.id GROUP BY o.customer_id;"
    "CREATE MATERIALIZED VIEW shop.best_customers AS"
    "  SELECT * FROM shop.revenue ORDER BY total DESC, customer_id LIMIT 50;"
    "SELECT setval('shop.invoice_numbers', 100500);"
    "ANALYZE;";

/* The query with every "%u" replaced; printf can't, since '%' is SQL's modulo too. */
static char *with_number(const char *sql, unsigned number)
{
    char digits[12], *text = mem_alloc(6 * strlen(sql) + 1), *to = text;
    snprintf(digits, sizeof digits, "%u", number);
    while (*sql) {
        if (str_starts(sql, "%u")) {
            to = stpcpy(to, digits);
            sql += 2;
        } else {
            *to++ = *sql++;
        }
    }
    *to = '\0';
    return text;
}

static void run_with_number(struct pgfix *f, const char *const *sqls, size_t count, unsigned number)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *sql = with_number(sqls[i], number);
        pgfix_sql(f, "%s", sql);
    }
}

void pgfix_load_story(struct pgfix *f, unsigned scale)
{
    const char *tablespace = pgfix_make_dir(f, "tablespace");
    pgfix_sql(f, "CREATE TABLESPACE story LOCATION '%s'", tablespace);
    pgfix_sql(f, "%s", tables_sql);
    run_with_number(f, rows_sql, sizeof rows_sql / sizeof *rows_sql, scale);
    pgfix_sql(f, "%s", rest_sql);
}

/* Rows of change n have ids from n million on, so that changes don't meet. */
static const char *const change_sql[] = {
    "INSERT INTO shop.customers SELECT %u * 1000000 + g, 'New customer ' || g,"
    " 'new' || %u || '-' || g || '@example.org', '{\"street\": \"new\"}', '2000-02-29', g, NULL,"
    " point(g, g) FROM generate_series(1, 20) g",
    "INSERT INTO shop.orders SELECT %u * 1000000 + g, %u * 1000000 + g % 20 + 1,"
    " timestamptz '2026-06-01 00:00:00+00' + g * interval '1 hour', 'new', 'change ' || %u"
    " FROM generate_series(1, 100) g",
    "INSERT INTO shop.order_items SELECT %u * 1000000 + g, 1, g % 100 + 1, g, g"
    " FROM generate_series(1, 100) g",
    "UPDATE shop.orders SET state = 'sent', note = 'sent by change ' || %u WHERE id % 7 = %u % 7",
    "UPDATE shop.documents SET body = md5(body || %u) || substr(body, 33) WHERE id % 10 = %u % 10",
    "DELETE FROM shop.order_items WHERE order_id % 97 = %u % 97",
    "INSERT INTO shop.events SELECT %u * 1000000 + g, timestamptz '2026-07-01 00:00:00+00', "
    "'change',"
    " jsonb_build_object('change', %u, 'g', g) FROM generate_series(1, 500) g",
    "SELECT nextval('shop.invoice_numbers')",
};

void pgfix_change_story(struct pgfix *f, unsigned n)
{
    pgfix_sql(f, "BEGIN");
    run_with_number(f, change_sql, sizeof change_sql / sizeof *change_sql, n);
    pgfix_sql(f, "COMMIT");
}

/* ---- pgbench ---- */

static const char *number_option(struct pgfix *f, const char *option, unsigned value)
{
    return arena_printf(f->arena, "%s%u", option, value);
}

static size_t pgbench_argv(struct pgfix *f, const char **argv)
{
    size_t n = 0;
    argv[n++] = pgfix_client(f, "pgbench");
    argv[n++] = "-h";
    argv[n++] = f->sockets;
    argv[n++] = "-p" PGFIX_PORT;
    argv[n++] = "-Upostgres";
    argv[n++] = "-n";
    return n;
}

void pgfix_pgbench_init(struct pgfix *f, unsigned scale)
{
    const char *argv[16];
    size_t n = pgbench_argv(f, argv);
    argv[n++] = "-i";
    argv[n++] = "-q";
    argv[n++] = number_option(f, "-s", scale);
    argv[n++] = f->database;
    argv[n] = NULL;
    pgfix_must_run(f, argv);
}

void pgfix_pgbench(struct pgfix *f, unsigned seconds, unsigned clients)
{
    const char *argv[16];
    size_t n = pgbench_argv(f, argv);
    argv[n++] = number_option(f, "-T", seconds);
    argv[n++] = number_option(f, "-c", clients);
    argv[n++] = f->database;
    argv[n] = NULL;
    pgfix_must_run(f, argv);
}

#define LONG_ENOUGH "-T86400"

void pgfix_pgbench_begin(struct pgfix *f, unsigned clients, unsigned rate)
{
    const char *argv[16];
    if (f->pgbench > 0)
        pgfix_fail(f, NULL, "pgbench runs already");
    size_t n = pgbench_argv(f, argv);
    argv[n++] = LONG_ENOUGH;
    argv[n++] = number_option(f, "-c", clients);
    if (rate)
        argv[n++] = number_option(f, "-R", rate);
    argv[n++] = f->database;
    argv[n] = NULL;
    f->pgbench = pgfix_tool_begin(f, argv, pgfix_path(f, "pgbench.log"));
}

void pgfix_pgbench_stop(struct pgfix *f)
{
    struct error err;
    int status;
    if (f->pgbench <= 0)
        pgfix_fail(f, NULL, "pgbench does not run");
    pid_t pid = f->pgbench;
    f->pgbench = 0;
    kill(pid, SIGTERM);
    if (proc_wait(pid, 20000, &status, &err) != RC_OK)
        pgfix_fail(f, &err, "pgbench does not end");
    if (status != 128 + SIGTERM)
        pgfix_fail(f, NULL, "pgbench had ended with %d before it was told to; see %s", status,
                   pgfix_path(f, "pgbench.log"));
}

/* ---- comparing ---- */

static const char list_databases_sql[] =
    "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate"
    " ORDER BY datname COLLATE \"C\"";

static const char list_tables_sql[] =
    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated"
    " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
    " ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

static struct rows *must_query(struct pgfix *f, struct session *s, const char *sql)
{
    struct rows *rows;
    struct error err;
    if (session_query(s, sql, 0, NULL, &rows, &err) != RC_OK)
        pgfix_fail(f, &err, "could not take a fingerprint");
    return rows;
}

static const char *database_fingerprint(struct pgfix *f, const char *database, const char *before)
{
    CLEANUP_SESSION struct session *s = NULL;
    struct error err;
    if (session_open(f->conninfo, "pgfix", database, &s, &err) != RC_OK)
        pgfix_fail(f, &err, "could not connect to database %s", database);
    CLEANUP_ROWS struct rows *tables = must_query(f, s, list_tables_sql);
    for (int i = 0; i < rows_count(tables); i++) {
        const char *table = rows_get(tables, i, 0);
        CLEANUP_FREE char *sql = str_printf(
            "SELECT count(*), coalesce(sum(hashtextextended((t.*)::text, 0)), 0) FROM ONLY %s t",
            table);
        CLEANUP_ROWS struct rows *sums = must_query(f, s, sql);
        before = arena_printf(f->arena, "%s%s.%s %s %s\n", before, database, table,
                              rows_get(sums, 0, 0), rows_get(sums, 0, 1));
    }
    return before;
}

const char *pgfix_fingerprint(struct pgfix *f)
{
    CLEANUP_ROWS struct rows *databases = must_query(f, pgfix_session(f), list_databases_sql);
    const char *text = "";
    for (int i = 0; i < rows_count(databases); i++)
        text = database_fingerprint(f, rows_get(databases, i, 0), text);
    return text;
}

static bool has_line(const char *text, const char *line, size_t len)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n == len && memcmp(text, line, len) == 0)
            return true;
        text += n + (text[n] == '\n');
    }
    return false;
}

static bool show_lines_not_in(const char *text, const char *other, const char *label)
{
    bool any = false;
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (!has_line(other, text, n)) {
            print_error("  %s %.*s\n", label, (int)n, text);
            any = true;
        }
        text += n + (text[n] == '\n');
    }
    return any;
}

void pgfix_compare_fingerprint(const char *expected, struct pgfix *actual)
{
    const char *found = pgfix_fingerprint(actual);
    bool lost = show_lines_not_in(expected, found, "expected");
    bool more = show_lines_not_in(found, expected, "found   ");
    if (lost || more)
        fail_msg("the tables on %s differ from what was expected", actual->data);
}

void pgfix_compare(struct pgfix *expected, struct pgfix *actual)
{
    pgfix_compare_fingerprint(pgfix_fingerprint(expected), actual);
}
