/* SPDX-License-Identifier: MIT */
/* A tier of which nothing is flushed but what a test has flushed. */
#ifndef FOREBAY_TESTS_SUPPORT_FLUSH_RIG_H
#define FOREBAY_TESTS_SUPPORT_FLUSH_RIG_H

#include "tests/support/passing_time.h"
#include "tests/support/tier_rig.h"
#include <stdio.h>

/* Nothing is due but by age, and that not before the test is over. */
static inline int set_up(void **state) {
    rig_set_up(state);
    ((struct tier_rig *)*state)->spaces[0].flush_delay = 600000;
    return 0;
}

/* In the list of tests. */
#define FLUSH_CASE(name) RIG_CASE_WITH(name, set_up, rig_tear_down)

static inline void assert_waits_and_rejects(struct tier_rig *rig, int waits, int rejects) {
    assert_int_equal(rig_stat(rig, "test:full_waits"), waits);
    assert_int_equal(rig_stat(rig, "test:full_rejects"), rejects);
}

static inline char *quarantine(struct tier_rig *rig, const char *argument) {
    char *text = NULL;
    size_t size = 0;
    const char *error = NULL;
    struct cache_time now = cache_time_from_us(1);
    FILE *out = open_memstream(&text, &size);
    tier_turn_begin(tier_get_worker(rig->tier, 0), &now);
    bool fine = tier_quarantine(tier_get_worker(rig->tier, 0), slice_string(argument), out, &error);
    tier_turn_end(tier_get_worker(rig->tier, 0), NULL);
    fclose(out);
    assert_true(fine);
    return text;
}

#endif
