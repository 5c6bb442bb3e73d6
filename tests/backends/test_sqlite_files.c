/* SPDX-License-Identifier: MIT */
/* SQLite: files that are no longer those that were opened, and who else can reach them or put something into them. */
#include "tests/support/sqlite_fixture.h"
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The file may be a second old at the least. */
static enum backend_status open_when_settled(struct fixture *fixture) {
    enum backend_status status = BACKEND_TRANSIENT;
    for (unsigned i = 0; i < 1000 && (status = open_writer(fixture)) == BACKEND_TRANSIENT &&
                         strstr(fixture->error.message, "written to just now");
         i++)
        usleep(10000);
    return status;
}

/* As the writer of a server does it. */
static enum backend_status open_again(struct fixture *fixture) {
    struct backend_identity expected = fixture->writer->identity;
    sqlite_backend.close(fixture->writer);
    sqlite_backend.close(fixture->reader);
    fixture->writer = fixture->reader = NULL;
    fixture->options.expected = &expected;
    enum backend_status status = open_when_settled(fixture);
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

/* As a start does that finds it locked, or the disk full. */
TEST(a_file_that_goes_before_it_could_be_opened_is_not_made_anew) {
    struct fixture *fixture = *state;
    struct backend_sighting sighting = {0};
    sqlite3 *other = NULL;
    fixture->options.sighting = &sighting;
    assert_int_equal(open_writer(fixture), BACKEND_OK); /* one that was never there is made */
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    sqlite_backend.close(fixture->writer);
    fixture->writer = NULL;
    fixture->options.timeout_ms = 1;
    assert_int_equal(sqlite3_open(fixture->path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(open_writer(fixture), BACKEND_TRANSIENT);
    assert_says(fixture, "locked");
    sqlite3_close(other);
    move(fixture, "", ".elsewhere");
    assert_int_equal(open_writer(fixture), BACKEND_TRANSIENT);
    assert_says(fixture, "there is no database any more");
    assert_int_equal(size_of(fixture, ""), -1);
    move(fixture, ".elsewhere", "");
    fixture->options.timeout_ms = MINUTE;
    assert_int_equal(open_when_settled(fixture), BACKEND_OK);
    assert_int_equal(open_reader(fixture), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
}

/* The last to close a database may leave the log as it is. */
static void close_as_killed(struct fixture *fixture) {
    shell(fixture, "SELECT count(*) FROM sessions");
    assert_int_equal(sqlite3_db_config(fixture->shell, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    sqlite_backend.close(fixture->writer);
    sqlite_backend.close(fixture->reader);
    sqlite3_close(fixture->shell);
    fixture->writer = fixture->reader = NULL;
    fixture->shell = NULL;
}

/* A server was killed, and only the database was moved away: SQLite would empty the log for one that is made anew. */
TEST(none_is_made_beside_the_log_of_another) {
    struct fixture *fixture = *state;
    uint64_t version;
    struct backend_sighting sighting = {0};
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    close_as_killed(fixture);
    move(fixture, "", ".elsewhere");
    off_t log = size_of(fixture, "-wal");
    assert_true(log > 0);
    fixture->options.sighting = &sighting;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error),
                         BACKEND_TRANSIENT);
        assert_says(fixture, "put it back beside that");
        assert_int_equal(open_writer(fixture), BACKEND_TRANSIENT);
        assert_says(fixture, "put it back beside that");
        assert_int_equal(size_of(fixture, ""), -1);
        assert_int_equal(size_of(fixture, "-wal"), log);
    }
    move(fixture, ".elsewhere", "");
    assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_OK);
    assert_int_equal(open_when_settled(fixture), BACKEND_OK);
    assert_int_equal(open_reader(fixture), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
}

/* What only the log has may be newer. */
TEST(a_probe_tells_no_version_where_the_log_cannot_be_read) {
    struct fixture *fixture = *state;
    uint64_t version = 0;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 7)), BACKEND_OK);
    close_as_killed(fixture);
    assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_OK);
    assert_int_equal(version, 7);
    move(fixture, "-shm", ".gone");
    assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_OK);
    assert_true(version == BACKEND_VERSION_HIDDEN);
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

/* A trigger that keeps something of its own is nobody else; one that writes rows of ours, with any commit of ours,
 * is. */
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
    fixture->options.uri = "sqlite:/dev/null"; /* by mistake: it is to stay as it is */
    assert_false(sqlite_backend.exposed(&fixture->options, how, sizeof how));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_file_that_is_gone_is_neither_read_nor_written),
        CASE(a_file_that_goes_before_it_could_be_opened_is_not_made_anew),
        CASE(none_is_made_beside_the_log_of_another),
        CASE(a_probe_tells_no_version_where_the_log_cannot_be_read),
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
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
