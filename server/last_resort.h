/* SPDX-License-Identifier: MIT */
/*
 * The end of a stop that does not end. A stop takes drain_timeout, and some seconds beside that for clients and
 * backends; if something in it hangs (a disk, a lock, a call that never comes back), the process would stay for ever,
 * with its lock of the data folder. A thread of its own ends it then, as kill -9 would: what the journal holds is
 * replayed by the next start.
 */
#ifndef FOREBAY_SERVER_LAST_RESORT_H
#define FOREBAY_SERVER_LAST_RESORT_H

#include <stdbool.h>
#include <stdint.h>

struct server;

/* Ends the process with EXIT_FAILURE and a line on the log when it is still there after limit_ms. To be called once; there
 * is no way back. The server has to stay as long as the process does. False: no thread. Any thread. */
bool last_resort_start(const struct server *server, uint64_t limit_ms);

#endif
