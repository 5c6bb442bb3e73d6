/* SPDX-License-Identifier: MIT */
/* Reading rows: by key, the newest of a table, and the highest version. */
#include "backends/failure.h"
#include "backends/sqlite/internal.h"

/* Of the row that high_get is on. The number is ours alone, so somebody else put there what is no version, and whoever
 * knows the file has to judge it. */
static enum backend_status read_high(const struct sqlite_connection *connection, uint64_t *ret_version,
                                     struct backend_error *ret_error) {
    sqlite3_stmt *row = connection->high_get;
    sqlite3_int64 version = sqlite3_column_int64(row, 0);
    if (sqlite3_column_type(row, 0) != SQLITE_INTEGER || version < 0 ||
        (uint64_t)version > ENTRY_VERSION_HIGHEST)
        return backend_fail(
            ret_error, BACKEND_REFUSED,
            "backend \"%s\", %s: high_version in forebay_meta is %.40s, which is no version: set it to the highest of the tables, or to 0, and versions start from the clock",
            connection->name, connection->path, (const char *)sqlite3_column_text(row, 0));
    *ret_version = (uint64_t)version;
    return BACKEND_OK;
}

/* The first call is that of the opening. */
static void note_foreign(struct sqlite_connection *connection) {
    if (connection->role != BACKEND_WRITER)
        return;
    if (sqlite3_step(connection->data_version) == SQLITE_ROW) {
        sqlite3_int64 version = sqlite3_column_int64(connection->data_version, 0);
        connection->base.foreign += connection->data_version_seen && version != connection->data_version_seen;
        connection->data_version_seen = version;
    }
    sqlite3_reset(connection->data_version);
}

enum backend_status sqlite_high_version(struct backend_connection *base, uint64_t *ret_version,
                                        struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    int result = sqlite3_step(connection->high_get);
    enum backend_status status = BACKEND_OK;
    if (result == SQLITE_ROW)
        status = read_high(connection, ret_version, ret_error);
    else if (result == SQLITE_DONE)
        *ret_version = 0;
    else
        status = sqlite_fail(connection, "reading the high version", ret_error);
    sqlite3_reset(connection->high_get);
    note_foreign(connection);
    return status;
}

/* What is no version was put there by somebody else. */
static uint64_t sane_version(sqlite3_stmt *statement, int column) {
    sqlite3_int64 version = sqlite3_column_int64(statement, column);
    return version > 0 && (uint64_t)version <= ENTRY_VERSION_HIGHEST ? (uint64_t)version : 0;
}

enum backend_status sqlite_check_version(struct sqlite_connection *connection,
                                         struct backend_error *ret_error) {
    uint64_t version = 0;
    enum backend_status status = sqlite_high_version(&connection->base, &version, ret_error);
    if (status == BACKEND_OK)
        sqlite_look_for_rival(connection, version);
    if (status != BACKEND_OK || version >= connection->high_version)
        return status;
    return backend_fail(ret_error, BACKEND_REPLACED, "backend \"%s\", %s: an older copy was restored into it",
                        connection->name, connection->path);
}

enum backend_status sqlite_look(struct backend_connection *base, struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_check_version(connection, ret_error);
    return status == BACKEND_OK ? sqlite_look_for_tables(connection, ret_error) : status;
}

