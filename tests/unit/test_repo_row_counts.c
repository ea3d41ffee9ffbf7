/* The row counts document: what is written is what is read, and what must be refused. */
#include "repo_fixture.h"

#include "repo/document.h"
#include "repo/row_counts.h"

#define BACKUP "20261121T020000Z"
#define TAKEN  INT64_C(1795226400123456) /* 2026-11-21 02:00:00.123456 UTC */

/* One of everything, with names that are no UTF-8. */
static struct row_counts *sample(void)
{
    struct row_counts *c = row_counts_new();
    str_copy(c->backup_id, sizeof c->backup_id, BACKUP);
    c->lsn = UINT64_C(0xA05000028);
    c->taken = TAKEN;
    c->exact = true;
    row_counts_add_database(c, "empty");
    row_counts_add_database(c, "shop \xff");
    row_counts_add_table(c, "public", "orders \"\n\xe9", 1000);
    row_counts_add_table(c, "\xc3", "none", 0);
    row_counts_add_table(c, "public", "huge", INT64_MAX);
    row_counts_add_gap(c, "shop \xff", "public", "locked", "it was locked");
    row_counts_add_gap(c, "closed", NULL, NULL, "no \xfe entry");
    return c;
}

static void assert_sample(const struct row_counts *c)
{
    assert_string_equal(c->backup_id, BACKUP);
    assert_int_equal(c->lsn, 0xA05000028);
    assert_int_equal(c->taken, TAKEN);
    assert_true(c->exact);
    assert_int_equal(c->database_count, 2);
    assert_string_equal(c->databases[0].name, "empty");
    assert_int_equal(c->databases[0].table_count, 0);
    assert_string_equal(c->databases[1].name, "shop \xff");
    assert_int_equal(c->databases[1].table_count, 3);
    const struct row_count *t = c->databases[1].tables;
    assert_string_equal(t[0].schema, "public");
    assert_string_equal(t[0].name, "orders \"\n\xe9");
    assert_int_equal(t[0].rows, 1000);
    assert_string_equal(t[1].schema, "\xc3");
    assert_int_equal(t[1].rows, 0);
    assert_int_equal(t[2].rows, INT64_MAX);
    assert_int_equal(row_counts_table_count(c), 3);
    assert_int_equal(c->gap_count, 2);
    assert_string_equal(c->gaps[0].database, "shop \xff");
    assert_string_equal(c->gaps[0].schema, "public");
    assert_string_equal(c->gaps[0].table, "locked");
    assert_string_equal(c->gaps[0].reason, "it was locked");
    assert_string_equal(c->gaps[1].database, "closed");
    assert_null(c->gaps[1].schema);
    assert_null(c->gaps[1].table);
    assert_string_equal(c->gaps[1].reason, "no \xfe entry");
}

static void round_trip(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = sample(), *read = NULL;
    struct object_name name, again = {"untouched"};
    assert_rc(f, RC_OK, row_counts_put(f->repo, "main", c, &name, &f->err));
    assert_string_equal(name.text, "clusters/main/witness/20261121T020000Z-0000000A05000028.json");
    assert_rc(f, RC_OK, row_counts_load(f->repo, name.text, BACKUP, &read, &f->err));
    assert_sample(read);
    assert_rc(f, RC_EXISTS, row_counts_put(f->repo, "main", c, &again, &f->err));
    assert_string_equal(again.text, "untouched");
}

