/* SPDX-License-Identifier: MIT */
/*
 * The connections of the admin HTTP, in the order in which they began to rest.
 *
 *     --clients_add--> RESTING --a task for its request--> BUSY --the reply is sent--> RESTING --clients_remove--> gone
 *                         `--clients_make_room--> LEAVING --clients_remove--> gone
 */
#include "server/http/internal.h"
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>

void clients_init(struct clients *clients) {
    TAILQ_INIT(&clients->list);
    clients->count = 0;
}

/* To libmicrohttpd it is as if it had left by itself. */
static void dismiss(struct clients *clients, struct client *client) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    client->leaves = true;
    clients->count--;
    shutdown(info->connect_fd, SHUT_RDWR);
}

/* False: all are busy. */
static bool dismiss_one(struct clients *clients) {
    struct client *client;
    TAILQ_FOREACH(client, &clients->list, others) {
        if (client->busy || client->leaves)
            continue;
        dismiss(clients, client);
        return true;
    }
    return false;
}

bool clients_make_room(struct clients *clients) {
    return clients->count < CLIENTS_MAX || dismiss_one(clients);
}

struct client *clients_add(struct clients *clients, struct MHD_Connection *connection) {
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->connection = connection;
    TAILQ_INSERT_TAIL(&clients->list, client, others);
    clients->count++;
    return client;
}

void clients_remove(struct clients *clients, struct client *client) {
    TAILQ_REMOVE(&clients->list, client, others);
    clients->count -= !client->leaves;
    free(client);
}

void clients_note_rest(struct clients *clients, struct client *client) {
    TAILQ_REMOVE(&clients->list, client, others);
    TAILQ_INSERT_TAIL(&clients->list, client, others);
}
