/* SPDX-License-Identifier: MIT */
#include "server/activation.h"
#include "cache/base/fit.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST = 3 }; /* SD_LISTEN_FDS_START */

static bool is_ours(void) {
    const char *pid = getenv("LISTEN_PID");
    return pid && strtol(pid, NULL, 10) == (long)getpid();
}

/* The name up to the next colon; moves on behind it. */
static void take_name(const char **names, char *ret_name) {
    size_t length = strcspn(*names, ":");
    snprintf(ret_name, ACTIVATION_NAME, "%.*s", (int)length, *names);
    *names += length + ((*names)[length] == ':');
}

static int socket_option(int fd, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool can_be_served(int fd) {
    int domain = socket_option(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX) &&
           socket_option(fd, SO_TYPE) == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) == 1;
}

static bool prepare(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static bool read_sockets(struct activation *activation, long count, const char *names, char *ret_error,
                         size_t error_size) {
    if (count < 0 || count > ACTIVATION_MAX) {
        fit_print(
            ret_error, error_size,
            "the service manager hands over %ld sockets, and at most %d can be served; correct the socket unit",
            count, ACTIVATION_MAX);
        return false;
    }
    for (int fd = FIRST; fd < FIRST + (int)count; fd++) {
        struct activation_socket *socket = &activation->sockets[activation->count];
        take_name(&names, socket->name);
        if (!can_be_served(fd) || !prepare(fd)) {
            fit_print(
                ret_error, error_size,
                "descriptor %d (%s), which the service manager hands over, is not a listening stream socket; give ListenStream= and Accept=no in the socket unit",
                fd, socket->name);
            return false;
        }
        socket->fd = fd;
        activation->count++;
    }
    return true;
}

bool activation_read(struct activation *ret_activation, char *ret_error, size_t error_size) {
    struct activation activation = {0};
    const char *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    bool good = !count || !is_ours() ||
                read_sockets(&activation, strtol(count, NULL, 10), names ? names : "", ret_error, error_size);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (good)
        *ret_activation = activation;
    return good;
}

int activation_take(struct activation *activation, const char *name) {
    for (size_t i = 0; i < activation->count; i++) {
        if (strcmp(activation->sockets[i].name, name) != 0)
            continue;
        int fd = activation->sockets[i].fd;
        activation->sockets[i] = activation->sockets[--activation->count];
        return fd;
    }
    return -1;
}
