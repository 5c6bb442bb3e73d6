/* SPDX-License-Identifier: MIT */
/*
 * What any bytes ask of a tier of all policies (tier_world.h): classic and meta commands over a dozen keys, and
 * between them entries leave memory, what is dirty is flushed, others write rows, time passes, and the store fails.
 *
 * What must hold: each answer can be read as a client reads it; values of one key never show under another; and under
 * cache-aside, read-through, write-through and write-behind it is what the model answers, but for what is known in
 * memory alone (docs/compatibility.md). Of CAS, those that somebody dictates are the same; any other changes when the
 * model's does and at no other time, whatever has left memory meanwhile. An error is said by a store that fails and by
 * nobody else, and then what the key holds is left open until it is set again.
 *
 * FOREBAY_FUZZ_SHOW=1 shows what is asked and answered.
 */
#ifndef FOREBAY_TESTS_FUZZ_POLICIES_H
#define FOREBAY_TESTS_FUZZ_POLICIES_H

#include "tests/fuzz/policies_requests.h"
#include <ctype.h>

enum {
    POLICIES_STEPS = 48,
    POLICIES_ROW_MAX = 1000,
    POLICIES_ROW_VERSION = 1, /* of others' rows */
    POLICIES_WORLDS = 3
};

/* ---- Answers ---- */

/* The digits of a word; 0: it has none. */
static inline uint64_t policies_digits(struct slice word) {
    uint64_t number = 0;
    for (size_t i = 0; i < word.size; i++)
        if (isdigit((unsigned char)word.data[i]))
            number = number * 10 + (uint64_t)(word.data[i] - '0');
    return number;
}

/* Without the CAS, which is told aside (0: none): a 'c' flag, the last word of a VALUE that has five, and that of an
 * ME; and without when it was read, where it may have been loaded. Returns the size. */
static inline size_t policies_plain(struct slice answer, bool loads, char out[TIER_CLIENT_ANSWER],
                                    uint64_t *ret_cas) {
    size_t size = 0;
    *ret_cas = 0;
    while (answer.size > 0) {
        struct slice line, word;
        bool is_value = false, is_debug = false;
        slice_cut(&answer, '\n', &line);
        for (unsigned at = 0; line.size > 0; at++) {
            slice_cut(&line, ' ', &word);
            is_value = at == 0 ? slice_equal(word, SLICE("VALUE")) : is_value;
            is_debug = at == 0 ? slice_equal(word, SLICE("ME")) : is_debug;
            bool is_flag =
                at > 0 && word.size > 1 && word.data[0] == 'c' && isdigit((unsigned char)word.data[1]);
            bool is_cas =
                is_flag || (is_value && at == 4) || (is_debug && slice_starts_with(word, SLICE("cas=")));
            bool is_of_load =
                slice_starts_with(word, SLICE("la=")) || slice_starts_with(word, SLICE("fetch="));
            *ret_cas = is_cas ? policies_digits(word) : *ret_cas;
            if (is_cas || (is_debug && loads && is_of_load))
                word = SLICE("?");
            memcpy(out + size, word.data, word.size);
            size += word.size;
            out[size++] = ' ';
        }
    }
    return size;
}

/* Blocks of a key have bytes of that key alone. */
static inline void policies_check_block(struct slice answer, const struct policies_key *key) {
    struct slice line;
    size_t size;
    if (!slice_cut(&answer, '\r', &line) || !replies_announced(line, &size))
        return;
    for (size_t i = 1; i <= size; i++) /* behind the line feed */
        FUZZ_CHECK(answer.data[i] == key->letter || isdigit((unsigned char)answer.data[i]) ||
                   answer.data[i] == ' ');
}

/* And remembers the CAS that they show. */
static inline void policies_compare(const struct policies_line *line, struct policies_key *key,
                                    struct slice tier, struct slice model) {
    char one[TIER_CLIENT_ANSWER], other[TIER_CLIENT_ANSWER];
    struct policies_cas cas;
    bool loads = key->place != PLACE_MEMORY;
    size_t size = policies_plain(tier, loads, one, &cas.tier);
    bool is_same = size == policies_plain(model, loads, other, &cas.model) && memcmp(one, other, size) == 0;
    if (!is_same || !policies_cas_agrees(key, cas)) {
        fprintf(stderr, "%.*sis answered\n%.*snot\n%.*s%s", (int)line->tier_size, line->tier, (int)tier.size,
                tier.data, (int)model.size, model.data, is_same ? "and it is their CAS that differ\n" : "");
        abort();
    }
    if (cas.model)
        key->cas = cas;
}

