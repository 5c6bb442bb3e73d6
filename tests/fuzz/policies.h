/* SPDX-License-Identifier: MIT */
/*
 * What any bytes ask of a tier of all policies (tier_world.h): classic and meta commands over a dozen keys, and
 * between them entries leave memory, what is dirty is flushed, others write rows, time passes, and the store fails.
 *
 * What must hold: each answer can be read as a client reads it; values of one key never show under another; and under
 * cache-aside, read-through, write-through and write-behind it is what the model answers, but for CAS, which are
 * compared by what they are compared with, and what is known in memory alone (docs/compatibility.md). An error is
 * said by a store that fails and by nobody else, and then what the key holds is left open until it is set again.
 *
 * FOREBAY_FUZZ_SHOW=1 shows what is asked and answered.
 */
#ifndef FOREBAY_TESTS_FUZZ_POLICIES_H
#define FOREBAY_TESTS_FUZZ_POLICIES_H

#include "tests/fuzz/tier_world.h"
#include <ctype.h>

enum {
    POLICIES_LINE = 2 << 10,
    POLICIES_KEYS = 2,
    POLICIES_KEY = 10,
    POLICIES_STEPS = 48,
    POLICIES_ROW_MAX = 1000,
    POLICIES_WORLDS = 3
};

/* One key. */
struct policies_key {
    char name[POLICIES_KEY];
    enum place place;
    char letter; /* of its values, beside digits and blanks */
    bool open;   /* what it holds is not known */
    bool marked; /* it may have marks, some of which are known in memory alone */
};

struct policies_play {
    struct world *world;
    struct choices choices;
    struct policies_key keys[PLACES * POLICIES_KEYS];
    unsigned at; /* the key of the step before */
};

/* The same line for both, but for the CAS in it. */
struct policies_line {
    char tier[POLICIES_LINE], model[POLICIES_LINE];
    size_t tier_size, model_size;
    bool sets, marks, untold; /* a plain set; may make or take marks; is not answered whatever came of it */
};

/* ---- Lines ---- */

static inline void policies_put(struct policies_line *line, const char *text) {
    size_t size = strlen(text);
    memcpy(line->tier + line->tier_size, text, size);
    memcpy(line->model + line->model_size, text, size);
    line->tier_size += size;
    line->model_size += size;
}

static inline void policies_put_cas(struct policies_line *line, uint64_t tier, uint64_t model) {
    line->tier_size += (size_t)sprintf(line->tier + line->tier_size, "%llu", (unsigned long long)tier);
    line->model_size += (size_t)sprintf(line->model + line->model_size, "%llu", (unsigned long long)model);
}

#define POLICIES_CHOOSE(choices, texts) ((texts)[choose((choices), sizeof(texts) / sizeof *(texts))])

static inline const char *policies_number(struct choices *choices) {
    static const char *const numbers[] = {"0", "1", "2", "7", "18446744073709551615", "4294967295"};
    return POLICIES_CHOOSE(choices, numbers);
}

/* Seconds: a life that is over, one that soon is, and longer ones. */
static inline const char *policies_ttl(struct choices *choices) {
    static const char *const ttls[] = {"0", "0", "-1", "1", "2", "5", "100", "3000", "2592000"};
    return POLICIES_CHOOSE(choices, ttls);
}

static inline bool policies_is_refusal(struct slice answer) {
    return answer.size > 12 && memcmp(answer.data, "SERVER_ERROR", 12) == 0 &&
           !memmem(answer.data, answer.size, SLICE("too large").data, 9);
}

/* The CAS that the key has, one beside it, or none. */
static inline void policies_put_known_cas(struct policies_play *play, struct policies_line *line,
                                          struct policies_key *key) {
    char ask[32];
    struct slice asked = slice_of(ask, (size_t)sprintf(ask, "mg %s c\r\n", key->name));
    struct slice answer = tier_client_ask(&play->world->client, asked);
    key->open |= policies_is_refusal(answer);
    uint64_t tier = world_cas(answer);
    uint64_t model = world_cas(world_ask_model(play->world, asked));
    switch (choose(&play->choices, 8)) {
    case 0:
        policies_put_cas(line, tier + 1, model + 1);
        return;
    case 1:
    case 2:
        if (model == 1 || tier == 1) /* below it is none; a row of others has 1 */
            policies_put_cas(line, tier + 1, model + 1);
        else
            policies_put_cas(line, tier - 1, model - 1);
        return;
    case 3:
        policies_put_cas(line, 0, 0);
        return;
    default:
        policies_put_cas(line, tier, model);
    }
}

static inline void policies_put_block(struct policies_play *play, struct policies_line *line,
                                      const struct policies_key *key, size_t size) {
    char block[TIER_CLIENT_ITEM_MAX * 2];
    bool is_number = choose(&play->choices, 2);
    FUZZ_CHECK(size + 3 <= sizeof block);
    memset(block, is_number ? '0' + (char)choose(&play->choices, 10) : key->letter, size);
    memcpy(block + size, "\r\n", 3);
    policies_put(line, block);
}

static inline size_t policies_put_size(struct policies_play *play, struct policies_line *line) {
    static const unsigned sizes[] = {1, 1, 2, 0, 3, 20, 300, 1190};
    char text[16];
    size_t size = POLICIES_CHOOSE(&play->choices, sizes);
    snprintf(text, sizeof text, " %zu", size);
    policies_put(line, text);
    return size;
}

