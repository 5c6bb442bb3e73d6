/* SPDX-License-Identifier: MIT */
/* See parser_call.h. */
#include "server/protocol/parser_call.h"

static const char BAD_CHUNK[] = "CLIENT_ERROR bad data chunk";
static const char NO_ROOM[] = "SERVER_ERROR out of memory storing object";

enum parse_status parse_refuse(struct parse_call *call, const char *next, const char *error) {
    call->request->command = COMMAND_BAD;
    call->request->error = error;
    return parse_done_at(call, next);
}

/* The request's data block, of which the line promised length bytes and CRLF, is not wanted. */
static enum parse_status skip_data(struct parse_call *call, const char *next, size_t length) {
    size_t whole = (size_t)(next - call->bytes) + length + 2, there = (size_t)(call->end - call->bytes);
    return parse_done_at(call, call->bytes + parser_refuse(call->parser, whole, there));
}

enum parse_status parse_refuse_data(struct parse_call *call, const char *next, size_t length,
                                    const char *error) {
    call->request->command = COMMAND_BAD;
    call->request->error = error;
    return skip_data(call, next, length);
}

static enum parse_status refuse_too_large(struct parse_call *call, const char *next, size_t length) {
    if (!command_row(call->request->command)->overwrites)
        return parse_refuse_data(call, next, length, REPLY_TOO_LARGE);
    call->request->too_large = true;
    return skip_data(call, next, length);
}

static enum parse_status await_data(struct parse_call *call, const char *next, size_t length) {
    if (call->parser->starved)
        return parse_refuse_data(call, next, length, NO_ROOM);
    return parse_need_more(call, (size_t)(next - call->bytes) + length + 2);
}

enum parse_status parse_data_amiss(struct parse_call *call, const char *next, size_t length) {
    const struct request *request = call->request;
    if (request_item_size(request->key.size, request->flags, length) > call->parser->item_max)
        return refuse_too_large(call, next, length);
    if ((size_t)(call->end - next) < length + 2)
        return await_data(call, next, length);
    return parse_refuse(call, next + length + 2, BAD_CHUNK);
}
