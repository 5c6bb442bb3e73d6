/* SPDX-License-Identifier: MIT */
/*
 * Tickets: what a connection brings along when its request has to wait, and what comes back with it.
 *
 * A ticket is its worker's until tier_turn_end hands it over (turn.c), then belongs to whoever works on it,
 * and is the worker's again once ticket_return has put it on the worker's ready stack. There is a struct for
 * each kind of wait; of what it does not name, `next`, `deadline_us`, `request`, `outcome`, `bytes` and
 * `error` go along with the ticket, and the rest stays the worker's.
 *
 * Most connections wait for nothing, so they have no ticket of their own: a worker executes their requests with one
 * that is common to all of them. When a request has parked, what it is to wait for moves to a ticket of its
 * connection's own, a spare one where there is one, and the common one is as new.
 */
#ifndef FOREBAY_POLICIES_TICKET_H
#define FOREBAY_POLICIES_TICKET_H

#include "policies/entry_copy.h"
#include "policies/tier.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    TICKET_LOADS_MAX = 256, /* keys that one ticket sends to the backend together */
    TICKET_AHEAD_MAX = 255, /* changes that go to the writer together with the first of a connection */
    TICKET_SPARES_MAX = 32, /* tickets that a common one keeps for whoever parks next */
};

enum park {
    PARK_NONE,
    PARK_LOADS,   /* keys are being loaded */
    PARK_WRITE,   /* a write-through change, evaluated by the writer */
    PARK_ROOM,    /* the namespace is full */
    PARK_CONFIRM, /* what was recovered of the key has to be seen by the store */
    PARK_BARRIER, /* sync, or the outcome stands and has to be committed (on_full = write-through) */
};

enum load_answer {
    LOAD_WAITING,
    LOAD_FILLED,  /* memory has it (or had, a moment ago); copy if one was asked for */
    LOAD_CURRENT, /* memory would not take it: copy is set */
    LOAD_ABSENT,  /* the backend has no such entry */
    LOAD_UNFIT,   /* the backend has it, and memory cannot take it: row.h */
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
    bool keep;     /* a copy is wanted in any case */
    bool for_read; /* and not for a change */
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

/* PARK_LOADS: the keys that are looked up together. While parked each load is the flight's that it has
 * joined, and whoever lands that gives it back by counting `pending` down; list, count and capacity stay
 * as they are. */
struct ticket_loads {
    bool arrived; /* there are results that were not taken yet */
    unsigned count, capacity;
    unsigned at; /* the first that was not taken yet */
    struct load *list;
    atomic_uint pending; /* that have not been answered */
};

/* PARK_WRITE: changes that follow on the connection go to the writer together with the first, each with a
 * ticket of its own; the first comes back when all are answered, and brings their answers along. While
 * parked all of them are the writer's; the list itself stays as it is. */
struct ticket_ahead {
    struct tier_ticket *list, **end; /* in order; `following` links them */
    unsigned count;
    bool begun;                /* the first's own answer was given, those of the list follow */
    struct tier_ticket *taken; /* was of the list, its answer is being given */
    atomic_uint unanswered;    /* of the first and the list, while they are with the writer */
};

/* PARK_BARRIER: what is waited for is asked by the worker, before; the rest is the writers', while it is
 * parked (barrier.h). */
struct ticket_barrier {
    struct space *space; /* NULL: all */
    uint32_t timeout_ms; /* 0: none */
    bool holds_outcome;  /* the outcome stands and is told if all goes well (on_full = write-through) */
    uint64_t entries;    /* that were dirty when it began: the answer, otherwise */
    atomic_uint pending; /* writers that have not answered */
    atomic_bool failed;
    atomic_bool late;     /* for the time was over */
    atomic_bool given_up; /* by who waits: it is over at once */
};

/* A thread that waits for its ticket, and is no worker. */
struct ticket_waiter {
    pthread_mutex_t mutex;
    pthread_cond_t back; /* of condition_init */
    bool returned;       /* under the mutex */
};

struct tier_ticket {
    struct tier_worker *worker;   /* NULL: */
    struct ticket_waiter *waiter; /* of this thread; the ticket is good for a barrier alone */
    void *owner;                  /* NULL: it is common to many */
    struct tier_ticket *spares;   /* of a common one: without an owner, in a list by `next` */
    unsigned spare_count;
    struct tier_ticket *next; /* in whatever list it is */
    enum park park;           /* what it is about to wait for, until it is handed over */
    bool is_changing;         /* counted in `changing` of its namespace */
    bool has_outcome;         /* the answer to what is executed next is here: outcome, or ahead's first */
    bool room_denied;         /* it waited for room until its deadline */
    bool confirmed;           /* what memory holds of the request's key may be believed now */
    uint8_t tries;            /* loads of one key for the request at hand */
    /* latency.h: requests that wait with it and have no answer yet, since when (monotonic), and the turn it is back
     * in */
    bool is_back; /* nothing was executed since */
    uint16_t riders;
    uint64_t parked_us, back_us;
    struct ticket_loads loads;
    uint64_t deadline_us; /* PARK_ROOM, PARK_WRITE: monotonic, 0: not set */
    struct ticket_ahead ahead;
    struct ticket_barrier barrier;
    /* of a change that goes ahead: the connection's ticket, and the next in its list; else NULL */
    struct tier_ticket *first, *following;
    /* what goes along (PARK_WRITE), and what comes back */
    struct request request; /* its slices point into bytes */
    struct outcome outcome; /* its slices point into bytes */
    char *bytes;
    size_t bytes_capacity;
    char error[160]; /* what an outcome of ticket_fail says */
};

/* Before a change is made whose outcome will wait with the ticket: has room for that many bytes of it, and, if the
 * ticket is common, a spare one to take it along, so that neither can be missing afterwards. False: no memory. */
bool ticket_reserve(struct tier_ticket *ticket, size_t size);

/* Copies the request into the ticket for another thread; false: no memory. */
bool ticket_keep_request(struct tier_ticket *ticket, const struct request *request);

/* Copies the key alone, and what belongs to it; false: no memory. */
bool ticket_keep_key(struct tier_ticket *ticket, const struct request *request);

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

/* A load of the ticket has its answer; returns the ticket when it was the last. */
void ticket_load_done(struct tier_ticket *ticket);

#endif
