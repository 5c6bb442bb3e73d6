/* SPDX-License-Identifier: MIT */
/* A short run over configuration files and command lines. */
#include "tests/fuzz/config.h"
#include "tests/fuzz/short_run.h"
#include "tests/support/check.h"

enum { INPUTS = 3000 };

TEST(configurations_are_taken_or_refused) {
    assert_true(short_run("config", check_config, INPUTS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(configurations_are_taken_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
