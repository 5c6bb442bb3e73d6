/* SPDX-License-Identifier: MIT */
/* Tables of ours that somebody has dropped or renamed, under a running writer or while nobody had the file open. */
#include "tests/support/sqlite_fixture.h"

/* Its rows are lost, whatever else the store has: the caller opens it anew and writes what it knows. */
TEST(a_store_whose_table_was_dropped_is_another) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
    shell(fixture, "DROP TABLE sessions");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_TABLE_FAILED);
    assert_says(fixture, "no such table");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_REPLACED);
    assert_says(fixture, "the table \"sessions\" was dropped or renamed");
    assert_string_equal(ask(fixture, "SELECT count(*) FROM sqlite_schema WHERE name = 'sessions'"), "0");
    sqlite_backend.close(fixture->writer);
    assert_int_equal(open_writer(fixture), BACKEND_OK);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    assert_value(fixture, "sess:a", "one");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "two", 2)), BACKEND_OK);
}

TEST(a_look_sees_that_a_table_is_gone) {
    struct fixture *fixture = *state;
    open_both(fixture);
    assert_int_equal(sqlite_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
    shell(fixture, "CREATE TABLE somebodys(x); ALTER TABLE sessions RENAME TO others");
    assert_int_equal(sqlite_backend.look(fixture->writer, &fixture->error), BACKEND_REPLACED);
    shell(fixture, "ALTER TABLE others RENAME TO Sessions");
    assert_int_equal(sqlite_backend.look(fixture->writer, &fixture->error), BACKEND_OK);
}

/* ---- Tables that went while nobody had the file open ---- */

static void close_both(struct fixture *fixture) {
    sqlite_backend.close(fixture->reader);
    sqlite_backend.close(fixture->writer);
    fixture->reader = fixture->writer = NULL;
}

static void open_anew(struct fixture *fixture) {
    close_both(fixture);
    open_both(fixture);
}

static void open_without_table(struct fixture *fixture) {
    shell(fixture, "DROP TABLE sessions");
    open_anew(fixture);
}

static const char *lost(const struct fixture *fixture) {
    return fixture->writer->lost;
}

static void fill(struct fixture *fixture) {
    fixture->tables[0].written = fixture->tables[1].written = true;
    open_both(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    close_both(fixture);
}

static void maintain(struct fixture *fixture) {
    bool more;
    assert_int_equal(sqlite_backend.maintain(fixture->writer, NOW, &more, &fixture->error), BACKEND_OK);
}

/* Who opens it may be killed before it is told. */
TEST(a_table_that_had_rows_is_missed_until_the_writer_goes_on) {
    struct fixture *fixture = *state;
    fill(fixture);
    open_both(fixture);
    assert_string_equal(lost(fixture), "");
    close_both(fixture);
    shell(fixture, "ALTER TABLE sessions RENAME TO former; DROP TABLE \"Qu\"\"oted 'name'; --\"");
    for (int i = 0; i < 2; i++) {
        open_anew(fixture);
        assert_non_null(strstr(lost(fixture), "the table \"sessions\" was dropped or renamed while nobody"));
        assert_non_null(strstr(lost(fixture), fixture->path));
    }
    maintain(fixture);
    open_anew(fixture);
    assert_string_equal(lost(fixture), "");
    shell(fixture, "DROP TABLE sessions"); /* it has had no row since */
    open_anew(fixture);
    assert_string_equal(lost(fixture), "");
}

TEST(a_batch_settles_what_was_missed_and_notes_its_rows) {
    struct fixture *fixture = *state;
    fill(fixture);
    open_without_table(fixture);
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "two", 2)), BACKEND_OK);
    open_anew(fixture);
    assert_string_equal(lost(fixture), "");
    open_without_table(fixture);
    assert_string_not_equal(lost(fixture), "");
}

TEST(a_batch_that_is_rolled_back_notes_nothing) {
    struct fixture *fixture = *state;
    fixture->tables[0].written = true;
    open_both(fixture);
    shell(fixture, "CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'no'); END");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_PERMANENT);
    open_without_table(fixture);
    assert_string_equal(lost(fixture), "");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    open_without_table(fixture);
    assert_string_not_equal(lost(fixture), "");
}

/* Nor is one that nobody writes. */
TEST(a_table_of_a_file_of_before_is_not_missed) {
    struct fixture *fixture = *state;
    fill(fixture);
    shell(fixture, "DELETE FROM forebay_meta WHERE name LIKE 'table %'");
    close_both(fixture);
    open_both(fixture);
    open_without_table(fixture);
    assert_string_equal(lost(fixture), "");
    assert_int_equal(apply_one(fixture, put(fixture, "sess:a", "one", 1)), BACKEND_OK);
    fixture->tables[0].written = false;
    open_anew(fixture);
    shell(fixture, "DROP TABLE sessions");
    fixture->tables[0].written = true;
    open_anew(fixture);
    assert_string_equal(lost(fixture), "");
}

TEST(rows_that_a_file_of_before_has_are_noted_by_the_upkeep) {
    struct fixture *fixture = *state;
    fill(fixture);
    shell(fixture, "DELETE FROM forebay_meta WHERE name LIKE 'table %'");
    open_anew(fixture);
    maintain(fixture);
    open_without_table(fixture);
    assert_string_not_equal(lost(fixture), "");
}

TEST(a_probe_says_what_is_missing_and_leaves_it_so) {
    struct fixture *fixture = *state;
    uint64_t version;
    fill(fixture);
    assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_OK);
    assert_string_equal(fixture->error.message, "");
    shell(fixture, "DROP TABLE sessions");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sqlite_backend.probe(&fixture->options, &version, &fixture->error), BACKEND_OK);
        assert_says(fixture, "the table \"sessions\" was dropped or renamed while nobody");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_store_whose_table_was_dropped_is_another),
        CASE(a_look_sees_that_a_table_is_gone),
        CASE(a_table_that_had_rows_is_missed_until_the_writer_goes_on),
        CASE(a_batch_settles_what_was_missed_and_notes_its_rows),
        CASE(a_batch_that_is_rolled_back_notes_nothing),
        CASE(a_table_of_a_file_of_before_is_not_missed),
        CASE(rows_that_a_file_of_before_has_are_noted_by_the_upkeep),
        CASE(a_probe_says_what_is_missing_and_leaves_it_so),
    };
    return cmocka_run_group_tests_name("sqlite_lost_table", tests, NULL, NULL);
}