/* ---- Steps ---- */

/* What a read-through namespace does not hold in memory is what its row says; an error, if that is too large for an
 * entry. */
static inline void policies_look_at_row(struct policies_play *play, struct policies_key *key) {
    char line[TIER_CLIENT_ITEM_MAX];
    struct slice ask = slice_of(line, (size_t)sprintf(line, "me %s\r\n", key->name));
    struct slice known = world_ask_model(play->world, ask);
    if (key->place != PLACE_READS || memcmp(known.data, "EN", 2) != 0)
        return;
    char *value = memory_store_get(play->world->store, "reads", key->name, NULL, NULL);
    key->open |= value && strlen(value) > POLICIES_ROW_MAX;
    if (value && strlen(value) <= POLICIES_ROW_MAX) {
        int size = snprintf(line, sizeof line, "ms %s %zu E%d\r\n%s\r\n", key->name, strlen(value),
                            POLICIES_ROW_VERSION, value);
        world_ask_model(play->world, slice_of(line, (size_t)size));
    }
    free(value);
}

static inline void policies_request(struct policies_play *play, struct policies_key *key) {
    static struct policies_line line;
    struct world *world = play->world;
    line.tier_size = line.model_size = 0;
    line.sets = line.marks = line.untold = false;
    world_look_at_clock(world);
    policies_look_at_row(play, key);
    switch (choose(&play->choices, 4)) {
    case 0:
        policies_put_words(play, &line, key);
        break;
    case 1:
        policies_put_storage(play, &line, key);
        break;
    default:
        policies_put_meta(play, &line, key);
    }
    struct slice answer = tier_client_ask(&world->client, slice_of(line.tier, line.tier_size));
    policies_check_block(answer, key);
    bool refused = policies_is_refusal(answer),
         is_late = tier_now(world->client.tier).seconds != world->model_now;
    FUZZ_CHECK(!refused || world->harmed || key->open || !place_is_strict(key->place));
    key->open |= refused || is_late || (line.untold && world->harmed) || !place_is_strict(key->place);
    key->marked |= line.marks;
    struct slice model = world_ask_model(world, slice_of(line.model, line.model_size));
    if (getenv("FOREBAY_FUZZ_SHOW"))
        fprintf(stderr, "%.*s> %.*s%s %.*s", (int)line.tier_size, line.tier, (int)answer.size, answer.data,
                key->open ? "?" : "=", (int)model.size, model.data);
    if (key->open)
        key->cas = (struct policies_cas){0};
    else
        policies_compare(&line, key, answer, model);
    if (line.sets && !refused && !is_late && answer.size == 8) /* STORED */
        key->open = key->marked = false;
}

/* What memory knows of it goes, unless the store has yet to learn it. */
static inline void policies_forget(struct policies_play *play, struct policies_key *key) {
    const struct space_options *space;
    struct world *world = play->world;
    char line[32];
    if (key->marked)
        return;
    world_look_at_clock(world);
    tier_client_turn_begin(&world->client);
    enum tier_forgetting what = tier_forget(world->client.worker, slice_string(key->name), &space);
    tier_client_turn_end(&world->client);
    if (getenv("FOREBAY_FUZZ_SHOW"))
        fprintf(stderr, "forget %s: %d\n", key->name, (int)what);
    FUZZ_CHECK(what != TIER_HOLDS_BACK || space->policy->holds_back);
    if (what != TIER_HOLDS_BACK && key->place < PLACE_THROUGH)
        world_ask_model(world, slice_of(line, (size_t)sprintf(line, "delete %s\r\n", key->name)));
}

/* Only where rows belong to others. */
static inline void policies_put_row(struct policies_play *play, struct policies_key *key) {
    static const char *const names[PLACES] = {[PLACE_READS] = "reads", [PLACE_STALE] = "stale"};
    char value[TIER_CLIENT_ITEM_MAX * 2] = "";
    static const unsigned sizes[] = {1, 0, 2, 30, POLICIES_ROW_MAX, 2 * TIER_CLIENT_ITEM_MAX - 2};
    size_t size = POLICIES_CHOOSE(&play->choices, sizes);
    if (!names[key->place])
        return;
    memset(value, choose(&play->choices, 2) ? key->letter : '1', size);
    memory_store_put(play->world->store, names[key->place], key->name,
                     choose(&play->choices, 4) ? value : NULL, POLICIES_ROW_VERSION);
    policies_forget(play, key);
    key->open |= key->marked; /* it was not forgotten */
}