/* What may stand behind a meta command, by its second letter; the order of flags is the bytes'. */
static inline void policies_put_flags(struct policies_play *play, struct policies_line *line,
                                      struct policies_key *key, char word) {
    const char *flags = word == 'g'   ? "cfksvtquNRTEO"
                        : word == 's' ? "ckqFTIMNCEOb"
                        : word == 'd' ? "kqIxTCEO"
                        : word == 'a' ? "ctvkqNJDTMCEO"
                                      : "";
    static const char *const modes[] = {"E", "A", "P", "R", "S"};
    static const char *const counting[] = {"I", "D", "+", "-"};
    uint32_t given = 0;
    for (unsigned count = *flags ? choose(&play->choices, 7) : 0; count > 0; count--) {
        unsigned which = choose(&play->choices, (unsigned)strlen(flags));
        char flag[3] = {' ', flags[which], '\0'};
        if (given & 1u << which || flag[1] == 'b') /* a flag twice is refused */
            continue;
        given |= 1u << which;
        policies_put(line, flag);
        line->marks |= strchr("INRMx", flag[1]) != NULL;
        if (flag[1] == 'C')
            policies_put_known_cas(play, line, key);
        else if (flag[1] == 'M')
            policies_put(line, word == 's' ? POLICIES_CHOOSE(&play->choices, modes)
                                           : POLICIES_CHOOSE(&play->choices, counting));
        else if (strchr("TNR", flag[1]))
            policies_put(line, policies_ttl(&play->choices));
        else if (strchr("EJDFO", flag[1]))
            policies_put(line, policies_number(&play->choices));
    }
}

static inline void policies_put_meta(struct policies_play *play, struct policies_line *line,
                                     struct policies_key *key) {
    static const char words[] = "ggssdae";
    char word[4] = {'m', words[choose(&play->choices, sizeof words - 1)], ' ', '\0'};
    size_t size = 0;
    policies_put(line, word);
    policies_put(line, key->name);
    if (word[1] == 's')
        size = policies_put_size(play, line);
    policies_put_flags(play, line, key, word[1]);
    line->marks |= word[1] == 'g'; /* which may win a token */
    policies_put(line, "\r\n");
    if (word[1] == 's')
        policies_put_block(play, line, key, size);
}

static inline void policies_put_storage(struct policies_play *play, struct policies_line *line,
                                        struct policies_key *key) {
    static const char *const words[] = {"set ", "set ", "add ", "replace ", "append ", "prepend ", "cas "};
    const char *word = POLICIES_CHOOSE(&play->choices, words);
    policies_put(line, word);
    policies_put(line, key->name);
    policies_put(line, " ");
    policies_put(line, policies_number(&play->choices));
    policies_put(line, " ");
    policies_put(line, policies_ttl(&play->choices));
    size_t size = policies_put_size(play, line);
    if (*word == 'c') {
        policies_put(line, " ");
        policies_put_known_cas(play, line, key);
    }
    line->untold = choose(&play->choices, 8) == 1;
    policies_put(line, line->untold ? " noreply\r\n" : "\r\n");
    policies_put_block(play, line, key, size);
    line->sets = strcmp(word, "set ") == 0;
}

/* The rest: a word, the key where it belongs, a number where there is one. */
static inline void policies_put_words(struct policies_play *play, struct policies_line *line,
                                      const struct policies_key *key) {
    static const char *const words[] = {"get ",  "gets ",  "delete ", "gat ",
                                        "gats ", "touch ", "incr ",   "decr "};
    unsigned which = choose(&play->choices, sizeof words / sizeof *words);
    bool is_gat = which == 3 || which == 4;
    policies_put(line, words[which]);
    if (is_gat) {
        policies_put(line, policies_ttl(&play->choices));
        policies_put(line, " ");
    }
    policies_put(line, key->name);
    if (which > 4) {
        policies_put(line, " ");
        policies_put(line, which == 5 ? policies_ttl(&play->choices) : policies_number(&play->choices));
    }
    policies_put(line, "\r\n");
}

/* ---- Answers ---- */

/* Without CAS: a 'c' flag, the last word of a VALUE that has five, and that of an ME; and without when it was read,
 * where it may have been loaded. Returns the size. */
static inline size_t policies_plain(struct slice answer, bool loads, char out[TIER_CLIENT_ANSWER]) {
    size_t size = 0;
    while (answer.size > 0) {
        struct slice line, word;
        bool is_value = false, is_debug = false;
        slice_cut(&answer, '\n', &line);
        for (unsigned at = 0; line.size > 0; at++) {
            slice_cut(&line, ' ', &word);
            is_value = at == 0 ? slice_equal(word, SLICE("VALUE")) : is_value;
            is_debug = at == 0 ? slice_equal(word, SLICE("ME")) : is_debug;
            bool is_cas =
                at > 0 && word.size > 1 && word.data[0] == 'c' && isdigit((unsigned char)word.data[1]);
            bool is_of_load =
                slice_starts_with(word, SLICE("la=")) || slice_starts_with(word, SLICE("fetch="));
            bool is_left_out = slice_starts_with(word, SLICE("cas=")) || (loads && is_of_load);
            if (is_cas || (is_value && at == 4) || (is_debug && is_left_out))
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

static inline void policies_compare(const struct policies_line *line, bool loads, struct slice tier,
                                    struct slice model) {
    char one[TIER_CLIENT_ANSWER], other[TIER_CLIENT_ANSWER];
    size_t size = policies_plain(tier, loads, one);
    if (size == policies_plain(model, loads, other) && memcmp(one, other, size) == 0)
        return;
    fprintf(stderr, "%.*sis answered\n%.*snot\n%.*s", (int)line->tier_size, line->tier, (int)tier.size,
            tier.data, (int)model.size, model.data);
    abort();
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
        int size = snprintf(line, sizeof line, "set %s 0 0 %zu\r\n%s\r\n", key->name, strlen(value), value);
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
    if (!key->open)
        policies_compare(&line, key->place != PLACE_MEMORY, answer, model);
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
                     choose(&play->choices, 4) ? value : NULL, 1);
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
