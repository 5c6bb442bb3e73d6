/* SPDX-License-Identifier: MIT */
/*
 * The caching tier: namespaces over one cache and any number of backends. This is all that the server knows
 * of the policies.
 *
 * Threads: one struct tier shared by all; one struct tier_worker per worker thread, used by that thread
 * alone; one struct tier_ticket for each connection that waits, used by its worker's thread except while it is parked,
 * and a common one of each worker for all that do not.
 *
 * The path of a request on a worker:
 *
 *     tier_turn_begin(worker, &now)
 *     for each request of the turn:  tier_prepare (namespace, hash, prefetch)
 *     for each request in order:     tier_execute
 *         TIER_DONE    write the reply, tier_release
 *         TIER_HELD    the same; the replies of this connection wait for the journal
 *         TIER_PARKED  stop this connection, and tier_ticket_take, if it has no ticket of its own; tier_anticipate for
 *                      the requests that follow on it; tier_submit
 *     tier_turn_end(worker)          true: the journal is written, the replies of the turn may be sent
 *
 * and back:  the wake function given to tier_create is called (on any thread); the worker calls
 * tier_next_ready until NULL and executes the same request of that connection again, with the same ticket;
 * and it sends what it held up to tier_released.
 */
#ifndef FOREBAY_POLICIES_TIER_H
#define FOREBAY_POLICIES_TIER_H

#include "cache/base/log.h"
#include "policies/request.h"
#include "policies/space_options.h"
#include <stdatomic.h>
#include <stdio.h>

struct tier;
struct tier_worker;
struct tier_ticket;

enum tier_status { TIER_DONE, TIER_HELD, TIER_PARKED };

struct tier_backend_options {
    struct backend_options store; /* its tables are filled in by tier_create */
    unsigned readers;             /* threads */
    /* ms: so long memory is believed without a proof that what they change is heard */
    uint32_t coherence_limit;
};

/* The settings of a backend of any kind, with their defaults. */
extern const struct setting tier_backend_settings[];

/* Gives what was left 0 its default: readers, timeout. tier_create does it too. */
void tier_backend_options_complete(struct tier_backend_options *options);

enum { TIER_RECOVER_MAX = 64 };

/* What an operator has said of what earlier runs left: --recover. */
struct tier_recovery {
    bool skip_damaged; /* start though a journal is damaged in the middle, without the damaged records */
    bool flush; /* changes of namespaces that are not write-behind any more go to their backends first */
    const char *discard[TIER_RECOVER_MAX]; /* of these namespaces, what no backend has is given up */
    size_t discard_count;
    const char *keep[TIER_RECOVER_MAX]; /* of these, it stays where it is while they are not configured */
    size_t keep_count;
    /* Set by leftover.c alone: this tier only writes to the backends what an earlier policy has left. */
    bool writes_back;
};

struct tier_options {
    struct cache_options cache;
    unsigned workers; /* 1 to 256 */
    /* in the order of the configuration; a default one with prefix "" is added if missing */
    const struct space_options *spaces;
    size_t space_count;
    const struct tier_backend_options *backends;
    size_t backend_count;
    const char *data;               /* folder for journals; NULL: no journal whatever the namespaces say */
    _Atomic uint32_t drain_timeout; /* ms */
    _Atomic uint32_t slow_log;      /* ms that a call of a backend takes to be told on the log; 0: none is */
    size_t journal_file_size;       /* bytes; 0: JOURNAL_FILE_SIZE_DEFAULT */
    uint32_t journal_keep;          /* ms that files stay for a store that goes back; 0: they do not */
    size_t journal_keep_size;       /* and bytes of them at most */
    struct tier_recovery recovery;
    atomic_uint_fast64_t *recovered; /* counts the records that tier_create reads; NULL: nobody looks */
    void (*wake)(void *context, unsigned worker); /* tickets are ready; any thread, must not block */
    /* fields: what the line is about, beside its message, or NULL. Any thread. */
    void (*log)(void *context, enum log_level level, const struct log_field *fields, const char *message);
    void *context;
};

