/* SPDX-License-Identifier: MIT */
/* What SIGHUP asks for is done, once more if it is asked for meanwhile, and nobody who asks waits for it. */
#include "server/reload_thread.h"
#include "tests/support/check.h"
#include <stdatomic.h>
#include <stdlib.h>

struct fixture {
    struct reload_thread thread;
    atomic_bool may_end;
    atomic_uint begun, done, ended;
};

static void work(void *context) {
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->begun, 1);
    while (!atomic_load(&fixture->may_end))
        usleep(500);
    atomic_fetch_add(&fixture->done, 1);
}

static void note_end(void *context) {
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->ended, 1);
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    reload_thread_init(&fixture->thread, work, fixture);
    reload_thread_report(&fixture->thread, note_end, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    atomic_store(&fixture->may_end, true);
    reload_thread_end(&fixture->thread);
    free(fixture);
    return 0;
}

TEST(what_is_asked_for_is_done_and_its_end_told) {
    struct fixture *fixture = *state;
    atomic_store(&fixture->may_end, true);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(reload_thread_ask(&fixture->thread));
        eventually(atomic_load(&fixture->ended) == i);
        assert_int_equal(atomic_load(&fixture->done), i);
    }
}

/* A file that is changed while it is read is read again. */
TEST(asked_while_at_work_it_is_done_once_more_and_told_once) {
    struct fixture *fixture = *state;
    assert_true(reload_thread_ask(&fixture->thread));
    eventually(atomic_load(&fixture->begun) == 1);
    for (unsigned i = 0; i < 5; i++)
        assert_true(reload_thread_ask(&fixture->thread));
    assert_int_equal(atomic_load(&fixture->done), 0);
    assert_int_equal(atomic_load(&fixture->ended), 0);
    atomic_store(&fixture->may_end, true);
    eventually(atomic_load(&fixture->ended) == 1);
    assert_int_equal(atomic_load(&fixture->done), 2);
}

TEST(its_end_waits_for_the_work) {
    struct fixture *fixture = *state;
    atomic_store(&fixture->may_end, true);
    assert_true(reload_thread_ask(&fixture->thread));
    reload_thread_end(&fixture->thread);
    assert_int_equal(atomic_load(&fixture->done), 1);
    reload_thread_init(&fixture->thread, work, fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_is_asked_for_is_done_and_its_end_told),
        CASE(asked_while_at_work_it_is_done_once_more_and_told_once),
        CASE(its_end_waits_for_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
