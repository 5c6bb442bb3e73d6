/* SPDX-License-Identifier: MIT */
/* A short run over the admin HTTP. */
#include "tests/fuzz/http.h"
#include "tests/fuzz/short_run.h"
#include "tests/support/check.h"

enum { INPUTS = 600 };

static int end_bench(void **state) {
    (void)state;
    http_bench_end(http_bench());
    return 0;
}

TEST(requests_are_answered_or_refused) {
    assert_true(short_run("http", check_http, INPUTS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(requests_are_answered_or_refused, end_bench)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
