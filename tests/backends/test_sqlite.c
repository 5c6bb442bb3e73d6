/* SPDX-License-Identifier: MIT */
/*
 * What is particular to SQLite: refusals, locks and full disks, the rows as the sqlite3 shell sees them,
 * upkeep, and the application's own SQL. What every backend owes is in test_conformance.c.
 */
#include "backends/kinds.h"
#include "backends/sqlite/internal.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOW = 1000000 };

struct fixture {
    struct temp_folder folder;
    char path[300];
    struct backend_table tables[2];
    const struct backend_table *list[2];
    struct backend_options options;
    struct sqlite_options own;
    struct sqlite_table_options sql; /* of tables[0] once with_own_sql was called */
    struct backend_connection *writer, *reader;
    struct backend_error error;
    sqlite3 *shell; /* somebody else's connection to the same file */
    pid_t child;    /* somebody else's process; 0: none */

    /* A thread that reads while the test writes. */
    pthread_t race;
    bool racing, torn;
    atomic_bool stop;
    unsigned reads;
};

enum {
    MINUTE = 60000,
    SHORT = 50
}; /* milliseconds: what is to succeed has time; a lock is waited for briefly */

/* ---- A store and somebody beside it ---- */

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    temp_folder_make(&fixture->folder);
    snprintf(fixture->path, sizeof fixture->path, "%s/store.db", fixture->folder.path);
    fixture->tables[0] = (struct backend_table){.name = "sessions", .key_prefix = "sess:"};
    fixture->tables[1] =
        (struct backend_table){.name = "Qu\"oted 'name'; --", .key_prefix = "q:", .index = 1};
    fixture->list[0] = &fixture->tables[0];
    fixture->list[1] = &fixture->tables[1];
    fixture->options = (struct backend_options){.name = "local",
                                                .uri = "sqlite:store.db",
                                                .data = fixture->folder.path,
                                                .timeout_ms = MINUTE,
                                                .specific = &fixture->own.base,
                                                .tables = fixture->list,
                                                .table_count = 2};
    fixture->own = (struct sqlite_options){{&sqlite_backend}, .synchronous = "full"};
    *state = fixture;
    return 0;
}

static void end_race(struct fixture *fixture) {
    atomic_store(&fixture->stop, true);
    if (fixture->racing)
        pthread_join(fixture->race, NULL);
    fixture->racing = false;
}

/* As a failed assertion left it: the file may grow, root is root again. */
static void undo_limits(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (getuid() == 0 && geteuid() != 0 && seteuid(0) != 0)
        abort();
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    undo_limits();
    end_race(fixture);
    if (fixture->child > 0) {
        kill(fixture->child, SIGKILL);
        waitpid(fixture->child, NULL, 0);
    }
    sqlite3_close(fixture->shell);
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    temp_folder_remove(&fixture->folder);
    free(fixture);
    return 0;
}

static enum backend_status open_writer(struct fixture *fixture) {
    memset(&fixture->error, 0, sizeof fixture->error);
    return sqlite_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &fixture->error);
}

static enum backend_status open_reader(struct fixture *fixture) {
    return sqlite_backend.open(&fixture->options, BACKEND_READER, &fixture->reader, &fixture->error);
}

static void open_both(struct fixture *fixture) {
    if (open_writer(fixture) != BACKEND_OK || open_reader(fixture) != BACKEND_OK)
        fail_msg("%s", fixture->error.message);
}

