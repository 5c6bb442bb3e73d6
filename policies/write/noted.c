/* SPDX-License-Identifier: MIT */
/*
 * A later touch of the same entry stands for an earlier one if the entry still lived by that when it was made: then the
 * last expiry is what counts, and the first version and second say since when the row is waited for. A put whose time
 * is over has but one version that counts, the last.
 */
#include "policies/write/noted.h"
#include "policies/write/touches.h"
#include <stdlib.h>
#include <string.h>

static size_t bytes_of(const struct noted *noted) {
    return sizeof *noted + noted->key_size + sizeof noted;
}

static void drop(struct noted_list *list, struct noted *noted) {
    list->bytes -= bytes_of(noted);
    free(noted);
}

/* ---- Adding ---- */

static bool append(struct noted_list *list, struct noted *noted) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        struct noted **longer = realloc(list->list, capacity * sizeof(struct noted *));
        if (!longer)
            return false;
        list->list = longer;
        list->capacity = capacity;
    }
    list->list[list->count++] = noted;
    list->bytes += bytes_of(noted);
    return true;
}

/* first, second: 0 of what is no touch. */
static bool add(struct noted_list *list, struct space *space, const struct entry *entry, uint64_t first,
                uint32_t second) {
    struct noted *noted = malloc(sizeof *noted + entry->key.size);
    if (!noted)
        return false;
    *noted = (struct noted){.space = space,
                            .version = entry->version,
                            .client_cas = entry->client_cas,
                            .first = first,
                            .second = second,
                            .made_at = second,
                            .expires_at = entry->expires_at,
                            .key_size = (uint8_t)entry->key.size};
    memcpy(noted->key, entry->key.data, entry->key.size);
    if (append(list, noted))
        return true;
    free(noted);
    return false;
}

bool noted_add(struct noted_list *list, struct space *space, const struct entry *entry) {
    return add(list, space, entry, 0, 0);
}

bool noted_add_touch(struct noted_list *list, struct space *space, const struct entry *entry) {
    return add(list, space, entry, entry->version, touches_second_of(entry));
}

/* ---- Folding ---- */

static int by_key_and_version(const void *a, const void *b) {
    const struct noted *x = *(struct noted *const *)a, *y = *(struct noted *const *)b;
    size_t shorter = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = x->space->number - y->space->number;
    if (order == 0)
        order = memcmp(x->key, y->key, shorter);
    if (order == 0)
        order = (int)x->key_size - (int)y->key_size;
    if (order == 0)
        order = x->version < y->version ? -1 : x->version > y->version;
    return order;
}

static bool is_same_key(const struct noted *a, const struct noted *b) {
    return a->space == b->space && slice_equal(noted_key(a), noted_key(b));
}

/* Did the entry live by the earlier touch when the later one was made? That with the CAS value that both name did. */
static bool is_prolonged(const struct noted *later, const struct noted *earlier) {
    return later->client_cas || earlier->expires_at == 0 || earlier->expires_at > later->second;
}

/* A later touch of the same entry, made while the entry lived by the earlier one, stands for both; of the same put
 * the last version counts. */
static bool stands_for(struct noted *later, const struct noted *earlier) {
    if (!is_same_key(later, earlier))
        return false;
    if (!earlier->first)
        return true;
    if (later->client_cas != earlier->client_cas || !is_prolonged(later, earlier))
        return false;
    later->first = earlier->first < later->first ? earlier->first : later->first;
    later->made_at = earlier->made_at < later->made_at ? earlier->made_at : later->made_at;
    return true;
}

void noted_fold(struct noted_list *list) {
    size_t kept = 0;
    if (list->count > 1)
        qsort(list->list, list->count, sizeof *list->list, by_key_and_version);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && stands_for(list->list[i], list->list[kept - 1]))
            drop(list, list->list[--kept]);
        list->list[kept++] = list->list[i];
    }
    list->count = kept;
}

/* ---- Removing ---- */

void noted_remove(struct noted_list *list, bool (*matches)(const void *context, const struct noted *noted),
                  const void *context) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (matches(context, list->list[i]))
            drop(list, list->list[i]);
        else
            list->list[kept++] = list->list[i];
    list->count = kept;
}

void noted_clear(struct noted_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->list[i]);
    free(list->list);
    *list = (struct noted_list){0};
}
