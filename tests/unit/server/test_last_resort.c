/* SPDX-License-Identifier: MIT */
/* A stop that hangs is ended, with a status that says so. */
#include "server/last_resort.h"
#include "server/server.h"
#include "tests/support/check.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOON_MS = 20, NEVER_MS = 3600 * 1000 };

static int end_of(uint64_t limit_ms, bool hangs) {
    int status;
    static struct server server;
    pid_t child = fork();
    if (child == 0) {
        bool started = last_resort_start(&server, limit_ms);
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
    assert_int_equal(end_of(SOON_MS, true), EXIT_FAILURE);
}

TEST(a_stop_that_ends_is_left_alone) {
    (void)state;
    assert_int_equal(end_of(NEVER_MS, false), EXIT_SUCCESS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_that_hangs_is_ended),
        cmocka_unit_test(a_stop_that_ends_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