static void shell(struct fixture *fixture, const char *sql) {
    if (!fixture->shell)
        assert_int_equal(sqlite3_open(fixture->path, &fixture->shell), SQLITE_OK);
    if (sqlite3_exec(fixture->shell, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(fixture->shell));
}

/* The first column of the first row, as text; "" when there is none. */
static const char *ask(struct fixture *fixture, const char *sql) {
    static char answer[300];
    sqlite3_stmt *statement;
    shell(fixture, "");
    assert_int_equal(sqlite3_prepare_v2(fixture->shell, sql, -1, &statement, NULL), SQLITE_OK);
    bool row = sqlite3_step(statement) == SQLITE_ROW;
    const unsigned char *text = row ? sqlite3_column_text(statement, 0) : NULL;
    snprintf(answer, sizeof answer, "%s", text ? (const char *)text : "");
    sqlite3_finalize(statement);
    return answer;
}

static struct mutation put(struct fixture *fixture, const char *key, const char *value, uint64_t version) {
    return (struct mutation){
        .table = fixture->list[0],
        .kind = MUTATION_PUT,
        .entry = {.key = slice_string(key), .value = slice_string(value), .version = version}};
}

static enum backend_status apply(struct fixture *fixture, struct mutation *mutations, size_t count) {
    return sqlite_backend.apply(fixture->writer, mutations, count, NOW, &fixture->error);
}

static enum backend_status apply_one(struct fixture *fixture, struct mutation mutation) {
    return apply(fixture, &mutation, 1);
}

static struct load_result load(struct fixture *fixture, const char *key) {
    struct slice slice = slice_string(key);
    struct load_result result;
    if (sqlite_backend.load(fixture->reader, fixture->list[0], &slice, 1, NOW, &result, &fixture->error) !=
        BACKEND_OK)
        fail_msg("%s", fixture->error.message);
    return result;
}

static void assert_value(struct fixture *fixture, const char *key, const char *value) {
    struct load_result result = load(fixture, key);
    assert_true(result.found);
    assert_int_equal(result.entry.value.size, strlen(value));
    assert_memory_equal(result.entry.value.data, value, strlen(value));
}

static void assert_says(const struct fixture *fixture, const char *part) {
    if (!strstr(fixture->error.message, part))
        fail_msg("\"%s\" is not in: %s", part, fixture->error.message);
}

static void assert_refused(struct fixture *fixture, const char *part, const char *other_part) {
    assert_int_equal(open_writer(fixture), BACKEND_REFUSED);
    assert_null(fixture->writer);
    assert_says(fixture, part);
    assert_says(fixture, other_part);
}

static void write_file(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

/* ---- Refusals at the start ---- */

TEST(a_bad_place_is_refused_by_name) {
    struct fixture *fixture = *state;
    fixture->options.uri = "sqlite:.";
    assert_refused(fixture, "directory", fixture->folder.path);
    fixture->options.uri = "sqlite:missing/store.db";
    assert_refused(fixture, "does not exist", "/missing");
    fixture->options.uri = "sqlite:";
    assert_refused(fixture, "sqlite:PATH", "local");
    fixture->options.uri = "sqlite+what:x";
    assert_refused(fixture, "sqlite:PATH", "sqlite+what:x");
    fixture->options.uri = "sqlite:store.db";
    fixture->own.synchronous = "sometimes";
    assert_refused(fixture, "sometimes", "normal");
}

TEST(an_absolute_path_ignores_the_data_folder) {
    struct fixture *fixture = *state;
    char uri[320];
    snprintf(uri, sizeof uri, "sqlite:%s", fixture->path);
    fixture->options.uri = uri;
    fixture->options.data = "/nowhere";
    open_both(fixture);
    assert_int_equal(access(fixture->path, F_OK), 0);
}

TEST(a_file_that_is_no_database_is_refused) {
    struct fixture *fixture = *state;
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    write_file(fixture->path, text, 0644);
    assert_refused(fixture, "not a database", fixture->path);
}

/* As a user who may not: root may everything. */
enum { NOBODY = 65534 };

TEST(a_file_that_may_not_be_made_is_refused) {
    struct fixture *fixture = *state;
    assert_int_equal(chmod(fixture->folder.path, 0555), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(NOBODY), 0);
    enum backend_status status = open_writer(fixture);
    undo_limits();
    assert_int_equal(chmod(fixture->folder.path, 0755), 0);
    assert_int_equal(status, BACKEND_REFUSED);
    assert_says(fixture, "cannot be made by user");
    assert_says(fixture, "Permission denied");
    assert_says(fixture, fixture->path);
}

TEST(a_file_without_permission_is_refused) {
    struct fixture *fixture = *state;
    open_both(fixture);
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    fixture->reader = fixture->writer = NULL;
    bool root = geteuid() == 0;
    assert_int_equal(chmod(fixture->folder.path, 0755), 0);
    assert_int_equal(chmod(fixture->path, 0444), 0);
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    enum backend_status read_only = open_writer(fixture);
    struct backend_error first = fixture->error;
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(fixture->path, 0000), 0);
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    enum backend_status unreadable = open_writer(fixture);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(unreadable, BACKEND_REFUSED);
    assert_says(fixture, "ermission denied");
    fixture->error = first;
    assert_int_equal(read_only, BACKEND_REFUSED);
    assert_says(fixture, "Permission denied; chown or chmod it");
    assert_says(fixture, fixture->path);
}

TEST(a_newer_schema_is_refused) {
    struct fixture *fixture = *state;
    open_both(fixture);
    shell(fixture, "UPDATE forebay_meta SET value = 7 WHERE name = 'schema'");
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    fixture->reader = fixture->writer = NULL;
    assert_refused(fixture, "version 7", "version 1");
    assert_says(fixture, fixture->path);
    assert_int_equal(open_reader(fixture), BACKEND_REFUSED);
}

TEST(a_foreign_table_of_that_name_is_refused) {
    struct fixture *fixture = *state;
    shell(fixture, "CREATE TABLE sessions (id INTEGER PRIMARY KEY, data TEXT)");
    assert_refused(fixture, "id, data", "\"sessions\"");
    shell(fixture, "DROP TABLE sessions; CREATE VIEW sessions AS SELECT 1 AS key");
    assert_refused(fixture, "sessions", fixture->path);
    shell(fixture, "DROP VIEW sessions; CREATE TABLE forebay_meta (a, b)");
    assert_refused(fixture, "forebay_meta", fixture->path);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sqlite_schema WHERE name = 'sessions'"), "0");
}

TEST(names_that_cannot_be_tables_are_refused) {
    struct fixture *fixture = *state;
    fixture->tables[1].name = "FOREBAY_meta";
    assert_refused(fixture, "FOREBAY_meta", "taken");
    fixture->tables[1].name = "sqlite_things";
    assert_refused(fixture, "sqlite_things", "taken");
    fixture->tables[1].name = "SESSIONS";
    assert_refused(fixture, "SESSIONS", "upper and lower case");
}

/* ---- The rows as others see them ---- */

TEST(rows_are_plain_to_read) {
    struct fixture *fixture = *state;
    open_both(fixture);
    struct mutation mutation = put(fixture, "sess:a", "hello", 77);
    assert_int_equal(apply(fixture, &mutation, 1), BACKEND_OK);
    mutation.entry = (struct entry){.key = SLICE("sess:b"),
                                    .value = SLICE(""),
                                    .version = 78,
                                    .client_cas = 5,
                                    .flags = UINT32_MAX,
                                    .expires_at = NOW + 5,
                                    .marks = ENTRY_STALE};
    assert_int_equal(apply(fixture, &mutation, 1), BACKEND_OK);
    assert_string_equal(ask(fixture, "SELECT group_concat(name) FROM pragma_table_info('sessions')"),
                        "key,value,flags,expires_at,version,client_cas,marks");
    assert_string_equal(
        ask(fixture, "SELECT quote(key) || quote(value) || quote(flags) || quote(expires_at) || "
                     "quote(version) || quote(client_cas) || quote(marks) FROM sessions WHERE version = 77"),
        "X'736573733A61'X'68656C6C6F'0077NULLNULL");
    assert_string_equal(
        ask(fixture, "SELECT flags || ' ' || expires_at || ' ' || client_cas || ' ' || marks || quote(value) "
                     "FROM sessions WHERE version = 78"),
        "4294967295 1000005 5 1X''");
    assert_string_equal(
        ask(fixture, "SELECT group_concat(name || value, ' ') FROM forebay_meta ORDER BY name"),
        "schema1 high_version78");
    assert_string_equal(ask(fixture, "PRAGMA journal_mode"), "wal");
    mutation.table = fixture->list[1];
    assert_int_equal(apply(fixture, &mutation, 1), BACKEND_OK);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM \"Qu\"\"oted 'name'; --\""), "1");
}

TEST(a_row_that_somebody_put_there_is_served_and_overwritten) {
    struct fixture *fixture = *state;
    open_both(fixture);
    shell(
        fixture,
        "INSERT INTO sessions(key, value) VALUES (CAST('sess:a' AS BLOB), 'as text'), (x'736573733a62', 42)");
    assert_value(fixture, "sess:a", "as text");
    assert_value(fixture, "sess:b", "42");
    assert_int_equal(load(fixture, "sess:b").entry.version, 0);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:b", "ours", 1)), BACKEND_OK);
    assert_value(fixture, "sess:b", "ours");
}

/* It would be another key than the same text as a BLOB, and never be found. */
TEST(a_row_with_a_key_of_text_is_refused) {
    struct fixture *fixture = *state;
    open_both(fixture);
    shell(fixture, "");
    static const char insert[] = "INSERT INTO sessions(key, value) VALUES ('sess:a', 'as text')";
    assert_int_equal(sqlite3_exec(fixture->shell, insert, NULL, NULL, NULL), SQLITE_CONSTRAINT);
    assert_non_null(strstr(sqlite3_errmsg(fixture->shell), "CAST('...' AS BLOB)"));
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "0");
}

