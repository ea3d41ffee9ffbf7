#include "pgproof/server_review.h"

#include "base/mem.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/recovery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAJOR_MIN 13
#define MAJOR_MAX 18

static enum rc refuse(struct error *err, const char *what, const char *on, const char *now)
{
    error_set(err, RC_REFUSED, "%s", what);
    error_on(err, "%s", on);
    return error_now(err, "%s", now);
}

enum rc review_server(const struct server_facts *f, struct error *err)
{
    uint32_t major = f->version_num / 10000;

    if (major < MAJOR_MIN || major > MAJOR_MAX) {
        error_set(err, RC_REFUSED, "the server is PostgreSQL %u; pgproof knows versions %d to %d",
                  major, MAJOR_MIN, MAJOR_MAX);
        error_on(err, "%s", f->data_directory);
        return error_now(err, major > MAJOR_MAX ? "use a newer pgproof" : "upgrade the server");
    }
    if (str_eq(f->wal_level, "minimal"))
        return refuse(err,
                      "wal_level is minimal: the WAL does not hold what a backup needs to become "
                      "consistent",
                      "wal_level", "set wal_level = replica in postgresql.conf and restart");
    if (!f->full_page_writes)
        return refuse(err,
                      "full_page_writes is off: pages that change while they are copied could not "
                      "be repaired from WAL",
                      "full_page_writes",
                      "set full_page_writes = on in postgresql.conf and reload");
    return RC_OK;
}

enum rc review_data_directory(const char *data_directory, const struct server_facts *f,
                              struct error *err)
{
    struct control c;

    if (control_read(data_directory, &c, NULL, err) != RC_OK) {
        error_prefix(err, "the data directory is not usable");
        return error_now(err, "see that 'data-directory' is right, and run this as the user that "
                              "owns it, on its host");
    }
    if (c.system_identifier == f->system_identifier)
        return RC_OK;
    error_set(err, RC_INTEGRITY,
              "the data directory has system identifier %" PRIu64
              ", but the server that 'connection' reaches has %" PRIu64 " and runs on %s",
              c.system_identifier, f->system_identifier, f->data_directory);
    error_on(err, "%s", data_directory);
    return error_now(err, "correct 'data-directory' or 'connection' of the cluster");
}

enum rc review_archiving(struct session *s, const struct server_facts *f, struct archiving *ret,
                         struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct archiving ar = {.on = !str_eq(f->archive_mode, "off"),
                           .always = str_eq(f->archive_mode, "always"),
                           .ours = strstr(f->archive_command, "pgproof-wal-push") ||
                                   strstr(f->archive_command, "pgproof wal-push")};

    TRY(session_query(s, "SELECT pg_catalog.current_setting('archive_library', true)", 0, NULL,
                      &rows, err));
    if (rows_count(rows) == 1 && rows_get(rows, 0, 0))
        str_copy(ar.library, sizeof(ar.library), rows_get(rows, 0, 0));
    *ret = ar;
    return RC_OK;
}

bool archiving_ready(const struct archiving *ar)
{
    return ar->on && !ar->always && ar->ours && !ar->library[0];
}

char *archiving_problem(const struct archiving *ar)
{
    if (!ar->on)
        return str_dup("archive_mode is off: no WAL is archived");
    if (ar->library[0])
        return str_printf("archive_library is '%s', so archive_command is not used", ar->library);
    if (!ar->ours)
        return str_dup("archive_command does not run pgproof-wal-push");
    if (ar->always)
        return str_dup("archive_mode is always: a standby would archive the same WAL again");
    return str_dup("archiving is set up");
}

/* In archive_command a percent sign stands for something unless it is doubled. */
static char *double_percent(const char *command)
{
    char *to = mem_alloc(2 * strlen(command) + 1), *p = to;

    for (const char *s = command; *s; s++) {
        *p++ = *s;
        if (*s == '%')
            *p++ = '%';
    }
    *p = '\0';
    return to;
}

char *archive_command_value(const struct app *a)
{
    CLEANUP_FREE char *command = app_command_line(a, "pgproof-wal-push");
    CLEANUP_FREE char *doubled = double_percent(command);
    CLEANUP_FREE char *whole = str_printf("%s %%p", doubled);

    return conf_quote(whole);
}

void archiving_print_remedy(FILE *to, const struct app *a, const struct archiving *ar)
{
    CLEANUP_FREE char *value = archive_command_value(a);
    bool restart = !ar->on || ar->always;

    fprintf(to, "Put these lines into postgresql.conf:\n");
    if (restart)
        fprintf(to, "  archive_mode = on\n");
    if (ar->library[0])
        fprintf(to, "  archive_library = ''\n");
    fprintf(to, "  archive_command = %s\n", value);
    fprintf(to, restart ? "and restart the server (archive_mode needs a restart).\n"
                        : "and reload:  psql -c 'SELECT pg_reload_conf()'\n");
}
