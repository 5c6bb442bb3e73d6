/* SPDX-License-Identifier: MIT */
/*
 * Figures of the cache alone.
 *
 *     bench_cache speed [PART]
 *         nanoseconds per operation; PART is lookup, insert (with eviction), overwrite or cleaner, else all
 *     bench_cache items COUNT VALUE_SIZE
 *         resident bytes per entry
 *     bench_cache drift MEGABYTES
 *         resident memory while the limit is overwritten eleven times, with sizes that drift
 *     bench_cache expire MEGABYTES
 *         memory still held, second by second, after entries with a TTL have expired under load
 *     bench_cache trace FILE MEGABYTES lru|s3-fifo [MIN MAX]
 *         misses of a look-aside cache on a trace in ARC's format (first block, number of blocks, ...), with
 *         sizes from MIN to MAX (40 to 800), log-uniform
 *     bench_cache flood COUNT
 *         nanoseconds per store of keys that all meet in one bucket: in the cache whose secret was known to who chose
 *         them, and in the next one, as after a restart
 */
#include "cache/cache.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

enum { BATCH = 16, VALUE_MAX = 1 << 20 };

struct bench {
    struct cache *cache;
    int space;
    struct cache_time now;
    uint64_t random;
    char value[VALUE_MAX];
};

static uint64_t roll(struct bench *bench, uint64_t below) {
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return (uint64_t)(((unsigned __int128)(bench->random * 0x2545f4914f6cdd1dull) * below) >> 64);
}

static double clock_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

/* This thread's alone: other processes do not count as a stall. */
static double thread_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static size_t resident_bytes(void) {
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        exit(1);
    fclose(file);
    return resident * 4096ul;
}

/* hash_seed: as in cache_options; the figures do not depend on which one it is, but each run is the same. */
static void bench_open_seeded(struct bench *bench, size_t limit, unsigned threads,
                              enum cache_eviction eviction, uint64_t hash_seed) {
    struct cache_options options = {
        .memory_limit = limit, .item_max = VALUE_MAX, .threads = threads, .node = 1, .hash_seed = hash_seed};
    struct cache_space_options space = {.eviction = eviction};
    if (cache_create(&options, &bench->cache) != CACHE_OK)
        exit(1);
    bench->space = cache_add_space(bench->cache, &space);
    bench->now = cache_time_from_us(1700000000000000u);
    bench->random = 88172645463325252u;
    memset(bench->value, 'v', sizeof(bench->value));
}

static void bench_open(struct bench *bench, size_t limit, unsigned threads, enum cache_eviction eviction) {
    bench_open_seeded(bench, limit, threads, eviction, 1);
}

/* 15 bytes. */
static struct slice key_of(uint64_t number, char *buffer) {
    memcpy(buffer, "key:", 4);
    for (int i = 14; i >= 4; i--, number /= 10)
        buffer[i] = (char)('0' + number % 10);
    return slice_of(buffer, 15);
}

static enum cache_status set(struct bench *bench, uint64_t number, size_t size, uint32_t expires_at) {
    char buffer[16];
    struct slice key = key_of(number, buffer);
    struct cache_cursor at;
    struct cache_write write = {.value = slice_of(bench->value, size), .expires_at = expires_at};
    cache_seek(bench->cache, bench->space, key, cache_hash(bench->cache, key), &bench->now, &at);
    enum cache_status status = cache_store(&at, &write);
    cache_release(&at);
    return status;
}

static bool get(struct bench *bench, uint64_t number) {
    char buffer[16];
    struct slice key = key_of(number, buffer);
    struct cache_cursor at;
    bool present = cache_seek(bench->cache, bench->space, key, cache_hash(bench->cache, key), &bench->now,
                              &at) == CACHE_PRESENT;
    if (present)
        cache_hit(&at);
    cache_release(&at);
    return present;
}

/* Random reads of `keys` entries in batches, as the server makes them: hash and prefetch all, then seek
 * each. */