/* Made by a version without that check. */
TEST(a_table_of_before_is_used_as_it_is) {
    struct fixture *fixture = *state;
    shell(fixture, "CREATE TABLE sessions (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, "
                   "flags INTEGER NOT NULL DEFAULT 0, expires_at INTEGER NOT NULL DEFAULT 0, "
                   "version INTEGER NOT NULL DEFAULT 0, client_cas INTEGER, marks INTEGER);"
                   "INSERT INTO sessions(key, value) VALUES ('sess:text', 'lost'), (x'736573733a62', 42)");
    open_both(fixture);
    assert_value(fixture, "sess:b", "42");
    assert_false(load(fixture, "sess:text").found);
    shell(fixture, "UPDATE sessions SET key = CAST(key AS BLOB) WHERE typeof(key) <> 'blob'");
    assert_value(fixture, "sess:text", "lost");
}

/* Of somebody who made the table himself, with columns that may be empty. */
TEST(a_row_without_a_version_gives_way_to_any_change) {
    struct fixture *fixture = *state;
    shell(fixture,
          "CREATE TABLE sessions (key PRIMARY KEY, value, flags, expires_at, version, client_cas, marks);"
          "INSERT INTO sessions(key, value) VALUES (CAST('sess:put' AS BLOB), 'old'),"
          " (CAST('sess:touch' AS BLOB), 'old'), (CAST('sess:delete' AS BLOB), 'old')");
    open_both(fixture);
    struct mutation mutations[] = {put(fixture, "sess:put", "new", 1), put(fixture, "sess:touch", "old", 2),
                                   put(fixture, "sess:delete", "", 3)};
    mutations[1].kind = MUTATION_TOUCH;
    mutations[1].entry.expires_at = NOW + 100;
    mutations[2].kind = MUTATION_DELETE;
    assert_int_equal(apply(fixture, mutations, 3), BACKEND_OK);
    assert_value(fixture, "sess:put", "new");
    assert_value(fixture, "sess:touch", "old");
    assert_int_equal(load(fixture, "sess:touch").entry.expires_at, NOW + 100);
    assert_false(load(fixture, "sess:delete").found);
}

TEST(a_commit_survives_the_death_of_the_process) {
    struct fixture *fixture = *state;
    pid_t child = fork();
    if (child == 0) {
        bool done = open_writer(fixture) == BACKEND_OK &&
                    apply_one(fixture, put(fixture, "sess:a", "survives", 1)) == BACKEND_OK;
        /* A batch that is not committed dies with the process. */
        sqlite3_exec(sqlite_connection_of(fixture->writer)->db,
                     "BEGIN; INSERT INTO sessions(key, value) VALUES (x'30', x'31')", NULL, NULL, NULL);
        _exit(done ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    open_both(fixture);
    assert_value(fixture, "sess:a", "survives");
    assert_false(load(fixture, "0").found);
}

TEST(synchronous_is_full_unless_told) {
    struct fixture *fixture = *state;
    const char *settings[] = {NULL, "full", "normal"}, *expected[] = {"2", "2", "1"};
    for (unsigned i = 0; i < 3; i++) {
        sqlite3_stmt *statement;
        fixture->options.specific = settings[i] ? &fixture->own.base : NULL;
        fixture->own.synchronous = settings[i];
        assert_int_equal(open_writer(fixture), BACKEND_OK);
        sqlite3 *db = sqlite_connection_of(fixture->writer)->db;
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA synchronous", -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(statement, 0), expected[i]);
        sqlite3_finalize(statement);
        sqlite_backend.close(fixture->writer);
        fixture->writer = NULL;
    }
}

/* ---- Failures while running ---- */

TEST(a_locked_database_is_transient) {
    struct fixture *fixture = *state;
    fixture->options.timeout_ms = SHORT;
    open_both(fixture);
    shell(fixture, "BEGIN IMMEDIATE");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_TRANSIENT);
    assert_says(fixture, "locked");
    assert_says(fixture, fixture->path);
    assert_false(load(fixture, "sess:a").found); /* readers go on */
    shell(fixture, "COMMIT");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
}

/* Holds the database locked until it is told to go. */
static void lock_in_child(struct fixture *fixture, int ready, int go) {
    char byte = 0;
    fixture->child = fork();
    if (fixture->child != 0)
        return;
    sqlite3 *db;
    sqlite3_open(fixture->path, &db);
    sqlite3_exec(db, "CREATE TABLE t(a); BEGIN EXCLUSIVE", NULL, NULL, NULL);
    byte = (char)(write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1);
    _exit(byte ? 0 : 1);
}

TEST(a_database_locked_by_another_process_at_the_start_is_transient) {
    struct fixture *fixture = *state;
    int ready[2], go[2], status;
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(go), 0);
    lock_in_child(fixture, ready[1], go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    fixture->options.timeout_ms = SHORT;
    assert_int_equal(open_writer(fixture), BACKEND_TRANSIENT);
    fixture->options.timeout_ms = MINUTE;
    assert_says(fixture, "locked");
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(fixture->child, &status, 0), fixture->child);
    fixture->child = 0;
    assert_int_equal(status, 0);
    open_both(fixture);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
}

static void writer_says(struct fixture *fixture, const char *sql) {
    assert_int_equal(sqlite3_exec(sqlite_connection_of(fixture->writer)->db, sql, NULL, NULL, NULL),
                     SQLITE_OK);
}

static enum backend_status apply_large(struct fixture *fixture, uint64_t version) {
    static char value[100000];
    memset(value, (int)(version % 256), sizeof value); /* SQLite does not write pages that stay the same */
    struct mutation mutations[] = {put(fixture, "sess:small", "small", version),
                                   put(fixture, "sess:large", "", version)};
    mutations[1].entry.value = slice_of(value, sizeof value);
    return apply(fixture, mutations, 2);
}

TEST(a_full_database_is_transient_and_recovers) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "before", 1)), BACKEND_OK);
    writer_says(fixture, "PRAGMA max_page_count = 12");
    assert_int_equal(apply_large(fixture, 2), BACKEND_TRANSIENT);
    assert_says(fixture, "full");
    assert_false(load(fixture, "sess:small").found); /* all or nothing */
    assert_value(fixture, "sess:a", "before");
    writer_says(fixture, "PRAGMA max_page_count = 100000");
    assert_int_equal(apply_large(fixture, 2), BACKEND_OK);
    assert_value(fixture, "sess:small", "small");
}

/* The kernel refuses to let files grow: an error of the file system instead of one of SQLite. */
TEST(a_file_that_cannot_grow_is_transient) {
    struct fixture *fixture = *state;
    struct rlimit before, limit;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "before", 1)), BACKEND_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 70000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum backend_status status = apply_large(fixture, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, BACKEND_TRANSIENT);
    assert_false(load(fixture, "sess:small").found);
    assert_int_equal(apply_large(fixture, 2), BACKEND_OK);
    assert_value(fixture, "sess:small", "small");
    assert_value(fixture, "sess:a", "before");
}

