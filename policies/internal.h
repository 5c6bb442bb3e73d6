/* SPDX-License-Identifier: MIT */
/*
 * The insides that the files of this folder share: who owns what, and which thread may touch it.
 *
 *     struct tier            one; constant after tier_create but for its atomics
 *       struct space         a namespace: options, dirty queues (one per worker), fullness, quarantine
 *       struct tier_backend  a backend: one loader (reader threads) and one writer (one thread)
 *     struct tier_worker     one per worker thread: that thread alone, but for the members marked "shared"
 *     struct tier_ticket     one per connection: its worker's thread; while parked, whoever works on it
 *
 * Locks, none of which is ever held together with another one or across a call of a backend or of the cache:
 * loader.mutex, writer.mutex, space.waiting_mutex, quarantine.mutex, tier.stats_mutex.
 */
#ifndef FOREBAY_POLICIES_INTERNAL_H
#define FOREBAY_POLICIES_INTERNAL_H

#include "policies/breaker.h"
#include "policies/evaluate.h"
#include "policies/journal/journal.h"
#include "policies/policy.h"
#include "policies/tier.h"
#include "policies/write/queue.h"
#include <pthread.h>
#include <stdatomic.h>

struct loader;
struct writer;
struct quarantine;
struct loaded;

enum {
    TICKET_LOADS_MAX = 256, /* keys that one ticket sends to the backend together */
    TICKET_AHEAD_MAX = 255, /* changes that go to the writer together with the first of a connection */
    TRIES_MAX = 16,         /* loads of one key for one request before it is given up */
    DETACHED_MAX = 4096,    /* touches in the background per writer (existence = memory) */
    DEFAULT_READERS = 2,
    DEFAULT_TIMEOUT_MS = 2000,
    DEFAULT_FLUSH_DELAY_MS = 1000,
    DEFAULT_FLUSH_BATCH = 200000,
    DEFAULT_DIRTY_LIMIT = 64 << 20
};

/* ---- Counters: one writer each, read by anyone ---- */

typedef atomic_uint_fast64_t counter;

