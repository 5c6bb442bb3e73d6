/* SPDX-License-Identifier: MIT */
/*
 * A request as a handler gets it, the reply that it fills, and the row of the table (routes.c) that leads to it.
 *
 * A handler runs on the thread that reads all connections, and must not wait for anything there; or, where its route
 * says `waits`, on a thread of its own. Each request has its own reply; a handler that shares more brings its own lock.
 */
#ifndef FOREBAY_SERVER_HTTP_HTTP_H
#define FOREBAY_SERVER_HTTP_HTTP_H

#include "cache/base/slice.h"
#include "server/buffer.h"
#include "server/server.h"

struct MHD_Connection; /* <microhttpd.h> */
struct admin_http;
struct history; /* server/http/history.h */

enum http_method { HTTP_GET, HTTP_POST }; /* HEAD is a GET whose body is not sent */

enum { HTTP_PEER_MAX = 80, HTTP_HEADERS_MAX = 6 };

struct http_request {
    enum http_method method;
    const char *path;         /* decoded, without the query */
    const char *rest;         /* of the path, behind that of the route */
    char peer[HTTP_PEER_MAX]; /* "127.0.0.1:40000" */
    struct MHD_Connection *connection;
};

/* The first value of an argument in the query, decoded, ended by a NUL that is not counted. False: it is not there. One
 * without "=" is empty. It lasts as long as the request, as do the other texts. */
bool http_argument(const struct http_request *request, const char *name, struct slice *ret_value);

/* NULL: it is not there. */
const char *http_header(const struct http_request *request, const char *name);

struct http_header {
    const char *name, *value;
};

struct http_reply {
    unsigned status;          /* 200 */
    const char *content_type; /* "text/plain; charset=utf-8" */
    const char *policy;       /* Content-Security-Policy: nothing may be loaded */
    struct buffer body;       /* one that has failed is answered 500 */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

/* Both texts outlast the reply. */
void http_add_header(struct http_reply *reply, const char *name, const char *value);

/* This status, and a line for people in place of what the body holds. */
void http_say(struct http_reply *reply, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef void http_handler(struct admin_http *http, const struct http_request *request,
                          struct http_reply *reply);

struct http_route {
    /* One that ends with "/" (and is not "/") stands for all that begin so: request->rest. */
    const char *path;
    enum http_method method;
    http_handler *handler;
    bool waits;      /* it may wait for a lock, a disk or a backend */
    bool needs_tier; /* it is answered 503 while the server starts, and when it has stopped */
    /* It changes something: there is no such path without a token file, and no way without the token. */
    bool acts;
    const char *const *arguments; /* acts: those that it knows, ended by NULL; others are refused */
};

/* The route of a path and method. NULL: there is none, and *ret_allow tells the methods that the path knows ("GET,
 * HEAD"), or is NULL where it knows none. acts: whether the routes that act are there. */
const struct http_route *http_find_route(const char *path, const char *method, bool acts,
                                         const char **ret_allow);

/* The context of all handlers. */
struct server *admin_http_server(struct admin_http *http);

/* The last minutes. */
struct history *admin_http_history(struct admin_http *http);

/* Has whoever waits to give up? The server is about to end. */
bool http_is_ending(struct admin_http *http);

/* May a handler use the tier, the workers and the maintenance? Until it has ended, then. */
bool http_has_tier(const struct server *server);

#endif