TEST(a_refused_row_is_permanent_and_undoes_its_batch) {
    struct fixture *fixture = *state;
    open_both(fixture);
    shell(fixture, "CREATE TRIGGER no BEFORE INSERT ON sessions WHEN new.key = x'736573733a626164' "
                   "BEGIN SELECT raise(ABORT, 'not this one'); END");
    struct mutation mutations[] = {put(fixture, "sess:a", "one", 1), put(fixture, "sess:bad", "two", 2),
                                   put(fixture, "sess:z", "three", 3)};
    assert_int_equal(apply(fixture, mutations, 3), BACKEND_PERMANENT);
    assert_says(fixture, "not this one");
    assert_false(load(fixture, "sess:a").found);
    assert_string_equal(ask(fixture, "SELECT value FROM forebay_meta WHERE name = 'high_version'"), "0");
    assert_int_equal(apply(fixture, mutations, 1), BACKEND_OK);
    assert_int_equal(apply(fixture, mutations + 2, 1), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
}

/* All of them at once, so that the rest of the batch can follow; rows of a block and single ones. */
TEST(all_refused_rows_of_a_batch_are_named) {
    enum { ROWS = 100 };
    struct fixture *fixture = *state;
    struct mutation mutations[ROWS], others[ROWS];
    char keys[ROWS][16];
    size_t left = 0;
    open_both(fixture);
    shell(fixture, "CREATE TRIGGER no BEFORE INSERT ON sessions WHEN new.key >= x'736573733a6d' "
                   "BEGIN SELECT raise(ABORT, 'not this one'); END");
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[i], "sess:%c%u", i % 3 ? 'z' : 'a', i);
        mutations[i] = put(fixture, keys[i], "value", i + 1);
    }
    assert_int_equal(apply(fixture, mutations, ROWS), BACKEND_PERMANENT);
    for (unsigned i = 0; i < ROWS; i++) {
        assert_int_equal(mutations[i].refused, i % 3 != 0);
        if (mutations[i].refused)
            assert_non_null(strstr(mutations[i].refusal, "not this one"));
        else
            others[left++] = mutations[i];
    }
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "0");
    assert_int_equal(apply(fixture, others, left), BACKEND_OK);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "34");
}

/* Where the transaction is over with the row, the others are not tried. */
TEST(a_row_that_ends_its_transaction_is_named_alone) {
    struct fixture *fixture = *state;
    open_both(fixture);
    shell(fixture, "CREATE TRIGGER no BEFORE INSERT ON sessions WHEN new.key = x'736573733a626164' "
                   "BEGIN SELECT raise(ROLLBACK, 'not this one'); END");
    struct mutation mutations[] = {put(fixture, "sess:a", "one", 1), put(fixture, "sess:bad", "two", 2),
                                   put(fixture, "sess:z", "three", 3)};
    assert_int_equal(apply(fixture, mutations, 3), BACKEND_PERMANENT);
    assert_true(mutations[1].refused && !mutations[0].refused && !mutations[2].refused);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "0");
}

TEST(a_dropped_table_is_made_again) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
    shell(fixture, "DROP TABLE sessions");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_TABLE_FAILED);
    assert_says(fixture, "no such table");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "two", 2)), BACKEND_OK);
}

/* What a purge meets in one table neither ends the purge of the others nor the checkpoints. */
TEST(upkeep_goes_on_beside_a_table_that_failed) {
    struct fixture *fixture = *state;
    bool more;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    shell(fixture, "ALTER TABLE sessions RENAME COLUMN expires_at TO until");
    struct sqlite_connection *connection = sqlite_connection_of(fixture->writer);
    connection->wal_checkpoint_pages = 1;
    assert_int_equal(sqlite_backend.maintain(fixture->writer, NOW, &more, &fixture->error),
                     BACKEND_TABLE_FAILED);
    assert_true(connection->wal_pages > 0);
    assert_int_equal(connection->wal_done, connection->wal_pages);
    assert_true(connection->tables[0].sweep.not_before > NOW);
    assert_int_equal(sqlite_backend.maintain(fixture->writer, NOW, &more, &fixture->error), BACKEND_OK);
}

/* A caller that has less time than the timeout says so. */
TEST(a_call_waits_no_longer_than_its_caller) {
    struct fixture *fixture = *state;
    struct backend_error error;
    open_both(fixture);
    uint64_t begun_us = monotonic_us();
    shell(fixture, "BEGIN EXCLUSIVE");
    fixture->writer->call_until_us = begun_us + 20 * US_PER_MS;
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_TRANSIENT);
    sqlite_backend.close(fixture->writer);
    fixture->writer = NULL;
    fixture->options.open_until_us = monotonic_us() + 20 * US_PER_MS;
    assert_int_equal(sqlite_backend.open(&fixture->options, BACKEND_WRITER, &fixture->writer, &error),
                     BACKEND_TRANSIENT);
    assert_true(monotonic_us() < begun_us + MINUTE * US_PER_MS);
    shell(fixture, "COMMIT");
    fixture->options.open_until_us = 0;
}

/* ---- Readers and atomic batches ---- */

static void *look_for_torn_batches(void *context) {
    struct fixture *fixture = context;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:b"), SLICE("sess:c")};
    do {
        struct load_result results[3];
        struct backend_error error;
        if (sqlite_backend.load(fixture->reader, fixture->list[0], keys, 3, NOW, results, &error) !=
            BACKEND_OK)
            fixture->torn = true;
        for (unsigned i = 1; i < 3; i++)
            if (results[i].found != results[0].found ||
                (results[0].found && results[i].entry.version != results[0].entry.version))
                fixture->torn = true;
        fixture->reads++;
    } while (!atomic_load(&fixture->stop));
    return NULL;
}

TEST(a_load_never_sees_half_a_batch) {
    struct fixture *fixture = *state;
    fixture->own.synchronous = "normal";
    open_both(fixture);
    assert_int_equal(pthread_create(&fixture->race, NULL, look_for_torn_batches, fixture), 0);
    fixture->racing = true;
    for (unsigned version = 1; version < 1000; version++) {
        struct mutation mutations[] = {put(fixture, "sess:c", "x", version),
                                       put(fixture, "sess:a", "x", version),
                                       put(fixture, "sess:b", "x", version)};
        if (version % 7 == 0)
            mutations[0].kind = mutations[1].kind = mutations[2].kind = MUTATION_DELETE;
        assert_int_equal(apply(fixture, mutations, 3), BACKEND_OK);
        bool more;
        assert_int_equal(sqlite_backend.maintain(fixture->writer, NOW, &more, &fixture->error), BACKEND_OK);
    }
    end_race(fixture);
    assert_false(fixture->torn);
    assert_true(fixture->reads > 0);
}

