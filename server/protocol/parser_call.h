/* SPDX-License-Identifier: MIT */
/*
 * What a call of parse() works on, and how it ends: with a request, with an error in its place, or with the wish for
 * more. Pure.
 */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_CALL_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_CALL_H

#include "server/protocol/parser.h"
#include <assert.h>

/* Errors that several commands have. */
#define PARSE_BAD_FORMAT  "CLIENT_ERROR bad command line format"
#define PARSE_BAD_EXPTIME "CLIENT_ERROR invalid exptime argument"

enum { PARSE_VALUE_MAX = INT32_MAX - 2 };

/* What a call of parse() works on. */
struct parse_call {
    struct parser *parser;
    const char *bytes, *end;
    char *key_buffer;
    struct request *request;
    size_t *consumed, *wanted;
};

/* At least `wanted` bytes have to be there, those that are there included. */
static inline enum parse_status parse_need_more(struct parse_call *call, size_t wanted) {
    *call->wanted = wanted;
    return PARSE_MORE;
}

/* The request ends at `next`. */
static inline enum parse_status parse_done_at(struct parse_call *call, const char *next) {
    assert(next > call->bytes && next <= call->end);
    *call->consumed = (size_t)(next - call->bytes);
    return PARSE_OK;
}

/* COMMAND_BAD, with this error, for what ends at `next`. */
enum parse_status parse_refuse(struct parse_call *call, const char *next, const char *error);

/* The same for a storage command whose line ends at `next`, with the data block of `length` bytes that it promises. */
enum parse_status parse_refuse_data(struct parse_call *call, const char *next, size_t length,
                                    const char *error);

/* ---- Data blocks ---- */

/* Where the block cannot be taken as it is: it is too large for an item, has not come whole, or does not end as it
 * should. */
enum parse_status parse_data_amiss(struct parse_call *call, const char *next, size_t length);

/* A storage command whose line is read whole and ends at next: waits for its data block and takes it. */
static inline enum parse_status parse_take_data(struct parse_call *call, const char *next, size_t length) {
    struct request *request = call->request;
    size_t item_size = request_item_size(request->key.size, request->flags, length);
    request->too_large = false;
    if (__builtin_expect(item_size > call->parser->item_max, 0) || (size_t)(call->end - next) < length + 2 ||
        next[length] != '\r' || next[length + 1] != '\n')
        return parse_data_amiss(call, next, length);
    request->value = slice_of(next, length);
    return parse_done_at(call, next + length + 2);
}

#endif
