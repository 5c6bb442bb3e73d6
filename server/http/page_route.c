/* SPDX-License-Identifier: MIT */
/*
 * See page_route.h. A browser may keep the files, and asks each time whether they are still the same: a page and a
 * server of two versions would not understand each other.
 */
#include "server/http/page_route.h"
#include "cache/base/clock.h"
#include "server/http/history.h"
#include "server/http/packing.h"
#include "server/http/page_files.h"
#include <microhttpd.h>
#include <stdlib.h>

/* Nothing from elsewhere, nothing written into the page, and no text that is taken for a page. */
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

/* ---- Files ---- */

static const struct page_file *find_file(const char *name) {
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(page_files[i].name, name) == 0)
            return &page_files[i];
    return NULL;
}

static void send_file(const struct page_file *file, const struct http_request *request,
                      struct http_reply *reply) {
    bool packed = http_takes_gzip(request);
    const struct page_bytes *bytes = packed ? &file->packed : &file->plain;
    reply->content_type = file->content_type;
    if (packed)
        http_add_header(reply, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    buffer_append(&reply->body, (const char *)bytes->data, bytes->size);
}

/* A list of tags, or none. */
static bool has_already(const struct http_request *request, const char *tag) {
    const char *list = http_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    return list && strstr(list, tag);
}

void page_answer(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    const struct page_file *file = find_file(*request->rest ? request->rest : "index.html");
    (void)http;
    if (!file) {
        http_say(reply, MHD_HTTP_NOT_FOUND, "nothing is at %.200s", request->path);
        return;
    }
    reply->policy = page_policy;
    http_add_header(reply, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    http_add_header(reply, MHD_HTTP_HEADER_ETAG, file->tag);
    http_add_header(reply, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    if (has_already(request, file->tag))
        reply->status = MHD_HTTP_NOT_MODIFIED;
    else
        send_file(file, request, reply);
}

/* ---- History ---- */

/* A second of the history; 0 where the argument is not given. False: it is none. */
static bool read_since(const struct http_request *request, uint32_t *ret_since) {
    struct slice value;
    uint64_t since = 0;
    if (!http_argument(request, "since", &value))
        return true;
    if (value.size == 0 || value.size > 9)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
        since = since * 10 + (uint64_t)(value.data[i] - '0');
    }
    *ret_since = (uint32_t)since;
    return true;
}

void history_answer(struct admin_http *http, const struct http_request *request, struct http_reply *reply) {
    const struct server *server = admin_http_server(http);
    struct history_question question = {.version = FOREBAY_VERSION,
                                        .started_us = server->started_wall_us,
                                        .now_us = wall_us(),
                                        .running_us = monotonic_us() - server->started_us};
    if (!read_since(request, &question.since)) {
        http_say(reply, MHD_HTTP_BAD_REQUEST,
                 "since is a second of the history: first + count of the last answer");
        return;
    }
    http_argument(request, "namespace", &question.space);
    reply->content_type = "application/json";
    if (history_write(admin_http_history(http), &question, &reply->body))
        http_pack(request, reply);
    else
        http_say(reply, MHD_HTTP_NOT_FOUND, "there is no namespace \"%.*s\"",
                 slice_shown(question.space, 100), question.space.data);
}
