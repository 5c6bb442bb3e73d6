/* SPDX-License-Identifier: MIT */
/*
 * The whole: what libmicrohttpd is started with, and the order of starting and ending.
 *
 * Memory and descriptors are bounded: CLIENTS_MAX at a time, each with CONNECTION_MEMORY for what it sends. One that
 * comes when all are taken takes the place of the one that has rested longest, so whoever opens many, or is slow, keeps
 * nobody else out; and one that makes no progress for PATIENCE_SECONDS is closed.
 */
#include "server/http/admin_http.h"
#include "cache/base/fit.h"
#include "server/config/settings.h"
#include "server/http/internal.h"
#include "server/log.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 16 << 10,
    PATIENCE_SECONDS = 10,
    BACKLOG = 128,
    ACCEPT_PAUSE_US = 20000,
};

static const char ACCEPT_FAILED[] = "Error accepting connection"; /* as libmicrohttpd says it */

_Static_assert(CLIENTS_MAX + CLIENTS_SPARE + 8 <= ADMIN_HTTP_DESCRIPTORS, "and its own few");

/* ---- For handlers ---- */

struct server *admin_http_server(struct admin_http *http) {
    return http->server;
}

struct history *admin_http_history(struct admin_http *http) {
    return sampler_history(http->sampler);
}

/* ---- Clients ---- */

static enum MHD_Result on_accept(void *context, const struct sockaddr *address, socklen_t size) {
    struct admin_http *http = context;
    (void)address, (void)size;
    return clients_make_room(&http->clients) ? MHD_YES : MHD_NO;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **kept,
                          enum MHD_ConnectionNotificationCode code) {
    struct admin_http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *kept = clients_add(&http->clients, connection);
    else if (*kept)
        clients_remove(&http->clients, *kept);
}

/* ---- The whole ---- */

struct admin_http *admin_http_create(struct server *server, int adopted, char *ret_error, size_t error_size) {
    struct admin_http *http = calloc(1, sizeof *http);
    if (!http) {
        fit_print(ret_error, error_size, "no memory for the admin HTTP");
        return NULL;
    }
    http->server = server;
    http->socket.fd = -1;
    clients_init(&http->clients);
    pthread_mutex_init(&http->lock, NULL);
    const char *file = server->settings->admin_token_file;
    http->acts = file != NULL;
    if ((!file || token_load(file, &http->token, ret_error, error_size)) &&
        (adopted >= 0 ? http_socket_adopt(adopted, &http->socket, ret_error, error_size)
                      : http_socket_bind(server->settings->admin, &http->socket, ret_error, error_size)))
        return http;
    admin_http_free(http);
    return NULL;
}

bool admin_http_take_token(struct admin_http *http, const struct token *token) {
    pthread_mutex_lock(&http->lock);
    bool other = http->token.size != token->size || memcmp(http->token.text, token->text, token->size) != 0;
    http->token = *token;
    pthread_mutex_unlock(&http->lock);
    return other;
}

/* What libmicrohttpd says of itself, in its thread. Where a connection waits that no descriptor is left for, it tries
 * again and again as fast as it can: what it says of that is also where it can be slowed. */
static void on_library_log(void *context, const char *format, va_list arguments) {
    struct admin_http *http = context;
    char text[500];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    server_log_limited(http->server, LOG_KIND_ADMIN, LOG_LEVEL_DEBUG, "admin: %s", text);
    if (strncmp(text, ACCEPT_FAILED, strlen(ACCEPT_FAILED)) == 0)
        usleep(ACCEPT_PAUSE_US);
}

static struct MHD_Daemon *start_daemon(struct admin_http *http) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (http->socket.is_ipv6 ? MHD_USE_IPv6 : 0);
    return MHD_start_daemon(
        flags, 0, on_accept, http, exchange_on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log,
        http, MHD_OPTION_LISTEN_SOCKET, http->socket.fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(CLIENTS_MAX + CLIENTS_SPARE), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_SECONDS,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_on_path, http, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_on_completed, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
}

/* Signals are the main thread's. */
static struct MHD_Daemon *start_quietly(struct admin_http *http) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = start_daemon(http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

bool admin_http_start(struct admin_http *http, char *ret_error, size_t error_size) {
    if ((http->sampler = sampler_start(http->server)) && listen(http->socket.fd, BACKLOG) == 0 &&
        (http->daemon = start_quietly(http)))
        return true;
    fit_print(ret_error, error_size, "admin: cannot answer at %s: %s", http->socket.address,
              errno ? strerror(errno) : "no memory or no threads");
    return false;
}

bool http_is_ending(struct admin_http *http) {
    return atomic_load(&http->ends);
}

static void end_tasks(struct admin_http *http) {
    pthread_mutex_lock(&http->lock);
    http->ends = true;
    pthread_mutex_unlock(&http->lock);
    tasks_join(&http->tasks);
}

void admin_http_free(struct admin_http *http) {
    if (!http)
        return;
    end_tasks(http);
    if (http->daemon)
        MHD_stop_daemon(http->daemon); /* closes the socket */
    else if (http->socket.fd >= 0)
        close(http->socket.fd);
    sampler_stop(http->sampler);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

const char *admin_http_address(const struct admin_http *http) {
    return http->socket.address;
}

void admin_http_print_port(const struct admin_http *http, FILE *out) {
    fprintf(out, "ADMIN %s: %s\n", http->socket.is_ipv6 ? "INET6" : "INET",
            strrchr(http->socket.address, ':') + 1);
}
