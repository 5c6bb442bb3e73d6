/* SPDX-License-Identifier: MIT */
/*
 * SQLite as a store: one database file per backend, one plain table per namespace, readable in the sqlite3
 * shell.
 *
 * One writer connection and any number of read-only readers, each used by one thread at a time. The file is
 * in WAL mode: readers never wait for the writer nor the writer for readers.
 *
 * Batches. A batch is one transaction over all its tables. Rows are written in key order (batch_order.h),
 * several per statement, as INSERT ... ON CONFLICT(key) DO UPDATE ... WHERE excluded.version > version:
 * REPLACE would delete and insert again. SQLite counts the rows it changed; only when the count falls short
 * are the rows asked which of them the version guard kept.
 *
 * Layout. Tables have a rowid beside the unique key: new rows are appended and only the small key index is
 * written at random, which measured two to three times the inserts of a WITHOUT ROWID table, at equal
 * overwrites and 0.75 of its loads (docs/benchmarks-backends.md). There is no index on expires_at: it cost 25
 * to 40 % of the overwrites of expiring rows. The purge walks the table in bounded steps instead, and only
 * when a row can have expired.
 *
 * The log. SQLite's own automatic checkpoint is off: it would run inside a batch. maintain() checkpoints
 * between batches; a bound on the log holds even when maintain() is not called.
 *
 * Durability. synchronous = FULL syncs the log at each commit: a committed batch survives power loss. NORMAL
 * survives the death of the process, and after a power loss the store is whole, but the last batches may be
 * missing.
 *
 * Deletes leave nothing behind: the version of a deleted row is gone. This store is written by one Forebay,
 * whose journal replays the newest version of a key only.
 *
 * forebay_meta holds the layout's version and the highest version ever applied.
 */
#include "backends/sqlite/internal.h"
#include "cache/base/fit.h"
#include <assert.h>
#include <stdio.h>

/* ---- Settings ---- */

static const char *const synchronous_words[] = {"full", "normal", NULL};

#define IN_BACKEND(member) offsetof(struct sqlite_options, member)
#define IN_TABLE(member)   offsetof(struct sqlite_table_options, member)

static const struct setting settings[] = {
    {"synchronous", SETTING_NAME, IN_BACKEND(synchronous), .words = synchronous_words,
     .change = SETTING_FIXED,
     .about =
         "with `full`, a commit survives power loss; with `normal`, it survives the death of the process"},
    {"trusted_schema", SETTING_SWITCH, IN_BACKEND(trusted_schema), .standard = false, .change = SETTING_FIXED,
     .about =
         "let triggers and views of the file use what SQLite does not count as harmless ([backends](backends.md#your-own-table))"},
    {0},
};

/* By enum backend_keys. */
static const char *const key_type_words[] = {"text", "integer", NULL};

static const struct setting table_settings[] = {
    {"load", SETTING_TEXT, IN_TABLE(load_sql), .minimum = 1, .change = SETTING_FIXED,
     .about =
         "SQL that reads a row of a table of your own; `load`, `store` and `delete` are all needed. Parameters: `:key` (without the prefix), `:value`, `:flags`, `:expires_at`, `:version`, `:now` ([backends](backends.md#your-own-table))"},
    {"store", SETTING_TEXT, IN_TABLE(store_sql), .minimum = 1, .change = SETTING_FIXED,
     .about = "SQL that writes a row of it"},
    {"delete", SETTING_TEXT, IN_TABLE(delete_sql), .minimum = 1, .change = SETTING_FIXED,
     .about = "SQL that deletes a row of it"},
    {"key_type", SETTING_WORD, IN_TABLE(key_type), .words = key_type_words, .standard = BACKEND_KEYS_ANY,
     .change = SETTING_FIXED,
     .about =
         "what `:key` is bound as: `text`, or `integer` for a column of numbers. Keys after the prefix are then whole numbers in one spelling; others get CLIENT_ERROR ([backends](backends.md#your-own-table))"},
    {0},
};

/* SQLite's own tables, and ours beside those of the namespaces. */
static const char *const taken_prefixes[] = {"sqlite_", "forebay_", NULL};

/* ---- Checks ---- */

static bool complain_of_path(const struct backend_options *options, const char *why,
                             struct backend_complaint *ret_complaint) {
    ret_complaint->setting = "uri";
    fit_print(ret_complaint->message, sizeof ret_complaint->message, "uri = \"%s\": %s", options->uri, why);
    return false;
}

