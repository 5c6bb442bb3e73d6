/* SPDX-License-Identifier: MIT */
/*
 * The parsers of both protocols alone, without anybody who answers: any bytes, as they come. Cheap, so that there may
 * be very many of them.
 *
 * The first byte says where they are cut (and, rarely, that they come one by one), the second in what state the parser
 * is (short lines, starved, in a line of keys that has no end yet). What must hold: no step beyond the bytes; a request
 * lies in them; wanted is more than there is; and cut anywhere, the same requests come out, the same bytes are left
 * over, and it is closed or not - unless it is starved.
 */
#ifndef FOREBAY_TESTS_FUZZ_REQUESTS_H
#define FOREBAY_TESTS_FUZZ_REQUESTS_H

#include "server/protocol/binary.h"
#include "tests/fuzz/choices.h"
#include <sanitizer/asan_interface.h>
#include <string.h>

enum {
    REQUESTS_ITEM_MAX = 1024,
    REQUESTS_CUT = 252, /* first bytes from here on: one by one */
    REQUESTS_SHORT_LINES = 1,
    REQUESTS_STARVED = 2,
    REQUESTS_OPEN = 4, /* and two bits more say which command's line it is */
    REQUESTS_IN_STATE =
        32, /* second bytes below that have these bits; the usual state is that of all others */
    REQUESTS_GIVEN_MAX = 1 << 10, /* bytes of an input that end an open line; the rest is left out */
};

/* Those that came out so far, and where the next one begins. */
struct requests {
    struct parser parser;
    bool is_binary, closed;
    size_t at, wanted; /* bytes that are used up; and beyond them, that must have come before another call */
    uint64_t sum;
    struct request request;
    struct binary_head head;
    char key[ENTRY_KEY_MAX + 2];
};

FUZZ_HARNESS struct requests requests_begin(bool is_binary, unsigned state) {
    struct requests requests = {.is_binary = is_binary};
    parser_init(&requests.parser, REQUESTS_ITEM_MAX);
    requests.parser.short_lines = state < REQUESTS_IN_STATE && (state & REQUESTS_SHORT_LINES);
    requests.parser.starved = state < REQUESTS_IN_STATE && (state & REQUESTS_STARVED);
    return requests;
}

FUZZ_HARNESS void requests_add(struct requests *requests, uint64_t number) {
    requests->sum = (requests->sum << 23 | requests->sum >> 41) ^ number * 0x9e3779b97f4a7c15u;
}

FUZZ_HARNESS void requests_add_slice(struct requests *requests, struct slice slice) {
    uint64_t number = slice.size;
    for (size_t i = 0; i < slice.size; i++)
        number = number * 31 + (uint8_t)slice.data[i];
    requests_add(requests, number);
}

/* Everything that a request says; what its command does not use is 0. */
FUZZ_HARNESS void requests_add_request(struct requests *requests) {
    const struct request *request = &requests->request;
    const struct binary_head *head = &requests->head;
    const uint64_t numbers[] = {(uint64_t)request->command << 8 | (uint64_t)(request->noreply << 4) |
                                    (uint64_t)(request->ret_cas << 3) | (uint64_t)(request->ends_run << 2) |
                                    (uint64_t)(request->has_exptime << 1) | request->too_large,
                                (uint8_t)request->mode,
                                request->flags,
                                (uint64_t)request->exptime,
                                request->cas,
                                request->delta,
                                request->meta,
                                request->new_cas,
                                request->initial,
                                (uint64_t)request->vivify_ttl,
                                (uint64_t)request->recache_ttl,
                                (uint64_t)head->opcode << 56 | (uint64_t)head->status << 40 |
                                    (uint64_t)head->opaque << 8 | (uint64_t)(head->quiet << 2) |
                                    (uint64_t)(head->ret_key << 1) | head->closes};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        requests_add(requests, numbers[i]);
    requests_add_slice(requests, request->key);
    requests_add_slice(requests, request->value);
    requests_add_slice(requests, request->raw_key);
    requests_add_slice(requests, request->meta_flags);
    requests_add_slice(requests, request->argument);
    if (request->command == COMMAND_BAD && request->error)
        requests_add_slice(requests, slice_string(request->error));
}

FUZZ_HARNESS enum parse_status requests_next(struct requests *requests, const char *bytes, size_t size) {
    size_t consumed = 0, wanted = 0;
    enum parse_status status;
    memset(&requests->request, 0, sizeof requests->request);
    memset(&requests->head, 0, sizeof requests->head);
    if (requests->is_binary)
        status = binary_parse(&requests->parser, bytes, size, requests->key, &requests->request,
                              &requests->head, &consumed, &wanted);
    else
        status = parse(&requests->parser, bytes, size, requests->key, &requests->request, &consumed, &wanted);
    FUZZ_CHECK(consumed <= size);
    FUZZ_CHECK(status != PARSE_MORE || wanted > size - consumed);
    FUZZ_CHECK(status != PARSE_OK || consumed > 0 || requests->parser.starved);
    requests->at += consumed;
    requests->wanted = status == PARSE_MORE ? wanted : 0;
    return status;
}

