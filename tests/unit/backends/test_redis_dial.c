/* SPDX-License-Identifier: MIT */
/*
 * Connecting to a Redis by its name. The name and the distance are the test's: a look-up takes the time that it says,
 * and so does an acceptance, of a clock that goes on at once (tests/support/passing_time.h). The sockets are real ones.
 */
#include "backends/redis/internal.h"
#include "tests/support/check.h"
#include "tests/support/passing_time.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SECOND = US_PER_SECOND, SOCKETS_MAX = 8, ADDRESSES_MAX = 4 };

/* What swallows all that it is sent. */
static const char hole[] = "127.0.0.99";

/* What the linker gives dial.c for its calls has no other way to the test. */
static struct {
    const char *addresses[ADDRESSES_MAX]; /* of the host "name", NULL behind the last one */
    uint64_t look_up_us, distance_us;
    char tried[200]; /* addresses, each with a blank behind it */
    bool in_hole;    /* what is being connected to */
} network;

struct fixture {
    redisContext *context;
    struct redis_place place;
    int sockets[SOCKETS_MAX];
    size_t socket_count;
};

/* ---- The network ---- */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret) {
    struct addrinfo **end = ret;
    if (strcmp(host, "name") != 0)
        return __real_getaddrinfo(host, port, hints, ret);
    *ret = NULL;
    pass_us(network.look_up_us);
    for (const char **address = network.addresses; *address; address++)
        if (__real_getaddrinfo(*address, port, hints, end) == 0)
            end = &(*end)->ai_next;
    return *ret ? 0 : EAI_NONAME;
}

static const char *show(const struct sockaddr *address, socklen_t size) {
    static char text[INET6_ADDRSTRLEN];
    assert_int_equal(getnameinfo(address, size, text, sizeof text, NULL, 0, NI_NUMERICHOST), 0);
    return text;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
    size_t used = strlen(network.tried);
    snprintf(network.tried + used, sizeof network.tried - used, "%s ", show(address, size));
    network.in_hole = strcmp(show(address, size), hole) == 0;
    int failed = network.in_hole ? 0 : __real_connect(fd, address, size);
    if (failed || (!network.in_hole && network.distance_us == 0))
        return failed;
    errno = EINPROGRESS;
    return -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    uint64_t most_us = (uint64_t)timeout_ms * US_PER_MS;
    if (!network.in_hole && network.distance_us == 0)
        return __real_poll(fds, count, timeout_ms);
    int ready = network.in_hole ? 0 : __real_poll(fds, count, EVENTUALLY_SECONDS * 1000);
    bool refused = ready > 0 && (fds->revents & POLLERR), late = most_us < network.distance_us;
    if (!refused)
        pass_us(network.in_hole || late ? most_us : network.distance_us);
    return refused || !late ? ready : 0;
}

/* ---- What is in it ---- */

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    memset(&network, 0, sizeof network);
    snprintf(fixture->place.host, sizeof fixture->place.host, "name");
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    if (fixture->context)
        redisFree(fixture->context);
    for (size_t i = 0; i < fixture->socket_count; i++)
        close(fixture->sockets[i]);
    free(fixture);
    return 0;
}

static int add_socket(struct fixture *fixture, int family, int kind) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | kind, 0);
    if (fd >= 0 && fixture->socket_count < SOCKETS_MAX)
        fixture->sockets[fixture->socket_count++] = fd;
    return fd;
}

/* At the port of the place, which is chosen with the first one. backlog -1: connections are refused. */
static void take(struct fixture *fixture, const char *host, int backlog) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fixture->place.port)};
    socklen_t size = sizeof address;
    int fd = add_socket(fixture, AF_INET, 0);
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    fixture->place.port = ntohs(address.sin_port);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
}

/* At the same port of ::1, or the test is skipped: not every machine has IPv6. */
static void take_ipv6(struct fixture *fixture) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)fixture->place.port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof address;
    int fd = add_socket(fixture, AF_INET6, 0);
    if (fd < 0 || (bind(fd, (struct sockaddr *)&address, size) != 0 && errno == EADDRNOTAVAIL))
        skip();
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    fixture->place.port = ntohs(address.sin6_port);
    assert_int_equal(listen(fd, 1), 0);
}

static void dial(struct fixture *fixture, uint64_t timeout_us) {
    fixture->context =
        redis_dial(&fixture->place, NULL,
                   (struct timeval){(time_t)(timeout_us / SECOND), (suseconds_t)(timeout_us % SECOND)});
    assert_non_null(fixture->context);
}