/* Opens backends, recovers journals, starts the backend threads. false: ret_error (a whole sentence) says
 * why; the server must not start. */
bool tier_create(const struct tier_options *options, struct tier **ret_tier, char *ret_error,
                 size_t error_size);

/* Takes over from *wanted what may change while the tier is at work: namespaces that are new there or gone, settings of
 * the others that may change (setting.change), drain_timeout, slow_log, the memory. Settings that need a restart are
 * the same there, or the caller has refused it. All of it, or false: ret_error (a sentence without its full stop) says
 * why not. Waits for backends and the disk. Strings of namespaces that are new have to live as long as the tier. Any
 * thread but the workers', one at a time, and not once it drains. */
bool tier_reload(struct tier *tier, const struct tier_options *wanted, char *ret_error, size_t error_size);

/* One that is under way waits for no backend any more, and is refused if it has nothing taken over yet; so are all
 * later ones. Any thread. */
void tier_stop_reloading(struct tier *tier);

/* Tells how many lines of kinds that need not come again were left out of the log since the last one, where a line may
 * be written. Once a second or so, from one thread, while the tier is at work. */
void tier_tell_left_out(struct tier *tier);

/* What a drain leaves behind. */
struct tier_left {
    size_t entries;     /* that are dirty, */
    size_t journaled;   /* and how many of these the journal holds */
    size_t touches;     /* of rows that memory does not hold; the journals of their namespaces hold them */
    size_t quarantined; /* changes that backends refuse */
    size_t lacking;     /* backends whose store has lost something, and has not all of it again */
};

/* Flushes what is dirty until drain_timeout is over (or tier_stop_draining was called from another thread or
 * a signal's watcher); workers must have stopped. Nothing is loaded any more from then on. */
void tier_drain(struct tier *tier, struct tier_left *ret_left);
void tier_stop_draining(struct tier *tier);

/* What the quarantine of the namespace with this number holds, and its file, *ret_path; NULL: it is in memory alone.
 * Any thread; the path lives as long as the tier. */
size_t tier_quarantined(struct tier *tier, size_t space, const char **ret_path);

/* Preloads, readers and watchers begin nothing new, and end when the call is over that each is in. Any thread. */
void tier_stop_loading(struct tier *tier);

/* Ends all threads, for each of which the call is waited for that it is in, and writes the end of the journal. Workers
 * must have stopped. What is told of the tier afterwards stays true. */
void tier_stop(struct tier *tier);

/* Whether keys are being handed over to other servers: changes of write-behind namespaces are answered once their
 * backend has them (operation_hand_over). Any thread. */
bool tier_hands_over(const struct tier *tier);

/* Stops all threads that run yet, and frees all. */
void tier_destroy(struct tier *tier);

struct cache *tier_cache(struct tier *tier);

/* Any thread: what time it is, for versions and for lives (cache/base/life_clock.h). */
struct cache_time tier_now(const struct tier *tier);

/* By the one thread that maintains, ten times a second, and more often while there is more to do, which is when it
 * answers true: lets the clock of lives follow the wall clock, and sweeps, cleans and resizes the cache. */
bool tier_maintain(struct tier *tier);
struct tier_worker *tier_get_worker(struct tier *tier, unsigned index);
size_t tier_space_count(const struct tier *tier);
struct space *tier_space(struct tier *tier, size_t index);
const struct space_options *space_options(const struct space *space);
size_t space_number(const struct space *space); /* tier_space(tier, number) is this one */

/* ---- Turns (worker thread) ---- */

/* Opens a turn at now, usually tier_now(). True: a reload has given keys to other namespaces since the turn before;
 * what was prepared in that and is not executed yet has to be prepared again. May wait for a moment, while one does
 * so. */
bool tier_turn_begin(struct tier_worker *worker, const struct cache_time *now);

/* Writes the journal, publishes dirty entries, wakes backend threads that have work. True: the replies of the
 * turn may now be sent, except those of connections for which tier_execute answered TIER_HELD: these may go
 * when tier_released has reached *ret_hold, which may be at once; where that is 0, the number that a later turn
 * gives (they only grow; NULL if none is ever held). False: the turn made changes whose records could not be written to
 * the journal, so none of its replies may be sent; what they would have said is true of memory, but a kill -9
 * may undo it. */
