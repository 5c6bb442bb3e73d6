/* SPDX-License-Identifier: MIT */
/*
 * What may happen to a client's bytes on their way: each change is so many bytes behind the one before; but a record of
 * anybody's goes in where the client begins to speak, so between two of its own.
 */
#ifndef FOREBAY_TESTS_FUZZ_TLS_WAY_H
#define FOREBAY_TESTS_FUZZ_TLS_WAY_H

#include "tests/fuzz/choices.h"
#include <string.h>

enum { TLS_CHANGES_MAX = 6, TLS_ADDED_MAX = 300 };

struct tls_way {
    unsigned changes; /* that are still to come */
    size_t next;      /* bytes until then */
    bool meddled;     /* one has come */
};

static inline struct tls_way tls_way_begin(struct choices *choices) {
    struct tls_way way = {.changes = choose(choices, TLS_CHANGES_MAX)};
    way.next = (size_t)choose_bits(choices, 1 + choose(choices, 2)) % 3000;
    return way;
}

/* A record: of a kind that there is or is not, as long as it says or not. Returns its size. */
static inline size_t tls_way_record(struct choices *choices, char *out) {
    static const uint8_t kinds[] = {20, 21, 22, 23, 24, 0x80}, versions[] = {3, 1, 4, 0};
    size_t size = choose(choices, 255);
    size_t told = choose(choices, 8) ? size : (size_t)choose_bits(choices, 2);
    out[0] = (char)kinds[choose(choices, 6)];
    out[1] = choose(choices, 16) ? 3 : (char)choose(choices, 256);
    out[2] = (char)versions[choose(choices, 4)];
    out[3] = (char)(told >> 8);
    out[4] = (char)told;
    for (size_t i = 0; i < size; i++)
        out[5 + i] = (char)choose(choices, 256);
    return 5 + size;
}

/* Puts bytes at a place, as far as there is room. Returns the new size. */
static inline size_t tls_way_insert(char *data, size_t size, size_t room, size_t at, const char *added,
                                    size_t count) {
    if (size + count > room)
        return size;
    memmove(data + at + count, data + at, size - at);
    memcpy(data + at, added, count);
    return size + count;
}

/* Returns the new size; *ret_at: where what is unchanged goes on. */
static inline size_t tls_way_change(struct choices *choices, char *data, size_t size, size_t room, size_t at,
                                    size_t *ret_at) {
    char added[TLS_ADDED_MAX];
    size_t count = 1 + choose(choices, 20), left = size - at;
    *ret_at = at;
    switch (choose(choices, 6)) {
    case 0: /* other bits */
        data[at] = (char)((uint8_t)data[at] ^ (1 + choose(choices, 255)));
        *ret_at = at + 1;
        return size;
    case 1: /* lost */
        count = count < left ? count : left;
        memmove(data + at, data + at + count, left - count);
        return size - count;
    case 2: /* twice */
        count = count < left ? count : left;
        memcpy(added, data + at, count);
        *ret_at = at + count;
        return tls_way_insert(data, size, room, at, added, count);
    case 3: /* cut off */
        return at;
    case 4: /* somebody's record */
        count = tls_way_record(choices, added);
        *ret_at = count;
        return tls_way_insert(data, size, room, 0, added, count);
    default: /* all of it twice */
        *ret_at = size;
        return 2 * size <= room ? (memcpy(data + size, data, size), 2 * size) : size;
    }
}

/* What comes of bytes in a place with room for more: their new size. */
static inline size_t tls_way_pass(struct tls_way *way, struct choices *choices, char *data, size_t size,
                                  size_t room) {
    size_t at = 0;
    while (way->changes > 0 && way->next < size - at) {
        at += way->next;
        way->meddled = true;
        size = tls_way_change(choices, data, size, room, at, &at);
        at = at < size ? at : size;
        way->next = (size_t)choose_bits(choices, 1 + choose(choices, 2)) % 3000;
        way->changes--;
    }
    way->next -= way->changes > 0 ? size - at : 0;
    return size;
}

#endif
