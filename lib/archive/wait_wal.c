#include "archive/wait_wal.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "pg/lsn.h"
#include "repo/names.h"

#include <stdio.h>

/* What the server itself knows about its archiving; malloc'ed. */
static char *ask_archiver(const struct wait_wal *w)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    struct error ignored;
    if (session_query(w->session,
                      "SELECT failed_count, last_failed_wal, last_failed_time, last_archived_wal "
                      "FROM pg_catalog.pg_stat_archiver",
                      0, NULL, &rows, &ignored) != RC_OK ||
        rows_count(rows) != 1)
        return str_dup("pg_stat_archiver could not be read");
    const char *failed = rows_get(rows, 0, 1), *when = rows_get(rows, 0, 2);
    const char *archived = rows_get(rows, 0, 3);
    if (failed && when)
        return str_printf("archive_command has failed %s times, last for %s at %s",
                          rows_get(rows, 0, 0), failed, when);
    return str_printf("archive_command has not failed; the server last archived %s",
                      archived ? archived : "nothing");
}

static enum rc fail_timeout(const struct wait_wal *w, const char *file, struct error *err)
{
    CLEANUP_FREE char *archiver = ask_archiver(w);
    error_set(err, RC_DATABASE,
              "WAL segment %s did not arrive in the repository within %lld s (%s)", file,
              (long long)w->timeout_seconds, archiver);
    error_on(err, "%s", name_wal(w->cluster, w->system_identifier, file).text);
    return error_now(err,
                     "see the server's log for what archive_command says, and set it to "
                     "pgproof-wal-push with this repository and cluster; pgproof check tries it");
}

/* RC_OK with *ret_there false while it has not arrived. */
static enum rc has_arrived(const struct wait_wal *w, const char *file, bool *ret_there,
                           struct error *err)
{
    struct object_name name = name_wal(w->cluster, w->system_identifier, file);
    struct store_info info;
    enum rc rc = store_head(w->repo->store, name.text, &info, err);
    if (rc != RC_OK && rc != RC_NOT_FOUND)
        return rc;
    *ret_there = rc == RC_OK;
    return RC_OK;
}

/* An hour's copying is not void because the repository failed to answer once: only the deadline
 * ends the wait. */
static enum rc wait_for(const struct wait_wal *w, const char *file, struct error *err)
{
    const double deadline = clock_monotonic() + (double)w->timeout_seconds;
    unsigned pause_ms = 20;
    for (;;) {
        bool there = false;
        struct error why;
        enum rc rc = has_arrived(w, file, &there, &why);
        if (there)
            return RC_OK;
        if (rc != RC_OK && (rc != RC_STORAGE || clock_monotonic() >= deadline)) {
            *err = why;
            return rc;
        }
        if (clock_monotonic() >= deadline)
            return fail_timeout(w, file, err);
        TRY(cancel_check(err));
        clock_sleep_ms(pause_ms);
        pause_ms = pause_ms < 500 ? pause_ms * 2 : 1000;
    }
}

enum rc wait_wal_range(const struct wait_wal *w, uint32_t timeline, uint64_t first, uint64_t last,
                       struct error *err)
{
    for (uint64_t number = first; number <= last; number++) {
        char file[WAL_NAME_MAX];
        wal_name_segment(timeline, number, w->segment_bytes, file);
        TRY(wait_for(w, file, err));
    }
    return RC_OK;
}

enum rc wait_wal_end_segment(const struct wait_wal *w, uint32_t *ret_timeline,
                             uint64_t *ret_segment, struct error *err)
{
    CLEANUP_ROWS struct rows *rows = NULL;
    if (session_query(
            w->session,
            "SELECT lsn, pg_catalog.pg_walfile_name(lsn) FROM pg_catalog.pg_switch_wal() lsn", 0,
            NULL, &rows, err) != RC_OK)
        return error_now(err, "the connection's role needs EXECUTE on pg_switch_wal and "
                              "pg_walfile_name");
    struct wal_name name;
    uint64_t end_lsn;
    if (rows_count(rows) != 1 || !rows_get(rows, 0, 0) || !rows_get(rows, 0, 1) ||
        !lsn_parse(rows_get(rows, 0, 0), &end_lsn) ||
        !wal_name_parse(rows_get(rows, 0, 1), w->segment_bytes, &name))
        return error_set(err, RC_DATABASE, "the server's answer to pg_switch_wal is no segment");
    *ret_timeline = name.timeline;
    /* Not the name's: on a boundary it is the segment before up to PostgreSQL 16, then the next. */
    *ret_segment = lsn_segment_before(end_lsn, w->segment_bytes);
    return RC_OK;
}

enum rc wait_wal_switch(const struct wait_wal *w, uint32_t *ret_timeline, uint64_t *ret_segment,
                        struct error *err)
{
    /* Without a record since the last switch, pg_switch_wal does nothing. */
    TRY(session_exec(w->session,
                     "SELECT pg_catalog.pg_logical_emit_message(false, 'pgproof', 'backup begins')",
                     err));
    return wait_wal_end_segment(w, ret_timeline, ret_segment, err);
}

enum rc wait_wal_prove(const struct wait_wal *w, struct error *err)
{
    uint32_t timeline;
    uint64_t segment;
    TRY(wait_wal_switch(w, &timeline, &segment, err));
    enum rc rc = wait_wal_range(w, timeline, segment, segment, err);
    if (rc == RC_DATABASE)
        error_prefix(err, "archiving does not work, so no backup was begun");
    return rc;
}
