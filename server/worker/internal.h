/* SPDX-License-Identifier: MIT */
/*
 * What the files of a worker share: worker.c (thread, loop, timers), turn.c (the stages of a turn),
 * connection.c (one client's bytes in and out), output.c (the replies of a turn).
 *
 * Everything here belongs to the worker's thread, but for the members marked otherwise.
 */
#ifndef FOREBAY_SERVER_WORKER_INTERNAL_H
#define FOREBAY_SERVER_WORKER_INTERNAL_H

#include "policies/tier.h"
#include "server/admin/feed.h"
#include "server/buffer.h"
#include "server/protocol/parser.h"
#include "server/server.h"
#include "server/worker/worker.h"
#include <ev.h>
#include <pthread.h>

enum {
    TURN_BATCH = 64,         /* requests parsed before they are executed: hides a cache miss each */
    TURN_AHEAD = 8,          /* requests that are parsed while the bucket of one is on its way */
    TURN_AHEAD_VALUE = 4,    /* requests that are executed while the value of one is on its way */
    TURN_INPUT = 256 << 10,  /* bytes read by a turn before it executes */
    TURN_READ = 16 << 10,    /* bytes read from one connection in a turn, unless a long value is awaited */
    TURN_OUTPUT = 1 << 20,   /* bytes of replies before a turn writes its journal and sends */
    OUTPUT_REPLY = 36 << 10, /* more than any one reply without a large value: 32 KiB and a line */
    INPUT_GROWTH = 16 << 10, /* first size of a connection's own buffer */
    REPLY_COST = 1024,       /* bytes that a reply counts beside its own, where there is a limit */
    AUTH_ITEM_MAX = 2048,    /* longest data block read before a client has authenticated */
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_CLOSING, /* close once everything is sent */
    CONNECTION_BROKEN,  /* close at the end of the turn; a parked one when its ticket is back */
    CONNECTION_FED,     /* belongs to the thread of the feeds (server/admin/feed.h) until its feed is over */
};

enum close_reason {
    CLOSED_BY_ERROR,
    CLOSED_BY_CLIENT,
    CLOSED_IDLE,
    CLOSED_BY_SHUTDOWN
}; /* as a watcher is told */

enum {
    STOP_STATE = 1,    /* it is not OPEN */
    STOP_PARKED = 2,   /* its ticket is with the tier */
    STOP_DEFERRED = 4, /* the rest of its requests waits until its replies could be sent */
};

/* A stretch of replies for one connection: bytes of the turn's output, or a large value. */
struct piece {
    struct connection *connection;
    size_t offset, size;
    struct cache_large *large; /* held; data points into it */
    const char *data;
};

/* The replies of a turn. */
struct output {
    char *data;
    size_t size, capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    struct connection *owner; /* of the last piece, when that grows with the bytes; else NULL */
};

/* A place in the replies of a turn. */
struct output_mark {
    size_t size, piece_count;
    struct connection *owner;
};

/* What could not be sent at once: owned bytes and held values, in order. */
struct pending {
    struct pending *next;
    struct cache_large *large;
    const char *data; /* large: into it; else: bytes */
    size_t size, sent;
    char bytes[];
};

struct connection {
    int fd;
    struct worker *worker;
    struct connection *previous, *next; /* all of the worker, under worker->list_lock */
    struct connection *next_ready;
    struct connection *next_held; /* of worker->undated or worker->held */
    uint64_t held_position; /* its replies may go when so much of the journal is on the disk; 0: this part of
                               the turn is still going on, UINT64_MAX: it could not be written yet */
    struct tier_ticket *ticket;
    struct feed *feed;  /* FED: what it is fed */
    const char *region; /* the bytes being parsed in this turn: worker input or own buffer */
    size_t region_size, region_at;
    char *own; /* bytes of an unfinished or parked request, or NULL */
    size_t own_start, own_size, own_capacity;
    size_t wanted; /* bytes that the request at the front needs, as far as is known */
    struct pending *pending, **pending_tail;
    size_t skip_keys; /* of the multi-key line at the front: keys answered before it parked */
    size_t line_key;  /* number of the key last parsed in the line at line_start */
    const char *line_start;
    bool skip_run; /* a key of the multi-key line at hand failed: no answer for the rest */
    bool in_ready; /* is on worker->ready */
    bool readable; /* the socket may hold bytes: edges are reported once, so this remembers them */
    bool hung_up;  /* the peer ended or the socket failed: after the bytes comes the end, without an edge */
    bool writable; /* of a connection that sends: the socket may take bytes */
    bool sends;    /* waits for the socket to take what is pending */
    bool held;     /* its replies wait for the disk */
    bool resumed;  /* its own buffer holds whole requests that are to be parsed before the socket is read */
    uint8_t stops; /* why nothing more of it is executed in this turn, STOP_...; 0: nothing stops it */
    bool region_is_own; /* the region is the own buffer, not the worker's input */
    bool authenticated;
    enum close_reason closed_by;
    _Atomic bool awaits_value; /* a command line is there, its data block not yet: for stats conns */
    _Atomic bool parked;       /* its ticket is with the tier: nothing is parsed, it is not closed */
    _Atomic enum connection_state
        state;                    /* written by the worker, read for stats conns, as parked and last_active */
    _Atomic uint32_t last_active; /* Unix seconds */
    struct parser parser;
};

