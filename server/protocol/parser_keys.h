/* SPDX-License-Identifier: MIT */
/*
 * Lines of many keys (get, gets, gat, gats), which are handed out key by key.
 *
 * A line is judged whole before anything of it is handed out. A get with one bad key among a hundred good ones yields
 * an error and no key. Only lines that are too long to be kept are judged key by key, and handed out while the rest is
 * still under way: they are "open". So is, though judged, the rest of a line that its caller leaves in the middle
 * (parser_open_run).
 */
#ifndef FOREBAY_SERVER_PROTOCOL_PARSER_KEYS_H
#define FOREBAY_SERVER_PROTOCOL_PARSER_KEYS_H

#include "server/protocol/parser_call.h"
#include "server/protocol/parser_line.h"

/* The first key of a line whose first word alone was cut. */
enum parse_status parse_get(struct parse_call *call, const struct line *line, bool ret_cas);
enum parse_status parse_gat(struct parse_call *call, struct line *line, bool ret_cas);

/* The first key of a line whose beginning, PARSER_LINE_MAX bytes and more, is there. */
enum parse_status parse_open_line(struct parse_call *call);

/* The next key of the line that is being handed out (parser.in_run). */
enum parse_status parse_next_key(struct parse_call *call);

#endif