static double lookup_ns(struct bench *bench, uint64_t keys, unsigned prefetch) {
    enum { ROUNDS = 200000, AHEAD = 4 };
    const void *entries[BATCH] = {NULL};
    static char buffers[4096][BATCH][16];
    static uint64_t hashes[4096][BATCH];
    for (unsigned i = 0; i < 4096; i++)
        for (unsigned j = 0; j < BATCH; j++)
            hashes[i][j] = cache_hash(bench->cache, key_of(roll(bench, keys), buffers[i][j]));
    uint64_t hits = 0;
    volatile uint64_t sum = 0;
    double start = clock_ns();
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned at = round % 4096;
        for (unsigned j = 0; prefetch >= 1 && j < BATCH; j++)
            cache_prefetch(bench->cache, hashes[at][j]);
        for (unsigned j = 0; prefetch >= 2 && j < BATCH; j++)
            entries[j] = cache_prefetch_entry(bench->cache, hashes[at][j]);
        for (unsigned j = 0; j < BATCH; j++) {
            struct cache_cursor cursor;
            struct slice key = slice_of(buffers[at][j], 15);
            if (j + AHEAD < BATCH)
                cache_prefetch_value(entries[j + AHEAD]);
            if (cache_seek(bench->cache, bench->space, key, hashes[at][j], &bench->now, &cursor) ==
                CACHE_PRESENT) {
                sum = sum + (unsigned char)cursor.view.value.data[0];
                cache_hit(&cursor);
                hits++;
            }
            cache_release(&cursor);
        }
    }
    if (hits == 0)
        exit(1);
    return (clock_ns() - start) / ((double)ROUNDS * BATCH);
}

static void speed_lookups(struct bench *bench) {
    static const uint64_t counts[] = {1000, 200000, 4000000};
    for (unsigned i = 0; i < 3; i++) {
        bench_open(bench, 2048 * MIB, 1, CACHE_LRU);
        for (uint64_t key = 0; key < counts[i]; key++)
            set(bench, key, 100, 0);
        for (unsigned prefetch = 0; prefetch < 3; prefetch++)
            printf("lookup, %7llu entries of 100 bytes, prefetch %u: %6.1f ns\n",
                   (unsigned long long)counts[i], prefetch, lookup_ns(bench, counts[i], prefetch));
        cache_destroy(bench->cache);
    }
}

static void speed_inserts(struct bench *bench, enum cache_eviction eviction, const char *name) {
    enum { COUNT = 2000000 };
    bench_open(bench, 64 * MIB, 1, eviction);
    double start = clock_ns(), longest = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        set(bench, i, 100, 0);
    printf("insert, growing and evicting, %s: %6.1f ns\n", name, (clock_ns() - start) / COUNT);
    start = clock_ns();
    for (uint64_t i = 0; i < COUNT; i++) {
        bool timed = i % 16 == 0;
        double before = timed ? thread_ns() : 0;
        set(bench, COUNT + i, 100, 0);
        get(bench, COUNT + i - roll(bench, 50000));
        double took = timed ? thread_ns() - before : 0;
        longest = took > longest ? took : longest;
    }
    printf("insert with eviction and a read of a recent key, %s: %6.1f ns, longest %.0f us\n", name,
           (clock_ns() - start) / COUNT, longest / 1000);
    cache_destroy(bench->cache);
}

static void speed_overwrites(struct bench *bench) {
    enum { COUNT = 4000000, KEYS = 200000 };
    struct cache_stats stats;
    for (unsigned change = 0; change < 2; change++) {
        bench_open(bench, 64 * MIB, 1, CACHE_LRU);
        double start = clock_ns();
        for (uint64_t i = 0; i < COUNT; i++)
            set(bench, roll(bench, KEYS), change ? 50 + roll(bench, 400) : 100, 0);
        double ns = (clock_ns() - start) / COUNT;
        cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
        printf("overwrite, %s: %6.1f ns, %.2f bytes moved by the cleaner per byte written, %llu evictions\n",
               change ? "sizes 50 to 450, memory full" : "same size", ns,
               (double)stats.cleaned_bytes / (double)(COUNT * (change ? 285.0 : 136.0)),
               (unsigned long long)stats.evictions);
        cache_destroy(bench->cache);
    }
}

