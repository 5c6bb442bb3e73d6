/* SPDX-License-Identifier: MIT */
/*
 * Sockets that a service manager has bound, and hands over: sd_listen_fds(3), LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES. The manager keeps them open while the server is restarted, so that clients who come meanwhile wait
 * instead of being refused.
 */
#ifndef FOREBAY_SERVER_ACTIVATION_H
#define FOREBAY_SERVER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

enum { ACTIVATION_MAX = 64, ACTIVATION_NAME = 64 };

/* Listening stream sockets, non-blocking and closed on exec. */
struct activation {
    size_t count;
    struct activation_socket {
        int fd;
        char name[ACTIVATION_NAME];
    } sockets[ACTIVATION_MAX];
};

/* Takes what is meant for this process out of the environment: count is 0 when there is nothing. False, with a whole
 * sentence, when one of them cannot be served. Before other threads run, as the environment is changed. */
bool activation_read(struct activation *ret_activation, char *ret_error, size_t error_size);

/* Takes the first socket of this name out, the caller's from now on; -1: there is none. */
int activation_take(struct activation *activation, const char *name);

#endif
