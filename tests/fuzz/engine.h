/* SPDX-License-Identifier: MIT */
/*
 * The path of a request without its socket: parser, namespaces, policies, the real cache and replies, in
 * little memory.
 *
 * One server for all inputs, of 1 MiB and two namespaces (keys that begin with b: s3-fifo, with a quota),
 * filled before each input with some entries of many sizes, so that what the input asks for meets eviction,
 * cleaning, expiry and values outside the log. What it looks for: a step beyond the bytes given (the parser
 * gets exact copies, the sanitizers watch), failing assertions, structures that are not sane, more memory
 * than the limit, and answers longer than announced, or that a client could not read.
 */
#ifndef FOREBAY_TESTS_FUZZ_ENGINE_H
#define FOREBAY_TESTS_FUZZ_ENGINE_H

#include "policies/policy.h"
#include "policies/tier.h"
#include "server/protocol/binary.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/replies.h"
#include "tests/support/reply_room.h"
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENGINE_MEMORY = 1 << 20, ENGINE_ITEM_MAX = 100000, ENGINE_FILLS = 8, ENGINE_SANE_EVERY = 16 };

struct engine {
    struct tier *tier;
    struct tier_worker *worker;
    struct tier_ticket *ticket;
    struct parser parser;
    bool is_binary;          /* what is fed begins with the binary protocol's first byte */
    struct binary_head head; /* of the request at hand */
    struct cache_time now;
    uint64_t random, inputs, answers; /* answers: bytes */
    char *value;
};

static inline void engine_log(void *context, enum log_level level, const struct log_field *fields,
                              const char *message) {
    (void)fields;
    (void)context;
    (void)level;
    (void)message;
}

static inline struct engine *engine_create(void) {
    struct engine *engine = calloc(1, sizeof *engine);
    FUZZ_CHECK(engine);
    struct space_options spaces[] = {
        {.name = "lru", .prefix = "", .policy = &policy_cache_aside, .backend = -1},
        {.name = "quota",
         .prefix = "b",
         .policy = &policy_cache_aside,
         .backend = -1,
         .memory = 300 << 10,
         .eviction = CACHE_S3_FIFO}};
    struct tier_options options = {
        .cache = {.memory_limit = ENGINE_MEMORY, .item_max = ENGINE_ITEM_MAX, .hash_seed = 1},
        .workers = 1,
        .spaces = spaces,
        .space_count = 2,
        .log = engine_log};
    char error[256];
    FUZZ_CHECK(tier_create(&options, &engine->tier, error, sizeof error));
    engine->worker = tier_get_worker(engine->tier, 0);
    engine->ticket = tier_ticket_create(engine->worker, NULL);
    engine->now = cache_time_from_us(1700000000000000u);
    engine->random = 88172645463325252u;
    engine->value = calloc(1, ENGINE_ITEM_MAX);
    FUZZ_CHECK(engine->ticket && engine->value);
    return engine;
}

static inline void engine_destroy(struct engine *engine) {
    tier_ticket_destroy(engine->ticket);
    tier_destroy(engine->tier);
    free(engine->value);
    free(engine);
}

static inline uint64_t engine_roll(struct engine *engine, uint64_t below) {
    engine->random = engine->random * 6364136223846793005u + 1442695040888963407u;
    return (engine->random >> 33) % below;
}

/* What a client gets: the bytes up to where the value goes, the value, the rest. */
static inline void engine_read_back(const struct engine *engine, const char *out, const char *value_at,
                                    struct slice value, const char *end) {
    size_t head = (size_t)(value_at - out), tail = (size_t)(end - value_at);
    char *whole = malloc(head + value.size + tail + 1);
    FUZZ_CHECK(whole);
    memcpy(whole, out, head);
    memcpy(whole + head, value.data, value.size);
    memcpy(whole + head + value.size, value_at, tail);
    struct slice answer = slice_of(whole, head + value.size + tail);
    if (engine->is_binary)
        replies_check_packet(answer);
    else
        replies_check_text(answer);
    free(whole);
}

static inline void engine_reply(struct engine *engine, const struct request *request,
                                const struct outcome *outcome) {
    bool is_binary = engine->is_binary;
    size_t bound = is_binary ? reply_room_binary(outcome) : reply_room(request, outcome);
    char *out = malloc(bound + 1), *value_at = NULL;
    FUZZ_CHECK(out);
    char *end = is_binary ? binary_reply(out, &engine->head, request, outcome, &value_at)
                          : reply_write(out, request, outcome, &value_at);
    FUZZ_CHECK(end >= out && (size_t)(end - out) <= bound);
    engine->answers += (size_t)(end - out);
    struct slice value = slice_of("", 0);
    if (value_at) { /* would be sent from where it lies */
        FUZZ_CHECK(value_at >= out && value_at <= end && outcome->view.large);
        value = outcome->view.value;
    }
    engine_read_back(engine, out, value_at ? value_at : end, value, end);
    free(out);
}

