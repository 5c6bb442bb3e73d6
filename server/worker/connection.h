/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: its states and who changes them (connection.c). Its bytes in and out: connection_read.h,
 * connection_send.h. All of it belongs to the worker's thread, except the members marked otherwise.
 */
#ifndef FOREBAY_SERVER_WORKER_CONNECTION_H
#define FOREBAY_SERVER_WORKER_CONNECTION_H

#include "server/accepted.h"
#include "server/log.h"
#include "server/protocol/parser.h"
#include "server/worker/auth/auth.h"
#include "server/worker/auth/users.h"
#include "server/worker/io/io.h"
#include "server/worker/own_buffer.h"
#include <stdatomic.h>

struct feed;
struct pending;
struct proof; /* auth/prover.h */
struct tier_ticket;
struct tls_link; /* tls.c */
struct worker;

enum {
    CONNECTION_READ =
        16 << 10, /* bytes that a turn reads from one connection, unless a long value is awaited */
    CONNECTION_LITTLE = 4 << 10, /* the same of one that is fresh, or sends ahead; first size of its buffer */
    CONNECTION_OWN =
        16 << 10, /* bytes of unfinished requests that every connection may have; more is counted */
    CONNECTION_ANSWER = 1 << 20, /* bytes of one answer that every connection may have; more is counted */
    CONNECTION_RATE = 1024,   /* bytes a second that an unfinished request, or replies, must bring forward */
    CONNECTION_PATIENCE = 10, /* seconds without, where there is no idle_timeout but too little memory */
    /* before a client has authenticated: */
    AUTH_READ = 224,                           /* what a turn reads of it, and first size of its buffer */
    AUTH_ITEM_MAX = AUTH_CREDENTIAL_MAX + 320, /* a credential beside any key, as an item */
    AUTH_KEEP = 2368,                  /* the largest size of its buffer: such a credential, as it is sent */
    AUTH_REQUESTS = 2,                 /* of it that a turn answers */
    AUTH_ANSWERS = AUTH_REQUESTS * 64, /* bytes of replies to these, which wait until it reads */
    AUTH_COST = 4096,                  /* bytes that it may take in all, beside what encrypts it */
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_CLOSING,
    CONNECTION_BROKEN,
    CONNECTION_FED,
};

/* What it speaks, by its first byte. */
enum connection_protocol { PROTOCOL_UNKNOWN, PROTOCOL_TEXT, PROTOCOL_BINARY };

/* As a watcher is told. */
enum close_reason {
    CLOSED_BY_ERROR,
    CLOSED_BY_CLIENT,
    CLOSED_IDLE,
    CLOSED_BY_SHUTDOWN,
};

enum {
    STOP_STATE = 1,        /* it is not OPEN */
    STOP_PARKED = 2,       /* its ticket is with the tier */
    STOP_DEFERRED = 4,     /* the rest of its requests waits until its replies could be sent */
    STOP_AWAITS_CHECK = 8, /* its credential waits to be checked */
    STOP_SHARE = 16,       /* it has had its share of this turn (share.h) */
};

