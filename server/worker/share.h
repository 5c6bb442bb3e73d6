/* SPDX-License-Identifier: MIT */
/*
 * What one connection may have of a turn, so that nobody waits long for others, and those who do not read hold little:
 *
 *     SHARE_OUTPUT   bytes of replies; one more reply is begun before they are used up, never after. It is less, down
 *                    to SHARE_LEAST, while clients leave replies unread or replies are held for the journal;
 *                    SHARE_LEAST once the turn has said SHARE_TURN. It is no more than the connection's socket takes,
 *                    down to SHARE_LOOK: requests that wait are shorter than replies
 *     SHARE_KEYS     keys that are looked at; with -R also that many requests; of who has not authenticated
 *                    AUTH_REQUESTS. It is less, down to SHARE_LEAST_KEYS, where the connections of the turn that are not
 *                    served yet would have more than SHARE_TURN_KEYS leaves: what is left is divided among them
 *
 * What it has sent beyond is kept until a later turn ("behind"). Of the connections that are behind a turn serves
 * SHARE_BEHIND, in order, after all that have just become ready: so who asks for little waits for a turn of bounded
 * length, however many ask for much. Whose replies had to wait for their socket is behind as well, when they have gone.
 *
 * The one reply more may be a large value, of which many are said in no time: what takes long is to send them. So once
 * SHARE_TURN bytes of a turn were sent, replies of others with a large value, and what is left of such from earlier
 * turns, are sent by later ones: their connections wait for that in worker->to_send. Where some do, SHARE_TO_SEND bytes
 * of a turn are theirs, in order, after all else: so who has waited goes on, however many come and ask. A turn sends no
 * more than that, and what is then left of the reply at hand, once for each part.
 *
 * A connection's bytes are not counted with each reply: the output has a mark, and only when it has grown to there is
 * it looked whose they are. Invariant: the mark is at most SHARE_LOOK behind the beginning of what is said to the
 * connection at hand, and behind where it was looked last. What a socket takes is asked of the kernel then, and goes by
 * what was sent since until little is left of it (connection->room).
 */
#ifndef FOREBAY_SERVER_WORKER_SHARE_H
#define FOREBAY_SERVER_WORKER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct output;
struct piece; /* output.h */
struct worker;

enum {
    SHARE_OUTPUT = 96 << 10, /* a pipeline of 64 values of 1 kB goes at once */
    SHARE_LEAST = 8 << 10,
    SHARE_LOOK = 4 << 10,
    SHARE_TURN = 4 << 20,           /* bytes of a turn; whoever is served after them has SHARE_LEAST */
    SHARE_TO_SEND = SHARE_TURN / 2, /* of these, those of who waits in worker->to_send */
    SHARE_UNSENT =
        512 << 10, /* for each so many bytes that wait for clients or the journal, a share is a part less */
    SHARE_KEYS = 512,
    SHARE_LEAST_KEYS = 64,      /* a pipeline of so many goes at once, however much a turn has to do */
    SHARE_TURN_KEYS = 16 << 10, /* of a turn: 32 shares */
    SHARE_BEHIND = 16,
};

/* Sets what a share is from here on: a turn begins, or `said` bytes of it were sent, all that the output had, large
 * values as well. */
void share_set(struct worker *worker, size_t said);

/* Keys of the next connection in a turn that has executed so many, and has so many connections yet to serve, this one
 * among them. */
static inline int64_t share_keys(size_t executed, size_t unserved) {
    int64_t left = SHARE_TURN_KEYS - (int64_t)executed;
    if (__builtin_expect((int64_t)unserved * SHARE_KEYS <= left, true))
        return SHARE_KEYS;
    int64_t part = left / (int64_t)unserved + 1;
    return part < SHARE_LEAST_KEYS ? SHARE_LEAST_KEYS : part < SHARE_KEYS ? part : SHARE_KEYS;
}

/* The output, which ends with a reply to this connection, has come to its mark. True: the connection has had its share.
 * In either case the mark is where to look next. */
bool share_is_used(struct output *output, struct connection *connection);

/* Puts it into worker->behind, and counts that (conn_yields); it has requests that wait for a later turn. */
void share_let_wait(struct connection *connection);

/* Makes the first of worker->behind ready, behind those that are. */
void share_admit(struct worker *worker);

/* ---- What a turn sends ---- */

/* Whether these replies of a connection, all that it is to be sent now, have to wait for a later turn; this one is full
 * then (worker->is_full). */
bool share_keeps_from_sending(struct worker *worker, const struct piece *pieces, size_t count);

/* Whether what is left of earlier replies has to wait, too. */
bool share_is_sent(const struct worker *worker);

/* Puts it into worker->to_send, and counts that (conn_yields). */
void share_let_wait_to_send(struct connection *connection);

#endif
