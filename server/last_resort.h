/* SPDX-License-Identifier: MIT */
/*
 * The end of a stop that does not end. A stop takes drain_timeout, and some seconds beside that for clients and
 * backends; if something in it hangs (a disk, a lock, a call that never comes back), the process would stay for ever,
 * with its lock of the data folder. A thread of its own ends it then, as kill -9 would: what the journal holds is
 * replayed by the next start.
 */
#ifndef FOREBAY_SERVER_LAST_RESORT_H
#define FOREBAY_SERVER_LAST_RESORT_H

#include <stdint.h>

struct server;

struct last_resort;

/* Ends the process with EXIT_FAILURE and a line on the log when it is still there after limit_ms. To be called once;
 * there is no way back. The server has to stay as long as the process does. NULL: no thread. Any thread. */
struct last_resort *last_resort_start(const struct server *server, uint64_t limit_ms);

/* What the stop was for is done, and told: only memory, files and connections are given back from here on. That has
 * limit_ms from now on, and if it is cut off, the process ends with this status. NULL: does nothing. Any thread. */
void last_resort_freeing(struct last_resort *resort, uint64_t limit_ms, int status);

#endif
