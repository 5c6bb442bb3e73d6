/* SPDX-License-Identifier: MIT */
#include "tests/backends/conformance/store.h"
#include <stdlib.h>
#include <time.h>

const struct backend_type *type(const struct store *store) {
    return backend_find(store->uri);
}

void connect_both(struct store *store) {
    struct backend_error error;
    if (type(store)->open(&store->options, BACKEND_WRITER, &store->writer, &error) != BACKEND_OK ||
        type(store)->open(&store->options, BACKEND_READER, &store->reader, &error) != BACKEND_OK)
        fail_msg("%s", error.message);
}

void disconnect(struct store *store) {
    type(store)->close(store->reader);
    type(store)->close(store->writer);
    store->reader = store->writer = NULL;
}

static void prepare(struct store *store) {
    store->now = (uint32_t)time(NULL);
    store->kind->start(store);
    for (unsigned i = 0; i < 2; i++) {
        store->tables[i] = (struct backend_table){.name = i ? "other things" : "sessions",
                                                  .key_prefix = i ? "other:" : "sess:",
                                                  .specific = store->kind->specific[i],
                                                  .index = i};
        store->list[i] = &store->tables[i];
    }
    store->options =
        (struct backend_options){.name = "store",
                                 .uri = store->uri,
                                 .data = store->folder.path,
                                 .timeout_ms = EVENTUALLY_SECONDS * 1000, /* none is meant to run out */
                                 .specific = store->kind->options,
                                 .tables = store->list,
                                 .table_count = 2};
    connect_both(store);
}

int set_up(void **state) {
    struct store *store = calloc(1, sizeof *store);
    store->kind = *state;
    prepare(store);
    *state = store;
    return 0;
}

const char *end_race(struct store *store) {
    void *complaint = NULL;
    atomic_store(&store->stop, true);
    if (store->racing)
        pthread_join(store->race, &complaint);
    store->racing = false;
    return complaint;
}

int tear_down(void **state) {
    struct store *store = *state;
    const struct kind *kind = store->kind;
    end_race(store);
    disconnect(store);
    kind->stop(store);
    free(store);
    *state = (void *)kind;
    return 0;
}
