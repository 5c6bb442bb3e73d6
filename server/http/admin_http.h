/* SPDX-License-Identifier: MIT */
/*
 * The admin HTTP: health, metrics, a page, actions, at an address of its own (admin, --admin). Which paths there are is
 * said in routes.c; what a handler gets and gives, in http.h.
 *
 * One thread of libmicrohttpd reads and answers all connections, and runs the handlers that wait for nothing: health.
 * A handler that may wait, for a lock or a backend, runs on a thread of its own while its connection rests (task.h).
 * So health is answered whatever the others wait for.
 */
#ifndef FOREBAY_SERVER_HTTP_ADMIN_HTTP_H
#define FOREBAY_SERVER_HTTP_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct admin_http;
struct server;
struct token;

enum { ADMIN_HTTP_DESCRIPTORS = 176 }; /* that it may have open */

/* Binds the address of settings->admin, before privileges are dropped, and reads its token file; adopted: takes over
 * this socket, which a service manager has bound, instead, or -1. Nobody is answered yet. NULL with a whole sentence
 * that names the setting and the remedy. */
struct admin_http *admin_http_create(struct server *server, int adopted, char *ret_error, size_t error_size);

/* Answers from now on: until the tier is there, that the server is starting. False with a whole sentence. */
bool admin_http_start(struct admin_http *http, char *ret_error, size_t error_size);

/* Another token opens what changes something from now on; there has to be one already. True: it differs from the one
 * before. Any thread. */
bool admin_http_take_token(struct admin_http *http, const struct token *token);

/* Ends what is being answered, and the threads; and frees all. Before the tier and the workers go. NULL is allowed. */
void admin_http_free(struct admin_http *http);

/* "127.0.0.1:11280" as it was bound; for people. */
const char *admin_http_address(const struct admin_http *http);

/* A line for MEMCACHED_PORT_FILENAME, by a name that memcached has not: "ADMIN INET: 11280". */
void admin_http_print_port(const struct admin_http *http, FILE *out);

#endif