static bool check(const struct backend_options *options, struct backend_complaint *ret_complaint) {
    const char *path = options->uri + strlen("sqlite:");
    if (strncmp(options->uri, "sqlite:", strlen("sqlite:")) != 0)
        return complain_of_path(options, "an SQLite database is sqlite:PATH", ret_complaint);
    if (!*path)
        return complain_of_path(options, "the path is missing: write sqlite:PATH", ret_complaint);
    if (strncmp(path, "//", 2) == 0 && path[2] != '/')
        return complain_of_path(
            options,
            "no // stands before the path: a file in the data folder is sqlite:NAME, one elsewhere sqlite:/whole/path",
            ret_complaint);
    if (path[strlen(path) - 1] == '/')
        return complain_of_path(options, "this names a folder: write the path of a file", ret_complaint);
    if (strcmp(path, ":memory:") == 0 || strncmp(path, "file:", strlen("file:")) == 0)
        return complain_of_path(
            options,
            "SQLite's own names for databases mean nothing here, only paths do: a file of that name is sqlite:./NAME",
            ret_complaint);
    if (*path != '/' && !options->data)
        return complain_of_path(
            options,
            "a relative path starts at the data folder, which is not set: write data = \"/path\" at the top or sqlite:/whole/path",
            ret_complaint);
    return true;
}

/* All three statements or none. */
static bool check_statements(const struct backend_table *table, const struct sqlite_table_options *options,
                             struct backend_complaint *ret_complaint) {
    const char *const texts[] = {options->load_sql, options->store_sql, options->delete_sql};
    const char *given = NULL, *missing = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (texts[i])
            given = table_settings[i].name;
        else
            missing = table_settings[i].name;
    }
    if (!given || !missing)
        return true;
    ret_complaint->setting = given;
    fit_print(
        ret_complaint->message, sizeof ret_complaint->message,
        "namespace \"%s\" has SQL of its own for %s and none for %s: write load, store and delete, or none of them",
        table->name, given, missing);
    return false;
}

/* A client could write the highest version through them. */
static bool check_own(const struct backend_table *table, const struct sqlite_table_options *options,
                      struct backend_complaint *ret_complaint) {
    if (!options->load_sql || !sqlite_names_meta(options))
        return true;
    ret_complaint->setting = "store";
    fit_print(
        ret_complaint->message, sizeof ret_complaint->message,
        "namespace \"%s\" has SQL of its own on a table whose name \"forebay_meta\" is Forebay's own: keep its rows in another table",
        table->name);
    return false;
}

/* Tables of ours have keys of any bytes. */
static bool check_key_type(const struct backend_table *table, const struct sqlite_table_options *options,
                           struct backend_complaint *ret_complaint) {
    if (options->load_sql || options->key_type == BACKEND_KEYS_ANY)
        return true;
    ret_complaint->setting = "key_type";
    fit_print(
        ret_complaint->message, sizeof ret_complaint->message,
        "key_type is for SQL of a namespace's own, and namespace \"%s\" has none: remove it or write load, store and delete",
        table->name);
    return false;
}

static bool check_table(const struct backend_table *table, const char *scanned_for,
                        struct backend_complaint *ret_complaint) {
    struct sqlite_table_options options;
    bool ours =
        backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, table->specific, &options);
    assert(ours);
    (void)ours;
    if (!check_statements(table, &options, ret_complaint) || !check_own(table, &options, ret_complaint) ||
        !check_key_type(table, &options, ret_complaint))
        return false;
    if (!scanned_for || !options.load_sql)
        return true;
    ret_complaint->setting = scanned_for;
    fit_print(ret_complaint->message, sizeof ret_complaint->message,
              "namespace \"%s\" has SQL of its own, which does not list rows: remove %s", table->name,
              scanned_for);
    return false;
}

static enum backend_keys keys(const struct backend_table *table) {
    struct sqlite_table_options options;
    bool ours =
        backend_take_specific(&sqlite_backend, &sqlite_backend.table_options, table->specific, &options);
    return ours ? options.key_type : BACKEND_KEYS_ANY;
}

/* ---- The kind ---- */

/* A database, its log, its index. */
static struct backend_descriptors descriptors(const struct backend_options *options, enum backend_role role) {
    (void)options, (void)role;
    return (struct backend_descriptors){3, 3};
}

const struct backend_type sqlite_backend = {
    .scheme = "sqlite",
    .title = "SQLite",
    .article = "an",
    .schemes = "sqlite",
    .example = "\"sqlite:store.db\"",
    .uri_is_path = true,
    .taken_prefixes = taken_prefixes,
    .options = {settings, sizeof(struct sqlite_options)},
    .table_options = {table_settings, sizeof(struct sqlite_table_options)},
    .check = check,
    .check_table = check_table,
    .keys = keys,
    .same_store = sqlite_same_store,
    .one_backend_only = true,
    .notices_foreign = true,
    .overlap = sqlite_overlap,
    .place = sqlite_place,
    .exposed = sqlite_exposed,
    .needs = sqlite_needs,
    .descriptors = descriptors,
    .open = sqlite_open,
    .probe = sqlite_probe,
    .high_version = sqlite_high_version,
    .look = sqlite_look,
    .load = sqlite_load,
    .apply = sqlite_apply,
    .scan = sqlite_scan,
    .extent = sqlite_extent,
    .maintain = sqlite_maintain,
    .close = sqlite_close,
};
