/* SPDX-License-Identifier: MIT */
/*
 * The connection to a server: made, logged in, asked for a round of statistics, without ever waiting (but for the
 * resolver, where the host is a name). One thread.
 *
 *     AWAY --wire_open--> CONNECTING --> LOGIN (with a user) --> IDLE --wire_ask--> ASKING --> IDLE
 *     any of these --failure, or nothing heard for WIRE_PATIENCE_S--> AWAY
 */
#ifndef FOREBAY_TOOLS_TOP_WIRE_H
#define FOREBAY_TOOLS_TOP_WIRE_H

#include "tools/top/options.h"

enum { WIRE_PATIENCE_S = 10, WIRE_ANSWER_MAX = 8 << 20 };

enum wire_state { WIRE_AWAY, WIRE_CONNECTING, WIRE_LOGIN, WIRE_IDLE, WIRE_ASKING };

struct wire;

/* The options have to stay. NULL: no memory. */
struct wire *wire_new(const struct options *options);
void wire_free(struct wire *wire);

enum wire_state wire_state(const struct wire *wire);

/* What to poll; -1 while it is AWAY. */
int wire_descriptor(const struct wire *wire);
short wire_events(const struct wire *wire);

/* When the last step that is being waited for began (monotonic). */
uint64_t wire_since_us(const struct wire *wire);

/* AWAY: begins to connect. It may be AWAY afterwards as well. */
void wire_open(struct wire *wire);

/* IDLE: sends the requests of sample.h. */
void wire_ask(struct wire *wire);

/* Does what can be done now. True: an answer is complete; take it. */
bool wire_step(struct wire *wire, uint64_t now_us);

/* The answer, for its taker to free. */
char *wire_take(struct wire *wire, size_t *ret_size);

/* Ends the connection. why: part of a sentence whose subject is the server; printable. */
void wire_fail(struct wire *wire, const char *why);

/* Why it is AWAY, to be read behind the address. */
const char *wire_reason(const struct wire *wire);

#endif
