/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds per parsed request and per written reply, for the requests that traffic consists of, pipelined
 * in a buffer as a worker has them.
 *
 *     bench_protocol [rounds]
 */
#include "server/protocol/parser.h"
#include "server/protocol/reply.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PIPELINE = 64, KEYS = 64, DEFAULT_ROUNDS = 200000 };

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint64_t sink; /* what the optimiser may not drop */

/* Parses the whole buffer `rounds` times; it holds `count` requests. */
static double time_parse(const char *bytes, size_t size, unsigned count, unsigned rounds) {
    struct parser parser;
    parser_init(&parser, 1 << 20);
    double start = now_ns();
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t at = 0; at < size;) {
            char key_buffer[ENTRY_KEY_MAX + 2];
            struct request request;
            size_t consumed, wanted;
            if (parse(&parser, bytes + at, size - at, key_buffer, &request, &consumed, &wanted) != PARSE_OK)
                abort();
            sink += request.key.size + (uint64_t)request.command;
            at += consumed;
        }
    }
    return (now_ns() - start) / rounds / count;
}

static void bench_parse(const char *name, const char *pattern, const char *data, unsigned rounds) {
    static char bytes[1 << 20];
    size_t size = 0;
    for (unsigned i = 0; i < PIPELINE; i++) {
        size += (size_t)snprintf(bytes + size, sizeof bytes - size, pattern, i);
        if (data)
            size += (size_t)snprintf(bytes + size, sizeof bytes - size, "%s\r\n", data);
    }
    printf("parse  %-34s %7.1f ns\n", name, time_parse(bytes, size, PIPELINE, rounds));
}

static void bench_many_keys(unsigned rounds) {
    static char bytes[1 << 16];
    size_t size = (size_t)snprintf(bytes, sizeof bytes, "get");
    for (unsigned i = 0; i < KEYS; i++)
        size += (size_t)snprintf(bytes + size, sizeof bytes - size, " memtier-%07u", i);
    size += (size_t)snprintf(bytes + size, sizeof bytes - size, "\r\n");
    printf("parse  %-34s %7.1f ns\n", "get of 64 keys, per key", time_parse(bytes, size, KEYS, rounds));
}

static void bench_reply(const char *name, const struct request *request, const struct outcome *outcome,
                        unsigned rounds) {
    static char bytes[PIPELINE * REPLY_LINE_MAX]; /* values are short */
    double start = now_ns();
    for (unsigned round = 0; round < rounds; round++) {
        char *out = bytes, *value_at;
        for (unsigned i = 0; i < PIPELINE; i++)
            out = reply_write(out, request, outcome, &value_at);
        sink += (uint64_t)(out - bytes);
    }
    double each = (now_ns() - start) / rounds / PIPELINE;
    printf("reply  %-34s %7.1f ns\n", name, each);
}

static void bench_replies(unsigned rounds) {
    static const char value[100];
    struct request get = {.command = COMMAND_GET, .ends_run = true, .key = SLICE("memtier-0000001")};
    struct outcome hit = {.status = OUTCOME_HIT,
                          .view = {.value = {value, sizeof value}, .version = 1ull << 60, .flags = 0}};
    struct outcome miss = {.status = OUTCOME_MISS}, stored = {.status = OUTCOME_STORED};
    struct request set = {.command = COMMAND_SET}, gets = get, mg = get;
    gets.ret_cas = true;
    mg.command = COMMAND_META_GET;
    mg.meta_flags = SLICE("k f t v");
    mg.meta = meta_bit('k') | meta_bit('f') | meta_bit('t') | meta_bit('v');
    bench_reply("get hit, 100 bytes", &get, &hit, rounds);
    bench_reply("get miss", &get, &miss, rounds);
    bench_reply("gets hit, 100 bytes", &gets, &hit, rounds);
    bench_reply("set", &set, &stored, rounds);
    bench_reply("mg k f t v, 100 bytes", &mg, &hit, rounds);
}

int main(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : DEFAULT_ROUNDS;
    static char data[101];
    memset(data, 'x', 100);
    bench_parse("get, key of 15", "get memtier-%07u\r\n", NULL, rounds);
    bench_parse("get, key of 31", "get a-key-of-some-more-bytes%03u\r\n", NULL, rounds);
    bench_parse("set, key of 15, 100 bytes", "set memtier-%07u 0 0 100\r\n", data, rounds);
    bench_parse("set noreply", "set memtier-%07u 0 300 100 noreply\r\n", data, rounds);
    bench_parse("delete", "delete memtier-%07u\r\n", NULL, rounds);
    bench_parse("incr", "incr memtier-%07u 1\r\n", NULL, rounds);
    bench_parse("mg k f t v", "mg memtier-%07u k f t v\r\n", NULL, rounds);
    bench_parse("ms T300 F1", "ms memtier-%07u 100 T300 F1\r\n", data, rounds);
    bench_many_keys(rounds);
    bench_replies(rounds);
    return sink == 42;
}
