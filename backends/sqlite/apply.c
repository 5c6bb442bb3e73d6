/* SPDX-License-Identifier: MIT */
/*
 * Batches into SQLite: one transaction, rounds of distinct keys (batch_order.h), blocks of rows.
 *
 * Whether the version guard kept a row is seen by the count of changed rows alone; only when that falls short
 * is each row of the block asked for its version. An equal version is this mutation itself, applied before.
 *
 * Where a block is refused its rows are tried one by one, and a row that is refused is marked. The rest is tried all
 * the same, so that all such rows are known at once; then everything is rolled back.
 */
#include "backends/batch_order.h"
#include "backends/failure.h"
#include "backends/mutations.h"
#include "backends/sqlite/internal.h"
#include <assert.h>
#include <stdlib.h>

/* A batch being applied. */
struct batch {
    struct sqlite_connection *connection;
    struct mutation *mutations;
    bool some_on; /* not all of them are on whatever there is */
    uint32_t now;
    struct backend_error *error;
};

static struct mutation *at(const struct batch *batch, const struct batch_place *place) {
    return &batch->mutations[place->index];
}

static void bind_number_or_null(sqlite3_stmt *statement, int index, uint64_t number) {
    if (number)
        sqlite3_bind_int64(statement, index, (sqlite3_int64)number);
    else
        sqlite3_bind_null(statement, index);
}

static void bind_row(sqlite3_stmt *statement, int row, const struct entry *entry) {
    int first = row * SQLITE_ROW_PARAMETERS + 1;
    sqlite_bind_bytes(statement, first, entry->key);
    sqlite_bind_bytes(statement, first + 1, entry->value);
    sqlite3_bind_int64(statement, first + 2, entry->flags);
    sqlite3_bind_int64(statement, first + 3, entry->expires_at);
    sqlite3_bind_int64(statement, first + 4, (sqlite3_int64)entry->version);
    bind_number_or_null(statement, first + 5, entry->client_cas);
    bind_number_or_null(statement, first + 6, entry->marks);
}

/* A row as it is stored. */
struct stored {
    bool alive;
    uint64_t version; /* 0: none that counts */
    uint64_t cas;     /* 0: nobody can tell */
};

/* The statement is on the row, or there is none. Columns: -1: it has no such one. */
static struct stored stored_in(const struct batch *batch, sqlite3_stmt *row, bool found, int version_column,
                               int expiry_column, int cas_column) {
    sqlite3_int64 version = found && version_column >= 0 ? sqlite3_column_int64(row, version_column) : 0;
    sqlite3_int64 expires = found && expiry_column >= 0 ? sqlite3_column_int64(row, expiry_column) : 0;
    sqlite3_int64 cas = found && cas_column >= 0 ? sqlite3_column_int64(row, cas_column) : 0;
    bool counts = version > 0 && (uint64_t)version <= ENTRY_VERSION_HIGHEST;
    struct stored stored = {.alive = found && (expires == 0 || expires > (sqlite3_int64)batch->now),
                            .version = counts ? (uint64_t)version : 0};
    if (counts && cas_column >= 0)
        stored.cas = cas ? (uint64_t)cas : stored.version;
    return stored;
}

static void supersede(struct mutation *mutation, const struct stored *stored) {
    mutation->superseded = true;
    mutation->superseded_by = stored->version;
}

static enum backend_status look_at_row(const struct batch *batch, struct sqlite_table *table,
                                       const struct mutation *mutation, struct stored *ret_stored) {
    sqlite_bind_bytes(table->stored_version, 1, mutation->entry.key);
    int result = sqlite3_step(table->stored_version);
    *ret_stored = stored_in(batch, table->stored_version, result == SQLITE_ROW, 0, 1, 2);
    enum backend_status status = BACKEND_OK;
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        status = sqlite_fail_writing(batch->connection, table, table->stored_version, "reading a version",
                                     batch->error);
    sqlite3_reset(table->stored_version);
    return status;
}

/* Of a mutation that may not have changed the row: if the row is not what the mutation has made of it, it is newer. */
static enum backend_status look_superseded(const struct batch *batch, struct sqlite_table *table,
                                           struct mutation *mutation) {
    struct stored stored;
    enum backend_status status = look_at_row(batch, table, mutation, &stored);
    if (status == BACKEND_OK && stored.version && stored.version != mutation->entry.version)
        supersede(mutation, &stored);
    return status;
}

/* The message of the batch, which outlives its call; NULL: no memory. Neighbours are often refused for one reason. */
static const char *keep_refusal(const struct batch *batch, const char *last) {
    struct slice text = {batch->error->message, strlen(batch->error->message) + 1}, copy;
    if (last && strcmp(last, text.data) == 0)
        return last;
    return arena_copy(&batch->connection->refusals, text, &copy) ? copy.data : NULL;
}