static inline void count_add(counter *c, uint64_t n) {
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void count(counter *c) {
    count_add(c, 1);
}
static inline uint64_t counted(const counter *c) {
    return atomic_load_explicit(c, memory_order_relaxed);
}

/* ---- Namespaces ---- */

struct space_counters { /* written by the writer's thread */
    counter batches, rows, deletes, touches, superseded, retries, bisections, quarantined, flush_us;
};

struct space_worker_counters {    /* written by one worker */
    _Alignas(64) counter changes; /* dirty ones, accepted */
};

struct space {
    struct space_options options;
    const struct policy *policy;
    struct tier *tier;
    struct tier_backend *backend; /* NULL: none */
    int number;                   /* its index in the tier, and its number in the cache */
    size_t prefix_size;

    /* write-behind */
    struct queue *queues; /* one per worker */
    struct space_worker_counters *by_worker;
    uint64_t flush_delay_us;
    size_t batch_bytes;  /* memory that a batch may take: keys, values, bookkeeping */
    size_t flush_bytes;  /* dirty bytes from which a flush is due */
    atomic_bool full;    /* a bound was crossed; until it is well below again */
    atomic_bool starved; /* full because the cache had no room */
    atomic_bool armed;   /* the writer has seen that something is queued and looks again in time */
    atomic_bool urgent;  /* the writer was told that a batch is full */
    atomic_uint_fast64_t
        oldest_since; /* version time of the oldest unflushed change, 0: none; by the writer */
    counter full_waits, full_rejects, full_throughs;

    pthread_mutex_t waiting_mutex;
    struct tier_ticket *waiting; /* tickets parked because it is full, under waiting_mutex */
    atomic_uint waiting_count;

    struct quarantine *quarantine;
    struct space_counters flushed;
    counter loads, load_hits, load_errors; /* by readers, with fetch_add */
};

/* The namespace of a key: the one with the longest prefix. */
struct space *space_of_key(const struct tier *tier, struct slice key);

/* By name, or NULL. */
struct space *space_by_name(struct tier *tier, struct slice name);

/* Readies a namespace; false with a sentence in error. */
bool space_init(struct space *space, struct tier *tier, const struct space_options *options, int number,
                char *error, size_t error_size);
void space_destroy(struct space *space);

/* Is the namespace over a bound? Sets and clears space->full with hysteresis. Any thread. */
void space_judge_full(struct space *space, uint64_t oldest_age_us);

/* Releases those who wait for room: all when there is room again, else those whose deadline is over. Returns
 * the earliest deadline of those that remain (monotonic us), 0: none. Writer thread. */
uint64_t space_release_waiting(struct space *space, uint64_t now_us);

/* ---- Tickets ---- */

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

/* A copy of an entry, shared by those who hold a reference: the tickets that wait for it, the quarantine. */
struct loaded {
    atomic_uint references;
    struct entry entry;
    char bytes[];
};
/* With one reference, the caller's; NULL: no memory. */
struct loaded *loaded_copy(const struct entry *entry);
/* Gives a reference back; NULL is fine. */
void loaded_drop(struct loaded *loaded);

/* One key that a ticket waits for. */
struct load {
    struct tier_ticket *ticket;
    struct load *next; /* in the flight */
    struct space *space;
    uint64_t hash, stamp; /* stamp: of the flight, once it has landed */
    struct loaded *copy;
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
__attribute__((format(printf, 2, 3))) void ticket_fail(struct tier_ticket *ticket, const char *format, ...);

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

/* ---- Workers ---- */

struct worker_counters { /* in the order of struct tier_counters: stats.c sums them as an array */
    counter cmd_get, cmd_set, cmd_touch, cmd_meta, cmd_flush;
    counter get_hits, get_misses;
    counter delete_hits, delete_misses, incr_hits, incr_misses, decr_hits, decr_misses;
    counter cas_hits, cas_misses, cas_badval, touch_hits, touch_misses;
    counter store_too_large, store_no_memory;
    counter loads, load_errors, parked;
};

struct tier_worker {
    /* its thread's alone */
    struct tier *tier;
    unsigned index;
    struct cache_time now; /* of the turn; us never goes back, whatever the clock does */
    uint64_t turn_floor;   /* no version drawn in this turn is below */
    char *scratch;         /* item_max + some: built and copied values */
    size_t scratch_size;
    struct journal_series *journal;
    struct tier_ticket *submitted, **submitted_end; /* of this turn, in order */
    struct tier_ticket *returned;                   /* taken off `ready`, in order */
    uint64_t touched;                               /* bit per namespace: something was queued in this turn */
    bool appended;                                  /* this turn has records in the journal's buffer */
    struct worker_counters counters;
    /* shared */
    _Alignas(64) _Atomic(struct tier_ticket *) ready; /* tickets that came back, newest first */
    atomic_uint_fast64_t
        floor; /* low_water.c: 0 entering a turn, turn_floor in one, UINT64_MAX between turns */
    atomic_uint_fast64_t durable; /* position up to which its journal is on disk */
    atomic_bool journal_stuck;    /* a journal_write failed: the worker has to be woken to try again */
};

/* ---- The whole ---- */

struct tier_backend {
    struct tier *tier;
    struct tier_backend_options options;
    const struct backend_type *type;
    const struct backend_table **tables; /* of the namespaces that use it, in order of their index */
    size_t table_count;
    unsigned timeout_ms;
    struct loader *loader;
    struct writer *writer;
    char down[160]; /* the reply line when it cannot be asked */
};

struct tier {
    struct tier_options options;
    struct cache *cache;
    struct space *spaces;
    size_t space_count;
    struct space **by_prefix; /* longest first; the default one is last */
    struct space *default_space;
    struct tier_backend *backends;
    size_t backend_count;
    struct tier_worker *workers;
    struct journal *journal;            /* NULL: none */
    atomic_uint_fast64_t version_floor; /* low_water.c */
    atomic_uint_fast64_t low_water;
    atomic_uint preloads; /* that have to end before the tier is ready */
    atomic_bool draining, stop_draining;
    uint64_t replayed, replayed_files, replay_ms;
    pthread_mutex_t stats_mutex;
    struct tier_counters counters_base; /* at the last reset; under stats_mutex */
};

__attribute__((format(printf, 3, 4))) void tier_log(const struct tier *tier, enum log_level level,
                                                    const char *format, ...);

/* Names the calling thread "<role> <backend>", as top -H shows it. */
void thread_name(const char *role, const struct tier_backend *backend);

/* Tells the server that a worker has to look for returned tickets. */
void tier_wake(struct tier *tier, unsigned worker);

/* ---- The low-water version (low_water.c) ---- */

/* Worker: opens a turn; sets worker->now and turn_floor. */
void low_water_enter(struct tier_worker *worker, const struct cache_time *now);
/* Worker: everything of the turn is queued. */
void low_water_leave(struct tier_worker *worker);
/* Writer: (1) and (2) of the bound. */
uint64_t low_water_bound(struct tier *tier);
/* Writer: computes the low-water version anew and tells the journal. */
void low_water_advance(struct tier *tier);

/* ---- The journal's way back (recover.c) ---- */

/* Opens the journal and restores what it holds; connections of the writers exist, no thread runs yet. */
bool recover(struct tier *tier, char *error, size_t error_size);

/* ---- Counting (stats.c) ---- */

void count_outcome(struct tier_worker *worker, const struct request *request, const struct outcome *outcome);

#endif