/* ---- Upkeep ---- */

static unsigned maintain_to_the_end(struct fixture *fixture, uint32_t now) {
    unsigned steps = 0;
    for (bool more = true; more && steps < 1000; steps++)
        assert_int_equal(sqlite_backend.maintain(fixture->writer, now, &more, &fixture->error), BACKEND_OK);
    return steps;
}

static void fill(struct fixture *fixture, unsigned count, uint32_t expires_at, uint64_t version) {
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "sess:%u:%u", expires_at, i);
        struct mutation mutation = put(fixture, name, "value", version + i);
        mutation.entry.expires_at = expires_at;
        if (i == 0)
            writer_says(fixture, "PRAGMA synchronous = off");
        assert_int_equal(apply(fixture, &mutation, 1), BACKEND_OK);
    }
}

TEST(expired_rows_are_purged_in_steps) {
    struct fixture *fixture = *state;
    open_both(fixture);
    fill(fixture, 3000, NOW + 10, 1);
    fill(fixture, 1500, NOW + 1000, 10000);
    fill(fixture, 1000, 0, 20000);
    maintain_to_the_end(fixture, NOW);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "5500");
    assert_true(maintain_to_the_end(fixture, NOW + 100) > 2); /* several bounded steps */
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "2500");
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions WHERE expires_at = 1000010"), "0");
    maintain_to_the_end(fixture, NOW + 999);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "2500");
    maintain_to_the_end(fixture, NOW + 2000);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "1000");
}

TEST(rows_that_never_expire_are_left_alone) {
    struct fixture *fixture = *state;
    open_both(fixture);
    fill(fixture, 2500, 0, 1);
    assert_true(maintain_to_the_end(fixture, NOW) > 1); /* the one sweep after the start */
    assert_int_equal(maintain_to_the_end(fixture, NOW + 1000000), 1);
    assert_int_equal(maintain_to_the_end(fixture, NOW + 2000000), 1);
    fill(fixture, 1, NOW + 2000001, 5000);
    assert_true(maintain_to_the_end(fixture, NOW + 3000000) > 1);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sessions"), "2500");
}

static off_t size_of(const struct fixture *fixture, const char *ending) {
    char path[320];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", fixture->path, ending);
    return stat(path, &status) == 0 ? status.st_size : -1;
}

TEST(an_idle_writer_checkpoints) {
    struct fixture *fixture = *state;
    open_both(fixture);
    fill(fixture, 500, 0, 1);
    off_t before = size_of(fixture, "");
    maintain_to_the_end(fixture, NOW);
    maintain_to_the_end(fixture, NOW);
    assert_true(size_of(fixture, "") > before);
    assert_int_equal(sqlite_connection_of(fixture->writer)->wal_done,
                     sqlite_connection_of(fixture->writer)->wal_pages);
}

TEST(the_log_is_bounded_without_maintain) {
    enum { BOUND = 200, PAGE = 4096 };
    struct fixture *fixture = *state;
    fixture->options.timeout_ms = SHORT; /* a checkpoint waits for the reader */
    open_both(fixture);
    struct sqlite_connection *connection = sqlite_connection_of(fixture->writer);
    connection->wal_bound_pages = BOUND;
    connection->wal_wait_pages = 2 * BOUND;
    for (unsigned version = 1; version < 200; version++) /* about 26 pages each */
        assert_int_equal(apply_large(fixture, version), BACKEND_OK);
    assert_true(size_of(fixture, "-wal") < (off_t)(2 * BOUND + 100) * PAGE);
    /* A reader that never ends keeps the log growing, but writes go on. */
    shell(fixture, "BEGIN; SELECT count(*) FROM sessions");
    for (unsigned version = 200; version < 250; version++)
        assert_int_equal(apply_large(fixture, version), BACKEND_OK);
    assert_true(connection->wal_pages > 2 * BOUND);
    shell(fixture, "COMMIT");
    for (unsigned version = 250; version < 270; version++)
        assert_int_equal(apply_large(fixture, version), BACKEND_OK);
    assert_true(connection->wal_pages < 2 * BOUND);
}

TEST(a_log_that_a_burst_made_long_is_given_back) {
    enum { LONG = 5 << 20 };
    struct fixture *fixture = *state;
    open_both(fixture);
    for (unsigned version = 1; size_of(fixture, "-wal") < LONG; version++)
        assert_int_equal(apply_large(fixture, version), BACKEND_OK);
    for (unsigned step = 0; step < 20; step++)
        maintain_to_the_end(fixture, NOW);
    assert_int_equal(size_of(fixture, "-wal"), 0);
    assert_int_equal(apply_large(fixture, 1000), BACKEND_OK);
    off_t kept = size_of(fixture, "-wal");
    assert_true(kept > 0);
    for (unsigned step = 0; step < 20; step++)
        maintain_to_the_end(fixture, NOW);
    assert_int_equal(size_of(fixture, "-wal"), kept); /* a short one is kept */
}

/* ---- The files are no longer those that were opened ---- */

static void move(const struct fixture *fixture, const char *from, const char *to) {
    char source[320], target[320];
    snprintf(source, sizeof source, "%s%s", fixture->path, from);
    snprintf(target, sizeof target, "%s%s", fixture->path, to);
    assert_int_equal(rename(source, target), 0);
}

static enum backend_status look(struct fixture *fixture) {
    return sqlite_backend.look(fixture->writer, &fixture->error);
}

/* As the writer of a server does it: the file may be a second old at the least. */
static enum backend_status open_again(struct fixture *fixture) {
    struct backend_identity expected = fixture->writer->identity;
    enum backend_status status = BACKEND_TRANSIENT;
    sqlite_backend.close(fixture->writer);
    sqlite_backend.close(fixture->reader);
    fixture->writer = fixture->reader = NULL;
    fixture->options.expected = &expected;
    for (unsigned i = 0; i < 1000 && (status = open_writer(fixture)) == BACKEND_TRANSIENT &&
                         strstr(fixture->error.message, "written to just now");
         i++)
        usleep(10000);
    fixture->options.expected = NULL;
    return status == BACKEND_OK ? open_reader(fixture) : status;
}

TEST(a_file_that_is_gone_is_neither_read_nor_written) {
    struct fixture *fixture = *state;
    struct slice key = slice_string("sess:a");
    struct load_result result;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_int_equal(look(fixture), BACKEND_OK);
    move(fixture, "", ".elsewhere");
    assert_int_equal(
        sqlite_backend.load(fixture->reader, fixture->list[0], &key, 1, NOW, &result, &fixture->error),
        BACKEND_REPLACED);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "two", 2)), BACKEND_REPLACED);
    assert_says(fixture, "removed or renamed");
    assert_int_equal(size_of(fixture, "-wal"), -1); /* nothing is left for whatever comes in its place */
    assert_int_equal(open_again(fixture), BACKEND_TRANSIENT);
    assert_says(fixture, "there is no database any more");
    assert_int_equal(size_of(fixture, ""), -1);
}

