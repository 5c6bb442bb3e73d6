/* SPDX-License-Identifier: MIT */
/*
 * A connection's bytes in: read into the worker's shared input when nothing is left over from before, so that an idle
 * connection owns no buffer; the rest of an unfinished (or parked) request is kept in a buffer of its own
 * (own_buffer.h). While there is something to send, nothing more is read before it has gone. Little is read of who is
 * known to send more than is served in a turn: the rest would wait here.
 *
 * Where no memory may be taken for the rest of a request its parser is starved: the value that is under way is refused,
 * and the connection goes on. What was read already is kept in any case. Of a client that has not authenticated no more
 * is kept than a credential takes, and no request that is longer is waited for (AUTH_ITEM_MAX, parser.short_lines).
 */
#ifndef FOREBAY_SERVER_WORKER_CONNECTION_READ_H
#define FOREBAY_SERVER_WORKER_CONNECTION_READ_H

#include "server/worker/connection.h"

/* What one read asks the socket for, unless a long value is awaited. */
static inline size_t connection_read_usual(const struct connection *connection) {
    bool reads_little = connection->fresh | connection->sends_ahead;
    if (__builtin_expect(connection->authenticated & !reads_little, true))
        return CONNECTION_READ;
    if (!connection->authenticated)
        return AUTH_READ;
    return connection->own.size <= CONNECTION_LITTLE / 2 ? CONNECTION_LITTLE - connection->own.size
                                                         : (size_t)CONNECTION_READ;
}

/* Whether it is in the middle of a long value, of which more is missing than one read brings. */
static inline bool connection_awaits_much(const struct connection *connection) {
    return connection->own.bytes && connection->wanted > connection->own.size + CONNECTION_READ;
}

/* Reads once and sets the region to what there is to parse. False: nothing to do now. Where no memory may be
 * taken for the rest of a request, the region has what has come of it and the parser is told that it is starved. */
bool connection_read(struct connection *connection);

/* Whether it reads an open line of keys (struct parser_run) while its replies cannot be sent: a client may write
 * such a line to its end before it reads. */
bool connection_reads_ahead(const struct connection *connection);
bool connection_could_read_ahead(const struct connection *connection); /* if bytes were there */
void connection_read_ahead(struct connection *connection);

/* Keeps the region's bytes from `from` on for later turns; frees the own buffer when nothing is left. False:
 * no memory, the connection is broken. */
bool connection_keep(struct connection *connection, const char *from);

#endif