/* One parsed request of a batch. */
struct slot {
    struct request request;
    struct connection *connection;
    const void *entry; /* where its entry probably lies: to prefetch */
    const char *start; /* where its bytes, or those of its multi-key line, begin */
    size_t line_key;   /* its number in a multi-key line */
};

typedef atomic_uint_fast64_t worker_counter; /* written by the worker alone */

struct worker {
    struct feed_owner feeds; /* first: the feeds' thread finds the worker by it */
    struct ev_loop *loop;
    struct server *server;
    struct tier_worker *tier;
    struct cache *cache; /* the tier's, to prefetch from */
    unsigned index;
    pthread_t thread;
    int poll; /* epoll set: the connections, edge-triggered, and wake */
    int wake; /* eventfd: another thread wants something */
    bool finished;
    ev_timer second;
    struct cache_time now;

    struct connection *ready, **ready_tail;
    char *input; /* TURN_INPUT bytes */
    size_t input_used;
    struct output output;
    struct output_mark line_mark; /* where the replies of the get line at hand begin; under a limit alone */
    size_t replies, line_replies; /* in the output, and there; the same */
    struct buffer text;           /* replies of commands without a key */
    struct slot *slots;           /* TURN_BATCH */
    size_t slot_count;
    char (*key_buffers)[ENTRY_KEY_MAX + 2];
    bool observes;      /* something of server/admin/observe.h is to be done, as of this turn's begin: */
    bool counts_detail; /* stats detail is on */
    unsigned watched;   /* kinds of events that watchers watch */
    _Atomic(const struct connection *) commanding; /* executes a command without a key: for stats conns */
    size_t parked;                                 /* connections whose ticket is with the tier */
    struct connection *undated;                    /* held, and not known yet until when */
    struct connection *held, **held_tail;          /* held, by held_position */
    uint32_t stop_started;                         /* Unix seconds */
    bool stopping;

    pthread_mutex_t list_lock;
    struct connection *connections;
    pthread_mutex_t hand_lock;
    int *handed;
    size_t handed_count, handed_capacity;
    atomic_bool stop_asked;
    atomic_bool feed_is_over; /* of one of its connections or more */

    worker_counter bytes_read, bytes_written, turns, requests, yields, turn_us[32];
    worker_counter replies_refused; /* for want of room: response_obj_oom */
    worker_counter idle_kicks, auth_commands, auth_errors, connection_count;
};

static inline void worker_count(worker_counter *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* connection.c */
struct connection *connection_open(struct worker *worker, int fd);
void connection_close(struct connection *connection);
/* Forgets what was to be sent. */
void connection_drop_pending(struct connection *connection);
void connection_set_ready(struct connection *connection);
enum connection_state connection_state(const struct connection *connection);
void connection_set_state(struct connection *connection, enum connection_state state);
bool connection_is_parked(const struct connection *connection);
void connection_set_parked(struct connection *connection, bool parked);
/* Takes what epoll reported of it. */
void connection_notice(struct connection *connection, uint32_t events);
/* From now on it waits to send (or, false: no longer). */
void connection_set_sends(struct connection *connection, bool sends);
/* Whether there is something to do for it that no edge will report any more. */
bool connection_is_due(const struct connection *connection);
/* Reads once and sets the region to what there is to parse. False: nothing to do now. */
bool connection_read(struct connection *connection);
/* Keeps the region's bytes from `from` on for later turns; frees the own buffer when nothing is left. False:
 * no memory. */
bool connection_keep(struct connection *connection, const char *from);
/* Sends what is pending; true when all of it went. */
bool connection_send_pending(struct connection *connection);
/* Sends pieces in order, and keeps what does not go; all of it while the connection is held. */
void connection_send(struct connection *connection, const char *base, struct piece *pieces, size_t count);

/* output.c */
bool output_init(struct output *output);
void output_free(struct output *output);
/* Makes that room; NULL: no memory. */
char *output_grow(struct output *output, size_t need);
/* Begins a new piece at the end of the bytes. */
void output_begin(struct output *output, struct connection *connection);

/* Room for OUTPUT_REPLY + more bytes behind output->size, or NULL. */
static inline char *output_reserve(struct output *output, size_t more) {
    size_t need = OUTPUT_REPLY + more;
    if (__builtin_expect(output->capacity - output->size < need, 0))
        return output_grow(output, need);
    return output->data + output->size;
}

/* What was written up to end belongs to the connection. */
static inline void output_commit(struct output *output, struct connection *connection, const char *end) {
    size_t size = (size_t)(end - output->data);
    if (size == output->size)
        return;
    if (output->owner != connection)
        output_begin(output, connection);
    output->size = size;
}

/* Appends a value that is held, not copied. */
bool output_large(struct output *output, struct connection *connection, const struct cache_view *view);
void output_append(struct output *output, struct connection *connection, const char *data, size_t size);
/* Sends all of it and empties it. */
struct output_mark output_mark(const struct output *output);
/* Takes back what was said since the mark. False: it has been sent. */
bool output_cut(struct output *output, const struct output_mark *mark);
/* Nothing of the turn may be sent: its connections are broken, but for those that are held; output_send comes
 * next. */
void output_break(struct output *output);
void output_send(struct output *output);

/* turn.c */
void turn_run(struct worker *worker);
/* The feed of a connection is over: it goes on, or, broken, it is closed. */
void turn_end_feed(struct connection *connection, bool broken);

#endif
