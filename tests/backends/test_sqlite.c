/* SPDX-License-Identifier: MIT */
/*
 * What is particular to SQLite: refusals, locks and full disks, the rows as the sqlite3 shell sees them, and upkeep.
 * Files that others change, and the application's own SQL, are in test_sqlite_files.c and test_sqlite_own_sql.c, tables
 * that are gone in test_sqlite_lost_table.c. What every backend owes is in test_conformance.c.
 */
#include "tests/support/sqlite_fixture.h"
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
        CASE(upkeep_goes_on_beside_a_table_that_failed),
        CASE(a_call_waits_no_longer_than_its_caller),
        CASE(a_load_never_sees_half_a_batch),
        CASE(expired_rows_are_purged_in_steps),
        CASE(rows_that_never_expire_are_left_alone),
        CASE(an_idle_writer_checkpoints),
        CASE(the_log_is_bounded_without_maintain),
        CASE(a_log_that_a_burst_made_long_is_given_back),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
