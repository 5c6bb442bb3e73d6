/* SPDX-License-Identifier: MIT */
/*
 * Tickets: what a connection brings along when its request has to wait, and what comes back with it.
 *
 * A ticket is its worker's until tier_turn_end hands it over (turn.c), then belongs to whoever works on it, and is
 * the worker's again once ticket_return has put it on the worker's ready stack.
 */
#ifndef FOREBAY_POLICIES_TICKET_H
#define FOREBAY_POLICIES_TICKET_H

#include "policies/entry_copy.h"
#include "policies/tier.h"
#include <stdatomic.h>

enum {
    TICKET_LOADS_MAX = 256, /* keys that one ticket sends to the backend together */
    TICKET_AHEAD_MAX = 255, /* changes that go to the writer together with the first of a connection */
};

enum park {
    PARK_NONE,
    PARK_LOADS,   /* keys are being loaded */
    PARK_WRITE,   /* a write-through change, evaluated by the writer */
    PARK_ROOM,    /* the namespace is full */
    PARK_BARRIER, /* sync, or the outcome stands and has to be committed (on_full = write-through) */
};

enum load_answer {
    LOAD_WAITING,
    LOAD_FILLED,  /* memory has it (or had, a moment ago); copy if one was asked for */
    LOAD_CURRENT, /* memory would not take it: copy is set */
    LOAD_ABSENT,  /* the backend has no such entry */
    LOAD_CHANGED, /* the key changed meanwhile: ask again */
    LOAD_FAILED,  /* the backend cannot be asked */
};

/* One key that a ticket waits for. */
struct load {
    struct tier_ticket *ticket;
    struct load *next; /* in the flight */
    struct space *space;
    uint64_t hash, stamp; /* stamp: of the flight, once it has landed */
    struct entry_copy *copy;
    enum load_answer result;
    bool keep; /* a copy is wanted in any case */
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* What a barrier waits for at one writer. */
struct barrier {
    struct barrier *next;
    struct tier_ticket *ticket;
    uint64_t deadline_us; /* monotonic, 0: none */
    uint64_t quarantined; /* entries ever quarantined in its namespaces when it began */
    uint64_t
        targets[]; /* per namespace of the tier and worker: queue_pushed at the time, 0: not waited for */
};

struct tier_ticket {
    struct tier_worker *worker;
    void *owner;
    struct tier_ticket *next; /* in whatever list it is */
    enum park park;
    bool has_outcome; /* the answer to the request that is executed next is here, or the first of `ahead` */
    bool room_denied; /* it waited for room until its deadline */
    bool has_loads;   /* results not yet taken */
    uint8_t tries;
    /* PARK_LOADS */
    struct load *loads;
    unsigned load_count, load_at, load_capacity;
    atomic_uint pending; /* loads (or writers, for a barrier) that have not answered yet */
    /* PARK_WRITE: changes that follow on the connection go to the writer together with the first, each with a
     * ticket of its own; the first comes back when all are answered, and brings their answers along */
    struct tier_ticket *first;               /* of such a one: the connection's ticket; else NULL */
    struct tier_ticket *ahead, **ahead_last; /* in order; `following` links them */
    struct tier_ticket *following;
    struct tier_ticket *taken; /* was of `ahead`, its answer is being given */
    unsigned ahead_count;
    bool answered;          /* its own outcome was given, those of `ahead` follow */
    atomic_uint unanswered; /* of itself and `ahead`, while they are with the writer */
    /* PARK_WRITE, and whatever comes back with an outcome */
    struct request request; /* copy; slices point into bytes */
    struct outcome outcome;
    char *bytes;
    size_t bytes_capacity;
    char error[160];
    /* times and places */
    uint64_t deadline_us; /* PARK_ROOM, PARK_WRITE: monotonic, 0: not set */
    /* PARK_BARRIER */
    struct space *barrier_space; /* NULL: all */
    uint64_t barrier_entries;
    uint32_t barrier_timeout; /* ms */
    atomic_bool barrier_failed;
    bool barrier_holds_outcome; /* on_full = write-through */
};

/* Room for size bytes in ticket->bytes (what was there is lost), or NULL. */
char *ticket_bytes(struct tier_ticket *ticket, size_t size);

/* Copies the request into the ticket for another thread; false: no memory. */
bool ticket_keep_request(struct tier_ticket *ticket, const struct request *request);

/* Makes *outcome the answer for the next execution, with its value copied; false: no memory. */
bool ticket_keep_outcome(struct tier_ticket *ticket, const struct outcome *outcome);

/* Answers with an error line that is formatted into the ticket. */
__attribute__((format(printf, 3, 4))) void ticket_fail(struct tier_ticket *ticket, enum outcome_error kind,
                                                       const char *format, ...);

/* Adds a change that goes to the writer behind the ticket's own; false: no memory, or TICKET_AHEAD_MAX
 * reached. */
bool ticket_add_ahead(struct tier_ticket *ticket, const struct request *request);

/* Gives the outcome that the ticket brought for the request that is executed next. What it points to stays
 * until the next call for the ticket. */
void ticket_take_outcome(struct tier_ticket *ticket, struct outcome *ret_outcome);

/* Forgets the changes that went ahead, and their answers. */
void ticket_clear_ahead(struct tier_ticket *ticket);

/* Adds a key to the loads of the ticket; false: no memory, or TICKET_LOADS_MAX reached. */
bool ticket_want(struct tier_ticket *ticket, const struct request *request, uint64_t stamp, bool keep);

/* The load that answers this request, or NULL; takes it (and those before it) off the ticket. */
struct load *ticket_take_load(struct tier_ticket *ticket, const struct request *request);

/* Forgets loads and what was served from them. */
void ticket_clear_loads(struct tier_ticket *ticket);

/* Hands a ticket back to its worker; any thread, and from then on it is the worker's. With changes ahead: the
 * last of them, or itself, does. */
void ticket_return(struct tier_ticket *ticket);

/* One of ticket->pending is done; returns the ticket when it was the last. */
void ticket_pending_done(struct tier_ticket *ticket);

#endif
