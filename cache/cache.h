/* SPDX-License-Identifier: MIT */
/*
 * The in-memory cache: a fixed set of shards, each a lock over an index and a log of segments.
 *
 * It knows no socket, no policy and no backend: it stores entries with a state that says what a backend still
 * has to learn about them (cache_state), and hands out the dirty ones on request.
 *
 * Use: seek a key, look at the cursor, perhaps change the entry, release. From seek to release this thread
 * holds the lock of the key's shard: do little, never block, never seek again before the release.
 *
 *     struct cache_cursor at;
 *     if (cache_seek(cache, space, key, hash, &now, &at) == CACHE_PRESENT)
 *         copy(at.view.value);
 *     cache_release(&at);
 *
 * Threads: every function may be called from every thread at any time, unless it says otherwise; cursors stay
 * on the thread that sought. No function does I/O.
 *
 * States of an entry (drawn whole in docs/design.md):
 *
 *     absent --fill/store--> CLEAN --store--> DIRTY --collect--> FLUSHING --settle--> CLEAN
 *                                               ^------store---------'
 *     a tombstone goes the same way and ends as absent; only CLEAN entries are ever evicted or dropped.
 */
#ifndef FOREBAY_CACHE_CACHE_H
#define FOREBAY_CACHE_CACHE_H

#include "cache/base/entry.h"

struct cache;
struct cache_shard;
struct cache_large; /* a counted allocation holding one value too large for the log */

enum {
    CACHE_SPACES_MAX = 64,       /* namespaces of one cache */
    CACHE_ALL_SPACES = -1,       /* where a function takes one namespace or all */
    CACHE_LARGE_VALUE = 32 << 10 /* bytes: values from here on are allocations of their own */
};

enum cache_status {
    CACHE_OK,
    CACHE_NO_MEMORY, /* nothing can be evicted (all dirty, -M, or a quota), or the allocation failed */
    CACHE_TOO_LARGE, /* value longer than item_max */
    CACHE_CHANGED,   /* the key changed since the stamp was taken; nothing was stored */
    CACHE_NOT_KEPT,  /* the namespace is blind (cache_set_blind) */
};

enum cache_eviction { CACHE_LRU, CACHE_S3_FIFO };

struct cache_options {
    _Atomic size_t memory_limit; /* bytes: resident memory of the whole cache, index included */
    size_t item_max;             /* bytes: longest value accepted, up to 128 MiB */
    unsigned threads;            /* threads expected to use the cache: sets the number of shards */
    unsigned node;               /* node id in versions, below 1 << ENTRY_VERSION_NODE_BITS */
    bool no_eviction;            /* memcached's -M: a store fails instead of evicting */
    /* 0: hashes differ from cache to cache; else they are the same for the same seed, for tests */
    uint64_t hash_seed;
};

struct cache_space_options {
    _Atomic size_t memory_floor;   /* bytes that other namespaces cannot take; 0: none */
    _Atomic size_t memory_ceiling; /* bytes that this one cannot exceed; 0: none */
    enum cache_eviction eviction;
    /* seconds a clean entry may stay since it was stored or loaded; 0: for ever */
    _Atomic uint32_t max_residency;
    _Atomic bool keep_stale; /* entries stay beyond max_residency until room is needed: cache_cursor.stale */
};

/* Makes an empty cache. CACHE_NO_MEMORY: no memory, no address space, or no random numbers. */
enum cache_status cache_create(const struct cache_options *options, struct cache **ret_cache);

/* Frees everything. No other thread may be using the cache, and no large value may still be held. */
void cache_destroy(struct cache *cache);

/* Adds a namespace, returns its number (0, 1, ... in order of the calls), or -1 when CACHE_SPACES_MAX exist or there is
 * no memory. One thread at a time, also with cache_adjust_spaces; others may be using the other namespaces. */
int cache_add_space(struct cache *cache, const struct cache_space_options *options);

/* Ends a namespace, which nobody stores to any more, and of which nothing is dirty: what it holds is gone at once, and
 * fills that come late are refused as CACHE_CHANGED. Its number stays taken; cache_open_space makes it usable again. */
void cache_close_space(struct cache *cache, int space, const struct cache_time *now);
void cache_open_space(struct cache *cache, int space);

/* Drops the clean entries of the other namespaces whose keys begin so. Locks each shard for a few dozen buckets at a
 * time. Of keys that nobody stores in another namespace meanwhile none is left. */
void cache_drop_prefix(struct cache *cache, struct slice prefix, int except);