/* Where that is how a single mutation has failed: marks it, and goes on with the others unless the transaction is
 * over. */
static enum backend_status note_refused(const struct batch *batch, struct mutation *mutation,
                                        enum backend_status status) {
    struct sqlite_connection *connection = batch->connection;
    if (status != BACKEND_PERMANENT)
        return status;
    mutation->refused = true;
    mutation->refusal = connection->last_refusal = keep_refusal(batch, connection->last_refusal);
    connection->refused++;
    return sqlite3_get_autocommit(connection->db) ? status : BACKEND_OK;
}

static enum backend_status upsert_rows(const struct batch *batch, struct sqlite_table *table,
                                       sqlite3_stmt *statement, const struct batch_place *places, int rows) {
    for (int row = 0; row < rows; row++) {
        const struct entry *entry = &at(batch, &places[row])->entry;
        bind_row(statement, row, entry);
        sqlite_expect_expiry(table, entry->expires_at);
    }
    if (sqlite_run(statement) != SQLITE_OK)
        return sqlite_fail_writing(batch->connection, table, statement, "writing", batch->error);
    enum backend_status status = BACKEND_OK;
    if (sqlite3_changes(batch->connection->db) < rows)
        for (int row = 0; row < rows && status == BACKEND_OK; row++)
            status = look_superseded(batch, table, at(batch, &places[row]));
    return status;
}

static enum backend_status upsert_singly(const struct batch *batch, struct sqlite_table *table,
                                         sqlite3_stmt *row, const struct batch_place *places, size_t count) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < count && status == BACKEND_OK; i++)
        status = note_refused(batch, at(batch, &places[i]), upsert_rows(batch, table, row, &places[i], 1));
    return status;
}

/* Keys and values of the next block lie anywhere: they are fetched while SQLite writes this one. */
static void fetch_ahead(const struct batch *batch, const struct batch_place *places, size_t count) {
    for (size_t i = 0; i < count && i < SQLITE_BLOCK_ROWS; i++) {
        const struct entry *entry = &at(batch, &places[i])->entry;
        __builtin_prefetch(entry->key.data);
        __builtin_prefetch(entry->value.data);
        __builtin_prefetch(entry->value.data + entry->value.size / 2);
    }
}

static enum backend_status upsert_run(const struct batch *batch, struct sqlite_table *table,
                                      sqlite3_stmt *block, sqlite3_stmt *row,
                                      const struct batch_place *places, size_t count) {
    enum backend_status status = BACKEND_OK;
    size_t done = 0;
    for (; done + SQLITE_BLOCK_ROWS <= count && status == BACKEND_OK; done += SQLITE_BLOCK_ROWS) {
        fetch_ahead(batch, &places[done + SQLITE_BLOCK_ROWS], count - done - SQLITE_BLOCK_ROWS);
        status = upsert_rows(batch, table, block, &places[done], SQLITE_BLOCK_ROWS);
        if (status == BACKEND_PERMANENT && !sqlite3_get_autocommit(batch->connection->db))
            status = upsert_singly(batch, table, row, &places[done], SQLITE_BLOCK_ROWS);
    }
    return status == BACKEND_OK ? upsert_singly(batch, table, row, &places[done], count - done) : status;
}

static enum backend_status delete_run(const struct batch *batch, struct sqlite_table *table,
                                      const struct batch_place *places, size_t count) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < count && status == BACKEND_OK; i++) {
        struct mutation *mutation = at(batch, &places[i]);
        sqlite_bind_bytes(table->delete_row, 1, mutation->entry.key);
        sqlite3_bind_int64(table->delete_row, 2, (sqlite3_int64)mutation->entry.version);
        if (sqlite_run(table->delete_row) != SQLITE_OK)
            status = note_refused(
                batch, mutation,
                sqlite_fail_writing(batch->connection, table, table->delete_row, "deleting", batch->error));
        else if (sqlite3_changes(batch->connection->db) == 0)
            status = look_superseded(batch, table, mutation);
    }
    return status;
}

/* ---- The application's own statements ---- */

