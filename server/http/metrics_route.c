/* SPDX-License-Identifier: MIT */
#include "server/http/metrics_route.h"
#include "server/admin/metrics.h"
#include "server/http/health.h"
#include "server/http/packing.h"

void metrics_answer(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    enum metrics_format format = metrics_format_accepted(http_header(request, "Accept"));
    reply->content_type = metrics_content_type(format);
    http_add_header(reply, "Vary", "Accept");
    struct server *server = admin_http_server(http);
    struct metrics_health health = {.live = health_is_live(server), .ready = health_is_ready(server)};
    metrics_write(server, health, format, &reply->body);
    http_pack(request, reply);
}