static inline void policies_pass(struct policies_play *play) {
    static const unsigned seconds[] = {1, 1, 2, 6, 11, 101};
    pass_us((uint64_t)POLICIES_CHOOSE(&play->choices, seconds) * US_PER_SECOND);
}

static inline void policies_heal(struct world *world) {
    faulty_fail_all(world->faulty, FAULTY_ANY, BACKEND_OK);
    faulty_refuse_keys(world->faulty, NULL);
    faulty_spoil_keys(world->faulty, NULL);
    pass_us(10 * US_PER_SECOND);
}

static inline void policies_harm(struct policies_play *play) {
    static const enum backend_status failures[] = {BACKEND_TRANSIENT, BACKEND_TABLE_FAILED,
                                                   BACKEND_PERMANENT};
    struct world *world = play->world;
    switch (choose(&play->choices, 8)) {
    case 0:
    case 1:
        faulty_fail_all(world->faulty, FAULTY_LOAD, POLICIES_CHOOSE(&play->choices, failures));
        break;
    case 2:
        faulty_fail_all(world->faulty, FAULTY_APPLY, POLICIES_CHOOSE(&play->choices, failures));
        break;
    case 3:
        faulty_fail_call(world->faulty, choose(&play->choices, 2) ? FAULTY_LOAD : FAULTY_APPLY,
                         1 + choose(&play->choices, 4), POLICIES_CHOOSE(&play->choices, failures));
        break;
    case 4:
        faulty_refuse_keys(world->faulty, "x");
        break;
    case 5:
        faulty_spoil_keys(world->faulty, "y");
        break;
    case 6:
        faulty_lose_answer(world->faulty);
        break;
    default:
        policies_heal(world);
    }
}

static inline void policies_step(struct policies_play *play) {
    unsigned what = choose(&play->choices, 256);
    if (what >= 128) /* else the same key again, of which something is known by then */
        play->at = choose(&play->choices, PLACES * POLICIES_KEYS);
    struct policies_key *key = &play->keys[play->at];
    switch (what % 16) {
    case 0:
    case 1:
        policies_forget(play, key);
        break;
    case 2:
        FUZZ_CHECK(tier_client_sync(&play->world->client, play->world->harmed ? 1 : 0) ||
                   play->world->harmed);
        break;
    case 3:
        policies_put_row(play, key);
        break;
    case 4:
        policies_pass(play);
        break;
    case 5:
        if (play->world->harmed) {
            policies_harm(play);
            break;
        } /* fall through */
    default:
        policies_request(play, key);
    }
}

/* ---- Inputs ---- */

static inline void policies_name_keys(struct policies_play *play) {
    for (unsigned i = 0; i < PLACES * POLICIES_KEYS; i++) {
        struct policies_key *key = &play->keys[i];
        *key = (struct policies_key){.place = (enum place)(i / POLICIES_KEYS), .letter = (char)('A' + i)};
        snprintf(key->name, sizeof key->name, "%c%c%05u", world_letters[key->place], "xy"[i % POLICIES_KEYS],
                 play -> world -> inputs % 100000);
    }
}

/* The worlds: without a journal, with one (the program has one folder), and with a store that may fail. */
static inline struct world *policies_worlds(void) {
    static struct world worlds[POLICIES_WORLDS];
    return worlds;
}

/* How often requests waited for the store, in each of the worlds: also in those that have made way for others. */
static inline uint64_t *policies_waits(void) {
    static uint64_t waits[POLICIES_WORLDS];
    return waits;
}

static inline void policies_end(void) {
    for (struct world *world = policies_worlds(); world < policies_worlds() + POLICIES_WORLDS; world++) {
        if (world->store)
            world_end(world);
        world->store = NULL;
    }
}

/* One input: the first byte says in which world, and whether its store may fail. */
static inline void check_policies(const uint8_t *data, size_t size) {
    struct policies_play play = {.choices = choices_of(data, size)};
    unsigned how = choose(&play.choices, 16);
    bool harmed = how >= 14, journal = !harmed && how % 2;
    struct world *world = play.world = &policies_worlds()[harmed ? 2 : journal];
    if (world->store && (harmed || world->inputs == WORLD_INPUTS)) {
        world_end(world);
        world->store = NULL;
    }
    if (!world->store)
        world_make(world, journal, harmed);
    uint64_t waits = world->client.waits;
    world_begin_input(world);
    policies_name_keys(&play);
    for (unsigned steps = 0; choices_left(&play.choices) && steps < POLICIES_STEPS; steps++)
        policies_step(&play);
    policies_waits()[world - policies_worlds()] += world->client.waits - waits;
}

#endif