/* Cleaning alone: every second entry is deleted, then maintenance runs until it has nothing to do. */
static void speed_cleaner(struct bench *bench) {
    enum { KEYS = 1000000 };
    struct cache_stats stats;
    bench_open(bench, 1024 * MIB, 1, CACHE_LRU);
    for (uint64_t i = 0; i < KEYS; i++)
        set(bench, i, 100, 0);
    for (uint64_t i = 0; i < KEYS; i += 2) {
        char buffer[16];
        struct slice key = key_of(i, buffer);
        struct cache_cursor at;
        cache_seek(bench->cache, bench->space, key, cache_hash(bench->cache, key), &bench->now, &at);
        cache_forget(&at);
        cache_release(&at);
    }
    double start = clock_ns(), longest = 0, before = thread_ns();
    while (cache_maintain(bench->cache, &bench->now)) {
        longest = thread_ns() - before > longest ? thread_ns() - before : longest;
        before = thread_ns();
    }
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    printf("cleaner: %.0f MB moved, %.1f ns an entry, %.1f %% holes left, longest cache_maintain %.0f us\n",
           (double)stats.cleaned_bytes / 1e6, (clock_ns() - start) / ((double)stats.cleaned_bytes / 136),
           100.0 * (double)stats.dead_bytes / (double)stats.segment_bytes, longest / 1000);
    cache_destroy(bench->cache);
}

/* All parts, or one of them. */
static void speed(struct bench *bench, const char *part) {
    bool all = *part == 0;
    if (all || strcmp(part, "lookup") == 0)
        speed_lookups(bench);
    if (all || strcmp(part, "insert") == 0) {
        speed_inserts(bench, CACHE_LRU, "lru");
        speed_inserts(bench, CACHE_S3_FIFO, "s3-fifo");
    }
    if (all || strcmp(part, "overwrite") == 0)
        speed_overwrites(bench);
    if (all || strcmp(part, "cleaner") == 0)
        speed_cleaner(bench);
}

static void items(struct bench *bench, uint64_t count, size_t size) {
    size_t before = resident_bytes();
    bench_open(bench, 8192 * MIB, 1, CACHE_LRU);
    double start = clock_ns();
    for (uint64_t i = 0; i < count; i++)
        set(bench, i, size, 0);
    double ns = (clock_ns() - start) / (double)count;
    struct cache_stats stats;
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    printf("%llu entries of %zu bytes: %.1f resident bytes each (counted %.1f, index %.2f), insert %.0f ns\n",
           (unsigned long long)stats.entries, size, (double)(resident_bytes() - before) / (double)count,
           (double)stats.memory_used / (double)count, (double)stats.index_bytes / (double)count, ns);
    cache_destroy(bench->cache);
}

static void drift_report(struct bench *bench, const char *what, size_t size, size_t start) {
    struct cache_stats stats;
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    printf("%s %6zu: resident %.1f %% of the limit, counted %.1f %%, live %.1f %%, "
           "key and value alone %.1f %%\n",
           what, size, 100.0 * (double)(resident_bytes() - start) / (double)stats.memory_limit,
           100.0 * (double)stats.memory_used / (double)stats.memory_limit,
           100.0 * (double)stats.bytes / (double)stats.memory_limit,
           100.0 * ((double)stats.bytes - 20.0 * (double)stats.entries) / (double)stats.memory_limit);
}