/* docs/format.md: names, order and form of the members. */
static void as_documented(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = row_counts_new();
    CLEANUP_BUF struct buf b = BUF_INIT(4096);
    struct object_name name;
    const char *text;
    str_copy(c->backup_id, sizeof c->backup_id, BACKUP);
    c->lsn = 0x5000028;
    c->taken = TAKEN;
    row_counts_add_database(c, "db");
    row_counts_add_table(c, "public", "t\xff", 7);
    row_counts_add_gap(c, "db", "public", "u", "locked");
    row_counts_add_gap(c, "x", NULL, NULL, "closed");
    assert_rc(f, RC_OK, row_counts_put(f->repo, "main", c, &name, &f->err));
    read_object(f, name.text, &b);
    assert_rc(f, RC_OK, buf_cstr(&b, &text, &f->err));
    CLEANUP_FREE char *dense = str_dup(text);
    size_t n = 0;
    for (const char *p = text; *p; p++)
        if (*p != ' ' && *p != '\n')
            dense[n++] = *p;
    dense[n] = '\0';
    const char *wanted =
        "{\"kind\":\"row-counts\",\"version\":1,\"backup_id\":\"" BACKUP "\","
        "\"lsn\":\"0/5000028\",\"taken\":\"2026-11-21T02:00:00.123456Z\",\"exact\":false,"
        "\"databases\":[{\"name\":\"db\",\"tables\":[{\"schema\":\"public\",\"name_hex\":"
        "\"74ff\",\"rows\":7}]}],\"not_counted\":[{\"database\":\"db\",\"schema\":\"public\","
        "\"name\":\"u\",\"reason\":\"locked\"},{\"database\":\"x\",\"reason\":\"closed\"}],"
        "\"sha256\":";
    if (!str_starts(dense, wanted))
        fail_msg("%s", dense);
}

static void a_missing_or_foreign_object(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = sample();
    CLEANUP_JSON json_t *body = json_object();
    struct row_counts *none = NULL;
    struct object_name name;
    assert_rc(f, RC_NOT_FOUND,
              row_counts_load(f->repo, "clusters/main/witness/x.json", BACKUP, &none, &f->err));
    assert_rc(f, RC_OK, row_counts_put(f->repo, "main", c, &name, &f->err));
    assert_rc(f, RC_INTEGRITY,
              row_counts_load(f->repo, name.text, "20250101T000000Z", &none, &f->err));
    assert_string_equal(f->err.on, name.text);
    flip_object(f, name.text, 100);
    assert_rc(f, RC_INTEGRITY, row_counts_load(f->repo, name.text, BACKUP, &none, &f->err));
    assert_rc(f, RC_OK, document_put(f->repo->store, "kind.json", "proof", 1, body, NULL, &f->err));
    assert_rc(f, RC_INTEGRITY, row_counts_load(f->repo, "kind.json", BACKUP, &none, &f->err));
    CLEANUP_JSON json_t *newer = row_counts_json(c);
    assert_rc(f, RC_OK,
              document_put(f->repo->store, "newer.json", "row-counts", 2, newer, NULL, &f->err));
    assert_rc(f, RC_CONFIG, row_counts_load(f->repo, "newer.json", BACKUP, &none, &f->err));
    assert_null(none);
}

/* ---- hostile: with a good digest, and nothing else good ---- */

/* The member of the sample's body that the steps lead to: a key, or a digit for a place. */
static json_t *walk(json_t *body, const char *const *steps)
{
    for (; *steps; steps++)
        body = json_is_array(body) ? json_array_get(body, (size_t)atoi(*steps))
                                   : json_object_get(body, *steps);
    assert_non_null(body);
    return body;
}

struct hostile {
    const char *const *steps; /* to the object */
    const char *member;
    const char *value; /* JSON; NULL: the member is missing */
};

static const char *const top[] = {NULL}, *const database[] = {"databases", "1", NULL},
                         *const table[] = {"databases", "1", "tables", "1", NULL},
                         *const gap[] = {"not_counted", "0", NULL};

