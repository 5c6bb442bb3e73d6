/* SPDX-License-Identifier: MIT */
/*
 * What a server that runs already has, for `forebay --check`: an address that is taken by the very server whose
 * configuration is looked at is no fault of it. As /proc says; where it does not (another user's process), the answer
 * is no. Any thread.
 */
#ifndef FOREBAY_SERVER_NEIGHBOUR_H
#define FOREBAY_SERVER_NEIGHBOUR_H

#include <stdbool.h>

/* The pid in a pid file, if that process is a forebay; else 0. */
long neighbour_of_pid_file(const char *path);

/* Whether this process listens on a TCP port, whatever the address; on a Unix socket of this path. pid 0: no. */
bool neighbour_has_port(long pid, int port);
bool neighbour_has_socket(long pid, const char *path);

#endif
