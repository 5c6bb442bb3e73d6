/* SPDX-License-Identifier: MIT */
/*
 * A request and its reply, on the thread that reads all connections, but for a handler that may wait.
 *
 *     READING (headers, then a body, which is counted and dropped) --judged; handler--> ANSWERED
 *         `--judged, and its handler may wait--> RUNNING (on a task's thread, while the connection rests) --> ANSWERED
 */
#include "server/config/address.h"
#include "server/http/framing.h"
#include "server/http/internal.h"
#include "server/log.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    ACTION_ARGUMENTS_MAX = 8,
    BODY_MAX = 64 << 10, /* bytes of a body that are read, to say that none is taken */
};

enum exchange_state { EXCHANGE_READING, EXCHANGE_RUNNING, EXCHANGE_ANSWERED };

struct exchange {
    struct admin_http *http;
    struct client *client;
    const struct http_route *route;
    struct http_request request;
    struct http_reply reply;
    size_t body_size;
    enum exchange_state state;
};

/* ---- Sending ---- */

static const char no_policy[] = "default-src 'none'; frame-ancestors 'none'";

static void add_headers(struct MHD_Response *response, const struct http_reply *reply) {
    bool cached = false;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            reply->content_type ? reply->content_type : "text/plain; charset=utf-8");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Content-Security-Policy", reply->policy ? reply->policy : no_policy);
    for (size_t i = 0; i < reply->header_count; i++) {
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
        cached |= strcasecmp(reply->headers[i].name, MHD_HTTP_HEADER_CACHE_CONTROL) == 0;
    }
    if (!cached)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