static const struct hostile refused[] = {
    {top, "backup_id", NULL},
    {top, "backup_id", "7"},
    {top, "backup_id", "\"20250101T000000Z\""},
    {top, "backup_id", "\"" BACKUP "\\u0000\""},
    {top, "lsn", NULL},
    {top, "lsn", "83886120"},
    {top, "lsn", "\"5000028\""},
    {top, "lsn", "\"0/0\""},
    {top, "lsn", "\"0/\""},
    {top, "lsn", "\"0/5000028 \""},
    {top, "lsn", "\"0/500002800\""},
    {top, "lsn", "\"-1/5000028\""},
    {top, "taken", NULL},
    {top, "taken", "\"yesterday\""},
    {top, "taken", "1795226400"},
    {top, "exact", "1"},
    {top, "exact", "\"true\""},
    {top, "databases", NULL},
    {top, "databases", "{}"},
    {top, "databases", "null"},
    {top, "databases", "[[]]"},
    {top, "databases", "[null]"},
    {top, "databases", "[{\"name\": \"x\"}]"},
    {top, "not_counted", NULL},
    {top, "not_counted", "{}"},
    {top, "not_counted", "[\"x\"]"},
    {database, "name_hex", NULL},
    {database, "name_hex", "\"7\""},
    {database, "name_hex", "\"zz\""},
    {database, "name_hex", "\"7400\""},
    {database, "tables", NULL},
    {database, "tables", "3"},
    {database, "tables", "[[[[[[]]]]]]"},
    {table, "schema_hex", NULL},
    {table, "name", NULL},
    {table, "name", "[]"},
    {table, "name", "\"a\\u0000b\""},
    {table, "rows", NULL},
    {table, "rows", "-1"},
    {table, "rows", "1.5"},
    {table, "rows", "\"7\""},
    {table, "rows", "true"},
    {gap, "database_hex", NULL},
    {gap, "reason", NULL},
    {gap, "reason", "[]"},
    {gap, "schema", NULL},
    {gap, "name", "7"},
};

static void hostile_members_are_refused(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = sample();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct hostile *h = &refused[i];
        CLEANUP_JSON json_t *body = row_counts_json(c);
        struct row_counts *none = NULL;
        json_t *o = walk(body, h->steps);
        json_t *value =
            h->value ? json_loads(h->value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
        if (h->value)
            assert_int_equal(json_object_set_new(o, h->member, value), 0);
        else
            assert_int_equal(json_object_del(o, h->member), 0);
        if (row_counts_parse(body, BACKUP, &none, &f->err) != RC_INTEGRITY || none)
            fail_msg("accepted: \"%s\" as %s", h->member, h->value ? h->value : "missing");
        assert_true(f->err.what[0]);
    }
}

/* Unknown members anywhere, and no "exact": as a later or an older version may write it. */
static void other_versions_members(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = sample(), *read = NULL;
    CLEANUP_JSON json_t *body = row_counts_json(c);
    const char *const *const places[] = {top, database, table, gap};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        json_object_set_new(walk(body, places[i]), "x", json_array());
    json_object_del(body, "exact");
    assert_rc(f, RC_OK, row_counts_parse(body, BACKUP, &read, &f->err));
    assert_false(read->exact);
    read->exact = true;
    assert_sample(read);
}

/* The document bounds nothing but itself: what PostgreSQL makes of a name is its affair. */
static void names_may_be_anything(void **state)
{
    struct repo_fixture *f = *state;
    CLEANUP_ROW_COUNTS struct row_counts *c = row_counts_new(), *read = NULL;
    CLEANUP_FREE char *longest = mem_zalloc((1u << 20) + 1);
    memset(longest, 'n', 1u << 20);
    str_copy(c->backup_id, sizeof c->backup_id, BACKUP);
    c->lsn = 1;
    row_counts_add_database(c, "");
    row_counts_add_table(c, "", longest, 1);
    row_counts_add_table(c, "../..", "\x1b[2J%s%n", 1);
    CLEANUP_JSON json_t *body = row_counts_json(c);
    assert_rc(f, RC_OK, row_counts_parse(body, BACKUP, &read, &f->err));
    assert_string_equal(read->databases[0].name, "");
    assert_string_equal(read->databases[0].tables[0].name, longest);
    assert_string_equal(read->databases[0].tables[1].name, "\x1b[2J%s%n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(as_documented, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_missing_or_foreign_object, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(hostile_members_are_refused, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(other_versions_members, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(names_may_be_anything, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
