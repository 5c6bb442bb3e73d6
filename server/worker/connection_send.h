/* SPDX-License-Identifier: MIT */
/*
 * A connection's bytes out: sent at once; what the socket does not take is kept, and so is all of it while the
 * connection is held (held.h), or where the turn has sent what one sends (share.h). A long answer to a command (a list,
 * a dump) is counted, beyond CONNECTION_ANSWER, until it has gone (server->answer_bytes), and what others do not read
 * is held below a limit.
 */
#ifndef FOREBAY_SERVER_WORKER_CONNECTION_SEND_H
#define FOREBAY_SERVER_WORKER_CONNECTION_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct connection;
struct piece; /* output.h */

/* Sends pieces in order, and keeps what does not go; keeps all of it while the connection is held. Takes over
 * the large values that the pieces hold. base: what their offsets count from. */
void connection_send(struct connection *connection, const char *base, struct piece *pieces, size_t count);

/* Sends what goes at once, as send() does. By whoever may send now: the worker, or the thread that feeds the
 * connection. */
ssize_t connection_send_some(struct connection *connection, const char *data, size_t size);

/* Whether all it has to say may be sent now, as it is, and nothing but its client's will ends it meanwhile: the pieces
 * may be queued. */
bool connection_sends_freely(const struct connection *connection);

/* The second half of connection_send: `sent` bytes of the pieces went, or -1: the socket is broken. */
void connection_sent(struct connection *connection, const char *base, struct piece *pieces, size_t count,
                     ssize_t sent);

/* It is about to be sent one answer of that size, which counts until all of its replies have gone. False: those of
 * others who do not read take too much; one alone may have any size. */
bool connection_count_answer(struct connection *connection, size_t size);

/* Whether more than SHARE_LEAST bytes are kept. */
bool connection_has_much_to_send(const struct connection *connection);

/* Sends what was kept; true when all of it went. */
bool connection_send_pending(struct connection *connection);

/* Forgets what was to be sent. */
void connection_drop_pending(struct connection *connection);

#endif
