/* SPDX-License-Identifier: MIT */
/*
 * A backend whose Redis answers anything (redis_peer.h): alone, or a Redis Cluster of which every node is that peer.
 * The first bytes say what is asked, the rest what is answered. Nothing that comes of it may be unfit for an entry, and
 * every refusal has its words.
 */
#ifndef FOREBAY_TESTS_FUZZ_REDIS_H
#define FOREBAY_TESTS_FUZZ_REDIS_H

#include "backends/redis/options.h"
#include "tests/fuzz/redis_peer.h"
#include "tests/fuzz/store.h"

/* Now and then hardly any patience: whatever a call was at when its time was over, it says what was wrong. */
enum { REDIS_CALLS = 8, REDIS_PATIENCE_MS = 200, REDIS_IMPATIENCE_MS = 10 };

static const struct slice redis_asked[2][STORE_KEYS] = {{{"sess:a", 6}, {"sess:b", 6}, {"sess:c", 6}},
                                                        {{"str:a", 5}, {"str:b", 5}, {"str:c", 5}}};

static inline void redis_talk(struct store *store, struct choices *choices, unsigned calls) {
    enum backend_role role = choose(choices, 2) ? BACKEND_WRITER : BACKEND_READER;
    enum backend_status status = redis_backend.open(&store->options, role, &store->connection, &store->error);
    FUZZ_CHECK(status == BACKEND_OK || status == BACKEND_REFUSED);
    if (status == BACKEND_REFUSED) {
        store_check_status(store, status);
        return;
    }
    store->writes = role == BACKEND_WRITER;
    while (calls-- > 0)
        store_ask(store, choices, redis_asked);
    redis_backend.close(store->connection);
}

static inline void check_redis(const uint8_t *data, size_t size) {
    struct choices asked = choices_of(data, size < 3 * REDIS_CALLS + 4 ? size : 3 * REDIS_CALLS + 4);
    struct redis_peer *peer = redis_peer();
    struct redis_options own = {{&redis_backend}, .tombstone_seconds = 60};
    struct redis_table_options hash = {{&redis_backend}, .layout = "hash", .store_prefix = ""};
    struct redis_table_options string = {{&redis_backend}, .layout = "string", .store_prefix = ""};
    struct store store;
    char uri[64];
    bool is_cluster = choose(&asked, 8) == 0;
    unsigned calls = 1 + choose(&asked, REDIS_CALLS);
    snprintf(uri, sizeof uri, is_cluster ? "redis+cluster://127.0.0.1:%d" : "redis://127.0.0.1:%d/1",
             peer->port);
    store_begin(&store, uri, NULL, &redis_backend);
    own.replicas = choose(&asked, 4) == 0;
    store.options.timeout_ms = calls % 4 == 0 ? REDIS_IMPATIENCE_MS : REDIS_PATIENCE_MS;
    store.options.specific = &own.base;
    store.tables[0].specific = &hash.base;
    store.tables[1].specific = &string.base;
    redis_peer_take(peer, choices_of(asked.end, (size_t)(data + size - asked.end)));
    redis_talk(&store, &asked, calls);
    redis_peer_take(peer, choices_of(data, 0)); /* what calls that gave up have sent he reads later */
}

#endif
