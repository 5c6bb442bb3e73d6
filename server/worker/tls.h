/* SPDX-License-Identifier: MIT */
/*
 * Connections that are encrypted, on the worker's thread. OpenSSL reads and writes their sockets itself, by system
 * calls that do not wait; io.h says when there is something to read, or room, and is asked for nothing else. So both
 * ways of io.h serve them alike, and the kernel may encrypt (kTLS).
 *
 * The handshake is a part of reading: until it is done, reading gets nothing.
 */
#ifndef FOREBAY_SERVER_WORKER_TLS_H
#define FOREBAY_SERVER_WORKER_TLS_H

#include "server/config/address.h"
#include <sys/types.h>

struct connection;
struct piece; /* server/worker/output.h */
struct worker;

/* Sets connection->tls, before anything is read of it. kind: anything but UNSAID and OFF. False: no memory. */
bool tls_enter(struct connection *connection, enum address_tls kind);

/* Says goodbye, if there is anybody to say it to, and frees connection->tls. */
void tls_leave(struct connection *connection);

/* As io_type's receive and take. */
ssize_t tls_receive(struct connection *connection, char *data, size_t size);
ssize_t tls_take(struct connection *connection, size_t size, const char **ret_data);

/* As send(): what goes at once, or -1 with errno, EAGAIN where none does. The rest is given again, from its first byte
 * on and no less of it, before anything else: a part of it is encrypted already. The worker's thread, or that of the
 * feeds. */
ssize_t tls_send(struct connection *connection, const char *data, size_t size);

/* The same of pieces, in order: the bytes that went, 0 if none goes now, or -1: the connection is over. */
ssize_t tls_send_pieces(struct connection *connection, const char *base, const struct piece *pieces,
                        size_t count);

/* Whether the handshake of an encrypted connection is not done yet. */
bool tls_begins(const struct connection *connection);

/* Whether a connection is encrypted and cannot be read before its socket has room: OpenSSL has something to say
 * first. */
bool tls_awaits_room(const struct connection *connection);

/* Closes connections whose handshake has taken too long (tls_handshake_timeout). Once a second. */
void tls_end_slow(struct worker *worker);

#endif
