/* SPDX-License-Identifier: MIT */
/*
 * Upkeep of a SQLite store, by the writer between batches.
 *
 * Checkpoints. Committed pages gather in the log until WAL_CHECKPOINT_PAGES wait there (a page that was
 * written in several batches is then copied once), or until the writer is idle. A log beyond
 * WAL_BOUND_PAGES, because nobody calls maintain() or readers keep it from restarting, is checkpointed
 * before each batch. Beyond twice that, a batch waits for the readers, at most as long as for a lock; when
 * that fails, not again before the log has grown by a quarter of the bound: a reader that never ends must not
 * stop the writes.
 *
 * A log that a burst has made long is given back when the writer has been idle for WAL_IDLE_STEPS of upkeep: it is
 * truncated, without waiting for readers. A short one stays, as it would only be made again.
 *
 * The purge. A sweep walks a table in rowid order, SWEEP_ROWS a step (fewer between batches), and deletes
 * what has expired. It learns the earliest expiry that is still to come, and batches tell theirs, so a table
 * whose rows never expire is walked once after the start and then left alone. Sweeps keep a distance of
 * SWEEP_PAUSE seconds, and of SWEEP_SHARE times what the last one took.
 *
 *     resting --next_due passed, not_before passed--> running --end of table--> resting
 */
#include "backends/sqlite/internal.h"
#include <assert.h>
#include <stdio.h>

enum {
    WAL_CHECKPOINT_PAGES = 16000, /* 64 MiB */
    WAL_BOUND_PAGES = 64000,      /* 256 MiB */
    WAL_KEPT_BYTES = 128 << 20,   /* a log that grew beyond this is cut back when it restarts */
    WAL_IDLE_BYTES = 4 << 20,     /* an idle writer keeps no longer one */
    WAL_IDLE_STEPS = 5,
    SWEEP_ROWS = 2000,     /* a step of an idle writer: about 1 ms of reading */
    SWEEP_ROWS_BUSY = 200, /* and between batches, where somebody may wait */
    SWEEP_PAUSE = 10,      /* seconds */
    SWEEP_SHARE = 10
};

static int committed(void *context, sqlite3 *db, const char *name, int pages) {
    struct sqlite_connection *connection = context;
    (void)db, (void)name;
    if (pages < connection->wal_pages)
        connection->wal_done = 0; /* the log was restarted */
    connection->wal_pages = pages;
    connection->base.foreign += connection->triggers_add_keys;
    return SQLITE_OK;
}

void sqlite_upkeep_open(struct sqlite_connection *connection) {
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA journal_size_limit = %d", (int)WAL_KEPT_BYTES);
    sqlite3_exec(connection->db, pragma, NULL, NULL, NULL);
    sqlite3_wal_hook(connection->db, committed, connection);
    connection->wal_checkpoint_pages = WAL_CHECKPOINT_PAGES;
    connection->wal_bound_pages = WAL_BOUND_PAGES;
    connection->wal_wait_pages = 2 * WAL_BOUND_PAGES;
}

static int waiting_pages(const struct sqlite_connection *connection) {
    assert(connection->wal_done <= connection->wal_pages);
    return connection->wal_pages - connection->wal_done;
}

static int checkpoint(struct sqlite_connection *connection, int mode) {
    int pages = -1, done = -1;
    int result = sqlite3_wal_checkpoint_v2(connection->db, NULL, mode, &pages, &done);
    if (pages >= 0 && done >= 0 && done <= pages) {
        connection->wal_pages = pages;
        connection->wal_done = done;
    }
    sqlite_files_note_checkpoint(connection, result == SQLITE_OK && waiting_pages(connection) == 0);
    return result;
}

void sqlite_bound_wal(struct sqlite_connection *connection) {
    if (connection->wal_pages < connection->wal_bound_pages)
        return;
    /* Failure is not fatal: the batch goes on, the next one tries again. */
    bool wait = connection->wal_pages >= connection->wal_wait_pages;
    int result = checkpoint(connection, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE);
    if (wait && result == SQLITE_OK)
        connection->wal_wait_pages = 2 * connection->wal_bound_pages;
    else if (wait)
        connection->wal_wait_pages = connection->wal_pages + connection->wal_bound_pages / 4;
}

void sqlite_expect_expiry(struct sqlite_table *table, uint32_t expires_at) {
    if (expires_at && expires_at < table->sweep.next_due)
        table->sweep.next_due = expires_at;
}

/* ---- The purge ---- */

static bool sweep_is_due(const struct sqlite_sweep *sweep, uint32_t now) {
    return sweep->running || (sweep->next_due <= now && sweep->not_before <= now);
}

static void sweep_begin(struct sqlite_sweep *sweep, uint32_t now) {
    sweep->running = true;
    sweep->row = INT64_MIN;
    sweep->next_due = UINT32_MAX;
    sweep->started_at = now;
}

static void sweep_end(struct sqlite_sweep *sweep, uint32_t now) {
    uint32_t took = now > sweep->started_at ? now - sweep->started_at : 0;
    sweep->running = false;
    sweep->not_before = now + SWEEP_PAUSE + took * SWEEP_SHARE;
}

/* Its table failed: the others, and the checkpoints, do not wait for it. */
static void sweep_put_off(struct sqlite_sweep *sweep, uint32_t now) {
    sweep->running = false;
    sweep->next_due = 0;
    sweep->not_before = now + SWEEP_PAUSE;
}