/* The columns of the application's load are value[, flags[, expires_at[, version]]]. */
static enum backend_status look_at_own(const struct batch *batch, struct sqlite_table *table,
                                       const struct mutation *mutation, struct stored *ret_stored) {
    int columns = sqlite3_column_count(table->load);
    *ret_stored = (struct stored){.alive = false};
    if (!sqlite_bind_own(table->load, &table->load_at, table, &mutation->entry, batch->now))
        return BACKEND_OK; /* the statement that writes refuses the key as well */
    int result = sqlite3_step(table->load);
    *ret_stored =
        stored_in(batch, table->load, result == SQLITE_ROW, columns > 3 ? 3 : -1, columns > 2 ? 2 : -1, -1);
    enum backend_status status = BACKEND_OK;
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        status =
            sqlite_fail_writing(batch->connection, table, table->load, "reading a version", batch->error);
    sqlite3_reset(table->load);
    return status;
}

/* Whether the row is newer than the mutation, if the application's load returns versions. */
static enum backend_status look_superseded_own(const struct batch *batch, struct sqlite_table *table,
                                               struct mutation *mutation) {
    struct stored stored;
    if (sqlite3_column_count(table->load) < 4)
        return BACKEND_OK;
    enum backend_status status = look_at_own(batch, table, mutation, &stored);
    if (status == BACKEND_OK && stored.version > mutation->entry.version)
        supersede(mutation, &stored);
    return status;
}

/* Clients cannot make such a change: it was journalled before the namespace had this key_type. */
static enum backend_status refuse_key(const struct batch *batch, const struct sqlite_table *table) {
    return backend_fail(batch->error, BACKEND_PERMANENT,
                        "backend \"%s\", table of namespace \"%s\": the key is no whole number as key_type "
                        "= \"integer\" has them (7, not 007 or 7.0)",
                        batch->connection->name, table->table->name);
}

static enum backend_status own_run(const struct batch *batch, struct sqlite_table *table,
                                   const struct batch_place *places, size_t count) {
    enum backend_status status = BACKEND_OK;
    for (size_t i = 0; i < count && status == BACKEND_OK; i++) {
        struct mutation *mutation = at(batch, &places[i]);
        bool deletes = mutation->kind == MUTATION_DELETE;
        sqlite3_stmt *statement = deletes ? table->delete_own : table->store;
        if (!sqlite_bind_own(statement, deletes ? &table->delete_at : &table->store_at, table,
                             &mutation->entry, batch->now))
            status = note_refused(batch, mutation, refuse_key(batch, table));
        else if (sqlite_run(statement) != SQLITE_OK)
            status = note_refused(batch, mutation,
                                  sqlite_fail_writing(batch->connection, table, statement,
                                                      deletes ? "delete" : "store", batch->error));
        else if (sqlite3_changes(batch->connection->db) == 0)
            status = look_superseded_own(batch, table, mutation);
    }
    return status;
}

/* ---- What a mutation is on ---- */

static bool is_on(const struct mutation *mutation, const struct stored *stored) {
    if (stored->version == mutation->entry.version)
        return true;    /* applied before */
    if (!stored->alive) /* a delete that was applied before leaves nothing */
        return mutation->on & MUTATION_ON_ABSENCE ||
               (mutation->kind == MUTATION_DELETE && mutation->attempts > 0);
    if (mutation->on & MUTATION_ON_CAS)
        return !stored->cas || stored->cas == mutation->entry.client_cas;
    return mutation->on & MUTATION_ON_VERSION && (!stored->version || stored->version == mutation->base);
}

/* Of a mutation that says what it is on. *ret_over: it is superseded, as the row is something else, or it is done: a
 * touch of what is no living row is a put. */
static enum backend_status look_what_it_is_on(const struct batch *batch, struct sqlite_table *table,
                                              const struct batch_place *place, bool *ret_over) {
    struct mutation *mutation = at(batch, place);
    struct stored stored;
    enum backend_status status = table->own_sql ? look_at_own(batch, table, mutation, &stored)
                                                : look_at_row(batch, table, mutation, &stored);
    bool fits = status == BACKEND_OK && is_on(mutation, &stored);
    bool puts = fits && mutation->kind == MUTATION_TOUCH && !stored.alive && !table->own_sql;
    *ret_over = !fits || puts;
    if (puts)
        return upsert_singly(batch, table, table->put_row, place, 1);
    if (status == BACKEND_OK && !fits)
        supersede(mutation, &stored);
    return status;
}

/* Those that are still to be applied, *ret_count, are at the beginning then: within a run no order is to be kept. */
static enum backend_status look_what_they_are_on(const struct batch *batch, struct sqlite_table *table,
                                                 struct batch_place *places, size_t count,
                                                 size_t *ret_count) {
    enum backend_status status = BACKEND_OK;
    size_t kept = 0;
    for (size_t i = 0; i < count && status == BACKEND_OK; i++) {
        bool over = false;
        if (at(batch, &places[i])->on)
            status = look_what_it_is_on(batch, table, &places[i], &over);
        if (over)
            continue;
        struct batch_place place = places[kept];
        places[kept++] = places[i];
        places[i] = place;
    }
    *ret_count = kept;
    return status;
}