TEST(a_renamed_database_is_whole) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    move(fixture, "", ".elsewhere");
    assert_int_equal(look(fixture), BACKEND_REPLACED);
    move(fixture, ".elsewhere", "");
    assert_int_equal(open_again(fixture), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
}

TEST(a_log_that_is_gone_is_noticed_and_nothing_is_lost) {
    struct fixture *fixture = *state;
    static const char *const endings[] = {"-wal", "-shm"};
    for (unsigned i = 0; i < 2; i++) {
        if (fixture->writer)
            assert_int_equal(open_again(fixture), BACKEND_OK);
        else
            open_both(fixture);
        assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", i + 1)), BACKEND_OK);
        move(fixture, endings[i], ".gone");
        assert_int_equal(look(fixture), BACKEND_REPLACED);
        assert_int_equal(open_again(fixture), BACKEND_OK);
        assert_value(fixture, "sess:a", "one");
    }
}

static uint64_t foreign_after_look(struct fixture *fixture) {
    assert_int_equal(sqlite_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    return fixture->writer->foreign;
}

TEST(what_others_write_is_noticed_and_nothing_else) {
    struct fixture *fixture = *state;
    uint64_t high;
    open_both(fixture);
    assert_int_equal(sqlite_backend.high_version(fixture->writer, &high, &fixture->error), BACKEND_OK);
    assert_int_equal(apply_one(fixture, put(fixture, "a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "a", "one");
    ask(fixture, "SELECT count(*) FROM sessions");
    maintain_to_the_end(fixture, NOW);
    assert_int_equal(foreign_after_look(fixture), 0);
    shell(fixture, "INSERT INTO sessions(key, value) VALUES (CAST('theirs' AS BLOB), x'00')");
    assert_int_equal(foreign_after_look(fixture), 1);
    assert_int_equal(foreign_after_look(fixture), 1);
    shell(fixture, "DELETE FROM sessions WHERE key = CAST('theirs' AS BLOB)");
    assert_int_equal(apply_one(fixture, put(fixture, "a", "two", 2)), BACKEND_OK);
    assert_int_equal(fixture->writer->foreign, 2);
}

/* To a URI, what follows // is the name of a machine. */
TEST(a_path_that_begins_with_two_slashes_is_a_path) {
    struct fixture *fixture = *state;
    char folder[320];
    snprintf(folder, sizeof folder, "/%s", fixture->folder.path);
    fixture->options.data = folder;
    open_both(fixture);
    for (uint64_t version = 1; version <= 3; version++) {
        if (apply_one(fixture, put(fixture, "sess:a", "one", version)) != BACKEND_OK)
            fail_msg("%s", fixture->error.message);
        maintain_to_the_end(fixture, NOW);
        maintain_to_the_end(fixture, NOW);
    }
}

/* A trigger that keeps something of its own is nobody else; one that writes rows of ours, with any commit of ours, is. */
TEST(what_triggers_write_into_our_tables_is_noticed) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "a", "one", 1)), BACKEND_OK);
    shell(fixture,
          "CREATE TABLE log(key); CREATE TRIGGER keep AFTER INSERT ON sessions BEGIN "
          "INSERT INTO log VALUES (new.key); UPDATE sessions SET marks = 1 WHERE key = new.key; END");
    uint64_t before = foreign_after_look(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "b", "one", 2)), BACKEND_OK);
    assert_int_equal(foreign_after_look(fixture), before);
    shell(fixture, "CREATE TRIGGER copy AFTER INSERT ON log BEGIN "
                   "INSERT OR IGNORE INTO Sessions(key, value) VALUES (CAST('copy' AS BLOB), x'76'); END");
    before = foreign_after_look(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "c", "one", 3)), BACKEND_OK);
    assert_true(fixture->writer->foreign > before);
    assert_value(fixture, "copy", "v");
}

TEST(a_high_version_that_went_back_is_another_store) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 7)), BACKEND_OK);
    shell(fixture, "UPDATE forebay_meta SET value = 6 WHERE name = 'high_version'");
    assert_int_equal(look(fixture), BACKEND_REPLACED);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "two", 8)), BACKEND_REPLACED);
    assert_value(fixture, "sess:a", "one");
}

/* ---- The application's own table ---- */

static const char LOAD[] = "SELECT data, 0, expire, version FROM app WHERE id = :key";
static const char STORE[] =
    "INSERT INTO app(id, data, expire, version, who) VALUES (:key, CAST(:value AS TEXT), "
    ":expires_at, :version, 'forebay') ON CONFLICT(id) DO UPDATE SET data = excluded.data, "
    "expire = excluded.expire, version = excluded.version WHERE excluded.version > version";
static const char DELETE[] = "DELETE FROM app WHERE id = :key AND version <= :version";

static void with_own_sql(struct fixture *fixture) {
    shell(fixture, "CREATE TABLE IF NOT EXISTS app (id TEXT PRIMARY KEY, data TEXT CHECK(data <> 'bad'), "
                   "expire INTEGER, version INTEGER NOT NULL DEFAULT 0, who TEXT);"
                   "INSERT OR IGNORE INTO app VALUES ('theirs', 'from the application', 0, 0, 'app')");
    fixture->tables[0].specific = &fixture->sql.base;
    fixture->sql.base.type = &sqlite_backend;
    fixture->sql.load_sql = LOAD;
    fixture->sql.store_sql = STORE;
    fixture->sql.delete_sql = DELETE;
}

/* ---- Who else has the file, and what may be in it ---- */

static unsigned mode_of(const struct fixture *fixture, const char *suffix) {
    char path[320];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", fixture->path, suffix);
    assert_int_equal(stat(path, &status), 0);
    return (unsigned)status.st_mode & 07777;
}

TEST(no_other_user_can_read_a_database_whatever_the_umask) {
    struct fixture *fixture = *state;
    mode_t before = umask(0);
    enum backend_status opened = open_writer(fixture);
    umask(before);
    assert_int_equal(opened, BACKEND_OK);
    assert_int_equal(mode_of(fixture, ""), 0600);
    assert_int_equal(mode_of(fixture, "-wal"), 0600);
    assert_int_equal(mode_of(fixture, "-shm"), 0600);
}

