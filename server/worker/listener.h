/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets and the acceptor: takes connections on the main thread's loop and hands them to the
 * workers in turn.
 *
 * Addresses are written as for memcached's -l: "127.0.0.1", "localhost:11212", "[::1]:11211", "::1", "*" or
 * "*:11211" for all interfaces; and "unix:/path" for a Unix socket.
 */
#ifndef FOREBAY_SERVER_LISTENER_H
#define FOREBAY_SERVER_LISTENER_H

#include "server/server.h"
#include <stdio.h>
#include <sys/socket.h>

struct ev_loop;
struct listener;

struct listen_address {
    bool is_unix;
    char host[256]; /* or the path; empty: all interfaces */
    int port;       /* -1: none given */
};

/* False with a whole sentence when text is no address. Resolves no names. */
bool listener_parse_address(const char *text, struct listen_address *ret_address, char *ret_error,
                            size_t error_size);

/* False with a whole sentence when the host is a name that stands for no address. Asks the resolver. */
bool listener_resolve(const struct listen_address *address, char *ret_error, size_t error_size);

/* Makes and binds the TCP sockets (before privileges are dropped: a port below 1024 may be wanted). Nobody
 * can connect yet. NULL with a whole sentence naming the address and the remedy. */
struct listener *listener_create(const struct settings *settings, char *ret_error, size_t error_size);

/* The same for the Unix sockets (after privileges were dropped: they belong to whom the server runs as).
 * Removes a socket file that nobody listens on. */
bool listener_bind_unix(struct listener *listener, char *ret_error, size_t error_size);

/* Listens, and accepts from now on. */
bool listener_start(struct listener *listener, struct ev_loop *loop, struct server *server, char *ret_error,
                    size_t error_size);

/* Stops accepting and closes the sockets. */
void listener_stop(struct listener *listener);
void listener_free(struct listener *listener);

/* "127.0.0.1:11211, unix:/run/f.sock" as they were bound; for people. */
void listener_describe(const struct listener *listener, char *ret_text, size_t size);

/* Lines for MEMCACHED_PORT_FILENAME: "TCP INET: 11211". */
void listener_print_ports(const struct listener *listener, FILE *out);

/* False while accepting is paused because of the connection limit. Any thread. */
bool listener_is_accepting(const struct listener *listener);

/* "tcp:127.0.0.1:11211", "tcp6:[::1]:11211", "unix:/path"; memcached's "?:<AF 0>" for a Unix socket without a
 * name, such as a client's. */
void listener_name_address(const struct sockaddr_storage *address, socklen_t size, char *ret_text,
                           size_t text_size);

/* The listening sockets for `stats conns`. Any thread, while it is started. */
void listener_stat(const struct listener *listener, struct stat_sink *sink);

#endif
