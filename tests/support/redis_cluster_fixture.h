/* SPDX-License-Identifier: MIT */
/* A Redis Cluster, and connections to it. The program starts and stops the servers; of its threads, that of the tests
 * alone uses what is here. */
#ifndef FOREBAY_TESTS_SUPPORT_REDIS_CLUSTER_FIXTURE_H
#define FOREBAY_TESTS_SUPPORT_REDIS_CLUSTER_FIXTURE_H

#include "backends/kinds.h"
#include "backends/nodes.h"
#include "backends/redis/options.h"
#include "backends/redis/slots.h"
#include "cache/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/redis_server.h"

enum { MASTERS = 3, ROWS = 60 };

extern struct redis_server masters[MASTERS]; /* of the whole run: each test begins with FLUSHALL */

extern struct redis_server fresh; /* a master without slots */

/* What a call comes to, and if it is another result, what it has said. On a busy machine a master may be too slow for
 * one call, and the caller repeats it. */
#define assert_comes_to(fixture, call, expected)                                                             \
    do {                                                                                                     \
        enum backend_status came_to;                                                                         \
        eventually((came_to = (call)) != BACKEND_TRANSIENT);                                                 \
        if (came_to != (expected))                                                                           \
            fail_msg("%d, not %d: %s", came_to, expected, (fixture)->error.message);                         \
    } while (0)
#define assert_ok(fixture, call) assert_comes_to(fixture, call, BACKEND_OK)

struct fixture {
    char uri[100];
    struct backend_table table;
    const struct backend_table *list[1];
    struct redis_options own;
    struct backend_options options;
    struct backend_connection *writer, *other, *third; /* other: of a second node */
    struct backend_error error;
    uint32_t now;
};

/* Of each case (CASE in check.h): *state is the fixture. */
int set_up(void **state);
int tear_down(void **state);

/* As the server opens it: it counts only once it has given its high version, which is returned. One that was open there
 * is closed. It must succeed. */
uint64_t open_writer(struct fixture *fixture, struct backend_connection **connection);

/* Rows for each of the masters, by the writer: "sess:0" and so on, whose versions begin with this one. Of so many it is
 * told that they are done, and that only replicas lack them. */
enum backend_status put_some(struct fixture *fixture, uint64_t version, size_t *ret_done,
                             size_t *ret_lacking);
enum backend_status put_rows(struct fixture *fixture, uint64_t version);

enum backend_status look(struct fixture *fixture, struct backend_connection *connection);

#endif
