/* SPDX-License-Identifier: MIT */
/* See packing.h. The fastest level: what is packed here is lists of like lines, of which it leaves a tenth already. */
#include "server/http/packing.h"
#include "server/accept_header.h"
#include <microhttpd.h>
#include <zlib.h>

enum {
    WINDOW_BITS = 15 + 16, /* the largest window, and the head and tail of gzip */
    MEMORY_LEVEL = 8,      /* zlib's default */
};

bool http_takes_gzip(const struct http_request *request) {
    return accept_header_weight(http_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING), "gzip") > 0;
}

/* In one step, as there is room for the worst. */
static bool deflate_whole(z_stream *stream, const struct buffer *plain, struct buffer *ret_packed) {
    struct buffer packed = {0};
    char *room = buffer_reserve(&packed, deflateBound(stream, plain->size));
    if (!room)
        return false;
    stream->next_in = (Bytef *)plain->data;
    stream->avail_in = (uInt)plain->size;
    stream->next_out = (Bytef *)room;
    stream->avail_out = (uInt)packed.capacity;
    bool whole = deflate(stream, Z_FINISH) == Z_STREAM_END;
    packed.size = stream->total_out;
    if (whole)
        *ret_packed = packed;
    else
        buffer_free(&packed);
    return whole;
}

static bool pack(const struct buffer *plain, struct buffer *ret_packed) {
    z_stream stream = {0};
    if (plain->failed || plain->size == 0 || plain->size > UINT32_MAX / 4 ||
        deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
            Z_OK)
        return false;
    bool packed = deflate_whole(&stream, plain, ret_packed);
    deflateEnd(&stream);
    return packed;
}

void http_pack(const struct http_request *request, struct http_reply *reply) {
    struct buffer packed;
    http_add_header(reply, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    if (!http_takes_gzip(request) || !pack(&reply->body, &packed))
        return;
    buffer_free(&reply->body);
    reply->body = packed;
    http_add_header(reply, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
}