static inline void engine_execute(struct engine *engine, struct request *request) {
    struct outcome outcome;
    if (request->command == COMMAND_BAD || request->command == COMMAND_META_NOOP) {
        if (!engine->is_binary)
            engine_reply(engine, request, NULL);
    } else if (request->command == COMMAND_FLUSH_ALL) {
        tier_flush_all(engine->worker, engine->now.seconds);
    } else if (command_has_key(request->command)) {
        tier_prepare(engine->worker, request);
        FUZZ_CHECK(tier_execute(engine->worker, engine->ticket, request, &outcome) == TIER_DONE);
        engine_reply(engine, request, &outcome);
        if (outcome.holds_lock)
            tier_release(&outcome);
    }
}

static inline enum parse_status engine_parse(struct engine *engine, const char *bytes, size_t size,
                                             char key[ENTRY_KEY_MAX + 2], struct request *ret_request,
                                             size_t *ret_consumed) {
    size_t wanted = 0;
    return engine->is_binary ? binary_parse(&engine->parser, bytes, size, key, ret_request, &engine->head,
                                            ret_consumed, &wanted)
                             : parse(&engine->parser, bytes, size, key, ret_request, ret_consumed, &wanted);
}

/* Bytes that arrived in one piece, from a new connection. They lie in an exact copy, so that a step beyond them is
 * seen; and of those that were used up, as well. */
static inline void engine_feed(struct engine *engine, const char *bytes, size_t size) {
    char *exact = malloc(size + (size == 0)), key[ENTRY_KEY_MAX + 2];
    bool goes_on = true;
    FUZZ_CHECK(exact);
    if (size > 0)
        memcpy(exact, bytes, size);
    parser_init(&engine->parser, ENGINE_ITEM_MAX);
    engine->is_binary = size > 0 && (uint8_t)bytes[0] == BINARY_REQUEST;
    for (size_t at = 0; goes_on;) {
        struct request request;
        size_t consumed = 0;
        ASAN_POISON_MEMORY_REGION(exact, at & ~(size_t)7);
        enum parse_status status = engine_parse(engine, exact + at, size - at, key, &request, &consumed);
        FUZZ_CHECK(consumed <= size - at);
        at += consumed;
        if (status == PARSE_OK)
            engine_execute(engine, &request);
        bool ends = engine->is_binary && request.command == COMMAND_BAD && engine->head.closes;
        goes_on = status == PARSE_OK && request.command != COMMAND_QUIT && !ends;
    }
    ASAN_UNPOISON_MEMORY_REGION(exact, size);
    free(exact);
}

/* Some entries of many sizes, a few of them short-lived, in both namespaces. */
static inline void engine_fill(struct engine *engine) {
    for (unsigned i = 0; i < ENGINE_FILLS; i++) {
        size_t scale = (size_t)1 << engine_roll(engine, 17), room = scale + 200;
        size_t length = engine_roll(engine, scale < ENGINE_ITEM_MAX ? scale : ENGINE_ITEM_MAX);
        char *line = malloc(room);
        FUZZ_CHECK(line);
        int head =
            snprintf(line, room, "set %cfill%u %u %u %zu noreply\r\n", engine_roll(engine, 2) ? 'a' : 'b',
                     (unsigned)engine_roll(engine, 2000), (unsigned)engine_roll(engine, 2),
                     engine_roll(engine, 4) ? 0 : 1 + (unsigned)engine_roll(engine, 60), length);
        memset(line + head, 'x', length);
        memcpy(line + head + length, "\r\n", 2);
        engine_feed(engine, line, (size_t)head + length + 2);
        free(line);
    }
}

/* One input: some entries, the bytes, a little time and maintenance. */
static inline void engine_play(struct engine *engine, const char *bytes, size_t size) {
    struct cache *cache = tier_cache(engine->tier);
    tier_turn_begin(engine->worker, &engine->now);
    engine_fill(engine);
    engine_feed(engine, bytes, size);
    FUZZ_CHECK(tier_turn_end(engine->worker, NULL));
    engine->now = cache_time_from_us(engine->now.us + 100000);
    cache_maintain(cache, &engine->now);
    struct cache_stats stats;
    cache_get_stats(cache, CACHE_ALL_SPACES, &stats);
    FUZZ_CHECK(stats.memory_used <= ENGINE_MEMORY + 64 * 1024);
    if (engine->inputs++ % ENGINE_SANE_EVERY == 0)
        FUZZ_CHECK(cache_is_sane(cache));
}

#endif
