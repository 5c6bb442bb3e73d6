/* SPDX-License-Identifier: MIT */
/* Where rows are, in words that are compared, and what is told of a copy that is not complete. What a start says of
 * places: tests/faults/test_places.py. */
#include "policies/policy.h"
#include "policies/write/places.h"
#include "tests/support/check.h"
#include "tests/support/temp_folder.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { URI_SIZE = 3000 };

static void describe(const char *uri, char ret_where[PLACES_WHERE_SIZE]) {
    struct backend_options store = {.name = "local", .uri = uri};
    struct backend_table table = {.name = "sessions", .key_prefix = "sess:"};
    places_describe(&store, &table, ret_where);
}

TEST(a_short_place_is_told_whole) {
    char where[PLACES_WHERE_SIZE];
    (void)state;
    describe("sqlite:store.db", where);
    assert_string_equal(where, "sqlite:store.db, table sessions");
}

/* They were one for whoever compared them, and a copy to one of them a copy to the other. */
TEST(long_places_that_differ_anywhere_are_different) {
    char uri[URI_SIZE] = "sqlite:", first[PLACES_WHERE_SIZE], other[PLACES_WHERE_SIZE];
    (void)state;
    memset(uri + strlen(uri), 'd', sizeof uri - 1 - strlen(uri));
    describe(uri, first);
    assert_int_equal(strlen(first), strnlen(first, PLACES_WHERE_SIZE - 1));
    assert_non_null(strstr(first, "d, table sessions"));
    for (size_t at = 10; at < sizeof uri - 1; at += 331) {
        uri[at] = 'e';
        describe(uri, other);
        assert_string_not_equal(first, other);
        uri[at] = 'd';
    }
    describe(uri, other);
    assert_string_equal(first, other);
}

/* What is to be removed is named whole, or it would be another file. */
TEST(a_long_folder_leaves_the_file_that_is_to_be_removed_whole) {
    struct temp_folder folder;
    char data[512], path[600], where[PLACES_WHERE_SIZE], error[1024];
    struct tier_backend_options backend = {.store = {.name = "local", .uri = "sqlite:store.db"}};
    struct space_options space = {.name = "sessions",
                                  .prefix = "sess:",
                                  .policy = &policy_write_through,
                                  .table = {.name = "sessions", .key_prefix = "sess:"}};
    struct tier_options options = {
        .data = data, .spaces = &space, .space_count = 1, .backends = &backend, .backend_count = 1};
    (void)state;
    temp_folder_make(&folder);
    snprintf(data, sizeof data, "%s/%0230d", folder.path, 0);
    assert_int_equal(mkdir(data, 0700), 0);
    snprintf(path, sizeof path, "%s/copy-sessions", data);
    places_describe(&backend.store, &space.table, where);
    FILE *note = fopen(path, "w");
    assert_non_null(note);
    fprintf(
        note,
        "from sqlite:old.db, table sessions\nto %s\nstage 2 rows 1 total 2 unreadable 0 doubt 1\nplace \n",
        where);
    fclose(note);
    bool allowed = places_allow(&options, error, sizeof error);
    temp_folder_remove(&folder);
    assert_false(allowed);
    assert_non_null(strstr(error, where));
    assert_string_equal(error + strlen(error) - strlen(path), path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_place_is_told_whole),
        cmocka_unit_test(long_places_that_differ_anywhere_are_different),
        cmocka_unit_test(a_long_folder_leaves_the_file_that_is_to_be_removed_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