/* Gives each namespace these options in place of those that it has, in the order of their numbers. What is stored
 * already keeps its residency and its queue; a namespace that is above a lower ceiling shrinks in small steps, with the
 * help of cache_maintain. CACHE_NO_MEMORY: nothing has changed. One thread at a time. */
enum cache_status cache_adjust_spaces(struct cache *cache, const struct cache_space_options *options);

/* The hash that every call below expects for a key. All but its upper bits, which are in versions
 * (version_lower), differ from cache to cache, and are to be shown to nobody (hash.h). */
uint64_t cache_hash(const struct cache *cache, struct slice key);

/* Brings the index lines of a hash towards the processor; call for a whole batch, then seek each. */
void cache_prefetch(const struct cache *cache, uint64_t hash);

/* Both: the hash of a key whose index lines are on their way, and for cache_prefetch_entry_of alone which these are. A
 * function of its own, as every request needs it. */
uint64_t cache_hash_and_prefetch(const struct cache *cache, struct slice key, const void **ret_bucket);

/* A second stage, once the bucket is near: brings the first line of the entry that the hash probably means,
 * and returns where that is, or NULL. Takes no lock: what it returns is a hint, for cache_prefetch_value
 * alone. */
const void *cache_prefetch_entry(const struct cache *cache, uint64_t hash);
const void *cache_prefetch_entry_of(const struct cache *cache, const void *bucket, uint64_t hash);

/* A third stage: brings what follows the first line. A processor has only a dozen or so misses under way at a
 * time, so the stages are spread over the work on other requests rather than done for a batch at once. */
static inline void cache_prefetch_value(const void *entry) {
    if (entry) {
        __builtin_prefetch((const char *)entry + 64);
        __builtin_prefetch((const char *)entry + 128);
    }
}

/* ---- Reading ---- */

enum cache_presence {
    CACHE_UNKNOWN, /* memory holds nothing about the key */
    CACHE_PRESENT, /* live: the view is valid */
    CACHE_GONE,    /* known not to exist: a tombstone, expired while dirty, or a remembered absence */
};

enum cache_state { CACHE_CLEAN, CACHE_DIRTY, CACHE_FLUSHING };

/* What is known of an entry. Slices point into the shard: valid until the cursor changes the entry or is
 * released. */
struct cache_view {
    struct slice key, value;
    uint64_t version;
    uint64_t client_cas;  /* 0: the version is the CAS */
    uint32_t flags;       /* client flags */
    uint32_t expires_at;  /* 0: never */
    uint32_t last_access; /* Unix seconds of the last cache_hit or store; coarse to a second */
    enum cache_state state;
    uint8_t marks;             /* enum entry_mark */
    bool fetched;              /* cache_hit was called since it was stored (memcached's h flag) */
    bool tombstone;            /* a delete that the backend has yet to learn */
    bool expired;              /* dirty, and its life is over: the backend has to delete the row */
    bool ttl_only;             /* dirty, but only its expiry differs from what the backend has */
    struct cache_large *large; /* the owner of value when it lives outside the log, else NULL */
};

static inline uint64_t cache_view_cas(const struct cache_view *view) {
    return view->client_cas ? view->client_cas : view->version;
}

struct cache_cursor {
    enum cache_presence presence;
    /* PRESENT, or UNKNOWN and stale: all of it is valid. GONE: version, state, tombstone and expired. */
    struct cache_view view;
    uint64_t stamp; /* for cache_fill: the key's state of change at the seek */
    bool queue;     /* set by the change functions: the entry turned dirty, so it has to be queued */
    /* UNKNOWN: the view shows what was last known of the entry, which has outstayed its max_residency but not
     * its life. It may be shown, and a fill replaces it. Undefined otherwise. */
    bool stale;
    /* private from here on */
    struct cache *cache;
    struct cache_shard *shard;
    struct slice key;
    uint64_t hash;
    struct cache_time now;
    uint32_t ref;
    int space;
};

/* Locks the shard of the key and finds its entry. key must stay valid until the release. */
enum cache_presence cache_seek(struct cache *cache, int space, struct slice key, uint64_t hash,
                               const struct cache_time *now, struct cache_cursor *ret_cursor);

/* True: the key is CACHE_UNKNOWN, and yet there is a live value, which is not believed (cache_set_blind, or it has
 * outstayed max_residency). cursor->view shows it. */
bool cache_is_hidden(const struct cache_cursor *cursor);

/* True: the cursor found a remembered absence (cache_fill_absent): at some moment the backend had no such row. */
static inline bool cache_is_absence(const struct cache_cursor *cursor) {
    return cursor->presence == CACHE_GONE && cursor->view.state == CACHE_CLEAN;
}