/* The keys would fill the memory 1.3 times; the mean size drifts from 100 to 16000 bytes and back. */
static void drift(struct bench *bench, size_t limit) {
    size_t start = resident_bytes();
    bench_open(bench, limit, 2, CACHE_LRU);
    static const size_t means[] = {100, 200, 400, 800, 1600, 3200, 5000, 16000, 1500, 300, 100};
    for (unsigned i = 0; i < sizeof(means) / sizeof(*means); i++) {
        uint64_t keys = limit * 13 / 10 / (means[i] + 40);
        for (size_t written = 0; written < limit;) {
            size_t size = means[i] / 2 + roll(bench, means[i]);
            set(bench, roll(bench, keys), size, 0);
            written += size;
            if (roll(bench, 10000) == 0)
                cache_maintain(bench->cache, &bench->now);
        }
        drift_report(bench, "mean size", means[i], start);
    }
    cache_destroy(bench->cache);
}

/* Half of the memory holds entries that live 5 to 6 seconds; writes go on in the rest all the time. */
static void expire(struct bench *bench, size_t limit) {
    bench_open(bench, limit, 2, CACHE_LRU);
    uint64_t kept = limit / 4 / 140, short_lived = limit / 2 / 140;
    struct cache_stats stats;
    for (uint64_t i = 0; i < kept; i++)
        set(bench, i, 100, 0);
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    uint64_t base = stats.memory_used;
    for (uint64_t i = 0; i < short_lived; i++) {
        set(bench, kept + i, 100, bench->now.seconds + 5 + (uint32_t)roll(bench, 2));
        set(bench, roll(bench, kept), 100, 0);
    }
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    uint64_t held = stats.memory_used - base;
    for (unsigned tenth = 0; tenth < 80; tenth++) {
        bench->now = cache_time_from_us(bench->now.us + 100000);
        for (unsigned calls = 0; calls < 10 && cache_maintain(bench->cache, &bench->now); calls++)
            for (unsigned i = 0; i < 1000; i++)
                set(bench, roll(bench, kept), 90 + roll(bench, 20), 0);
        if (tenth % 10 == 9) {
            cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
            printf("second %u: %.1f %% of the expiring memory held\n", tenth / 10 + 1,
                   100.0 * ((double)stats.memory_used - (double)base) / (double)held);
        }
    }
    cache_destroy(bench->cache);
}

/* As in bench_replay. The mixing function is splitmix64: sizes that followed from the cache's hash would be
 * sorted by shard. */
static size_t size_of(uint64_t block, double least, double most) {
    block += 0x9e3779b97f4a7c15u;
    block = (block ^ block >> 30) * 0xbf58476d1ce4e5b9u;
    block = (block ^ block >> 27) * 0x94d049bb133111ebu;
    block ^= block >> 31;
    double part = (double)(block >> 11) / (double)(1ull << 53);
    return (size_t)(least * pow(most / least, part));
}

/* A block as bench_replay asks a server for it: get, and on a miss set. True on a hit. */
static bool look_aside(struct bench *bench, uint64_t block, size_t size) {
    char buffer[32];
    struct slice key =
        slice_of(buffer, (size_t)snprintf(buffer, sizeof(buffer), "block-%llu", (unsigned long long)block));
    struct cache_cursor at;
    bool hit = cache_seek(bench->cache, bench->space, key, cache_hash(bench->cache, key), &bench->now, &at) ==
               CACHE_PRESENT;
    if (hit)
        cache_hit(&at);
    else
        cache_store(&at, &(struct cache_write){.value = slice_of(bench->value, size)});
    cache_release(&at);
    return hit;
}

