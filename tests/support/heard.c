/* SPDX-License-Identifier: MIT */
#include "tests/support/heard.h"
#include "tests/support/check.h"
#include <stdio.h>
#include <string.h>

/* Whether the text of keys has this one, and not merely one that ends so. */
static bool has(const char *keys, const char *name) {
    for (const char *at = strstr(keys, name); at; at = strstr(at + 1, name))
        if (at == keys || at[-1] == ' ')
            return true;
    return false;
}

static void hear_key(struct backend_listener *listener, const struct backend_table *table, struct slice key) {
    struct heard *heard = (struct heard *)(void *)listener;
    size_t used = strlen(heard->keys);
    char name[ENTRY_KEY_MAX + 16];
    int size = snprintf(name, sizeof name, "%u/%.*s ", table->index, (int)key.size, key.data);
    if (has(heard->keys, name))
        return;
    assert_true(used + (size_t)size < sizeof heard->keys);
    strcpy(heard->keys + used, name);
}

static void hear_loss(struct backend_listener *listener) {
    ((struct heard *)(void *)listener)->lost++;
}

static void hear_move(struct backend_listener *listener) {
    ((struct heard *)(void *)listener)->moved++;
}

struct heard heard_nothing(void) {
    return (struct heard){.listener = {.changed = hear_key, .lost = hear_loss, .moved = hear_move}};
}

enum backend_status hear_once(struct backend_connection *watcher, struct heard *heard,
                              struct backend_error *ret_error) {
    return watcher->type->changes(watcher, 10, &heard->listener, &heard->proven_us, ret_error);
}

struct heard hear_all(struct backend_connection *watcher) {
    struct heard heard = heard_nothing();
    struct backend_error error;
    uint64_t now_us = monotonic_us(), until_us = now_us + (uint64_t)EVENTUALLY_SECONDS * US_PER_SECOND;
    while (heard.proven_us < now_us) {
        if (hear_once(watcher, &heard, &error) != BACKEND_OK)
            fail_msg("%s", error.message);
        if (monotonic_us() > until_us)
            fail_msg("the store never proved that nothing else has changed");
    }
    return heard;
}

unsigned heard_keys(const struct heard *heard) {
    unsigned keys = 0;
    for (const char *at = heard->keys; *at; at++)
        keys += *at == ' ';
    return keys;
}
