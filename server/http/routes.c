/* SPDX-License-Identifier: MIT */
/* All that can be asked, a row for each. */
#include "server/http/actions.h"
#include "server/http/health.h"
#include "server/http/http.h"
#include "server/http/metrics_route.h"
#include "server/http/page_route.h"

static const struct http_route routes[] = {
    {"/livez", HTTP_GET, health_answer_live, .waits = false},
    {"/livez/", HTTP_GET, health_answer_live, .waits = false},
    {"/readyz", HTTP_GET, health_answer_ready, .waits = false},
    {"/readyz/", HTTP_GET, health_answer_ready, .waits = false},
    {"/startupz", HTTP_GET, health_answer_startup, .waits = false},
    {"/startupz/", HTTP_GET, health_answer_startup, .waits = false},
    {"/metrics", HTTP_GET, metrics_answer, .waits = true, .needs_tier = true},
    {"/", HTTP_GET, page_answer, .waits = false},
    {"/page/", HTTP_GET, page_answer, .waits = false},
    {"/history.json", HTTP_GET, history_answer, .waits = true},
    {"/sync", HTTP_POST, action_sync, .waits = true, .acts = true, .arguments = action_takes_nothing},
    {"/flush", HTTP_POST, action_flush, .waits = true, .acts = true, .arguments = action_takes_space},
    {"/handover", HTTP_POST, action_hand_over, .waits = true, .acts = true, .arguments = action_takes_switch},
    {"/quarantine/retry", HTTP_POST, action_retry, .waits = true, .acts = true,
     .arguments = action_takes_key},
    {"/quarantine/drop", HTTP_POST, action_drop, .waits = true, .acts = true, .arguments = action_takes_key},
    {"/reload", HTTP_POST, action_reload, .waits = true, .acts = true, .arguments = action_takes_nothing},
    {"/log", HTTP_POST, action_log, .waits = false, .acts = true, .arguments = action_takes_level},
};

enum { ROUTES = sizeof routes / sizeof *routes };

static bool has_path(const struct http_route *route, const char *path) {
    size_t size = strlen(route->path);
    if (size > 1 && route->path[size - 1] == '/')
        return strncmp(route->path, path, size) == 0 && path[size];
    return strcmp(route->path, path) == 0;
}

static bool has_method(const struct http_route *route, const char *method) {
    if (route->method == HTTP_POST)
        return strcmp(method, "POST") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static const char *allowed(bool get, bool post) {
    if (get)
        return post ? "GET, HEAD, POST" : "GET, HEAD";
    return post ? "POST" : NULL;
}

const struct http_route *http_find_route(const char *path, const char *method, bool acts,
                                         const char **ret_allow) {
    bool get = false, post = false;
    for (size_t i = 0; i < ROUTES; i++) {
        const struct http_route *route = &routes[i];
        if ((route->acts && !acts) || !has_path(route, path))
            continue;
        if (has_method(route, method))
            return route;
        get |= route->method == HTTP_GET;
        post |= route->method == HTTP_POST;
    }
    *ret_allow = allowed(get, post);
    return NULL;
}