static void trace(struct bench *bench, const char *path, size_t limit, enum cache_eviction eviction,
                  double least, double most) {
    FILE *file = fopen(path, "r");
    if (!file)
        exit(1);
    bench_open(bench, limit, 1, eviction);
    enum { SEEN = 1 << 27 };
    unsigned char *seen = calloc(SEEN / 8, 1);
    unsigned long long first, blocks, requests = 0, misses = 0, cold = 0;
    char line[256];
    while (fgets(line, sizeof(line), file) && sscanf(line, "%llu %llu", &first, &blocks) == 2) {
        for (uint64_t key = first; key < first + blocks; key++) {
            requests++;
            bench->now = cache_time_from_us(bench->now.us + 10);
            if (look_aside(bench, key, size_of(key, least, most)))
                continue;
            misses++;
            unsigned bit = (unsigned)(key % SEEN);
            cold += !(seen[bit / 8] & 1 << bit % 8);
            seen[bit / 8] |= (unsigned char)(1 << bit % 8);
        }
    }
    struct cache_stats stats;
    cache_get_stats(bench->cache, CACHE_ALL_SPACES, &stats);
    printf("%s: %llu requests, %llu misses, %llu beyond the first of a key (%.2f %%), %llu entries\n", path,
           requests, misses, misses - cold, 100.0 * (double)(misses - cold) / (double)requests,
           (unsigned long long)stats.entries);
    printf("of the limit: counted %.1f %%, segments %.1f %%, live %.1f %%, holes %.1f %%, index %.1f %%\n",
           100.0 * (double)stats.memory_used / (double)limit,
           100.0 * (double)stats.segment_bytes / (double)limit, 100.0 * (double)stats.bytes / (double)limit,
           100.0 * (double)stats.dead_bytes / (double)limit,
           100.0 * (double)stats.index_bytes / (double)limit);
    fclose(file);
    free(seen);
    cache_destroy(bench->cache);
}

/* Numbers of keys whose hashes have the lowest 12 bits and the shard in common: more buckets than that a shard with
 * so many entries does not have. */
static void find_meeting(struct bench *bench, uint64_t *ret_numbers, size_t count) {
    char buffer[24];
    size_t found = 0;
    for (uint64_t number = 0; found < count; number++)
        if ((cache_hash(bench->cache, key_of(number, buffer)) & UINT64_C(0xc000000000000fff)) == 0)
            ret_numbers[found++] = number;
}

static void store_meeting(struct bench *bench, const uint64_t *numbers, size_t count, const char *where) {
    double start = thread_ns();
    for (size_t i = 0; i < count; i++)
        set(bench, numbers[i], 10, 0);
    printf("%-40s %9.0f ns per store\n", where, (thread_ns() - start) / (double)count);
    cache_destroy(bench->cache);
}

static void flood(struct bench *bench, size_t count) {
    uint64_t *numbers = calloc(count, sizeof *numbers);
    bench_open_seeded(bench, 64 * MIB, 1, CACHE_LRU, 1);
    find_meeting(bench, numbers, count);
    store_meeting(bench, numbers, count, "the secret was known");
    bench_open_seeded(bench, 64 * MIB, 1, CACHE_LRU, 0);
    store_meeting(bench, numbers, count, "the next secret");
    free(numbers);
}

static int usage(void) {
    fprintf(stderr,
            "usage: bench_cache speed [PART] | items COUNT SIZE | drift MB | expire MB | flood COUNT |\n"
            "       trace FILE MB lru|s3-fifo [MIN MAX]\n");
    return 2;
}

int main(int count, char **words) {
    static struct bench bench;
    const char *mode = count > 1 ? words[1] : "speed";
    if (strcmp(mode, "speed") == 0) {
        speed(&bench, count > 2 ? words[2] : "");
    } else if (strcmp(mode, "items") == 0 && count == 4) {
        items(&bench, strtoull(words[2], NULL, 10), strtoul(words[3], NULL, 10));
    } else if (strcmp(mode, "drift") == 0 && count == 3) {
        drift(&bench, strtoul(words[2], NULL, 10) * MIB);
    } else if (strcmp(mode, "expire") == 0 && count == 3) {
        expire(&bench, strtoul(words[2], NULL, 10) * MIB);
    } else if (strcmp(mode, "trace") == 0 && (count == 5 || count == 7)) {
        trace(&bench, words[2], strtoul(words[3], NULL, 10) * MIB,
              strcmp(words[4], "s3-fifo") == 0 ? CACHE_S3_FIFO : CACHE_LRU, count == 7 ? atof(words[5]) : 40,
              count == 7 ? atof(words[6]) : 800);
    } else if (strcmp(mode, "flood") == 0 && count == 3) {
        flood(&bench, strtoul(words[2], NULL, 10));
    } else {
        return usage();
    }
    return 0;
}
