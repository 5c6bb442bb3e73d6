/* SPDX-License-Identifier: MIT */
/*
 * Write-behind of one namespace: from the dirty queues to the backend. The states of an entry on this way are
 * drawn at the head of flusher.c. The writer's thread alone.
 */
#ifndef FOREBAY_POLICIES_WRITE_FLUSHER_H
#define FOREBAY_POLICIES_WRITE_FLUSHER_H

#include "cache/base/log_limit.h"
#include "policies/space.h"
#include "policies/write/bytes.h"
#include "policies/write/marks.h"

struct writer;

enum {
    FLUSHER_COMMIT_MAX = 10000, /* entries that share a commit: write-through groups go between */
    FLUSHER_AHEAD = 6,          /* so many entries before it is needed, memory is fetched */
};

struct flusher {
    struct space *space;
    /* the batch in flight, in the order of its writing; those before `begin` have reached the backend */
    struct mutation *mutations;
    uint64_t *hashes;
    size_t begin, count, capacity;
    struct bytes bytes;
    uint64_t batch_since; /* `since` of the oldest element in it, UINT64_MAX: none */
    struct marks marks;   /* by which batch the store had what */
    uint64_t had_until;   /* a store that went back had all up to this version, the last time (at_risk.h) */
    /* what has to be flushed beside the queues: put back for want of memory */
    struct dirty *again;
    size_t again_count, again_capacity;
    /* what is of a part of the store that is away: dirty again, and tried again from then on (monotonic us) */
    struct dirty *aside;
    size_t aside_count, aside_capacity, aside_due; /* due: so many may be in the batch that is collected */
    uint64_t aside_since, aside_until_us, aside_pause_us; /* since: no later than that of any of them */
    uint64_t retry_at_us, retry_pause_us;                 /* of what is put off in the quarantine: retry.h */
    /* the front that was seen last, and when: an age that does not depend on the wall clock */
    uint64_t front_popped, front_seen_us;
    /* what recovery restored is not all in the backend yet; when the log last said so, and how long it says nothing
     * then */
    bool recovering;
    uint64_t told_us, tell_pause_us;
    /* the quarantine's file could not be written: nothing is flushed before, monotonic us */
    uint64_t held_until_us;
    bool quarantine_fails;
    /* rows that the backend refuses: when the current call of flusher_flush lets others come, monotonic; and what the
     * log has yet to say of them */
    uint64_t halving_until_us;
    size_t halved; /* how many the next call begins with, as all of them were refused; 0: no matter */
    struct log_limit refusals;
    size_t superseded_untold;          /* changes that gave way to another node's and are not told of, */
    uint64_t superseded_told_us;       /* and when that was told; monotonic, 0: never */
    size_t refused_untold;             /* rows */
    struct log_limit quarantine_lines; /* of the log: full or not, written or not, removed */
    uint64_t quarantine_seen_us;       /* when its file was looked for; monotonic */
};

/* Readies one, all zero before. */
void flusher_init(struct flusher *flusher, struct space *space);
void flusher_free(struct flusher *flusher);

/* When a flush is due, monotonic us: 0 now, UINT64_MAX never. forced: whatever there is, is due. */
uint64_t flusher_due(struct flusher *flusher, uint64_t now_us, bool forced);

/* Collects a batch if none is held, and takes as much of it to the backend as shares a commit:
 * write-through groups go between. Where rows are refused it ends after a while, and goes on with the next call: others
 * are not to wait for all of them. False: it could not be written now, and is held. */
bool flusher_flush(struct writer *writer, struct flusher *flusher);

/* Flushes all there is. False: it cannot be written now, or there is no memory
 * for a batch. Before writer_start. */
bool flusher_flush_all(struct writer *writer, struct flusher *flusher);

/* Age of the oldest change that is not in the backend, us. */
uint64_t flusher_age(struct flusher *flusher, uint64_t now_us);

/* The store has this mutation, or a newer row: memory is told, and the quarantine. */
void flusher_settle(struct space *space, const struct mutation *mutation, uint64_t hash);

/* Tells the log of what was recovered and is not in the backend yet, and when all of it is. */
void flusher_watch_recovery(struct flusher *flusher, uint64_t now_us);

/* The least `since` of all that is not in the backend, UINT64_MAX: none. */
uint64_t flusher_since(struct flusher *flusher);

/* Is all in the backend that was pushed before the queues had these counts (one per worker; all 0: nothing
 * is asked for)? */
bool flusher_has_written(const struct flusher *flusher, const uint64_t *pushed);

/* The batch is held until the quarantine's file can be written (errno says why not), and with it the journal's
 * records. */
void flusher_hold_for_quarantine(struct flusher *flusher);

/* Another node's write is newer than this: what memory has of it is old. */
void flusher_forget_ours(struct space *space, const struct mutation *mutation, uint64_t hash,
                         const struct cache_time *now);

/* Those that are done come first, in their order, and the others follow in any; the hashes (NULL: there are none) go
 * along. Returns how many are done. */
size_t flusher_part_done(struct mutation *mutations, uint64_t *hashes, size_t count);

/* Tells the log of refused rows that had to be left out, as soon as it may have a line again. */
void flusher_tell_refused(struct flusher *flusher, uint64_t now_us);

/* Once a second: has somebody removed the quarantine's file? */
void flusher_watch_quarantine(struct flusher *flusher, uint64_t now_us);

/* Finds out whether the namespace is full, and tells the log where its quarantine makes it so. */
void flusher_judge_fullness(struct flusher *flusher, uint64_t age_us);

#endif