TEST(a_database_that_everybody_can_reach_is_told) {
    struct fixture *fixture = *state;
    char how[600] = "";
    open_both(fixture);
    assert_int_equal(chmod(fixture->folder.path, 0755), 0);
    assert_false(sqlite_backend.exposed(&fixture->options, how, sizeof how));
    assert_int_equal(chmod(fixture->path, 0646), 0);
    assert_true(sqlite_backend.exposed(&fixture->options, how, sizeof how));
    assert_non_null(strstr(how, "every user can write to "));
    assert_non_null(strstr(how, fixture->path));
    assert_int_equal(chmod(fixture->folder.path, 0777), 0);
    assert_true(sqlite_backend.exposed(&fixture->options, how, sizeof how));
    assert_non_null(strstr(how, "every user can write into the folder"));
}

/* A trigger in the file acts with the server's rights: it may use tables and plain functions, and nothing else. dbstat
 * stands for what shows more than the tables do. */
TEST(a_planted_trigger_reaches_nothing_but_tables) {
    struct fixture *fixture = *state;
    open_both(fixture);
    if (sqlite3_exec(sqlite_connection_of(fixture->writer)->db, "SELECT count(*) FROM dbstat", NULL, NULL,
                     NULL) != SQLITE_OK)
        skip(); /* this SQLite was built without it */
    shell(fixture, "CREATE TABLE seen(what); CREATE TRIGGER planted AFTER INSERT ON sessions BEGIN "
                   "INSERT INTO seen SELECT sum(pgsize) FROM dbstat; END");
    assert_int_not_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_says(fixture, "unsafe use");
    assert_string_equal(ask(fixture, "SELECT count(*) FROM seen"), "0");
    shell(fixture, "DROP TRIGGER planted; CREATE TRIGGER planted AFTER INSERT ON sessions BEGIN "
                   "INSERT INTO seen VALUES (length(new.value)); END");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 2)), BACKEND_OK);
    assert_string_equal(ask(fixture, "SELECT group_concat(what) FROM seen"), "3");
}

/* An index for text search is kept by triggers, and SQLite counts its table as one with effects outside. */
TEST(a_trigger_that_keeps_an_index_needs_a_trusted_schema) {
    struct fixture *fixture = *state;
    open_both(fixture);
    if (sqlite3_exec(sqlite_connection_of(fixture->writer)->db, "CREATE VIRTUAL TABLE found USING fts5(body)",
                     NULL, NULL, NULL) != SQLITE_OK)
        skip(); /* this SQLite was built without it */
    shell(fixture,
          "CREATE TRIGGER keeps AFTER INSERT ON sessions BEGIN INSERT INTO found VALUES (new.value); END");
    assert_int_not_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_says(fixture, "unsafe use");
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    fixture->own.trusted_schema = true;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM found WHERE found MATCH 'one'"), "1");
}

static bool is_on(const struct backend_connection *connection, int what) {
    int on = -1;
    sqlite3 *db = ((const struct sqlite_connection *)connection)->db;
    assert_int_equal(sqlite3_db_config(db, what, -1, &on), SQLITE_OK);
    return on != 0;
}

TEST(what_sqlite_keeps_for_itself_is_closed_to_sql) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_true(is_on(fixture->writer, SQLITE_DBCONFIG_DEFENSIVE));
    assert_true(is_on(fixture->reader, SQLITE_DBCONFIG_DEFENSIVE));
    assert_false(is_on(fixture->writer, SQLITE_DBCONFIG_TRUSTED_SCHEMA));
    assert_false(is_on(fixture->reader, SQLITE_DBCONFIG_TRUSTED_SCHEMA));
}

TEST(own_sql_serves_the_applications_table) {
    struct fixture *fixture = *state;
    with_own_sql(fixture);
    open_both(fixture);
    assert_value(fixture, "sess:theirs", "from the application");
    struct mutation mutation = put(fixture, "sess:ours", "text", 5);
    mutation.entry.expires_at = NOW + 10;
    assert_int_equal(apply_one(fixture, mutation), BACKEND_OK);
    assert_string_equal(
        ask(fixture,
            "SELECT id || ' ' || typeof(data) || ' ' || data || ' ' || expire || ' ' || who FROM app "
            "WHERE version = 5"),
        "ours text text 1000010 forebay");
    assert_int_equal(load(fixture, "sess:ours").entry.expires_at, NOW + 10);
    assert_int_equal(load(fixture, "sess:ours").entry.version, 5);
    shell(fixture, "UPDATE app SET expire = 1000000 WHERE id = 'ours'");
    assert_false(load(fixture, "sess:ours").found);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sqlite_schema WHERE name = 'sessions'"), "0");
}

TEST(own_sql_guards_versions_if_it_says_so) {
    struct fixture *fixture = *state;
    with_own_sql(fixture);
    open_both(fixture);
    struct mutation mutations[] = {put(fixture, "sess:a", "five", 5), put(fixture, "sess:a", "four", 4),
                                   put(fixture, "sess:a", "three", 3)};
    mutations[2].kind = MUTATION_DELETE;
    assert_int_equal(apply(fixture, mutations, 3), BACKEND_OK);
    assert_false(mutations[0].superseded);
    assert_true(mutations[1].superseded);
    assert_true(mutations[2].superseded);
    assert_value(fixture, "sess:a", "five");
    mutations[2].entry.version = 5;
    mutations[0].kind = MUTATION_TOUCH;
    mutations[0].entry.version = 6;
    assert_int_equal(apply(fixture, mutations, 1), BACKEND_OK);
    assert_int_equal(load(fixture, "sess:a").entry.version, 6);
    mutations[2].entry.version = 6;
    assert_int_equal(apply(fixture, mutations + 2, 1), BACKEND_OK);
    assert_false(mutations[2].superseded);
    assert_false(load(fixture, "sess:a").found);
}

/* SQLite finds one row by 7, 007 and 7.0, which are three keys to clients. */
TEST(an_integer_key_has_one_spelling) {
    static const char *const others[] = {
        "sess:007", "sess:7.0", "sess:+7",    "sess: 7", "sess:-0",
        "sess:",    "sess:7e0", "sess:seven", "sess:-",  "sess:9223372036854775808"};
    struct fixture *fixture = *state;
    with_own_sql(fixture);
    shell(fixture, "DROP TABLE app; CREATE TABLE app (id INTEGER PRIMARY KEY, data TEXT, expire INTEGER, "
                   "version INTEGER NOT NULL DEFAULT 0, who TEXT)");
    fixture->sql.key_type = BACKEND_KEYS_INTEGER;
    open_both(fixture);
    assert_int_equal(sqlite_backend.keys(&fixture->tables[0]), BACKEND_KEYS_INTEGER);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:7", "seven", 1)), BACKEND_OK);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:0", "none", 1)), BACKEND_OK);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:-9223372036854775808", "least", 2)), BACKEND_OK);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:9223372036854775807", "most", 3)), BACKEND_OK);
    assert_value(fixture, "sess:7", "seven");
    assert_value(fixture, "sess:-9223372036854775808", "least");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(load(fixture, others[i]).found);
        assert_int_equal(apply_one(fixture, put(fixture, others[i], "other", 9)), BACKEND_PERMANENT);
        assert_says(fixture, "key_type");
    }
    assert_string_equal(
        ask(fixture, "SELECT group_concat(id || typeof(id) || data) FROM (SELECT * FROM app ORDER BY id)"),
        "-9223372036854775808integerleast,0integernone,7integerseven,"
        "9223372036854775807integermost");
}

