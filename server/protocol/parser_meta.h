/* SPDX-License-Identifier: MIT */
/* Meta commands on a key. Each takes a line whose first word alone was cut. */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_META_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_META_H

#include "server/protocol/parser_call.h"
#include "server/protocol/parser_line.h"

/* mg, md */
enum parse_status parse_meta(struct parse_call *call, struct line *line, enum command command);

enum parse_status parse_meta_set(struct parse_call *call, struct line *line);
enum parse_status parse_meta_arithmetic(struct parse_call *call, struct line *line);

/* me: of its flags only b means something, and the rest may be anything. */
enum parse_status parse_meta_debug(struct parse_call *call, struct line *line);

#endif
