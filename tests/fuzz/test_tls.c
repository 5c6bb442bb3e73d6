/* SPDX-License-Identifier: MIT */
/* A short run over encrypted connections. */
#include "tests/fuzz/short_run.h"
#include "tests/fuzz/tls.h"
#include "tests/support/check.h"

enum { INPUTS = 300 };

static int end_bench(void **state) {
    (void)state;
    tls_bench_end(tls_bench());
    return 0;
}

TEST(what_was_changed_on_the_way_is_never_read) {
    assert_true(short_run("tls", check_tls, INPUTS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_changed_on_the_way_is_never_read, end_bench)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