/* The same for who overwrites whatever there is: nothing of the view is filled. */
enum cache_presence cache_seek_place(struct cache *cache, int space, struct slice key, uint64_t hash,
                                     const struct cache_time *now, struct cache_cursor *ret_cursor);

/* What a glance sees. */
enum cache_glance {
    GLANCE_VALUE,   /* a live value in the log */
    GLANCE_NOTHING, /* CACHE_UNKNOWN, and not stale */
    GLANCE_CLOSER,  /* cache_seek says what there is */
};

/* cache_seek for a get: on GLANCE_VALUE the shard is locked, value, version, client_cas, flags, state and large of the
 * view are filled, and the cursor is good for cache_hit and cache_release alone. Else nothing is locked. */
enum cache_glance cache_glance(struct cache *cache, struct slice key, uint64_t hash, uint32_t now,
                               struct cache_view *ret_view, struct cache_cursor *ret_cursor);

/* Says that the entry under the cursor was read: its recency and fetched bit, perhaps its place in the log.
 * Slices of the view are no longer valid after it. */
void cache_hit(struct cache_cursor *cursor);

/* Unlocks. */
void cache_release(struct cache_cursor *cursor);

/* Keeps the value of a view (large != NULL) alive beyond the release; it counts against the memory limit
 * until it is dropped. */
void cache_large_hold(struct cache_large *large);
void cache_large_drop(struct cache_large *large);

/* ---- Changing the entry under a cursor ---- */

/* What cache_store writes. value must not point into the cache. */
struct cache_write {
    struct slice value;
    uint64_t version;    /* 0: the shard's next version; else stored as given (write-through, recovery) */
    uint64_t client_cas; /* 0: none */
    uint32_t flags;
    uint32_t expires_at;
    uint8_t marks;
    bool dirty; /* the backend has yet to learn it */
};

/* For all of these: on CACHE_OK cursor->view.version is the entry's version afterwards, and cursor->queue is
 * true when the entry was not DIRTY before and now is. On failure the entry is as it was. A change of a
 * FLUSHING entry makes it DIRTY again. To write over a DIRTY entry without dirty is a programmer's error. */

/* Inserts or overwrites; presence becomes PRESENT. */
enum cache_status cache_store(struct cache_cursor *cursor, const struct cache_write *write);

/* Changes the expiry alone. dirty: takes a new version, the CAS that clients see stays (kept as client_cas)
 * and the entry becomes DIRTY with ttl_only, unless its value is dirty already. Not dirty: memory only,
 * version stays. */
enum cache_status cache_touch(struct cache_cursor *cursor, uint32_t expires_at, bool dirty);

/* Changes the lease marks in memory alone; the version and the state stay. */
void cache_set_marks(struct cache_cursor *cursor, uint8_t marks);

/* Of a dirty entry that was just stored: the backend has its value, so it becomes ttl_only (recovery of a touch). */
void cache_set_ttl_only(struct cache_cursor *cursor);

/* Leaves a dirty tombstone with the shard's next version (or the given one), whether there was an entry or
 * not. */
enum cache_status cache_bury(struct cache_cursor *cursor, uint64_t version);

/* Forgets the entry, whatever its state. To be called also when there is none: it refuses late fills. The cursor's
 * stamp is that of the key from now on. */
void cache_forget(struct cache_cursor *cursor);

/* Draws the next version of the key's shard: larger than every one drawn or seen there, and equal to none
 * that was drawn for another key. */
uint64_t cache_next_version(struct cache *cache, uint64_t hash, const struct cache_time *now);

/* Every version drawn from now on is larger than this one. Called at start with the highest that journals and
 * backends hold. False: it is above ENTRY_VERSION_HIGHEST, no clock gave it, and nothing is changed. */
bool cache_raise_version(struct cache *cache, uint64_t version);

/* The time of the highest version drawn or seen so far, in microseconds: ahead of the wall clock where that
 * was ahead before, here or on another node. A hint: takes no lock, and a version that is being drawn now may
 * be higher. */
uint64_t cache_last_version_us(const struct cache *cache);

/* So many entries of so many bytes (key and value) in all are about to be stored, by the caller alone, into a cache
 * that holds nothing yet. Where the shards are large, indexes and logs are made ready for most of it: in huge pages,
 * and without growing a little at a time. A hint: it may be wrong. */
void cache_expect(struct cache *cache, uint64_t entries, size_t bytes);

/* They have been stored. */
void cache_expect_no_more(struct cache *cache);

