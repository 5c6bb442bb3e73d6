/* SPDX-License-Identifier: MIT */
/* Short runs over configuration files, command lines, and words of which they and others are made. */
#include "tests/fuzz/config.h"
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/tokens.h"
#include "tests/support/check.h"

enum { INPUTS = 3000, WORDS = 6000 };

TEST(configurations_are_taken_or_refused) {
    assert_true(short_run("config", check_config, INPUTS) > 0);
}

TEST(words_are_taken_or_refused) {
    assert_true(short_run("token", check_token, WORDS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(configurations_are_taken_or_refused),
                                       cmocka_unit_test(words_are_taken_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
