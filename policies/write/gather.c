/* SPDX-License-Identifier: MIT */
#include "policies/write/gather.h"
#include <string.h>

/* A pause has to be better by a sixteenth: it makes those wait who need not. */
static bool is_pause_better(const struct gather *gather) {
    return gather->seen[1].changes * gather->seen[0].us * 16 >
           gather->seen[0].changes * gather->seen[1].us * 17;
}

/* What was answered since the last commit was over, unless the writer had nothing to do for most of that
 * time. */
static void count_cycle(struct gather *gather, size_t answered, uint64_t commit_us, uint64_t cycle_us) {
    if (gather->phase == GATHER_KEEP || cycle_us > 2 * commit_us)
        return;
    gather->seen[gather->pauses].changes += answered;
    gather->seen[gather->pauses].us += cycle_us;
}

static void settle(struct gather *gather) {
    bool better = is_pause_better(gather);
    gather->kept = better == gather->better ? 2 * gather->kept : GATHER_KEPT_MIN;
    if (gather->kept < GATHER_KEPT_MIN)
        gather->kept = GATHER_KEPT_MIN;
    if (gather->kept > GATHER_KEPT_MAX)
        gather->kept = GATHER_KEPT_MAX;
    gather->pauses = gather->better = better;
}

static void next_phase(struct gather *gather) {
    gather->commits = 0;
    switch (gather->phase) {
    case GATHER_TRY_WITHOUT:
        gather->phase = GATHER_TRY_WITH;
        gather->pauses = true;
        break;
    case GATHER_TRY_WITH:
        gather->phase = GATHER_KEEP;
        settle(gather);
        break;
    case GATHER_KEEP:
        gather->phase = GATHER_TRY_WITHOUT;
        gather->pauses = false;
        memset(gather->seen, 0, sizeof gather->seen);
        break;
    }
}

void gather_begin(struct gather *gather, size_t answered, size_t waiting, uint64_t commit_us,
                  uint64_t now_us) {
    uint64_t pause_us = commit_us / 2 < GATHER_PAUSE_MAX ? commit_us / 2 : GATHER_PAUSE_MAX;
    uint64_t cycle_us = now_us - gather->last_us;
    gather->until_us = 0;
    gather->target = answered + waiting;
    gather->last_us = now_us;
    if (gather->target < 2 || commit_us < GATHER_COMMIT_MIN)
        return;
    count_cycle(gather, answered, commit_us, cycle_us);
    if (++gather->commits >= (gather->phase == GATHER_KEEP ? gather->kept : GATHER_TRIAL))
        next_phase(gather);
    if (gather->pauses)
        gather->until_us = now_us + pause_us;
}
