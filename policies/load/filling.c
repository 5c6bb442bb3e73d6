/* SPDX-License-Identifier: MIT */
/* See filling.h. */
#include "policies/load/filling.h"
#include "policies/tier_parts.h"
#include "policies/write/touches.h"
#include <stdlib.h>

enum { BLOCK = 1 << 20, SMALL_BLOCK = 4 << 10 };

bool key_list_add(struct key_list *list, struct slice key) {
    size_t wanted = list->size + 1 + key.size;
    if (wanted > list->capacity) {
        size_t capacity = list->capacity + (list->capacity < BLOCK ? list->capacity + SMALL_BLOCK : BLOCK);
        char *bytes = realloc(list->bytes, capacity);
        if (!bytes)
            return false;
        list->bytes = bytes;
        list->capacity = capacity;
    }
    list->bytes[list->size] = (char)key.size;
    memcpy(list->bytes + list->size + 1, key.data, key.size);
    list->size = wanted;
    list->count++;
    return true;
}

void key_list_clear(struct key_list *list) {
    free(list->bytes);
    *list = (struct key_list){.size = 0};
}

static bool is_unknown(const struct space *space, struct slice key, uint64_t hash,
                       const struct cache_time *now) {
    struct cache_cursor cursor;
    bool unknown = cache_seek(space->tier->cache, space->number, key, hash, now, &cursor) == CACHE_UNKNOWN;
    cache_release(&cursor);
    return unknown;
}

void filling_take(struct filling *filling, struct entry *entry, uint64_t hash, uint64_t stamp,
                  const struct cache_time *now) {
    struct space *space = filling->space;
    touches_amend(space->backend->writer, space, entry, hash);
    enum cache_status status = cache_fill(space->tier->cache, space->number, entry, hash, stamp, now);
    filling->filled += status == CACHE_OK;
    if (status == CACHE_CHANGED && is_unknown(space, entry->key, hash, now))
        key_list_add(&filling->left, entry->key);
}
