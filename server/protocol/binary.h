/* SPDX-License-Identifier: MIT */
/*
 * memcached's binary protocol: bytes to requests, and outcomes to bytes. A second mouth on the same tier: the requests
 * are those of the text protocol, so that policies and cache know nothing of it. The reference is the observed
 * behaviour of memcached 1.6.45; docs/compatibility.md lists the exceptions. Pure: no socket, no allocation, no clock.
 *
 * A packet is a header of BINARY_HEADER bytes and a body of extras, key and value, in this order. All numbers are in
 * network order:
 *
 *      0  magic: 0x80 request, 0x81 response       6  response: status
 *      1  opcode                                   8  size of the body
 *      2  size of the key                         12  opaque: comes back as it was sent
 *      4  size of the extras                      16  CAS
 *      5  data type: not looked at                24  the body
 */
#ifndef FOREBAY_SERVER_PROTOCOL_BINARY_H
#define FOREBAY_SERVER_PROTOCOL_BINARY_H

#include "server/protocol/parser.h"

enum { BINARY_HEADER = 24, BINARY_REQUEST = 0x80, BINARY_RESPONSE = 0x81 };

/* memcached has those up to BINARY_NO_MEMORY. The others are of the protocol's later revision, for what memcached has
 * no reason to say. */
enum binary_status {
    BINARY_SUCCESS = 0x00,
    BINARY_NOT_FOUND = 0x01,
    BINARY_EXISTS = 0x02,
    BINARY_TOO_LARGE = 0x03,
    BINARY_INVALID = 0x04,
    BINARY_NOT_STORED = 0x05,
    BINARY_NOT_A_NUMBER = 0x06,
    BINARY_AUTH_ERROR = 0x20,
    BINARY_AUTH_CONTINUE = 0x21,
    BINARY_UNKNOWN_COMMAND = 0x81,
    BINARY_NO_MEMORY = 0x82,
    BINARY_NOT_SUPPORTED = 0x83,
    BINARY_INTERNAL_ERROR = 0x84,
    BINARY_TEMPORARY_FAILURE = 0x86,
};

/* The opcodes of COMMAND_SASL. */
enum { BINARY_SASL_LIST = 0x20, BINARY_SASL_AUTH = 0x21, BINARY_SASL_STEP = 0x22 };

/* What an answer needs of its request beside struct request. */
struct binary_head {
    uint8_t opcode; /* as sent */
    bool quiet;     /* success, and the miss of a lookup, are not told */
    bool ret_key;
    bool closes;     /* COMMAND_BAD: the connection is to be closed behind the answer */
    uint16_t status; /* COMMAND_BAD: enum binary_status */
    uint32_t opaque; /* as sent, in network order */
};

/* Takes one request from the front of bytes; what parse() promises (parser.h) holds here as well.
 *
 *     COMMAND_BAD   ret_head->status is the answer, ret_request->error its message (NULL: the usual one)
 *     COMMAND_SASL  key is the mechanism, value what the client says to it
 *     PARSE_CLOSE   no packet begins here, and nothing is answered
 *
 * key_buffer takes the argument of a command that has a number here and a word in the text protocol. */
enum parse_status binary_parse(struct parser *parser, const char *bytes, size_t size,
                               char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request,
                               struct binary_head *ret_head, size_t *ret_consumed, size_t *ret_wanted);

/* What an error of a tier is here. */
enum binary_status binary_status_of_error(enum outcome_error kind);

/* Writes the answer to a request with a key, as reply_write does (reply.h: room, large values). */
char *binary_reply(char *out, const struct binary_head *head, const struct request *request,
                   const struct outcome *outcome, char **ret_value_at);

/* An answer without extras and key: a status, and the message as its value. out: room for BINARY_HEADER and the
 * message. */
char *binary_reply_message(char *out, const struct binary_head *head, enum binary_status status,
                           struct slice message);

/* The same with the usual message of the status; that of success is empty. out: room for REPLY_LINE_MAX bytes. */
char *binary_reply_status(char *out, const struct binary_head *head, enum binary_status status);

/* A line of the text protocol that begins with SERVER_ERROR or CLIENT_ERROR, as the answer to this request. out: as
 * above; longer lines are cut. */
char *binary_reply_error(char *out, const struct binary_head *head, enum binary_status status,
                         const char *line);

/* One of the answers to a request for statistics; the last has neither name nor value. out: room for its sum. */
char *binary_reply_statistic(char *out, const struct binary_head *head, struct slice name,
                             struct slice value);

#endif