struct connection {
    int fd;
    struct worker *worker;
    struct connection *previous, *next; /* all of the worker, under worker->list_lock */
    struct connection *next_queued;
    struct connection *next_held; /* of worker->undated or worker->held */
    /* Its replies may go when the tier has released this hold. 0: this part of the turn is still going on;
     * UINT64_MAX: it could not be written yet. */
    uint64_t held_number;
    struct tier_ticket *ticket; /* its own while a request of it waits for the tier, or else worker->ticket */
    struct tls_link *tls;       /* what encrypts it; NULL: nothing */
    struct feed *feed;          /* FED: what it is fed */
    const char *region;         /* the bytes being parsed in this turn: worker input or own buffer */
    size_t region_size, region_at;
    struct own_buffer own; /* bytes of an unfinished or parked request */
    size_t wanted;         /* bytes that the request at the front needs, as far as is known */
    size_t counted_answer; /* bytes of its answers that server->answer_bytes has */
    size_t moved;          /* bytes that came or went since last_active */
    int64_t room;          /* bytes that its socket takes yet, as far as is known: share.h */
    struct pending *pending, **pending_tail;
    size_t skip_keys; /* of the multi-key line at the front: keys answered before it parked */
    size_t line_key;  /* number of the key last parsed in the line at line_start */
    const char *line_start;
    bool run_failed; /* a key of the line at hand, which gets no more answers; of packets: untold.h */
    bool is_queued;  /* is in a queue of its worker: connection_queue.h */
    bool readable;   /* the socket may hold bytes: edges are reported once, so this remembers them */
    bool hung_up;    /* the peer ended or the socket failed: after the bytes comes the end, without an edge */
    bool writable;   /* of a connection that sends: the socket may take bytes */
    bool sends;      /* waits for the socket to take what is pending */
    bool waits_to_send; /* what is pending waits for a later turn: share.h */
    bool held;          /* its replies wait for the journal */
    bool ahead_is_full; /* nothing more of an open line is read before replies are sent */
    bool resumed; /* its own buffer holds whole requests that are to be parsed before the socket is read */
    bool behind;  /* these, or what it sent besides, are more than its share of a turn: share.h */
    bool sends_ahead;   /* a rest had to wait for its share or its socket, and no read was short since */
    uint8_t stops;      /* why nothing more of it is executed in this turn, STOP_...; 0: nothing stops it */
    uint8_t protocol;   /* enum connection_protocol */
    uint8_t untold;     /* run_failed, of packets: the enum binary_status that is still to be told */
    bool region_is_own; /* the region is the own buffer, not the worker's input */
    bool fresh;         /* no request of it has come yet */
    bool authenticated;
    bool guarded;             /* auth/guard.h is asked before each of its requests */
    bool awaits_check;        /* its credential is at the front of its own buffer and is checked later */
    bool has_waited;          /* for the check of the credential at the front */
    bool awaits_prover;       /* its credential found no room with the prover */
    bool sasl_begun;          /* the client was asked for what belongs to its mechanism */
    uint8_t auth_failures;    /* credentials that were refused */
    uint32_t opened;          /* in which second, monotonic; later where it had to wait for the prover */
    uint64_t check_us;        /* awaits_check: not before this, monotonic */
    struct proof *proof;      /* of its credential: under way, or done and to be looked at */
    struct identity identity; /* of a user; otherwise all NULL */
    enum close_reason closed_by;
    /* Written by the worker, read by any thread for `stats conns`. */
    _Atomic bool awaits_value; /* a command line has come, its data block not yet */
    _Atomic bool parked;       /* its ticket is with the tier: nothing is parsed, it is not closed */
    _Atomic enum connection_state state;
    _Atomic uint32_t last_active; /* monotonic seconds: see connection_note_active */
    struct parser parser;
    struct io_link link; /* what the ring has of it */
    struct peer peer;    /* stays as it is; last, as nothing of a request asks for it */
};

/* Takes over the socket, enters it in the worker's list and has it watched. NULL when there is no memory or no
 * place to watch it: the socket is then still the caller's. */
struct connection *connection_open(struct worker *worker, const struct accepted *accepted);

/* Frees the connection; it must be neither parked nor in a queue. */
void connection_close(struct connection *connection);

/* The same for any that is not parked: if need be at the end of the turn that comes to it, and nothing of it is served
 * before. */
void connection_end(struct connection *connection, enum close_reason reason);

/* Tells the log that it is closed and why, with its client's address. */
void connection_tell_end(const struct connection *connection, enum log_kind kind, enum log_level level,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Puts it into worker->ready, to be served in the next turn. */
void connection_set_ready(struct connection *connection);
/* The same, before all that are in it but those that were put there by this. */
void connection_set_ready_first(struct connection *connection);

static inline bool connection_is_binary(const struct connection *connection) {
    return connection->protocol == PROTOCOL_BINARY;
}

enum connection_state connection_state(const struct connection *connection);
void connection_set_state(struct connection *connection, enum connection_state state);
bool connection_is_parked(const struct connection *connection);
void connection_set_parked(struct connection *connection, bool parked);

/* Sets the flag, its worker's count and what stops the connection; check_us is the caller's. */
void connection_set_awaits_check(struct connection *connection, bool awaits_check);

/* Whether there is something to do for it that nothing will report any more. */
bool connection_is_due(const struct connection *connection);

/* ---- Signs of life ---- */

/* It made progress: a request was begun or completed, replies were sent to their end, or connection_moves. */
void connection_note_active(struct connection *connection);

/* Whether enough bytes came or went since then, CONNECTION_RATE for each second of idle_timeout, to count as
 * progress of an unfinished request or of replies. */
bool connection_moves(const struct connection *connection);

/* Whether the first byte that comes now begins a request. */
bool connection_is_between_requests(const struct connection *connection);

#endif
