/* SPDX-License-Identifier: MIT */
/* A tier whose settings change while it is at work. */
#ifndef FOREBAY_TESTS_SUPPORT_RELOAD_RIG_H
#define FOREBAY_TESTS_SUPPORT_RELOAD_RIG_H

#include "cache/cache.h"
#include "policies/tier_parts.h"
#include "tests/support/tier_rig.h"

/* Nothing is due but by age, and that not before the test is over; other keys are cache-aside. */
static inline int set_up(void **state) {
    rig_set_up(state);
    struct tier_rig *rig = *state;
    rig->spaces[0].flush_delay = 600000;
    rig->spaces[0].prefix = "t:";
    rig->options.drain_timeout = 50;
    return 0;
}

#define RELOAD_CASE(name) RIG_CASE_WITH(name, set_up, rig_tear_down)

static inline void reload(struct tier_rig *rig) {
    const char *error = rig_reload(rig);
    if (error)
        fail_msg("refused: %s", error);
}

/* All of the text has to be in what is said. */
static inline void expect_refusal(struct tier_rig *rig, const char *text) {
    const char *error = rig_reload(rig);
    if (!error || !strstr(error, text))
        fail_msg("expected \"%s\", got: %s", text, error ? error : "no refusal");
}

static inline size_t used_by(struct tier_rig *rig, int space) {
    struct cache_stats stats;
    cache_get_stats(tier_cache(rig->tier), space, &stats);
    return stats.memory_used;
}

static inline void fill(struct tier_rig *rig, const char *prefix, int count) {
    char value[1500];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < count; i++)
        rig_store(rig, "set %s%d %s", prefix, i, value);
}

#endif
