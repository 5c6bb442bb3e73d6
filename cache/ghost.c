/* SPDX-License-Identifier: MIT */
#include "cache/ghost.h"
#include <stdlib.h>
#include <string.h>

enum { LINE = 16, ENTRIES_MIN = 1024 };

struct line {
    uint16_t prints[LINE]; /* newest first, 0: none */
};

struct ghost {
    size_t mask; /* lines - 1 */
    struct line lines[];
};

struct ghost *ghost_create(size_t entries) {
    size_t lines = ENTRIES_MIN / LINE;
    while (lines * LINE < entries)
        lines *= 2;
    struct ghost *ghost = calloc(1, sizeof(*ghost) + lines * sizeof(struct line));
    if (ghost)
        ghost->mask = lines - 1;
    return ghost;
}

void ghost_destroy(struct ghost *ghost) {
    free(ghost);
}

size_t ghost_bytes(const struct ghost *ghost) {
    return sizeof(*ghost) + (ghost->mask + 1) * sizeof(struct line);
}

static struct line *line_of(struct ghost *ghost, uint64_t hash) {
    return &ghost->lines[hash & ghost->mask];
}

static uint16_t print_of(uint64_t hash) {
    uint16_t print = (uint16_t)(hash >> 32);
    return print ? print : 1;
}

/* Puts a fingerprint in front; the one at `end` falls out. */
static void push(struct line *line, unsigned end, uint16_t print) {
    memmove(&line->prints[1], &line->prints[0], end * sizeof(print));
    line->prints[0] = print;
}

static unsigned place_of(const struct line *line, uint16_t print) {
    unsigned place = 0;
    while (place < LINE && line->prints[place] != print)
        place++;
    return place;
}

void ghost_add(struct ghost *ghost, uint64_t hash) {
    struct line *line = line_of(ghost, hash);
    unsigned place = place_of(line, print_of(hash));
    push(line, place < LINE ? place : LINE - 1, print_of(hash));
}

bool ghost_take(struct ghost *ghost, uint64_t hash) {
    struct line *line = line_of(ghost, hash);
    unsigned place = place_of(line, print_of(hash));
    if (place == LINE)
        return false;
    memmove(&line->prints[place], &line->prints[place + 1], (LINE - 1 - place) * sizeof(uint16_t));
    line->prints[LINE - 1] = 0;
    return true;
}
