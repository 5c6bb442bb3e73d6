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

/* Ends the process with EXIT_FAILURE and a line on standard error when it is still there after limit_ms. To be called
 * once; there is no way back. False: no thread. Any thread. */
bool last_resort_start(uint64_t limit_ms);

#endif
