/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one cache: readers and writers, a flusher, maintenance, flush_all, resizing, holders of
 * large values. What a reader sees must be a value that somebody wrote for that key. Meant for TSan and ASan;
 * FOREBAY_TEST_SECONDS makes it run longer.
 */
#include "cache/cache.h"
#include "tests/support/check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MIB ((size_t)1 << 20)

enum { WORKERS = 4, KEYS = 60000, LARGE = 40000 };

struct shared;

struct worker {
    pthread_t thread;
    bool started;
    struct shared *shared;
    uint64_t random;
    char value[LARGE];
};

struct shared {
    struct cache *cache;
    _Atomic bool stop;
    _Atomic uint64_t clock_us;
    _Atomic uint64_t hits, stores;
    _Atomic bool wrong;
    struct worker workers[WORKERS + 2]; /* one flushes, one maintains */
};

static uint64_t roll(struct worker *worker, uint64_t below) {
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (worker->random * 0x2545f4914f6cdd1dull >> 11) % below;
}

static struct slice key_of(uint64_t number, char *buffer) {
    return slice_of(buffer, (size_t)sprintf(buffer, "key:%llu", (unsigned long long)number));
}

/* Every byte of a value says which key it belongs to. */
static char byte_of(uint64_t number) {
    return (char)('a' + number % 26);
}

static bool value_is_right(struct slice value, uint64_t number) {
    for (size_t i = 0; i<value.size; i += value.size> 5000 ? 997 : 1)
        if (value.data[i] != byte_of(number))
            return false;
    return true;
}

static struct cache_time now_of(struct shared *shared) {
    return cache_time_from_us(atomic_fetch_add(&shared->clock_us, 50));
}

static void read_one(struct worker *worker, uint64_t number, bool hold) {
    struct shared *shared = worker->shared;
    struct cache_time now = now_of(shared);
    char buffer[32];
    struct slice key = key_of(number, buffer);
    uint64_t hash = cache_hash(shared->cache, key);
    struct cache_cursor at;
    struct cache_large *large = NULL;
    struct slice value = {NULL, 0};
    cache_prefetch(shared->cache, hash);
    cache_prefetch_entry(shared->cache, hash);
    if (cache_seek(shared->cache, (int)(number % 2), key, hash, &now, &at) == CACHE_PRESENT) {
        if (!value_is_right(at.view.value, number))
            atomic_store(&shared->wrong, true);
        atomic_fetch_add(&shared->hits, 1);
        if (hold && at.view.large) {
            large = at.view.large;
            value = at.view.value;
            cache_large_hold(large);
        }
        cache_hit(&at);
    }
    uint64_t stamp = at.stamp;
    enum cache_presence presence = at.presence;
    cache_release(&at);
    if (large) { /* it stays readable without the lock, whatever happens to the entry */
        if (!value_is_right(value, number))
            atomic_store(&shared->wrong, true);
        cache_large_drop(large);
    }
    if (presence == CACHE_UNKNOWN && roll(worker, 2)) {
        memset(worker->value, byte_of(number), 100);
        struct entry entry = {.key = key, .value = {worker->value, 100}, .version = 1};
        cache_fill(shared->cache, (int)(number % 2), &entry, hash, stamp, &now);
    }
}

static void write_one(struct worker *worker, uint64_t number) {
    struct shared *shared = worker->shared;
    struct cache_time now = now_of(shared);
    char buffer[32];
    struct slice key = key_of(number, buffer);
    size_t size = roll(worker, 100) ? roll(worker, 800) : roll(worker, LARGE);
    memset(worker->value, byte_of(number), size);
    struct cache_cursor at;
    cache_seek(shared->cache, (int)(number % 2), key, cache_hash(shared->cache, key), &now, &at);
    bool dirty = roll(worker, 4) == 0 || (at.presence != CACHE_UNKNOWN && at.view.state == CACHE_DIRTY);
    if (dirty && roll(worker, 8) == 0)
        cache_bury(&at, 0);
    else if (cache_store(&at, &(struct cache_write){.value = slice_of(worker->value, size),
                                                    .expires_at = roll(worker, 2) ? now.seconds + 1 : 0,
                                                    .dirty = dirty}) == CACHE_OK)
        atomic_fetch_add(&shared->stores, 1);
    cache_release(&at);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    while (!atomic_load(&worker->shared->stop)) {
        uint64_t number = roll(worker, KEYS);
        if (roll(worker, 3))
            read_one(worker, number, roll(worker, 2));
        else
            write_one(worker, number);
    }
    return NULL;
}