/* The body goes to libmicrohttpd, which frees it. */
static enum MHD_Result send_reply(struct exchange *exchange) {
    struct http_reply *reply = &exchange->reply;
    if (reply->body.failed) {
        reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        buffer_free(&reply->body);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(reply->body.size, reply->body.data, free);
    if (!response)
        return MHD_NO;
    reply->body = (struct buffer){0};
    add_headers(response, reply);
    enum MHD_Result queued = MHD_queue_response(exchange->request.connection,
                                                reply->status ? reply->status : MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    exchange->state = EXCHANGE_ANSWERED;
    return queued;
}

/* ---- Running ---- */

/* A task's thread. */
static void run_apart(void *context) {
    struct exchange *exchange = context;
    exchange->route->handler(exchange->http, &exchange->request, &exchange->reply);
    MHD_resume_connection(exchange->request.connection);
}

static bool start_task(struct exchange *exchange) {
    struct admin_http *http = exchange->http;
    pthread_mutex_lock(&http->lock);
    bool started = !http->ends && task_start(&http->tasks, exchange->route->acts, run_apart, exchange);
    pthread_mutex_unlock(&http->lock);
    return started;
}

/* The connection rests before the task begins, which may end at once. */
static enum MHD_Result run_with_patience(struct exchange *exchange) {
    exchange->state = EXCHANGE_RUNNING;
    exchange->client->busy = true;
    MHD_suspend_connection(exchange->request.connection);
    if (start_task(exchange))
        return MHD_YES;
    http_add_header(&exchange->reply, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    http_say(&exchange->reply, MHD_HTTP_SERVICE_UNAVAILABLE,
             "too many requests of this kind are being worked on; ask again");
    MHD_resume_connection(exchange->request.connection);
    return MHD_YES;
}

static enum MHD_Result run(struct exchange *exchange) {
    const struct http_route *route = exchange->route;
    if (route->acts && exchange->http->server->phase != SERVER_SERVING) {
        http_say(&exchange->reply, MHD_HTTP_SERVICE_UNAVAILABLE,
                 "the server is starting or stopping; see /readyz?verbose");
        return send_reply(exchange);
    }
    if (route->needs_tier && !http_has_tier(exchange->http->server)) {
        http_say(&exchange->reply, MHD_HTTP_SERVICE_UNAVAILABLE,
                 "the server is starting; see /startupz?verbose");
        return send_reply(exchange);
    }
    if (route->waits)
        return run_with_patience(exchange);
    route->handler(exchange->http, &exchange->request, &exchange->reply);
    return send_reply(exchange);
}

/* ---- Judging ---- */

/* A page of a stranger's can make a browser ask this address under the stranger's name (DNS rebinding), and would read
 * the answer. On loopback, nobody has another name for it than these. */
static bool is_own_name(const char *host) {
    static const char localhost[] = "localhost";
    char name[INET6_ADDRSTRLEN + 1];
    struct in6_addr binary;
    bool bracketed = *host == '[';
    const char *end = bracketed ? strchr(host, ']') : host + strcspn(host, ":");
    size_t size = end ? (size_t)(end - host) - bracketed : sizeof name;
    if (size >= sizeof name)
        return false;
    memcpy(name, host + bracketed, size);
    name[size] = '\0';
    return strcasecmp(name, localhost) == 0 || inet_pton(bracketed ? AF_INET6 : AF_INET, name, &binary) == 1;
}

static bool is_meant_for_us(const struct exchange *exchange) {
    const char *host = http_header(&exchange->request, MHD_HTTP_HEADER_HOST);
    return !host || !exchange->http->socket.is_loopback || is_own_name(host);
}

static enum MHD_Result refuse_path(struct exchange *exchange, const char *allow) {
    const struct http_request *request = &exchange->request;
    if (exchange->client->path_has_nul) {
        http_say(&exchange->reply, MHD_HTTP_NOT_FOUND, "nothing is at a path with a NUL (%%00)");
    } else if (!allow) {
        http_say(&exchange->reply, MHD_HTTP_NOT_FOUND, "nothing is at %.200s", request->path);
    } else {
        http_add_header(&exchange->reply, MHD_HTTP_HEADER_ALLOW, allow);
        http_say(&exchange->reply, MHD_HTTP_METHOD_NOT_ALLOWED, "%.200s may be asked with %s", request->path,
                 allow);
    }
    return send_reply(exchange);
}

/* ---- Acting ---- */

static enum MHD_Result refuse_stranger(struct exchange *exchange) {
    const struct http_request *request = &exchange->request;
    bool gave = http_header(request, MHD_HTTP_HEADER_AUTHORIZATION) != NULL;
    server_log_about(exchange->http->server, LOG_KIND_ADMIN, LOG_LEVEL_WARNING,
                     LOG_FIELDS(log_text("address", request->peer), log_text("path", exchange->route->path)),
                     "admin: %s asked for %s %s", request->peer, exchange->route->path,
                     gave ? "with a wrong token" : "without a token");
    http_add_header(&exchange->reply, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                    gave ? "Bearer realm=\"forebay\", error=\"invalid_token\"" : "Bearer realm=\"forebay\"");
    http_say(&exchange->reply, MHD_HTTP_UNAUTHORIZED,
             "this needs the token of admin_token_file: Authorization: Bearer TOKEN");
    return send_reply(exchange);
}

/* The arguments of a request that acts. One that is not known may be a slip of one that would have said less. */
struct arguments {
    const char *const *known;
    unsigned given[ACTION_ARGUMENTS_MAX];
    const char *odd; /* not known, or given twice */
};

/* By its size too: a NUL in a name ends it nowhere else. */
static enum MHD_Result note_argument(void *context, enum MHD_ValueKind kind, const char *name, size_t size,
                                     const char *value, size_t value_size) {
    struct arguments *arguments = context;
    (void)kind, (void)value, (void)value_size;
    for (size_t i = 0; arguments->known[i]; i++)
        if (slice_equal(slice_string(arguments->known[i]), slice_of(name, size)) &&
            arguments->given[i]++ == 0)
            return MHD_YES;
    arguments->odd = name;
    return MHD_NO;
}

static const char *odd_argument(struct exchange *exchange) {
    struct arguments arguments = {.known = exchange->route->arguments};
    MHD_get_connection_values_n(exchange->request.connection, MHD_GET_ARGUMENT_KIND, note_argument,
                                &arguments);
    return arguments.odd;
}

static bool knows_token(struct exchange *exchange) {
    struct admin_http *http = exchange->http;
    pthread_mutex_lock(&http->lock);
    bool knows = token_fits(&http->token, http_header(&exchange->request, MHD_HTTP_HEADER_AUTHORIZATION));
    pthread_mutex_unlock(&http->lock);
    return knows;
}

/* Of the arguments only the namespace is told: keys are not for the log. */
static enum MHD_Result act(struct exchange *exchange) {
    const struct http_request *request = &exchange->request;
    struct slice space;
    char name[101] = "";
    if (!knows_token(exchange))
        return refuse_stranger(exchange);
    const char *odd = odd_argument(exchange);
    if (odd) {
        http_say(&exchange->reply, MHD_HTTP_BAD_REQUEST, "%s does not take \"%.100s\", or not twice",
                 exchange->route->path, odd);
        return send_reply(exchange);
    }
    if (http_argument(request, "namespace", &space))
        snprintf(name, sizeof name, "%.*s", slice_shown(space, 100), space.data);
    server_log_about(exchange->http->server, LOG_KIND_ADMIN_ACTION, LOG_LEVEL_NOTICE,
                     LOG_FIELDS(log_text("namespace", *name ? name : NULL),
                                log_text("path", exchange->route->path), log_text("address", request->peer)),
                     "admin: POST %s%s%s, asked by %s", exchange->route->path, *name ? " of namespace " : "",
                     name, request->peer);
    return run(exchange);
}

/* The request is whole. */
static enum MHD_Result judge(struct exchange *exchange, const char *method) {
    struct http_request *request = &exchange->request;
    const char *allow = NULL;
    if (!is_meant_for_us(exchange)) {
        http_say(&exchange->reply, MHD_HTTP_MISDIRECTED_REQUEST,
                 "on a loopback address only localhost and numbers are answered to, not \"%.100s\"",
                 http_header(request, MHD_HTTP_HEADER_HOST));
        return send_reply(exchange);
    }
    if (!exchange->client->path_has_nul)
        exchange->route = http_find_route(request->path, method, exchange->http->acts, &allow);
    if (!exchange->route)
        return refuse_path(exchange, allow);
    request->method = exchange->route->method;
    request->rest = request->path + strlen(exchange->route->path);
    if (exchange->body_size == 0)
        return exchange->route->acts ? act(exchange) : run(exchange);
    http_say(&exchange->reply, MHD_HTTP_BAD_REQUEST,
             "no body is taken here: what a request is about goes into the query");
    return send_reply(exchange);
}

/* ---- Exchanges ---- */

static void name_peer(struct exchange *exchange) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->request.connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sockaddr_storage address = {0};
    char name[HTTP_PEER_MAX];
    socklen_t size =
        info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    memcpy(&address, info->client_addr, size);
    address_name(&address, size, name, sizeof name);
    snprintf(exchange->request.peer, sizeof exchange->request.peer, "%s", http_bare_address(name));
}

static struct client *client_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* The path as it was sent: decoded, "/sync%00x" would be "/sync". What is kept of a request begins later (begin). */
void *exchange_on_path(void *context, const char *uri, struct MHD_Connection *connection) {
    struct client *client = client_of(connection);
    const char *nul = strstr(uri, "%00");
    (void)context;
    if (client) {
        client->path_has_nul = nul && nul < uri + strcspn(uri, "?");
        client->path_has_space = strchr(uri, ' ') != NULL;
    }
    return NULL;
}

static enum MHD_Result refuse_body(struct exchange *exchange) {
    http_say(&exchange->reply, MHD_HTTP_CONTENT_TOO_LARGE,
             "no body is taken here, and this one is too long to be read");
    return send_reply(exchange);
}

static enum MHD_Result refuse_framing(struct exchange *exchange, const char *fault) {
    http_add_header(&exchange->reply, MHD_HTTP_HEADER_CONNECTION, "close");
    http_say(&exchange->reply, MHD_HTTP_BAD_REQUEST, "others may read this request in another way: %s",
             fault);
    return send_reply(exchange);
}

/* The headers are there. */
static enum MHD_Result begin(struct admin_http *http, struct MHD_Connection *connection, const char *path,
                             const char *version, void **ret_exchange) {
    struct exchange *exchange = calloc(1, sizeof *exchange);
    struct client *client = client_of(connection);
    if (!exchange || !client) {
        free(exchange);
        return MHD_NO;
    }
    exchange->http = http;
    exchange->client = client;
    exchange->request.path = path;
    exchange->request.rest = "";
    exchange->request.connection = connection;
    name_peer(exchange);
    *ret_exchange = exchange;
    const char *fault = client->path_has_space ? "its path has a space" : framing_fault(connection, version);
    if (fault)
        return refuse_framing(exchange, fault);
    const char *length = http_header(&exchange->request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length && strtoull(length, NULL, 10) > BODY_MAX ? refuse_body(exchange) : MHD_YES;
}

enum MHD_Result exchange_on_request(void *context, struct MHD_Connection *connection, const char *path,
                                    const char *method, const char *version, const char *body,
                                    size_t *body_size, void **kept) {
    struct exchange *exchange = *kept;
    (void)body;
    if (!exchange)
        return begin(context, connection, path, version, kept);
    if (exchange->state == EXCHANGE_RUNNING) {
        exchange->client->busy = false;
        return send_reply(exchange);
    }
    if (*body_size == 0)
        return judge(exchange, method);
    exchange->body_size += *body_size;
    *body_size = 0;
    return exchange->body_size <= BODY_MAX ? MHD_YES : MHD_NO;
}

void exchange_on_completed(void *context, struct MHD_Connection *connection, void **kept,
                           enum MHD_RequestTerminationCode code) {
    struct admin_http *http = context;
    struct exchange *exchange = *kept;
    (void)connection, (void)code;
    if (!exchange)
        return;
    clients_note_rest(&http->clients, exchange->client);
    buffer_free(&exchange->reply.body);
    free(exchange);
    *kept = NULL;
}