/* ---- Filling from a backend ---- */

/* Stores a clean entry as loaded, if the key is still unknown and unchanged since the stamp was taken at the
 * miss. CACHE_CHANGED: what was loaded may be old, seek again. CACHE_NO_MEMORY, CACHE_TOO_LARGE, CACHE_NOT_KEPT: what
 * was loaded is current, but was not kept. entry->key must hash to hash. */
enum cache_status cache_fill(struct cache *cache, int space, const struct entry *entry, uint64_t hash,
                             uint64_t stamp, const struct cache_time *now);

/* The same for a key that the backend does not have: remembered as GONE until the second `until`; with until
 * <= now nothing is stored and the result only says whether the absence is current. */
enum cache_status cache_fill_absent(struct cache *cache, int space, struct slice key, uint64_t hash,
                                    uint64_t stamp, uint32_t until, const struct cache_time *now);

/* The stamps of all keys as they were when they were taken last, for whoever fills what nobody has asked for: taken
 * before it is read of the backend. 16 KiB for each shard, copied in about a microsecond under its lock. NULL: no
 * memory. */
struct cache_stamps;
struct cache_stamps *cache_stamps_create(const struct cache *cache);
void cache_stamps_take(struct cache_stamps *stamps);
uint64_t cache_stamps_of(const struct cache_stamps *stamps, uint64_t hash);
void cache_stamps_destroy(struct cache_stamps *stamps);

/* ---- Flushing ---- */

/* Called under the shard's lock for each collected entry: copy, do not keep slices, do not call the cache. */
struct cache_collector {
    void (*entry)(struct cache_collector *self, const struct cache_view *view);
};

/* Turns every DIRTY entry of the namespace with exactly this hash to FLUSHING and shows it to the collector,
 * tombstones and expired ones included. Returns how many; 0 when what the queue says is outdated. */
unsigned cache_collect(struct cache *cache, int space, uint64_t hash, const struct cache_time *now,
                       struct cache_collector *collector);

/* The backend has this version (or a newer one): if it is still the entry's version, the entry becomes CLEAN,
 * or is dropped when it is a tombstone, expired, or voided by cache_flush_all. False: it has changed
 * meanwhile. */
bool cache_settle(struct cache *cache, struct slice key, uint64_t hash, uint64_t version,
                  const struct cache_time *now);

/* A FLUSHING entry of this version becomes DIRTY again (the flush was given up). True if it has to be
 * queued. */
bool cache_unsettle(struct cache *cache, struct slice key, uint64_t hash, uint64_t version);

/* Forgets every entry of the namespace with exactly this hash that is DIRTY: recovery reads it again later. What was
 * queued of them is outdated then. */
void cache_forget_dirty(struct cache *cache, int space, uint64_t hash);

/* Bytes (key, value and overhead) and entries that are DIRTY or FLUSHING, tombstones included. One relaxed
 * load; of one namespace, not CACHE_ALL_SPACES. */
size_t cache_dirty_bytes(const struct cache *cache, int space);
size_t cache_dirty_entries(const struct cache *cache, int space);

/* ---- Where others change the backend's rows ---- */

/* What there is to be asked of the store about a key that was changed there. */
enum cache_doubt {
    CACHE_DOUBTS_NOTHING, /* memory holds nothing live of it, or what is dirty */
    CACHE_DOUBTS,         /* a clean value: whether the store has another one */
    CACHE_WILL_DOUBT,     /* the same, but not yet: what memory holds is being written */
};

struct cache_doubted {
    struct slice key;
    uint64_t version;
};

/* Somebody has changed the row of a key of this namespace, perhaps this server itself: what is being loaded of it is
 * refused, and a remembered absence is dropped. CACHE_DOUBTS: *ret_version is that of the value. */
enum cache_doubt cache_doubt(struct cache *cache, int space, struct slice key, uint64_t hash,
                             const struct cache_time *now, uint64_t *ret_version);

/* Looks again at what has this hash. ret_key has room for ENTRY_KEY_MAX bytes; the key of *ret_doubted lies there. Both
 * are undefined with CACHE_DOUBTS_NOTHING. */
enum cache_doubt cache_doubt_again(struct cache *cache, int space, uint64_t hash, char *ret_key,
                                   struct cache_doubted *ret_doubted);

/* Forgets a clean value of this version, unless it is that of the row (NULL: there is none, or another one). True: it
 * was there, and is forgotten. */
bool cache_forget_other(struct cache *cache, struct slice key, uint64_t hash, uint64_t version,
                        const struct entry *row);

