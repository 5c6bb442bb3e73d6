/* SPDX-License-Identifier: MIT */
/*
 * -o read_buf_mem_limit: replies that are not sent yet may take this much memory, a worker's share of it each, and each
 * counts 1024 bytes beside its own, as with memcached. Where they would take more, a get line is answered by an error
 * alone; other requests cannot be told apart by their answers, so the connection is closed without any. Of a line that
 * is served in several turns (share.h) some values may have gone: the error then stands behind them, and ends the
 * answer as END does. On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_REPLY_LIMIT_H
#define FOREBAY_SERVER_WORKER_REPLY_LIMIT_H

#include <stdbool.h>

struct slot;
struct worker;

/* Counts the answer to the request with a key in that slot, which is about to be served. False: there is no room for
 * it. Then all is done that is to be done for it, and it is not served. */
bool reply_limit_lets(struct worker *worker, const struct slot *slot);

/* All replies were sent. */
void reply_limit_reset(struct worker *worker);

#endif
