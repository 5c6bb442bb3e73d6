/* SPDX-License-Identifier: MIT */
/*
 * Conversations of the binary protocol out of any bytes. Most packets are whole and add up, so that they get as far as
 * the entries; the rest has one number wrong.
 */
#ifndef FOREBAY_TESTS_FUZZ_PACKETS_H
#define FOREBAY_TESTS_FUZZ_PACKETS_H

#include "server/protocol/binary.h"
#include "tests/fuzz/choices.h"

enum { PACKETS_MAX = 16 << 10, PACKETS_VALUE_MAX = 1200 };

static inline char *put_number(char *out, uint64_t number, size_t size) {
    for (size_t i = size; i-- > 0; number >>= 8)
        out[i] = (char)number;
    return out + size;
}

/* Numbers near those that mean something: 0, 1, 30 days, a date, the highest. */
static inline uint64_t choose_number(struct choices *choices) {
    static const uint64_t numbers[] = {0, 1, 2, 10, 2592000, 2592001, 1700000010, UINT32_MAX, UINT64_MAX};
    return numbers[choose(choices, 9)] + choose(choices, 3);
}

/* How many bytes of extras an opcode has. */
static inline size_t extras_of(unsigned opcode) {
    static const uint8_t sizes[0x25] = {
        [0x01] = 8, [0x02] = 8, [0x03] = 8, [0x05] = 20, [0x06] = 20, [0x08] = 4,
        [0x11] = 8, [0x12] = 8, [0x13] = 8, [0x15] = 20, [0x16] = 20, [0x18] = 4,
        [0x1b] = 4, [0x1c] = 4, [0x1d] = 4, [0x1e] = 4,  [0x23] = 4,  [0x24] = 4};
    return opcode < sizeof sizes ? sizes[opcode] : 0;
}

static inline bool has_no_key(unsigned opcode) {
    return opcode == 0x07 || opcode == 0x17 || opcode == 0x08 || opcode == 0x18 || opcode == 0x0a ||
           opcode == 0x0b || opcode == 0x1b || opcode == 0x20;
}

static inline bool takes_value(unsigned opcode) {
    return (opcode >= 0x01 && opcode <= 0x03) || (opcode >= 0x11 && opcode <= 0x13) || opcode == 0x0e ||
           opcode == 0x0f || opcode == 0x19 || opcode == 0x1a;
}

static inline char *put_extras(char *out, struct choices *choices, size_t size) {
    for (; size > 8; size -= 8)
        out = put_number(out, choose_number(choices), 8);
    return put_number(out, choose_number(choices), size);
}

static inline char *put_value(char *out, struct choices *choices) {
    static const unsigned sizes[] = {0, 1, 2, 3, 20, 200, 900, PACKETS_VALUE_MAX};
    size_t size = sizes[choose(choices, 8)];
    bool is_number = choose(choices, 2);
    for (size_t i = 0; i < size; i++)
        out[i] = is_number ? (char)('0' + i % 10) : (char)(i * 7);
    return out + size;
}

static inline char *put_key(char *out, struct choices *choices) {
    static const char *const keys[] = {
        "a", "b", "bc", "a key\nwith blanks", "\x80\x01", "aaaaaaaaaaaaaaaaaaaa"};
    const char *key = keys[choose(choices, 6)];
    size_t size = strlen(key);
    memcpy(out, key, size);
    return out + size;
}

/* One packet, with room for it at out. */
static inline char *put_packet(char *out, struct choices *choices) {
    unsigned opcode = choose(choices, 0x28);
    unsigned wrong = choose(choices, 16); /* below 4: which number is */
    size_t extras = extras_of(opcode) + (wrong == 0);
    char *body = out + BINARY_HEADER, *end = put_extras(body, choices, extras), *key = end;
    if (!has_no_key(opcode))
        end = put_key(end, choices);
    size_t key_size = (size_t)(end - key) + (wrong == 1 ? choose(choices, 255) : 0);
    if (takes_value(opcode))
        end = put_value(end, choices);
    size_t body_size = (size_t)(end - body) + (wrong == 2 ? choose(choices, 40) : 0);
    memset(out, 0, BINARY_HEADER);
    out[0] = (char)(wrong == 3 ? choose(choices, 255) : BINARY_REQUEST);
    out[1] = (char)opcode;
    put_number(out + 2, key_size, 2);
    out[4] = (char)extras;
    put_number(out + 8, body_size, 4);
    put_number(out + 12, choose_number(choices), 4);
    put_number(out + 16, choose(choices, 2) ? choose_number(choices) : 0, 8);
    return end;
}

/* A conversation of up to PACKETS_MAX bytes; returns its size. */
static inline size_t make_packets(char out[PACKETS_MAX], const uint8_t *data, size_t size) {
    struct choices choices = {data, data + size};
    char *at = out, *last = out + PACKETS_MAX - BINARY_HEADER - 2 * PACKETS_VALUE_MAX;
    while (choices.at < choices.end && at < last)
        at = put_packet(at, &choices);
    return (size_t)(at - out);
}

#endif
