/* SPDX-License-Identifier: MIT */
/*
 * The command `watch`: a client is told, line by line, what happens in the server. Lines have memcached's
 * form:
 *
 *     ts=1774000000.123456 gid=17 type=item_get key=foo status=found clsid=1 cfd=25 size=6
 *
 * Each watcher has a buffer of its own. What does not fit is dropped for this watcher alone; as soon as there
 * is room again it is told how many lines it missed: "skipped=12".
 *
 * While nobody watches a kind of event nothing is done for it: callers ask watch_wants first, once a turn. A
 * key's class is its namespace, counted from 1.
 */
#ifndef FOREBAY_SERVER_ADMIN_WATCH_H
#define FOREBAY_SERVER_ADMIN_WATCH_H

#include "cache/cache.h"

enum watch_kind {
    WATCH_FETCHERS = 1,    /* every look at an entry: item_get */
    WATCH_MUTATIONS = 2,   /* item_store */
    WATCH_DELETIONS = 4,   /* deleted */
    WATCH_EVICTIONS = 8,   /* eviction */
    WATCH_CONNEVENTS = 16, /* conn_new, conn_close */
    WATCH_NOTHING = 32,    /* rawcmds, sysevents and the proxy's: known words, but nothing is ever told */
};

struct feed;
struct feeds;
struct peer; /* server/accepted.h */
struct watch;

struct watch_stats {
    uint64_t written, skipped, sent, watchers; /* log_worker_written, log_watcher_skipped, ... */
};

/* buffer: bytes for each watcher. NULL: no memory. */
struct watch *watch_create(struct feeds *feeds, size_t buffer);
void watch_free(struct watch *watch);

/* The kind that a word of the command means (any beginning of its name will do), or 0. */
unsigned watch_kind_of(struct slice word);

enum { WATCHERS_MAX = 20 };

/* A new watcher of these kinds, as a feed. NULL with the error line: too many, or no memory. */
struct feed *watch_begin(struct watch *watch, unsigned kinds, const char **ret_error);

/* The kinds that somebody watches. Any thread; one relaxed load. */
unsigned watch_wants(const struct watch *watch);

/* The cache whose evictions can be watched. It must be destroyed before the watch is freed. */
void watch_attach(struct watch *watch, struct cache *cache);

/* ---- Events. Any thread, also under a shard's lock. ---- */

struct watch_item {
    struct slice key;
    size_t space; /* number of the namespace */
    size_t size;  /* bytes of the value */
    int fd;       /* the client's */
};

void watch_get(struct watch *watch, const struct watch_item *item, bool found);
void watch_store(struct watch *watch, const struct watch_item *item, const char *status, const char *command,
                 uint32_t ttl);
void watch_delete(struct watch *watch, const struct watch_item *item, const char *command);

/* reason: NULL for a new connection, else why it is closed. */
void watch_connection(struct watch *watch, int fd, const struct peer *peer, const char *reason);

/* A key as memcached's logs show it: everything except letters, digits and -._~ is written as %XX. Ends with a 0. */
enum { WATCH_KEY_TEXT = 3 * ENTRY_KEY_MAX + 1 };
void watch_write_key(char *out, struct slice key);

void watch_get_stats(struct watch *watch, struct watch_stats *ret_stats);
void watch_reset_stats(struct watch *watch);

#endif
