/* SPDX-License-Identifier: MIT */
/* In which order connections are served that wait for a turn. */
#include "server/worker/connection_queue.h"
#include "tests/support/check.h"
#include <stdlib.h>

enum { MANY = 400 }; /* more than a ring has buffers, so that some get none twice */

struct rig {
    struct connection_queue queue;
    struct connection connections[MANY];
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    connection_queue_init(&rig->queue);
    for (int i = 0; i < MANY; i++)
        rig->connections[i].fd = i;
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

static void append(struct rig *rig, int which) {
    connection_queue_append(&rig->queue, &rig->connections[which]);
}

static void append_to_front(struct rig *rig, int which) {
    connection_queue_append_to_front(&rig->queue, &rig->connections[which]);
}

/* Which is first, and leaves; -1: none. */
static int pop(struct rig *rig) {
    struct connection *first = connection_queue_pop(&rig->queue);
    return first ? first->fd : -1;
}

#define ASSERT_POPS(...)                                                                                     \
    do {                                                                                                     \
        const int order[] = {__VA_ARGS__, -1};                                                               \
        for (size_t i = 0; i < sizeof order / sizeof *order; i++)                                            \
            assert_int_equal(pop(rig), order[i]);                                                            \
        assert_int_equal(rig->queue.count, 0);                                                               \
    } while (0)

TEST(they_are_served_in_the_order_in_which_they_came) {
    struct rig *rig = *state;
    append(rig, 1);
    append(rig, 2);
    append(rig, 3);
    assert_int_equal(rig->queue.count, 3);
    ASSERT_POPS(1, 2, 3);
}

TEST(those_at_the_front_are_served_in_the_order_in_which_they_came_there) {
    struct rig *rig = *state;
    append(rig, 1);
    append_to_front(rig, 2);
    append(rig, 3);
    append_to_front(rig, 4);
    append_to_front(rig, 5);
    append(rig, 6);
    assert_int_equal(rig->queue.count, 6);
    ASSERT_POPS(2, 4, 5, 1, 3, 6);
}

/* It is served where it was first put. */
TEST(who_is_in_it_is_not_put_into_it_again) {
    struct rig *rig = *state;
    append(rig, 1);
    append(rig, 2);
    append_to_front(rig, 2);
    append(rig, 1);
    append_to_front(rig, 3);
    append(rig, 3);
    assert_int_equal(rig->queue.count, 3);
    ASSERT_POPS(3, 1, 2);
}

TEST(an_empty_one_can_be_filled_again) {
    struct rig *rig = *state;
    append_to_front(rig, 1);
    ASSERT_POPS(1);
    append(rig, 2);
    append_to_front(rig, 3);
    assert_int_equal(pop(rig), 3);
    append_to_front(rig, 4); /* whoever was at the front has left */
    append(rig, 5);
    ASSERT_POPS(4, 2, 5);
    append(rig, 6);
    append_to_front(rig, 7);
    ASSERT_POPS(7, 6);
}

TEST(all_of_it_is_moved_in_its_order) {
    struct rig *rig = *state;
    struct connection_queue moved;
    append(rig, 1);
    append(rig, 2);
    append_to_front(rig, 3);
    connection_queue_move(&rig->queue, &moved);
    assert_int_equal(moved.count, 3);
    append(rig, 4);
    append_to_front(rig, 5);
    ASSERT_POPS(5, 4);
    rig->queue = (struct connection_queue){0};
    connection_queue_move(&moved, &rig->queue);
    append(rig, 6);
    append_to_front(rig, 7); /* what was at the front before is it no longer */
    ASSERT_POPS(7, 3, 1, 2, 6);
}

TEST(an_empty_one_is_moved_as_an_empty_one) {
    struct rig *rig = *state;
    struct connection_queue moved;
    connection_queue_move(&rig->queue, &moved);
    assert_null(moved.first);
    connection_queue_append(&moved, &rig->connections[1]);
    assert_int_equal(connection_queue_pop(&moved)->fd, 1);
    append(rig, 2);
    ASSERT_POPS(2);
}

/* Each round `some` of those who wait for one of a few things get one, from the front on; they ask again, behind the
 * others. Who got none is at the front of the next round: so nobody waits for more rounds than it takes to serve all
 * others once. */
TEST(who_got_nothing_comes_before_who_did_and_nobody_is_left_out) {
    struct rig *rig = *state;
    enum { SOME = 128, ROUNDS = 40 };
    int waited[MANY] = {0};
    for (int i = 0; i < MANY; i++)
        append(rig, i);
    for (int round = 0; round < ROUNDS; round++) {
        struct connection_queue moved;
        connection_queue_move(&rig->queue, &moved);
        struct connection *connection = moved.first, *next;
        for (int place = 0; connection; connection = next, place++) {
            next = connection->next_queued;
            connection->is_queued = false;
            waited[connection->fd] = place < SOME ? 0 : waited[connection->fd] + 1;
            assert_true(waited[connection->fd] <= MANY / SOME);
            if (place < SOME)
                connection_queue_append(&rig->queue, connection);
            else
                connection_queue_append_to_front(&rig->queue, connection);
        }
        assert_int_equal(rig->queue.count, MANY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(they_are_served_in_the_order_in_which_they_came),
        CASE(those_at_the_front_are_served_in_the_order_in_which_they_came_there),
        CASE(who_is_in_it_is_not_put_into_it_again),
        CASE(an_empty_one_can_be_filled_again),
        CASE(all_of_it_is_moved_in_its_order),
        CASE(an_empty_one_is_moved_as_an_empty_one),
        CASE(who_got_nothing_comes_before_who_did_and_nobody_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
