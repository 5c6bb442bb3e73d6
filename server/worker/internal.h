/* SPDX-License-Identifier: MIT */
/*
 * A worker as its own files see it, in the order in which a request passes them:
 *
 *     worker.c              thread, loop, timers
 *     io/                   how the kernel is asked for what comes and given what goes (io.h)
 *     turn.c                the stages of a turn: turn_read.c, turn_execute.c, turn_send.c
 *     connection_queue.h    who waits for a turn
 *     connection.c          a connection's states; connection_read.c, input.h, own_buffer.c its bytes in, connection_send.c
 *                           out
 *     tls.c                 what encrypted connections do beside
 *     share.c               how much of a turn is one connection's
 *     protocol.c            which protocol is spoken
 *     auth/                 who a client is (login.c, sasl.c), and what it may do (guard.c)
 *     talk.c                commands without a key; answer.c what no policy answered; untold.c errors in a binary pipeline
 *     parked.c              requests that wait for the tier
 *     held.c                replies that wait for the journal; reply_limit.c how many may wait
 *     output.c              a turn's replies
 *     worker_stats.c        what is told of it
 */
#ifndef FOREBAY_SERVER_WORKER_INTERNAL_H
#define FOREBAY_SERVER_WORKER_INTERNAL_H

#include "cache/base/histogram.h"
#include "policies/tier.h"
#include "server/admin/feed.h"
#include "server/admin/observe.h"
#include "server/buffer.h"
#include "server/protocol/binary.h"
#include "server/server.h"
#include "server/worker/auth/gate.h"
#include "server/worker/connection_queue.h"
#include "server/worker/io/io.h"
#include "server/worker/output.h"
#include "server/worker/worker_stats.h"
#include <ev.h>
#include <pthread.h>

struct connection;
struct proof; /* auth/prover.h */
struct users; /* auth/users.h */

enum {
    TURN_BATCH = 64,        /* requests parsed before they are executed: hides a cache miss each */
    TURN_INPUT = 256 << 10, /* bytes read by a turn before it executes */
};

/* One parsed request of a batch. What every request needs is in two cache lines: this part, and the first of the
 * request. */
struct slot {
    struct connection *connection;
    const void *near;        /* its bucket, then where its entry probably lies: to prefetch; NULL: neither */
    const char *start;       /* where its bytes, or those of its multi-key line, begin; not of an open one */
    size_t line_key;         /* its number in a multi-key line, or LINE_KEY_OPEN */
    struct binary_head head; /* of a binary connection */
    _Alignas(64) struct request request;
};

/* Written by the worker alone, read by any thread. */
typedef atomic_uint_fast64_t worker_counter;

struct worker {
    /* Constant once the thread runs. */
    struct feed_owner feeds; /* first: the feeds' thread finds the worker by it */
    struct server *server;
    struct tier_worker *tier;
    struct tier_ticket *ticket; /* common to all connections that wait for nothing */
    struct cache *cache;        /* the tier's, to prefetch from */
    pthread_t thread;
    unsigned index;
    const struct io_type *io_type;
    struct io *io;          /* watches the connections, and wake */
    unsigned most_requests; /* of one connection in a turn: share.h */
    int wake;               /* eventfd: another thread wants something */

    /* The worker's thread alone. */
    struct ev_loop *loop;
    ev_timer every_second;
    struct cache_time now;
    uint64_t second_began_us; /* that of now, by the wall clock */
    uint32_t second;          /* monotonic */
    struct connection_queue ready;
    struct connection_queue behind, to_send; /* share.h */
    char *input;                             /* TURN_INPUT bytes */
    size_t input_used;
    struct output output;
    size_t said;       /* bytes of replies in this turn, before those of the output */
    size_t sent;       /* bytes that sockets took in this turn */
    size_t send_limit; /* of that, where large values begin to wait: share.h */
    size_t executed;   /* requests, each key of a line, in this turn */
    size_t unserved;   /* connections that this turn has yet to serve */
    bool is_full;      /* somebody had less than a whole share of this turn: share.h */
    /* Where the replies of the get line at hand begin, and how many came before; under a limit alone. Its connection,
     * or NULL once they were sent. */
    const struct connection *line_owner;
    struct output_place line_output;
    size_t line_replies;
    size_t replies;        /* in the output */
    struct buffer text;    /* the reply of a command without a key */
    struct buffer packets; /* the same for a binary connection */
    struct slot *slots;    /* TURN_BATCH */
    size_t slot_count;
    char (*key_buffers)[ENTRY_KEY_MAX + 2];
    struct observer observer;
    bool observes;              /* the observer has something to do in this turn, or replies have a limit */
    size_t parked;              /* connections whose ticket is with the tier */
    size_t strangers;           /* connections that have not authenticated */
    uint32_t strangers_seen;    /* in which second they were last looked at */
    const struct users *fed_by; /* who may be fed was last looked at with these */
    size_t awaiting_check;      /* connections that wait to have their credential checked */
    size_t handshakes;          /* of connections that are to be encrypted, under way */
    uint64_t handshake_us;      /* when (now.us) the turn began that has gone on with so many of them */
    unsigned handshake_steps;
    struct connection *undated;           /* held, and not known yet until when */
    struct connection *held, **held_tail; /* held, by held_number */
    uint32_t stop_started;                /* monotonic seconds */
    bool stopping, finished;
    bool runs; /* its thread was started and not joined; the main thread's */

    /* Written by the worker, read for stats conns. */
    _Atomic(const struct connection *) commanding; /* executes a command without a key, or NULL */
    pthread_mutex_t list_lock;
    struct connection *connections; /* under list_lock, except for reads by the worker */

    /* What other threads want. */
    pthread_mutex_t hand_lock;
    struct accepted *handed; /* under hand_lock, as the two that follow */
    size_t handed_count, handed_capacity;
    atomic_bool stop_asked;
    struct proof *proven;     /* under hand_lock: those that are done */
    atomic_bool feed_is_over; /* of one of its connections or more */

    atomic_uint last_turn; /* the second (monotonic) of it; by the worker */

    counter bytes_read, bytes_written, requests, yields;
    counter full_turns;
    struct histogram turn_times;
    counter replies_refused;  /* for want of room: response_obj_oom */
    counter requests_starved; /* found no room to wait in: read_buf_oom */
    counter idle_kicks, auth_commands, auth_errors;
    counter auth_timeouts;              /* connections closed that had not authenticated in time */
    counter forbidden;                  /* requests that their user may not make */
    counter aside_bytes;                /* now: ring_buffers.h */
    counter unsent_bytes, slow_readers; /* now: replies that are kept, and connections that have some */
    counter aside_strains;
    counter tls_handshakes;       /* that were done */
    counter tls_resumed;          /* of these, those that went on with an earlier session */
    counter tls_handshake_errors; /* that failed, or took too long */
    counter tls_errors;           /* of encrypted connections, later */

    struct gate gate; /* the worker's thread alone */
};

#endif
