/* SPDX-License-Identifier: MIT */
#include "server/http/actions.h"
#include "cache/base/count_text.h"
#include "policies/operation.h"
#include "server/config/settings.h"
#include "server/log.h"
#include "server/reload.h"
#include <inttypes.h>
#include <microhttpd.h>

const char *const action_takes_nothing[] = {NULL};
const char *const action_takes_space[] = {"namespace", NULL};
const char *const action_takes_key[] = {"namespace", "key", NULL};
const char *const action_takes_level[] = {"level", NULL};
const char *const action_takes_switch[] = {"to", NULL};

/* False: it is not there, and the client is told. */
static bool need(const struct http_request *request, const char *name, struct slice *ret_value,
                 struct http_reply *reply) {
    if (http_argument(request, name, ret_value) && ret_value->size > 0)
        return true;
    http_say(reply, MHD_HTTP_BAD_REQUEST, "%s needs ?%s=", request->path, name);
    return false;
}

static void answer_failure(enum operation_status status, struct slice space, struct http_reply *reply) {
    int size = slice_shown(space, 100);
    switch (status) {
    case OPERATION_DONE:
        return;
    case OPERATION_NO_SPACE:
        http_say(reply, MHD_HTTP_NOT_FOUND, "there is no namespace \"%.*s\"", size, space.data);
        return;
    case OPERATION_HOLDS_NOTHING:
        http_say(reply, MHD_HTTP_BAD_REQUEST, "namespace \"%.*s\" is not write-behind: it holds nothing back",
                 size, space.data);
        return;
    case OPERATION_LATE:
        http_say(reply, MHD_HTTP_GATEWAY_TIMEOUT,
                 "not all is in the backend in time (sync_timeout); it is being written all the same");
        return;
    case OPERATION_REFUSED:
        http_say(reply, MHD_HTTP_BAD_GATEWAY,
                 "the backend has refused some of it, which is in quarantine now: see quarantine list");
        return;
    case OPERATION_FAILED:
        http_say(
            reply, MHD_HTTP_INTERNAL_SERVER_ERROR,
            "nothing was done: no memory, or the quarantine file cannot be written; look after the disk of the data folder");
        return;
    }
}

/* ---- Sync ---- */

static bool gives_up(void *context) {
    return http_is_ending(context);
}

static void sync_space(struct admin_http *http, struct slice space, struct http_reply *reply) {
    struct server *server = admin_http_server(http);
    struct operation_patience patience = {server->settings->sync_timeout, gives_up, http};
    uint64_t entries = 0;
    enum operation_status status = operation_sync(server->tier, space, &patience, &entries);
    if (status == OPERATION_DONE)
        buffer_print(&reply->body, "SYNCED %" PRIu64 "\n", entries);
    else
        answer_failure(status, space, reply);
}

void action_sync(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    (void)request;
    sync_space(http, slice_of("", 0), reply);
}

void action_flush(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    struct slice space;
    if (need(request, "namespace", &space, reply))
        sync_space(http, space, reply);
}

/* ---- Handover ---- */

void action_hand_over(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    struct server *server = admin_http_server(http);
    struct operation_patience patience = {server->settings->sync_timeout, gives_up, http};
    struct slice to;
    uint64_t entries;
    if (!need(request, "to", &to, reply))
        return;
    bool on = slice_equal(to, slice_string("on"));
    if (!on && !slice_equal(to, slice_string("off"))) {
        http_say(reply, MHD_HTTP_BAD_REQUEST, "to is on or off");
        return;
    }
    enum operation_status status = operation_hand_over(server->tier, on, &patience, &entries);
    server_log_limited(server, LOG_KIND_ADMIN_ACTION, LOG_LEVEL_NOTICE, "admin: handover is %s",
                       on ? "on: changes are answered once their backends have them" : "off");
    if (status != OPERATION_DONE)
        answer_failure(status, slice_of("", 0), reply);
    else if (on)
        buffer_print(&reply->body, "SYNCED %" PRIu64 "\n", entries);
    else
        buffer_print(&reply->body, "OK\n");
}

/* ---- Quarantine ---- */

/* The key may be left out, which means all; an empty one is a slip. False: the client is told. */
static bool take_key(const struct http_request *request, struct slice *ret_key, struct http_reply *reply) {
    *ret_key = slice_of("", 0);
    return !http_argument(request, "key", ret_key) || need(request, "key", ret_key, reply);
}

static void answer_count(enum operation_status status, struct slice space, uint64_t entries,
                         struct http_reply *reply) {
    if (status == OPERATION_DONE)
        buffer_print(&reply->body, "OK %" PRIu64 "\n", entries);
    else
        answer_failure(status, space, reply);
}

void action_retry(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    struct slice space, key;
    uint64_t entries = 0;
    if (!need(request, "namespace", &space, reply) || !take_key(request, &key, reply))
        return;
    enum operation_status status = operation_retry(admin_http_server(http)->tier, space, key, &entries);
    answer_count(status, space, entries, reply);
}

void action_drop(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    struct server *server = admin_http_server(http);
    struct slice space, key;
    uint64_t entries = 0;
    if (!need(request, "namespace", &space, reply) || !take_key(request, &key, reply))
        return;
    enum operation_status status = operation_drop(server->tier, space, key, &entries);
    if (status == OPERATION_DONE)
        server_log_limited(server, LOG_KIND_ADMIN_ACTION, LOG_LEVEL_NOTICE,
                           "admin: %s of namespace %.*s dropped from its quarantine",
                           count_text(entries, "change", "changes").text, (int)space.size, space.data);
    answer_count(status, space, entries, reply);
}

/* ---- Log ---- */

/* Errors, warnings and notices are always told. */
static const struct {
    enum log_level level;
    int verbosity;
} levels[] = {{LOG_LEVEL_NOTICE, 0}, {LOG_LEVEL_DEBUG, 1}};

void action_log(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    struct slice level;
    if (!need(request, "level", &level, reply))
        return;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (!slice_equal(level, slice_string(log_level_name(levels[i].level))))
            continue;
        atomic_store(&admin_http_server(http)->verbosity, levels[i].verbosity);
        buffer_print(&reply->body, "OK\n");
        return;
    }
    http_say(reply, MHD_HTTP_BAD_REQUEST, "level is debug, or notice, which is the least that is told");
}

/* ---- Reload ---- */

void action_reload(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    (void)request;
    struct buffer message = {0};
    bool good = server_reload(admin_http_server(http), &message);
    if (message.failed)
        http_say(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the answer: see the log");
    else if (good)
        buffer_print(&reply->body, "%.*s\n", (int)message.size, message.data);
    else
        http_say(reply, MHD_HTTP_CONFLICT, "%.*s", (int)message.size, message.data);
    buffer_free(&message);
}
