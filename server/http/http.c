/* SPDX-License-Identifier: MIT */
/* What a handler finds out about its request, and says in its reply. */
#include "server/http/http.h"
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>

bool http_has_tier(const struct server *server) {
    enum server_phase phase = server->phase;
    return phase != SERVER_STARTING && phase != SERVER_STOPPED;
}

bool http_argument(const struct http_request *request, const char *name, struct slice *ret_value) {
    const char *value = NULL;
    size_t size = 0;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
                                      &size) != MHD_YES)
        return false;
    *ret_value = slice_of(value ? value : "", value ? size : 0);
    return true;
}

const char *http_header(const struct http_request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

void http_add_header(struct http_reply *reply, const char *name, const char *value) {
    if (reply->header_count < HTTP_HEADERS_MAX)
        reply->headers[reply->header_count++] = (struct http_header){name, value};
}

void http_say(struct http_reply *reply, unsigned status, const char *format, ...) {
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reply->status = status;
    reply->content_type = NULL;
    reply->body.size = 0;
    buffer_print(&reply->body, "%s\n", text);
}