bool tier_turn_end(struct tier_worker *worker, uint64_t *ret_hold);

/* Are there records that could not be written to the journal? The next turn tries again, be it an empty one; the wake
 * function is called for it about once a second. */
bool tier_has_unwritten(const struct tier_worker *worker);

/* Up to which number the held replies may go: all that they show is in the journal, under `always` on the disk (or
 * the backends have it). When it may have grown, the wake function is called. */
uint64_t tier_released(struct tier_worker *worker);

/* For the latencies: a turn, of however many parts, begins; its replies were sent. Monotonic microseconds. */
void tier_time_begin(struct tier_worker *worker, uint64_t now_us);
void tier_time_end(struct tier_worker *worker, uint64_t now_us);

/* Finds the namespace, hashes, prefetches. For every request with a key, before tier_execute. Returns what
 * cache_prefetch_entry_of needs to know. */
const void *tier_prepare(struct tier_worker *worker, struct request *request);

/* One request with a key. DONE, HELD: *ret_outcome is the answer; if holds_lock, tier_release comes next.
 * PARKED, HELD: see above. */
enum tier_status tier_execute(struct tier_worker *worker, struct tier_ticket *ticket, struct request *request,
                              struct outcome *ret_outcome);

void tier_release(struct outcome *outcome);

/* Whether the ticket brings an answer for the request that is executed next. That request must be executed, or the
 * answer goes to the one behind it. */
bool tier_has_answer(const struct tier_ticket *ticket);

/* Must an error of this request end its connection instead of being told (on_backend_down = "close")? So it is for get,
 * gat and mg, whose errors many clients take for a miss. */
bool tier_closes_on_error(const struct request *request);

/* After a request parked, for those that follow it on the same connection, in their order, until one answers
 * false: a read whose key is not in memory, behind parked reads, is loaded together with them; a
 * write-through change behind parked ones is made together with them, and its answer comes back with the
 * ticket. They are executed afterwards all the same, in that order, and nothing else of the connection
 * before. */
bool tier_anticipate(struct tier_worker *worker, struct tier_ticket *ticket, const struct request *parked,
                     const struct request *request);

/* Hands a parked ticket over. Until tier_next_ready returns it, the connection must leave it alone. */
void tier_submit(struct tier_worker *worker, struct tier_ticket *ticket);

/* The next ticket that came back, or NULL. */
struct tier_ticket *tier_next_ready(struct tier_worker *worker);

/* The request of a returned ticket will not be executed again (the client went away): forget what it brought. */
void tier_abandon(struct tier_ticket *ticket);

/* ---- Tickets ---- */

/* owner NULL: one that is common to many, who wait for nothing; it is never submitted. NULL: no memory. */
struct tier_ticket *tier_ticket_create(struct tier_worker *worker, void *owner);
void tier_ticket_destroy(struct tier_ticket *ticket); /* not while submitted; the tier may be gone by then */
void *tier_ticket_owner(const struct tier_ticket *ticket);

/* The request that was executed last, with the common ticket, has parked: what it is to wait for is from now on with a
 * ticket of that owner's. NULL: no memory; nothing has been done for the request, and nothing is waited for. */
struct tier_ticket *tier_ticket_take(struct tier_ticket *common, void *owner);

/* A ticket that was taken, and that no request which is still to be executed waits with. Forgets what it brought. */
void tier_ticket_give_back(struct tier_ticket *common, struct tier_ticket *ticket);

/* ---- Commands about the whole (worker thread) ---- */

/* sync: the barrier. space NULL: all. Parks always (then tier_submit); executed again it is DONE with
 * OUTCOME_NUMBER (entries flushed) or OUTCOME_ERROR. timeout_ms 0: waits as long as it takes. */
enum tier_status tier_sync(struct tier_worker *worker, struct tier_ticket *ticket, struct slice space,
                           uint32_t timeout_ms, struct outcome *ret_outcome);

