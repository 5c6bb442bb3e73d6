/* SPDX-License-Identifier: MIT */
/*
 * The short run of a target: its seeds (tests/fuzz/corpus/<target>, one input a file, which findings are put into),
 * each as it is and with changed bytes; and noise. The same every time, and for as long as it is told to go on
 * (rounds.h).
 */
#ifndef FOREBAY_TESTS_FUZZ_SHORT_RUN_H
#define FOREBAY_TESTS_FUZZ_SHORT_RUN_H

#include "tests/fuzz/choices.h"
#include "tests/fuzz/corpus.h"
#include "tests/fuzz/rounds.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS_MAX = 256, SEED_SIZE_MAX = 4096, NOISE_INPUT_MAX = 200 };

struct seed {
    size_t size;
    uint8_t bytes[SEED_SIZE_MAX];
};

typedef void play_input(const uint8_t *data, size_t size);

/* An exact copy, so that a step beyond it is seen. */
static inline void play_exactly(play_input *play, const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    play(copy, size);
    free(copy);
}

static inline bool read_seed(const char *folder, const char *name, struct seed *ret_seed) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = *name == '.' ? NULL : fopen(path, "rbe");
    if (!file)
        return false;
    ret_seed->size = fread(ret_seed->bytes, 1, SEED_SIZE_MAX, file);
    fclose(file);
    return true;
}

/* FOREBAY_FUZZ_CORPUS is where the sources have it. Sorted, as folders have no order of their own. */
static inline size_t read_seeds(const char *target, struct seed *seeds) {
    char folder[512];
    struct dirent **names;
    snprintf(folder, sizeof folder, "%s/%s", FOREBAY_FUZZ_CORPUS, target);
    int found = scandir(folder, &names, NULL, alphasort);
    FUZZ_CHECK(found >= 0);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        if (count < SEEDS_MAX)
            count += read_seed(folder, names[i]->d_name, &seeds[count]);
        free(names[i]);
    }
    free(names);
    return count;
}

/* Each as it is, and no more: where other tests change such inputs. Returns how many there are. */
static inline size_t play_seeds(const char *target, play_input *play) {
    static struct seed seeds[SEEDS_MAX];
    size_t count = read_seeds(target, seeds);
    for (size_t i = 0; i < count; i++)
        play_exactly(play, seeds[i].bytes, seeds[i].size);
    return count;
}

static inline void make_noise_of(struct seed *noise, size_t size) {
    for (noise->size = 0; noise->size < size; noise->size++)
        noise->bytes[noise->size] = (uint8_t)next_random();
}

/* A few bytes of it, and now and then its end: cut off, or the other's in its place. */
static inline void change_seed(struct seed *changed, const struct seed *seed, const struct seed *other) {
    *changed = *seed;
    size_t kept = changed->size > 1 ? 1 + below(changed->size - 1) : changed->size;
    switch (below(8)) {
    case 0:
        changed->size = kept;
        break;
    case 1:
        changed->size = kept < other->size ? other->size : kept;
        memcpy(changed->bytes + kept, other->bytes + kept, changed->size - kept);
        break;
    }
    for (size_t changes = 1 + below(4); changes > 0 && changed->size > 0; changes--)
        changed->bytes[below(changed->size)] = (uint8_t)next_random();
}

/* Of so many inputs and more, half are changed seeds and half are noise. Returns how many seeds there are. */
static inline size_t short_run(const char *target, play_input *play, size_t inputs) {
    static struct seed seeds[SEEDS_MAX];
    size_t count = read_seeds(target, seeds);
    for (size_t i = 0; i < count; i++)
        play_exactly(play, seeds[i].bytes, seeds[i].size);
    for (struct rounds rounds = rounds_of(target, inputs, 1); rounds_go_on(&rounds);) {
        static struct seed changed;
        bool is_noise = count == 0 || rounds.count % 2;
        if (is_noise)
            make_noise_of(&changed, 1 + rounds.count % NOISE_INPUT_MAX);
        else
            change_seed(&changed, &seeds[below(count)], &seeds[below(count)]);
        play_exactly(play, changed.bytes, changed.size);
    }
    return count;
}

#endif
