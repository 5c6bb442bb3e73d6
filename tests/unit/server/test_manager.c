/* SPDX-License-Identifier: MIT */
/* What the service manager is told, and what is told again when it did not take it. */
#include "server/manager.h"
#include "tests/support/check.h"
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { MESSAGE_MAX = 4096 };

struct fixture {
    struct ev_loop *loop;
    struct manager *manager;
    int socket; /* where the manager is told */
    bool is_alive;
    char description[64];
    char message[MESSAGE_MAX]; /* the last that came */
};

static void describe(void *context, char *ret_text, size_t size) {
    snprintf(ret_text, size, "%s", ((struct fixture *)context)->description);
}

static bool is_alive(void *context) {
    return ((struct fixture *)context)->is_alive;
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    *state = fixture;
    fixture->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->socket, (struct sockaddr *)&address, sizeof(sa_family_t)),
                     0); /* any free name */
    assert_int_equal(getsockname(fixture->socket, (struct sockaddr *)&address, &size), 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "2000", 1);
    fixture->loop = ev_loop_new(EVFLAG_AUTO);
    fixture->manager = manager_create(fixture->loop, describe, is_alive, fixture);
    assert_non_null(fixture->manager);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    manager_free(fixture->manager);
    ev_loop_destroy(fixture->loop);
    close(fixture->socket);
    free(fixture);
    return 0;
}

static bool receive(struct fixture *fixture) {
    ssize_t size = recv(fixture->socket, fixture->message, MESSAGE_MAX - 1, 0);
    if (size < 0)
        return false;
    fixture->message[size] = '\0';
    return true;
}

/* One turn of the loop at least, and the first message that has come of it. */
static const char *next(struct fixture *fixture) {
    eventually((ev_run(fixture->loop, EVRUN_NOWAIT), receive(fixture)));
    return fixture->message;
}

/* Takes what is there, and turns the loop some more; true: nothing but silence came of that. */
static bool is_silent(struct fixture *fixture) {
    enum { TURNS = 20 };
    while (receive(fixture))
        continue;
    for (int i = 0; i < TURNS; i++) {
        ev_run(fixture->loop, EVRUN_ONCE);
        if (receive(fixture))
            return false;
    }
    return true;
}

TEST(the_environment_is_meant_for_this_process_alone) {
    (void)state;
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

TEST(a_description_is_told_when_it_changes_and_prolongs_a_start) {
    struct fixture *fixture = *state;
    strcpy(fixture->description, "starting");
    assert_string_equal(next(fixture), "STATUS=starting\nEXTEND_TIMEOUT_USEC=90000000\n");
    assert_true(is_silent(fixture));
    strcpy(fixture->description, "half of it read");
    assert_string_equal(next(fixture), "STATUS=half of it read\nEXTEND_TIMEOUT_USEC=90000000\n");
    strcpy(fixture->description, "serving");
    manager_ready(fixture->manager);
    assert_string_equal(next(fixture), "READY=1\nSTATUS=serving\n");
    strcpy(fixture->description, "serving more");
    assert_string_equal(next(fixture), "STATUS=serving more\n");
}

TEST(a_reload_and_a_stop_are_told) {
    struct fixture *fixture = *state;
    manager_reloading(fixture->manager);
    assert_memory_equal(next(fixture), "RELOADING=1\nMONOTONIC_USEC=", 27);
    manager_ready(fixture->manager);
    assert_string_equal(next(fixture), "READY=1\n");
    manager_stopping(fixture->manager, 1500);
    assert_string_equal(next(fixture), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\n");
}

TEST(the_watchdog_hears_of_the_living_alone) {
    struct fixture *fixture = *state;
    assert_true(is_silent(fixture));
    fixture->is_alive = true;
    assert_string_equal(next(fixture), "WATCHDOG=1\n");
    assert_string_equal(next(fixture), "WATCHDOG=1\n");
    fixture->is_alive = false;
    assert_true(is_silent(fixture));
}

/* The manager is busy: its socket has no room. */
TEST(what_was_not_taken_is_told_again) {
    struct fixture *fixture = *state;
    for (int i = 0; i <= 1000; i++) {
        snprintf(fixture->description, sizeof fixture->description, "%d", i);
        manager_ready(fixture->manager);
    }
    while (receive(fixture))
        continue;
    assert_null(strstr(fixture->message, "1000")); /* it was full before */
    assert_string_equal(next(fixture), "READY=1\nSTATUS=1000\n");
    assert_true(is_silent(fixture));
}

TEST(nobody_who_wants_to_know_is_no_failure) {
    (void)state;
    assert_null(manager_create(NULL, describe, is_alive, NULL)); /* the environment has no socket any more */
    manager_ready(NULL);
    manager_reloading(NULL);
    manager_stopping(NULL, 1);
    manager_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_environment_is_meant_for_this_process_alone),
        CASE(a_description_is_told_when_it_changes_and_prolongs_a_start),
        CASE(a_reload_and_a_stop_are_told),
        CASE(the_watchdog_hears_of_the_living_alone),
        CASE(what_was_not_taken_is_told_again),
        CASE(nobody_who_wants_to_know_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