/* flush_all: at is an absolute second. */
void tier_flush_all(struct tier_worker *worker, uint32_t at);
/* A flush_all that is not allowed counts all the same. */
void tier_count_flush(struct tier_worker *worker);

/* What became of tier_forget. */
enum tier_forgetting {
    TIER_FORGOTTEN,
    TIER_KNEW_NOTHING,
    TIER_HOLDS_BACK, /* the backend has yet to learn what memory holds of the key: it stays */
};

/* forget: drops what memory knows of a key, an absence included, whatever the policy, and what is being loaded of it.
 * Row and journal stay as they are. *ret_space: the key's namespace. Counts as no access. */
enum tier_forgetting tier_forget(struct tier_worker *worker, struct slice key,
                                 const struct space_options **ret_space);

/* quarantine <list|retry|drop> <namespace> [key]: appends text lines (CRLF) to out and returns true, or false
 * with ret_error (a whole reply line). */
bool tier_quarantine(struct tier_worker *worker, struct slice argument, FILE *out, const char **ret_error);

/* ---- Statistics (any thread) ---- */

/* Calls line(context, name, value) for each statistic. */
struct stat_sink {
    void (*line)(struct stat_sink *self, const char *name, const char *value);
};
void tier_stat_spaces(struct tier *tier, struct stat_sink *sink);       /* <namespace>:<name> value */
void tier_stat_backends(struct tier *tier, struct stat_sink *sink);     /* <backend>:<name> value */
void tier_stat_write_behind(struct tier *tier, struct stat_sink *sink); /* <namespace>:<name> value */
void tier_stat_quarantine(struct tier *tier, struct stat_sink *sink);
void tier_stat_latencies(struct tier *tier, struct stat_sink *sink); /* <namespace>:<kind>_<name> value */
void tier_reset_stats(struct tier *tier); /* tier_counters, latencies and the cache's begin at 0 again */

/* What workers count of requests: memcached's counters by its names and in its order (between the first list and the
 * second `stats` has two of the cache's), and our own. Adding one: its name here, and where its sum is made
 * (tier_stats.c). */
#define TIER_COUNTERS_OF_GETS(X)                                                                             \
    X(cmd_get)                                                                                               \
    X(cmd_set)                                                                                               \
    X(cmd_flush)                                                                                             \
    X(cmd_touch)                                                                                             \
    X(cmd_meta)                                                                                              \
    X(get_hits)                                                                                              \
    X(get_misses)
#define TIER_COUNTERS_OF_CHANGES(X)                                                                          \
    X(delete_misses)                                                                                         \
    X(delete_hits)                                                                                           \
    X(incr_misses)                                                                                           \
    X(incr_hits)                                                                                             \
    X(decr_misses)                                                                                           \
    X(decr_hits)                                                                                             \
    X(cas_misses)                                                                                            \
    X(cas_hits)                                                                                              \
    X(cas_badval)                                                                                            \
    X(touch_hits)                                                                                            \
    X(touch_misses)                                                                                          \
    X(store_too_large)                                                                                       \
    X(store_no_memory)
#define TIER_COUNTERS_OF_OUR_OWN(X)                                                                          \
    X(loads)                                                                                                 \
    X(load_errors)                                                                                           \
    X(parked)                                                                                                \
    X(closed_reads)
#define TIER_COUNTERS(X) TIER_COUNTERS_OF_GETS(X) TIER_COUNTERS_OF_CHANGES(X) TIER_COUNTERS_OF_OUR_OWN(X)

/* Summed over workers. */
struct tier_counters {
#define TIER_COUNTER(name) uint64_t name;
    TIER_COUNTERS(TIER_COUNTER)
#undef TIER_COUNTER
};
void tier_get_counters(struct tier *tier, struct tier_counters *ret_counters);

/* Of the namespace with this number (below tier_space_count) what was asked of it; what is counted for all of them
 * together (cmd_flush, loads, parked, closed_reads) is 0. */
void tier_get_space_counters(struct tier *tier, size_t space, struct tier_counters *ret_counters);

/* True once preloads that were to be waited for are done. */
bool tier_is_ready(struct tier *tier);

#endif
