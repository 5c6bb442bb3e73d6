/* SPDX-License-Identifier: MIT */
/* Short runs over what stores answer. */
#include "tests/fuzz/redis.h"
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/sqlite.h"
#include "tests/support/check.h"

enum { ANSWERS = 120, ROWS = 800 };

TEST(answers_of_a_redis_are_taken_or_refused) {
    assert_true(short_run("redis", check_redis, ANSWERS) > 0);
}

TEST(rows_of_a_database_are_taken_or_refused) {
    assert_true(short_run("sqlite", check_sqlite, ROWS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_a_redis_are_taken_or_refused),
        cmocka_unit_test(rows_of_a_database_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
