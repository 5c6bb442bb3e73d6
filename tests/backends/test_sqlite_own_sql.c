/* SPDX-License-Identifier: MIT */
/* SQLite: the application's own table, by SQL of the configuration. */
#include "tests/support/sqlite_fixture.h"

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
        CASE(own_sql_serves_the_applications_table), CASE(own_sql_guards_versions_if_it_says_so),
        CASE(an_integer_key_has_one_spelling),       CASE(own_sql_that_is_wrong_is_refused),
        CASE(own_sql_failures_are_told_apart),       CASE(own_sql_is_neither_scanned_nor_purged),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