static uint32_t limited_to_32_bits(sqlite3_int64 number) {
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* The columns of a row: value[, flags[, expires_at[, version[, client_cas[, marks]]]]]. The application's own
 * statement may end early; missing ones are 0. The value stays SQLite's until the next step. */
static void read_row(sqlite3_stmt *statement, struct entry *entry) {
    const char *value = sqlite3_column_blob(statement, 0);
    entry->value = slice_of(value ? value : "", (size_t)sqlite3_column_bytes(statement, 0));
    entry->flags = limited_to_32_bits(sqlite3_column_int64(statement, 1));
    entry->expires_at = limited_to_32_bits(sqlite3_column_int64(statement, 2));
    entry->version = sane_version(statement, 3);
    entry->client_cas = (uint64_t)sqlite3_column_int64(statement, 4);
    entry->marks = (uint8_t)sqlite3_column_int64(statement, 5);
}

/* Columns of a row that is walked, behind these. */
enum { WALKED_KEY = 6, WALKED_ROW };

static bool row_is_live(sqlite3_stmt *statement, uint32_t now) {
    sqlite3_int64 expires_at = sqlite3_column_int64(statement, 2);
    return expires_at == 0 || expires_at > (sqlite3_int64)now;
}

/* Leaves the statement on its row when found: read it, then reset. */
static int seek_row(struct sqlite_table *table, struct slice key, uint32_t now, bool *ret_found) {
    if (table->own_sql) {
        struct entry asked = {.key = key};
        *ret_found = false;
        if (!sqlite_bind_own(table->load, &table->load_at, table, &asked, now))
            return SQLITE_OK;
    } else {
        sqlite_bind_bytes(table->load, 1, key);
    }
    int result = sqlite3_step(table->load);
    *ret_found = result == SQLITE_ROW && row_is_live(table->load, now) &&
                 !(table->own_sql && sqlite3_column_type(table->load, 0) == SQLITE_NULL);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

static enum backend_status load_one(struct sqlite_connection *connection, struct sqlite_table *table,
                                    struct slice key, uint32_t now, struct load_result *result,
                                    struct backend_error *ret_error) {
    enum backend_status status = BACKEND_OK;
    result->found = false;
    if (seek_row(table, key, now, &result->found) != SQLITE_OK) {
        status = sqlite_fail_reading(connection, table, table->load, "loading", ret_error);
    } else if (result->found) {
        read_row(table->load, &result->entry);
        result->entry.key = key;
        if (!arena_copy(&connection->loaded, result->entry.value, &result->entry.value))
            status = backend_fail(ret_error, BACKEND_TRANSIENT, "backend \"%s\": out of memory while loading",
                                  connection->name);
    }
    sqlite3_reset(table->load);
    return status;
}

/* One read transaction for all keys: it takes and gives back the file locks once. */
enum backend_status sqlite_load(struct backend_connection *base, const struct backend_table *table,
                                const struct slice *keys, size_t count, uint32_t now,
                                struct load_result *results, struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    struct sqlite_table *from = sqlite_table_of(connection, table);
    bool together = count > 1;
    arena_reset(&connection->loaded);
    sqlite_limit_waiting(connection);
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status == BACKEND_OK)
        status = sqlite_ready_table(connection, from, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (together && sqlite_run(connection->begin_read) != SQLITE_OK)
        return sqlite_fail(connection, "beginning to load", ret_error);
    for (size_t i = 0; i < count && status == BACKEND_OK; i++)
        status = load_one(connection, from, keys[i], now, &results[i], ret_error);
    if (together && sqlite_run(connection->commit) != SQLITE_OK)
        sqlite_roll_back(connection); /* nothing was written: what was read is good */
    return status;
}

enum { PAGE_KEYS = 1000 };

/* Where a walk over all keys has got to. */
struct page {
    char last[ENTRY_KEY_MAX];
    size_t size; /* of last; 0: the beginning */
    int shown;
    bool wanted;
};

/* The keys come first, sorted by version; their rows are then fetched one by one. So the sorter holds keys
 * only. */
static enum backend_status show_picked(struct sqlite_connection *connection, struct sqlite_table *table,
                                       uint32_t now, struct backend_visitor *visitor,
                                       struct backend_error *ret_error) {
    int result;
    bool wanted = true;
    while (wanted && (result = sqlite3_step(table->pick)) == SQLITE_ROW) {
        struct slice key = {sqlite3_column_blob(table->pick, 0),
                            (size_t)sqlite3_column_bytes(table->pick, 0)};
        struct entry entry = {.key = key};
        bool found = true;
        if (!visitor->keys_only && seek_row(table, key, now, &found) != SQLITE_OK)
            return sqlite_fail_reading(connection, table, table->load, "scanning", ret_error);
        if (found && !visitor->keys_only)
            read_row(table->load, &entry);
        if (found)
            wanted = visitor->entry(visitor, &entry);
        sqlite3_reset(table->load);
    }
    if (wanted && result != SQLITE_DONE)
        return sqlite_fail_reading(connection, table, table->pick, "scanning", ret_error);
    return BACKEND_OK;
}

/* In transactions of their own, or the log could not restart during the scan of a large table. */
static enum backend_status show_page(struct sqlite_connection *connection, struct sqlite_table *table,
                                     struct page *page, struct backend_visitor *visitor,
                                     struct backend_error *ret_error) {
    int result;
    page->shown = 0;
    sqlite_bind_bytes(table->page, 1, slice_of(page->last, page->size));
    sqlite3_bind_int(table->page, 2, PAGE_KEYS);
    sqlite3_bind_int(table->page, 3, ENTRY_KEY_MAX);
    page->wanted = true;
    while (page->wanted && (result = sqlite3_step(table->page)) == SQLITE_ROW) {
        page->size = (size_t)sqlite3_column_bytes(table->page, 0);
        memcpy(page->last, sqlite3_column_blob(table->page, 0), page->size);
        struct entry entry = {.key = slice_of(page->last, page->size)};
        page->wanted = visitor->entry(visitor, &entry);
        page->shown++;
    }
    enum backend_status status = BACKEND_OK;
    if (page->wanted && result != SQLITE_DONE)
        status = sqlite_fail_reading(connection, table, table->page, "scanning", ret_error);
    sqlite3_reset(table->page);
    return status;
}

static enum backend_status show_all(struct sqlite_connection *connection, struct sqlite_table *table,
                                    struct backend_visitor *visitor, struct backend_error *ret_error) {
    struct page page = {.wanted = true, .shown = PAGE_KEYS};
    enum backend_status status = BACKEND_OK;
    while (status == BACKEND_OK && page.wanted && page.shown == PAGE_KEYS) {
        status = sqlite_files_check(connection, ret_error);
        if (status == BACKEND_OK)
            status = show_page(connection, table, &page, visitor, ret_error);
    }
    return status;
}

/* Keys have an order, so the last one is a place for whatever connection, whether it is still there or not. */
static enum backend_status show_from(struct sqlite_connection *connection, struct sqlite_table *table,
                                     struct backend_place *place, struct backend_visitor *visitor,
                                     struct backend_error *ret_error) {
    struct page page = {.size = place->size <= ENTRY_KEY_MAX ? place->size : 0};
    memcpy(page.last, place->bytes, page.size);
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status == BACKEND_OK)
        status = show_page(connection, table, &page, visitor, ret_error);
    if (status != BACKEND_OK || !page.wanted)
        return status;
    memcpy(place->bytes, page.last, page.size);
    place->size = page.size;
    place->end = page.shown < PAGE_KEYS;
    return BACKEND_OK;
}

/* ---- Rows as they lie ---- */

enum { WALK_ROWS = 2048, WALK_BYTES = 16 << 20 }; /* shown in one transaction */

/* False: no client could ask for it, or its life is over. */
static bool read_walked(sqlite3_stmt *walk, uint32_t now, struct entry *ret_entry) {
    if (!row_is_live(walk, now) || sqlite3_column_type(walk, WALKED_KEY) != SQLITE_BLOB)
        return false;
    read_row(walk, ret_entry);
    ret_entry->key =
        slice_of(sqlite3_column_blob(walk, WALKED_KEY), (size_t)sqlite3_column_bytes(walk, WALKED_KEY));
    return ret_entry->key.size > 0 && ret_entry->key.size <= ENTRY_KEY_MAX;
}

/* From the row behind *row on, which is moved. *ret_result is that of the last step. */
static bool walk_on(sqlite3_stmt *walk, uint32_t now, struct backend_visitor *visitor, sqlite3_int64 *row,
                    int *ret_result) {
    size_t rows = 0, bytes = 0;
    bool wanted = true;
    *ret_result = SQLITE_ROW;
    while (wanted && rows < WALK_ROWS && bytes < WALK_BYTES &&
           (*ret_result = sqlite3_step(walk)) == SQLITE_ROW) {
        struct entry entry = {.version = 0};
        *row = sqlite3_column_int64(walk, WALKED_ROW);
        rows++;
        if (!read_walked(walk, now, &entry))
            continue;
        bytes += entry.value.size;
        wanted = visitor->entry(visitor, &entry);
    }
    return wanted;
}

/* The place is the number of the last row: one that is inserted later has a higher one, or is newer than the walk. */
static enum backend_status show_entries(struct sqlite_connection *connection, struct sqlite_table *table,
                                        uint32_t now, struct backend_visitor *visitor,
                                        struct backend_error *ret_error) {
    struct backend_place *place = visitor->place;
    sqlite3_int64 row = INT64_MIN;
    int result;
    enum backend_status status = sqlite_files_check(connection, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (place->size == sizeof row)
        memcpy(&row, place->bytes, sizeof row);
    sqlite3_bind_int64(table->walk, 1, row);
    bool wanted = walk_on(table->walk, now, visitor, &row, &result);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        status = sqlite_fail_reading(connection, table, table->walk, "scanning", ret_error);
    sqlite3_reset(table->walk);
    if (status != BACKEND_OK || !wanted)
        return status;
    memcpy(place->bytes, &row, sizeof row);
    place->size = sizeof row;
    place->end = result == SQLITE_DONE;
    return BACKEND_OK;
}

/* One number of a statement whose "%w" is the table's name and whose "%lld", if it has one, is `most`. */
static enum backend_status ask_number(struct sqlite_connection *connection, const char *format,
                                      struct sqlite_table *table, sqlite3_int64 most, uint64_t *ret_number,
                                      struct backend_error *ret_error) {
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf(format, table->table->name, most);
    int result = sql ? sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    enum backend_status status = BACKEND_OK;
    sqlite3_free(sql);
    if (result == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        *ret_number = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        status = sqlite_fail_reading(connection, table, statement, "measuring", ret_error);
    sqlite3_finalize(statement);
    return status;
}

/* The file holds the keys twice, and more besides: where that fits, the rows need not be read. A table may be many
 * times what is wanted: of more rows than `most` one is counted. */
enum backend_status sqlite_extent(struct backend_connection *base, const struct backend_table *table,
                                  size_t most, uint64_t room, struct backend_extent *ret_extent,
                                  struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    struct sqlite_table *from = sqlite_table_of(connection, table);
    uint64_t rows = 0, bytes = 0;
    sqlite3_int64 limit = most < INT64_MAX ? (sqlite3_int64)most + 1 : INT64_MAX;
    sqlite_limit_waiting(connection);
    enum backend_status status = from->own_sql ? BACKEND_OK : sqlite_ready_table(connection, from, ret_error);
    *ret_extent = (struct backend_extent){.rows = SIZE_MAX};
    if (status != BACKEND_OK || from->own_sql)
        return status;
    status = ask_number(connection, "SELECT count(*) FROM (SELECT 1 FROM \"%w\" LIMIT %lld)", from, limit,
                        &rows, ret_error);
    bool is_wanted = status == BACKEND_OK && rows <= most;
    if (is_wanted)
        status =
            ask_number(connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                       from, 0, &bytes, ret_error);
    if (is_wanted && status == BACKEND_OK && bytes > room)
        status = ask_number(connection, "SELECT total(length(key) + length(value)) FROM \"%w\"", from, 0,
                            &bytes, ret_error);
    if (status == BACKEND_OK)
        *ret_extent = (struct backend_extent){rows, bytes};
    return status;
}

enum backend_status sqlite_scan(struct backend_connection *base, const struct backend_table *table,
                                size_t limit, uint32_t now, struct backend_visitor *visitor,
                                struct backend_error *ret_error) {
    struct sqlite_connection *connection = sqlite_connection_of(base);
    struct sqlite_table *from = sqlite_table_of(connection, table);
    if (from->own_sql)
        return BACKEND_OK; /* there is no statement that lists the application's rows */
    sqlite_limit_waiting(connection);
    enum backend_status status = sqlite_ready_table(connection, from, ret_error);
    if (status != BACKEND_OK)
        return status;
    if (visitor->place && !visitor->all_keys && !visitor->keys_only)
        return show_entries(connection, from, now, visitor, ret_error);
    if (visitor->place)
        return show_from(connection, from, visitor->place, visitor, ret_error);
    if (visitor->all_keys)
        return show_all(connection, from, visitor, ret_error);
    sqlite3_bind_int64(from->pick, 1, now);
    sqlite3_bind_int64(from->pick, 2, limit > INT64_MAX ? INT64_MAX : (sqlite3_int64)limit);
    sqlite3_bind_int64(from->pick, 3, ENTRY_KEY_MAX);
    status = show_picked(connection, from, now, visitor, ret_error);
    sqlite3_reset(from->load);
    sqlite3_reset(from->pick);
    return status;
}
