/* SPDX-License-Identifier: MIT */
#include "server/http/metrics_route.h"
#include "server/admin/metrics.h"

void metrics_answer(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    enum metrics_format format = metrics_format_accepted(http_header(request, "Accept"));
    reply->content_type = metrics_content_type(format);
    http_add_header(reply, "Vary", "Accept");
    metrics_write(admin_http_server(http), format, &reply->body);
}
