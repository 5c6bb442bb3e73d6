/* SPDX-License-Identifier: MIT */
/* Which protocol a connection speaks: its first byte says it, and -B says what may be spoken. On the worker's
 * thread. */
#ifndef FOREBAY_SERVER_WORKER_PROTOCOL_H
#define FOREBAY_SERVER_WORKER_PROTOCOL_H

#include "server/protocol/parser.h"

struct connection;
struct worker;

/* Sets connection->protocol by the first byte of its region. One that is refused is logged here; its answer comes from
 * the parser of what it speaks, or of what alone is spoken. */
void protocol_choose(struct worker *worker, struct connection *connection);

/* binary_parse() into the next slot of the batch, from `there` bytes at start. Under -B ascii the first packet is a
 * refusal. */
enum parse_status protocol_parse_binary(struct worker *worker, struct connection *connection,
                                        const char *start, size_t there, size_t *ret_consumed,
                                        size_t *ret_wanted);

#endif