/* While a namespace is blind, nothing clean of it is believed: it is CACHE_UNKNOWN, stale where the namespace keeps
 * what is (cache_cursor.stale), and nothing is filled. What is dirty is shown as ever. */
void cache_set_blind(struct cache *cache, int space, bool blind);

/* ---- Looking at entries without asking for them ---- */

/* Called under a shard's lock: copy, do not keep slices, do not call the cache. */
struct cache_visitor {
    void (*entry)(struct cache_visitor *self, int space, const struct cache_view *view);
};

/* Where a walk has got to; zeroes: the beginning. */
struct cache_walk {
    unsigned shard;
    uint32_t bucket;
};

/* Shows the live entries of a few dozen buckets, of one namespace or of all, in no order. False: those were
 * the last. An entry that exists from the first call to the last is shown; it may be shown twice when the
 * index grows meanwhile, and it may be missed when the index shrinks. */
bool cache_walk(struct cache *cache, int space, struct cache_walk *walk, const struct cache_time *now,
                struct cache_visitor *visitor);

/* From now on each live entry is shown right before it is evicted; NULL: no longer. The visitor has to
 * outlive the cache, for a thread that evicts may still be calling it. */
void cache_watch_evictions(struct cache *cache, struct cache_visitor *visitor);

/* ---- The whole cache ---- */

/* Counts memory of its user's against the limit; entries give way to it. False: it is more than a quarter of the limit,
 * or would be more than half of it with all that was taken before, and is not counted. */
bool cache_take_memory(struct cache *cache, size_t bytes);
/* Gives back what was taken. */
void cache_give_memory(struct cache *cache, size_t bytes);

/* Voids, at the second `at`, whatever one namespace or all of them hold by then (memcached's flush_all with a
 * delay; at <= now: at once). Clean entries are gone from then on; dirty ones stay readable until they are
 * settled, and are dropped then. */
void cache_flush_all(struct cache *cache, int space, uint32_t at, const struct cache_time *now);

/* Between which bounds the memory limit can be changed now: from what shards need, or twice what its user has taken, to
 * what addresses were reserved for. */
struct cache_bounds {
    size_t least, most;
};
struct cache_bounds cache_bounds(const struct cache *cache);

/* Changes the memory limit; shrinking evicts in small steps, with the help of cache_maintain. CACHE_NO_MEMORY: it is
 * out of these bounds. */
enum cache_status cache_resize(struct cache *cache, size_t memory_limit);

/* A bounded step of sweeping expired segments, compacting holes and shrinking to the limit; each shard is
 * locked for microseconds at a time. Call every 100 ms or so. True: there is more to do, call again at
 * once. */
bool cache_maintain(struct cache *cache, const struct cache_time *now);

struct cache_stats {
    uint64_t entries;      /* live, tombstones and remembered absences not included */
    uint64_t total_stored; /* entries ever stored by cache_store and cache_fill */
    uint64_t bytes;        /* key, value and header bytes of live entries */
    uint64_t memory_used;  /* segments in use, index, large values; never above memory_limit */
    uint64_t memory_limit;
    uint64_t evictions; /* clean live entries dropped for room */
    uint64_t evicted_unfetched;
    uint64_t expired; /* entries whose memory was reclaimed because their life was over or they were voided */
    uint64_t expired_unfetched;
    uint64_t found_expired, found_voided; /* seeks that found such an entry before it was reclaimed */
    uint64_t dirty_entries, dirty_bytes;
    uint64_t tombstones, negatives;
    uint64_t large_entries, large_bytes;
    uint64_t segments, segment_bytes, dead_bytes; /* dead: holes in segments */
    uint64_t cleaned_bytes;                       /* bytes moved by the cleaner */
    uint64_t index_buckets, index_bytes;
    uint64_t no_memory; /* stores refused */
};

/* Sums over shards, for one namespace or CACHE_ALL_SPACES. Locks each shard briefly. */
void cache_get_stats(struct cache *cache, int space, struct cache_stats *ret_stats);

/* The same of each namespace, into as many as there are; what is the cache's as a whole (index, limit) is 0. Locks each
 * shard once, so that asking for all costs no more locks than asking for one. */
void cache_get_space_stats(struct cache *cache, struct cache_stats ret_stats[static CACHE_SPACES_MAX]);

/* Zeroes the counters (not the gauges): memcached's `stats reset`. */
void cache_reset_stats(struct cache *cache);

/* Checks every invariant of every shard, by asserts; slow, for tests. Returns true. */
bool cache_is_sane(struct cache *cache);

#endif