static void assert_reaches(struct fixture *fixture, const char *host) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    dial(fixture, 60 * SECOND);
    if (fixture->context->err)
        fail_msg("%s: %s", network.tried, fixture->context->errstr);
    assert_int_equal(getpeername(fixture->context->fd, (struct sockaddr *)&peer, &size), 0);
    assert_string_equal(show((struct sockaddr *)&peer, size), host);
}

static void assert_fails(struct fixture *fixture, int kind, int error) {
    assert_int_equal(fixture->context->err, kind);
    if (error)
        assert_string_equal(fixture->context->errstr, strerror(error));
}

/* ---- Addresses of a name ---- */

TEST(one_that_refuses_leads_to_the_next) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", -1);
    take(fixture, "127.0.0.3", 1);
    network.addresses[0] = "127.0.0.2";
    network.addresses[1] = "127.0.0.3";
    assert_reaches(fixture, "127.0.0.3");
}

TEST(those_of_ipv4_are_tried_first_in_their_order) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", -1);
    take(fixture, "127.0.0.3", 1);
    network.addresses[0] = "::1";
    network.addresses[1] = "127.0.0.2";
    network.addresses[2] = "127.0.0.3";
    assert_reaches(fixture, "127.0.0.3");
    assert_string_equal(network.tried, "127.0.0.2 127.0.0.3 ");
}

TEST(one_of_ipv6_is_tried_where_ipv4_refuses) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", -1);
    take_ipv6(fixture);
    network.addresses[0] = "127.0.0.2";
    network.addresses[1] = "::1";
    assert_reaches(fixture, "::1");
}

TEST(an_address_of_ipv6_is_a_place) {
    struct fixture *fixture = *state;
    take_ipv6(fixture);
    snprintf(fixture->place.host, sizeof fixture->place.host, "::1");
    assert_reaches(fixture, "::1");
}

TEST(the_failure_of_the_first_is_told) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", -1);
    network.addresses[0] = "127.0.0.2";
    network.addresses[1] = hole;
    dial(fixture, 60 * SECOND);
    assert_fails(fixture, REDIS_ERR_IO, ECONNREFUSED);
    assert_string_equal(network.tried, "127.0.0.2 127.0.0.99 ");
}

TEST(a_name_without_addresses_is_told_as_such) {
    struct fixture *fixture = *state;
    dial(fixture, 60 * SECOND);
    assert_fails(fixture, REDIS_ERR_OTHER, 0);
}

/* ---- Time ---- */

TEST(a_slow_look_up_leaves_the_time_to_connect) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", 1);
    network.addresses[0] = "127.0.0.2";
    network.look_up_us = 100 * SECOND;
    network.distance_us = 10 * SECOND;
    assert_reaches(fixture, "127.0.0.2");
}

TEST(those_that_swallow_all_leave_time_to_the_next) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", 1);
    network.addresses[0] = network.addresses[1] = hole;
    network.addresses[2] = "127.0.0.2";
    network.distance_us = 10 * SECOND;
    assert_reaches(fixture, "127.0.0.2");
}

TEST(one_that_refuses_leaves_all_the_time_to_the_next) {
    struct fixture *fixture = *state;
    take(fixture, "127.0.0.2", -1);
    take(fixture, "127.0.0.3", 1);
    network.addresses[0] = "127.0.0.2";
    network.addresses[1] = "127.0.0.3";
    network.distance_us = 40 * SECOND;
    assert_reaches(fixture, "127.0.0.3");
}

/* Its queue is full: the kernel drops what comes. */
TEST(one_that_accepts_nobody_is_not_waited_for) {
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    take(fixture, "127.0.0.2", 0);
    address.sin_port = htons((uint16_t)fixture->place.port);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &address.sin_addr), 1);
    for (int i = 0; i < 4; i++)
        __real_connect(add_socket(fixture, AF_INET, SOCK_NONBLOCK), (struct sockaddr *)&address,
                       sizeof address);
    network.addresses[0] = "127.0.0.2";
    dial(fixture, 20 * US_PER_MS);
    assert_fails(fixture, REDIS_ERR_IO, ETIMEDOUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(one_that_refuses_leads_to_the_next),
        CASE(those_of_ipv4_are_tried_first_in_their_order),
        CASE(one_of_ipv6_is_tried_where_ipv4_refuses),
        CASE(an_address_of_ipv6_is_a_place),
        CASE(the_failure_of_the_first_is_told),
        CASE(a_name_without_addresses_is_told_as_such),
        CASE(a_slow_look_up_leaves_the_time_to_connect),
        CASE(those_that_swallow_all_leave_time_to_the_next),
        CASE(one_that_refuses_leaves_all_the_time_to_the_next),
        CASE(one_that_accepts_nobody_is_not_waited_for),
    };
    return cmocka_run_group_tests_name("redis_dial", tests, NULL, NULL);
}
