/* SPDX-License-Identifier: MIT */
/* A stop that hangs is ended, with a status that says so. */
#include "server/last_resort.h"
#include "server/server.h"
#include "tests/support/check.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOON_MS = 20, NEVER_MS = 3600 * 1000, EXIT_FREEING = 7 };

/* freeing_ms: what freeing is given, and with EXIT_FREEING; 0: it is not reached. */
static int end_of(uint64_t limit_ms, uint64_t freeing_ms, bool hangs) {
    int status;
    static struct server server;
    pid_t child = fork();
    if (child == 0) {
        struct last_resort *started = last_resort_start(&server, limit_ms);
        if (freeing_ms)
            last_resort_freeing(started, freeing_ms, EXIT_FREEING);
        if (hangs && started)
            for (;;)
                pause();
        _exit(started ? EXIT_SUCCESS : EXIT_FAILURE + 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(a_stop_that_hangs_is_ended) {
    (void)state;
    assert_int_equal(end_of(SOON_MS, 0, true), EXIT_FAILURE);
}

TEST(a_stop_that_ends_is_left_alone) {
    (void)state;
    assert_int_equal(end_of(NEVER_MS, 0, false), EXIT_SUCCESS);
}

TEST(freeing_that_hangs_ends_with_what_the_stop_came_to) {
    (void)state;
    assert_int_equal(end_of(NEVER_MS, SOON_MS, true), EXIT_FREEING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_that_hangs_is_ended),
        cmocka_unit_test(a_stop_that_ends_is_left_alone),
        cmocka_unit_test(freeing_that_hangs_ends_with_what_the_stop_came_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
