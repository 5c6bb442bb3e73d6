/* SPDX-License-Identifier: MIT */
/* A ring of the kernel's that has no more than what workers ask of it. */
#include "server/worker/io/ring_limits.h"
#include "tests/support/check.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_up(void **state) {
    static struct io_uring ring;
    struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
    assert_int_equal(io_uring_queue_init_params(4, &ring, &params), 0);
    *state = &ring;
    return 0;
}

static int tear_down(void **state) {
    io_uring_queue_exit(*state);
    return 0;
}

static void enable(struct io_uring *ring) {
    assert_int_equal(syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0),
                     0);
}

/* What the operation that was prepared last comes to. */
static int outcome(struct io_uring *ring) {
    struct io_uring_cqe *completion;
    assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
    assert_int_equal(io_uring_peek_cqe(ring, &completion), 0);
    int result = completion->res;
    io_uring_cqe_seen(ring, completion);
    return result;
}

static int outcome_of_open(struct io_uring *ring) {
    io_uring_prep_openat(io_uring_get_sqe(ring), AT_FDCWD, "/nonexistent", O_RDONLY, 0);
    return outcome(ring);
}

TEST(a_ring_without_limits_opens_files) {
    enable(*state);
    assert_int_equal(outcome_of_open(*state), -ENOENT);
}

TEST(what_workers_do_not_ask_is_refused) {
    struct __kernel_timespec moment = {.tv_nsec = 1};
    struct io_uring *ring = *state;
    assert_int_equal(ring_limits_set(ring), 0);
    enable(ring);
    assert_int_equal(outcome_of_open(ring), -EACCES);
    io_uring_prep_connect(io_uring_get_sqe(ring), 0, NULL, 0);
    assert_int_equal(outcome(ring), -EACCES);
    io_uring_prep_timeout(io_uring_get_sqe(ring), &moment, 0, 0);
    assert_int_equal(outcome(ring), -ETIME);
    assert_int_equal(ring_limits_set(ring), -EACCES); /* and nothing more is registered */
}

int main(void) {
    struct io_uring ring;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ring_without_limits_opens_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_workers_do_not_ask_is_refused, set_up, tear_down),
    };
    if (io_uring_queue_init(4, &ring, IORING_SETUP_R_DISABLED) != 0)
        return 77; /* skipped */
    io_uring_queue_exit(&ring);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
