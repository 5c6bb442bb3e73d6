/* SPDX-License-Identifier: MIT */
/*
 * Whoever has something to tell forms the line on its own stack, takes the lock, and copies the line to the
 * ring of each watcher that wants it. The feeds' thread empties the rings into the sockets. The lock is the
 * innermost of all: evictions are told under a shard's.
 */
#include "server/admin/watch.h"
#include "cache/base/clock.h"
#include "server/accepted.h"
#include "server/admin/feed.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum {
    LINE_MAX_SIZE = 1200,       /* a key, and everything else that a line may say */
    SKIP_LINE = 64,             /* room for "skipped=..." */
    RING_LEAST = LINE_MAX_SIZE, /* one line has to fit */
    STEP_BYTES = 16 << 10       /* taken from a ring at once */
};

struct watcher {
    struct feed feed; /* first */
    struct watch *watch;
    struct watcher *next; /* under the watch's lock, as all that follows */
    unsigned kinds;
    char *ring;
    size_t capacity, start, used;
    uint64_t skipped;
};

struct watch {
    struct cache_visitor evictions; /* first: the visitor finds the watch by it */
    struct feeds *feeds;
    struct cache *cache; /* NULL: none yet */
    size_t buffer;
    atomic_uint wants;
    pthread_mutex_t lock;
    struct watcher *first; /* under the lock, as number and counters */
    uint64_t number;
    struct watch_stats counters;
};

unsigned watch_wants(const struct watch *watch) {
    return atomic_load_explicit(&watch->wants, memory_order_relaxed);
}

