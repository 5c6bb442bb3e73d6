/* SPDX-License-Identifier: MIT */
/* See picks.h. */
#include "backends/redis/picks.h"
#include <stdlib.h>

static void swap(struct picked *a, struct picked *b) {
    struct picked kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct picks *picks, size_t at) {
    for (; at > 0 && picks->heap[at].version < picks->heap[(at - 1) / 2].version; at = (at - 1) / 2)
        swap(&picks->heap[at], &picks->heap[(at - 1) / 2]);
}

static void sift_down(struct picks *picks, size_t at) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < picks->count; child++)
            if (picks->heap[child].version < picks->heap[least].version)
                least = child;
        if (least == at)
            return;
        swap(&picks->heap[at], &picks->heap[least]);
        at = least;
    }
}

static bool make_room(struct picks *picks) {
    if (picks->count < picks->room)
        return true;
    size_t room = picks->room ? picks->room * 2 : 256;
    struct picked *heap = realloc(picks->heap, room * sizeof *heap);
    if (!heap)
        return false;
    picks->heap = heap;
    picks->room = room;
    return true;
}

bool picks_add(struct picks *picks, struct slice key, uint64_t version) {
    bool full = picks->count == picks->limit;
    if (full && version <= picks->heap[0].version)
        return true;
    struct picked picked = {version, key.size, malloc(key.size + 1)};
    if (!picked.key || (!full && !make_room(picks))) {
        free(picked.key);
        return false;
    }
    memcpy(picked.key, key.data, key.size);
    if (full) {
        free(picks->heap[0].key);
        picks->heap[0] = picked;
        sift_down(picks, 0);
    } else {
        picks->heap[picks->count] = picked;
        sift_up(picks, picks->count++);
    }
    return true;
}

/* Newest first; a key that SCAN showed twice becomes a neighbour of itself. */
static int by_version_and_key(const void *left, const void *right) {
    const struct picked *a = left, *b = right;
    if (a->version != b->version)
        return a->version < b->version ? 1 : -1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return memcmp(a->key, b->key, a->size);
}

void picks_sort(struct picks *picks) {
    size_t kept = 0;
    if (picks->count)
        qsort(picks->heap, picks->count, sizeof *picks->heap, by_version_and_key);
    for (size_t i = 0; i < picks->count; i++) {
        if (kept && by_version_and_key(&picks->heap[kept - 1], &picks->heap[i]) == 0)
            free(picks->heap[i].key);
        else
            picks->heap[kept++] = picks->heap[i];
    }
    picks->count = kept;
}

void picks_free(struct picks *picks) {
    for (size_t i = 0; i < picks->count; i++)
        free(picks->heap[i].key);
    free(picks->heap);
}
