/* SPDX-License-Identifier: MIT */
#include "server/config/nearest.h"

enum { LONGEST = 40, SLIPS_MOST = 2, FEW_LETTERS = 3 };

/* Levenshtein's distance of two short words. */
static unsigned distance(struct slice a, struct slice b) {
    unsigned row[LONGEST + 1];
    if (b.size > LONGEST || a.size > LONGEST)
        return LONGEST;
    for (unsigned i = 0; i <= b.size; i++)
        row[i] = i;
    for (size_t y = 0; y < a.size; y++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)y + 1;
        for (size_t x = 0; x < b.size; x++) {
            unsigned replaced = diagonal + (a.data[y] != b.data[x]);
            diagonal = row[x + 1];
            unsigned shorter = row[x] < row[x + 1] ? row[x] + 1 : row[x + 1] + 1;
            row[x + 1] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[b.size];
}

struct nearest nearest_to(struct slice word) {
    return (struct nearest){.word = word, .slips = SLIPS_MOST + 1};
}

/* More than two slips, or more than one in a word of a few letters, are another word. */
void nearest_consider(struct nearest *nearest, const char *known) {
    struct slice other = slice_string(known);
    unsigned slips = distance(nearest->word, other);
    if (slips >= nearest->slips || (slips > 1 && other.size <= FEW_LETTERS))
        return;
    nearest->found = known;
    nearest->slips = slips;
}
