/* SPDX-License-Identifier: MIT */
/*
 * Classic commands: those on one key but for get, and those without a key. Each takes a line whose first word alone was
 * cut.
 *
 * Numbers are read as memcached reads them, in two ways (policies/number.h): the words of most commands are digits and
 * nothing else; flags and exptime of the storage commands follow the rules of strtoul (a sign, an end at any white
 * space, truncation to 32 bits).
 */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_CLASSIC_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_CLASSIC_H

#include "server/protocol/parser_call.h"
#include "server/protocol/parser_line.h"

/* The storage commands, cas with one word more. */
enum parse_status parse_storage(struct parse_call *call, struct line *line, enum command command);

/* delete, incr, decr, touch: words is how many the line must have. */
enum parse_status parse_simple(struct parse_call *call, struct line *line, enum command command,
                               unsigned words);

/* command: that of the word at the beginning of the line, COMMAND_BAD if there is none. */
enum parse_status parse_talk(struct parse_call *call, struct line *line, enum command command);

#endif