unsigned watch_kind_of(struct slice word) {
    static const struct {
        const char *name;
        unsigned kind;
    } kinds[] = {
        {"rawcmds", WATCH_NOTHING},     {"evictions", WATCH_EVICTIONS}, {"fetchers", WATCH_FETCHERS},
        {"mutations", WATCH_MUTATIONS}, {"sysevents", WATCH_NOTHING},   {"connevents", WATCH_CONNEVENTS},
        {"proxyreqs", WATCH_NOTHING},   {"proxyevents", WATCH_NOTHING}, {"proxyuser", WATCH_NOTHING},
        {"deletions", WATCH_DELETIONS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (word.size > 0 && slice_starts_with(slice_string(kinds[i].name), word))
            return kinds[i].kind;
    return 0;
}

/* ---- Rings, under the lock ---- */

static void ring_put(struct watcher *watcher, const char *data, size_t size) {
    size_t at = (watcher->start + watcher->used) % watcher->capacity;
    size_t first = watcher->capacity - at < size ? watcher->capacity - at : size;
    memcpy(watcher->ring + at, data, first);
    memcpy(watcher->ring, data + first, size - first);
    watcher->used += size;
}

/* True: the feed slept, as there was nothing in the ring. */
static bool offer(struct watcher *watcher, const char *line, size_t size) {
    bool slept = watcher->used == 0;
    size_t room = watcher->capacity - watcher->used;
    if (room < size + (watcher->skipped ? SKIP_LINE : 0)) {
        watcher->skipped++;
        watcher->watch->counters.skipped++;
        return false;
    }
    if (watcher->skipped) {
        char told[SKIP_LINE];
        int length = snprintf(told, sizeof told, "skipped=%llu\n", (unsigned long long)watcher->skipped);
        ring_put(watcher, told, (size_t)length);
        watcher->skipped = 0;
    }
    ring_put(watcher, line, size);
    watcher->watch->counters.sent++;
    return slept;
}

/* ---- Feeding ---- */

static enum feed_step watcher_step(struct feed *feed, struct buffer *out) {
    struct watcher *watcher = (struct watcher *)feed;
    pthread_mutex_lock(&watcher->watch->lock);
    size_t size = watcher->capacity - watcher->start; /* up to the ring's end */
    size = watcher->used < size ? watcher->used : size;
    size = size < STEP_BYTES ? size : STEP_BYTES;
    buffer_append(out, watcher->ring + watcher->start, size);
    watcher->start = (watcher->start + size) % watcher->capacity;
    watcher->used -= size;
    pthread_mutex_unlock(&watcher->watch->lock);
    return size > 0 ? FEED_SAYS : FEED_WAITS;
}

/* Under the lock. */
static void note_wants(struct watch *watch) {
    unsigned wants = 0;
    for (const struct watcher *watcher = watch->first; watcher; watcher = watcher->next)
        wants |= watcher->kinds;
    atomic_store_explicit(&watch->wants, wants, memory_order_relaxed);
    if (watch->cache)
        cache_watch_evictions(watch->cache, wants & WATCH_EVICTIONS ? &watch->evictions : NULL);
}

static void watcher_free(struct feed *feed) {
    struct watcher *watcher = (struct watcher *)feed;
    struct watch *watch = watcher->watch;
    pthread_mutex_lock(&watch->lock);
    struct watcher **link = &watch->first;
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    watch->counters.watchers--;
    note_wants(watch);
    pthread_mutex_unlock(&watch->lock);
    free(watcher->ring);
    free(watcher);
}

static const struct feed_kind watcher_kind = {.step = watcher_step, .free = watcher_free};

static struct watcher *watcher_create(struct watch *watch, unsigned kinds) {
    struct watcher *watcher = calloc(1, sizeof *watcher);
    char *ring = watcher ? malloc(watch->buffer) : NULL;
    if (!ring) {
        free(watcher);
        return NULL;
    }
    *watcher = (struct watcher){
        .feed.kind = &watcher_kind, .watch = watch, .kinds = kinds, .ring = ring, .capacity = watch->buffer};
    return watcher;
}

struct feed *watch_begin(struct watch *watch, unsigned kinds, const char **ret_error) {
    struct watcher *watcher = watcher_create(watch, kinds);
    if (!watcher) {
        *ret_error = "WATCHER_FAILED failed to add log watcher";
        return NULL;
    }
    pthread_mutex_lock(&watch->lock);
    bool room = watch->counters.watchers < WATCHERS_MAX;
    if (room) {
        watcher->next = watch->first;
        watch->first = watcher;
        watch->counters.watchers++;
        note_wants(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    if (room)
        return &watcher->feed;
    *ret_error = "WATCHER_TOO_MANY log watcher limit reached";
    free(watcher->ring);
    free(watcher);
    return NULL;
}

/* ---- Lines ---- */

void watch_write_key(char *out, struct slice key) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < key.size && i < ENTRY_KEY_MAX; i++) {
        unsigned char c = (unsigned char)key.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        if (plain) {
            *out++ = (char)c;
            continue;
        }
        *out++ = '%';
        *out++ = hex[c >> 4];
        *out++ = hex[c & 15];
    }
    *out = '\0';
}

static void tell(struct watch *watch, enum watch_kind kind, const char *what) {
    char line[LINE_MAX_SIZE];
    bool slept = false;
    uint64_t now = wall_us();
    pthread_mutex_lock(&watch->lock);
    int length =
        snprintf(line, sizeof line, "ts=%llu.%06llu gid=%llu %s\n", (unsigned long long)(now / US_PER_SECOND),
                 (unsigned long long)(now % US_PER_SECOND), (unsigned long long)++watch->number, what);
    watch->counters.written++;
    for (struct watcher *watcher = watch->first; watcher; watcher = watcher->next)
        if (watcher->kinds & kind)
            slept |= offer(watcher, line, (size_t)length);
    pthread_mutex_unlock(&watch->lock);
    if (slept)
        feeds_wake(watch->feeds);
}

void watch_get(struct watch *watch, const struct watch_item *item, bool found) {
    char what[LINE_MAX_SIZE - 64], key[WATCH_KEY_TEXT];
    watch_write_key(key, item->key);
    snprintf(what, sizeof what, "type=item_get key=%s status=%s clsid=%zu cfd=%d size=%zu", key,
             found ? "found" : "not_found", item->space + 1, item->fd, item->size);
    tell(watch, WATCH_FETCHERS, what);
}

void watch_store(struct watch *watch, const struct watch_item *item, const char *status, const char *command,
                 uint32_t ttl) {
    char what[LINE_MAX_SIZE - 64], key[WATCH_KEY_TEXT];
    watch_write_key(key, item->key);
    snprintf(what, sizeof what, "type=item_store key=%s status=%s cmd=%s ttl=%u clsid=%zu cfd=%d size=%zu",
             key, status, command, ttl, item->space + 1, item->fd, item->size);
    tell(watch, WATCH_MUTATIONS, what);
}

void watch_delete(struct watch *watch, const struct watch_item *item, const char *command) {
    char what[LINE_MAX_SIZE - 64], key[WATCH_KEY_TEXT];
    watch_write_key(key, item->key);
    snprintf(what, sizeof what, "type=deleted key=%s cmd=%s clsid=%zu size=%zu", key, command,
             item->space + 1, item->size);
    tell(watch, WATCH_DELETIONS, what);
}

static void on_eviction(struct cache_visitor *self, int space, const struct cache_view *view) {
    struct watch *watch = (struct watch *)self;
    char what[LINE_MAX_SIZE - 64], key[WATCH_KEY_TEXT];
    uint32_t now = (uint32_t)time(NULL);
    long long ttl = view->expires_at ? (long long)view->expires_at - now : -1;
    watch_write_key(key, view->key);
    snprintf(what, sizeof what, "type=eviction key=%s fetch=%s ttl=%lld la=%u clsid=%d size=%zu", key,
             view->fetched ? "yes" : "no", ttl, now > view->last_access ? now - view->last_access : 0,
             space + 1, view->value.size);
    tell(watch, WATCH_EVICTIONS, what);
}

void watch_attach(struct watch *watch, struct cache *cache) {
    pthread_mutex_lock(&watch->lock);
    watch->cache = cache;
    note_wants(watch);
    pthread_mutex_unlock(&watch->lock);
}

static uint16_t name_host(const struct peer *peer, char *host, size_t size, const char **ret_transport) {
    *ret_transport = "tcp";
    if (peer->family == AF_INET) {
        inet_ntop(AF_INET, &peer->v4.sin_addr, host, (socklen_t)size);
        return ntohs(peer->v4.sin_port);
    }
    if (peer->family == AF_INET6) {
        inet_ntop(AF_INET6, &peer->v6.sin6_addr, host, (socklen_t)size);
        return ntohs(peer->v6.sin6_port);
    }
    *ret_transport = "local";
    snprintf(host, size, "unix");
    return 0;
}

void watch_connection(struct watch *watch, int fd, const struct peer *peer, const char *reason) {
    char what[256], host[INET6_ADDRSTRLEN];
    const char *transport;
    uint16_t port = name_host(peer, host, sizeof host, &transport);
    snprintf(what, sizeof what, "type=conn_%s rip=%s rport=%u transport=%s%s%s cfd=%d",
             reason ? "close" : "new", host, port, transport, reason ? " reason=" : "", reason ? reason : "",
             fd);
    tell(watch, WATCH_CONNEVENTS, what);
}

/* ---- The whole ---- */

struct watch *watch_create(struct feeds *feeds, size_t buffer) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->evictions.entry = on_eviction;
    watch->feeds = feeds;
    watch->buffer = buffer > RING_LEAST ? buffer : RING_LEAST;
    pthread_mutex_init(&watch->lock, NULL);
    return watch;
}

void watch_free(struct watch *watch) {
    if (!watch)
        return;
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void watch_get_stats(struct watch *watch, struct watch_stats *ret_stats) {
    pthread_mutex_lock(&watch->lock);
    *ret_stats = watch->counters;
    pthread_mutex_unlock(&watch->lock);
}

void watch_reset_stats(struct watch *watch) {
    pthread_mutex_lock(&watch->lock);
    watch->counters = (struct watch_stats){.watchers = watch->counters.watchers};
    pthread_mutex_unlock(&watch->lock);
}
