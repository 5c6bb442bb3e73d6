/* SPDX-License-Identifier: MIT */
/*
 * A tier of all policies over a store in memory (tests/support/memory_store.h), whose client asks what a model is
 * asked as well (tests/support/model.h). Time passes for both at once (tests/support/passing_time.h), and no request
 * crosses the end of a second.
 *
 * One for many inputs: each has keys of its own, of the same length. Where the store may fail it is made anew for
 * each: what was done to it is not undone. There one does not wait for it for long, so a machine that is busy fails
 * it as well.
 */
#ifndef FOREBAY_TESTS_FUZZ_TIER_WORLD_H
#define FOREBAY_TESTS_FUZZ_TIER_WORLD_H

#include "policies/policy.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/tier_client.h"
#include "tests/support/faulty.h"
#include "tests/support/memory_store.h"
#include "tests/support/model.h"
#include "tests/support/passing_time.h"

/* What a client or a row dictates in a conversation is below, or the highest there is; versions are between, in the
 * tier and in the model, so that of any two CAS both have the same order. */
#define WORLD_VERSIONS (UINT64_C(1) << 40)

enum { WORLD_INPUTS = 256, WORLD_PATIENCE_MS = 20000, WORLD_PATIENCE_HARMED_MS = 20 };

/* The namespaces. The last two may answer otherwise than a model: by what they are for. */
enum place { PLACE_MEMORY, PLACE_READS, PLACE_THROUGH, PLACE_BEHIND, PLACE_STALE, PLACE_QUICK, PLACES };

static inline bool place_is_strict(enum place place) {
    return place <= PLACE_BEHIND;
}

static const char world_letters[PLACES + 1] = "mrtbsq"; /* the prefixes */

struct world {
    struct tier_client client;
    struct memory_store *store;
    struct faulty *faulty;
    struct model *model;
    uint32_t model_now;
    unsigned inputs;
    bool journal, harmed; /* harmed: the store may fail */
};

static inline void world_log(void *context, enum log_level level, const struct log_field *fields,
                             const char *message) {
    (void)context, (void)level, (void)fields;
    FUZZ_CHECK(*message);
}

/* ---- Making ---- */

static inline void world_set_spaces(struct space_options spaces[PLACES], bool journal) {
    static const struct policy *const policies[PLACES] = {&policy_cache_aside,   &policy_read_through,
                                                          &policy_write_through, &policy_write_behind,
                                                          &policy_read_through,  &policy_write_behind};
    static const char *const names[PLACES] = {"memory", "reads", "through", "behind", "stale", "quick"};
    static const char *const prefixes[PLACES] = {"m", "r", "t", "b", "s", "q"};
    for (unsigned i = 0; i < PLACES; i++) {
        space_options_set_defaults(&spaces[i]);
        spaces[i].name = names[i];
        spaces[i].prefix = prefixes[i];
        spaces[i].policy = policies[i];
        spaces[i].backend = i == PLACE_MEMORY ? -1 : 0;
        spaces[i].journal = journal && policies[i]->holds_back ? JOURNAL_ALWAYS : JOURNAL_OFF;
        spaces[i].table = (struct backend_table){.name = names[i], .key_prefix = prefixes[i]};
        spaces[i].negative_ttl = 0;
    }
    spaces[PLACE_STALE].on_backend_down = DOWN_STALE;
    spaces[PLACE_STALE].max_residency = 10;
    spaces[PLACE_STALE].negative_ttl = 5000;
    spaces[PLACE_QUICK].on_backend_down = DOWN_MISS;
    spaces[PLACE_QUICK].existence = EXISTENCE_MEMORY;
    spaces[PLACE_QUICK].unknown_set = UNKNOWN_SET_REFUSE;
    spaces[PLACE_QUICK].touch_slack = 60;
    spaces[PLACE_QUICK].on_full = journal ? FULL_REJECT : FULL_WRITE_THROUGH;
    spaces[PLACE_QUICK].dirty_limit = 1024;
}

static inline void world_start(struct world *world) {
    struct space_options spaces[PLACES];
    char error[512];
    struct tier *tier;
    world_set_spaces(spaces, world->journal);
    struct tier_backend_options backend = {
        .store = {.name = "store",
                  .uri = memory_store_uri(world->store),
                  .timeout_ms = world->harmed ? WORLD_PATIENCE_HARMED_MS : WORLD_PATIENCE_MS,
                  .type = faulty_type(world->faulty)}};
    struct tier_options options = {
        .cache = {.memory_limit = 4 << 20, .item_max = TIER_CLIENT_ITEM_MAX, .node = 1, .hash_seed = 1},
        .workers = 1,
        .spaces = spaces,
        .space_count = PLACES,
        .backends = &backend,
        .backend_count = 1,
        .data = world->journal ? fuzz_folder() : NULL,
        .journal_file_size = 1 << 20,
        .wake = tier_client_wake,
        .log = world_log,
        .context = &world->client};
    bool created = tier_create(&options, &tier, error, sizeof error);
    if (!created)
        fprintf(stderr, "%s\n", error);
    FUZZ_CHECK(created);
    tier_client_begin(&world->client, tier);
}

static inline void world_make(struct world *world, bool journal, bool harmed) {
    *world = (struct world){.journal = journal, .harmed = harmed};
    pthread_mutex_init(&world->client.mutex, NULL);
    pthread_cond_init(&world->client.woken, NULL);
    world->store = memory_store_create();
    world->faulty = faulty_create(&memory_store_type);
    world->model = model_create(TIER_CLIENT_ITEM_MAX, 1);
    world_start(world);
}

static inline void world_end(struct world *world) {
    faulty_fail_all(world->faulty, FAULTY_ANY, BACKEND_OK);
    tier_client_end(&world->client);
    tier_destroy(world->client.tier);
    faulty_destroy(world->faulty);
    memory_store_destroy(world->store);
    model_destroy(world->model);
    pthread_mutex_destroy(&world->client.mutex);
    pthread_cond_destroy(&world->client.woken);
}

/* ---- Time ---- */

/* Before a request: what is left of the second is enough for it, and the model knows how late it is. */
static inline void world_look_at_clock(struct world *world) {
    uint64_t now = wall_us(), in_second = now % US_PER_SECOND;
    if (in_second > US_PER_SECOND / 2)
        pass_us(US_PER_SECOND - in_second);
    uint32_t seconds = tier_now(world->client.tier).seconds;
    model_advance(world->model, seconds - world->model_now);
    world->model_now = seconds;
}

static inline void world_begin_input(struct world *world) {
    world->model_now = tier_now(world->client.tier).seconds;
    model_begin_anew(world->model, world->model_now);
    model_raise_version(world->model, WORLD_VERSIONS);
    world->inputs++;
}

/* ---- Both are asked ---- */

static inline struct slice world_ask_model(struct world *world, struct slice line) {
    model_feed(world->model, line.data, line.size);
    FUZZ_CHECK(!model_is_closed(world->model) && model_waiting(world->model) == 0);
    return model_take(world->model);
}

/* The CAS of a key there, 0: there is none, or it cannot be known. */
static inline uint64_t world_cas(struct slice answer) {
    uint64_t cas = 0;
    if (answer.size > 4 && memcmp(answer.data, "HD c", 4) == 0)
        for (const char *at = answer.data + 4; *at >= '0' && *at <= '9'; at++)
            cas = cas * 10 + (uint64_t)(*at - '0');
    return cas;
}

/* Whether it can be no version. */
static inline bool world_is_dictated(uint64_t cas) {
    return (cas != 0 && cas <= WORLD_VERSIONS) || cas == UINT64_MAX;
}

#endif
