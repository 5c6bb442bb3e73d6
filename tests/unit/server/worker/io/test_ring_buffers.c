/* SPDX-License-Identifier: MIT */
/* What comes over io_uring until it is read, with the kernel's part played by the test. */
#include "server/worker/connection.h"
#include "server/worker/io/ring_buffers.h"
#include "tests/support/check.h"
#include <stdlib.h>
#include <string.h>

enum { BOUND = 1000 };

struct rig {
    struct io_uring ring;
    struct ring_buffers buffers;
    struct io_link link, other;
    counter aside_bytes, strains;
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    *state = rig;
    assert_int_equal(io_uring_queue_init(4, &rig->ring, 0), 0);
    assert_int_equal(ring_buffers_open(&rig->buffers, &rig->ring, &rig->aside_bytes, &rig->strains), 0);
    return 0;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    ring_buffers_drop(&rig->buffers, &rig->link);
    ring_buffers_drop(&rig->buffers, &rig->other);
    io_uring_queue_exit(&rig->ring);
    ring_buffers_close(&rig->buffers);
    free(rig);
    return 0;
}

/* The kernel puts so many of that character into a buffer. */
static void come(struct rig *rig, struct io_link *link, unsigned buffer, char what, size_t size) {
    memset(rig->buffers.memory + (size_t)buffer * CONNECTION_READ, what, size);
    ring_buffers_receive(&rig->buffers, link, buffer, size);
}

/* Reads that much of it, piece by piece, and says whether it is so many of that character. */
static bool reads(struct rig *rig, struct io_link *link, char what, size_t size) {
    while (size > 0 && link->first) {
        const char *data;
        size_t taken = ring_buffers_take(&rig->buffers, link, size, &data);
        for (size_t i = 0; i < taken; i++)
            if (data[i] != what)
                return false;
        size -= taken;
    }
    return size == 0;
}

TEST(what_came_is_read_in_its_order) {
    struct rig *rig = *state;
    come(rig, &rig->link, 3, 'a', 100);
    come(rig, &rig->link, 1, 'b', 50);
    come(rig, &rig->link, 2, 'x', 0);
    assert_true(ring_buffers_are_held(&rig->link));
    assert_true(reads(rig, &rig->link, 'a', 60) && reads(rig, &rig->link, 'a', 40));
    assert_true(reads(rig, &rig->link, 'b', 50));
    assert_null(rig->link.first);
}

TEST(what_is_put_aside_stays_when_its_buffers_are_used_again) {
    struct rig *rig = *state;
    come(rig, &rig->link, 0, 'a', 100);
    come(rig, &rig->link, 1, 'b', 50);
    assert_true(reads(rig, &rig->link, 'a', 10));
    assert_true(ring_buffers_put_aside(&rig->buffers, &rig->link, BOUND));
    assert_false(ring_buffers_are_held(&rig->link));
    assert_int_equal(counted(&rig->aside_bytes), 140);
    ring_buffers_give_back(&rig->buffers);
    come(rig, &rig->other, 0, 'x', 100);
    come(rig, &rig->link, 1, 'c', 30);
    assert_true(ring_buffers_put_aside(&rig->buffers, &rig->link, BOUND));
    assert_true(reads(rig, &rig->link, 'a', 90) && reads(rig, &rig->link, 'b', 50));
    assert_true(reads(rig, &rig->link, 'c', 30) && reads(rig, &rig->other, 'x', 100));
    ring_buffers_give_back(&rig->buffers);
    assert_int_equal(counted(&rig->aside_bytes), 0);
    assert_int_equal(counted(&rig->strains), 0);
}

TEST(a_strain_begins_above_the_bound_and_ends_at_half_of_it) {
    struct rig *rig = *state;
    come(rig, &rig->link, 0, 'a', BOUND);
    assert_true(ring_buffers_put_aside(&rig->buffers, &rig->link, BOUND));
    assert_false(rig->buffers.strained);
    come(rig, &rig->other, 1, 'b', BOUND / 2);
    assert_true(ring_buffers_put_aside(&rig->buffers, &rig->other, BOUND));
    assert_true(rig->buffers.strained);
    assert_true(reads(rig, &rig->other, 'b', BOUND / 2));
    ring_buffers_give_back(&rig->buffers);
    assert_true(rig->buffers.strained);
    assert_true(reads(rig, &rig->link, 'a', BOUND - 1)); /* a copy counts until its last byte is read */
    ring_buffers_give_back(&rig->buffers);
    assert_true(rig->buffers.strained);
    assert_true(reads(rig, &rig->link, 'a', 1));
    ring_buffers_give_back(&rig->buffers);
    assert_false(rig->buffers.strained);
    assert_int_equal(counted(&rig->strains), 1);
}

TEST(what_nobody_reads_any_more_counts_no_longer) {
    struct rig *rig = *state;
    come(rig, &rig->link, 0, 'a', 2 * BOUND);
    assert_true(ring_buffers_put_aside(&rig->buffers, &rig->link, BOUND));
    come(rig, NULL, 1, 'b', 100);
    ring_buffers_drop(&rig->buffers, &rig->link);
    ring_buffers_give_back(&rig->buffers);
    assert_int_equal(counted(&rig->aside_bytes), 0);
    assert_false(rig->buffers.strained);
}

static bool is_there(void) {
    struct io_uring ring;
    if (io_uring_queue_init(4, &ring, 0) < 0)
        return false;
    io_uring_queue_exit(&ring);
    return true;
}

int main(void) {
    if (!is_there())
        return 77; /* skipped */
    const struct CMUnitTest tests[] = {
        CASE(what_came_is_read_in_its_order),
        CASE(what_is_put_aside_stays_when_its_buffers_are_used_again),
        CASE(a_strain_begins_above_the_bound_and_ends_at_half_of_it),
        CASE(what_nobody_reads_any_more_counts_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
