/* SPDX-License-Identifier: MIT */
/* Which workers get connections, while there come to be more and fewer processors than workers. */
#include "server/rotation.h"
#include "server/server.h"
#include "tests/support/check.h"
#include <stdlib.h>

enum { WORKERS = 4, LONG_AGO_US = 2 * US_PER_SECOND };

struct fixture {
    struct server server;
    struct worker *workers[WORKERS]; /* never looked into */
    struct rotation rotation;
};

static unsigned processors; /* that there are */

static unsigned count_processors(const struct server *server) {
    (void)server;
    return processors;
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    for (size_t i = 0; i < WORKERS; i++)
        fixture->workers[i] = (struct worker *)((char *)fixture + i);
    fixture->server.workers = fixture->workers;
    fixture->server.worker_count = WORKERS;
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

static void start(struct fixture *fixture, unsigned count) {
    processors = count;
    rotation_start(&fixture->rotation, &fixture->server, count_processors);
}

/* There are so many from now on, and the time to look has come. */
static void change_to(struct fixture *fixture, unsigned count) {
    processors = count;
    fixture->rotation.looked_us -= LONG_AGO_US;
}

static void assert_next_is(struct fixture *fixture, unsigned index) {
    assert_ptr_equal(rotation_next(&fixture->rotation), fixture->workers[index]);
}

/* Each of the first `count` gets a connection, the first of them first, and then again. */
static void assert_in_turn(struct fixture *fixture, unsigned count) {
    for (unsigned i = 0; i < 2 * count; i++)
        assert_next_is(fixture, i % count);
    assert_int_equal(fixture->server.workers_in_rotation, count);
}

TEST(all_workers_take_turns_where_there_are_processors_for_them) {
    start(*state, WORKERS);
    assert_in_turn(*state, WORKERS);
}

TEST(more_processors_than_workers_are_as_good) {
    start(*state, 64);
    assert_in_turn(*state, WORKERS);
}

TEST(no_more_workers_than_processors_get_connections) {
    start(*state, 2);
    assert_in_turn(*state, 2);
}

TEST(all_take_turns_where_nobody_knows_the_processors) {
    start(*state, 0);
    assert_in_turn(*state, WORKERS);
}

TEST(workers_get_connections_when_processors_come) {
    struct fixture *fixture = *state;
    start(fixture, 1);
    assert_in_turn(fixture, 1);
    change_to(fixture, 3);
    assert_next_is(fixture, 1); /* whose turn it would have been */
    assert_next_is(fixture, 2);
    assert_in_turn(fixture, 3);
}

TEST(workers_get_no_more_when_processors_go) {
    struct fixture *fixture = *state;
    start(fixture, 3);
    assert_in_turn(fixture, 3);
    change_to(fixture, 2);
    assert_next_is(fixture, 1); /* the turn of the fourth */
    assert_in_turn(fixture, 2);
}

TEST(where_it_cannot_be_looked_all_stays_as_it_was) {
    struct fixture *fixture = *state;
    start(fixture, 2);
    change_to(fixture, ROTATION_UNKNOWN);
    assert_in_turn(fixture, 2);
    assert_int_equal(fixture->server.workers_used, 2);
}

TEST(all_take_turns_where_it_could_not_be_looked_yet) {
    start(*state, ROTATION_UNKNOWN);
    assert_in_turn(*state, WORKERS);
}

TEST(the_processors_are_not_looked_at_for_each_connection) {
    struct fixture *fixture = *state;
    start(fixture, 2);
    processors = 4;
    fixture->rotation.looked_us = UINT64_MAX / 2; /* not for long, however slow this machine is */
    assert_in_turn(fixture, 2);
}

TEST(workers_that_were_used_stay_so) {
    struct fixture *fixture = *state;
    start(fixture, 2);
    assert_int_equal(fixture->server.workers_used, 2);
    change_to(fixture, 4);
    rotation_next(&fixture->rotation);
    assert_int_equal(fixture->server.workers_used, 4);
    change_to(fixture, 1);
    rotation_next(&fixture->rotation);
    assert_int_equal(fixture->server.workers_in_rotation, 1);
    assert_int_equal(fixture->server.workers_used, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(all_workers_take_turns_where_there_are_processors_for_them),
        CASE(more_processors_than_workers_are_as_good),
        CASE(no_more_workers_than_processors_get_connections),
        CASE(all_take_turns_where_nobody_knows_the_processors),
        CASE(workers_get_connections_when_processors_come),
        CASE(workers_get_no_more_when_processors_go),
        CASE(where_it_cannot_be_looked_all_stays_as_it_was),
        CASE(all_take_turns_where_it_could_not_be_looked_yet),
        CASE(the_processors_are_not_looked_at_for_each_connection),
        CASE(workers_that_were_used_stay_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
