/* SPDX-License-Identifier: MIT */
/* Where rows are, in words that are compared. What a start says of it: tests/faults/test_places.py. */
#include "policies/write/places.h"
#include "tests/support/check.h"
#include <string.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_place_is_told_whole),
        cmocka_unit_test(long_places_that_differ_anywhere_are_different),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