TEST(own_sql_that_is_wrong_is_refused) {
    static const struct {
        const char *load, *store, *delete, *which, *why;
    } cases[] = {
        {"SELECT no_such FROM app WHERE id = :key", STORE, DELETE, "load", "no such column: no_such"},
        {"SELEKT", STORE, DELETE, "load", "syntax error"},
        {LOAD, "INSERT INTO missing VALUES (:key)", DELETE, "store", "no such table: missing"},
        {LOAD, STORE, "DELETE FROM app WHERE id = :name", "delete", ":name"},
        {LOAD, STORE, "DELETE FROM app WHERE id = ?", "delete", ":key"},
        {LOAD, "UPDATE app SET data = :value", DELETE, "store", ":key"},
        {LOAD, STORE, "DELETE FROM app WHERE id = :key; DROP TABLE app", "delete", "one statement"},
        {LOAD, STORE, " ", "delete", "empty"},
        {"DELETE FROM app WHERE id = :key RETURNING data", STORE, DELETE, "load", "only read"},
        {"SELECT 1, 2, 3, 4, 5 FROM app WHERE id = :key", STORE, DELETE, "load", "columns"},
        {LOAD, NULL, DELETE, "sessions", "not all"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        with_own_sql(fixture);
        fixture->sql.load_sql = cases[i].load;
        fixture->sql.store_sql = cases[i].store;
        fixture->sql.delete_sql = cases[i].delete;
        assert_refused(fixture, cases[i].which, cases[i].why);
    }
    assert_string_equal(ask(fixture, "SELECT count(*) FROM app"), "1");
}

TEST(own_sql_failures_are_told_apart) {
    struct fixture *fixture = *state;
    with_own_sql(fixture);
    fixture->sql.store_sql = "INSERT OR REPLACE INTO app(id, data) VALUES (:key, "
                             "CASE :value WHEN x'6a' THEN json('{') ELSE CAST(:value AS TEXT) END)";
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "bad", 1)), BACKEND_PERMANENT); /* CHECK */
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "j", 1)),
                     BACKEND_PERMANENT); /* json() refuses it */
    assert_says(fixture, "JSON");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "good", 1)), BACKEND_OK);
    shell(fixture, "ALTER TABLE app RENAME TO elsewhere");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:b", "good", 2)), BACKEND_TABLE_FAILED);
    shell(fixture, "ALTER TABLE elsewhere RENAME TO app");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:b", "good", 2)), BACKEND_OK);
}

static bool see_nothing(struct backend_visitor *visitor, const struct entry *entry) {
    (void)visitor, (void)entry;
    fail_msg("an entry of the application was shown");
    return true;
}

TEST(own_sql_is_neither_scanned_nor_purged) {
    struct fixture *fixture = *state;
    struct backend_visitor visitor = {.entry = see_nothing};
    with_own_sql(fixture);
    open_both(fixture);
    shell(fixture, "INSERT INTO app(id, data, expire) VALUES ('old', 'dead', 5)");
    assert_int_equal(
        sqlite_backend.scan(fixture->reader, fixture->list[0], 100, NOW, &visitor, &fixture->error),
        BACKEND_OK);
    maintain_to_the_end(fixture, NOW);
    assert_string_equal(ask(fixture, "SELECT count(*) FROM app"), "2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_bad_place_is_refused_by_name),
        CASE(an_absolute_path_ignores_the_data_folder),
        CASE(a_file_that_is_no_database_is_refused),
        CASE(a_file_that_may_not_be_made_is_refused),
        CASE(a_file_without_permission_is_refused),
        CASE(a_newer_schema_is_refused),
        CASE(a_foreign_table_of_that_name_is_refused),
        CASE(names_that_cannot_be_tables_are_refused),
        CASE(rows_are_plain_to_read),
        CASE(a_row_that_somebody_put_there_is_served_and_overwritten),
        CASE(a_row_with_a_key_of_text_is_refused),
        CASE(a_table_of_before_is_used_as_it_is),
        CASE(a_row_without_a_version_gives_way_to_any_change),
        CASE(a_commit_survives_the_death_of_the_process),
        CASE(synchronous_is_full_unless_told),
        CASE(a_locked_database_is_transient),
        CASE(a_database_locked_by_another_process_at_the_start_is_transient),
        CASE(a_full_database_is_transient_and_recovers),
        CASE(a_file_that_cannot_grow_is_transient),
        CASE(a_refused_row_is_permanent_and_undoes_its_batch),
        CASE(all_refused_rows_of_a_batch_are_named),
        CASE(a_row_that_ends_its_transaction_is_named_alone),
        CASE(a_dropped_table_is_made_again),
        CASE(upkeep_goes_on_beside_a_table_that_failed),
        CASE(a_call_waits_no_longer_than_its_caller),
        CASE(a_load_never_sees_half_a_batch),
        CASE(expired_rows_are_purged_in_steps),
        CASE(rows_that_never_expire_are_left_alone),
        CASE(an_idle_writer_checkpoints),
        CASE(the_log_is_bounded_without_maintain),
        CASE(a_log_that_a_burst_made_long_is_given_back),
        CASE(a_file_that_is_gone_is_neither_read_nor_written),
        CASE(a_renamed_database_is_whole),
        CASE(a_log_that_is_gone_is_noticed_and_nothing_is_lost),
        CASE(what_others_write_is_noticed_and_nothing_else),
        CASE(a_path_that_begins_with_two_slashes_is_a_path),
        CASE(what_triggers_write_into_our_tables_is_noticed),
        CASE(a_high_version_that_went_back_is_another_store),
        CASE(no_other_user_can_read_a_database_whatever_the_umask),
        CASE(a_database_that_everybody_can_reach_is_told),
        CASE(a_planted_trigger_reaches_nothing_but_tables),
        CASE(a_trigger_that_keeps_an_index_needs_a_trusted_schema),
        CASE(what_sqlite_keeps_for_itself_is_closed_to_sql),
        CASE(own_sql_serves_the_applications_table),
        CASE(own_sql_guards_versions_if_it_says_so),
        CASE(an_integer_key_has_one_spelling),
        CASE(own_sql_that_is_wrong_is_refused),
        CASE(own_sql_failures_are_told_apart),
        CASE(own_sql_is_neither_scanned_nor_purged),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
