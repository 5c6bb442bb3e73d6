/* SPDX-License-Identifier: MIT */
/*
 * Bytes to requests: memcached's text protocol, classic and meta (the reference is doc/protocol.txt of
 * memcached 1.6.45 and its observed behaviour). Pure: no socket, no allocation, no clock.
 *
 * The slices of a request point into the bytes given, except base64 keys, which are decoded into the
 * caller's key_buffer. struct parser is a plain value: copy it to remember a position, assign it back to
 * parse the same request again.
 */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_H

#include "policies/request.h"

enum {
    /* a line without an end within these bytes is no memcached command, unless it may have many keys */
    PARSER_LINE_MAX = 2048,
    /* a line of many keys (get, gets, gat, gats) up to this long is judged whole: 700 keys of 250 bytes and more */
    PARSER_GET_LINE_MAX = 192 << 10,
};

/* For parser.swallow: up to the end of the line. */
#define PARSER_SWALLOW_LINE UINT64_MAX

enum parse_status {
    PARSE_OK,    /* a request (perhaps COMMAND_BAD: answer its error and go on) */
    PARSE_MORE,  /* the bytes end inside a request */
    PARSE_CLOSE, /* not this protocol, or an endless line: close the connection after request.error, unless
                    that is NULL */
};

enum parse_close_reason {
    CLOSE_HTTP,
    CLOSE_ENDLESS_LINE,
    CLOSE_BAD_MAGIC, /* of the binary protocol (binary.h) */
};

/* The multi-key line that is being handed out key by key. */
struct parser_run {
    enum command command;
    bool ret_cas;
    bool is_open; /* key by key, wherever it is begun; else all were good before the first was handed out */
    int64_t exptime;
    /* Bytes of the line still to come, its end included; as they were, once it is open. 0: it was open from its
     * beginning, so that none of its keys is judged, and more of it may be under way. */
    size_t left;
};

struct parser {
    size_t item_max; /* set by parser_init: longest data block accepted is item_max less the item overhead */
    /* Bytes of a refused data block that are still to be skipped, or PARSER_SWALLOW_LINE; and, when it was not 0, how
     * many of the bytes given were skipped before the request. */
    uint64_t swallow;
    size_t skipped;
    struct parser_run run;
    bool in_run;
    bool short_lines; /* its owner's: no line may be longer than PARSER_LINE_MAX, whatever its command */
    /* Set by the caller: there is no memory to wait for the rest of the request at the front. A data block that is not
     * there is then refused, and a long line of keys handed out from now on. */
    bool starved;
    enum parse_close_reason close_reason;
};

void parser_init(struct parser *parser, size_t item_max);

/* Takes one request from the front of bytes.
 *
 *     PARSE_OK    *ret_consumed bytes are used up: of a line of many keys, up to the end of this key; of a
 *                 refused data block, what has come of it (swallow is the rest).
 *     PARSE_MORE  *ret_consumed may be > 0 (swallowed), and *ret_wanted is how many bytes beyond those must
 *                 have come before another call is worthwhile, as far as is known.
 *
 * key_buffer takes a decoded base64 key and must live as long as the request. Of *ret_request only those
 * fields are written that the command uses (see struct request). Whatever the pieces in which bytes arrive,
 * the same requests come out, unless the parser is starved.
 *
 * A line of keys that is longer than PARSER_GET_LINE_MAX, of any length, is handed out without its end being
 * waited for: a key that cannot be one then comes as COMMAND_BAD behind the good ones, and ends the run. */
enum parse_status parse(struct parser *parser, const char *bytes, size_t size,
                        char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request, size_t *ret_consumed,
                        size_t *ret_wanted);

/* The line that is being handed out is as an open one from now on: its next call may begin at any of its keys that was
 * handed out or is the next. They stay judged. */
static inline void parser_open_run(struct parser *parser) {
    parser->run.is_open = true;
}

/* ---- For the parsers of both protocols ---- */

/* PARSE_CLOSE, for this reason and without an answer. */
enum parse_status parser_close(struct parser *parser, struct request *ret_request,
                               enum parse_close_reason reason);

/* The request at the front, of which `there` bytes have come, is refused, and its size is known: what has not come will
 * be swallowed. Returns how many of those bytes are used up. */
size_t parser_refuse(struct parser *parser, size_t size, size_t there);

/* Where parser.swallow is not 0: how many of the bytes given are skipped by it; sets both, and `skipped`. */
size_t parser_swallow(struct parser *parser, const char *bytes, size_t size);

#endif