struct flushed {
    struct cache_collector collector;
    uint64_t version;
};

static void note(struct cache_collector *self, const struct cache_view *view) {
    ((struct flushed *)(void *)self)->version = view->version;
}

static void *flush(void *argument) {
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    while (!atomic_load(&shared->stop)) {
        uint64_t number = roll(worker, KEYS);
        struct cache_time now = now_of(shared);
        char buffer[32];
        struct slice key = key_of(number, buffer);
        struct flushed flushed = {.collector = {note}};
        if (!cache_collect(shared->cache, (int)(number % 2), cache_hash(shared->cache, key), &now,
                           &flushed.collector))
            continue;
        if (roll(worker, 10))
            cache_settle(shared->cache, key, cache_hash(shared->cache, key), flushed.version, &now);
        else
            cache_unsettle(shared->cache, key, cache_hash(shared->cache, key), flushed.version);
    }
    return NULL;
}

static void *maintain(void *argument) {
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    struct cache_stats stats;
    for (unsigned round = 0; !atomic_load(&shared->stop); round++) {
        struct cache_time now = now_of(shared);
        cache_maintain(shared->cache, &now);
        cache_get_stats(shared->cache, CACHE_ALL_SPACES, &stats);
        if (round % 50 == 0)
            cache_resize(shared->cache, (roll(worker, 2) ? 32 : 17) * MIB);
        if (round % 200 == 0)
            cache_flush_all(shared->cache, (int)roll(worker, 2), 0, &now);
        if (round % 500 == 0)
            cache_is_sane(shared->cache);
    }
    return NULL;
}

static void nap(double seconds) {
    struct timespec span = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&span, NULL);
}

static int set_up(void **state) {
    struct cache_options options = {
        .memory_limit = 17 * MIB, .item_max = MIB, .threads = 4, .node = 1, .hash_seed = 1};
    struct cache_space_options first = {.memory_floor = 4 * MIB}, second = {.eviction = CACHE_S3_FIFO};
    struct shared *shared = *state = calloc(1, sizeof *shared);
    assert_non_null(shared);
    shared->clock_us = 1700000000000000u;
    assert_int_equal(cache_create(&options, &shared->cache), CACHE_OK);
    cache_add_space(shared->cache, &first);
    cache_add_space(shared->cache, &second);
    return 0;
}

static void start(struct shared *shared, unsigned number, void *(*job)(void *)) {
    struct worker *worker = &shared->workers[number];
    worker->shared = shared;
    worker->random = number * 7919 + 1;
    worker->started = pthread_create(&worker->thread, NULL, job, worker) == 0;
    assert_true(worker->started);
}

static void join_all(struct shared *shared) {
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < WORKERS + 2; i++) {
        struct worker *worker = &shared->workers[i];
        if (worker->started)
            pthread_join(worker->thread, NULL);
        worker->started = false;
    }
}

static int tear_down(void **state) {
    struct shared *shared = *state;
    join_all(shared);
    cache_destroy(shared->cache);
    free(shared);
    return 0;
}

TEST(threads_see_only_what_was_written) {
    struct shared *shared = *state;
    for (unsigned i = 0; i < WORKERS; i++)
        start(shared, i, work);
    start(shared, WORKERS, flush);
    start(shared, WORKERS + 1, maintain);
    const char *seconds = getenv("FOREBAY_TEST_SECONDS");
    nap(seconds ? atof(seconds) : 2.0);
    join_all(shared);
    assert_true(cache_is_sane(shared->cache));
    assert_false(atomic_load(&shared->wrong));
    assert_true(atomic_load(&shared->hits) > 0 && atomic_load(&shared->stores) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {CASE(threads_see_only_what_was_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
