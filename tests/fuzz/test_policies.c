/* SPDX-License-Identifier: MIT */
/* A short run of fuzz_policies.c's harness (rounds.h). */
#include "tests/fuzz/policies.h"
#include "tests/fuzz/short_run.h"
#include "tests/support/check.h"

enum { INPUTS = 2000 };

static int tear_down(void **state) {
    (void)state;
    policies_end();
    return 0;
}

TEST(policies_answer_as_the_model_does) {
    assert_true(short_run("policies", check_policies, INPUTS) > 0);
    for (unsigned world = 0; world < POLICIES_WORLDS; world++)
        assert_true(policies_waits()[world] > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(policies_answer_as_the_model_does, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
