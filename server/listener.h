/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets and the acceptor: takes connections on the main thread's loop and hands them to the
 * workers in rotation (server/rotation.h). How addresses are written: server/config/address.h.
 */
#ifndef FOREBAY_SERVER_LISTENER_H
#define FOREBAY_SERVER_LISTENER_H

#include "server/rotation.h"
#include <stdbool.h>
#include <stdio.h>

struct accepted;   /* server/accepted.h */
struct activation; /* server/activation.h */
struct ev_loop;
struct listener;
struct server;
struct settings;
struct stat_sink; /* policies/tier.h */
struct worker;

/* Makes and binds the TCP sockets (before privileges are dropped: a port below 1024 may be wanted). Nobody
 * can connect yet. NULL with a whole sentence naming the address and the remedy, and errno: why it cannot be bound, or
 * 0. */
struct listener *listener_create(const struct settings *settings, char *ret_error, size_t error_size);

/* The same of sockets that a service manager has bound, instead of binding any: takes over all of them. Clients can
 * connect already, and wait. Those that it calls "tls" are for encrypted connections. NULL with a whole sentence. */
struct listener *listener_adopt(const struct settings *settings, const struct activation *activation,
                                char *ret_error, size_t error_size);

/* The same for the Unix sockets (after privileges were dropped, so that the files belong to the user the
 * server runs as). Removes a socket file that nobody listens on. Does nothing
 * where sockets were adopted. */
bool listener_bind_unix(struct listener *listener, char *ret_error, size_t error_size);

/* Whether a Unix socket could be bound to this path, by the user that the process is now. Only looks: false with a
 * whole sentence. */
bool listener_judge_unix(const char *path, char *ret_error, size_t error_size);

/* Takes an accepted connection for this worker, and counts it down from server->connections when it is closed:
 * worker_hand. */
typedef void listener_hand(struct worker *worker, const struct accepted *accepted);

/* Whether one of its sockets is for encrypted connections: server->tls has to be there when it starts. */
bool listener_uses_tls(const struct listener *listener);

/* Listens, and accepts from now on; the workers run. False with a whole sentence. */
bool listener_start(struct listener *listener, struct ev_loop *loop, struct server *server,
                    listener_hand *hand, rotation_processors *processors, char *ret_error, size_t error_size);

/* Stops accepting and closes the sockets, but those that were adopted: clients who come now wait in them for the next
 * start. */
void listener_stop(struct listener *listener);
void listener_free(struct listener *listener);

/* "127.0.0.1:11211, unix:/run/f.sock" as they were bound; for people. */
void listener_describe(const struct listener *listener, char *ret_text, size_t size);

/* Lines for MEMCACHED_PORT_FILENAME: "TCP INET: 11211". */
void listener_print_ports(const struct listener *listener, FILE *out);

/* False while accepting is paused because of the connection limit. Any thread. */
bool listener_is_accepting(const struct listener *listener);

/* The listening sockets for `stats conns`. Any thread, while it is started. */
void listener_stat(const struct listener *listener, struct stat_sink *sink);

#endif
