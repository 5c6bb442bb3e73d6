/* SPDX-License-Identifier: MIT */
/*
 * The messages that a service manager takes: sd_notify(3), a datagram of NAME=VALUE lines to the socket that
 * NOTIFY_SOCKET names. When which of them is sent: server/manager.h.
 *
 * libsystemd has the same, and would bring libgcrypt, liblzma, liblz4 and libzstd into the process. The protocol is
 * promised to stay as it is, other managers speak it too, and the manual page shows how to do without the library.
 */
#ifndef FOREBAY_SERVER_NOTIFY_H
#define FOREBAY_SERVER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Owned by one thread. */
struct notify {
    int fd;
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_us; /* WATCHDOG=1 is expected at least so often; 0: it is not */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment: they are meant for this
 * process alone. False: nobody wants to be told, or the socket is of a kind that is not known; nothing is to be
 * closed. Before other threads run, as the environment is changed. */
bool notify_open(struct notify *ret_notify);
void notify_close(struct notify *notify);

/* Sends these lines as one message. Never waits: false when the manager does not take it now. */
bool notify_send(struct notify *notify, const char *lines);

#endif