/* ---- The batch ---- */

static enum backend_status apply_run(const struct batch *batch, struct batch_place *places, size_t count) {
    enum mutation_kind kind = at(batch, &places[0])->kind;
    struct sqlite_table *table = sqlite_table_of(batch->connection, at(batch, &places[0])->table);
    enum backend_status status = sqlite_ready_table(batch->connection, table, batch->error);
    if (status == BACKEND_OK && kind != MUTATION_DELETE)
        status = sqlite_note_filled(batch->connection, table, batch->error);
    if (status == BACKEND_OK && batch->some_on)
        status = look_what_they_are_on(batch, table, places, count, &count);
    if (status != BACKEND_OK || count == 0)
        return status;
    if (table->own_sql)
        return own_run(batch, table, places, count);
    switch (kind) {
    case MUTATION_PUT:
        return upsert_run(batch, table, table->put_block, table->put_row, places, count);
    case MUTATION_TOUCH:
        return upsert_run(batch, table, table->touch_block, table->touch_row, places, count);
    case MUTATION_DELETE:
        break;
    }
    assert(kind == MUTATION_DELETE);
    return delete_run(batch, table, places, count);
}

static enum backend_status raise_high_version(const struct batch *batch, uint64_t version) {
    sqlite3_stmt *statement = batch->connection->high_set;
    if (version <= batch->connection->high_version)
        return BACKEND_OK;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)version);
    return sqlite_run(statement) == SQLITE_OK
               ? BACKEND_OK
               : sqlite_fail(batch->connection, "writing the high version", batch->error);
}

static bool is_some_on(const struct mutation *mutations, size_t count) {
    bool some = false;
    for (size_t i = 0; i < count; i++)
        some |= mutations[i].on != MUTATION_ON_ANY;
    return some;
}

static bool order_batch(struct sqlite_connection *connection, const struct mutation *mutations,
                        size_t count) {
    if (count > connection->place_count) {
        struct batch_place *places = realloc(connection->places, count * sizeof *places);
        if (!places)
            return false;
        connection->places = places;
        connection->place_count = count;
    }
    batch_order(mutations, count, connection->places);
    return true;
}

/* Inside the transaction. */
static enum backend_status apply_ordered(const struct batch *batch, size_t count, uint64_t highest) {
    struct batch_place *places = batch->connection->places;
    enum backend_status status = BACKEND_OK;
    for (size_t from = 0, run; from < count && status == BACKEND_OK; from += run) {
        run = batch_run(batch->mutations, places, from, count);
        status = apply_run(batch, &places[from], run);
    }
    if (status == BACKEND_OK && batch->connection->refused)
        return BACKEND_PERMANENT;
    if (status == BACKEND_OK)
        status = raise_high_version(batch, highest);
    for (size_t i = 0; i < count && status == BACKEND_OK; i++)
        batch->mutations[i].attempts++; /* what was rolled back before was none */
    if (status == BACKEND_OK && sqlite_run(batch->connection->commit) != SQLITE_OK)
        status = sqlite_fail(batch->connection, "committing", batch->error);
    return status;
}

enum backend_status sqlite_apply(struct backend_connection *base, struct mutation *mutations, size_t count,
                                 uint32_t now, struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    struct batch batch = {connection, mutations, is_some_on(mutations, count), now, ret_error};
    assert(connection->role == BACKEND_WRITER);
    arena_reset(&connection->refusals);
    connection->last_refusal = NULL;
    connection->refused = 0;
    if (count == 0)
        return BACKEND_OK;
    mutations_forget_answers(mutations, count);
    if (!order_batch(connection, mutations, count))
        return backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory for a batch of %zu",
                            connection->name, count);
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    sqlite_limit_waiting(connection);
    sqlite_bound_wal(connection);
    if (sqlite_run(connection->begin_write) != SQLITE_OK)
        return sqlite_fail(connection, "beginning a batch", ret_error);
    uint64_t highest = mutations_highest_version(mutations, count);
    status = sqlite_check_version(connection, ret_error);
    if (status == BACKEND_OK)
        status = apply_ordered(&batch, count, highest);
    sqlite_end_filling(connection, status == BACKEND_OK);
    if (status != BACKEND_OK)
        sqlite_roll_back(connection);
    else
        sqlite_note_own_version(connection, highest);
    connection->busy_since_maintain = true;
    sqlite_note_log(connection);
    /* What was committed into a file that is no longer at its path is in no store. */
    return status == BACKEND_OK ? sqlite_files_check(connection, ret_error) : status;
}
