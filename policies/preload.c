/* SPDX-License-Identifier: MIT */
/*
 * Preload: at start the newest entries of a namespace are brought into memory in the background.
 *
 * The scan only names the keys; their entries are then loaded as any miss is, with the stamp taken before. A
 * scan takes seconds, and what it shows may have been changed, written and evicted again before it could be
 * filled.
 */
#include "policies/loader.h"
#include "policies/quarantine.h"
#include <stdlib.h>

enum { STEP_KEYS = 128, BLOCK = 1 << 20 };

struct names {
    struct backend_visitor visitor;
    const atomic_bool *stop;
    char *bytes; /* one byte of length, then the key, and so on */
    size_t size, capacity;
    size_t count;
};

static bool take_name(struct backend_visitor *self, const struct entry *entry) {
    struct names *names = (struct names *)(void *)self;
    size_t wanted = names->size + 1 + entry->key.size;
    if (wanted > names->capacity) {
        char *bytes = realloc(names->bytes, names->capacity + BLOCK);
        if (!bytes)
            return false;
        names->bytes = bytes;
        names->capacity += BLOCK;
    }
    names->bytes[names->size] = (char)entry->key.size;
    memcpy(names->bytes + names->size + 1, entry->key.data, entry->key.size);
    names->size = wanted;
    names->count++;
    return !atomic_load(names->stop);
}

/* Takes up to STEP_KEYS names from *at on. What is quarantined is newer than its row, and left to the first
 * miss. */
static size_t next_keys(const struct space *space, const struct names *names, size_t *at,
                        struct slice keys[STEP_KEYS]) {
    size_t count_keys = 0;
    while (*at < names->size && count_keys < STEP_KEYS) {
        struct slice key = slice_of(names->bytes + *at + 1, (unsigned char)names->bytes[*at]);
        *at += 1 + key.size;
        if (quarantine_count(space->quarantine) == 0 || !quarantine_has(space->quarantine, key))
            keys[count_keys++] = key;
    }
    return count_keys;
}

/* Returns how many names were asked for, all unless it failed or was stopped. */
static size_t fill(struct backend_connection *connection, struct space *space, const struct names *names,
                   struct backend_error *error) {
    struct slice keys[STEP_KEYS];
    size_t done = 0, shown = 0;
    for (size_t at = 0; at < names->size && !atomic_load(names->stop);) {
        size_t count_keys = next_keys(space, names, &at, keys);
        if (loader_fill(connection, space, keys, count_keys, error) != BACKEND_OK)
            break;
        done += count_keys;
        if (done - shown >= 100000) {
            shown = done;
            tier_log(space->tier, LOG_LEVEL_NOTICE, "namespace %s: preloading, %zu of %zu entries",
                     space->options.name, done, names->count);
        }
    }
    return done;
}

static void preload_space(struct tier_backend *backend, struct backend_connection *connection,
                          struct space *space, const atomic_bool *stop) {
    struct names names = {.visitor = {take_name}, .stop = stop};
    struct backend_error error = {{0}};
    enum backend_status status =
        backend->type->scan(connection, &space->options.table, space->options.preload, wall_time().seconds,
                            &names.visitor, &error);
    size_t done = status == BACKEND_OK ? fill(connection, space, &names, &error) : 0;
    if (error.message[0])
        tier_log(space->tier, LOG_LEVEL_WARNING, "namespace %s: the preload ended after %zu entries: %s",
                 space->options.name, done, error.message);
    else
        tier_log(space->tier, LOG_LEVEL_NOTICE, "namespace %s: preloaded %zu entries", space->options.name,
                 done);
    free(names.bytes);
}

void preload_run(struct tier_backend *backend, struct backend_connection *connection,
                 const atomic_bool *stop) {
    struct tier *tier = backend->tier;
    for (size_t i = 0; i < tier->space_count; i++) {
        struct space *space = &tier->spaces[i];
        if (space->backend != backend || space->options.preload == 0)
            continue;
        if (!atomic_load(stop))
            preload_space(backend, connection, space, stop);
        if (space->options.preload_wait)
            atomic_fetch_sub(&tier->preloads, 1);
    }
}