/* What the next rows of a table hold. */
struct sweep_sight {
    int rows, dead;
    sqlite3_int64 last;        /* rowid */
    sqlite3_int64 next_expiry; /* the earliest still to come; 0: none */
};

static int sweep_look(struct sqlite_table *table, int rows, uint32_t now, struct sweep_sight *ret_sight) {
    sqlite3_stmt *look = table->sweep_look;
    sqlite3_bind_int64(look, 1, table->sweep.row);
    sqlite3_bind_int64(look, 2, rows);
    sqlite3_bind_int64(look, 3, now);
    int result = sqlite3_step(look);
    if (result == SQLITE_ROW)
        *ret_sight = (struct sweep_sight){sqlite3_column_int(look, 0), sqlite3_column_int(look, 1),
                                          sqlite3_column_int64(look, 2), sqlite3_column_int64(look, 3)};
    sqlite3_reset(look);
    return result == SQLITE_ROW ? SQLITE_OK : result;
}

static int sweep_purge(struct sqlite_table *table, sqlite3_int64 last, uint32_t now) {
    sqlite3_bind_int64(table->sweep_purge, 1, table->sweep.row);
    sqlite3_bind_int64(table->sweep_purge, 2, last);
    sqlite3_bind_int64(table->sweep_purge, 3, now);
    return sqlite_run(table->sweep_purge);
}

static enum backend_status sweep_step(struct sqlite_connection *connection, struct sqlite_table *table,
                                      uint32_t now, struct backend_error *ret_error) {
    struct sweep_sight sight = {0};
    int rows = connection->busy_since_maintain ? SWEEP_ROWS_BUSY : SWEEP_ROWS;
    if (!table->sweep.running)
        sweep_begin(&table->sweep, now);
    if (sweep_look(table, rows, now, &sight) != SQLITE_OK)
        return sqlite_fail_writing(connection, table, table->sweep_look, "looking for expired rows",
                                   ret_error);
    if (sight.dead > 0 && sweep_purge(table, sight.last, now) != SQLITE_OK)
        return sqlite_fail_writing(connection, table, table->sweep_purge, "purging expired rows", ret_error);
    if (sight.next_expiry > 0 && sight.next_expiry < UINT32_MAX)
        sqlite_expect_expiry(table, (uint32_t)sight.next_expiry);
    if (sight.rows < rows)
        sweep_end(&table->sweep, now);
    else
        table->sweep.row = sight.last;
    return BACKEND_OK;
}

/* One step for the next table that has something due. *ret_swept: there was one. */
static enum backend_status sweep_some(struct sqlite_connection *connection, uint32_t now, bool *ret_swept,
                                      struct backend_error *ret_error) {
    for (size_t i = 0; i < connection->table_count; i++) {
        struct sqlite_table *table = &connection->tables[connection->sweep_next_table];
        connection->sweep_next_table = (connection->sweep_next_table + 1) % connection->table_count;
        if (table->own_sql || table->unready || !sweep_is_due(&table->sweep, now))
            continue;
        enum backend_status status = sweep_step(connection, table, now, ret_error);
        if (status != BACKEND_OK && status != BACKEND_TRANSIENT)
            sweep_put_off(&table->sweep, now);
        *ret_swept = status == BACKEND_OK;
        return status;
    }
    return BACKEND_OK;
}

/* ---- maintain ---- */

static bool checkpoint_is_due(const struct sqlite_connection *connection, bool idle) {
    int waiting = waiting_pages(connection);
    return waiting >= connection->wal_checkpoint_pages || (waiting > 0 && idle);
}

/* The length of the log's file; 0: it is not known, or there is none. */
static sqlite3_int64 log_size(const struct sqlite_connection *connection) {
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        !log || !log->pMethods || log->pMethods->xFileSize(log, &size) != SQLITE_OK)
        return 0;
    return size;
}

void sqlite_note_log(struct sqlite_connection *connection) {
    connection->base.log_bytes = (uint64_t)log_size(connection);
}

/* A reader that still uses the log keeps it; then the next step tries again. */
static void give_back_log(struct sqlite_connection *connection, bool idle) {
    connection->idle_steps = idle ? connection->idle_steps + 1 : 0;
    if (connection->idle_steps < WAL_IDLE_STEPS || waiting_pages(connection) > 0 ||
        log_size(connection) <= WAL_IDLE_BYTES)
        return;
    sqlite3_busy_timeout(connection->db, 0);
    checkpoint(connection, SQLITE_CHECKPOINT_TRUNCATE);
    sqlite3_busy_timeout(connection->db, (int)connection->busy_ms);
}

enum backend_status sqlite_maintain(struct backend_connection *base, uint32_t now, bool *ret_more,
                                    struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    assert(connection->role == BACKEND_WRITER);
    bool swept = false;
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    status = sqlite_settle_notes(connection, ret_error);
    if (now && status == BACKEND_OK)
        status = sweep_some(connection, now, &swept, ret_error);
    bool idle = !swept && !connection->busy_since_maintain;
    if (status != BACKEND_TRANSIENT && checkpoint_is_due(connection, idle)) {
        int result = checkpoint(connection, SQLITE_CHECKPOINT_PASSIVE) & 0xff;
        if (result != SQLITE_OK && result != SQLITE_BUSY && result != SQLITE_LOCKED)
            status = sqlite_fail(connection, "checkpointing", ret_error);
    }
    give_back_log(connection, idle);
    sqlite_note_log(connection);
    connection->busy_since_maintain = false;
    *ret_more = swept;
    return status;
}
