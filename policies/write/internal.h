/* SPDX-License-Identifier: MIT */
/* The insides of a writer, shared by writer.c (the thread and its schedule), group.c (write-through),
 * flusher.c (write-behind), touches.c (touches of rows that memory does not hold). */
#ifndef FOREBAY_POLICIES_WRITER_INTERNAL_H
#define FOREBAY_POLICIES_WRITER_INTERNAL_H

#include "policies/write/bytes.h"
#include "policies/write/gather.h"
#include "policies/write/quarantine.h"
#include "policies/write/writer.h"

enum {
    GROUP_MAX = 1024,           /* write-through changes that share a commit */
    GROUP_BYTES_MAX = 16 << 20, /* and their values */
    LOAD_MAX = 128,             /* keys per lookup on the writer's connection */
    COMMIT_MAX = 10000,         /* entries of it that share a commit: write-through groups go between */
    POLL_US = 1000000,          /* the thread looks around at least that often */
    TOUCH_BUCKETS = 4096,
    DETACHED_MAX = 4096, /* touches in the background per writer (existence = memory) */
};

/* Write-behind of one namespace; the writer thread's alone, but for `bound`. */
struct flusher {
    struct space *space;
    /* the batch in flight, by key; those before `begin` have reached the backend */
    struct mutation *mutations;
    uint64_t *hashes;
    size_t begin, count, capacity;
    struct bytes bytes;
    uint64_t batch_since; /* `since` of the oldest element in it, UINT64_MAX: none */
    /* what the writer has to flush beside the queues */
    struct dirty *again;
    size_t again_count, again_capacity;
    /* the front that was seen last, and when: an age that does not depend on the wall clock */
    uint64_t front_popped, front_seen_us;
};

struct touch_later {
    struct touch_later *next;
    struct touch_later *chain; /* in writer.pending */
    struct space *space;
    uint64_t hash, version, client_cas;
    uint32_t expires_at;
    uint8_t key_size;
    char key[ENTRY_KEY_MAX];
};

struct group_item;

/* Write-through changes on their way to a commit; the writer thread's alone. */
struct group {
    struct group_item *items; /* GROUP_MAX */
    size_t count;
    struct mutation *mutations;
    size_t mutation_count;
    bool prepared; /* evaluated: only the commit is to be repeated */
    uint64_t deadline_us;
    struct bytes bytes;
    char *scratch;
    int *chains;        /* by hash: the last item, -1: none */
    size_t answered;    /* by the last commit of this pass, 0: there was none */
    uint64_t commit_us; /* what it took, with its preparation */
};

struct writer {
    struct tier_backend *backend;
    struct tier *tier;
    pthread_t thread;
    bool started;
    struct backend_connection *connection; /* NULL: to be opened */
    unsigned failures;                     /* in a row, on this connection */
    struct breaker breaker;                /* the thread's, its state is read by anyone */
    atomic_uint_fast64_t retry_at;         /* the breaker's, for writer_is_hopeful */
    uint64_t upkeep_at;

    struct flusher *flushers; /* of the write-behind namespaces of this backend */
    size_t flusher_count;
    size_t next_flusher;
    struct group group;
    struct tier_ticket *jobs, **jobs_end; /* taken, not yet in a group */
    struct barrier *barriers;             /* taken, not yet satisfied */
    struct touch_later *touches;          /* taken, not yet applied */
    bool touches_failed;                  /* the last attempt: to be tried again when the breaker lets it */
    atomic_uint_fast64_t bound;           /* low_water.c */
    struct backend_error error;           /* of the last call that failed */
    atomic_uint_fast64_t groups, grouped, group_refused, failure_count, reconnects, upkeep, touched,
        barrier_count;
    atomic_uint_fast64_t apply_us, apply_max_us;

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t work;
    struct tier_ticket *new_jobs, **new_jobs_end;
    size_t new_job_count;
    struct gather gather;
    struct barrier *new_barriers;
    struct touch_later *new_touches;
    struct touch_later *pending[TOUCH_BUCKETS]; /* by hash: all touches that are not done, taken or not */
    bool poked, stop;
    atomic_uint detached; /* how many; changes under the mutex */
};

/* Calls the backend, reports to breaker and statistics, reopens the connection where that may help. */
enum backend_status writer_apply(struct writer *writer, struct mutation *mutations, size_t count);
enum backend_status writer_load(struct writer *writer, struct space *space, const struct slice *keys,
                                size_t count, struct load_result *results);
/* What was alive at the second `now`, as far as the store still has it. */
enum backend_status writer_load_at(struct writer *writer, struct space *space, const struct slice *keys,
                                   size_t count, uint32_t now, struct load_result *results);

/* Answers a write-through change: the backend cannot be asked. */
void writer_fail_job(const struct writer *writer, struct tier_ticket *ticket);

/* May the backend be asked now? A probe, if the breaker is open, must be followed by a call. */
bool writer_admits(struct writer *writer);

/* ---- group.c ---- */

bool group_init(struct group *group, size_t item_max);
void group_free(struct group *group);
/* Works on writer->jobs. */
void group_run(struct writer *writer);
/* Answers all that waits: the writer ends. */
void group_fail_all(struct writer *writer);

/* ---- flusher.c ---- */

bool flusher_init(struct flusher *flusher, struct space *space);
void flusher_free(struct flusher *flusher);
/* Is there anything queued, put back or in flight? */
bool flusher_has_work(struct flusher *flusher);
/* When a flush is due, monotonic us: 0 now, UINT64_MAX never. forced: whatever there is, is due. */
uint64_t flusher_due(struct flusher *flusher, uint64_t now_us, bool forced);
/* Collects a batch if none is held, and takes up to COMMIT_MAX of it to the backend. False: they could not be
 * written now. */
bool flusher_flush(struct writer *writer, struct flusher *flusher);
/* Age of the oldest unflushed change, us. */
uint64_t flusher_age(struct flusher *flusher, uint64_t now_us);
/* Something the writer made dirty, or puts back. */
bool flusher_again(struct flusher *flusher, struct dirty dirty);
/* Tries what is marked in the quarantine. */
void flusher_retry_quarantine(struct writer *writer, struct flusher *flusher);
/* The least `since` of all that is not in the backend, UINT64_MAX: none. */
uint64_t flusher_since(struct flusher *flusher);

/* ---- touches.c ---- */

/* Applies writer->touches, but for those whose entry has to be flushed first. False: stopped by a failure. */
bool touches_run(struct writer *writer);
/* Is a touch of this namespace (NULL: any) taken and not done? */
bool touches_wait(const struct writer *writer, const struct space *space);
/* The least version among the touches that are not done, taken or not; UINT64_MAX: none. */
uint64_t touches_bound(struct writer *writer);
void touches_free(struct touch_later *touches);

#endif
