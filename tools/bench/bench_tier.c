/* SPDX-License-Identifier: MIT */
/*
 * What the policies cost over the bare cache: nanoseconds per get and per set on one thread.
 *
 *     bench_tier [folder]     for the SQLite file and the journal of the write-behind case; /tmp
 */
#include "policies/policy.h"
#include "policies/tier.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 200000, BATCH = 32, ROUNDS = 10 };

static char names[KEYS][16];

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct cache_time now_time(void) {
    return cache_time_from_us((uint64_t)(seconds(CLOCK_REALTIME) * 1e6));
}

static void report(const char *what, double took, size_t operations) {
    printf("%-34s %7.1f ns\n", what, took * 1e9 / (double)operations);
}

static struct slice key_of(size_t i) {
    return slice_of(names[i], 14);
}

static void bare_gets(struct cache *cache) {
    struct cache_time now = now_time();
    uint64_t hashes[BATCH], found = 0;
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int round = 0; round < ROUNDS; round++)
        for (size_t at = 0; at + BATCH <= KEYS; at += BATCH) {
            for (size_t i = 0; i < BATCH; i++) {
                hashes[i] = cache_hash(cache, key_of(at + i));
                cache_prefetch(cache, hashes[i]);
            }
            for (size_t i = 0; i < BATCH; i++)
                cache_prefetch_entry(cache, hashes[i]);
            for (size_t i = 0; i < BATCH; i++) {
                struct cache_cursor cursor;
                if (cache_seek(cache, 0, key_of(at + i), hashes[i], &now, &cursor) == CACHE_PRESENT) {
                    found++;
                    cache_hit(&cursor);
                }
                cache_release(&cursor);
            }
        }
    report("bare cache: get", seconds(CLOCK_THREAD_CPUTIME_ID) - start, (size_t)KEYS * ROUNDS);
    if (found != (uint64_t)KEYS * ROUNDS)
        printf("  only %llu found\n", (unsigned long long)found);
}

static void run(struct tier *tier, struct tier_ticket *ticket, enum command command, const char *what) {
    struct tier_worker *worker = tier_get_worker(tier, 0);
    struct request requests[BATCH];
    static const char value[100];
    uint64_t parked = 0;
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int round = 0; round < ROUNDS; round++)
        for (size_t at = 0; at + BATCH <= KEYS; at += BATCH) {
            struct cache_time now = now_time();
            tier_turn_begin(worker, &now);
            for (size_t i = 0; i < BATCH; i++) {
                requests[i] = (struct request){.command = command,
                                               .key = key_of(at + i),
                                               .value = slice_of(value, command == COMMAND_SET ? 100 : 0)};
                tier_prepare(worker, &requests[i]);
            }
            for (size_t i = 0; i < BATCH; i++)
                cache_prefetch_entry(tier_cache(tier), requests[i].hash);
            for (size_t i = 0; i < BATCH; i++) {
                struct outcome outcome;
                if (tier_execute(worker, ticket, &requests[i], &outcome) == TIER_PARKED) {
                    parked++;
                    tier_submit(worker, ticket);
                    tier_turn_end(worker, NULL);
                    while (!tier_next_ready(worker))
                        usleep(50);
                    tier_turn_begin(worker, &now);
                    i--;
                } else if (outcome.holds_lock) {
                    tier_release(&outcome);
                }
            }
            tier_turn_end(worker, NULL);
        }
    report(what, seconds(CLOCK_THREAD_CPUTIME_ID) - start, (size_t)KEYS * ROUNDS);
    if (parked)
        printf("  %llu waited\n", (unsigned long long)parked);
}

static void log_line(void *context, enum log_level level, const struct log_field *fields,
                     const char *message) {
    (void)fields;
    (void)context;
    if (level <= LOG_LEVEL_WARNING)
        fprintf(stderr, "%s\n", message);
}

static void measure(const char *folder, const struct policy *policy, enum journal_mode journal) {
    char uri[512], error[512], what[64];
    snprintf(uri, sizeof uri, "sqlite:%s/bench_tier.db", folder);
    struct space_options space = {.name = "bench",
                                  .prefix = "",
                                  .policy = policy,
                                  .backend = 0,
                                  .journal = journal,
                                  .dirty_limit = 256 << 20,
                                  .flush_delay = 1000,
                                  .flush_batch = 10000,
                                  .table = {.name = "bench", .key_prefix = ""}};
    struct tier_backend_options backend = {
        .store = {.name = "store", .uri = uri, .data = folder, .timeout_ms = 5000}};
    struct tier_options options = {.cache = {.memory_limit = 512 << 20, .item_max = 1 << 20},
                                   .workers = 1,
                                   .spaces = &space,
                                   .space_count = 1,
                                   .backends = &backend,
                                   .backend_count = policy->needs_backend,
                                   .data = journal ? folder : NULL,
                                   .drain_timeout = 60000,
                                   .log = log_line};
    struct tier *tier;
    struct tier_left left;
    if (!tier_create(&options, &tier, error, sizeof error)) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    struct tier_ticket *ticket = tier_ticket_create(tier_get_worker(tier, 0), NULL);
    snprintf(what, sizeof what, "%s%s: set", policy->name, journal ? ", journal" : "");
    run(tier, ticket, COMMAND_SET, what);
    snprintf(what, sizeof what, "%s%s: get", policy->name, journal ? ", journal" : "");
    run(tier, ticket, COMMAND_GET, what);
    if (policy == &policy_cache_aside)
        bare_gets(tier_cache(tier));
    tier_ticket_destroy(ticket);
    tier_drain(tier, &left);
    tier_destroy(tier);
}

int main(int argc, char **argv) {
    char folder[256];
    snprintf(folder, sizeof folder, "%s/bench-tier-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    for (size_t i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "key-%010zu", i * 2654435761u % 4294967296u);
    measure(folder, &policy_cache_aside, JOURNAL_OFF);
    measure(folder, &policy_write_behind, JOURNAL_OFF);
    measure(folder, &policy_write_behind, JOURNAL_INTERVAL);
    printf("left in %s\n", folder);
    return 0;
}
