/* SPDX-License-Identifier: MIT */
/* What the admin HTTP is made of, for admin_http.c, client.c and exchange.c alone. */
#ifndef FOREBAY_SERVER_HTTP_INTERNAL_H
#define FOREBAY_SERVER_HTTP_INTERNAL_H

#include "server/http/http.h"
#include "server/http/sampler.h"
#include "server/http/socket.h"
#include "server/http/task.h"
#include "server/http/token.h"
#include <microhttpd.h>
#include <sys/queue.h>

enum {
    CLIENTS_MAX = 128,
    CLIENTS_SPARE = 32, /* accepted, while the ones whose places they take are being closed */
};

/* A connection. The thread of libmicrohttpd alone, as all clients. */
struct client {
    TAILQ_ENTRY(client) others;
    struct MHD_Connection *connection;
    bool busy;           /* a task works on its request */
    bool leaves;         /* it was shut down, and is about to be closed */
    bool path_has_nul;   /* that of its request, which is cut there once it is decoded */
    bool path_has_space; /* that of its request */
};

TAILQ_HEAD(client_list, client);

struct clients {
    struct client_list list; /* the one that has rested longest is the first */
    unsigned count;          /* without those that leave */
};

struct admin_http {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct sampler *sampler; /* from the start on */
    struct http_socket socket;
    bool acts;              /* there is a token */
    struct clients clients; /* the thread of libmicrohttpd alone */
    /* Tasks are begun by that thread, under the lock, until it ends; then they are joined by whoever ends it. */
    pthread_mutex_t lock;
    struct token token; /* under the lock */
    atomic_bool ends;   /* stored under the lock */
    struct tasks tasks;
};

void clients_init(struct clients *clients);

/* Room for one more: where there is none, the one that has rested longest is shut down. False: all are busy. */
bool clients_make_room(struct clients *clients);

/* NULL: no memory. */
struct client *clients_add(struct clients *clients, struct MHD_Connection *connection);
void clients_remove(struct clients *clients, struct client *client);

/* It has its reply, and rests from now on. */
void clients_note_rest(struct clients *clients, struct client *client);

/* Callbacks of libmicrohttpd; context is a struct admin_http, and the socket context of a connection its client, or
 * NULL where there was no memory for one: what it asks is refused. */
void *exchange_on_path(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_on_request(void *context, struct MHD_Connection *connection, const char *path,
                                    const char *method, const char *version, const char *body,
                                    size_t *body_size, void **kept);
void exchange_on_completed(void *context, struct MHD_Connection *connection, void **kept,
                           enum MHD_RequestTerminationCode code);

#endif
