/* SPDX-License-Identifier: MIT */
/*
 * Conversations in the text and in the binary protocol: through the model, cut in pieces (split.h), and through the
 * engine (engine.h). The first two bytes of an input say where the rest is cut; its pieces must be answered as the
 * whole is.
 */
#ifndef FOREBAY_TESTS_FUZZ_CONVERSATIONS_H
#define FOREBAY_TESTS_FUZZ_CONVERSATIONS_H

#include "tests/fuzz/engine.h"
#include "tests/fuzz/lines.h"
#include "tests/fuzz/packets.h"
#include "tests/fuzz/split.h"

static inline size_t conversation_cut(const uint8_t *data) {
    return (size_t)data[0] << 8 | data[1];
}

/* The rest is the conversation itself. */
static inline void play_bytes(const uint8_t *data, size_t size) {
    if (size >= 2)
        check_split_often((const char *)data + 2, size - 2, conversation_cut(data) % (size - 1));
}

/* The rest chooses lines. */
static inline void play_lines(struct engine *engine, const uint8_t *data, size_t size) {
    static char lines[LINES_MAX];
    if (size < 2)
        return;
    size_t length = make_lines(lines, data + 2, size - 2);
    check_split_often(lines, length, conversation_cut(data) % (length + 1));
    engine_play(engine, lines, length);
}

/* The rest chooses packets. */
static inline void play_packets(struct engine *engine, const uint8_t *data, size_t size) {
    static char packets[PACKETS_MAX];
    if (size < 2)
        return;
    size_t length = make_packets(packets, data + 2, size - 2);
    check_split_often(packets, length, conversation_cut(data) % (length + 1));
    engine_play(engine, packets, length);
}

#endif
