/* SPDX-License-Identifier: MIT */
/* A reader beside the writer. */
#include "tests/backends/conformance/steps.h"
#include "tests/backends/conformance/subjects.h"
#include <stdio.h>
#include <stdlib.h>

static void *read_on(void *context) {
    struct store *store = context;
    struct slice keys[] = {SLICE("sess:a"), SLICE("sess:b")};
    uint64_t seen[2] = {0};
    do {
        struct load_result results[2];
        struct backend_error error;
        enum backend_status status =
            type(store)->load(store->reader, store->list[0], keys, 2, store->now, results, &error);
        if (may_be_repeated(store, status))
            continue;
        for (unsigned i = 0; i < 2; i++) {
            uint64_t version = results[i].found ? results[i].entry.version : 0;
            if (status != BACKEND_OK || version < seen[i] ||
                strtoull(results[i].entry.value.data, NULL, 10) != version)
                return "a read failed or went back";
            seen[i] = version;
        }
        store->reads++;
    } while (!atomic_load(&store->stop));
    return NULL;
}

TEST(a_reader_beside_the_writer_only_moves_forward) {
    struct store *store = *state;
    struct mutation first[] = {put(store, "sess:a", "1", 1), put(store, "sess:b", "1", 1)};
    apply_all(store, first, 2);
    assert_int_equal(pthread_create(&store->race, NULL, read_on, store), 0);
    store->racing = true;
    for (unsigned version = 2; version < 500; version++) {
        char value[16] = {0};
        sprintf(value, "%u", version);
        struct mutation mutations[] = {put(store, "sess:a", value, version),
                                       put(store, "sess:b", value, version)};
        mutations[0].entry.value.size = mutations[1].entry.value.size = sizeof value;
        apply_all(store, mutations, 2);
    }
    const char *complaint = end_race(store);
    if (complaint)
        fail_msg("%s", complaint);
    assert_true(store->reads > 0);
}

static const struct CMUnitTest cases[] = {
    CASE(a_reader_beside_the_writer_only_moves_forward),
};

const struct subject about_races = {cases, sizeof cases / sizeof cases[0]};
