/* SPDX-License-Identifier: MIT */
/*
 * Commands without a key, as a connection gets them: those about the connection itself are done here, the others by
 * server/admin/command.h, whose answer is told in the words of the connection's protocol. On the worker's thread.
 */
#ifndef FOREBAY_SERVER_WORKER_TALK_H
#define FOREBAY_SERVER_WORKER_TALK_H

#include "server/admin/feed.h"
#include <stddef.h>

struct connection;
struct worker;

/* Answers the request in slot i of the batch, whose command has no key. It may park (sync), and its connection may be
 * left to the feed's thread (watch, a dump). */
void talk_execute(struct worker *worker, size_t i);

/* The feed of a connection is over: it is served again if all was told, else it is closed. Frees no feed. */
void talk_end_feed(struct connection *connection, enum feed_end end);

#endif
