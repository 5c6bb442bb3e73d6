/* SPDX-License-Identifier: MIT */
/*
 * What policies.h asks: a line for the tier and the same for the model, but for the CAS in it, of which each gets its
 * own.
 */
#ifndef FOREBAY_TESTS_FUZZ_POLICIES_REQUESTS_H
#define FOREBAY_TESTS_FUZZ_POLICIES_REQUESTS_H

#include "tests/fuzz/tier_world.h"

enum { POLICIES_LINE = 2 << 10, POLICIES_KEYS = 2, POLICIES_KEY = 10 };

/* What both show of one value. 0: nothing. */
struct policies_cas {
    uint64_t tier, model;
};

/* One key. */
struct policies_key {
    char name[POLICIES_KEY];
    enum place place;
    char letter;             /* of its values, beside digits and blanks */
    bool open;               /* what it holds is not known */
    bool marked;             /* it may have marks, some of which are known in memory alone */
    struct policies_cas cas; /* shown last, since it is not open */
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

static inline void policies_put_cas(struct policies_line *line, struct policies_cas cas, int beside) {
    line->tier_size += (size_t)sprintf(line->tier + line->tier_size, "%llu",
                                       (unsigned long long)cas.tier + (unsigned long long)beside);
    line->model_size += (size_t)sprintf(line->model + line->model_size, "%llu",
                                        (unsigned long long)cas.model + (unsigned long long)beside);
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

/* ---- CAS ---- */

/* Whether the two agree on which value this is, after what they have shown of the key before. */
static inline bool policies_cas_agrees(const struct policies_key *key, struct policies_cas cas) {
    bool tier_dictated = world_is_dictated(cas.tier), model_dictated = world_is_dictated(cas.model);
    if (tier_dictated || model_dictated)
        return cas.tier == cas.model;
    return key->cas.model == 0 || (cas.tier == key->cas.tier) == (cas.model == key->cas.model);
}

/* Asks both, which loads the key. */
static inline struct policies_cas policies_ask_cas(struct policies_play *play, struct policies_key *key) {
    char ask[32];
    struct slice asked = slice_of(ask, (size_t)sprintf(ask, "mg %s c\r\n", key->name));
    struct slice answer = tier_client_ask(&play->world->client, asked);
    key->open |= policies_is_refusal(answer) || !place_is_strict(key->place);
    struct policies_cas cas = {.tier = world_cas(answer)};
    cas.model = world_cas(world_ask_model(play->world, asked));
    if (key->open)
        key->cas = (struct policies_cas){0};
    if (!key->open && cas.tier && cas.model) {
        FUZZ_CHECK(policies_cas_agrees(key, cas));
        key->cas = cas;
    }
    return cas;
}

/* Whether the value whose CAS was shown last is still there; the model is asked in a way that counts as no access. */
static inline bool policies_cas_is_current(struct policies_play *play, const struct policies_key *key) {
    char line[32], shown[32];
    snprintf(shown, sizeof shown, " cas=%llu ", (unsigned long long)key->cas.model);
    struct slice answer =
        world_ask_model(play->world, slice_of(line, (size_t)sprintf(line, "me %s\r\n", key->name)));
    return memmem(answer.data, answer.size, shown, strlen(shown)) != NULL;
}

/* The CAS that the key has, one beside it, or none. In half of the draws it is that which was shown last: the key may
 * have left memory since, or have changed; then nothing beside it will do, as that may be the new one. */
static inline void policies_put_known_cas(struct policies_play *play, struct policies_line *line,
                                          struct policies_key *key) {
    unsigned which = choose(&play->choices, 16);
    bool remembers = which >= 8 && key->cas.model;
    struct policies_cas cas = remembers ? key->cas : policies_ask_cas(play, key);
    bool may_differ = !remembers || policies_cas_is_current(play, key);
    switch (which % 8) {
    case 0:
        policies_put_cas(line, cas, may_differ);
        return;
    case 1:
    case 2: /* below 1 is none */
        policies_put_cas(line, cas, !may_differ ? 0 : cas.model == 1 || cas.tier == 1 ? 1 : -1);
        return;
    case 3:
        policies_put_cas(line, (struct policies_cas){0}, 0);
        return;
    default:
        policies_put_cas(line, cas, 0);
    }
}

/* ---- Requests ---- */

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
                        : word == 's' ? "ckqFTIMNCEOs"
                        : word == 'd' ? "kqIxTCEO"
                        : word == 'a' ? "ctvkqNJDTMCEO"
                                      : "";
    static const char *const modes[] = {"E", "A", "P", "R", "S"};
    static const char *const counting[] = {"I", "D", "+", "-"};
    uint32_t given = 0;
    for (unsigned count = *flags ? choose(&play->choices, 7) : 0; count > 0; count--) {
        unsigned which = choose(&play->choices, (unsigned)strlen(flags));
        char flag[3] = {' ', flags[which], '\0'};
        if (given & 1u << which) /* a flag twice is refused */
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

#endif
