/* SPDX-License-Identifier: MIT */
/* The stages "journal" and "send" of a turn (turn.c), of all of it or of a part. On the worker's thread. */
#ifndef FOREBAY_SERVER_WORKER_TURN_SEND_H
#define FOREBAY_SERVER_WORKER_TURN_SEND_H

#include <stdbool.h>

struct worker;

/* ends: it is the last of the turn. When the journal cannot be written, changes of this turn are not safe from a kill
 * -9, and their replies would promise that they are: the connections are closed without any, except those whose replies
 * are held. */
void turn_journal_and_send(struct worker *worker, bool ends);

/* Ends one part of the turn and begins the next. The batch at hand stays prepared. */
void turn_send_part(struct worker *worker);

#endif