FUZZ_HARNESS bool requests_lies_in(struct slice part, const char *bytes, size_t size) {
    return part.size == 0 || (part.data >= bytes && part.data + part.size <= bytes + size);
}

FUZZ_HARNESS void requests_check(const struct requests *requests, const char *bytes, size_t size) {
    const struct request *request = &requests->request;
    if (command_has_key(request->command))
        FUZZ_CHECK(request->key.size > 0 && request->key.size <= ENTRY_KEY_MAX);
    FUZZ_CHECK(requests_lies_in(request->key, bytes, size) ||
               requests_lies_in(request->key, requests->key, sizeof requests->key));
    FUZZ_CHECK(requests_lies_in(request->value, bytes, size) &&
               requests_lies_in(request->meta_flags, bytes, size) &&
               requests_lies_in(request->raw_key, bytes, size) && request->value.size <= REQUESTS_ITEM_MAX);
    FUZZ_CHECK(requests->is_binary || request->command != COMMAND_BAD || (request->error && *request->error));
}

/* `size` bytes of the conversation have come: takes what there is. Starved, a request may use up nothing of its bytes
 * (the rest of its line comes key by key), which is as often as there are bytes. */
FUZZ_HARNESS void requests_take(struct requests *requests, const char *bytes, size_t size) {
    for (size_t idle = 0; !requests->closed && size - requests->at >= requests->wanted;) {
        FUZZ_CHECK(idle <= size);
        size_t before = requests->at;
        enum parse_status status = requests_next(requests, bytes + before, size - before);
        idle += requests->at == before;
        if (status == PARSE_OK) {
            requests_check(requests, bytes, size);
            requests_add_request(requests);
        }
        requests->closed = status == PARSE_CLOSE || requests->head.closes;
        if (status == PARSE_CLOSE)
            requests_add(requests, requests->parser.close_reason);
        if (status == PARSE_MORE && requests->wanted == 0)
            return;
    }
}

/* The first bytes; of those behind them a step is seen. */
FUZZ_HARNESS void requests_take_first(struct requests *requests, const char *bytes, size_t there,
                                      size_t size) {
    ASAN_POISON_MEMORY_REGION(bytes + there, size - there);
    requests_take(requests, bytes, there);
    ASAN_UNPOISON_MEMORY_REGION(bytes + there, size - there);
}

/* The beginning of a line of keys that is longer than those that are judged whole; starved, than those that are waited
 * for. What comes behind it may go on with its last key. */
FUZZ_HARNESS size_t requests_put_beginning(char *out, unsigned state) {
    static const char *const words[] = {"get ", "gets ", "gat 9", "gats x"};
    const char *word = words[state / (2 * REQUESTS_OPEN) % 4];
    size_t size = strlen(word), least = state & REQUESTS_STARVED ? PARSER_LINE_MAX : PARSER_GET_LINE_MAX;
    memcpy(out, word, size);
    while (size <= least) {
        enum { KEY = ENTRY_KEY_MAX - 30 };
        out[size++] = ' ';
        memset(out + size, 'k', KEY);
        size += KEY;
    }
    return size;
}

/* Whole, and cut behind the first `before` bytes at the earliest. */
FUZZ_HARNESS void requests_compare(const char *bytes, size_t size, size_t before, unsigned cut,
                                   struct requests parts) {
    struct requests whole = parts;
    requests_take(&whole, bytes, size);
    FUZZ_CHECK(whole.at <= size);
    if (whole.parser.starved)
        return;
    size_t step = cut < REQUESTS_CUT ? size : 1;
    for (size_t there = before + (cut < REQUESTS_CUT ? cut % (size - before) : 1); there < size;
         there += step)
        requests_take_first(&parts, bytes, there, size);
    requests_take(&parts, bytes, size);
    FUZZ_CHECK(parts.sum == whole.sum && parts.closed == whole.closed);
    FUZZ_CHECK(whole.closed || parts.at == whole.at);
}

FUZZ_HARNESS void requests_compare_open(const char *bytes, size_t size, unsigned cut, unsigned state) {
    static char line[PARSER_GET_LINE_MAX + ENTRY_KEY_MAX + 16 + REQUESTS_GIVEN_MAX];
    size_t before = requests_put_beginning(line, state);
    size = size < REQUESTS_GIVEN_MAX ? size : REQUESTS_GIVEN_MAX;
    memcpy(line + before, bytes, size);
    ASAN_POISON_MEMORY_REGION(line + before + size, sizeof line - before - size);
    requests_compare(line, before + size, before, cut, requests_begin(false, state));
    ASAN_UNPOISON_MEMORY_REGION(line, sizeof line);
}

/* The bytes given are an exact copy themselves. */
FUZZ_HARNESS void check_requests(const uint8_t *data, size_t size, bool is_binary) {
    if (size < 3)
        return;
    const char *bytes = (const char *)data + 2;
    if (!is_binary && data[1] < REQUESTS_IN_STATE && (data[1] & REQUESTS_OPEN))
        requests_compare_open(bytes, size - 2, data[0], data[1]);
    else
        requests_compare(bytes, size - 2, 0, data[0], requests_begin(is_binary, data[1]));
}

#endif
