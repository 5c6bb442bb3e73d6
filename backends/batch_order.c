/* SPDX-License-Identifier: MIT */
/* See batch_order.h. */
#include "backends/batch_order.h"
#include <assert.h>
#include <stdlib.h>

static size_t common_prefix(struct slice a, struct slice b) {
    size_t least = a.size < b.size ? a.size : b.size;
    size_t same = 0;
    while (same < least && a.data[same] == b.data[same])
        same++;
    return same;
}

static size_t prefix_of_all(const struct mutation *mutations, size_t count) {
    struct slice common = mutations[0].entry.key;
    for (size_t i = 1; i < count && common.size > 0; i++)
        common.size = common_prefix(common, mutations[i].entry.key);
    return common.size;
}

/* Big-endian, so that the numbers compare as the bytes do. */
static uint64_t lead_of(struct slice key, size_t skip) {
    uint64_t lead = 0;
    for (size_t i = 0; i < sizeof lead; i++)
        lead = lead << 8 | (skip + i < key.size ? (unsigned char)key.data[skip + i] : 0u);
    return lead;
}

static int compare_keys(struct slice a, struct slice b) {
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least ? memcmp(a.data, b.data, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_numbers(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int compare_table_and_key(const struct mutation *mutations, const struct batch_place *a,
                                 const struct batch_place *b) {
    const struct mutation *left = &mutations[a->index], *right = &mutations[b->index];
    if (left->table != right->table)
        return compare_numbers(left->table->index, right->table->index);
    if (a->lead != b->lead)
        return compare_numbers(a->lead, b->lead);
    return compare_keys(left->entry.key, right->entry.key);
}

/* By table, key and position in the batch: the mutations of a key become neighbours, in their order. */
static int by_key(const void *left, const void *right, void *context) {
    const struct batch_place *a = left, *b = right;
    int order = compare_table_and_key(context, a, b);
    return order ? order : compare_numbers(a->index, b->index);
}

/* By round, table, kind and key. */
static int by_round(const void *left, const void *right, void *context) {
    const struct mutation *mutations = context;
    const struct batch_place *a = left, *b = right;
    const struct mutation *first = &mutations[a->index], *second = &mutations[b->index];
    if (a->round != b->round)
        return compare_numbers(a->round, b->round);
    if (first->table != second->table)
        return compare_numbers(first->table->index, second->table->index);
    if (first->kind != second->kind)
        return compare_numbers(first->kind, second->kind);
    return compare_table_and_key(mutations, a, b);
}

/* Numbers the rounds of places sorted by key. Returns whether one sort was enough. */
static bool number_rounds(const struct mutation *mutations, size_t count, struct batch_place *places) {
    bool uniform = true;
    places[0].round = 0;
    for (size_t i = 1; i < count; i++) {
        bool same_key = compare_table_and_key(mutations, &places[i - 1], &places[i]) == 0;
        places[i].round = same_key ? places[i - 1].round + 1 : 0;
        if (same_key || mutations[places[i].index].kind != mutations[places[i - 1].index].kind)
            uniform = false;
    }
    return uniform;
}

void batch_order(const struct mutation *mutations, size_t count, struct batch_place *places) {
    if (count == 0)
        return;
    assert(count < UINT32_MAX);
    size_t skip = prefix_of_all(mutations, count);
    for (size_t i = 0; i < count; i++)
        places[i] = (struct batch_place){lead_of(mutations[i].entry.key, skip), (uint32_t)i, 0};
    qsort_r(places, count, sizeof *places, by_key, (void *)mutations);
    if (!number_rounds(mutations, count, places))
        qsort_r(places, count, sizeof *places, by_round, (void *)mutations);
}

size_t batch_run(const struct mutation *mutations, const struct batch_place *places, size_t from,
                 size_t count) {
    const struct mutation *first = &mutations[places[from].index];
    size_t next = from + 1;
    while (next < count && places[next].round == places[from].round) {
        const struct mutation *candidate = &mutations[places[next].index];
        if (candidate->table != first->table || candidate->kind != first->kind)
            break;
        next++;
    }
    return next - from;
}
